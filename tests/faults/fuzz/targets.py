"""What the fuzzer calls with bytes. Each target raises only what its callers expect; all else is a finding."""

import contextlib
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from imageset.errors import BadUrl, DataError, Undecodable
from imageset.formats import hdf5, tables
from imageset.photos.decode import PhotoLimits, decode
from imageset.reader import ImageSet
from imageset.web import headers, urls
from tests.faults.dataset_bytes import write_dataset
from tests.faults.hdf5_bytes import find_parts, with_checksums
from tests.project import ROOT

Target = Callable[[bytes], object]


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def fuzz_decode(data: bytes) -> None:
    with contextlib.suppress(Undecodable):
        decode(data, LIMITS)


def fuzz_urls(data: bytes) -> None:
    text, _, location = data.decode("utf-8", "replace").partition("\n")
    try:
        urls.origin(urls.parse(text))
        urls.parse(urls.join(text, location))
    except BadUrl:
        pass


def fuzz_headers(data: bytes) -> None:
    lines = data.decode("latin-1").split("\n")
    headers.names_compression(lines)
    headers.robots_tags(lines, {"imageset"})
    headers.seconds_to_wait({"Retry-After": lines[0], "Date": lines[-1]})


def fuzz_tables(data: bytes) -> None:
    path = folder() / "table.csv"
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        tables.read(path, tables.LISTINGS)


@cache
def whole_dataset() -> tuple[bytes, dict[int, int]]:
    content = write_dataset(folder() / "whole.h5").read_bytes()
    return content, find_parts(content)


def fuzz_hdf5(data: bytes) -> None:
    """Change bytes of a good file: three bytes of the input say where and what. All checksums are right behind it."""
    content, parts = whole_dataset()
    changed = bytearray(content)
    for place in range(0, len(data) - 2, 3):
        changed[int.from_bytes(data[place : place + 2]) % len(changed)] = data[place + 2]
    path = folder() / "dataset.h5"
    path.write_bytes(with_checksums(bytes(changed), parts))
    try:
        for subset in hdf5.SUBSETS:
            images = ImageSet(path, subset)
            _ = (images[:], images.source_ids, images.columns)
    except DataError:
        pass


LIMITS = PhotoLimits(2_000_000)
TARGETS: dict[str, Target] = {
    "decode": fuzz_decode,
    "urls": fuzz_urls,
    "headers": fuzz_headers,
    "tables": fuzz_tables,
    "hdf5": fuzz_hdf5,
}


def seeds(name: str) -> list[bytes]:
    """Return inputs to begin with."""
    if name == "decode":
        return [path.read_bytes() for path in sorted((ROOT / "docs").rglob("*.jpg"))[:5]] + [GIF, PNG]
    if name == "urls":
        return [b"https://a.example/b%20c?x=1#y\n../d", b"http://[::1]:80/\n//h/p", "http://é.example/ü".encode()]
    if name == "headers":
        return [b"120\ngzip, br\nMon, 01 Jan 2024 00:00:00 GMT", b"noindex, imageset: noimageai"]
    if name == "tables":
        header = tables.format_header(tables.LISTINGS.columns).encode()
        return [header, header + b"1,0,http://a.example/1.jpg,\n"]
    return [b"", b"\x00\x30\x01", b"\x08\x00\xff\x08\x01\xff"]


GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
