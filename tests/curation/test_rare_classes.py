"""Rare classes and their parents, compared with a slow function that states the rule in other words."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.curation import rare_classes
from imageset.errors import DataError
from imageset.formats import tables
from tests.curation.test_classes import LARGE, UNHURRIED, family


def test_a_parent_that_is_no_class_counts_as_none() -> None:
    assert rare_classes.parents_of(family({11: 10, 10: 99, 12: None, LARGE: LARGE - 1})) == {11: 10}


def test_a_class_that_is_its_own_parent_is_a_root() -> None:
    assert rare_classes.parents_of(family({10: 10, 11: 10})) == {11: 10}


@pytest.mark.parametrize("parents", [{10: 11, 11: 10}, {1: 2, 2: 3, 3: 4, 4: 3}])
def test_parents_in_a_circle_are_an_error_that_names_one_of_them(parents: dict[int, int | None]) -> None:
    with pytest.raises(DataError, match=r"class (10|11|3|4) is its own ancestor by parent_id: .*catalog\.rare: drop"):
        rare_classes.parents_of(family(parents))


def test_texts_in_a_circle_are_named_as_the_source_spells_them() -> None:
    classes = tables.frame(tables.CLASSES, [("hats", "Hats", "caps"), ("caps", "Caps", "hats")])

    with pytest.raises(DataError, match=r"^class (hats|caps) is its own ancestor"):
        rare_classes.parents_of(classes)


def test_a_class_of_min_photos_photos_stays_and_a_smaller_one_does_not() -> None:
    assert rare_classes.merge_rare({10: 5, 11: 4}, {}, 5) == {10: 10}


def test_a_class_that_is_large_enough_does_not_help_its_parent() -> None:
    assert rare_classes.merge_rare({11: 9, 10: 4}, {11: 10}, 5) == {11: 11}


def test_rare_classes_meet_in_an_ancestor_without_photos() -> None:
    assert rare_classes.merge_rare({11: 2, 12: 2, 3: 1}, {11: 10, 12: 10, 10: 1, 3: 1}, 5) == {3: 1, 11: 1, 12: 1}


def merge_slowly(photos_of: Mapping[int, int], parents: Mapping[int, int], min_photos: int) -> dict[int, int]:
    """Apply the rule of merge_rare from the roots down, by recursion."""
    result: dict[int, int] = {}

    def hand_up(catalog_id: int) -> list[int]:
        held = [catalog_id] if catalog_id in photos_of else []
        for child in parents:
            if parents[child] == catalog_id:
                held += hand_up(child)
        if sum(photos_of[one] for one in held) < min_photos:
            return held
        result.update(dict.fromkeys(held, catalog_id))
        return []

    for root in (set(photos_of) | set(parents.values()) | set(parents)) - set(parents):
        hand_up(root)
    return result


@st.composite
def trees(draw: st.DrawFn) -> dict[int, int]:
    """Parents of up to 12 classes in any order of their ids, without a circle."""
    ids = draw(st.lists(st.integers(1, 99), unique=True, min_size=1, max_size=12))
    above = {
        child: draw(st.one_of(st.none(), st.sampled_from(ids[:place]))) for place, child in enumerate(ids) if place
    }
    return {child: parent for child, parent in above.items() if parent is not None}


@UNHURRIED
@given(st.data(), trees(), st.integers(1, 9))
def test_rare_classes_are_merged_by_the_rule_on_any_tree(
    data: st.DataObject, parents: dict[int, int], min_photos: int
) -> None:
    ids = sorted({*parents, *parents.values(), 100})
    counts = data.draw(st.dictionaries(st.sampled_from(ids), st.integers(1, 9)))
    found = rare_classes.merge_rare(counts, parents, min_photos)
    sizes = Counter[int]()
    for child, catalog_id in found.items():
        sizes[catalog_id] += counts[child]

    assert found == merge_slowly(counts, parents, min_photos)
    assert all(size >= min_photos for size in sizes.values())
    assert found.keys() <= counts.keys()
    assert list(found) == sorted(found)


@pytest.mark.timeout(12)  # it takes a second; comparing all levels with each other would take minutes
def test_a_deep_chain_of_classes_takes_no_time_and_no_recursion() -> None:
    chain = family({level: level - 1 if level else None for level in range(2_500)})
    parents = rare_classes.parents_of(chain)

    assert len(parents) == 2_499
    assert set(rare_classes.merge_rare(dict.fromkeys(range(2_500), 1), parents, 2_500).values()) == {0}
