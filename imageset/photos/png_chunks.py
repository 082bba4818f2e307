"""A PNG without the metadata that Pillow would refuse it for. Browsers ignore such metadata (PNG, 13.1)."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
EMPTY_PROFILE = struct.pack(">I", 3) + b"iCCP-\0\0" + struct.pack(">I", zlib.crc32(b"iCCP-\0\0"))

CONTENT_BYTES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}
COLOR_TYPE = 25  # where the header has it
TRANSPARENT_BYTES = {0: 2, 2: 6}  # of tRNS, by the type; up to 256 for a palette


class Chunk(NamedTuple):
    """A chunk: its name, and where it begins and ends. Its data is body[start + 8 : data_end]."""

    name: bytes
    start: int
    data_end: int
    end: int

    @property
    def is_ancillary(self) -> bool:
        """Whether a decoder may ignore it."""
        return bool(self.name[0] & 0x20)


def mend(body: bytes) -> bytes:
    """Return a PNG with its end chunk, without ancillary chunks that are broken, as libpng reads it.

    A profile that is broken is an empty one then: that there was one is counted.

    Args:
        body: the file, untrusted. One that is cut within its pixels or before stays so.
    """
    kept, has_pixels = [SIGNATURE], False
    for chunk in walk(body):
        if chunk.end > len(body):
            if chunk.name == b"IDAT" or not has_pixels:
                return b"".join([*kept, body[chunk.start :]])  # its decoder will find that it is cut
            break
        if chunk.name == b"IEND":
            break
        has_pixels |= chunk.name == b"IDAT"
        if not chunk.is_ancillary or is_usable(body, chunk):
            kept.append(body[chunk.start : chunk.end])
        elif chunk.name == b"iCCP":
            kept.append(EMPTY_PROFILE)
    return b"".join([*kept, END]) if has_pixels else body


def is_usable(body: bytes, chunk: Chunk) -> bool:
    """Return whether an ancillary chunk has its checksum and a content that Pillow takes."""
    if zlib.crc32(body[chunk.start + 4 : chunk.data_end]) != read_number(body, chunk.data_end):
        return False
    content = body[chunk.start + 8 : chunk.data_end]
    if chunk.name == b"tRNS":
        return len(content) == TRANSPARENT_BYTES.get(body[COLOR_TYPE], min(len(content), 256))
    if chunk.name in (b"zTXt", b"iCCP"):
        return can_unpack(content)
    if chunk.name == b"iTXt":
        is_packed, text = content.partition(b"\0")[2][:1] == b"\1", content.split(b"\0", 4)[-1]
        return not is_packed or can_unpack(b"\0\0" + text)
    return len(content) == CONTENT_BYTES.get(chunk.name, len(content))


def can_unpack(content: bytes) -> bool:
    """Return whether a name and what is compressed behind it (PNG, 11.3.2.3) can be unpacked, and is small enough."""
    _, _, packed = content.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:
        return False
    return packed[:1] == b"\0" and unpacker.eof


def walk(body: bytes) -> Iterator[Chunk]:
    """Yield a PNG's chunks. The last one may end after the file."""
    start = len(SIGNATURE)
    while start + 8 <= len(body):
        data_end = start + 8 + read_number(body, start)
        yield Chunk(body[start + 4 : start + 8], start, data_end, data_end + 4)
        start = data_end + 4


def read_number(body: bytes, start: int) -> int:
    """Read 32 bits, the highest first."""
    return int.from_bytes(body[start : start + 4])
