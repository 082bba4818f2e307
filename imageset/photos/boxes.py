"""Whether a file of boxes, AVIF or HEIC, is whole, and an AVIF without its EXIF.

AV1 and HEVC have no check sums: other damage may stay unseen.
"""

from collections.abc import Iterator

# The boxes that a picture needs. Cameras append other things, which may be cut or no boxes at all.
NEEDED = (b"ftyp", b"meta", b"moov", b"mdat")

# Compressed pixels never end with so many zeros. A download that was interrupted may: its space was reserved.
ZEROS = bytes(1024)

EXIF, IGNORED = b"Exif", b"none"  # types of items: decoders ignore a type that they do not know


def is_cut(body: bytes) -> bool:
    """Return whether a part of a file is missing at its end, or is nothing but zeros."""
    for kind, start, end in scan_boxes(body):
        if kind in NEEDED and (end > len(body) or (kind == b"mdat" and body.endswith(ZEROS, start, end))):
            return True
    return False


def remove_exif(body: bytes) -> bytes:
    """Return a file without its EXIF. Pillow refuses an AVIF with EXIF that is broken, and an orientation in it does
    not count.

    Args:
        body: the file, untrusted.
    """
    mended = bytearray(body)
    for kind, start, end in scan_boxes(body):
        if kind == b"meta":
            for place in find_item_types(body, start + 4, end):
                if body.startswith(EXIF, place):
                    mended[place : place + 4] = IGNORED
    return bytes(mended)


def find_item_types(body: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where a meta box, whose boxes are body[start:end], has the type of each item.

    ISO/IEC 14496-12, 8.11.6: an item's id has 4 bytes in version 3, before it 2.
    """
    for kind, content, last in scan_boxes(body, start, end):
        if kind == b"iinf":
            entries = content + (6 if body.startswith(b"\0", content) else 8)
            for entry, version, _ in scan_boxes(body, entries, last):
                if entry == b"infe":
                    yield version + (10 if body.startswith(b"\3", version) else 8)


def scan_boxes(body: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box of one level, body[start:end], where its content starts, and where it should end."""
    last = len(body) if end is None else min(end, len(body))
    while start + 8 <= last:
        size, kind, header = int.from_bytes(body[start : start + 4]), body[start + 4 : start + 8], 8
        if size == 0:  # to the end of the file
            size = last - start
        elif size == 1:
            size, header = int.from_bytes(body[start + 8 : start + 16]), 16
        if size < header:
            return
        yield kind, start + header, start + size
        start += size
