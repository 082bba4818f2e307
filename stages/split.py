"""The catalog -> data/split.csv: the subset of each photo, whole groups at a time, stratified by class."""

from pathlib import Path

from imageset.curation.released_subsets import find_fixed
from imageset.curation.shortfalls import describe_shortfalls, find_shortfalls
from imageset.curation.stratified_split import assign_subsets
from imageset.formats import tables
from imageset.runtime import params, stage


def main(catalog_csv: Path, groups_csv: Path, released_split_csv: Path, split_csv: Path) -> None:
    """Divide every class into train and test, whole groups at a time.

    Args:
        catalog_csv: the class of each photo.
        groups_csv: the group of each photo, also of those without a class: what was released of a group fixes it.
        released_split_csv: the subsets that the last release fixed.
        split_csv: the subset of each photo.
    """
    split = params.load().split
    catalog = tables.read(catalog_csv, tables.CATALOG)
    released = tables.read(released_split_csv, tables.SPLIT)
    known = tables.read(groups_csv, tables.GROUPS, ["product_id", "position", "group", "reason"])
    fixed = find_fixed(catalog, known[known["reason"] == ""], released)
    subsets = assign_subsets(catalog, fixed, split)
    assert len(subsets) == len(catalog)
    tables.write(split_csv, tables.SPLIT, subsets)
    counts = ", ".join(f"{count} {subset}" for subset, count in subsets["subset"].value_counts().items())
    print(f"split: {len(catalog)} photos, {counts}")
    if shortfalls := find_shortfalls(catalog, subsets, split):
        print(f"split: {describe_shortfalls(shortfalls)}")
    if len(released):
        print(f"split: {describe_release(len(catalog), int(catalog['group'].isin(list(fixed)).sum()))}")


def describe_release(photos: int, fixed: int) -> str:
    """Return how much the params of section split still decide.

    >>> describe_release(713, 713)
    'split.test_share, validation_share and seed decide nothing: the release fixes the subset of all 713 photos'
    >>> describe_release(725, 713)
    'split.test_share, validation_share and seed decide on 12 of 725 photos: the release fixes the subset of the others'
    """
    if fixed == photos:
        return (
            f"split.test_share, validation_share and seed decide nothing: the release fixes the subset of all {photos} "
            "photos"
        )
    return (
        f"split.test_share, validation_share and seed decide on {photos - fixed} of {photos} photos: the release fixes "
        "the subset of the others"
    )


if __name__ == "__main__":
    stage.run("split", main)
