"""Tables, pictures and decisions -> data/report.html: the page that people decide and work with."""

import json
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imageset.curation.corrections import (
    EXCLUSION_COLUMNS,
    LABEL_COLUMNS,
    REMARKS,
    Decision,
    check_exclusions,
    check_labels,
)
from imageset.formats import dates, hand_edited, hdf5, row_checksums, tables, takedowns
from imageset.page.assemble import assemble
from imageset.page.components import encode_components
from imageset.page.contents import make_contents
from imageset.page.inputs import PageInputs, PhotoTables
from imageset.page.photo_list import (
    FACTS,
    KEY,
    MASK_MEASURES,
    describe_photos,
    group_sizes,
    name_photos,
    number_rejects,
)
from imageset.page.picture_files import PicturePaths
from imageset.page.pictures import LEAST_DETAIL_BYTES, PAGE_BYTES, add_pictures, advise_on_size
from imageset.page.sample import choose_photos
from imageset.page.shipped_params import changed_params
from imageset.page.verdict import judge
from imageset.report.figures import COUNTED, STAGE_TABLES, StageTables
from imageset.runtime import files, params, stage

# The columns that are read of all photos, besides keys; of other tables all.
OF_ALL = COUNTED | {
    "listings_rejects": ("product_id", "position", "reason"),
    "catalog": ("catalog_id",),
    "catalog_rejects": ("reason", "catalog_id"),
    "label_changes": ("change", "told", "catalog_id"),
}
# Further tables and their columns: only the rows of photos that the page shows are read.
OF_SHOWN: dict[str, tuple[tables.Table, Collection[str] | None]] = {
    "listings": (tables.LISTINGS, ("image_url",)),
    "ingest": (tables.INGEST, ("key",)),
    "inventory": (tables.INVENTORY, ("key",)),
    "split": (tables.SPLIT, None),
    "photos": (tables.PHOTOS, FACTS),
    "masks": (tables.MASKS, MASK_MEASURES),
    "map": (tables.MAP, None),
    "doubts": (tables.DOUBTS, None),
    "predictions": (tables.PREDICTIONS, ("answer", "probability")),
}
PICTURES = ("previews.h5", "masks.h5", "processed.h5", "dataset.h5")  # in the order of PicturePaths


def read_decisions(decided: Path, classes: pd.DataFrame) -> tuple[list[Decision], list[Decision]]:
    """Return the checked rows of labels.csv and exclusions.csv. Raises DataError as stage catalog does."""
    labels = hand_edited.read(decided / "labels.csv", LABEL_COLUMNS, REMARKS)
    exclusions = hand_edited.read(decided / "exclusions.csv", EXCLUSION_COLUMNS, REMARKS)
    return check_labels(labels, classes), check_exclusions(exclusions)


def describe_dataset(dataset_h5: Path) -> tuple[str, dict[str, int], dict[str, Any]]:
    """Return the digest of the dataset, the rows of each subset, and the params that it was built with."""
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file, hdf5.reading(dataset_h5):
        rows = {subset: len(file[f"{subset}_images"]) for subset in hdf5.subsets(file)}
        return str(file.attrs["content_digest"]), rows, json.loads(file.attrs["params"])


def describe_source(as_of: str | None, newest: str) -> dict[str, str | None]:
    """Return of which time the rows of the marketplace are: source.as_of, and the date of the newest label."""
    return {"as_of": as_of, "newest_row": newest or None}


