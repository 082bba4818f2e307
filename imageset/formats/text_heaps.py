"""Check where an HDF5 file keeps its attributes' texts and its arrays' names, before the library reads them.

Texts of any length are in global heaps, the only part of the metadata without a checksum. Where one bit of a heap's
sizes is wrong, HDF5 2.0 may read the heap for ever. A text that says that it is longer than its object makes HDF5 ask
for as much memory. The arrays' names are in a tree. (HDF5 File Format Specification 3.0, "Global Heap", "Data Object
Headers", "Link Info Message")
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from imageset.errors import DamagedFile
from imageset.formats.name_tree import MOST_BYTES, read, require_sound_tree

ROOT = 36  # where the superblock, of version 3, has the address of the root group
MOST_CHUNKS = 64
LEAST_HEAP = 4096
UNDEFINED = 2**64 - 1
LINK_INFO, ATTRIBUTE, CONTINUATION, ATTRIBUTE_INFO = 0x02, 0x0C, 0x10, 0x15  # kinds of messages in an object's header
TIMES, PHASES, ORDER = 0x20, 0x10, 0x04  # bits of a header's flags
OF_ANY_LENGTH = 9  # class of a datatype
UNREADABLE = (struct.error, LookupError, ValueError)


class Text(NamedTuple):
    """Where a text is: its bytes, the address of its heap, and the number of its object there."""

    length: int
    heap: int
    number: int


def require_sound_heaps(path: Path) -> None:
    """Raise DamagedFile if HDF5 may not come to the end of a text of a file's attributes, or of its arrays' names.

    Args:
        path: a file that begins as `plain_hdf5.require_our_superblock` says.
    """
    with path.open("rb") as file:
        require_sound_heaps_in(file, path)


def require_sound_heaps_in(file: IO[bytes], name: object) -> None:
    """Do the same for an open file. name: of the file, for messages."""
    try:
        (root,) = struct.unpack("<Q", read(file, ROOT, 8))
        found = list(messages(file, root))
        texts = {text for kind, message in found for text in texts_of(kind, message)}
        for tree in (tree for kind, message in found for tree in trees_of(kind, message)):
            require_sound_tree(file, tree)
        heaps = {text.heap: lengths_in_heap(file, text.heap) for text in texts}
        is_sound = all(text.length <= heaps[text.heap][text.number] for text in texts)
    except UNREADABLE:
        is_sound = False
    if not is_sound:
        raise DamagedFile(name, "is damaged (its attributes or names cannot be read)")


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


def texts_of(kind: int, message: bytes) -> list[Text]:
    """Return where a message's texts are."""
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
    if struct.unpack_from("<I", message, start + name + 12) != (1,):  # bytes of a letter, by which HDF5 asks for memory
        raise IndexError(kind)
    values = message[start + name + datatype + space :]
    values = values[: len(values) // 16 * 16]
    texts = [Text(*text) for text in struct.iter_unpack("<IQI", values)]
    return [text for text in texts if text.length > 0]  # an empty one is in no heap


def trees_of(kind: int, message: bytes) -> list[int]:
    """Return the addresses of the trees of a group's names, none where the names are in the header."""
    if kind != LINK_INFO:
        return []
    version, flags = struct.unpack_from("<BB", message)
    if version or flags:  # links in the order of their creation, which our files do not note
        raise IndexError(kind)
    _, tree = struct.unpack_from("<QQ", message, 2)
    return [] if tree == UNDEFINED else [tree]


def lengths_in_heap(file: IO[bytes], address: int) -> dict[int, int]:
    """Return the length of each object of a heap by its number. They lie one behind the other, up to the heap's end."""
    signature, version, size = struct.unpack("<4sB3xQ", read(file, address, 16))
    if (signature, version) != (b"GCOL", 1) or not LEAST_HEAP <= size <= MOST_BYTES:
        raise IndexError(address)
    heap = read(file, address, size)
    if len(heap) != size:
        raise IndexError(address)
    lengths: dict[int, int] = {}
    place = 16
    while place + 16 <= size:
        number, length = struct.unpack_from("<H6xQ", heap, place)
        if number == 0:  # what is free, with its own head
            if place + length != size:
                raise IndexError(address)
            return lengths
        lengths[number] = length
        place += 16 + -(-length // 8) * 8
    if place > size:
        raise IndexError(address)
    return lengths
