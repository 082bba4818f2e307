"""All pairs of 64-bit hashes within a Hamming distance, in less than quadratic time; pure.

After Greene, Parnas, Yao: Multi-Index Hashing for Information Retrieval, FOCS 1994. The bits are cut into d + k parts.
Two hashes that differ in at most d bits have at least k parts in common. So hashes are sorted by each k of the parts,
and only those with equal ones are compared. More parts in common make fewer comparisons, but more sorting: the more
hashes there are, the larger k is.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb, log2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageset.curation.views import Hashes
from imageset.formats.hdf5 import Indices

BITS = 64
STRIDE = 29  # neighbouring bits of a hash are alike in many photos: bit i of a hash is bit STRIDE * i of the parts
KEY_BITS = 32  # of a key that is sorted by; the others hold a place
MOST_TABLES = 250
PER_KEY = 8  # hashes: with fewer, sorting takes longer than comparing
FEW_CELLS = 1 << 24  # below, comparing all takes less time than sorting
CELLS_AT_ONCE = 1 << 20  # of the table of distances: 20 MB
SPREAD_AT_ONCE = 1 << 16  # hashes, each of 64 bytes
LARGE_RUN = 1 << 13  # cells of a run of equal keys that is compared by itself

Key = tuple[int, ...]  # the numbers of the parts that are equal


class Runs(NamedTuple):
    """Hashes sorted by a key.

    Attributes:
        hashes: sorted, uint64 (N,).
        places: before they were sorted, (N,).
        keys: the different keys, sorted, (K,).
        bounds: where the hashes of each key begin, and where the last end, (K + 1,).
    """

    hashes: Hashes
    places: Indices
    keys: NDArray[np.uint64]
    bounds: Indices


def find_near(queries: Hashes, base: Hashes, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Find all pairs of a query and a hash in base that differ in at most `distance` bits.

    Memory is six times that of queries and base, and the table of CELLS_AT_ONCE distances.

    Args:
        queries: uint64 (Q,).
        base: uint64 (B,).
        distance: of bits, 0 to 64; the time grows with it.

    Yields:
        Places in queries and places in base, (P,) each, a part of the pairs at a time. Each pair comes once.
    """
    if len(queries) * len(base) <= FEW_CELLS or not (len(queries) and len(base)):
        return compare_all(queries, base, distance)
    return compare_by_parts(queries, base, distance, choose_common(len(base), distance))


def choose_common(count: int, distance: int) -> int:
    """Return how many parts must be equal: so many that no more than PER_KEY of `count` random hashes have one key."""
    common = 1
    while (
        BITS * common < log2(count / PER_KEY) * (distance + common)
        and comb(distance + common + 1, distance) <= MOST_TABLES
    ):
        common += 1
    return common


