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
from pydantic import ValidationError

from imageset.dataset import row_checks, verify
from imageset.dataset.augment import copies_of
from imageset.dataset.render import RenderRecipe, SourceRows, render
from imageset.dataset.row_checks import Check, Photos, SubsetRows
from imageset.dataset.verify import Contents, Scan
from imageset.errors import DataError
from imageset.formats import hdf5, tables
from imageset.formats.hdf5 import Indices
from imageset.runtime import files, stage
from imageset.runtime.sections import AugmentParams

COPIES_TO_RENDER = 200


class Tables(NamedTuple):
    """What the file is held against: photos with columns product_id, position, catalog_id, label, group and subset.

    photos: the catalog, each with its subset as a place in hdf5.SUBSETS; hashes: product_id, position and both
    perceptual hashes as uint64, of all photos that have pixels; label_map: as the table; processed: a hash of the
    pixels of each row of processed_h5, uint64 (N, 2).
    """

    photos: pd.DataFrame
    hashes: pd.DataFrame
    label_map: pd.DataFrame
    processed: NDArray[np.uint64]
    processed_h5: Path


def find(rows: SubsetRows, table: pd.DataFrame) -> Indices:
    """Return of each row the row of a table with its id and position, -1 where there is none."""
    wanted = pd.DataFrame({"product_id": rows.ids, "position": rows.positions.astype(np.int64)})
    known = table[["product_id", "position"]].assign(place=np.arange(len(table)))
    found = wanted.assign(photo=np.arange(len(wanted))).merge(known, on=["product_id", "position"])
    places = np.full(len(wanted), -1, np.intp)
    places[found["photo"]] = found["place"]
    return places


def groups_in_one_subset(photos: Photos, table: pd.DataFrame) -> Check:
    """No group of near-duplicates stands in two subsets."""
    places = find(photos.rows.take(photos.first), table)
    known = places >= 0
    rows, groups = photos.rows.take(photos.first[known]), table["group"].to_numpy()[places[known]]
    wrong, _ = row_checks.strays(rows.subsets, groups)
    return row_checks.check(
        "groups_in_one_subset", len(groups), wrong, lambda row: f"{rows.describe(row)} of group {groups[row]}"
    )


def photos_as_split(photos: Photos, table: pd.DataFrame) -> Check:
    """Every photo of the split stands in its subset as itself, and no other photo does."""
    key = ["product_id", "position", "subset"]
    rows = photos.rows.take(photos.first[photos.whole])
    held = pd.DataFrame({"product_id": rows.ids, "position": rows.positions.astype(np.int64), "subset": rows.subsets})
    both = held.merge(table[key], how="outer", on=key, indicator="side")
    wrong = both[both["side"] != "both"].reset_index(drop=True)

    def describe(row: int) -> str:
        product_id, position, subset, side = wrong.loc[row]
        where = "the file" if side == "left_only" else "the split"
        return f"{hdf5.SUBSETS[subset]} {product_id} {position} in {where} alone"

    return row_checks.check("photos_as_split", len(both), wrong.index.to_numpy(), describe)


def labels_as_catalog(photos: Photos, table: pd.DataFrame) -> Check:
    """Every row has its photo's label in the catalog."""
    places, rows = find(photos.rows.take(photos.first), table), photos.rows
    labels = np.append(table["label"].to_numpy(), -1)[places]  # -1: the last one, for photos that are not there
    wrong = (np.repeat(labels, photos.counts) != rows.labels) | np.repeat(places < 0, photos.counts)
    return row_checks.check(
        "labels_as_catalog",
        len(wrong),
        np.flatnonzero(wrong),
        lambda row: f"{rows.describe(row)} label {rows.labels[row]}",
    )


def label_map_as_table(contents: Contents, label_map: pd.DataFrame) -> Check:
    """The file's label map and class names are those of the table."""
    numbered = zip(label_map["label"], label_map["catalog_id"], label_map["name"], strict=True)
    expected = [(f"{label},{catalog_id}".encode(), name.encode()) for label, catalog_id, name in numbered]
    held = list(zip(contents.pairs, contents.names, strict=False))
    most = max(len(contents.pairs), len(contents.names), len(expected))
    wrong = [row for row in range(most) if held[row : row + 1] != expected[row : row + 1]]
    return row_checks.check(
        "label_map_as_table",
        most,
        np.array(wrong, np.intp),
        lambda row: f"row {row}: {held[row : row + 1]}, the table has {expected[row : row + 1]}",
    )


def counts_as_tables(contents: Contents, table: pd.DataFrame) -> Check:
    """Of every class, each subset has as many rows of each copy as the tables and the params say."""
    expected: dict[tuple[int, int, int], int] = {}
    for subset, chosen in table.groupby("subset"):
        numbers = chosen["label"].value_counts().to_dict()
        due = copies_of(numbers, contents.chosen) if subset == 0 else dict.fromkeys(numbers, 1)
        expected |= {(subset, label, copy): numbers[label] for label in numbers for copy in range(due[label])}
    rows = contents.photos.rows
    order = np.lexsort((rows.copies, rows.labels, rows.subsets))
    cells = (rows.subsets[order], rows.labels[order], rows.copies[order])
    first = row_checks.starts(cells)
    found = dict(
        zip(
            zip(*(column[first].tolist() for column in cells), strict=True),
            np.diff(np.append(first, len(order))).tolist(),
            strict=True,
        )
    )
    every = sorted(expected.keys() | found.keys())
    wrong = [cell for cell in every if expected.get(cell, 0) != found.get(cell, 0)]

    def describe(place: int) -> str:
        subset, label, copy = wrong[place]
        return (
            f"{hdf5.SUBSETS[subset]} label {label} copy {copy} has {found.get(wrong[place], 0)} rows, "
            f"by the tables {expected.get(wrong[place], 0)}"
        )

    return row_checks.check("counts_as_tables", len(every), np.arange(len(wrong)), describe)


def hashes_in_one_subset(photos: Photos, hashes: pd.DataFrame) -> Check:
    """No photo has the perceptual hash of one in another subset, of the photo or of its mirror image."""
    rows = photos.rows.take(photos.first)
    places = find(rows, hashes)
    known = places >= 0
    rows, places = rows.take(known), places[known]
    plain, mirrored = hashes["phash"].to_numpy()[places], hashes["phash_mirrored"].to_numpy()[places]
    alike = np.zeros(len(places), bool)
    for subset in range(1, len(hdf5.SUBSETS)):
        before = rows.subsets < subset
        both = np.isin(plain, np.concatenate([plain[before], mirrored[before]])) | np.isin(mirrored, plain[before])
        alike |= both & (rows.subsets == subset)
    return row_checks.check(
        "hashes_in_one_subset",
        len(places),
        np.flatnonzero(alike),
        lambda row: f"{rows.describe(row)} with hash {plain[row]:016x}",
    )


def pixels_as_processed(rows: SubsetRows, found: NDArray[np.uint64], data: Tables) -> Check:
    """Every photo has its own pixels in processed.h5; found: hashes of the rows' pixels, (N, 2)."""
    plain = np.flatnonzero(rows.copies == 0)
    places = find(rows.take(plain), data.photos)
    plain, sources = plain[places >= 0], data.photos["row"].to_numpy()[places[places >= 0]]
    wrong = (found[plain] != data.processed[sources]).any(axis=1)
    return row_checks.check("pixels_as_processed", len(plain), plain[wrong], rows.describe)


