"""Whether the scores of both sides can be compared, and what a paired test says of them."""

from typing import NamedTuple

import pandas as pd
from scipy.stats import binomtest

from tools.compare.photos import KEY


class PairedScores(NamedTuple):
    """The answers of both sides to the test photos that they share, of photos whose class is the same."""

    photos: int
    right_in_base_alone: int
    right_in_head_alone: int

    @property
    def p(self) -> float:
        """McNemar's exact test, two-sided: how likely so uneven a number of changes is by chance (McNemar, 1947)."""
        changed = self.right_in_base_alone + self.right_in_head_alone
        return float(binomtest(self.right_in_head_alone, changed).pvalue) if changed else 1.0


def pair_answers(base: pd.DataFrame, head: pd.DataFrame, same_class: pd.MultiIndex) -> PairedScores:
    """Count on which common test photos one side alone is right.

    Args:
        base, head: rows of predictions.csv.
        same_class: product_id and position of the photos that have the same class on both sides.

    >>> from imageset.formats import tables
    >>> photos = pd.MultiIndex.from_tuples([(1, 0), (2, 0), (3, 0)], names=KEY)
    >>> base = tables.frame(tables.PREDICTIONS, [(1, 0, 5, 5, "1"), (2, 0, 5, 5, "1"), (3, 0, 5, 4, "1")])
    >>> head = tables.frame(tables.PREDICTIONS, [(1, 0, 6, 6, "1"), (2, 0, 6, 2, "1"), (4, 0, 5, 5, "1")])
    >>> pair_answers(base, head, photos)
    PairedScores(photos=2, right_in_base_alone=1, right_in_head_alone=0)
    """
    right = [
        (side["label"] == side["answer"]).set_axis(pd.MultiIndex.from_frame(side[KEY])).rename(name)
        for side, name in ((base, "base"), (head, "head"))
    ]
    both = pd.concat(right, axis=1, join="inner")
    both = both[both.index.isin(same_class)]
    return PairedScores(len(both), int((both["base"] & ~both["head"]).sum()), int((both["head"] & ~both["base"]).sum()))
