"""Keys of photos and ranks of numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset import keys

PRODUCT_IDS = st.integers(0, keys.INT64_MAX)
POSITIONS = st.integers(0, keys.POSITION_MAX)


@given(PRODUCT_IDS, POSITIONS)
def test_a_key_names_the_photo_it_was_made_for(product_id: int, position: int) -> None:
    assert keys.parse_key(keys.object_key(product_id, position)) == (product_id, position)


@given(st.from_regex(r"[0-9]{0,5}(-[0-9]{0,3})?\.jpeg", fullmatch=True) | st.text(max_size=8))
def test_a_photo_has_one_spelling_of_its_key(key: str) -> None:
    photo = keys.parse_key(key)

    assert photo is None or keys.object_key(*photo) == key


@pytest.mark.parametrize("key", [
    "", "jpeg", ".jpeg", "42.jpg", "42.JPEG", "42.jpeg ", "42.jpeg\n", " 42.jpeg", "042.jpeg", "+42.jpeg", "-1.jpeg",
    "42-0.jpeg", "42-01.jpeg", "42-.jpeg", "42--1.jpeg", "42-1-1.jpeg", "4_2.jpeg", "4 2.jpeg", "1.0.jpeg",
    "\uff14\uff12.jpeg", "\u0664\u0662.jpeg", "x/42.jpeg", "../42.jpeg", "a//b", "..", "42.jpeg/", "42\x00.jpeg",
    "é.jpeg", "e\u0301.jpeg",
    f"{keys.INT64_MAX + 1}.jpeg", f"42-{keys.POSITION_MAX + 1}.jpeg",
])
def test_a_foreign_key_is_not_ours(key: str) -> None:
    assert keys.parse_key(key) is None


@pytest.mark.parametrize(("numbers", "expected"), [
    ((), 0xE4A6A0577479B2B4),
    ((1, 42, 0, 1), 15_788_257_442_448_978_455),
    ((-5, 2**63 - 1), 11_425_822_829_985_825_085),
])
def test_a_rank_never_changes(numbers: tuple[int, ...], expected: int) -> None:
    """Another value would move every row, every split and every augmented copy."""
    assert keys.rank(*numbers) == expected


def test_ranks_of_neighbours_differ_and_spread() -> None:
    ranks = [keys.rank(seed, number) for seed, number in itertools.product(range(3), range(1000))]

    assert len(set(ranks)) == 3000
    assert 0.45 < sum(rank < 2**63 for rank in ranks) / 3000 < 0.55
    assert max(ranks) < 2**64


def test_numbers_do_not_run_together_in_a_rank() -> None:
    assert len({keys.rank(1, 23), keys.rank(12, 3), keys.rank(123), keys.rank(1, 2, 3)}) == 4
