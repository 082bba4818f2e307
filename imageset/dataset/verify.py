"""Check a dataset file on its own: is it complete, and consistent? Every array is read once, in blocks."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from imageset.dataset import format_checks, row_checks
from imageset.dataset.check import Check
from imageset.dataset.photo_rows import Photos, SubsetRows, by_photo
from imageset.formats import hdf5
from imageset.formats.channel_stats import ChannelStats
from imageset.runtime import progress
from imageset.runtime.sections import AugmentParams

HASH_BYTES = 16


class Contents(NamedTuple):
    """What a file holds, without its pixels.

    rows: in the file's order. photos: the same rows by photo. further: of each row, arrays that only files of version 2
    have, by name: groups, source_ids (where an id is text) and column_<name>. class_ids: None where all are numbers.
    """

    photos: Photos
    rows: SubsetRows
    augment: AugmentParams
    pairs: list[bytes]
    names: list[bytes]
    further: dict[str, NDArray[Any]]
    class_ids: list[bytes] | None


class Scan(NamedTuple):
    """What reading all arrays gives. hashes: of the pixels of each row, uint64 (N, 2), in the order of the rows."""

    digest: str
    hashes: NDArray[np.uint64]
    stats: ChannelStats


def verify(
    file: h5py.File, further: Callable[[Contents, Scan], Iterator[Check]] = lambda contents, found: iter(())
) -> Iterator[Check]:
    """Yield the result of every check of an open dataset file.

    If attributes or arrays are missing, the two checks that say so are all.

    Args:
        file: an open dataset file.
        further: yields the results of more checks.

    Raises:
        DamagedFile: the file cannot be read to its end.
    """
    with hdf5.reading(file.filename):
        form = [format_checks.attributes_as_format(file), format_checks.arrays_as_format(file)]
    yield from form
    if all(check.passed for check in form):
        with hdf5.reading(file.filename):
            contents = read(file)
        yield from of_columns(contents)
        with hdf5.reading(file.filename):
            found = scan(file)
        yield from of_pixels(file, contents.rows, found)
        yield from further(contents, found)


def read(file: h5py.File) -> Contents:
    """Return all but the pixels. Attributes and arrays have to be as the format says."""
    parts = []
    for place, subset in enumerate(hdf5.SUBSETS):
        if subset in hdf5.subsets(file):
            columns = hdf5.read_rows(file, subset)
            parts.append(SubsetRows(**vars(columns), subsets=np.full(columns.total, place, np.int8)))
    names = [field.name for field in fields(SubsetRows)]
    rows = SubsetRows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    copies = format_checks.Sections.model_validate_json(file.attrs["params"]).augment
    return Contents(
        by_photo(rows),
        rows,
        AugmentParams.model_construct(**dict(copies)),
        file["label_map"][:].tolist(),
        file["class_names"][:].tolist(),
        read_further(file),
        file["class_ids"][:].tolist() if "class_ids" in file else None,
    )


def read_further(file: h5py.File) -> dict[str, NDArray[Any]]:
    """Return the arrays of the rows that only files of version 2 have, over all subsets in the file's order."""
    own = {"images", *hdf5.ROW_DTYPES}
    names = [name.removeprefix("train_") for name in file if name.startswith("train_")]
    return {
        name: np.concatenate([file[f"{subset}_{name}"][:] for subset in hdf5.subsets(file)])
        for name in names
        if name not in own
    }


def of_columns(contents: Contents) -> Iterator[Check]:
    photos = contents.photos
    if "source_ids" in contents.further:  # first: then all others name products as the source does
        yield row_checks.ids_of_source_ids(contents.rows, contents.further["source_ids"])
    yield row_checks.products_in_one_subset(photos)
    yield row_checks.augmented_as_photos(photos)
    yield row_checks.copies_complete(photos, contents.augment)
    yield row_checks.labels_in_map(photos, len(contents.pairs))
    yield row_checks.label_map_complete(contents.pairs, contents.names, contents.class_ids)
    if "groups" in contents.further:
        yield row_checks.groups_in_one_subset(contents.rows, contents.further["groups"])
        yield row_checks.products_in_one_group(contents.rows, contents.further["groups"])


def of_pixels(file: h5py.File, rows: SubsetRows, found: Scan) -> Iterator[Check]:
    yield row_checks.pixels_in_one_subset(rows, found.hashes)
    yield mean_and_std(file, found.stats)
    noted = file.attrs["content_digest"]
    yield Check(
        "digest_matches",
        len(file),
        int(found.digest != noted),
        [] if found.digest == noted else [f"{found.digest}, noted {noted}"],
    )


def mean_and_std(file: h5py.File, stats: ChannelStats) -> Check:
    """The attributes mean and std are those of the training photos without their copies, to the last bit."""
    wrong = [] if stats.count else ["train has no photo"]
    for name, compute in (("mean", stats.mean), ("std", stats.std)):
        if not wrong and (found := compute()) != file.attrs[name].tolist():
            wrong = [f"{name} {found}, noted {file.attrs[name].tolist()}"]
    return Check("mean_and_std", stats.count, len(wrong), wrong)


def scan(file: h5py.File) -> Scan:
    """Read every array once."""
    digest, stats = sha256(), ChannelStats(file["train_images"].shape[-1])
    hashes = {f"{subset}_images": bytearray() for subset in hdf5.subsets(file)}
    copies = file["train_copies"][:]
    with progress.bar(None, "verify", sum(len(file[name]) for name in hashes), unit="row") as bar:
        for name, block, values in hdf5.digested(file, digest):
            if name in hashes:
                hashes[name] += pixel_hashes(values)
                if name == "train_images":
                    stats.add(values[copies[block] == 0])
                bar.update(len(values))
    return Scan(digest.hexdigest(), as_numbers(b"".join(hashes.values())), stats)


def pixel_hashes(images: hdf5.Pixels) -> bytes:
    """Return a hash of each image, HASH_BYTES long, one after the other."""
    return b"".join(blake2b(image, digest_size=HASH_BYTES).digest() for image in images)


def as_numbers(hashes: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(hashes, np.uint64).reshape(-1, 2)
