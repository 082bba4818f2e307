"""What the fuzzer calls with bytes. Each target raises nothing: all that its callers do not expect is a finding."""

import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from imageset.errors import BadUrl, DataError, Undecodable
from imageset.formats import hdf5, tables
from imageset.photos import png_chunks
from imageset.photos.decode import PhotoLimits, decode
from imageset.reader import ImageSet
from imageset.web import headers, urls
from tests.faults.dataset_bytes import write_dataset
from tests.faults.hdf5_bytes import find_parts, with_checksums

Target = Callable[[bytes], bool]  # returns whether the input was taken
LIMITS = PhotoLimits(2_000_000)


@cache
def temporary() -> tempfile.TemporaryDirectory[str]:
    """Make a folder. The fuzzer ends without removing it: who starts it sets TMPDIR."""
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def fuzz_decode(data: bytes) -> bool:
    """Decode as masks do, and at a part of the size in gray. A PNG with all its checksums right, too."""
    is_taken = False
    for body in (data, seal_png(data)) if data.startswith(png_chunks.SIGNATURE) else (data,):
        try:
            decode(body, LIMITS)
            decode(body, LIMITS, 3, "L")
            is_taken = True
        except Undecodable:
            pass
    return is_taken


def seal_png(data: bytes) -> bytes:
    """Return a PNG with the checksums that its chunks need: a decoder refuses nearly every change else."""
    sealed = bytearray(data)
    for chunk in png_chunks.walk(data):
        if chunk.end <= len(data):
            struct.pack_into(">I", sealed, chunk.data_end, zlib.crc32(data[chunk.start + 4 : chunk.data_end]))
    return bytes(sealed)


def fuzz_urls(data: bytes) -> bool:
    text, _, location = data.decode("utf-8", "replace").partition("\n")
    try:
        urls.origin(urls.parse(text))
        urls.parse(urls.join(text, location))
    except BadUrl:
        return False
    return True


def fuzz_headers(data: bytes) -> bool:
    lines = data.decode("latin-1").split("\n")
    headers.names_compression(lines)
    tags = headers.robots_tags(lines, {"imageset"})
    return headers.seconds_to_wait({"Retry-After": lines[0]}) is not None or "noindex" in tags


def fuzz_tables(data: bytes) -> bool:
    path = Path(temporary().name, "table.csv")
    path.write_bytes(data)
    try:
        tables.read(path, tables.LISTINGS)
    except DataError:
        return False
    return True


@cache
def whole_dataset() -> tuple[bytes, dict[int, int]]:
    content = write_dataset(Path(temporary().name, "whole.h5")).read_bytes()
    return content, find_parts(content)


def fuzz_hdf5(data: bytes) -> bool:
    """Change bytes of a good file, and read one subset: three bytes of the input say where and what.

    Behind the change, the checksums of the parts are right that it is in.
    """
    content, parts = whole_dataset()
    changed, places = bytearray(content), []
    for start in range(0, len(data) - 2, 3):
        places.append(int.from_bytes(data[start : start + 2]) % len(changed))
        changed[places[-1]] = data[start + 2]
    touched = {start: end for start, end in parts.items() if any(start <= place < end for place in places)}
    path = Path(temporary().name, "dataset.h5")
    path.write_bytes(with_checksums(bytes(changed), touched))
    try:
        images = ImageSet(path, hdf5.SUBSETS[sum(data) % len(hdf5.SUBSETS)])
        _ = (images[:], images.source_ids, images.columns)
    except DataError:
        return False
    return True


TARGETS: dict[str, Target] = {
    "decode": fuzz_decode,
    "urls": fuzz_urls,
    "headers": fuzz_headers,
    "tables": fuzz_tables,
    "hdf5": fuzz_hdf5,
}
