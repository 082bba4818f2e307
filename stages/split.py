"""The catalog -> data/split.csv: the subset of each photo, whole groups at a time, stratified by class."""

from pathlib import Path

from imageset.curation.stratified_split import assign_subsets
from imageset.formats import tables
from imageset.runtime import params, stage


def main(catalog_csv: Path, released_split_csv: Path, split_csv: Path) -> None:
    """Divide every class into train and test, whole groups at a time.

    Args:
        catalog_csv: the class of each photo.
        released_split_csv: the subsets that the last release fixed.
        split_csv: the subset of each photo.
    """
    split = params.load().split
    catalog = tables.read(catalog_csv, tables.CATALOG)
    subsets = assign_subsets(catalog, tables.read(released_split_csv, tables.SPLIT), split)
    assert len(subsets) == len(catalog)
    tables.write(split_csv, tables.SPLIT, subsets)
    counts = ", ".join(f"{count} {subset}" for subset, count in subsets["subset"].value_counts().items())
    print(f"split: {len(catalog)} photos, {counts}")


if __name__ == "__main__":
    stage.run("split", main)
