"""Find photos that are cut or damaged, although a decoder would make a picture of them. No files, no network.

Decoders guess. libjpeg warns where it does, and Pillow does not pass that on. So a JPEG is decoded once more, to an
eighth of its sides, by simplejpeg: it makes an error of libjpeg's first warning. Other formats have checksums or sizes.
"""

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import simplejpeg

from imageset.errors import Undecodable
from imageset.photos import png_colors
from imageset.photos.jpeg_markers import (
    END_OF_IMAGE,
    FRAMES,
    OTHER_FRAMES,
    PROGRESSIVE_FRAMES,
    START_OF_SCAN,
    TABLES,
    Frame,
    Segment,
    has_all_coefficients,
    read_frame,
    read_scan,
    walk,
)

NEEDED = (*FRAMES, *TABLES)  # to decode a JPEG's scans
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
CONTENT_BYTES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}
PNG_COLOR_TYPE = 25  # where the header has it
TRANSPARENT_BYTES = {0: 2, 2: 6}  # of tRNS, by the type; up to 256 for a palette
WEBP_CODES = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")

# An error page or the like within coded data. Coded data has so many printable bytes in a row only where it repeats a
# pattern, and then few different ones.
TEXT_BYTES, DIFFERENT_BYTES = 48, 16
TEXT = re.compile(rb"[\t\n\r -~]{%d}" % TEXT_BYTES)
IS_TEXT = bytes(byte in b"\t\n\r" or 0x20 <= byte <= 0x7E for byte in range(256))
STEP = 8  # every eighth byte is looked at first: six in a row are text, or seldom chance

# Warnings of libjpeg that bytes of no use may have caused. It is asked again without such bytes.
MAY_BE_HARMLESS = re.compile("extraneous bytes|Invalid SOS parameters")
UNKNOWN_SAMPLING = "Could not determine subsampling"
RESTART = re.compile(rb"(\xff[\xd0-\xd7])", re.DOTALL)
LEAST_PADDING = 4  # so many equal bytes before a marker
LEAST_ZEROS = (LEAST_PADDING, 1)  # of zeros then also fewer: not at first, as coded data may end with some


class Chunk(NamedTuple):
    """A chunk of a PNG or a WebP: its name, and where it begins and ends. Its data is body[start + 8 : data_end]."""

    name: bytes
    start: int
    data_end: int
    end: int


def mend(body: bytes) -> bytes:
    """Return a photo's bytes as a decoder takes them where only what has no pixels is missing or damaged.

    A JPEG gets an end marker. A PNG gets an end chunk and loses ancillary chunks that are broken.

    Args:
        body: the photo's bytes, untrusted. Those of other formats are returned as they are.

    Raises:
        Undecodable: truncated, where a WebP says that it is longer.
    """
    if body.startswith(JPEG_START):
        # No decoder looks behind the first end marker, where there is one.
        return body if body.endswith(JPEG_END) else body + JPEG_END
    if body.startswith(PNG_SIGNATURE):
        return mend_png(body)
    if is_cut_webp(body):
        raise Undecodable("truncated")
    return body


def require_whole(body: bytes, sides: tuple[int, int]) -> None:
    """Refuse a photo that is cut or damaged, as far as its format allows to tell and its decoder does not.

    Args:
        body: the photo's bytes, untrusted.
        sides: width and height as the decoder reads them. Check them first: a JPEG takes as much memory as its decode.

    Raises:
        Undecodable: truncated where the file ends early, damaged where it does not, undecodable where it is a JPEG of
            a kind that no browser shows.
    """
    if body.startswith(JPEG_START):
        try:
            reason = judge_jpeg(body, sides)
        except (LookupError, ValueError):  # a segment that is too short
            reason = name_damage(body)
        if reason:
            raise Undecodable(reason)
    elif body.startswith(b"RIFF"):
        parts = [chunk for chunk in walk_webp(body) if is_coded(body, chunk)]
        if any(find_text(body, chunk.start + 8, chunk.data_end) for chunk in parts):
            raise Undecodable("damaged")


