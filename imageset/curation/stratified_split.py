"""A catalog -> the subset of each photo: whole groups, every class by its shares, few moves when listings are added.

Pure. Inside each class the groups are ranked by a hash of seed and group, so that added groups change no other's rank.
"""

import pandas as pd

from imageset.curation import released_subsets
from imageset.formats import stable_hash, tables
from imageset.runtime.sections import SplitParams

HELD_OUT = ("test", "validation")  # filled in this order; all other groups train

Group = tuple[int, int]  # its number, and how many photos it has


def assign_subsets(catalog: pd.DataFrame, fixed: dict[int, str], split: SplitParams) -> pd.DataFrame:
    """Return the subset of each photo: a table of product_id, position and subset.

    The first groups of a class fill the test share, the last ones the validation share, so that neither takes photos
    from the other. The only group of a class trains. A class of two groups has no validation photos. Released groups
    keep their subset and count towards its share.

    Args:
        catalog: the rows of catalog.csv.
        fixed: the subset of each group that a release fixed.
        split: the shares of the subsets, and the seed.
    """
    subsets = dict(fixed)
    for _, of_class in group_classes(catalog).groupby("label"):
        groups = zip(of_class["group"].tolist(), of_class["photos"].tolist(), strict=True)
        ranked = sorted(groups, key=lambda group: stable_hash.rank(split.seed, group[0]))
        subsets |= split_class(ranked, subsets, split)
    return tables.frame(tables.SPLIT, catalog.assign(subset=catalog["group"].map(subsets)))


def group_classes(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return one row a group: group, label (the commonest of its photos, of equals the lowest), photos (how many)."""
    counts = catalog.groupby(["group", "label"]).size().reset_index(name="photos")
    commonest = counts.sort_values(["group", "photos", "label"], ascending=[True, False, True]).drop_duplicates("group")
    sizes = counts.groupby("group")["photos"].sum()
    return commonest.assign(photos=commonest["group"].map(sizes))


def split_class(ranked: list[Group], released: dict[int, str], split: SplitParams) -> dict[int, str]:
    """Return the subset of each group of one class that was not released. ranked: all groups, in the order of rank."""
    shares = {"test": split.test_share, "validation": split.validation_share}
    taken = {
        subset: sum(photos for number, photos in ranked if released.get(number) == subset)
        for subset in released_subsets.SUBSETS
    }
    total = sum(photos for _, photos in ranked)
    free = [group for group in ranked if group[0] not in released]
    subsets: dict[int, str] = {}
    for subset in HELD_OUT:
        if subset == "validation":
            free.reverse()
        sizes = [photos for _, photos in free]
        held_out = choose_held_out(sizes, shares[subset] * total, taken[subset], not taken["train"])
        subsets |= {free[place][0]: subset for place in held_out}
        free = [group for group in free if group[0] not in subsets]
    return subsets | {number: "train" for number, _ in free}


def choose_held_out(sizes: list[int], target: float, taken: int, keep_one: bool) -> list[int]:
    """Return which groups bring a subset that holds `taken` photos near to `target` photos: their places in `sizes`.

    These are the first groups, until the next one would overshoot the target by more than half of its size. Groups
    larger than twice the target are passed over. When the subset is empty, the smallest group is chosen if no other
    fits, so that every class is measured.

    Args:
        sizes: how many photos each group has, in the order of rank.
        target: how many photos the subset should hold.
        taken: how many photos the subset holds already.
        keep_one: whether to leave the last group, so that every class has training photos.

    >>> choose_held_out([1] * 10, 2.0, 0, True), choose_held_out([90, 5, 5], 20.0, 0, True)
    ([0, 1], [1, 2])
    >>> choose_held_out([1, 1], 0.4, 0, True), choose_held_out([1], 0.2, 0, True)
    ([0], [])
    """
    if target == 0 or not sizes:
        return []
    chosen, total = [], taken
    for place, size in enumerate(sizes):
        if size > 2 * target:
            continue
        # Do not go on to a smaller group: only the first ones of a ranking are still the first of a longer ranking.
        if total + size / 2 > target:
            break
        chosen.append(place)
        total += size
    if total == 0:
        chosen = [min(range(len(sizes)), key=sizes.__getitem__)]
    if keep_one and len(chosen) == len(sizes):
        chosen.pop()
    return chosen
