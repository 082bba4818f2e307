"""Search files for markers, also in what is packed: zlib, base64, zip, HDF5, SQLite, Parquet, objects of git."""

import base64
import binascii
import gzip
import hashlib
import io
import re
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import h5py
import pyarrow.parquet

DEEPEST = 4  # a packed text in a packed text
BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")
WAL = slice(18, 20)  # of SQLite's header: 2 says that the file needs its log


class Search:
    """Finds markers in contents. A content that comes twice, such as a file and DVC's copy, is looked through once."""

    def __init__(self, markers: Mapping[str, str]) -> None:
        """Make a search.

        Args:
            markers: what to find, by name.
        """
        self.forms = {name: make_forms(marker) for name, marker in markers.items()}
        self.known: dict[bytes, frozenset[str]] = {}

    def in_bytes(self, content: bytes) -> frozenset[str]:
        """Return the names of the markers that a content has."""
        digest = hashlib.md5(content).digest()
        if digest not in self.known:
            found: set[str] = set()
            for piece in unpack(content):
                found |= {name for name, forms in self.forms.items() if any(form in piece for form in forms)}
            self.known[digest] = frozenset(found)
        return self.known[digest]

    def in_folder(self, folder: Path) -> set[tuple[str, str]]:
        """Return the files below a folder that have markers, each with the marker's name; their names count, too."""
        found = set()
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                name = str(path.relative_to(folder))
                found |= {(name, marker) for marker in self.in_bytes(path.read_bytes()) | self.in_bytes(name.encode())}
        return found

    def in_git(self, folder: Path) -> set[tuple[str, str]]:
        """Return the markers that objects of a repository have, of commits that no branch has as well."""
        command = ["git", "cat-file", "--batch-all-objects", "--batch"]
        objects = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
        return {("objects of git", marker) for marker in self.in_bytes(objects)}


def make_forms(marker: str) -> list[bytes]:
    """Return a marker as plain text, for URLs, as UTF-16, as hexadecimal digits, and in base64 at each offset."""
    raw = marker.encode()
    forms = [raw, quote(marker, safe="").encode(), marker.encode("utf-16-le"), raw.hex().encode()]
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        forms.append(encoded[first : -1 if (offset + len(raw)) % 3 else None])
    return forms


def unpack(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield a content, and all that is packed in it."""
    yield content
    if depth < DEEPEST:
        for piece in packed_in(content):
            yield from unpack(piece, depth + 1)


def packed_in(content: bytes) -> Iterator[bytes]:
    """Yield what is packed in a content, one level."""
    with suppress(zlib.error):
        if content[:1] == b"\x78" and len(content) > 2 and int.from_bytes(content[:2]) % 31 == 0:
            yield zlib.decompressobj().decompress(content)
    with suppress(OSError, EOFError, zlib.error):
        if content[:2] == b"\x1f\x8b":
            yield gzip.decompress(content)
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif content[:4] == b"PAR1":
        yield from in_parquet(content)
    elif content[:8] == b"\x89HDF\r\n\x1a\n":
        yield from in_hdf5(content)
    elif content[:16] == b"SQLite format 3\0":
        yield from in_sqlite(content)
    for text in BASE64.findall(content):
        with suppress(binascii.Error):
            yield base64.b64decode(text + b"=" * (-len(text) % 4))


def as_bytes(values: Iterable[Any]) -> Iterator[bytes]:
    """Yield bytes as they are, and each other value as text."""
    for value in values:
        yield bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()


def in_parquet(content: bytes) -> Iterator[bytes]:
    table = pyarrow.parquet.read_table(io.BytesIO(content))
    yield str(table.schema.to_string(show_schema_metadata=True, truncate_metadata=False)).encode()
    for column in table.columns:
        yield b"\n".join(as_bytes(column.to_pylist()))


def in_hdf5(content: bytes) -> Iterator[bytes]:
    """Yield all attributes, names and arrays, decompressed."""
    with h5py.File(io.BytesIO(content)) as file:
        objects: list[Any] = [file]
        file.visititems(lambda name, item: objects.append(item))
        for item in objects:
            yield item.name.encode()
            yield from as_bytes(part for pair in item.attrs.items() for part in pair)
            if isinstance(item, h5py.Dataset):
                values = item[()]
                yield values.tobytes() if item.dtype.kind != "O" else b"\n".join(as_bytes(values.ravel()))


def in_sqlite(content: bytes) -> Iterator[bytes]:
    """Yield each value of each table. What the file keeps of removed rows is in its bytes, as they are."""
    plain = bytearray(content)
    plain[WAL] = b"\1\1"
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(bytes(plain))
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from as_bytes(row)
