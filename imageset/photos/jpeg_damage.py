"""Find JPEGs that are cut or damaged, although a decoder would make a picture of them. No files, no network.

libjpeg guesses and warns where it does, and Pillow does not pass that on. So a JPEG is decoded once more, to an eighth
of its sides, by simplejpeg: it makes an error of libjpeg's first warning.
"""

import re

import simplejpeg

from imageset.photos.jpeg_markers import (
    END_OF_IMAGE,
    FRAMES,
    METADATA,
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
from imageset.photos.stray_text import find_text

START, END = b"\xff\xd8", b"\xff\xd9"
NEEDED = (*FRAMES, *TABLES)  # to decode a JPEG's scans
KNOWN = (*NEEDED, START_OF_SCAN, *METADATA)  # libjpeg refuses others, which are left out here

# Warnings of libjpeg that bytes of no use may have caused. It is asked again without such bytes.
MAY_BE_HARMLESS = re.compile("extraneous bytes|Invalid SOS parameters")
UNKNOWN_SAMPLING = "Could not determine subsampling"
RESTART = re.compile(rb"(\xff[\xd0-\xd7])", re.DOTALL)
LEAST_PADDING = 4  # so many equal bytes before a marker
LEAST_ZEROS = (LEAST_PADDING, 1)  # of zeros then also fewer: not at first, as coded data may end with some


def find_damage(body: bytes, sides: tuple[int, int]) -> str | None:
    """Return why a JPEG is not whole: truncated, damaged, or undecodable of a kind no browser shows.

    Args:
        body: the file, untrusted.
        sides: width and height as its decoder reads them.

    Returns:
        "" where libjpeg decodes all of it without a warning, None where no damage is found otherwise.

    Raises:
        MemoryError: there is too little for the decode.
    """
    try:
        return judge(body, sides)
    except (LookupError, ValueError):  # a segment that is too short
        return name_damage(body)


def mend(body: bytes) -> bytes:
    """Return a JPEG with an end marker. No decoder looks behind the first one, where there is one."""
    return body if body.endswith(END) else body + END


def judge(body: bytes, sides: tuple[int, int]) -> str | None:
    """Return what find_damage returns. Raises LookupError or ValueError where a segment is too short."""
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
    warning = fault = decode_strictly(b"".join([START, *tables, memoryview(body)[scan.start :], END]))
    for least_zeros in LEAST_ZEROS if MAY_BE_HARMLESS.search(fault) else ():
        if not (fault := decode_strictly(strip(body, frame, least_zeros))):
            break
    if UNKNOWN_SAMPLING in fault:
        fault = "" if ends_with_marker(body) else fault  # nothing more can be told
    if fault:
        return name_damage(body)
    if not has_all_scans(body, frame, scan):
        return "truncated"
    if find_text_in_codes(body, scan):
        return "damaged"
    is_common = all(segment.marker in KNOWN for segment in header)
    return "" if is_common and not warning else None


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
    return "damaged" if ends_with_marker(body) or body.rstrip(b"\0").endswith(END) else "truncated"


def ends_with_marker(body: bytes) -> bool:
    """Return whether a JPEG has an end marker after its first picture."""
    return any(segment.marker == END_OF_IMAGE for segment in walk(body))


def strip(body: bytes, frame: Frame, least_zeros: int) -> bytes:
    """Return a JPEG without bytes of no use: between its segments, and padding at the end of coded data."""
    pieces = [START]
    for segment in walk(body):
        if segment.marker not in (*NEEDED, START_OF_SCAN):
            continue
        header = body[segment.start : segment.end]
        if segment.marker == START_OF_SCAN and frame.marker not in PROGRESSIVE_FRAMES:
            header = header[:-3] + b"\0\x3f\0"  # the only values that such a frame has
        codes = RESTART.split(body[segment.end : segment.codes_end])
        pieces += [header, *(strip_padding(piece, least_zeros) for piece in codes)]
    return b"".join([*pieces, END])


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
