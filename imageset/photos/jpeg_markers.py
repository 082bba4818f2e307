"""Take a JPEG's bytes apart at its markers (ITU-T T.81, annex B). No pixels are decoded.

Bytes between two segments belong to none. They are skipped here as libjpeg skips them.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
# Baseline, extended and progressive, with Huffman or arithmetic coding: what libjpeg decodes at any scale.
FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
# Lossless and hierarchical ones. No browser shows one, and libjpeg decodes a lossless one at its full size only.
OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
PROGRESSIVE_FRAMES = (0xC2, 0xCA)
METADATA = (*range(0xE0, 0xF0), 0xFE)  # APP0 to APP15, and comments
TABLES = (0xC4, 0xCC, 0xDB, 0xDD)  # of Huffman codes, of arithmetic coding, of quantization; the restart interval

# Patterns, as a loop over these bytes takes a second for a megabyte of them, where a file is made to have so many.
MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)  # but those that are alone: restarts, starts, 01
END_OF_CODES = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)


class Segment(NamedTuple):
    """A marker and what belongs to it.

    body[start:end] is the segment with its marker, body[end:codes_end] the coded data behind a scan's header. is_cut
    says that the file ends before the segment does.
    """

    marker: int
    start: int
    end: int
    codes_end: int
    is_cut: bool = False


class Frame(NamedTuple):
    """What the frame header says. components are the identifiers of the channels, in their order."""

    marker: int
    width: int
    height: int
    components: bytes


class Scan(NamedTuple):
    """What a scan header says: its components, its first and last coefficient, and how many low bits it leaves out."""

    components: bytes
    first: int
    last: int
    missing_bits: int


def walk(body: bytes, header_only: bool = False) -> Iterator[Segment]:
    """Yield a JPEG's segments after its start marker, to the end of its first picture or of the file.

    Args:
        body: the file, which begins with a start-of-image marker.
        header_only: end with the header of the first scan. Its coded data is not looked at.
    """
    at = 2
    while found := MARKER.search(body, at):
        start, at = found.span()
        marker = body[start + 1]
        if marker == END_OF_IMAGE:
            yield Segment(marker, start, at, at)
            return
        end = at + (int.from_bytes(body[at : at + 2]) or 2)
        if end > len(body):
            yield Segment(marker, start, len(body), len(body), is_cut=True)
            return
        is_scan = marker == START_OF_SCAN
        at = find_end_of_codes(body, end) if is_scan and not header_only else end
        yield Segment(marker, start, end, at)
        if is_scan and header_only:
            return


def find_end_of_codes(body: bytes, start: int) -> int:
    """Return where a scan's coded data ends: at a marker other than a restart, or with the file."""
    found = END_OF_CODES.search(body, start)
    return found.start() if found else len(body)


def read_frame(body: bytes, segment: Segment) -> Frame:
    """Read a frame header. Raises IndexError where it is too short."""
    start = segment.start
    height, width = (int.from_bytes(body[start + at : start + at + 2]) for at in (5, 7))
    components = bytes(body[start + 10 + 3 * number] for number in range(body[start + 9]))
    return Frame(segment.marker, width, height, components)


def read_scan(body: bytes, segment: Segment) -> Scan:
    """Read a scan header. Raises IndexError where it is too short."""
    start = segment.start
    count = body[start + 4]
    first, last, bits = body[start + 5 + 2 * count : start + 8 + 2 * count]
    return Scan(bytes(body[start + 5 + 2 * number] for number in range(count)), first, last, bits & 15)


def has_all_coefficients(frame: Frame, scans: Iterable[Scan]) -> bool:
    """Return whether the scans have each coefficient of each component, to its last bit."""
    missing = {component: [1] * 64 for component in frame.components}
    for scan in scans:
        # Some encoders write zeros into the scan header of a frame that is not progressive.
        first, last, bits = scan[1:] if frame.marker in PROGRESSIVE_FRAMES else (0, 63, 0)
        for component in scan.components:
            for coefficient in range(first, min(last, 63) + 1):
                missing[component][coefficient] = bits
    return not any(any(bits) for bits in missing.values())
