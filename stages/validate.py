"""data/dataset.h5 against its tables -> reports/validation.json; fails the run when the dataset is wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from imageset import files, layout, stage, tables
from imageset.errors import DataError


class Rows(NamedTuple):
    """A dataset file without its pixels; the table's columns: subset, product_id, position, copy, label."""

    table: pd.DataFrame
    attributes: dict[str, Any]
    label_map: list[str]


class Check(NamedTuple):
    """One check: its name, how many violations it found, and examples of them."""

    name: str
    violations: int
    examples: list[str]

    @property
    def passed(self) -> bool:
        return self.violations == 0


def read_rows(file: h5py.File) -> Rows:
    """Return everything in the file but the pixels."""
    parts = []
    for subset in layout.subsets(file):
        length = len(file[f"{subset}_images"])
        copies = file[f"{subset}_copies"][:] if f"{subset}_copies" in file else np.zeros(length, np.int16)
        columns = {"product_id": file[f"{subset}_ids"][:], "position": file[f"{subset}_positions"][:],
                   "copy": copies, "label": file[f"{subset}_labels"][:]}
        wrong = [name for name, values in columns.items() if len(values) != length]
        if wrong:
            raise DataError(f"{file.filename}: {subset} has {length} images and another number of {wrong[0]} values")
        parts.append(pd.DataFrame({"subset": subset} | columns))
    label_map = [row.decode("ascii") for row in file["label_map"][:]]
    if len(file["class_names"]) != len(label_map):
        raise DataError(f"{file.filename} has {len(label_map)} labels and {len(file['class_names'])} class names")
    return Rows(pd.concat(parts, ignore_index=True), dict(file.attrs), label_map)


def check(name: str, wrong: pd.DataFrame) -> Check:
    examples = [" ".join(map(str, row)) for row in wrong.head(5).itertuples(index=False, name=None)]
    return Check(name, len(wrong), examples)


def products_in_one_subset(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """No product stands in two subsets."""
    seen = rows.table[["product_id", "subset"]].drop_duplicates()
    return check("products_in_one_subset", seen[seen.duplicated("product_id")])


def groups_in_one_subset(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """No group of near-duplicates stands in two subsets."""
    grouped = rows.table.merge(catalog[["product_id", "position", "group"]], on=["product_id", "position"])
    seen = grouped[["group", "subset"]].drop_duplicates()
    return check("groups_in_one_subset", seen[seen.duplicated("group")])


def photos_as_split(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """Every photo of the split stands in its subset once as itself, and no other photo does."""
    photos = rows.table.loc[rows.table["copy"] == 0, ["product_id", "position", "subset"]]
    both = pd.concat([photos.astype(str), split[["product_id", "position", "subset"]].astype(str)])
    once = both[~both.duplicated(keep=False)]
    repeated = photos[photos.duplicated(["product_id", "position"])].astype(str)
    return check("photos_as_split", pd.concat([once, repeated]))


def copies_complete(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """Every training photo has copies 0 to copies - 1 once each; other photos copy 0 alone."""
    expected = int(json.loads(rows.attributes["params"])["augment"]["copies"])
    wanted = rows.table["subset"].map(lambda subset: expected if subset == "train" else 1)
    of_photo = rows.table.groupby(["subset", "product_id", "position"])["copy"]
    counted = (of_photo.transform("nunique") == wanted) & (of_photo.transform("size") == wanted)
    numbered = (rows.table["copy"] >= 0) & (rows.table["copy"] < wanted)
    return check("copies_complete", rows.table[~(counted & numbered)])


def labels_as_catalog(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """Every row has its photo's label in the catalog."""
    merged = rows.table.merge(catalog[["product_id", "position", "label"]], on=["product_id", "position"], how="left",
                              suffixes=("", "_catalog"))
    return check("labels_as_catalog", merged[merged["label"] != merged["label_catalog"]])


def labels_in_map(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """Every label is a row of the label map."""
    return check("labels_in_map", rows.table[~rows.table["label"].between(0, len(rows.label_map) - 1)])


def label_map_as_catalog(rows: Rows, catalog: pd.DataFrame, split: pd.DataFrame) -> Check:
    """Row l of the label map is "l,catalog_id", with the catalog_id that the catalog gives l."""
    pairs = catalog[["label", "catalog_id"]].drop_duplicates()
    known = set(rows.label_map)
    absent = [f"{label},{catalog_id}" not in known for label, catalog_id in pairs.itertuples(index=False, name=None)]
    misnumbered = [row for number, row in enumerate(rows.label_map) if row.partition(",")[0] != str(number)]
    return check("label_map_as_catalog", pd.concat([pairs[absent].astype(str), pd.DataFrame({"label": misnumbered})]))


CHECKS: tuple[Callable[[Rows, pd.DataFrame, pd.DataFrame], Check], ...] = (
    products_in_one_subset, groups_in_one_subset, photos_as_split, copies_complete, labels_as_catalog, labels_in_map,
    label_map_as_catalog)


def digest_matches(file: h5py.File) -> Check:
    """The arrays have the digest that their writer noted."""
    found, noted = layout.content_digest(file), file.attrs["content_digest"]
    return Check("digest_matches", int(found != noted), [] if found == noted else [f"{found}, noted {noted}"])


def run_checks(file: h5py.File, catalog: pd.DataFrame, split: pd.DataFrame) -> Iterator[Check]:
    """Yield the outcome of every check; that the file is complete and of this version, its opening has shown."""
    rows = read_rows(file)
    for function in CHECKS:
        yield function(rows, catalog, split)
    yield digest_matches(file)


def main(dataset_h5: Path, catalog_csv: Path, split_csv: Path, validation_json: Path) -> None:
    catalog = tables.read(catalog_csv, tables.CATALOG)
    split = tables.read(split_csv, tables.SPLIT)
    with layout.open_file(dataset_h5, layout.DATASET) as file:
        try:
            checks = list(run_checks(file, catalog, split))
        except KeyError as error:
            raise DataError(f"{dataset_h5} lacks something that its format version has: {error}") from None
    verdicts = {check.name: {"passed": check.passed, "violations": check.violations, "examples": check.examples}
                for check in checks}
    failed = [check for check in checks if not check.passed]
    files.write_text(validation_json, json.dumps({"passed": not failed, "checks": verdicts}, indent=2) + "\n")
    if failed:
        summary = "; ".join(f"{check.name}: {check.violations}, such as {check.examples[0]}" for check in failed)
        raise DataError(f"{dataset_h5} is wrong: {summary}")
    print(f"validate: {len(checks)} checks passed")


if __name__ == "__main__":
    stage.run("validate", main)
