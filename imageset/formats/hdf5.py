"""The HDF5 files: names, dtypes, version. All writers and readers take them from here.

processed.h5   images uint8 (N, S, S, C), ids int64 (N,), positions int16 (N,): every photo once, by id, position.
thumbnails.h5  the same for the photos before preprocessing, gray: images uint8 (N, 64, 64, 1), whatever the params.
masks.h5       masks uint8 (N, S, S): every photo of the inventory, in its order; chunks of one mask, gzip. A photo
               without a mask has no chunk, and a reason. imageset/photos/mask_file.py has the other columns.
embeddings.h5  embeddings float32 (N, 1280): every photo of the inventory, in its order; zeros, and a reason, where
               there is none. ids, positions, objects, reasons as in masks.h5; photo_pixels int64 (N,).
previews.h5    previews uint8 (B,): JPEG files one after another; ends int64 (N,): where each ends; ids int64 (N,),
               positions int16 (N,): every photo that can be decoded, in the order of photos.csv.
components.h5  components int16 (N, P): principal components of every photo of the catalog, in its order, P up to 50;
               ids int64 (N,), positions int16 (N,). Their distances say which photos look alike.
dataset.h5     <subset>_images uint8 (N, S, S, C), _labels int64, _ids int64, _positions int16 (N,), train_copies int16
               (0: the photo itself), label_map bytes (K,) b"<label>,<catalog_id>", class_names UTF-8 (K,).
               Since version 2 also _groups int64 (N,); _source_ids UTF-8 (N,), where an id of the source is text;
               _column_<name> UTF-8 (N,), for each name of source.columns; class_ids UTF-8 (K,), where one is text.
               Text is fixed-width and contiguous.

All but dataset.h5 also have crc32 uint32 (N,), a checksum of each row (imageset/formats/row_checksums.py).

Images are contiguous, so that they can be mapped into memory. In dataset.h5 they may be compressed, one image a chunk.
The bytes depend on the content alone: the library version is pinned, no times are tracked, names are created in one
order (h5py, "File Objects: Version bounding").
"""

import hashlib
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Literal, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from imageset.errors import DamagedFile, DataError, FileInUse
from imageset.formats import plain_hdf5, text_heaps

PROCESSED = "imageset-processed"
THUMBNAILS = "imageset-thumbnails"
MASKS = "imageset-masks"
EMBEDDINGS = "imageset-embeddings"
PREVIEWS = "imageset-previews"
COMPONENTS = "imageset-components"
DATASET = "imageset-dataset"
# The versions that this code reads. It writes the last one.
VERSIONS = {
    PROCESSED: (2,),
    THUMBNAILS: (2,),
    MASKS: (1, 2),
    EMBEDDINGS: (1, 2),
    PREVIEWS: (2,),
    COMPONENTS: (2,),
    DATASET: (1, 2),
}

SUBSETS = ("train", "validation", "test")
ROW_DTYPES = {"labels": "int64", "ids": "int64", "positions": "int16", "copies": "int16"}
COLUMN = "_column_"  # between the subset and the name of a further column
BLOCK_BYTES = 8 << 20

# What h5py and NumPy raise over a damaged file: which of them depends on where the damage is.
HDF5_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)

Compression = Literal["none", "gzip"]
Pixels = NDArray[np.uint8]  # images: (S, S, C), or (N, S, S, C); C is 1 (grayscale) or 3 (rgb)
Indices = NDArray[np.int64]  # places of rows
Blocks = Iterator[tuple[slice, NDArray[Any]]]  # the rows of an array in order: which ones, and their values


@dataclass(frozen=True, eq=False)
class RowColumns:
    """Rows, a column each, all of one length (N,): which copy of which photo a row is, and its label."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int16]
    copies: NDArray[np.int16]  # 0: the photo itself
    labels: NDArray[np.int64]

    @property
    def total(self) -> int:
        return len(self.ids)

    def take(self, which: slice | Indices | NDArray[np.bool_]) -> Self:
        """Return some of the rows, in the order of `which`."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Raise DamagedFile in place of what h5py and NumPy raise over a damaged file, DataError where memory is short."""
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{path} needs more memory than there is ({one_line(error)})") from None
    except HDF5_ERRORS as error:
        raise DamagedFile(path, f"is damaged ({one_line(error)})") from None


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextmanager
def create(path: Path, kind: str) -> Iterator[h5py.File]:
    """Create a file of a kind, marked incomplete until `finish`, and close it at the end.

    Raises:
        OSError, RuntimeError: the disk did not take all of it.
    """
    with hear_lost_writes() as lost:
        file = open_locked(path, "w", libver=("v110", "v110"))
        try:
            file.attrs["complete"] = False
            file.attrs["format"] = kind
            file.attrs["format_version"] = VERSIONS[kind][-1]
            yield file
            file.flush()
            raise_first(lost)
        except BaseException as error:
            # HDF5 crashes the process when it closes a file that the disk did not take (h5py, issue 914).
            if not isinstance(error, (OSError, RuntimeError)) or "errno = " not in str(error):
                file.close()
            raise
        file.close()
    raise_first(lost)


