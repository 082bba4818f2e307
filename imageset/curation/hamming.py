"""All pairs of 64-bit hashes within a Hamming distance, in less than quadratic time; pure.

Multi-index hashing (Norouzi, Punjani, Fleet: Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012). When
two hashes differ in at most d bits, at least one of their four quarters differs in at most d // 4 bits. So only hashes
with such a quarter in common are compared, and these are few.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imageset.curation.views import Hashes
from imageset.formats.hdf5 import Indices

QUARTERS = 4
BITS = 16
CELLS_AT_ONCE = 1 << 20  # of the table of distances: 20 MB


def find_near(queries: Hashes, base: Hashes, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Find all pairs of a query and a hash in base that differ in at most `distance` bits.

    Memory is three times that of queries and base, and the table of CELLS_AT_ONCE distances.

    Args:
        queries: uint64 (Q,).
        base: uint64 (B,).
        distance: of bits, 0 to 64; the time grows with it.

    Yields:
        Places in queries and places in base, (P,) each, a part of the pairs at a time. A pair may come twice.
    """
    changes = quarters_within(distance // QUARTERS)
    for quarter in range(QUARTERS):
        sorted_queries, query_order, query_bounds = sort_by_quarter(queries, quarter)
        sorted_base, base_order, base_bounds = sort_by_quarter(base, quarter)
        for value in np.flatnonzero(np.diff(query_bounds)).tolist():
            neighbours = value ^ changes
            neighbours = neighbours[base_bounds[neighbours + 1] > base_bounds[neighbours]]
            if not len(neighbours):
                continue
            ranges = zip(base_bounds[neighbours].tolist(), base_bounds[neighbours + 1].tolist(), strict=True)
            places = np.concatenate([np.arange(low, high) for low, high in ranges])
            block = slice(query_bounds[value], query_bounds[value + 1])
            for left, right in compare_all(sorted_queries[block], sorted_base[places], distance):
                yield query_order[block][left], base_order[places[right]]


def compare_all(queries: Hashes, base: Hashes, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield the same as find_near, by comparing every query with every hash in base."""
    width = min(len(base), CELLS_AT_ONCE)
    height = max(1, CELLS_AT_ONCE // width)
    for top in range(0, len(queries), height):
        for left in range(0, len(base), width):
            distances = np.bitwise_count(queries[top : top + height, np.newaxis] ^ base[left : left + width])
            rows, columns = np.nonzero(distances <= distance)
            if len(rows):
                yield top + rows, left + columns


def quarters_within(radius: int) -> NDArray[np.int64]:
    """Return all values of a quarter in which at most `radius` bits are set.

    >>> quarters_within(0), len(quarters_within(1)), len(quarters_within(2))
    (array([0]), 17, 137)
    """
    return np.array(
        [sum(1 << bit for bit in bits) for count in range(radius + 1) for bits in combinations(range(BITS), count)],
        np.int64,
    )


def sort_by_quarter(hashes: Hashes, quarter: int) -> tuple[Hashes, Indices, Indices]:
    """Return hashes sorted by a quarter's value, their places before, and where each value begins and the last ends."""
    values = ((hashes >> np.uint64(BITS * quarter)) & np.uint64((1 << BITS) - 1)).astype(np.int64)
    order = np.argsort(values, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=1 << BITS))])
    return hashes[order], order, bounds
