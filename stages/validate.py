"""Check data/dataset.h5 by itself and against its tables; fail the run when it is wrong."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.dataset import arrange, processed_checks, table_checks, verify
from imageset.dataset.check import Check
from imageset.dataset.processed_checks import hash_processed
from imageset.dataset.verify import Contents, Scan
from imageset.errors import DataError
from imageset.formats import attributes, hdf5, tables
from imageset.runtime import files, stage


class ExpectedData(NamedTuple):
    """What the file must agree with.

    photos: the catalog, each photo with its subset as a place in hdf5.SUBSETS. hashes: product_id, position and both
    perceptual hashes as uint64, of all photos that have pixels. label_map: the table. processed: a hash of the pixels
    of each row of processed_h5, uint64 (N, 2). attributes_csv: the further columns of the listings.
    """

    photos: pd.DataFrame
    hashes: pd.DataFrame
    label_map: pd.DataFrame
    processed: NDArray[np.uint64]
    processed_h5: Path
    attributes_csv: Path


def check_against(data: ExpectedData, contents: Contents, scan: Scan, file: h5py.File) -> Iterator[Check]:
    yield table_checks.groups_as_catalog(contents, data.photos)
    described = attributes.read(data.attributes_csv, hdf5.column_names(file))
    yield table_checks.columns_as_attributes(contents, described)
    yield table_checks.photos_as_split(contents.photos, data.photos)
    yield table_checks.labels_as_catalog(contents.photos, data.photos)
    yield table_checks.label_map_as_table(contents, data.label_map)
    yield table_checks.counts_as_tables(contents, data.photos)
    yield table_checks.hashes_in_one_subset(contents.photos, data.hashes)
    yield processed_checks.pixels_as_processed(contents.rows, scan.hashes, data.photos, data.processed)
    yield processed_checks.copies_as_rendered(file, contents.rows, data.photos, data.processed_h5)


def read_hashes(path: Path) -> pd.DataFrame:
    """Return the perceptual hashes as numbers, read a piece at a time: as text they take ten times the memory."""
    parts = []
    for part in tables.parts(path, tables.PROCESSED):
        try:
            numbers = {
                name: np.array([int(value, 16) for value in part[name]], np.uint64)
                for name in ("phash", "phash_mirrored")
            }
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path} has a hash that is none ({error}): run `dvc repro`") from None
        parts.append(part[["product_id", "position"]].assign(**numbers))
    return pd.concat(parts, ignore_index=True)


def read_photos(catalog_csv: Path, split_csv: Path) -> pd.DataFrame:
    """Return the catalog's photos, each with its subset as a place in hdf5.SUBSETS."""
    photos = arrange.read_photos(catalog_csv, split_csv)
    places = photos["subset"].map({subset: place for place, subset in enumerate(hdf5.SUBSETS)})
    if places.isna().any():
        raise DataError(f"{split_csv} names a subset {photos['subset'][places.isna()].iloc[0]!r}: run `dvc repro`")
    return photos.assign(subset=places.astype(np.int8))


def main(
    dataset_h5: Path,
    processed_h5: Path,
    processed_csv: Path,
    catalog_csv: Path,
    label_map_csv: Path,
    split_csv: Path,
    attributes_csv: Path,
    validation_json: Path,
    data_validation_json: Path,
) -> None:
    """Check the dataset file by itself and against its tables; fail the run when it is wrong.

    Args:
        dataset_h5: the dataset.
        processed_h5: the pixels of every photo.
        processed_csv: the row of each photo in processed.h5, and its hashes.
        catalog_csv: the class of each photo.
        label_map_csv: the label, the catalog_id and the name of each class.
        split_csv: the subset of each photo.
        attributes_csv: the further columns of the listings.
        validation_json: whether the dataset passed its checks, how many there were, and how much the checks
            `*_in_one_subset` found, all together (leaks); a metric.
        data_validation_json: what each check looked at, and examples of what is wrong.
    """
    data = ExpectedData(
        read_photos(catalog_csv, split_csv),
        read_hashes(processed_csv),
        tables.read(label_map_csv, tables.LABEL_MAP),
        hash_processed(processed_h5),
        processed_h5,
        attributes_csv,
    )
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file:
        checks = list(verify.verify(file, partial(check_against, data, file=file)))
    failed = [check for check in checks if not check.passed]
    details = {"passed": not failed, "checks": {check.name: check.details() for check in checks}}
    leaks = sum(check.violations for check in checks if check.name.endswith("_in_one_subset"))
    verdict = {"passed": not failed, "checks": len(checks), "failed": len(failed), "leaks": leaks}
    files.write_text(data_validation_json, json.dumps(details, indent=2) + "\n")
    files.write_text(validation_json, json.dumps(verdict, indent=2) + "\n")
    if failed:
        raise DataError(f"{dataset_h5} is wrong: {'; '.join(check.summary() for check in failed)}")
    print(f"validate: {len(checks)} checks passed")


if __name__ == "__main__":
    stage.run("validate", main)
