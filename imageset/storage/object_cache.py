"""Objects of the bucket on this machine's disk, so that stages that read the same photos ask the bucket once.

A folder that several processes and runs may use at once, and that anybody may remove at any time. Packs are files of
many objects, one after the other; a process appends to a pack of its own. `index.sqlite` says where each object is.
When the bound is reached, the pack that was not used for longest is removed whole, so nothing is ever searched for.
Packs hold what was read together, and stages read in one order, so its objects were not used for as long either.

A file for each object would need no index. But making a file is what a disk's file system does slowest, at worst
(ext4 without a journal, after many files were removed) 0.8 ms of processor time, of the 2 that a photo takes.

Nothing waits for the disk. After a power failure a pack may lack its end; checksums tell. The index may be damaged as
well: then nothing is kept until somebody removes the folder, and a line says so.
"""

import datetime
import errno
import fcntl
import hashlib
import mmap
import os
import secrets
import sqlite3
import sys
import time
import zlib
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from imageset.errors import ImagesetError
from imageset.runtime import sqlite_cache
from imageset.storage.bucket import Bucket, StoredObject, identify_object

INDEX = "index.sqlite"
PACKS = 8  # at least so many share the bound
LARGEST_PACK = 64 << 20
LARGEST_QUEUE = 16 << 20
MOST_BUFFERS = 1024  # that one call of writev takes, on Linux and macOS
SECONDS_BETWEEN_NOTES = 10.0  # of the use of a pack
SAMPLE_BYTES = 256  # of an object, by which it is found in a pack
INDEX_PAGE_BYTES = 4096  # keys come in random order, so each of a batch changes another page

ERRORS = (OSError, sqlite3.Error, ImagesetError)

SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS objects (key BLOB PRIMARY KEY, pack INTEGER NOT NULL, place INTEGER NOT NULL,
                                    crc32 INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_of_pack ON objects (pack);
"""


class Pack(NamedTuple):
    """The pack that this process appends to: its number, and the open file."""

    number: int
    descriptor: int


class ObjectCache:
    """The objects of one bucket that are on this machine's disk. For one thread.

    After the first error of the disk or of the index it finds and keeps nothing, and one of the processes that use the
    folder says so in a line on stderr. It never raises.
    """

    def __init__(self, folder: Path, max_bytes: int, bucket: Bucket) -> None:
        """Touch nothing yet.

        Args:
            folder: where the objects are; made with the first one.
            max_bytes: the most bytes of all packs together; 0 to find and to keep nothing. Besides, the index takes
                80 bytes for each object and some 4 MB, and a pack that is removed while a process appends to it takes
                its room until that process has its next objects.
            bucket: where the objects come from; nothing is read from it.
        """
        self.folder = folder
        self.index = folder / INDEX
        self.max_bytes = max_bytes
        self.pack_bytes = min(max_bytes // PACKS, LARGEST_PACK)
        self.bucket = bucket
        self.database: sqlite3.Connection | None = None
        self.inode = 0  # of the index that is open
        self.pack: Pack | None = None
        self.queue: list[tuple[bytes, bytes]] = []  # keys and bodies
        self.queued_bytes = 0
        self.noted: dict[int, float] = {}  # when this process last wrote that it used a pack
        self.in_use: set[int] = set()  # packs that were used; their time of use is not written yet

    def find(self, stored: StoredObject) -> bytes | None:
        """Return an object's bytes, proven by their checksum; None if they are not here."""
        if not self.max_bytes:
            return None
        key = make_key(self.bucket, stored)
        try:
            database = self.connect()
            row = database.execute("SELECT pack, place, crc32 FROM objects WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            number, place, crc32 = row
            body = read_part(locate(self.folder, number), place, stored.bytes)
            if body is not None and len(body) == stored.bytes and zlib.crc32(body, zlib.crc32(key)) == crc32:
                self.in_use.add(number)
                return body
            database.execute("DELETE FROM objects WHERE key = ? AND pack = ?", (key, number))
        except ERRORS as error:
            self.start_again(error)
        return None

    def add(self, stored: StoredObject, body: bytes) -> None:
        """Keep an object's bytes, which have been checked. They can be found after the next `flush`.

        An object larger than an eighth of the bound, or than 64 MiB, is not kept.
        """
        if len(body) > self.pack_bytes or not self.max_bytes:
            return
        self.queue.append((make_key(self.bucket, stored), body))
        self.queued_bytes += len(body)
        if self.queued_bytes > LARGEST_QUEUE:
            self.flush()

    def flush(self) -> None:
        """Write what was added and which packs were used."""
        queue, self.queue, self.queued_bytes = self.queue, [], 0
        if not self.max_bytes:
            return
        try:
            if self.is_removed():
                self.close()
            while queue:
                queue = self.append_to_pack(queue)
            now = time.time()
            if due := [number for number in self.in_use if now - self.noted.get(number, 0) > SECONDS_BETWEEN_NOTES]:
                database = self.connect()
                with sqlite_cache.transaction(database):
                    database.executemany("UPDATE packs SET used = ? WHERE number = ?", [(now, one) for one in due])
                self.noted.update(dict.fromkeys(due, now))
            self.in_use.clear()
        except ERRORS as error:
            self.start_again(error)

    def append_to_pack(self, queue: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Write as many objects as the pack takes, all or the first ones, and return the others.

        Bytes are counted before they are written, and objects are entered into the index after that. So a process that
        is killed leaves neither bytes that do not count nor objects without bytes.
        """
        database = self.connect()
        pack = self.pack = self.pack or self.start_pack(database)
        start = place = os.fstat(pack.descriptor).st_size
        rows: list[tuple[bytes, int, int, int]] = []
        for key, body in queue[:MOST_BUFFERS]:
            if place + len(body) > self.pack_bytes:
                break
            rows.append((key, pack.number, place, zlib.crc32(body, zlib.crc32(key))))
            place += len(body)
        if not self.make_room(database, pack.number, place):
            self.end_pack()
            return queue
        if os.writev(pack.descriptor, [body for _, body in queue[: len(rows)]]) < place - start:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with sqlite_cache.transaction(database):
            database.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", rows)
        if len(rows) < len(queue[:MOST_BUFFERS]):
            self.end_pack()  # it is full
        return queue[len(rows) :]

    def make_room(self, database: sqlite3.Connection, number: int, size: int) -> bool:
        """Count that a pack will be this large, and remove the oldest of the others until all are within the bound.

        Returns:
            False if another process has removed the pack itself.
        """
        with sqlite_cache.transaction(database):
            counted = database.execute(
                "UPDATE packs SET bytes = ?, used = ? WHERE number = ?", (size, time.time(), number)
            )
            if counted.rowcount == 0:
                return False
            (total,) = database.execute("SELECT sum(bytes) FROM packs").fetchone()
            if total > self.max_bytes:
                oldest = database.execute("SELECT number, bytes FROM packs WHERE number != ? ORDER BY used", (number,))
                for other, freed in oldest.fetchall():
                    remove_pack(self.folder, database, other)
                    total -= freed
                    if total <= self.max_bytes:
                        break
        return True

    def start_pack(self, database: sqlite3.Connection) -> Pack:
        """Make a pack with a number that no other has, not even one of an index that was removed."""
        number = secrets.randbits(62)
        database.execute("INSERT INTO packs VALUES (?, 0, ?)", (number, time.time()))
        return Pack(
            number, os.open(locate(self.folder, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        )

    def end_pack(self) -> None:
        if self.pack is not None:
            os.close(self.pack.descriptor)
            self.pack = None

    def connect(self) -> sqlite3.Connection:
        """Return the open index. Of an index that is new, packs that are there have lost theirs, and are removed."""
        if self.database is None:
            self.database = open_index(self.index)
            self.inode = self.index.stat().st_ino
            if self.database.execute("SELECT 1 FROM packs").fetchone() is None:
                for stray in self.folder.glob("*.pack"):
                    stray.unlink(missing_ok=True)
        return self.database

    def is_removed(self) -> bool:
        """Return whether somebody has removed the folder since this process opened the index."""
        try:
            return self.database is not None and self.index.stat().st_ino != self.inode
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def start_again(self, error: Exception) -> None:
        """Switch this cache off, which has failed; if somebody has just removed the folder, begin a new one instead."""
        removed = self.is_removed()
        with suppress(*ERRORS):
            self.close()
        if not removed:
            self.max_bytes = 0
            warn(self.folder, error)

    def close(self) -> None:
        """Close the files. The next use opens them again."""
        self.end_pack()
        self.noted.clear()
        self.in_use.clear()
        if self.database is not None:
            self.database.close()
            self.database = None


def make_key(bucket: Bucket, stored: StoredObject) -> bytes:
    """Return the key of an object in the index."""
    identity = repr(identify_object(bucket, stored))  # half the time of JSON
    return hashlib.blake2b(identity.encode(), digest_size=16).digest()


def locate(folder: Path, number: int) -> Path:
    return folder / f"{number:016x}.pack"


def remove_pack(folder: Path, database: sqlite3.Connection, number: int) -> int:
    """Remove a pack, within a transaction, and return how many objects it had.

    A process that reads it at this moment has it open.
    """
    locate(folder, number).unlink(missing_ok=True)
    database.execute("DELETE FROM packs WHERE number = ?", (number,))
    return database.execute("DELETE FROM objects WHERE pack = ?", (number,)).rowcount


def open_index(path: Path) -> sqlite3.Connection:
    """Return the index, which is made if it is missing. Raises ImagesetError or OSError."""
    database = sqlite_cache.connect(path, SCHEMA, INDEX_PAGE_BYTES)
    database.execute("PRAGMA synchronous = OFF")
    return database


def read_part(path: Path, place: int, size: int) -> bytes | None:
    """Return bytes of a file, fewer where it ends; None where it was removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.pread(descriptor, size, place)
    finally:
        os.close(descriptor)


def warn(folder: Path, error: Exception) -> None:
    """Say on stderr that nothing is kept and why, unless another process of this machine has just said so.

    The process that says it locks the folder, or the first parent that exists, as long as it lives. It need not be able
    to write there.
    """
    place = next(parent for parent in (folder, *folder.parents) if os.path.isdir(parent))
    with suppress(OSError):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return
    reason = error if isinstance(error, ImagesetError) else f"{folder}: {getattr(error, 'strerror', None) or error}"
    print(
        f"{reason}; from now on photos are not kept on this disk, but read from the bucket each time",
        file=sys.stderr,
        flush=True,
    )


class Pruned(NamedTuple):
    """How many objects were removed, and how many bytes their packs had."""

    objects: int
    bytes: int


def prune(folder: Path, days: int) -> Pruned:
    """Remove the packs that no run has used for a number of days.

    Args:
        folder: of the cache.
        days: packs used within so many days are kept.

    Raises:
        ImagesetError: the index is damaged, or cannot be opened.
        OSError: a pack cannot be removed.
    """
    index = folder / INDEX
    before = datetime.datetime.combine(datetime.date.today() - datetime.timedelta(days), datetime.time()).timestamp()
    with (
        closing(open_index(index)) as database,
        sqlite_cache.sqlite_errors(index),
        sqlite_cache.transaction(database),
    ):
        old = database.execute("SELECT number, bytes FROM packs WHERE used < ?", (before,)).fetchall()
        objects = sum(remove_pack(folder, database, number) for number, _ in old)
    return Pruned(objects, sum(size for _, size in old))


def forget(folder: Path, bucket: Bucket, objects: Iterable[StoredObject], samples: Iterable[bytes]) -> Pruned:
    """Remove every pack that holds one of these objects, whole: its other objects are read from the bucket again.

    The index names the packs of most. But a run that was killed, or another run that kept the same object, leaves bytes
    in a pack that the index does not name, so all packs are searched as well.

    Args:
        folder: of the cache.
        bucket: where the objects are, or were; nothing is read from it.
        objects: as they were listed.
        samples: from `take_sample`, of objects whose bytes are known. Those in the index need none.

    Returns:
        How many objects the index had of the packs that were removed, and the bytes of these.

    Raises:
        ImagesetError: the index is damaged, or cannot be opened.
        OSError: a pack cannot be read or removed.
    """
    index = folder / INDEX
    wanted = set(samples)
    holding: set[int] = set()
    with closing(open_index(index)) as database, sqlite_cache.sqlite_errors(index):
        for stored in objects:
            key = make_key(bucket, stored)
            for number, place in database.execute("SELECT pack, place FROM objects WHERE key = ?", (key,)):
                holding.add(number)
                wanted.add(take_sample(read_part(locate(folder, number), place, stored.bytes) or b""))
        wanted.discard(b"")
        holding |= {int(path.stem, 16) for path in folder.glob("*.pack") if holds_any(path, wanted)}
        size = sum(locate(folder, number).stat().st_size for number in holding if locate(folder, number).exists())
        with sqlite_cache.transaction(database):
            removed = sum(remove_pack(folder, database, number) for number in holding)
    return Pruned(removed, size)


def take_sample(body: bytes) -> bytes:
    """Return bytes from the middle of an object, which no other photo has there: headers are alike."""
    middle = len(body) // 2
    return body[max(0, middle - SAMPLE_BYTES // 2) : middle + SAMPLE_BYTES // 2]


def holds_any(path: Path, samples: Iterable[bytes]) -> bool:
    """Return whether a file contains one of the samples, without reading it into memory."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(sample) >= 0 for sample in samples)
