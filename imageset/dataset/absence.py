"""Prove that a dataset file does not hold some products: by their ids, and by their pixels where these can be compared.

Pixels of two files can be compared if both were made with the same params and masks. No attribute says so. So the
photos that both files hold decide: if their pixels are the same, so are the params.
"""

from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from imageset.dataset.check import Check, check_result
from imageset.dataset.photo_rows import SubsetRows
from imageset.dataset.verify import Contents, Scan, as_numbers, pixel_hashes
from imageset.formats import hdf5, row_checksums, source_ids
from imageset.formats.hdf5 import Indices

PHOTOS_TO_COMPARE = 100  # that both files hold


class ReferenceRows(NamedTuple):
    """Some rows of a reference: the images of one of its arrays, the rows' places there, ids and positions."""

    images: h5py.Dataset | row_checksums.Rows
    places: Indices
    ids: NDArray[np.int64]
    positions: NDArray[np.int16]

    def take(self, which: NDArray[np.bool_] | Indices) -> "ReferenceRows":
        return ReferenceRows(self.images, self.places[which], self.ids[which], self.positions[which])


class Comparison(NamedTuple):
    """The result of comparing pixels.

    check: None where they cannot be compared. note: on that, a part of a sentence. is_complete: whether the reference
    had the pixels of every product.
    """

    check: Check | None
    note: str
    is_complete: bool = False


def reference_rows(file: h5py.File) -> Iterator[ReferenceRows]:
    """Yield the photos of an open dataset or processed file, without augmented copies, an array at a time."""
    if file.attrs["format"] == hdf5.PROCESSED:
        images = row_checksums.Rows(file)
        yield ReferenceRows(images, np.arange(len(images)), file["ids"][:], file["positions"][:])
        return
    for subset in hdf5.subsets(file):
        rows = hdf5.read_rows(file, subset)
        places = np.flatnonzero(rows.copies == 0)
        yield ReferenceRows(file[f"{subset}_images"], places, rows.ids[places], rows.positions[places])


def holds(file: h5py.File, product_ids: frozenset[int]) -> bool:
    """Return whether a reference holds a photo of one of the products."""
    return any(is_of(rows.ids, product_ids).any() for rows in reference_rows(file))


def absent_by_id(rows: SubsetRows, product_ids: frozenset[int]) -> Check:
    """No row, copies included, is of one of the products."""
    wrong = np.flatnonzero(is_of(rows.ids, product_ids))
    return check_result("absent_by_id", rows.total, wrong, rows.describe)


def absent_by_pixels(
    contents: Contents, found: Scan, shape: tuple[int, ...], reference: h5py.File, product_ids: frozenset[int]
) -> Comparison:
    """No photo of the file has the same pixels as a photo of one of the products in the reference.

    Args:
        contents: of the file that is checked.
        found: what reading its arrays gave.
        shape: of its images, (S, S, C).
        reference: an open dataset or processed file that holds the products.
        product_ids: the products.
    """
    name = reference.filename
    parts = list(reference_rows(reference))
    other_shape = parts[0].images.shape[1:]
    if other_shape != shape:
        return Comparison(None, f"not compared: images are {describe(shape)}, those of {name} {describe(other_shape)}")
    products = [part.take(is_of(part.ids, product_ids)) for part in parts]
    held = {product_id for part in products for product_id in part.ids.tolist()}
    if not held:
        return Comparison(None, f"not compared: {name} does not hold the product either")
    rows = contents.rows
    same, compared = count_same(rows, found.hashes, parts, product_ids)
    note = f"{same} of {compared} photos that are in {name} too have the same pixels there"
    if same == 0:
        return Comparison(None, f"not compared: {note}, so other params or masks may have made them")
    wanted = {number.tobytes() for part in products for number in hash_rows(part)}
    plain = np.flatnonzero(rows.copies == 0)
    wrong = np.array([row for row in plain.tolist() if found.hashes[row].tobytes() in wanted], np.int64)
    advice = "another product with the same picture: take it down as well"
    check = check_result("absent_by_pixels", len(plain), wrong, rows.describe, advice)
    lacking = ", ".join(map(source_ids.text, sorted(product_ids - held)))
    but = f", but not those of product {lacking}, which it does not hold" if lacking else ""
    return Comparison(check, f"compared: {note}{but}", not lacking)


def count_same(
    rows: SubsetRows, hashes: NDArray[np.uint64], parts: list[ReferenceRows], product_ids: frozenset[int]
) -> tuple[int, int]:
    """Return how many photos that both files hold have the same pixels, and how many were compared.

    At most PHOTOS_TO_COMPARE of each array, spread over it, and none of the products.
    """
    plain = np.flatnonzero((rows.copies == 0) & ~is_of(rows.ids, product_ids))
    own = {(int(rows.ids[row]), int(rows.positions[row])): row for row in plain}
    same = compared = 0
    for part in parts:
        keys = list(zip(part.ids.tolist(), part.positions.tolist(), strict=True))
        shared = np.array([place for place, key in enumerate(keys) if key in own], np.int64)
        chosen = shared[:: max(1, len(shared) // PHOTOS_TO_COMPARE)]
        for place, number in zip(chosen.tolist(), hash_rows(part.take(chosen)), strict=True):
            same += bool((hashes[own[keys[place]]] == number).all())
        compared += len(chosen)
    return same, compared


def hash_rows(rows: ReferenceRows) -> NDArray[np.uint64]:
    """Return the hashes of some rows' pixels, uint64 (N, 2), as `verify.scan` computes them."""
    return as_numbers(b"".join(pixel_hashes(read_row(rows.images, place)) for place in rows.places.tolist()))


def read_row(images: h5py.Dataset | row_checksums.Rows, row: int) -> hdf5.Pixels:
    """Return a row, uint8 (1, S, S, C): of a checked array as it reads itself, of dataset.h5 in bounded memory."""
    return images[row : row + 1] if isinstance(images, row_checksums.Rows) else hdf5.pick(images, [row])


def is_of(ids: NDArray[np.int64], product_ids: frozenset[int]) -> NDArray[np.bool_]:
    return np.isin(ids, np.array(sorted(product_ids), np.int64))


def describe(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
