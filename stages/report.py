"""All tables and the dataset -> reports/ (in git) and data/report.html: what people look at."""

import base64
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import jinja2
import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import hdf5, tables
from imageset.report import plots
from imageset.runtime import files, params, stage

COLUMNS = 10
AUGMENTED_PHOTOS = 8
MOST_COPIES = 10
PAIRS = 20


class Tables(NamedTuple):
    """The tables of the stages, as they are."""

    listings: pd.DataFrame
    listing_rejects: pd.DataFrame
    ingest: pd.DataFrame
    inventory: pd.DataFrame
    rejects: pd.DataFrame
    catalog: pd.DataFrame
    catalog_rejects: pd.DataFrame
    label_changes: pd.DataFrame
    near_duplicates: pd.DataFrame
    label_map: pd.DataFrame
    split: pd.DataFrame


def count(values: pd.Series) -> dict[str, int]:
    """Return how often each value stands there, sorted by value."""
    return {str(value): int(number) for value, number in sorted(values.value_counts().items())}


def photo_flow(data: Tables) -> dict[str, dict[str, Any]]:
    """Return, for each stage, photos in, out and rejected by reason. Raises DataError when a sum does not close."""
    refused = data.ingest[data.ingest["status"] == "rejected"]
    fetches = len(data.ingest) > 0  # ingest.enabled: else the bucket, not the listings, says which photos there are
    flow = {
        "listings": (len(data.listings) + len(data.listing_rejects), len(data.listings), data.listing_rejects),
        "ingest": (len(data.ingest), len(data.ingest) - len(refused), refused),
        "preprocess": (len(data.inventory), len(data.catalog) + len(data.catalog_rejects), data.rejects),
        "catalog": (len(data.catalog) + len(data.catalog_rejects), len(data.catalog), data.catalog_rejects),
        "split": (len(data.catalog), len(data.split), data.split[:0].assign(reason="")),
    }
    for name, (came, went, rejects) in flow.items():
        if came != went + len(rejects):
            raise DataError(f"{name}: {came} photos came in, {went} went out and {len(rejects)} were rejected")
    stages = list(flow) if fetches else list(flow)[2:]
    for before, after in pairwise(stages):
        if flow[before][1] != flow[after][0]:
            raise DataError(f"{flow[before][1]} photos left {before} and {flow[after][0]} came to {after}")
    return {
        name: {"in": came, "out": went, "rejected": count(rejects["reason"])}
        for name, (came, went, rejects) in flow.items()
    }


def class_table(data: Tables) -> pd.DataFrame:
    """Return photos per class and subset: catalog_id, name, train, (validation,) test, photos; the largest first."""
    photos = data.catalog.merge(data.split, on=["product_id", "position"])
    counts = photos.pivot_table(index="catalog_id", columns="subset", values="row", aggfunc="size", fill_value=0)
    subsets = [subset for subset in hdf5.SUBSETS if subset != "validation" or subset in counts]
    counts = counts.reindex(index=data.label_map["catalog_id"], columns=subsets, fill_value=0)
    named = data.label_map[["catalog_id", "name"]].merge(counts, left_on="catalog_id", right_index=True)
    named["photos"] = named[subsets].sum(axis=1)
    return named.sort_values(["photos", "catalog_id"], ascending=[False, True]).reset_index(drop=True)


