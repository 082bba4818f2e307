"""Read many images of an HDF5 file at once, from any thread: mapped into memory, or decompressed in parallel."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from imageset.errors import DamagedFile, DataError
from imageset.formats.hdf5 import Indices, Pixels, open_locked, reading
from imageset.formats.plain_hdf5 import has_images_in_gzip, unpack


class Images(Protocol):
    """Images of one shape, uint8 (N, H, W, C).

    Attributes:
        readers: How many threads read blocks of them fastest.
        block_bytes: How many bytes of consecutive images are worth a read, where the order is random.
        first_bytes: How many bytes to mix in an epoch's first window, so that its first batch comes soon; 0: as many as
            in the others.
    """

    shape: tuple[int, ...]
    readers: int = 4  # a disk answers several requests at once faster than one after the other
    block_bytes: int = 1 << 20
    first_bytes: int = 0

    def gather(self, rows: Indices, out: Pixels) -> None:
        """Copy images into `out`.

        Args:
            rows: which images, in this order, from 0 to N - 1.
            out: uint8 (len(rows), H, W, C).
        """


def open_images(file: h5py.File, name: str) -> Images:
    """Return the images of a dataset, to be read in the fastest way for their storage, also after the file is closed.

    Args:
        file: an open file.
        name: the dataset with the images, uint8 (N, H, W, C).

    Raises:
        DamagedFile: the dataset has another dtype or number of dimensions.
    """
    dataset = require_images(file, name)
    if not len(dataset):
        return InMemory(dataset[...])
    if dataset.id.get_offset() is not None:
        return Contiguous(dataset)
    is_whole = has_images_in_gzip(dataset) and dataset.id.get_num_chunks() == len(dataset)
    return Compressed(dataset) if is_whole else Chunked(dataset)


def require_images(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset of images. Raises DamagedFile if it has another dtype or number of dimensions."""
    dataset = file[name]
    if dataset.dtype != np.uint8 or dataset.ndim != 4 or 0 in dataset.shape[1:]:
        raise DamagedFile(file.filename, f"has {dataset.dtype} {dataset.shape} for {name}, which are no images")
    return dataset


class InMemory(Images):
    """Images in an array."""

    def __init__(self, images: Pixels) -> None:
        self.images, self.shape = images, images.shape

    def gather(self, rows: Indices, out: Pixels) -> None:
        # With mode="raise" NumPy would copy everything twice, so that an error leaves `out` unchanged.
        np.take(self.images, rows, axis=0, out=out, mode="clip")


class Contiguous(Images):
    """Uncompressed images: consecutive rows are read in one piece, others are copied from mapped memory."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.shape: tuple[int, ...] = dataset.shape
        self._file = Bytes(Path(dataset.file.filename))
        self._offset: int = dataset.id.get_offset()
        self._mapped = InMemory(np.asarray(np.memmap(self._file.path, np.uint8, "r", self._offset, self.shape)))

    def gather(self, rows: Indices, out: Pixels) -> None:
        with self._file.unchanged():
            if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
                self._file.read(self._offset + int(rows[0]) * out[0].nbytes, out)
            else:
                self._mapped.gather(rows, out)


class Compressed(Images):
    """Images in chunks of one behind gzip: decompressed without HDF5, which serves one thread at a time."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.shape: tuple[int, ...] = dataset.shape
        self._file = Bytes(Path(dataset.file.filename))
        self._mapped = np.asarray(np.memmap(self._file.path, np.uint8, "r"))
        self._chunks = np.zeros((len(dataset), 3), np.int64)  # offset, bytes, filter mask

        def note(chunk: Any) -> None:
            self._chunks[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size, chunk.filter_mask

        dataset.id.chunk_iter(note)

    def gather(self, rows: Indices, out: Pixels) -> None:
        with self._file.unchanged():
            for row, image, (offset, length, mask) in zip(rows, out, self._chunks[rows].tolist(), strict=True):
                if not unpack(self._mapped[offset : offset + length], image, mask):
                    raise DamagedFile(self._file.path, f"is damaged at row {row}")


class Chunked(Images):
    """Images in any other storage: read by h5py, with a handle for each process."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.shape: tuple[int, ...] = dataset.shape
        self._file, self._name = Bytes(Path(dataset.file.filename)), dataset.name
        self._open()

    def gather(self, rows: Indices, out: Pixels) -> None:
        with self._file.unchanged(), reading(self._file.path):
            if self._process != os.getpid():  # an HDF5 handle must not cross a fork
                self._open()
            for row, image in zip(rows.tolist(), out, strict=True):
                image[...] = self._dataset[row]

    def _open(self) -> None:
        self._file.require_own_name()  # HDF5 opens by name
        self._dataset, self._process = open_locked(self._file.path)[self._name], os.getpid()


class Bytes:
    """An open file that any thread or forked process reads at any offset. It must not change while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._state = self._find_state()

    def read(self, offset: int, out: Pixels) -> None:
        """Fill a contiguous array with the bytes that begin at `offset`."""
        view = out.reshape(-1).data
        while view:
            count = os.preadv(self._descriptor, [view], offset)
            if not count:
                raise DamagedFile(self.path, "ends too early")
            view, offset = view[count:], offset + count

    def require_own_name(self) -> None:
        """Raise DataError if another file has this one's name now."""
        if not os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
            raise DataError(f"{self.path} was replaced since this dataset was opened: open it again")

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise DataError if the file was written to before or meanwhile. A new file of its name does not matter."""
        self._require_unchanged()
        yield
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        if self._find_state() != self._state:
            raise DataError(f"{self.path} was written to since this dataset was opened: open it again")

    def _find_state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns
