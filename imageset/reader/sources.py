"""Where an ImageSet has its file: on this machine's disk, or in a bucket."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol, cast

import h5py
import numpy as np

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.formats.hdf5 import Indices, Pixels
from imageset.formats.images import Images, InMemory, open_images, require_images
from imageset.reader.bucket_file import REQUEST_BYTES, REQUESTS, BucketFile, Place
from imageset.reader.object_stream import ObjectStream

SCHEME = "s3://"


class Source(Protocol):
    """A dataset file. It can be pickled.

    Attributes:
        path: What it is called: the absolute path of a file, or the URL of an object.
    """

    path: Path | str

    def open(self) -> AbstractContextManager[h5py.File]:
        """Open the file. Raises DataError if it is no complete dataset, also for what fails inside the context."""

    def open_images(self, file: h5py.File, name: str) -> Images:
        """Return the images of an array of the open file, which are read after it is closed, too."""


class LocalSource:
    """A file on the disk."""

    def __init__(self, path: str | Path) -> None:
        self.path: Path | str = Path(path).absolute()

    @contextmanager
    def open(self) -> Iterator[h5py.File]:
        path = Path(self.path)
        with hdf5.reading(path), hdf5.open_file(path, hdf5.DATASET) as file:
            yield file

    def open_images(self, file: h5py.File, name: str) -> Images:
        return open_images(file, name)


class BucketSource:
    """An object of a bucket, as it is when this is made."""

    def __init__(self, file: BucketFile) -> None:
        self.path: Path | str = file.name
        self._file = file

    @contextmanager
    def open(self) -> Iterator[h5py.File]:
        stream = ObjectStream(self._file)
        try:
            with (
                hdf5.reading(self.path),
                hdf5.open_stream(cast(IO[bytes], stream), str(self.path), hdf5.DATASET) as file,
            ):
                yield file
        except Exception:
            if stream.error is not None:
                raise stream.error from None
            raise

    def open_images(self, file: h5py.File, name: str) -> Images:
        dataset = require_images(file, name)
        if not len(dataset):
            return InMemory(dataset[...])
        offset = dataset.id.get_offset()
        if offset is None:
            raise DataError(
                f"{self.path} is compressed, and only files without compression are read from a bucket: copy it first "
                "(`aws s3 cp`, or `dvc pull`), and open the copy; `build.compression: none` writes one without"
            )
        return BucketImages(self._file, offset, dataset.shape)


class BucketImages(Images):
    """Uncompressed images in a bucket."""

    readers, block_bytes, first_bytes = REQUESTS, REQUEST_BYTES, 2 * REQUEST_BYTES

    def __init__(self, file: BucketFile, offset: int, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._file, self._offset = file, offset

    def gather(self, rows: Indices, out: Pixels) -> None:
        if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            self._file.read(self._offset + int(rows[0]) * out[0].nbytes, out)
        else:
            self._file.gather(self._offset, rows, out)


def open_source(path: str | Path | Place, cache_dir: str | Path | None, cache_bytes: int) -> Source:
    """Return the source that a path, a URL or what `remote` found names.

    Args:
        path: a path; or "s3://bucket/key"; or a place in a bucket.
        cache_dir: of a bucket's cache; None: `find_cache_dir`.
        cache_bytes: the most bytes of the cache.

    Raises:
        ValueError: `cache_bytes` is negative, or a URL has no key.
        DataError, SettingsError, ImportError: as BucketFile.
    """
    if cache_bytes < 0:
        raise ValueError(f"cache_bytes is {cache_bytes}, it must be 0 or more")
    if isinstance(path, str) and path.startswith(SCHEME):
        bucket, _, key = path.removeprefix(SCHEME).partition("/")
        if not bucket or not key:
            raise ValueError(f"{path} names no object: write s3://bucket/prefix/dataset.h5")
        path = Place(bucket, key)
    if isinstance(path, Place):
        return BucketSource(BucketFile(path, Path(cache_dir or find_cache_dir()).absolute(), cache_bytes))
    return LocalSource(path)


def find_cache_dir() -> Path:
    """Return the folder `imageset` in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imageset"
