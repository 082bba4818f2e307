"""Whether a WebP is whole: its header says how long it is. Pixels have no checksum: other damage may stay unseen."""

from collections.abc import Iterator

from imageset.photos.stray_text import find_text

PIXELS = (b"VP8 ", b"VP8L", b"ALPH")  # the chunks that have them
FRAME_HEADER_BYTES = 16  # of ANMF, before the chunks of a frame


def is_cut(body: bytes) -> bool:
    """Return whether a WebP says that it is longer."""
    return read_end(body) > len(body)


def has_text(body: bytes) -> bool:
    """Return whether text is within a WebP's coded data: its pixels, but an alpha channel that is not compressed."""
    return any(find_text(body, start, end) for start, end in find_coded(body))


def find_coded(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where coded data begins and ends. All chunks of a frame have some: text may be over their names."""
    for name, start, end in walk(body, 12, read_end(body)):
        if name == b"ANMF":
            for inner, first, last in walk(body, start + FRAME_HEADER_BYTES, end):
                if not is_stored_alpha(body, inner, first):
                    yield first, last
        elif name in PIXELS and not is_stored_alpha(body, name, start):
            yield start, end


def is_stored_alpha(body: bytes, name: bytes, start: int) -> bool:
    """Return whether a chunk is an alpha channel that is not compressed. Its data begins at start."""
    return name == b"ALPH" and int.from_bytes(body[start : start + 1]) & 3 == 0


def walk(body: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk within body[start:end], and where its data begins and ends."""
    whole = min(len(body), end)
    while start + 8 <= whole:
        size = read_number(body, start + 4)
        yield body[start : start + 4], start + 8, start + 8 + size
        start += 8 + size + size % 2


def read_end(body: bytes) -> int:
    """Return where a WebP ends, as its header says."""
    return 8 + read_number(body, 4)


def read_number(body: bytes, start: int) -> int:
    """Read 32 bits, the lowest first."""
    return int.from_bytes(body[start : start + 4], "little")
