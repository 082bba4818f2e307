"""Check where an HDF5 file keeps its attributes' texts and its arrays' names, before the library reads them.

Texts of any length are in global heaps, the only part of the metadata without a checksum. Where one bit of a heap's
sizes is wrong, HDF5 2.0 may read the heap for ever. The arrays' names are in a tree. (HDF5 File Format Specification
3.0, "Global Heap", "Data Object Headers", "Link Info Message")
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imageset.errors import DamagedFile
from imageset.formats.name_tree import require_sound_tree

ROOT = 36  # where the superblock, of version 3, has the address of the root group
MOST_BYTES = 1 << 20  # of a header's chunk, or of a heap
MOST_CHUNKS = 64
LEAST_HEAP = 4096
UNDEFINED = 2**64 - 1
LINK_INFO, ATTRIBUTE, CONTINUATION, ATTRIBUTE_INFO = 0x02, 0x0C, 0x10, 0x15  # kinds of messages in an object's header
TIMES, PHASES, ORDER = 0x20, 0x10, 0x04  # bits of a header's flags
OF_ANY_LENGTH = 9  # class of a datatype
UNREADABLE = (struct.error, IndexError, ValueError)


def require_sound_heaps(path: Path) -> None:
    """Raise DamagedFile if HDF5 may not come to the end of a text of a file's attributes, or of its arrays' names.

    Args:
        path: a file that begins as `plain_hdf5.require_our_superblock` says.
    """
    with path.open("rb") as file:
        try:
            (root,) = struct.unpack("<Q", read(file, ROOT, 8))
            found = list(messages(file, root))
            heaps = {heap for kind, message in found for heap in heaps_of(kind, message)}
            for tree in (tree for kind, message in found for tree in trees_of(kind, message)):
                require_sound_tree(file, tree)
            is_sound = all(is_sound_heap(file, heap) for heap in heaps)
        except UNREADABLE:
            is_sound = False
    if not is_sound:
        raise DamagedFile(path, "is damaged (its attributes or names cannot be read)")


def read(file: IO[bytes], start: int, length: int) -> bytes:
    """Return bytes; fewer where the file ends."""
    if length > MOST_BYTES or start >= 2**63:
        raise IndexError(f"{length} bytes at {start}")
    file.seek(start)
    return file.read(length)


def messages(file: IO[bytes], address: int) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the body of each message of an object's header, of version 2."""
    signature, version, flags = struct.unpack("<4sBB", read(file, address, 6))
    if (signature, version) != (b"OHDR", 2):
        raise IndexError(address)
    start = address + 6 + (16 if flags & TIMES else 0) + (4 if flags & PHASES else 0)
    width = 1 << (flags & 3)
    chunks = [(start + width, int.from_bytes(read(file, start, width), "little"))]
    for start, length in chunks:  # grows
        body = read(file, start, length)
        place, head = 0, 6 if flags & ORDER else 4
        while place + head <= len(body):
            kind, size = struct.unpack_from("<BH", body, place)
            message = body[place + head : place + head + size]
            yield kind, message
            if kind == CONTINUATION:
                following, bytes_of_it = struct.unpack_from("<QQ", message)
                chunks.append((following + 4, bytes_of_it - 8))  # between a signature and a checksum
                if len(chunks) > MOST_CHUNKS:
                    raise IndexError(following)
            place += head + size


def heaps_of(kind: int, message: bytes) -> list[int]:
    """Return the addresses of the heaps that a message's texts are in."""
    if kind == ATTRIBUTE_INFO:
        start = 4 if message[1] & 1 else 2
        if struct.unpack_from("<Q", message, start) != (UNDEFINED,):
            raise IndexError(kind)  # more than eight attributes, which are elsewhere
    if kind != ATTRIBUTE:
        return []
    version, flags, *sizes = struct.unpack_from("<BBHHH", message)
    if not 1 <= version <= 3 or (flags and version > 1):  # shared types
        raise IndexError(kind)
    start = 9 if version == 3 else 8
    name, datatype, space = (-(-size // 8) * 8 if version == 1 else size for size in sizes)
    if message[start + name] & 0x0F != OF_ANY_LENGTH:
        return []
    values = message[start + name + datatype + space :]
    values = values[: len(values) // 16 * 16]
    return [address for _, address, _ in struct.iter_unpack("<IQI", values)]


def trees_of(kind: int, message: bytes) -> list[int]:
    """Return the addresses of the trees of a group's names, none where the names are in the header."""
    if kind != LINK_INFO:
        return []
    version, flags = struct.unpack_from("<BB", message)
    if version or flags:  # links in the order of their creation, which our files do not note
        raise IndexError(kind)
    _, tree = struct.unpack_from("<QQ", message, 2)
    return [] if tree == UNDEFINED else [tree]


def is_sound_heap(file: IO[bytes], address: int) -> bool:
    """Return whether the objects of a heap lie one behind the other, up to its end."""
    signature, version, size = struct.unpack("<4sB3xQ", read(file, address, 16))
    if (signature, version) != (b"GCOL", 1) or not LEAST_HEAP <= size <= MOST_BYTES:
        return False
    heap = read(file, address, size)
    place = 16
    while place + 16 <= size == len(heap):
        index, length = struct.unpack_from("<H6xQ", heap, place)
        if index == 0:  # what is free, with its own head
            return bool(place + length == size)
        place += 16 + -(-length // 8) * 8
    return bool(place <= size == len(heap))