def compare_by_parts(queries: Hashes, base: Hashes, distance: int, common: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield the same as find_near, by comparing hashes with `common` equal parts of distance + common.

    queries, base: at least one each.
    """
    edges = [BITS * number // (distance + common) for number in range(distance + common + 1)]
    queries, base = spread_bits(queries), spread_bits(base)
    for key in combinations(range(distance + common), common):
        one, other = (sort_by_key(hashes, edges, key) for hashes in (queries, base))
        for left, right in compare_runs(one, other, distance):
            differing = one.hashes[left] ^ other.hashes[right]
            # With more equal parts than that, a pair has several keys: the first one counts. Keys of more than KEY_BITS
            # are cut off, so that parts of them may differ.
            first = np.ones(len(left), bool)
            for part in range(key[-1] + 1):
                bits = differing & np.uint64((1 << edges[part + 1]) - (1 << edges[part]))
                first &= (bits == 0) == (part in key)
            if first.any():
                yield one.places[left[first]], other.places[right[first]]


def spread_bits(hashes: Hashes) -> Hashes:
    """Return hashes with their bits in another order: those of one part tell photos apart better."""
    order = np.arange(BITS) * STRIDE % BITS
    spread = np.empty_like(hashes)
    for start in range(0, len(hashes), SPREAD_AT_ONCE):
        block = slice(start, start + SPREAD_AT_ONCE)
        bits = np.unpackbits(hashes[block].reshape(-1, 1).view(np.uint8), axis=1)
        spread[block] = np.packbits(np.take(bits, order, axis=1).reshape(-1)).view(np.uint64)
    return spread


def sort_by_key(hashes: Hashes, edges: list[int], key: Key) -> Runs:
    """Return hashes sorted by some of their parts. edges: the bit that each part begins with, and the end."""
    keys = np.zeros_like(hashes)
    for part in key:
        width = edges[part + 1] - edges[part]
        keys = keys << np.uint64(width) | hashes >> np.uint64(edges[part]) & np.uint64((1 << width) - 1)
    # Key and place in one number: this sorts five times as fast as argsort.
    ordered = np.sort(keys << np.uint64(BITS - KEY_BITS) | np.arange(len(hashes), dtype=np.uint64))
    places = (ordered & np.uint64((1 << (BITS - KEY_BITS)) - 1)).astype(np.intp)
    keys = ordered >> np.uint64(BITS - KEY_BITS)
    starts = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    bounds = np.concatenate([[0], starts, [len(keys)]])
    return Runs(hashes[places], places, keys[bounds[:-1]], bounds)


def compare_runs(one: Runs, other: Runs, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield the same as find_near for hashes with equal keys, as places in the sorted hashes."""
    left, right = match(one.keys, other.keys)
    begin, end, first, last = one.bounds[left], one.bounds[left + 1], other.bounds[right], other.bounds[right + 1]
    cells = (end - begin) * (last - first)
    is_large = cells > min(LARGE_RUN, CELLS_AT_ONCE)
    for run in np.flatnonzero(is_large).tolist():
        queries, base = slice(begin[run], end[run]), slice(first[run], last[run])
        for rows, columns in compare_all(one.hashes[queries], other.hashes[base], distance):
            yield begin[run] + rows, first[run] + columns
    small = np.flatnonzero(~is_large)
    ends = np.cumsum(cells[small])
    cut = 0
    while cut < len(small):
        done = ends[cut - 1] if cut else 0
        upto = int(np.searchsorted(ends, done + CELLS_AT_ONCE, side="right"))
        runs = small[cut:upto]
        rows = expand(begin[runs], end[runs])
        widths = np.repeat(last[runs] - first[runs], end[runs] - begin[runs])
        starts = np.repeat(first[runs], end[runs] - begin[runs])
        columns = expand(starts, starts + widths)
        rows = np.repeat(rows, widths)
        near = np.flatnonzero(np.bitwise_count(one.hashes[rows] ^ other.hashes[columns]) <= distance)
        if len(near):
            yield rows[near], columns[near]
        cut = upto


def match(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> tuple[Indices, Indices]:
    """Return the places of the values that both have, of sorted values that differ."""
    if len(one) < len(other):
        return match(other, one)[::-1]
    places = np.minimum(np.searchsorted(one, other), len(one) - 1)
    equal = np.flatnonzero(one[places] == other)
    return places[equal], equal


def expand(begin: Indices, end: Indices) -> Indices:
    """Return the numbers of all ranges, one range after the other.

    >>> expand(np.array([3, 8]), np.array([5, 9]))
    array([3, 4, 8])
    """
    lengths = end - begin
    offsets = np.cumsum(lengths) - lengths
    numbers: Indices = np.arange(lengths.sum()) + np.repeat(begin - offsets, lengths)
    return numbers


def compare_all(queries: Hashes, base: Hashes, distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield the same as find_near, by comparing every query with every hash in base."""
    width = max(1, min(len(base), CELLS_AT_ONCE))
    height = max(1, CELLS_AT_ONCE // width)
    for top in range(0, len(queries), height):
        for left in range(0, len(base), width):
            distances = np.bitwise_count(queries[top : top + height, np.newaxis] ^ base[left : left + width])
            rows, columns = np.nonzero(distances <= distance)
            if len(rows):
                yield top + rows, left + columns
