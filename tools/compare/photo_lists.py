"""The section of a comparison about photos: which were added, left out, relabelled, moved."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from imageset.formats import source_ids
from tools.compare.markdown import fold, format_first_rows, format_table, name_class, shorten
from tools.compare.photos import PhotoChanges

MOST_PHOTOS = 20


def format_photos(changes: PhotoChanges, names: Mapping[int, str]) -> str:
    """Return the section.

    Args:
        changes: the photos that differ.
        names: the classes' names by catalog_id, those of both sides.
    """

    def name(catalog_id: int) -> str:
        return name_class(names.get(catalog_id, ""), catalog_id)

    lists: dict[str, tuple[pd.DataFrame, list[str], Callable[[Any], tuple[str, ...]]]] = {
        "Relabelled": (changes.relabelled, ["before", "now"], lambda row: (name(row.base), name(row.head))),
        "Moved to another subset": (changes.moved, ["before", "now"], lambda row: (row.base, row.head)),
        "Gone": (
            changes.gone,
            ["class", "subset", "reason"],
            lambda row: (name(row.catalog_id), row.subset, row.reason or "head does not have it"),
        ),
        "Added": (changes.added, ["class", "subset"], lambda row: (name(row.catalog_id), row.subset)),
    }
    parts = [format_list(title, *some) for title, some in lists.items() if len(some[0])]
    return "\n\n".join(parts) or "The same photos, in the same classes and subsets."


def format_counts(base: dict[str, Any], head: dict[str, Any]) -> str:
    """Return how many photos, rows and photos left out both sides have, as a table.

    Args:
        base, head: the leaves of metrics.json.
    """
    titles = {"photos.": "photos ", "rows.": "rows of ", "rejected.": "left out: "}
    rows = [
        (f"{title}{shorten(name.removeprefix(prefix))}", base.get(name, 0), head.get(name, 0))
        for prefix, title in titles.items()
        for name in base | head
        if name.startswith(prefix)
    ]
    texts = [
        (name, f"{one:,}", f"{other:,}", f"{other - one:+,}" if other != one else "0") for name, one, other in rows
    ]
    return format_first_rows(["number of", "base", "head", "delta"], texts, numbers=3)


def format_list(
    title: str, photos: pd.DataFrame, columns: list[str], describe: Callable[[Any], tuple[str, ...]]
) -> str:
    """Return the first photos of a list as a table that is folded."""
    shown = photos.head(MOST_PHOTOS)
    rows = [(source_ids.text(row.Index[0]), str(row.Index[1]), *describe(row)) for row in shown.itertuples()]
    more = f", the first {len(shown)} of them" if len(photos) > len(shown) else ""
    return fold(f"{title}: {len(photos):,}{more}", format_table(["product_id", "position", *columns], rows))
