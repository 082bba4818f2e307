"""A file in a bucket as a stream, for HDF5, which asks for a few bytes here and there."""

import io
import os
from collections import OrderedDict
from typing import Any

import numpy as np

from imageset.errors import DataError
from imageset.reader.bucket_file import BucketFile

PAGE_BYTES = 1 << 20
PAGES = 16  # that it remembers


class ObjectStream(io.RawIOBase):
    """Reads small parts by pages that it remembers, and large ones as they are.

    Attributes:
        error (DataError or None): What the first read raised that failed. HDF5 may turn it into an error of its own.
    """

    def __init__(self, file: BucketFile) -> None:
        super().__init__()
        self._file = file
        self._place = 0
        self._pages: OrderedDict[int, np.ndarray[Any, np.dtype[np.uint8]]] = OrderedDict()
        self.error: DataError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._place = place + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._file.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        out = np.frombuffer(buffer, np.uint8)[: max(0, self._file.size - self._place)]
        try:
            self._fill(out)
        except DataError as error:
            self.error = self.error or error
            raise
        self._place += len(out)
        return len(out)

    def _fill(self, out: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        if len(out) >= PAGE_BYTES:
            self._file.read(self._place, out)
            return
        done = 0
        while done < len(out):
            number, start = divmod(self._place + done, PAGE_BYTES)
            part = self._page(number)[start : start + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)

    def _page(self, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if number not in self._pages:
            start = number * PAGE_BYTES
            page = np.empty(min(PAGE_BYTES, self._file.size - start), np.uint8)
            self._file.read(start, page)
            self._pages[number] = page
            if len(self._pages) > PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(number)
        return self._pages[number]

    def __repr__(self) -> str:  # which h5py takes for the file's name
        return self._file.name
