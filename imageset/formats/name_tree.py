"""Check the tree that an HDF5 file keeps its arrays' names in, before the library reads it.

Where the tree's head says another kind or another number of names, HDF5 2.0 ends the process with signal 11; where it
says another size, HDF5 asks for as much memory. A checksum does not help: one who crafts a file writes a right one.
(HDF5 File Format Specification 3.0, "Version 2 B-trees"; how many records fit is in H5B2hdr.c of the library.)
"""

import struct
from typing import IO

# Links by their names, with HDF5's own sizes of a node and a record.
NODE_BYTES, RECORD_BYTES = 512, 11
HEAD = b"BTHD\x00\x05" + struct.pack("<IH", NODE_BYTES, RECORD_BYTES)
INNER_HEAD = b"BTIN\x00\x05"
BYTES_AROUND_RECORDS = len(INNER_HEAD) + 4  # and a checksum
MOST_BYTES = 1 << 20  # of a part of the metadata
MOST_LEVELS = 3  # above the leaves: 600,000 names


def require_sound_tree(file: IO[bytes], address: int) -> None:
    """Raise ValueError if HDF5 must not read a tree.

    Args:
        file: an HDF5 file.
        address: of the tree's head.
    """
    head = read(file, address, len(HEAD) + 22)
    levels, _, _, root, records, total = struct.unpack("<HBBQHQ", head[len(HEAD) :])
    if not head.startswith(HEAD) or levels > MOST_LEVELS:
        raise ValueError(f"head at {address}")
    if count_records(file, root, records, levels, set()) != total:
        raise ValueError(f"{total} records")


def count_records(file: IO[bytes], address: int, records: int, level: int, seen: set[int]) -> int:
    """Return how many records a node has, with those of the nodes below it.

    Args:
        file: an HDF5 file.
        address: of the node.
        records: how many the node above says that it has.
        level: how many levels are below it.
        seen: addresses of the nodes so far; this one is added.
    """
    if records > most_records(level) or address in seen:
        raise ValueError(f"node at {address}")
    seen.add(address)
    if level == 0:
        return records
    node = read(file, address, NODE_BYTES)
    if not node.startswith(INNER_HEAD):
        raise ValueError(f"node at {address}")
    total, pointer = records, pointer_bytes(level)
    for place in range(len(INNER_HEAD) + records * RECORD_BYTES, NODE_BYTES, pointer)[: records + 1]:
        below, records_of_it = struct.unpack_from("<QB", node, place)
        found = count_records(file, below, records_of_it, level - 1, seen)
        if level > 1 and int.from_bytes(node[place + 9 : place + pointer], "little") != found:
            raise ValueError(f"node at {address}")
        total += found
    return total


def most_records(level: int) -> int:
    """Return how many records fit into a node.

    >>> [most_records(level) for level in range(4)]
    [45, 24, 22, 22]
    """
    if level == 0:
        return (NODE_BYTES - BYTES_AROUND_RECORDS) // RECORD_BYTES
    pointer = pointer_bytes(level)
    return (NODE_BYTES - BYTES_AROUND_RECORDS - pointer) // (RECORD_BYTES + pointer)


def pointer_bytes(level: int) -> int:
    """Return the bytes of a pointer in a node: an address, a number of records and, above level 1, of all below."""
    return 9 if level == 1 else 11


def read(file: IO[bytes], start: int, length: int) -> bytes:
    """Return bytes of a file. Raises ValueError if it ends before, or if they are more than a part has."""
    if length > MOST_BYTES or start >= 2**63:
        raise ValueError(f"{length} bytes at {start}")
    file.seek(start)
    found = file.read(length)
    if len(found) != length:
        raise ValueError(f"{length} bytes at {start}")
    return found