def judge_jpeg(body: bytes, sides: tuple[int, int]) -> str:
    """Return why a JPEG is not whole, "" where it is."""
    header = list(walk(body, header_only=True))
    if any(segment.marker in OTHER_FRAMES for segment in header):
        return "undecodable"
    frames = [read_frame(body, segment) for segment in header if segment.marker in FRAMES]
    if not header or header[-1].marker != START_OF_SCAN or len(frames) != 1:
        return name_damage(body)
    [frame], scan = frames, header[-1]
    if (frame.width, frame.height) != sides:
        return "damaged"  # decoders disagree about what the file has
    # Without segments of metadata, whatever is wrong with them.
    tables = (body[segment.start : segment.end] for segment in header[:-1] if segment.marker in NEEDED)
    fault = decode_strictly(b"".join([JPEG_START, *tables, memoryview(body)[scan.start :], JPEG_END]))
    for least_zeros in LEAST_ZEROS if MAY_BE_HARMLESS.search(fault) else ():
        if not (fault := decode_strictly(strip_jpeg(body, frame, least_zeros))):
            break
    if UNKNOWN_SAMPLING in fault:
        fault = "" if ends_with_marker(body) else fault  # nothing more can be told
    if fault:
        return name_damage(body)
    if not has_all_scans(body, frame, scan):
        return "truncated"
    return "damaged" if find_text_in_codes(body, scan) else ""


