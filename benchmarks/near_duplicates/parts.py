"""What each part of the search brings: the search without it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.near_duplicates.joining import spell_likeness
from benchmarks.near_duplicates.photos import Photos
from benchmarks.near_duplicates.quality import Found, Negatives, find_kind, negatives
from benchmarks.shared.tables import table
from imageset.curation import alignment, candidates, duplicate_search, near_duplicates, sieve, views
from imageset.curation.views import Boxes
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress
from imageset.runtime.sections import DuplicatesParams

Box = tuple[float, float, float, float]  # as in View


class Part(NamedTuple):
    """What to put in its place, by module, and the kinds of copies that need it."""

    replaced: Mapping[Any, Mapping[str, Any]]
    kinds: tuple[str, ...]


def no_frames(thumbnails: Pixels, rows: Indices) -> Boxes:
    return np.zeros((len(rows), 4))


def no_windows(search: Any, photos: Any, distance: int) -> Iterator[Any]:
    return iter(())


def equal_weights(values: Any, others: Any, weights: Any) -> Any:
    return np.ones_like(weights)


def fewer_views(
    boxes: tuple[Box, ...] = views.BOXES, halves: tuple[Box, ...] = views.HALVES, turns: int = views.TURNS
) -> dict[Any, Any]:
    """Return what makes the search ask with these views alone."""
    made = (
        *(views.View(*box, turn) for turn in (0, views.MIRROR) for box in (*boxes, *halves)),
        *(views.View(0.0, 0.0, 0.0, 0.0, turn) for turn in range(views.FLIP, turns)),
    )
    return {
        views: {
            "BOXES": boxes,
            "HALVES": halves,
            "TURNS": turns,
            "ALL_BOXES": np.array([view[:4] for view in made]),
            "ALL_TURNS": np.array([view.turn for view in made]),
        },
        candidates: {"VIEWS": made},
        sieve: {"IS_HALF": np.array([view[:4] in views.HALVES for view in made])},
    }


PARTS = {
    "frames": Part({duplicate_search: {"find_all_frames": no_frames}}, ("padded", "bordered")),
    "windows": Part({near_duplicates.Search: {"search_windows": no_windows}}, ("text", "sticker", "sharpened")),
    "turns by 90 and 180 degrees": Part(fewer_views(turns=views.FLIP), ("turned 90", "turned 180")),
    "halves": Part(fewer_views(halves=()), ("collage",)),
    "crops of a tenth": Part(
        fewer_views(boxes=tuple(box for box in views.BOXES if box[:2] not in views.CUTS_OF_A_TENTH)),
        ("cropped", "cropped at each edge", "cropped most", "mirrored and cropped"),
    ),
    "tiles that do not count": Part({alignment: {"COVERED": 0.0}}, ("text", "sticker", "padded", "collage")),
    "weights of the alignment": Part({alignment: {"weigh": equal_weights}}, ("text", "sticker", "padded", "collage")),
}


def report_parts(
    photos: Photos, found: Mapping[str, Found], originals: Negatives, duplicates: DuplicatesParams
) -> None:
    """Print how many copies are found without each part, and how many false candidates there are then.

    found, originals: what the whole search finds.
    """

    def lines() -> Iterator[tuple[str, ...]]:
        yield "nothing", "", *describe(originals)
        for name, part in progress.bar(PARTS.items(), "search without parts", len(PARTS)):
            with replaced(part.replaced):
                without = {kind: share(find_kind(photos, kind, duplicates), duplicates) for kind in part.kinds}
                false = negatives(photos.originals, duplicates)
            shares = (f"{kind} {share(found[kind], duplicates)} -> {without[kind]}" for kind in part.kinds)
            yield name, ", ".join(shares), *describe(false)

    table(("without", "copies found, with it -> without", "false candidates", "their greatest likeness"), lines())


def share(found: Found, duplicates: DuplicatesParams) -> str:
    return f"{100 * np.mean(found.likeness >= duplicates.likeness):.1f} %"


def describe(false: Negatives) -> tuple[str, str]:
    return f"{len(false.candidates.pairs):,}", spell_likeness(false.candidates.likeness.max(initial=-1))


@contextmanager
def replaced(values: Mapping[Any, Mapping[str, Any]]) -> Iterator[None]:
    """Put these values in place. The search runs in this process: a worker imports the modules as they are."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"IMAGESET_WORKERS": "1", "IMAGESET_DASK": ""}))
        for module, attributes in values.items():
            stack.enter_context(patch.multiple(module, **attributes))
        yield