@contextmanager
def hear_lost_writes() -> Iterator[list[str]]:
    """Yield a list for what h5py only prints: that it could not write an array that nobody refers to any more."""
    lost: list[str] = []
    before = sys.unraisablehook, sys.excepthook

    def hear(found: "sys.UnraisableHookArgs") -> None:
        if "h5py" in str(found.object):
            lost.append(str(found.exc_value))
        else:
            before[0](found)

    sys.unraisablehook = hear
    sys.excepthook = lambda *_: None  # by which Cython prints a traceback first
    try:
        yield lost
    finally:
        sys.unraisablehook, sys.excepthook = before


def raise_first(lost: list[str]) -> None:
    if lost:
        raise RuntimeError(lost[0])


def finish(file: h5py.File, **attributes: Any) -> None:
    """Write the attributes and mark the file complete."""
    for name in sorted(attributes):
        file.attrs[name] = attributes[name]
    file.attrs["complete"] = True


def add(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    """Write an array."""
    file.create_dataset(name, data=values, track_times=False)


def add_images(file: h5py.File, name: str, shape: tuple[int, ...], compression: Compression = "none") -> h5py.Dataset:
    """Return an empty dataset for images, uint8 (N, S, S, C), or masks, (N, S, S), which the caller fills."""
    if compression == "none" or 0 in shape:
        images = file.create_dataset(name, shape=shape, dtype="uint8", track_times=False)
        # It takes its place in the file, before other arrays, whenever it is filled. h5py would write a number pixel by
        # pixel: 0.4 s for 224 pixels of side.
        images[:1] = np.zeros((1, *shape[1:]), np.uint8)
        return images
    return file.create_dataset(
        name, shape=shape, dtype="uint8", track_times=False, chunks=(1, *shape[1:]), compression=compression
    )


def add_text(file: h5py.File, name: str, values: list[str]) -> None:
    """Write strings as fixed-length UTF-8, in blocks: each value takes the width of the longest."""
    width = max((len(value.encode()) for value in values), default=1) or 1
    dtype = h5py.string_dtype("utf-8", width)
    array = file.create_dataset(name, shape=(len(values),), dtype=dtype, track_times=False)
    for block in blocks(array):
        array[block] = np.array([value.encode() for value in values[block]], dtype)


def open_file(path: Path, kind: str) -> h5py.File:
    """Open a file for reading.

    Raises:
        DataError: it is missing, or of another format or version; FileInUse: another process has it open for writing;
            DamagedFile: it is no HDF5, damaged or incomplete.
    """
    try:
        plain_hdf5.require_our_superblock(path, kind)
        file = open_locked(path)
    except FileNotFoundError:
        if kind == DATASET and not is_in_dvc_project(path):
            raise DataError(f"{path} is missing") from None
        raise DataError(f"{path} is missing: run `dvc repro` or `dvc pull {path}`") from None
    except OSError as error:
        raise DamagedFile(path, f"cannot be read as HDF5 ({one_line(error)})") from None
    try:
        with reading(path):
            text_heaps.require_sound_heaps(path)
            require_ours(path, file, path.stat().st_size, kind)
    except DataError:
        with suppress(*HDF5_ERRORS):  # a damaged file may fail once more as it is closed
            file.close()
        raise
    return file


def open_stream(stream: IO[bytes], name: str, kind: str) -> h5py.File:
    """Open a file that is not on the disk, with the checks of `open_file`.

    Args:
        stream: reads the file, and can seek. It is asked only while the file is open.
        name: what messages call the file.
        kind: of the file.

    Raises:
        DataError: it is of another format or version; DamagedFile: it is damaged or incomplete.
    """
    with reading(name):
        plain_hdf5.require_our_superblock_in(stream, name, kind)
        text_heaps.require_sound_heaps_in(stream, name)
        file = h5py.File(stream, "r")
    try:
        with reading(name):
            require_ours(name, file, stream.seek(0, os.SEEK_END), kind)
    except DataError:
        with suppress(*HDF5_ERRORS):
            file.close()
        raise
    return file


def require_ours(name: object, file: h5py.File, length: int, kind: str) -> None:
    """Raise DataError, or one of HDF5_ERRORS, unless a file has what a file of this kind has. It reads no array.

    Args:
        name: what messages call the file.
        file: an open file.
        length: its bytes.
        kind: what it has to be.
    """
    plain_hdf5.require_plain_attributes(file)
    require_format(name, file, kind)
    plain_hdf5.require_plain_arrays(file, length)


def is_in_dvc_project(path: Path) -> bool:
    """Return whether a path is in a project of DVC. A dataset file, alone of all files, is used elsewhere, too."""
    return any((folder / ".dvc").is_dir() for folder in path.absolute().parents)


def open_locked(path: Path, mode: str = "r", **options: Any) -> h5py.File:
    """Open an HDF5 file of any format. Where the file system has no locks, it is opened without one.

    Every file of ours is written under another name first, which one process knows. So a lock protects nothing of ours:
    it shows that a program of somebody else writes to the file.

    Raises:
        FileInUse: another process has it open for writing.
        OSError: it is missing, or no HDF5, or damaged.
    """
    try:
        return h5py.File(path, mode, **options)
    except BlockingIOError:
        raise FileInUse(
            f"{path} is open for writing in another process: close it there, then run this again; "
            f"`lsof {path}` names the process"
        ) from None
    except OSError as error:
        if "already open for write" in str(error):  # a mark in the file, which also a killed writer leaves
            raise FileInUse(
                f"{path} is open for writing in another process, or its writer was killed: close it there "
                f"(`lsof {path}` names the process); if none has it open, remove it, then run "
                f"`dvc pull {path}` or `dvc repro`"
            ) from None
        if "unable to lock file" not in str(error):
            raise
    try:  # NFS without its lock service, for one: errno 37, "No locks available"
        return h5py.File(path, mode, **options, locking=False)
    except OSError as error:
        if "unable to lock file" not in str(error):
            raise
        raise DataError(
            f"{path} is on a file system without locks, and HDF5_USE_FILE_LOCKING asks for them: "
            "unset it, or set HDF5_USE_FILE_LOCKING=FALSE"
        ) from None


def require_format(path: object, file: h5py.File, kind: str) -> None:
    """Raise DataError when a file is of another format or version, or incomplete."""
    found = file.attrs.get("format")
    if not isinstance(found, str) or found != kind:
        other = repr(found) if isinstance(found, str) else "something else"
        raise DataError(f"{path} is not a file of format {kind}, but {other}")
    version = file.attrs.get("format_version")
    readable = VERSIONS[kind]
    if version not in readable:
        is_newer = isinstance(version, np.integer) and version > readable[-1]
        remedy = "update imageset" if is_newer else "build it again with `dvc repro`"
        known = " and ".join(map(str, readable))
        raise DataError(f"{path} has format version {version}; this code reads version {known}: {remedy}")
    if not file.attrs.get("complete"):
        raise DamagedFile(path, "is incomplete, as its writer was interrupted")


def require_photos(file: h5py.File, rows: NDArray[Any], ids: NDArray[Any], positions: NDArray[Any]) -> None:
    """Raise DataError if the rows of a file of photos have other product ids or positions than these."""
    with reading(file.filename):
        found_ids, found_positions = file["ids"][:], file["positions"][:]
    inside = ((rows >= 0) & (rows < len(found_ids))).all()
    if not inside or (found_ids[rows] != ids).any() or (found_positions[rows] != positions).any():
        raise DataError(f"{file.filename} has other photos than the tables: run `dvc repro`")


def subsets(file: h5py.File) -> list[str]:
    """Return the subsets that a dataset file holds, in the order of SUBSETS."""
    return [subset for subset in SUBSETS if f"{subset}_images" in file]


def require_equal_lengths(file: h5py.File) -> None:
    """Raise DamagedFile unless every array of a subset has a value for each image. It reads none."""
    lengths = {subset: len(file[f"{subset}_images"]) for subset in subsets(file)}
    for name in file:
        if len(file[name]) != lengths.get(name.partition("_")[0], len(file[name])):
            raise DamagedFile(file.filename, f"is damaged ({name} has another length than the images)")


def read_rows(file: h5py.File, subset: str) -> RowColumns:
    """Return the rows of a subset; only train has copies, elsewhere all are 0."""
    ids, positions, labels = (file[f"{subset}_{name}"][:] for name in ("ids", "positions", "labels"))
    copies = file[f"{subset}_copies"][:] if f"{subset}_copies" in file else np.zeros(len(ids), np.int16)
    return RowColumns(ids, positions, copies, labels)


def catalog_ids(file: h5py.File) -> list[int]:
    """Return the catalog_id of each class of a dataset file, by label.

    Raises DamagedFile when the label map's labels are not 0 to K - 1, in order, or a class is there twice.
    """
    pairs = [pair.decode("ascii").partition(",") for pair in file["label_map"][:]]
    if [label for label, _, _ in pairs] != list(map(str, range(len(pairs)))):
        raise DamagedFile(file.filename, "has a label map whose labels are not 0 to K - 1")
    return require_unique(file, [int(catalog_id) for _, _, catalog_id in pairs])


def class_ids(file: h5py.File) -> list[int] | list[str]:
    """Return the source's id of each class of a dataset file, by label: text if any of them is text."""
    return require_unique(file, read_text(file, "class_ids").tolist()) if "class_ids" in file else catalog_ids(file)


def require_unique(file: h5py.File, ids: list[Any]) -> list[Any]:
    if len(set(ids)) != len(ids):
        raise DamagedFile(file.filename, "has a class id twice")
    return ids


def read_text(file: h5py.File, name: str) -> NDArray[Any]:
    """Return an array of text as an array of str, dtype object. Raises UnicodeDecodeError if it is no UTF-8."""
    values: NDArray[Any] = file[name].asstr()[:]
    return values


def column_names(file: h5py.File) -> list[str]:
    """Return the names of the further columns of a dataset file, in the order of the alphabet."""
    starts = tuple(f"{subset}{COLUMN}" for subset in SUBSETS)
    return sorted({name.partition(COLUMN)[2] for name in file if name.startswith(starts)})


def unique_names(names: list[str], class_ids: Sequence[int] | Sequence[str]) -> list[str]:
    """Return unique class names: names that several classes share get the source's id behind them.

    >>> unique_names(["hats", "other", "other"], [12, 7, 31])
    ['hats', 'other (7)', 'other (31)']
    """
    # Again if another class already has such a name. Names that got their own id differ for good.
    while repeated := {name for name, count in Counter(names).items() if count > 1}:
        names = [
            f"{name} ({class_id})" if name in repeated else name
            for name, class_id in zip(names, class_ids, strict=True)
        ]
    return names


def mapped(file: h5py.File, name: str) -> Pixels:
    """Return an uncompressed dataset of images as an array in mapped memory, which outlives the open file."""
    dataset = file[name]
    offset = dataset.id.get_offset()
    if offset is None or 0 in dataset.shape:
        return np.asarray(dataset[...])
    return np.memmap(file.filename, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)


def pick(images: h5py.Dataset, rows: Iterable[int]) -> Pixels:
    """Return a few images, in the order of `rows`, compressed or not."""
    return np.concatenate([plain_hdf5.read_block(images, slice(row, row + 1)) for row in map(int, rows)])


def block_rows(row_bytes: int) -> int:
    """Return how many rows to hold in memory at a time."""
    return max(1, BLOCK_BYTES // row_bytes)


def blocks(dataset: h5py.Dataset) -> Iterator[slice]:
    """Yield slices that cover a dataset's rows in order, BLOCK_BYTES or one row at a time."""
    rows = len(dataset)
    step = block_rows(dataset.dtype.itemsize * math.prod(dataset.shape[1:]))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def content_digest(file: h5py.File, written: Mapping[str, Blocks] | None = None) -> str:
    """Return a sha256 over the names, dtypes, shapes and values of all arrays, whatever their storage layout.

    Args:
        file: an open file.
        written: of arrays that are written now, by name, what writes one block after the other and yields it. They are
            written in the order of their names, and not read.
    """
    digest = hashlib.sha256()
    for _ in digested(file, digest, written):
        pass
    return digest.hexdigest()


def require_digest(file: h5py.File) -> str:
    """Return the content digest of an open dataset file. Raises DamagedFile if it is not the noted one."""
    with reading(file.filename):
        found, noted = content_digest(file), file.attrs["content_digest"]
    if found != noted:
        raise DamagedFile(file.filename, "does not hold what its content_digest says")
    return found


def digested(
    file: h5py.File, digest: Any, written: Mapping[str, Blocks] | None = None
) -> Iterator[tuple[str, slice, NDArray[Any]]]:
    """Yield all arrays in blocks, and add each block to the digest: one pass over a file for both.

    content_digest says what `written` is.
    """
    for name in sorted(file):
        dataset = file[name]
        digest.update(f"{name} {dataset.dtype.str} {dataset.shape}\n".encode())
        for block, values in (written or {}).get(name) or read_blocks(dataset):
            digest.update(np.ascontiguousarray(values).data)
            yield name, block, values


def read_blocks(dataset: h5py.Dataset) -> Blocks:
    """Yield a dataset's rows in order, a block at a time."""
    for block in blocks(dataset):
        yield block, plain_hdf5.read_block(dataset, block)
