"""The files that the tool reads, and what a row to edit consists of."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imageset.curation import corrections
from imageset.errors import DataError
from imageset.formats import hand_edited, tables

LABELS, EXCLUSIONS = Path("corrections/labels.csv"), Path("corrections/exclusions.csv")
KINDS = tuple(corrections.DEFAULT_REASONS)  # of suspects that name a photo
ACTIONS = ("relabel", "exclude", "right")
# A row to edit: what the audit found, what a person may write, what helps to find the photo.
FOUND = (
    "kind",
    "rank",
    "score",
    "why",
    "product_id",
    "position",
    "class",
    "class_name",
    "suggestion",
    "suggestion_name",
)
WRITTEN = ("action", "catalog_id", "reason", "note", "by", "date")
COLUMNS = (*FOUND, *WRITTEN, "image_url")
REQUIRED = ("product_id", "position", "action")


class Corrections(NamedTuple):
    """Both files of corrections/: their rows as they are, checked, and how the files are written."""

    label_rows: list[hand_edited.Row]
    exclusion_rows: list[hand_edited.Row]
    labels: list[corrections.Decision]
    exclusions: list[corrections.Decision]
    layouts: dict[Path, hand_edited.Layout]


def read_table(name: str, table: tables.Table) -> pd.DataFrame:
    """Return a table of data/. Raises DataError with what to do where it is missing."""
    path = Path("data") / name
    if not path.exists():
        raise DataError(f"{path} is missing: `dvc pull {path}` fetches it, or `dvc repro` makes it")
    return tables.read(path, table)


def read_corrections(classes: pd.DataFrame) -> Corrections:
    """Return what people decided so far. Raises DataError as stage catalog does."""
    label_rows, label_layout = hand_edited.read_with_layout(LABELS, corrections.LABEL_COLUMNS, corrections.REMARKS)
    exclusion_rows, exclusion_layout = hand_edited.read_with_layout(
        EXCLUSIONS, corrections.EXCLUSION_COLUMNS, corrections.REMARKS
    )
    return Corrections(
        label_rows,
        exclusion_rows,
        corrections.check_labels(label_rows, classes),
        corrections.check_exclusions(exclusion_rows),
        {LABELS: label_layout, EXCLUSIONS: exclusion_layout},
    )


def read_products() -> set[int]:
    """Return the products that stage catalog knows."""
    known = {*read_table("labels.csv", tables.LABELS)["product_id"].dropna()}
    known |= {*read_table("groups.csv", tables.GROUPS)["product_id"]}
    return known | {*tables.read(Path("releases/split.csv"), tables.SPLIT)["product_id"]}