def copies_as_rendered(file: h5py.File, rows: SubsetRows, data: Tables) -> Check:
    """Some augmented rows, the first ones, are what augmenting their photos makes again."""
    try:
        chosen = AugmentParams(**json.loads(file.attrs["params"])["augment"])
    except ValidationError as error:  # of another version of the project: by hand, as params.yaml has none of it
        return Check("copies_as_rendered", 0, 1, [f"params are not ours: {' '.join(str(error).split())[:200]}"])
    some = np.flatnonzero(rows.copies > 0)[:COPIES_TO_RENDER]  # train comes first: rows of the file
    places = find(rows.take(some), data.photos)
    some, sources = some[places >= 0], data.photos["row"].to_numpy()[places[places >= 0]]
    wanted = SourceRows(rows.ids[some], rows.positions[some], rows.copies[some], rows.labels[some], sources)
    if not len(some):
        return Check("copies_as_rendered", 0, 0, [])
    (made,) = render([wanted], RenderRecipe(data.processed_h5, chosen))
    wrong = [
        row
        for row, pixels in zip(some.tolist(), made, strict=True)
        if not np.array_equal(file["train_images"][row], pixels)
    ]
    return row_checks.check("copies_as_rendered", len(some), np.array(wrong, np.intp), rows.describe)


def against_tables(contents: Contents, found: Scan, file: h5py.File, data: Tables) -> Iterator[Check]:
    yield groups_in_one_subset(contents.photos, data.photos)
    yield photos_as_split(contents.photos, data.photos)
    yield labels_as_catalog(contents.photos, data.photos)
    yield label_map_as_table(contents, data.label_map)
    yield counts_as_tables(contents, data.photos)
    yield hashes_in_one_subset(contents.photos, data.hashes)
    yield pixels_as_processed(contents.rows, found.hashes, data)
    yield copies_as_rendered(file, contents.rows, data)


def hash_processed(path: Path) -> NDArray[np.uint64]:
    """Return a hash of each photo's pixels in processed.h5, (N, 2)."""
    with hdf5.open_file(path, hdf5.PROCESSED) as file:
        images = file["images"]
        return verify.as_numbers(b"".join(verify.pixel_hashes(images[block]) for block in hdf5.blocks(images)))


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
    """Return the catalog's photos with their subsets as places in hdf5.SUBSETS."""
    catalog, split = tables.read(catalog_csv, tables.CATALOG), tables.read(split_csv, tables.SPLIT)
    places = split["subset"].map({subset: place for place, subset in enumerate(hdf5.SUBSETS)})
    if places.isna().any():
        raise DataError(f"{split_csv} names a subset {split['subset'][places.isna()].iloc[0]!r}: run `dvc repro`")
    photos = catalog.merge(split.assign(subset=places.astype(np.int8)), on=["product_id", "position"])
    if not len(photos) == len(catalog) == len(split):
        raise DataError(f"{split_csv} and {catalog_csv} do not name the same photos: run `dvc repro`")
    return photos


def main(
    dataset_h5: Path,
    processed_h5: Path,
    processed_csv: Path,
    catalog_csv: Path,
    label_map_csv: Path,
    split_csv: Path,
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
        validation_json: whether the dataset passed its checks, and how many there were; a metric.
        data_validation_json: what each check looked at, and examples of what is wrong.
    """
    data = Tables(
        read_photos(catalog_csv, split_csv),
        read_hashes(processed_csv),
        tables.read(label_map_csv, tables.LABEL_MAP),
        hash_processed(processed_h5),
        processed_h5,
    )
    with hdf5.open_file(dataset_h5, hdf5.DATASET) as file:
        outcomes = list(verify.verify(file, partial(against_tables, file=file, data=data)))
    verdicts = {
        check.name: {
            "passed": check.passed,
            "examined": check.examined,
            "violations": check.violations,
            "examples": check.examples,
        }
        for check in outcomes
    }
    failed = [check for check in outcomes if not check.passed]
    verdict = {"passed": not failed, "checks": len(outcomes), "failed": len(failed)}
    files.write_text(data_validation_json, json.dumps({"passed": not failed, "checks": verdicts}, indent=2) + "\n")
    files.write_text(validation_json, json.dumps(verdict, indent=2) + "\n")
    if failed:
        raise DataError(f"{dataset_h5} is wrong: {'; '.join(check.summary() for check in failed)}")
    print(f"validate: {len(outcomes)} checks passed")


if __name__ == "__main__":
    stage.run("validate", main)