def metrics(data: Tables, classes: pd.DataFrame, file: h5py.File) -> dict[str, Any]:
    """Return the figures of reports/metrics.json."""
    subsets = hdf5.subsets(file)
    products = data.catalog.groupby("group")["product_id"].nunique()
    copies = file["train_copies"][:]
    class_rows, class_photos = (
        pd.Series(labels).value_counts().sort_index()
        for labels in (file["train_labels"][:], file["train_labels"][:][copies == 0])
    )
    return {
        "photos": photo_flow(data),
        "rows": {subset: len(file[f"{subset}_images"]) for subset in subsets},
        "classes": {
            "count": len(classes),
            "largest": int(classes["photos"].max()),
            "smallest": int(classes["photos"].min()),
            "median": float(classes["photos"].median()),
            "without_test_photos": int((classes["test"] == 0).sum()),
        },
        "test_share": round(float(classes["test"].sum() / classes["photos"].sum()), 6),
        "groups": {
            "count": len(products),
            "of_several_products": int((products > 1).sum()),
            "pairs_found_to_look_alike": len(data.near_duplicates),
        },
        "labels_changed": count(data.label_changes["change"]),
        # How uneven the classes are that a network is shown, and with augment.balance would be without it.
        "copies": {
            "most": int(copies.max()) + 1,
            "classes_with_more": int((class_rows > class_photos * (class_rows / class_photos).min()).sum()),
            "rows_of_largest_class": int(class_rows.max()),
            "rows_of_median_class": float(class_rows.median()),
            "rows_of_smallest_class": int(class_rows.min()),
        },
        "pixels": {
            "mean": [round(value, 4) for value in file.attrs["mean"].tolist()],
            "std": [round(value, 4) for value in file.attrs["std"].tolist()],
        },
        "content_digest": str(file.attrs["content_digest"]),
    }


def sample_rows(labels: np.ndarray[Any, Any], wanted: int) -> list[int]:
    """Return up to `wanted` rows, by label: the first row of every label, then the second of every label, and so on."""
    order = pd.Series(labels).groupby(labels).cumcount().to_numpy()
    first = np.lexsort((labels, order))[:wanted]
    return sorted(first.tolist(), key=lambda row: (labels[row], row))


def samples(file: h5py.File, wanted: int) -> bytes:
    """Return samples.png: photos as they are, with name, label and catalog id over each."""
    plain = np.flatnonzero(file["train_copies"][:] == 0)
    rows = plain[sample_rows(file["train_labels"][:][plain], wanted)]
    images, labels = hdf5.pick(file["train_images"], rows), file["train_labels"][:][rows]
    names, pairs = file["class_names"].asstr()[:], file["label_map"][:]
    captions = [f"{names[label]}\nlabel {label}, catalog {pairs[label].decode().partition(',')[2]}" for label in labels]
    return plots.sheet(list(images), captions, COLUMNS)


def augmented(file: h5py.File) -> bytes:
    """Return augmented.png: a row a photo, the photo itself and then its copies, as many as all of them have."""
    table = pd.DataFrame(
        {"id": file["train_ids"][:], "position": file["train_positions"][:], "copy": file["train_copies"][:]}
    )
    chosen = table[table["copy"] == 0].head(AUGMENTED_PHOTOS)[["id", "position"]].reset_index(names="place")
    rows = chosen.merge(table.reset_index(names="row"), on=["id", "position"])
    columns = min(int(rows.groupby("place").size().min()), MOST_COPIES)
    photos = rows[rows["copy"] < columns].sort_values(["place", "copy"])
    captions = [
        f"{product_id}\n{'the photo' if not copy else f'copy {copy}'}"
        for product_id, copy in zip(photos["id"], photos["copy"], strict=True)
    ]
    return plots.sheet(list(hdf5.pick(file["train_images"], photos["row"])), captions, columns)


def look_alikes(pairs: pd.DataFrame, thumbnails_h5: Path) -> bytes:
    """Return near_duplicates.png: the two photos of each pair beside each other, the least alike first."""
    with hdf5.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file:
        rows = {
            key: row for row, key in enumerate(zip(file["ids"][:].tolist(), file["positions"][:].tolist(), strict=True))
        }
        images = hdf5.mapped(file, "images")
    sheet, captions = [], []
    for *keys, likeness in pairs.sort_values("likeness").head(PAIRS).itertuples(index=False):
        for number, (product_id, position) in enumerate(zip(keys[::2], keys[1::2], strict=True)):
            sheet.append(images[rows[product_id, position]])
            captions.append(
                f"{product_id}{f', photo {position}' if position else ''}\n{'' if number else f'likeness {likeness}'}"
            )
    return plots.sheet(sheet, captions, COLUMNS)


