"""Write reports/, which is in git: the figures, the pictures and the card of a dataset."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from imageset.formats import hdf5, source_ids, tables
from imageset.report import card, class_counts, croissant, sheets
from imageset.report.figures import COUNTED, STAGE_TABLES, StageTables, class_table, metrics, photo_flow
from imageset.report.identity import identify, identify_test_labels
from imageset.report.least_recall import find_least
from imageset.report.markdown import escape, escape_cell
from imageset.runtime import files, params, stage
from imageset.runtime.sections import CardParams


def render(template: Path, **values: Any) -> str:
    """Return a template filled in."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = escape_cell
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)


def read_tables(*paths: Path) -> StageTables:
    """Read the tables, in the order of STAGE_TABLES, as far as the figures count them."""
    named = zip(paths, STAGE_TABLES.items(), strict=True)
    return StageTables(*(tables.read(path, table, COUNTED.get(name)) for path, (name, table) in named))


def describe(
    dataset_h5: Path, data: StageTables, photos: pd.DataFrame, classes: pd.DataFrame, sample_photos: int
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what the templates show of the dataset, and its pictures, PNG by name."""
    flow = photo_flow(data)
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file:
        values = {
            "metrics": metrics(data, photos, flow, classes, file),
            "flow": flow,
            "classes": classes.assign(catalog_id=source_ids.texts(classes["catalog_id"])).to_dict("records"),
            "subsets": [subset for subset in hdf5.SUBSETS if subset in classes],
            "image_shape": list(file["train_images"].shape[1:]),
            "content_digest": str(file.attrs["content_digest"]),
            "sections": json.loads(file.attrs["params"]),
        }
        pictures = {
            "samples": sheets.draw_samples(file, sample_photos),
            "augmented": sheets.draw_augmented(file),
        }
    return values, pictures


def describe_file(dataset_h5: Path, filled: CardParams, values: dict[str, Any], label_map: pd.DataFrame) -> str:
    """Return reports/croissant.json.

    Args:
        dataset_h5: the dataset. Its SHA-256 is computed here: DVC knows an MD5, in dvc.lock, only after the stage.
        filled: params section `card`.
        values: what the card shows.
        label_map: the label, the catalog_id and the name of each class.
    """
    with dataset_h5.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    rows, shape = values["metrics"]["rows"], " x ".join(map(str, values["image_shape"]))
    arrays = ", ".join(f"{subset}_{column}" for subset in rows for column in ("images", "labels"))
    about = f"{values['metrics']['photos']['used']} photos of products in {len(label_map)} classes, in one HDF5 file."
    class_ids = source_ids.texts(label_map["catalog_id"]).tolist()
    names = hdf5.unique_names(label_map["name"].tolist(), class_ids)
    found = croissant.describe(
        filled,
        about,
        values["content_digest"],
        [
            croissant.hdf5_object(
                sha256,
                dataset_h5.stat().st_size,
                f"Images as uint8, N x {shape}, and a label for each, in the arrays {arrays}.",
            )
        ],
        [croissant.class_records(label_map["catalog_id"].tolist(), class_ids, names), croissant.subset_records(rows)],
    )
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def write(reports: Path, templates: Path, values: dict[str, Any], pictures: dict[str, bytes]) -> None:
    """Write figures, pictures and the dataset card, README.md.

    Args:
        reports: the folder for all of them.
        templates: the folder of dataset_card.md.
        values: what the template shows.
        pictures: PNG, by name.
    """
    for name, png in pictures.items():
        files.write_bytes(reports / f"{name}.png", png)
    files.write_text(reports / "metrics.json", json.dumps(values["metrics"], indent=2) + "\n")
    files.write_text(reports / "README.md", render(templates / "dataset_card.md", **values))


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
    photos_csv: Path,
    thumbnails_h5: Path,
    dataset_h5: Path,
    baseline_json: Path,
    leakage_json: Path,
    templates: Path,
    reports: Path,
) -> None:
    """Write the figures and the pictures that git keeps, and the dataset card.

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
        photos_csv: what was measured on every photo that can be decoded.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        dataset_h5: the dataset.
        baseline_json: the scores of the simple classifier.
        leakage_json: how many planted copies of each kind were found.
        templates: the folder of the dataset card's template.
        reports: the folder for figures, pictures and the dataset card.
    """
    data = read_tables(
        listings_csv,
        listings_rejects_csv,
        ingest_csv,
        inventory_csv,
        rejects_csv,
        catalog_csv,
        catalog_rejects_csv,
        label_changes_csv,
        near_duplicates_csv,
        label_map_csv,
        split_csv,
    )
    photos, classes = tables.read(photos_csv, tables.PHOTOS, ["profile"]), class_table(data)
    values, pictures = describe(dataset_h5, data, photos, classes, params.load().report.sample_photos)
    values["baseline"] = json.loads(baseline_json.read_text(encoding="utf-8"))
    values["least_found"] = find_least(json.loads(leakage_json.read_text(encoding="utf-8")))
    filled = params.load().card
    values |= {
        "title": escape(card.title(filled)),
        "head": card.head(filled, values["metrics"]["photos"]["used"]),
        "filled_in": card.filled_in(filled),
        "background": params.load().masks.background,
    }
    pictures["near_duplicates"] = sheets.draw_look_alikes(data.near_duplicates, thumbnails_h5)
    files.write_text(reports / "identity.json", describe_tests(data))
    files.write_text(reports / "class_counts.csv", list_classes(classes))
    write(reports, templates, values, pictures)
    files.write_text(reports / "croissant.json", describe_file(dataset_h5, filled, values, data.label_map))
    print(f"report: {values['metrics']['rows']} rows, {len(classes)} classes; see {reports}/README.md")


def describe_tests(data: StageTables) -> str:
    """Return identity.json: what scores of the dataset are of."""
    found = identify(data.split, data.label_map) | identify_test_labels(data.split, data.catalog)
    return json.dumps(found, indent=2) + "\n"


def list_classes(classes: pd.DataFrame) -> str:
    """Return the photos of each class as a table for people and `dvc plots`: no cell is a formula or a tag."""
    ids = source_ids.texts(classes["catalog_id"])
    names = hdf5.unique_names(classes["name"].tolist(), ids.tolist())
    cells = classes.assign(
        catalog_id=list(map(class_counts.cell_of_id, classes["catalog_id"])),
        name=list(map(class_counts.cell_of_name, names)),
    )
    return tables.format_header(cells.columns) + tables.format_rows(cells)


if __name__ == "__main__":
    stage.run("report", main)
