"""The control of tests/faults/test_secrets_run.py: its search finds a marker wherever it is planted."""

import base64
import gzip
import io
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from tests.faults.secret_search import Search

MARKER = "q7Zr2ControlXw9"
NOISE = np.random.default_rng(0).bytes(5000)


def hdf5(write: Callable[[h5py.File], object]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5_file:
        write(hdf5_file)
    return file.getvalue()


def sqlite(value: bytes | str) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE rows (value)")
        connection.execute("INSERT INTO rows VALUES (?)", [value])
        connection.commit()
        return connection.serialize()


def archive(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.txt", text)
    return file.getvalue()


def parquet(text: str) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"url": [text] * 50}), file, compression="zstd")
    return file.getvalue()


PLANTED: dict[str, Callable[[str], bytes]] = {
    "a table": lambda text: f"product_id,image_url\n1,https://h/a.jpeg?s={text}\n".encode(),
    "UTF-16": lambda text: text.encode("utf-16-le"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "base64, short": lambda text: b'"' + base64.b64encode(b"ab" + text.encode() + b"c") + b'"',
    "base64 of zlib": lambda text: b"x = '" + base64.b64encode(zlib.compress(NOISE + text.encode())) + b"'",
    "gzip": lambda text: gzip.compress(text.encode() * 9),
    "zip": archive,
    "Parquet": parquet,
    "HDF5, attribute": lambda text: hdf5(lambda file: file.attrs.__setitem__("name", text)),
    "HDF5, texts": lambda text: hdf5(
        lambda file: file.create_dataset("urls", data=["a", text], dtype=h5py.string_dtype())
    ),
    "HDF5, gzip": lambda text: hdf5(
        lambda file: file.create_dataset("b", data=np.frombuffer(text.encode() * 9, "u1"), compression="gzip")
    ),
    "SQLite": sqlite,
    "SQLite, zlib": lambda text: sqlite(zlib.compress(text.encode() * 9)),
}


@pytest.mark.parametrize("place", PLANTED)
def test_a_marker_is_found(place: str) -> None:
    search = Search({"control": MARKER})

    assert search.in_bytes(PLANTED[place](MARKER)) == {"control"}
    assert search.in_bytes(PLANTED[place]("q7Zr2AnotherXw9")) == frozenset()


def test_a_marker_is_found_in_files_and_in_git(tmp_path: Path) -> None:
    search = Search({"control": MARKER})
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / MARKER).touch()
    (tmp_path / "b.csv").write_bytes(PLANTED["a table"](MARKER))
    for command in ("init -q", "add b.csv", "commit -qm one", "rm -q b.csv", "commit -qm two"):
        subprocess.run([*git, *command.split()], cwd=tmp_path, check=True)

    assert (f"a/{MARKER}", "control") in search.in_folder(tmp_path)
    assert not (tmp_path / "b.csv").exists()
    assert search.in_git(tmp_path) == {("objects of git", "control")}