def decode_strictly(body: bytes) -> str:
    """Return libjpeg's first error or warning for a JPEG, "" where it has none. Raises MemoryError."""
    try:
        simplejpeg.decode_jpeg(body, colorspace="GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        if "memory" in str(error).lower():
            raise MemoryError from None
        return str(error)
    return ""


def name_damage(body: bytes) -> str:
    """Return truncated for a JPEG without an end marker, else damaged."""
    # Behind damage, markers may be wrong: then the very end counts.
    return "damaged" if ends_with_marker(body) or body.rstrip(b"\0").endswith(JPEG_END) else "truncated"


def ends_with_marker(body: bytes) -> bool:
    """Return whether a JPEG has an end marker after its first picture."""
    return any(segment.marker == END_OF_IMAGE for segment in walk(body))


def strip_jpeg(body: bytes, frame: Frame, least_zeros: int) -> bytes:
    """Return a JPEG without bytes of no use: between its segments, and padding at the end of coded data."""
    pieces = [JPEG_START]
    for segment in walk(body):
        if segment.marker not in (*NEEDED, START_OF_SCAN):
            continue
        header = body[segment.start : segment.end]
        if segment.marker == START_OF_SCAN and frame.marker not in PROGRESSIVE_FRAMES:
            header = header[:-3] + b"\0\x3f\0"  # the only values that such a frame has
        codes = RESTART.split(body[segment.end : segment.codes_end])
        pieces += [header, *(strip_padding(piece, least_zeros) for piece in codes)]
    return b"".join([*pieces, JPEG_END])


def strip_padding(codes: bytes, least_zeros: int) -> bytes:
    """Return coded data without a run of equal bytes at its end."""
    bare = codes.rstrip(codes[-1:])
    if len(codes) - len(bare) < (least_zeros if codes.endswith(b"\0") else LEAST_PADDING):
        return codes
    return bare + b"\0" if bare.endswith(b"\xff") else bare


def has_all_scans(body: bytes, frame: Frame, first: Segment) -> bool:
    """Return whether a JPEG's scans have all of its picture."""
    scan = read_scan(body, first)
    if frame.marker not in PROGRESSIVE_FRAMES and set(frame.components) <= set(scan.components):
        return True
    scans = [read_scan(body, segment) for segment in walk(body) if segment.marker == START_OF_SCAN]
    return has_all_coefficients(frame, scans)


def find_text_in_codes(body: bytes, first: Segment) -> bool:
    """Return whether text is within a JPEG's coded data. What is behind the end marker does not matter."""
    if not find_text(body, first.end, len(body)):
        return False
    scans = (segment for segment in walk(body) if segment.marker == START_OF_SCAN)
    return any(find_text(body, segment.end, segment.codes_end) for segment in scans)


def find_text(body: bytes, start: int, end: int) -> bool:
    """Return whether text is within coded data, body[start:end]."""
    sample = body[start:end:STEP].translate(IS_TEXT)
    at = -1
    while (at := sample.find(b"\1" * (TEXT_BYTES // STEP), at + 1)) >= 0:
        place = start + at * STEP
        found = TEXT.search(body, max(start, place - STEP), min(end, place + TEXT_BYTES + STEP))
        if found and len(set(found[0])) >= DIFFERENT_BYTES:
            return True
    return False


def mend_png(body: bytes) -> bytes:
    """Return a PNG with its end chunk, without ancillary chunks that are broken, as libpng reads it."""
    kept, has_pixels, is_whole = [PNG_SIGNATURE], False, True
    for chunk in walk_png(body):
        if chunk.end > len(body):
            if chunk.name == b"IDAT" or not has_pixels:
                return body  # its decoder will find that it is cut
            break
        if chunk.name == b"IEND":
            return body if is_whole else b"".join([*kept, PNG_END])
        has_pixels |= chunk.name == b"IDAT"
        if chunk.name[0] & 0x20 and not is_usable(body, chunk):
            is_whole = False
        else:
            kept.append(body[chunk.start : chunk.end])
    return b"".join([*kept, PNG_END]) if has_pixels else body


def is_usable(body: bytes, chunk: Chunk) -> bool:
    """Return whether an ancillary chunk of a PNG has its checksum and a content that Pillow takes.

    Pillow would refuse the whole photo for others. Browsers ignore them.
    """
    if zlib.crc32(body[chunk.start + 4 : chunk.data_end]) != read_number(body, chunk.data_end):
        return False
    content = body[chunk.start + 8 : chunk.data_end]
    if chunk.name == b"tRNS":
        return len(content) == TRANSPARENT_BYTES.get(body[PNG_COLOR_TYPE], min(len(content), 256))
    if chunk.name == b"zTXt":
        return png_colors.can_unpack(content)
    if chunk.name == b"iTXt":
        is_packed, text = content.partition(b"\0")[2][:1] == b"\1", content.split(b"\0", 4)[-1]
        return not is_packed or png_colors.can_unpack(b"\0\0" + text)
    return len(content) == CONTENT_BYTES.get(chunk.name, len(content))


def walk_png(body: bytes) -> Iterator[Chunk]:
    """Yield a PNG's chunks. The last one may end after the file."""
    start = len(PNG_SIGNATURE)
    while start + 8 <= len(body):
        data_end = start + 8 + read_number(body, start)
        yield Chunk(body[start + 4 : start + 8], start, data_end, data_end + 4)
        start = data_end + 4


def read_number(body: bytes, start: int) -> int:
    """Read 32 bits, the highest first."""
    return int.from_bytes(body[start : start + 4])


def is_cut_webp(body: bytes) -> bool:
    """Return whether a WebP says that it is longer."""
    return body.startswith(b"RIFF") and 8 + int.from_bytes(body[4:8], "little") > len(body)


def is_coded(body: bytes, chunk: Chunk) -> bool:
    """Return whether a chunk of a WebP has coded data: pixels, but those of an alpha channel that is not compressed."""
    return chunk.name in WEBP_CODES and (chunk.name != b"ALPH" or read_alpha_method(body, chunk) != 0)


def read_alpha_method(body: bytes, chunk: Chunk) -> int:
    """Return how the alpha channel of a WebP is compressed, 0 for not at all."""
    return int.from_bytes(body[chunk.start + 8 : chunk.start + 9]) & 3


def walk_webp(body: bytes) -> Iterator[Chunk]:
    """Yield a WebP's chunks."""
    start, whole = 12, min(len(body), 8 + int.from_bytes(body[4:8], "little"))
    while start + 8 <= whole:
        size = int.from_bytes(body[start + 4 : start + 8], "little")
        yield Chunk(body[start : start + 4], start, start + 8 + size, start + 8 + size + size % 2)
        start += 8 + size + size % 2
