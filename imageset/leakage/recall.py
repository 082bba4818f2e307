"""Ask the search for duplicates for planted copies, and count those that it finds. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from imageset.curation.duplicate_search import tie_unreleased
from imageset.curation.ties import Ties, components
from imageset.leakage.planting import COLLAGE, PlantedPhoto, SeenPhoto
from imageset.runtime.sections import DuplicatesParams

CONFIDENCE = 0.95
DIGITS = 4


class Recall(NamedTuple):
    """How many copies of a kind were planted, how many of them were found, and how many pairs join two originals."""

    planted: int
    found: int
    joined_to_others: int


def count_found(photos: Sequence[PlantedPhoto], kind: str, duplicates: DuplicatesParams) -> Recall:
    """Search for the copies of one kind.

    A copy is found when near-duplicates, or equal hashes, connect it with its original. Copies of other kinds are not
    in the search, so no copy is found through another copy of its photo.

    Args:
        photos: the originals and their copies.
        kind: one of KINDS. Photos without such a copy are not searched.
        duplicates: section `duplicates` of params.yaml.
    """
    searched = [photo for photo in photos if kind in photo.copies]
    parts = [searched]
    if kind == COLLAGE:
        # A collage shows two photos. With both in one search, a copy could be found through the other photo of it.
        parts = [[photo for photo in searched if photo.is_first is side] for side in (True, False)]
    counts = [count_connected(*search(part, kind, duplicates)) for part in parts]
    return Recall(*map(sum, zip(*counts, strict=True)))


def search(photos: Sequence[PlantedPhoto], kind: str, duplicates: DuplicatesParams) -> tuple[Ties, int]:
    """Return what the search ties among N originals and then their N copies of a kind; and N."""
    seen = [photo.original for photo in photos] + [photo.copies[kind] for photo in photos]
    if not seen:
        nobody = np.zeros(0, np.intp)
        return Ties(nobody, nobody), 0
    return tie_unreleased(tabulate(seen), np.stack([each.thumbnail for each in seen]), duplicates), len(photos)


def tabulate(seen: Iterable[SeenPhoto]) -> pd.DataFrame:
    """Return photos as rows of processed.csv, each of a product of its own."""
    rows = [(number, 0, number, *each[1:]) for number, each in enumerate(seen)]
    return pd.DataFrame(rows, columns=["product_id", "position", "row", "sha256", "phash", "phash_mirrored"])


def count_connected(ties: Ties, originals: int) -> Recall:
    """Count the copies that ties connect with their originals.

    Args:
        ties: of the originals, numbered from 0, and then their copies in the same order.
        originals: N, as many as there are copies.

    >>> count_connected(Ties(np.array([2, 3]), np.array([0, 0])), 2)
    Recall(planted=2, found=1, joined_to_others=1)
    """
    part = components(ties, 2 * originals)
    found = int(np.count_nonzero(part[:originals] == part[originals:])) if originals else 0
    pairs = np.unique(np.sort(np.stack(ties, axis=1), axis=1), axis=0)
    others = int(np.count_nonzero(pairs[:, 0] % originals != pairs[:, 1] % originals)) if originals else 0
    return Recall(originals, found, others)


def describe(recalls: dict[str, Recall], photos: int) -> dict[str, Any]:
    """Return reports/leakage.json: what two runs are compared by, then a row for each kind.

    The rows are a list, because `dvc metrics` leaves out lists: as a dict they would be 78 columns of its table.

    Args:
        recalls: by kind.
        photos: how many originals there are.
    """
    rows = [{"kind": kind, **describe_recall(recall)} for kind, recall in recalls.items()]
    return {
        "photos": photos,
        "joined_to_others": sum(recall.joined_to_others for recall in recalls.values()),
        "recall": {row["kind"]: row["recall"] for row in rows},
        "kinds": rows,
    }


def describe_recall(recall: Recall) -> dict[str, Any]:
    """Return the counts, the share that was found, and its 95 % interval (Wilson, 1927); None where none was planted.

    >>> describe_recall(Recall(10, 8, 0))
    {'planted': 10, 'found': 8, 'recall': 0.8, 'recall_low': 0.4902, 'recall_high': 0.9433, 'joined_to_others': 0}
    """
    share = low = high = None
    if recall.planted:
        share = round(recall.found / recall.planted, DIGITS)
        interval = binomtest(recall.found, recall.planted).proportion_ci(CONFIDENCE, method="wilson")
        low, high = round(float(interval.low), DIGITS), round(float(interval.high), DIGITS)
    return {
        "planted": recall.planted,
        "found": recall.found,
        "recall": share,
        "recall_low": low,
        "recall_high": high,
        "joined_to_others": recall.joined_to_others,
    }
