"""All pairs of 64-bit hashes within a Hamming distance, in less than quadratic time; pure.

Multi-index hashing (Norouzi, Punjani, Fleet: Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012): of two
hashes that differ in at most d bits, one of their four quarters differs in at most d // 4. So it is enough to compare
hashes whose quarters are that near, which are few.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imageset.curation.crop_hashes import Hashes

QUARTERS = 4
BITS = 16
CELLS_AT_ONCE = 1 << 20  # of the table of distances: 20 MB

Rows = NDArray[np.intp]


def near(queries: Hashes, base: Hashes, distance: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield numbers of queries and of the hashes in base that differ in at most `distance` bits; a pair may come twice.

    Memory is that of queries and base, three times, and of CELLS_AT_ONCE.
    """
    changes = patterns(distance // QUARTERS)
    for quarter in range(QUARTERS):
        asked, asked_order, asked_bounds = by_quarter(queries, quarter)
        known, known_order, known_bounds = by_quarter(base, quarter)
        for value in np.flatnonzero(np.diff(asked_bounds)).tolist():
            neighbours = value ^ changes
            neighbours = neighbours[known_bounds[neighbours + 1] > known_bounds[neighbours]]
            if not len(neighbours):
                continue
            ranges = zip(known_bounds[neighbours].tolist(), known_bounds[neighbours + 1].tolist(), strict=True)
            rows = np.concatenate([np.arange(low, high) for low, high in ranges])
            block = slice(asked_bounds[value], asked_bounds[value + 1])
            for left, right in close(asked[block], known[rows], distance):
                yield asked_order[block][left], known_order[rows[right]]


def close(queries: Hashes, base: Hashes, distance: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield numbers of queries and of the hashes in base that differ in at most `distance` bits, comparing all."""
    width = min(len(base), CELLS_AT_ONCE)
    height = max(1, CELLS_AT_ONCE // width)
    for top in range(0, len(queries), height):
        for left in range(0, len(base), width):
            apart = np.bitwise_count(queries[top : top + height, np.newaxis] ^ base[left : left + width])
            rows, columns = np.nonzero(apart <= distance)
            if len(rows):
                yield top + rows, left + columns


def patterns(radius: int) -> NDArray[np.int64]:
    """Return every number of a quarter's bits of which at most `radius` are set.

    >>> patterns(0), len(patterns(1)), len(patterns(2))
    (array([0]), 17, 137)
    """
    return np.array(
        [sum(1 << bit for bit in bits) for count in range(radius + 1) for bits in combinations(range(BITS), count)],
        np.int64,
    )


def by_quarter(hashes: Hashes, quarter: int) -> tuple[Hashes, Rows, NDArray[np.int64]]:
    """Return hashes sorted by a quarter's value, their numbers, and where each value begins and the last one ends."""
    values = ((hashes >> np.uint64(BITS * quarter)) & np.uint64((1 << BITS) - 1)).astype(np.int64)
    order = np.argsort(values, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=1 << BITS))])
    return hashes[order], order, bounds
