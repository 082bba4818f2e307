"""Keep what was read of an object of a bucket on the disk, so that later epochs and other processes read it there.

An object is a file of its own length in the folder, with holes, and an index beside it with a checksum of each grain
that is there. Nothing counts that its checksum does not prove, so a process may be killed at any moment. All processes
that use the folder are on one machine, or on a file system with locks.
"""

import fcntl
import os
import threading
import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageset.formats.hdf5 import Pixels

GRAIN_BYTES = 64 << 10
DATA, INDEX = ".data", ".index1"  # a file of another version has another name
HEAD_BYTES = 8  # of an index: the number of its grains that count against the bound
RESERVED, PRESENT = 1 << 33, 1 << 32  # an entry of the index: 0, RESERVED, or PRESENT and the grain's CRC-32
Grains = NDArray[np.bool_]


class RangeCache:
    """The grains of one object that are on this machine's disk. For all threads of a process and its forks.

    Grains that are in use by a process stay. Whole objects that no process uses leave, the one first that was opened
    longest ago. Where that makes too little room, nothing more is kept: every epoch reads an object whole, so what was
    kept first is as good as what would come later.
    """

    def __init__(self, folder: Path, identity: str, size: int, max_bytes: int) -> None:
        """Open the object's files and make them where they are missing.

        Args:
            folder: where the files are.
            identity: names the content: it is a part of a file's name.
            size: bytes of the object.
            max_bytes: the most bytes of all objects in the folder. Besides, an index has 8 bytes for each grain.

        Raises:
            OSError: the folder or the files cannot be made.
        """
        self._folder, self._size, self._max_bytes = folder, size, max_bytes
        self._count = -(-size // GRAIN_BYTES)
        self._ready: Grains = np.zeros(self._count, np.bool_)  # proven, in this process
        self._thread_lock = threading.Lock()
        self._failed = False
        folder.mkdir(parents=True, exist_ok=True)
        self._index_path = folder / (identity + INDEX)
        with self._locked():
            data, index = (
                os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                for path in (folder / (identity + DATA), self._index_path)
            )
            self._data, self._index = data, index
            weakref.finalize(self, os.close, data)
            weakref.finalize(self, os.close, index)
            fcntl.flock(data, fcntl.LOCK_SH)  # as long as it is open: the object is in use
            if os.fstat(data).st_size != size:
                os.ftruncate(data, size)
            entries = np.fromfile(self._index_path, "<u8")
            if len(entries) != 1 + self._count:
                entries = np.zeros(1 + self._count, "<u8")
                os.ftruncate(index, 0)
                write_all(index, entries.tobytes(), 0)  # no holes: where they are mapped, a full disk is a SIGBUS
            write_all(index, int(np.count_nonzero(entries[1:])).to_bytes(HEAD_BYTES, "little"), 0)
            os.utime(index)
        self._entries = np.memmap(self._index_path, "<u8", "r")[1:]
        self.mapped: Pixels = np.asarray(np.memmap(folder / (identity + DATA), np.uint8, "r"))

    def find(self, first: int, stop: int) -> Grains:
        """Return which of the grains from `first` up to `stop` are here, proven by their checksums."""
        ready = self._ready[first:stop]
        if not ready.all():
            unproven = ~ready & (self._entries[first:stop] & np.uint64(PRESENT) != 0)
            for grain in (first + np.flatnonzero(unproven)).tolist():
                content = os.pread(self._data, self._length(grain), grain * GRAIN_BYTES)
                self._ready[grain] = int(self._entries[grain]) == PRESENT | zlib.crc32(content)
        return ready.copy()

    def has_all(self, starts: NDArray[np.int64], length: int) -> Grains:
        """Tell for each range of `length` bytes whether all its grains are here. Only what `find` has proven counts."""
        first, last = starts // GRAIN_BYTES, (starts + (length - 1)) // GRAIN_BYTES
        whole = self._ready[first]
        for step in range(1, int((last - first).max(initial=0)) + 1):
            whole &= self._ready[np.minimum(first + step, last)]
        return whole

    def read(self, start: int, out: memoryview) -> None:
        """Fill `out` with bytes of the object, which are here."""
        while out:
            count = os.preadv(self._data, [out], start)
            if not count:
                raise OSError(f"{self._index_path.with_suffix(DATA)} was cut while it was in use")
            out, start = out[count:], start + count

    def reserve(self, first: int, stop: int) -> bool:
        """Count the grains from `first` up to `stop` against the bound. Return False if there is no room for them."""
        if self._failed:
            return False
        try:
            with self._locked():
                new = np.flatnonzero(self._entries[first:stop] == 0)
                if not len(new):
                    return True
                if not self._make_room(len(new) * GRAIN_BYTES):
                    return False
                entries = np.where(self._entries[first:stop] == 0, np.uint64(RESERVED), self._entries[first:stop])
                write_all(self._index, entries.tobytes(), HEAD_BYTES + 8 * first)
                self._count_grains(len(new))
        except OSError as error:
            self._give_up(error)
            return False
        return True

    def keep(self, first: int, content: memoryview) -> None:
        """Write the grains from `first` on, which are reserved, and then their checksums."""
        try:
            write_all(self._data, content, first * GRAIN_BYTES)
            sums = [
                PRESENT | zlib.crc32(content[start : start + GRAIN_BYTES])
                for start in range(0, len(content), GRAIN_BYTES)
            ]
            with self._locked():  # `reserve` writes the entries of its grains once more as it found them
                write_all(self._index, np.array(sums, "<u8").tobytes(), HEAD_BYTES + 8 * first)
        except OSError as error:
            self._give_up(error)
            return
        self._ready[first : first + len(sums)] = True

    def _length(self, grain: int) -> int:
        return min(GRAIN_BYTES, self._size - grain * GRAIN_BYTES)

    def _make_room(self, new_bytes: int) -> bool:
        """Remove objects that nobody uses until there is room. Return False if there is none."""
        objects = sorted(self._folder.glob(f"*{INDEX}"), key=lambda path: path.stat().st_mtime)
        sizes = {path: read_count(path) * GRAIN_BYTES for path in objects}
        total = sum(sizes.values()) + new_bytes
        for path in objects:
            if total <= self._max_bytes:
                break
            if path != self._index_path and remove_unused(path):
                total -= sizes[path]
        return total <= self._max_bytes

    def _count_grains(self, new: int) -> None:
        counted = read_count(self._index_path) + new
        write_all(self._index, counted.to_bytes(HEAD_BYTES, "little"), 0)

    def _give_up(self, error: OSError) -> None:
        """Keep nothing more, and say so."""
        if not self._failed:
            self._failed = True
            warn(self._folder, error)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock: one thread of one process at a time."""
        with self._thread_lock, (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def warn(folder: Path, error: OSError) -> None:
    warnings.warn(
        f"{folder}: {error.strerror or error}; from now on nothing is kept there, but read from the bucket each time: "
        "set cache_dir to another folder",
        RuntimeWarning,
        stacklevel=2,
    )


def write_all(descriptor: int, content: bytes | memoryview, start: int) -> None:
    """Write bytes at a place of a file. Raises OSError if the disk does not take all of them."""
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, start)
        view, start = view[count:], start + count


def read_count(index: Path) -> int:
    """Return how many grains of an object count against the bound."""
    with index.open("rb") as file:
        return int.from_bytes(file.read(HEAD_BYTES), "little")


def remove_unused(index: Path) -> bool:
    """Remove an object's files, unless a process uses it. Call it with the folder's lock."""
    data = index.with_suffix(DATA)
    with data.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        index.unlink(missing_ok=True)
        data.unlink(missing_ok=True)
    return True