def render(template: Path, **values: Any) -> str:
    environment = jinja2.Environment(
        autoescape=template.suffix == ".html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)


def data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def main(
    listings_csv: Path,
    listings_rejects_csv: Path,
    ingest_csv: Path,
    inventory_csv: Path,
    rejects_csv: Path,
    catalog_csv: Path,
    catalog_rejects_csv: Path,
    label_changes_csv: Path,
    near_duplicates_csv: Path,
    label_map_csv: Path,
    split_csv: Path,
    thumbnails_h5: Path,
    dataset_h5: Path,
    validation_json: Path,
    baseline_json: Path,
    confusion_png: Path,
    templates: Path,
    reports: Path,
    report_html: Path,
) -> None:
    """Write the figures, the pictures and the page that people look at.

    Args:
        listings_csv: every photo of every listing.
        listings_rejects_csv: rows that name no photo, with a reason.
        ingest_csv: how each photo of the listings ended: done, or rejected with a reason.
        inventory_csv: the objects of the bucket that the dataset is made of.
        rejects_csv: photos without pixels, with a reason.
        catalog_csv: the class of each photo.
        catalog_rejects_csv: photos without a class, with a reason.
        label_changes_csv: photos with another class than their own label, and why.
        near_duplicates_csv: pairs of near-duplicate photos.
        label_map_csv: the label, the catalog_id and the name of each class.
        split_csv: the subset of each photo.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        dataset_h5: the dataset.
        validation_json: what each check of the dataset looked at, and whether it passed.
        baseline_json: the scores of the simple classifier.
        confusion_png: the picture of what it takes for what.
        templates: the folder of the templates for the report and the dataset card.
        reports: the folder for figures, pictures and the dataset card.
        report_html: the page that people look at.
    """
    chosen = params.load().report
    data = Tables(
        tables.read(listings_csv, tables.LISTINGS),
        tables.read(listings_rejects_csv, tables.LISTING_REJECTS),
        tables.read(ingest_csv, tables.INGEST),
        tables.read(inventory_csv, tables.INVENTORY),
        tables.read(rejects_csv, tables.REJECTS),
        tables.read(catalog_csv, tables.CATALOG),
        tables.read(catalog_rejects_csv, tables.CATALOG_REJECTS),
        tables.read(label_changes_csv, tables.LABEL_CHANGES),
        tables.read(near_duplicates_csv, tables.NEAR_DUPLICATES),
        tables.read(label_map_csv, tables.LABEL_MAP),
        tables.read(split_csv, tables.SPLIT),
    )
    classes = class_table(data)
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file:
        figures = metrics(data, classes, file)
        sample_sheet, augmented_sheet = samples(file, chosen.sample_photos), augmented(file)
        image_shape = list(file["train_images"].shape[1:])
        sections = json.loads(file.attrs["params"])
    subsets = [subset for subset in hdf5.SUBSETS if subset in classes]
    plot = plots.class_counts(classes["name"].tolist(), {subset: classes[subset].tolist() for subset in subsets})
    values = {
        "metrics": figures,
        "classes": classes.to_dict("records"),
        "subsets": subsets,
        "image_shape": image_shape,
        "sections": sections,
        "checks": json.loads(validation_json.read_text(encoding="utf-8"))["checks"],
        "baseline": json.loads(baseline_json.read_text(encoding="utf-8")),
    }
    pairs = look_alikes(data.near_duplicates, thumbnails_h5)
    files.write_text(reports / "metrics.json", json.dumps(figures, indent=2) + "\n")
    files.write_text(reports / "class_counts.csv", classes.to_csv(index=False, lineterminator="\n"))
    files.write_text(reports / "dataset_card.md", render(templates / "dataset_card.md", **values))
    files.write_bytes(reports / "class_counts.png", plot)
    files.write_bytes(reports / "samples.png", sample_sheet)
    files.write_bytes(reports / "augmented.png", augmented_sheet)
    files.write_bytes(reports / "near_duplicates.png", pairs)
    files.write_text(
        report_html,
        render(
            templates / "report.html",
            **values,
            plot=data_url(plot),
            samples=data_url(sample_sheet),
            augmented=data_url(augmented_sheet),
            pairs=data_url(pairs),
            confusion=data_url(confusion_png.read_bytes()),
        ),
    )
    print(f"report: {figures['rows']} rows, {figures['classes']['count']} classes; see {report_html}")


if __name__ == "__main__":
    stage.run("report", main)
