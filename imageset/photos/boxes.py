"""Whether a file of boxes, AVIF or HEIC, is whole. AV1 and HEVC have no check sums: other damage may stay unseen."""

from collections.abc import Iterator

# The boxes that a picture needs. Cameras append other things, which may be cut or no boxes at all.
NEEDED = (b"ftyp", b"meta", b"moov", b"mdat")

# Compressed pixels never end with so many zeros. A download that was interrupted may: its space was reserved.
ZEROS = bytes(1024)


def is_cut(body: bytes) -> bool:
    """Return whether a part of a file is missing at its end, or is nothing but zeros."""
    for kind, start, end in scan_boxes(body):
        if kind in NEEDED and (end > len(body) or (kind == b"mdat" and body.endswith(ZEROS, start, end))):
            return True
    return False


def scan_boxes(body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box of the outermost level, where it starts, and where it should end."""
    start = 0
    while start + 8 <= len(body):
        size, kind, header = int.from_bytes(body[start : start + 4]), body[start + 4 : start + 8], 8
        if size == 0:  # to the end of the file
            size = len(body) - start
        elif size == 1:
            size, header = int.from_bytes(body[start + 8 : start + 16]), 16
        if size < header:
            return
        yield kind, start, start + size
        start += size