def read_labels(labels_csv: Path, photos: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows about the products of some photos, and the date of the newest of all rows, "" without one."""
    found, newest = [], pd.Series([""])
    for part in tables.parts(labels_csv, tables.LABELS):
        found.append(part[part["product_id"].isin(photos["product_id"])])
        some = pd.concat([newest, part["date"]], ignore_index=True)
        newest = some[[dates.sortable(some).to_numpy(object).argmax()]]
    return pd.concat(found, ignore_index=True), newest.iloc[0]


def read_version(pyproject_toml: Path) -> str:
    return str(tomllib.loads(pyproject_toml.read_text(encoding="utf-8"))["project"]["version"])


def describe(inputs: PageInputs, data: Path, version: str) -> tuple[dict[str, Any], str]:
    """Return all that the page says, without pictures, and the components of its photos in base64."""
    values = params.load().model_dump(mode="json")
    digest, rows, built_with = describe_dataset(data / "dataset.h5")
    photos = name_photos(inputs)
    chosen, sampled = choose_photos(photos, inputs, values["report"]["page_photos"])
    named = photos[chosen].reset_index(drop=True)
    del photos
    said, newest = read_photo_tables(data, named)
    shown = describe_photos(named, inputs, said)
    with row_checksums.open_file(data / "components.h5", hdf5.COMPONENTS) as file:
        layout, encoded = encode_components(file, shown)
    return {
        "digest": digest,
        "version": version,
        "sampled": sampled,
        "source": describe_source(values["source"]["as_of"], newest),
        "params": changed_params(values),
        "verdict": judge(inputs, rows),
        **make_contents(inputs, shown, said.labels),
        "augment": {"copies": built_with["augment"]["copies"]},
        "components": layout,
    }, encoded


def read_inputs(data: Path, decided: Path, reports: Path) -> PageInputs:
    """Read what is needed of all photos, and what people decided. Raises DataError where a table is wrong."""
    stages = (tables.read(data / f"{name}.csv", table, OF_ALL.get(name)) for name, table in STAGE_TABLES.items())
    classes = tables.read(data / "classes.csv", tables.CLASSES)
    labels, exclusions = read_decisions(decided, classes)
    return PageInputs(
        stages=StageTables(*stages),
        classes=classes,
        suspects=tables.read(data / "suspects.csv", tables.SUSPECTS),
        predictions=tables.read(data / "predictions.csv", tables.PREDICTIONS, ("label", "answer")),
        label_decisions=labels,
        exclusions=exclusions,
        taken_down=takedowns.read(decided / "takedowns.csv"),
        checks=json.loads((data / "validation.json").read_text(encoding="utf-8"))["checks"],
        baseline=json.loads((reports / "baseline.json").read_text(encoding="utf-8")),
        leakage=json.loads((reports / "leakage.json").read_text(encoding="utf-8")),
    )


def read_photo_tables(data: Path, photos: pd.DataFrame) -> tuple[PhotoTables, str]:
    """Return what the tables say of some photos, and the date of the newest label of all. Raises DataError."""
    plain = {
        name: tables.read(data / f"{name}.csv", table, columns, photos) for name, (table, columns) in OF_SHOWN.items()
    }
    labels, newest = read_labels(data / "labels.csv", photos)
    rejects, groups = read_rejects(data / "listings_rejects.csv", photos), read_groups(data / "groups.csv", photos)
    return PhotoTables(listing_rejects=rejects, groups=groups, labels=labels, **plain), newest


def read_rejects(listings_rejects_csv: Path, photos: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of listings_rejects.csv that name one of some photos."""
    wanted, found = pd.MultiIndex.from_frame(photos[KEY]), []
    for part in tables.parts(listings_rejects_csv, tables.LISTING_REJECTS):
        keys = number_rejects(part)[KEY]
        found.append(part.loc[keys.index[wanted.get_indexer(pd.MultiIndex.from_frame(keys)) >= 0]])
    return pd.concat(found, ignore_index=True)


def read_groups(groups_csv: Path, photos: pd.DataFrame) -> pd.DataFrame:
    """Return the groups of some photos that duplicates kept, as `group_sizes` does."""
    wanted, found, groups = pd.MultiIndex.from_frame(photos[KEY]), [], []
    for part in tables.parts(groups_csv, tables.GROUPS, ["group", "reason"]):
        kept = part.loc[part["reason"] == "", [*KEY, "group"]]
        groups.append(kept["group"].to_numpy())
        found.append(kept[wanted.get_indexer(pd.MultiIndex.from_frame(kept[KEY])) >= 0])
    return group_sizes(pd.concat(found, ignore_index=True), np.concatenate(groups))


def main(data: Path, corrections: Path, reports: Path, page: Path, pyproject_toml: Path, report_html: Path) -> None:
    """Write the page that people decide and work with.

    Args:
        data: the folder of what the stages wrote: nearly all tables and pictures.
        corrections: the folder of what people decided.
        reports: the folder of the scores of the simple classifier, and of how many planted copies were found.
        page: the folder of the page's HTML, CSS and JavaScript.
        pyproject_toml: names the version.
        report_html: the page.
    """
    inputs = read_inputs(data, corrections, reports)
    said, components = describe(inputs, data, read_version(pyproject_toml))
    scripts = {"components": ("text/plain", components)}
    room = PAGE_BYTES - len(assemble(page, said, scripts).encode())
    shown, drawn = add_pictures(said, PicturePaths(*(data / name for name in PICTURES)), room, LEAST_DETAIL_BYTES)
    text = assemble(page, shown, scripts | drawn)
    files.write_text(report_html, text)
    photos = len(shown["photos"]["product_id"])
    print(
        f"page: {photos} photos, fit to train on: {shown['verdict']['fit']}, {len(text.encode()) / 1e6:.1f} MB; "
        f"see {report_html}"
    )
    page_photos = params.load().report.page_photos
    if advice := advise_on_size(len(text.encode()), shown, drawn, page_photos):
        print(f"page: warning: {advice}")


if __name__ == "__main__":
    stage.run("page", main)
