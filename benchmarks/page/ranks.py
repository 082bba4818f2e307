"""At which rank of data/doubts.csv the planted flips and masks are: how far a person goes on in Photos to see them."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.page.truth import read_truth
from imageset.formats import tables

FIRST = (50, 100, 150, 200)  # photos, of which the share that is found is said


def rank(doubts: pd.DataFrame, column: str, falling: bool) -> dict[int, int]:
    """Return the rank of each product from 1, as the page sorts its photos; those without a value come last."""
    values = pd.to_numeric(doubts[column].replace("", None)) * (-1 if falling else 1)
    order = np.argsort(values.to_numpy(float), kind="stable")
    return {product: place for place, product in enumerate(doubts["product_id"].iloc[order].tolist(), 1)}


def main() -> None:
    """Print the ranks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.ranks", description=__doc__)
    parser.add_argument("--truth", type=Path, required=True, help="what benchmarks.page.plant wrote")
    parser.add_argument("project", type=Path)
    arguments = parser.parse_args()
    doubts = tables.read(arguments.project / "data/doubts.csv", tables.DOUBTS)
    listed = tables.read(arguments.project / "data/suspects.csv", tables.SUSPECTS)
    truth = read_truth(arguments.truth)
    for name, of_kind, kind, column in (
        ("flips", truth.flips, "label", "probability"),
        ("masks", truth.masks, "mask", "mask_score"),
    ):
        ranks = rank(doubts, column, kind == "mask")
        planted = set(of_kind) & set(ranks)
        suspects = set(listed.loc[listed["kind"] == kind, "product_id"].tolist())
        found = sorted(ranks[product] for product in planted)
        unlisted = sorted(ranks[product] for product in planted - suspects)
        counts = ", ".join(f"{sum(place <= first for place in found)} in the first {first}" for first in FIRST)
        print(f"{name}: {len(found)} of {len(doubts)} photos; {counts}; the last at {max(found, default=0)}")
        print(f"    {len(unlisted)} not listed as {kind} ({len(suspects)} are), at {unlisted}")


if __name__ == "__main__":
    main()
