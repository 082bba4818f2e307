"""Ranks of numbers."""

import itertools

import pytest

from imageset.formats import stable_hash


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((), 0xE4A6A0577479B2B4),
        ((1, 42, 0, 1), 15_788_257_442_448_978_455),
        ((-5, 2**63 - 1), 11_425_822_829_985_825_085),
    ],
)
def test_a_rank_never_changes(numbers: tuple[int, ...], expected: int) -> None:
    """Another value would move every row, every split and every augmented copy."""
    assert stable_hash.rank(*numbers) == expected


def test_ranks_of_neighbours_differ_and_spread() -> None:
    ranks = [stable_hash.rank(seed, number) for seed, number in itertools.product(range(3), range(1000))]

    assert len(set(ranks)) == 3000
    assert 0.45 < sum(rank < 2**63 for rank in ranks) / 3000 < 0.55
    assert max(ranks) < 2**64


def test_numbers_do_not_run_together_in_a_rank() -> None:
    assert len({stable_hash.rank(*numbers) for numbers in [(1, 23), (12, 3), (123,), (1, 2, 3)]}) == 4
