"""Pairs of hashes within a Hamming distance: all of them and no other, in little memory."""

import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imageset.curation import hamming
from imageset.curation.views import Hashes
from imageset.formats.hdf5 import Indices

UNHURRIED = settings(deadline=None)  # other processes share the cores
NONE = np.empty(0, np.uint64)

anywhere = st.integers(0, 2**64 - 1)
# Hashes as photos have them: many that differ in few bits, and whole quarters that are the same everywhere.
alike = st.builds(
    lambda start, bits: start ^ sum(1 << bit for bit in bits),
    st.sampled_from([0, 2**64 - 1, 0xFFFF << 32]),
    st.sets(st.integers(0, 63), max_size=17),
)
hashes = st.lists(st.one_of(anywhere, alike), max_size=30).map(lambda values: np.array(values, np.uint64))
some = hashes.filter(lambda values: len(values) > 0)


def find(queries: Hashes, base: Hashes, distance: int) -> set[tuple[int, int]]:
    return gather(hamming.find_near(queries, base, distance))


def gather(parts: Iterable[tuple[Indices, Indices]]) -> set[tuple[int, int]]:
    pairs = [pair for left, right in parts for pair in zip(left.tolist(), right.tolist(), strict=True)]

    assert len(pairs) == len(set(pairs))
    return set(pairs)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes are sorted by their parts although comparing all would take less time."""
    monkeypatch.setattr(hamming, "FEW_CELLS", 0)


def brute_force(queries: Hashes, base: Hashes, distance: int) -> set[tuple[int, int]]:
    return {
        (left, right)
        for left, one in enumerate(queries.tolist())
        for right, other in enumerate(base.tolist())
        if (one ^ other).bit_count() <= distance
    }


def drawn(count: int, seed: int = 0) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


@pytest.mark.parametrize("common", [1, 2, 3])
@settings(UNHURRIED, max_examples=40)
@given(some, some, st.integers(0, 7))
@example(np.array([0], np.uint64), np.array([128], np.uint64), 1)  # keys of 48 bits
def test_all_pairs_are_found_once_by_their_equal_parts(
    common: int, queries: Hashes, base: Hashes, distance: int
) -> None:
    assert gather(hamming.compare_by_parts(queries, base, distance, common)) == brute_force(queries, base, distance)


@settings(UNHURRIED, max_examples=15)
@given(some, some, st.integers(8, 16))
def test_all_pairs_within_a_large_distance_are_found_by_an_equal_part(
    queries: Hashes, base: Hashes, distance: int
) -> None:
    assert gather(hamming.compare_by_parts(queries, base, distance, 1)) == brute_force(queries, base, distance)


@pytest.mark.parametrize(("distance", "parts"), [(0, 1), (3, 4), (6, 7), (16, 17)])
def test_the_more_hashes_there_are_the_more_parts_are_equal(distance: int, parts: int) -> None:
    counts = [hamming.choose_common(10**power, distance) for power in range(1, 8)]

    assert counts[0] == parts - distance
    assert counts == sorted(counts)
    assert hamming.choose_common(10**6, 6) == 3


@UNHURRIED
@given(hashes, hashes, st.integers(0, 7))
def test_all_pairs_within_the_distance_are_found_and_no_other(queries: Hashes, base: Hashes, distance: int) -> None:
    assert find(queries, base, distance) == brute_force(queries, base, distance)


@settings(UNHURRIED, max_examples=15)
@given(hashes, hashes, st.integers(8, 16))
def test_all_pairs_within_a_large_distance_are_find(queries: Hashes, base: Hashes, distance: int) -> None:
    assert find(queries, base, distance) == brute_force(queries, base, distance)


@pytest.mark.parametrize("bits", [[5], [0, 16, 32, 48], [0, 1, 17, 33, 34, 63], [0, 1, 2, 3, 4, 5]])
def test_it_does_not_matter_which_bits_differ(bits: list[int]) -> None:
    other = np.array([sum(1 << bit for bit in bits)], np.uint64)

    assert find(np.zeros(1, np.uint64), other, len(bits)) == {(0, 0)}
    assert find(np.zeros(1, np.uint64), other, len(bits) - 1) == set()


def test_every_one_of_equal_hashes_is_find() -> None:
    queries, base = np.array([7, 7], np.uint64), np.array([7, 2**60, 7, 7], np.uint64)

    assert find(queries, base, 0) == {(query, number) for query in (0, 1) for number in (0, 2, 3)}


@pytest.mark.parametrize(("queries", "base"), [(NONE, NONE), (NONE, drawn(3)), (drawn(3), NONE)])
def test_without_hashes_there_are_no_pairs(queries: Hashes, base: Hashes) -> None:
    assert find(queries, base, 6) == set()


@pytest.mark.usefixtures("few_are_many")
def test_more_queries_of_one_quarter_than_are_compared_at_once_are_all_compared() -> None:
    shared = np.uint64(0xABCD)
    queries = (drawn(5005) << np.uint64(16)) | shared
    base = queries[::-10].copy()

    assert len(queries) * len(base) > 2 * hamming.CELLS_AT_ONCE
    assert find(queries, base, 6) == {(len(queries) - 1 - 10 * number, number) for number in range(len(base))}


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("at_once", [1, 2, 7, 100])
def test_how_many_hashes_are_compared_at_once_changes_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = drawn(50) & np.uint64(0x0101_0301_0701_0F01)
    expected = brute_force(queries, queries, 6)
    monkeypatch.setattr(hamming, "CELLS_AT_ONCE", at_once)

    assert find(queries, queries, 6) == expected


@pytest.mark.usefixtures("few_are_many")
def test_a_part_has_no_more_pairs_than_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "CELLS_AT_ONCE", 10)
    sizes = [len(left) for left, _ in hamming.find_near(np.zeros(3, np.uint64), np.zeros(25, np.uint64), 0)]

    assert max(sizes) <= 10


@pytest.mark.usefixtures("few_are_many")
def test_pairs_are_places_of_the_hashes_as_they_were_given() -> None:
    base = drawn(1000)
    order = np.random.default_rng(1).permutation(1000)

    assert find(base[order], base, 6) == {(number, int(where)) for number, where in enumerate(order)}


@pytest.mark.usefixtures("few_are_many")
def test_photos_that_share_a_quarter_of_their_hashes_take_little_memory() -> None:
    shared = np.uint64(0xFFFF_FFFF_FFFF_0000)
    queries, base = drawn(2048, seed=1) & shared, drawn(20_000, seed=2) & shared
    tracemalloc.start()
    pairs = sum(len(left) for left, _ in hamming.find_near(queries, base, 6))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert pairs < 1000
    assert peak < 100e6
