"""The catalog -> data/split.csv: which photos train, which test; whole groups, stratified, hardly moving."""

from pathlib import Path

import pandas as pd

from imageset.curation import groups
from imageset.errors import DataError
from imageset.formats import stable_hash, tables
from imageset.runtime import params, stage
from imageset.runtime.sections import SplitParams

HELD_OUT = ("test", "validation")  # filled in this order; what is left trains
PHOTOS_TO_NAME = 10


def group_classes(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return one row a group: group, label (its photos' commonest, of equals the lowest), photos (how many)."""
    counts = catalog.groupby(["group", "label"]).size().reset_index(name="photos")
    commonest = counts.sort_values(["group", "photos", "label"], ascending=[True, False, True]).drop_duplicates("group")
    sizes = counts.groupby("group")["photos"].sum()
    return commonest.assign(photos=commonest["group"].map(sizes))


def released_sides(catalog: pd.DataFrame, released: pd.DataFrame) -> dict[int, str]:
    """Return the subset of each group that holds a photo of a released product.

    Raises DataError when a group holds products that were released on two sides, or a subset is none of ours.
    """
    strange = sorted(set(released["subset"]) - {"train", *HELD_OUT})
    if strange:
        raise DataError(f"the released split names a subset {strange[0]!r}: expected train, validation or test")
    known = catalog.assign(subset=groups.product_sides(catalog, released)).query("subset != ''")
    sides = known.groupby("group")["subset"].agg(lambda subsets: sorted(set(subsets)))
    torn = known[known["group"].isin(sides.index[sides.map(len) > 1])]
    if len(torn):
        photos = [
            f"{product_id}/{position} ({subset}, group {group})"
            for product_id, position, subset, group in torn.sort_values(["group", "product_id", "position"])[
                ["product_id", "position", "subset", "group"]
            ]
            .head(PHOTOS_TO_NAME)
            .itertuples(index=False)
        ]
        raise DataError(
            f"{len(torn)} photos that were released on two sides belong together now: {', '.join(photos)}"
            f"{', ...' if len(torn) > PHOTOS_TO_NAME else ''}. A change of section duplicates may be why, "
            "or photos that were replaced (data/near_duplicates.csv): take it back, or remove the rows of "
            "one side from releases/split.csv and release a new major version"
        )
    return {int(number): subsets[0] for number, subsets in sides.items()}


def choose_held_out(sizes: list[int], target: float, taken: int, spare: bool) -> list[int]:
    """Return which groups, in the order of their ranks, bring a subset that holds `taken` photos near to target.

    The first ones, until the next would overshoot it by more than half. Groups larger than twice the target are passed
    over. At least one group is chosen, the smallest, when nothing is taken yet, so that every class is measured; with
    `spare` the last one is left, so that every class is learnt.

    >>> choose_held_out([1] * 10, 2.0, 0, True), choose_held_out([90, 5, 5], 20.0, 0, True)
    ([0, 1], [1, 2])
    >>> choose_held_out([1, 1], 0.4, 0, True), choose_held_out([1], 0.2, 0, True)
    ([0], [])
    """
    if target == 0 or not sizes:
        return []
    chosen, total = [], taken
    for number, size in enumerate(sizes):
        if size > 2 * target:
            continue
        # Not the next smaller one either: only the first of a ranking are still the first of a longer one.
        if total + size / 2 > target:
            break
        chosen.append(number)
        total += size
    if total == 0:
        chosen = [min(range(len(sizes)), key=sizes.__getitem__)]
    if spare and len(chosen) == len(sizes):
        chosen.pop()
    return chosen


def split(catalog: pd.DataFrame, released: pd.DataFrame, chosen: SplitParams) -> pd.DataFrame:
    """Return the subset of each photo; a pure function of its arguments.

    Inside each class the groups are ranked by a hash of seed and group; the first fill the test share, the last the
    validation share, so that neither ever takes from the other. A class of one group trains only, one of two has none
    to validate. Released groups keep their side and count towards its share.
    """
    sides = released_sides(catalog, released)
    shares = {"test": chosen.test_share, "validation": chosen.validation_share}
    for _, of_class in group_classes(catalog).groupby("label"):
        rows = sorted(
            zip(of_class["group"].tolist(), of_class["photos"].tolist(), strict=True),
            key=lambda row: stable_hash.rank(chosen.seed, row[0]),
        )
        taken = {
            subset: sum(photos for number, photos in rows if sides.get(number) == subset)
            for subset in ("train", *HELD_OUT)
        }
        free = [(number, photos) for number, photos in rows if number not in sides]
        everything = sum(photos for _, photos in rows)
        for subset in HELD_OUT:
            if subset == "validation":
                free.reverse()
            sizes = [photos for _, photos in free]
            held_out = choose_held_out(sizes, shares[subset] * everything, taken[subset], not taken["train"])
            sides |= {free[place][0]: subset for place in held_out}
            free = [group for group in free if group[0] not in sides]
        sides |= {number: "train" for number, _ in free}
    return tables.frame(tables.SPLIT, catalog.assign(subset=catalog["group"].map(sides)))


def main(catalog_csv: Path, released_split_csv: Path, split_csv: Path) -> None:
    """Divide every class into train and test, whole groups at a time.

    Args:
        catalog_csv: the class of each photo.
        released_split_csv: the subsets that the last release fixed.
        split_csv: the subset of each photo.
    """
    chosen = params.load().split
    catalog = tables.read(catalog_csv, tables.CATALOG)
    result = split(catalog, tables.read(released_split_csv, tables.SPLIT), chosen)
    assert len(result) == len(catalog)
    tables.write(split_csv, tables.SPLIT, result)
    counts = ", ".join(f"{count} {subset}" for subset, count in result["subset"].value_counts().items())
    print(f"split: {len(catalog)} photos, {counts}")


if __name__ == "__main__":
    stage.run("split", main)
