"""data/suspects.csv -> rows for a person to edit."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from imageset.curation import corrections
from imageset.formats import hand_edited, tables
from imageset.runtime.command import show_line
from tools.suspects.files import COLUMNS, Corrections, read_table


def choose(suspects: pd.DataFrame, kind: str, top: int, decided: Corrections | None) -> tuple[pd.DataFrame, int]:
    """Return the rows of a kind with the lowest ranks, and how many were passed over because people decided on them.

    Args:
        suspects: the rows of suspects.csv.
        kind: one of KINDS.
        top: the most rows to return.
        decided: what people decided so far. None: pass over nothing.
    """
    rows = suspects[suspects["kind"] == kind].sort_values("rank").reset_index(drop=True)
    if decided is None:
        return rows.head(top), 0
    is_decided = (corrections.deciding(rows, decided.labels) >= 0) | (
        corrections.deciding(rows, decided.exclusions) >= 0
    )
    chosen = rows[~is_decided].head(top)
    return chosen, int(is_decided[: chosen.index[-1]].sum()) if len(chosen) else int(is_decided.sum())


def to_edit(
    chosen: pd.DataFrame, names: Mapping[int | None, str], urls: dict[tuple[int, int], str], accept: bool, by: str
) -> str:
    """Return the rows as CSV with COLUMNS.

    Args:
        chosen: rows of suspects.csv.
        names: the classes' names.
        urls: where the photos of listings are: a URL, or a key in the bucket.
        accept: whether to fill in `relabel` where the audit suggests another class.
        by: the handle to fill in.
    """
    lines = [hand_edited.format_row(COLUMNS)]
    for row in chosen.itertuples():
        own, other = (None if pd.isna(class_) else int(class_) for class_ in (row.catalog_id, row.suggestion))
        action = "relabel" if accept and row.kind == "label" and other is not None else ""
        product = hand_edited.cell_of_id(row.product_id)
        found = (row.kind, row.rank, row.score, row.why, product, row.position)
        ids = ["" if class_ is None else hand_edited.cell_of_id(class_) for class_ in (own, other)]
        classes = [
            ids[0],
            cell_to_read(names.get(own, "")),
            ids[1],
            cell_to_read(names.get(other, "")),
        ]
        usual = corrections.DEFAULT_REASONS[row.kind]  # counts only where a person writes `exclude`
        written = (action, ids[1], usual, "", by, "")
        url = cell_to_read(urls.get((row.product_id, row.position), ""))
        lines.append(hand_edited.format_row((*found, *classes, *written, url)))
    return "".join(f"{line}\n" for line in lines)


def cell_to_read(text: str) -> str:
    """Return a text that people read and no program: on one line, as the rows may be printed on a terminal."""
    return hand_edited.cell_of_text(show_line(text))


def read_urls(chosen: pd.DataFrame) -> dict[tuple[int, int], str]:
    """Return where the chosen photos are, of those that the listings name. The listings may be missing."""
    if not Path("data/listings.csv").exists():
        return {}
    listings = read_table("listings.csv", tables.LISTINGS)
    listings = listings[listings["product_id"].isin(chosen["product_id"])]
    return {(row.product_id, row.position): row.image_url or row.key for row in listings.itertuples()}
