"""How much of the split stays when listings are added: stage split, and scikit-learn's stratified split beside it.

    python -m benchmarks.split [--photos 10000] [--classes 700] [--seeds 5]

Prints Markdown. No servers, no photos: a catalog of uneven classes (Zipf's law), each product with one photo, or with
--several with one to four. Listings are added at random, to all classes alike.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.shared.tables import table
from imageset.curation.released_subsets import of_groups
from imageset.curation.stratified_split import assign_subsets
from imageset.formats import tables
from imageset.runtime.sections import SplitParams

TEST_SHARE = 0.2
GROWTH = (0.01, 0.1, 1.0)
NOTHING = tables.frame(tables.SPLIT, [])

Key = tuple[int, int]
Splitter = Callable[[pd.DataFrame, int], set[Key]]


class Moves(NamedTuple):
    """Rows that were there before: shares in %, and counts; grown: by how many rows the test set grew."""

    kept: float
    to_test: int
    to_train: int
    grown: int


def make_catalog(photos: int, classes: int, several: bool, seed: int) -> pd.DataFrame:
    """Return a catalog of so many photos; the first 2 of every class come first, as scikit-learn wants two of each."""
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, classes + 1)
    drawn = random.choice(classes, photos, p=weights / weights.sum())
    labels = np.concatenate([np.repeat(np.arange(classes), 2), drawn])
    positions = random.integers(1, 5, photos + 2 * classes) if several else np.ones(photos + 2 * classes, int)
    rows = [
        (product_id, position, 0, 1000 + label, label, product_id)
        for product_id, (label, count) in enumerate(zip(labels.tolist(), positions.tolist(), strict=True))
        for position in range(count)
    ]
    return tables.frame(tables.CATALOG, rows[:photos])


def ours(catalog: pd.DataFrame, seed: int, released: pd.DataFrame = NOTHING) -> set[Key]:
    """Return the test rows."""
    return test_rows(
        assign_subsets(
            catalog, of_groups(catalog, released), SplitParams(test_share=TEST_SHARE, validation_share=0.0, seed=seed)
        )
    )


def scikit_learn(catalog: pd.DataFrame, seed: int) -> set[Key]:
    _, test = train_test_split(catalog, test_size=TEST_SHARE, stratify=catalog["label"], random_state=seed)
    return set(zip(test["product_id"], test["position"], strict=True))


def test_rows(found: pd.DataFrame) -> set[Key]:
    test = found[found["subset"] == "test"]
    return set(zip(test["product_id"], test["position"], strict=True))


def moves(before: set[Key], after: set[Key], old: set[Key]) -> Moves:
    return Moves(
        100 * len(before & after) / len(before),
        len((after & old) - before),
        len(before - after),
        len(after) - len(before),
    )


def measure(share: float, chosen: argparse.Namespace) -> list[tuple[str, list[Moves]]]:
    """Return how rows moved when listings were added: by scikit-learn, by the stage, by the stage after a release."""
    found: dict[str, list[Moves]] = {"scikit-learn": [], "stage split": [], "stage split, after a release": []}
    for seed in range(chosen.seeds):
        grown = make_catalog(round(chosen.photos * (1 + share)), chosen.classes, chosen.several, seed)
        small = grown.head(chosen.photos)
        old = set(zip(small["product_id"], small["position"], strict=True))
        for name, splitter in (("scikit-learn", scikit_learn), ("stage split", ours)):
            found[name].append(moves(splitter(small, seed), splitter(grown, seed), old))
        released = assign_subsets(small, {}, SplitParams(test_share=TEST_SHARE, validation_share=0.0, seed=seed))
        found["stage split, after a release"].append(moves(test_rows(released), ours(grown, seed, released), old))
    return list(found.items())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.split", description=__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=700)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--several", action="store_true", help="products with one to four photos")
    chosen = parser.parse_args()
    rows = []
    for share in GROWTH:
        for name, found in measure(share, chosen):
            kept, to_test, to_train, grown = (median(values) for values in zip(*found, strict=True))
            rows.append(
                (f"+{100 * share:.0f} %", name, f"{kept:.1f} %", f"{to_test:,.0f}", f"{to_train:,.0f}", f"{grown:,.0f}")
            )
    table(
        (
            "listings added",
            "split",
            "test rows that stay",
            "old rows from train to test",
            "old rows from test to train",
            "test set grew by",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
