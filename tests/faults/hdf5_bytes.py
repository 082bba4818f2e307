"""Change the bytes of an HDF5 file as an attacker does: behind the change, all checksums of metadata are right again.

Without that, HDF5 itself refuses nearly every change of what its version 1.10 format has beside the values.
"""

import struct

MASK = 0xFFFFFFFF
SIGNATURES = (
    b"OHDR",
    b"OCHK",
    b"FRHP",
    b"FHDB",
    b"FHIB",
    b"BTHD",
    b"BTLF",
    b"BTIN",
    b"FSHD",
    b"FSSE",
    b"FAHD",
    b"FADB",
)


def lookup3(data: bytes) -> int:
    """Return Bob Jenkins's checksum "hashlittle", as HDF5 stores it behind its metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    rest = len(data)
    place = 0
    while rest > 12:
        x, y, z = struct.unpack_from("<3I", data, place)
        a, b, c = mix((a + x) & MASK, (b + y) & MASK, (c + z) & MASK)
        place, rest = place + 12, rest - 12
    if not rest:
        return c
    x, y, z = struct.unpack("<3I", data[place:].ljust(12, b"\0"))
    return final((a + x) & MASK, (b + y) & MASK, (c + z) & MASK)


def rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & MASK


def mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & MASK) ^ rotate(c, by)
        c = (c + b) & MASK
        a, b, c = b, c, a
    return a, b, c


def final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - rotate(b, by)) & MASK
        a, b, c = b, c, a
    return b


def find_parts(content: bytes) -> dict[int, int]:
    """Return where each part with a checksum begins, and where its checksum is, of a whole file."""
    found = {0: 44}
    for signature in SIGNATURES:
        start = content.find(signature)
        while start >= 0:
            end = find_checksum(content, start)
            if end is not None:
                found[start] = end
            start = content.find(signature, start + 1)
    return found


def find_checksum(content: bytes, start: int) -> int | None:
    """Return where the checksum of the part is that begins here: at the first place where it is right."""
    for end in range(start + 8, min(start + 4096, len(content) - 3)):
        if struct.unpack_from("<I", content, end)[0] == lookup3(content[start:end]):
            return end
    return None


def with_checksums(content: bytes, parts: dict[int, int]) -> bytes:
    """Return the bytes with the checksums that they need now. parts: of the file before it was changed."""
    changed = bytearray(content)
    for start, end in parts.items():
        if end + 4 <= len(changed):
            struct.pack_into("<I", changed, end, lookup3(bytes(changed[start:end])))
    return bytes(changed)
