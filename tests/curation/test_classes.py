"""Labels as people wrote them -> classes: against slow oracles that say the rule again in other words."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.curation import classes
from imageset.errors import DataError
from imageset.formats import tables

FIRST, LAST = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
NONE_RELEASED = tables.frame(tables.LABEL_MAP, [])
LARGE = 2**53 + 1  # a float would make 2**53 of it
UNHURRIED = settings(deadline=None, max_examples=100)  # other processes share the cores

LabelRow = tuple[Any, Any, str]
PhotoRow = tuple[int, int, str]  # product, picture, reason
Decision = tuple[Any, str, str]  # class, reason, change


def labels(*rows: LabelRow) -> pd.DataFrame:
    return tables.frame(tables.LABELS, rows)


def named(*catalog_ids: int) -> pd.DataFrame:
    return family(dict.fromkeys(catalog_ids))


def family(parents: Mapping[int, int | None]) -> pd.DataFrame:
    return tables.frame(tables.CLASSES, [(child, f"class {child}", parent) for child, parent in parents.items()])


def photos(*rows: PhotoRow) -> pd.DataFrame:
    """Rows as the stage has them after grouping: product_id, position (a number of its own), picture, reason."""
    return pd.DataFrame(
        [(product_id, position, picture, reason) for position, (product_id, picture, reason) in enumerate(rows)],
        columns=["product_id", "position", "picture", "reason"],
    )


def decisions(settled: pd.DataFrame) -> list[Decision]:
    ids = [None if pd.isna(value) else int(value) for value in settled["catalog_id"]]
    return list(zip(ids, settled["reason"], settled["change"], strict=True))


def settle(
    rows: list[PhotoRow], told: list[LabelRow], known: pd.DataFrame, keeps_latest: bool = True
) -> list[Decision]:
    return decisions(classes.settle(photos(*rows), labels(*told), known, keeps_latest))


@pytest.mark.parametrize(
    "rows",
    [
        [(1, 11, FIRST), (1, 12, LAST)],
        [(1, 12, LAST), (1, 11, FIRST)],
        [(1, 11, "2026-01-01T00:00:00+00:00"), (1, 12, "2026-01-01T00:00:00.500000+00:00")],
        [(1, 13, LAST), (1, 12, LAST)],
        [(1, 12, FIRST), (1, 11, "")],
        [(1, 12, FIRST), (1, None, LAST), (None, 11, LAST)],
        [(1, 100, LAST), (1, 12, LAST)],
    ],
)
def test_a_product_has_the_class_of_its_latest_row_of_several_the_lowest(rows: list[LabelRow]) -> None:
    assert classes.latest_labels(labels(*rows))["catalog_id"].to_dict() == {1: 12}


def test_all_classes_of_a_product_are_told_once_each_in_their_order() -> None:
    found = classes.latest_labels(
        labels((1, 100, LAST), (1, 12, FIRST), (1, 12, LAST), (1, 100, FIRST), (2, 12, LAST), (1, None, LAST))
    )

    assert found["told"].to_dict() == {1: "12 100", 2: "12"}


def test_no_labels_at_all_are_no_error() -> None:
    assert settle([(1, 1, ""), (2, 1, "")], [], named(11)) == [(None, "no_label", "")] * 2


def test_ids_beyond_the_integers_of_a_float_stay_as_they_are() -> None:
    rows = [(LARGE, LARGE, ""), (LARGE - 1, LARGE - 1, ""), (3, 3, "")]
    told = [(LARGE, LARGE, FIRST), (LARGE - 1, LARGE - 1, FIRST)]

    assert settle(rows, told, named(LARGE, LARGE - 1)) == [(LARGE, "", ""), (LARGE - 1, "", ""), (None, "no_label", "")]


def test_an_unknown_id_next_to_a_known_one_beyond_the_integers_of_a_float_is_unknown() -> None:
    assert settle([(1, 1, ""), (2, 2, "")], [(1, LARGE, FIRST)], named(LARGE - 1))[0] == (LARGE, "unknown_class", "")


def test_a_picture_takes_ids_beyond_the_integers_of_a_float_as_they_are() -> None:
    rows, told = [(1, 1, ""), (2, 1, ""), (3, 3, "")], [(1, LARGE - 1, FIRST), (2, LARGE, LAST)]
    settled = classes.settle(photos(*rows), labels(*told), named(LARGE, LARGE - 1), True)

    assert decisions(settled) == [(LARGE, "", "same_photo")] * 2 + [(None, "no_label", "")]
    assert settled["told"].tolist()[:2] == [f"{LARGE - 1} {LARGE}"] * 2


def test_several_labels_over_time_are_a_conflict_only_where_they_are_dropped() -> None:
    rows, told = [(1, 1, ""), (2, 2, "")], [(1, 12, FIRST), (1, 11, LAST), (2, 11, FIRST), (2, 11, LAST)]

    assert settle(rows, told, named(11, 12), True) == [(11, "", "several_labels"), (11, "", "")]
    assert settle(rows, told, named(11, 12), False) == [(11, "label_conflict", "several_labels"), (11, "", "")]


def test_a_photo_under_products_of_two_classes_takes_the_latest_row_of_all() -> None:
    rows, told = [(1, 1, ""), (2, 1, ""), (3, 1, "")], [(1, 12, LAST), (2, 11, FIRST), (3, 11, FIRST)]

    assert settle(rows, told, named(11, 12), True) == [(12, "", "same_photo")] * 3


def test_of_a_picture_s_rows_at_one_moment_the_lowest_class_counts() -> None:
    assert settle([(1, 1, ""), (2, 1, "")], [(1, 100, LAST), (2, 12, LAST)], named(12, 100))[0][0] == 12


def test_a_photo_under_products_of_two_classes_goes_from_all_of_them_where_conflicts_are_dropped() -> None:
    rows, told = [(1, 1, ""), (2, 1, ""), (3, 3, "")], [(1, 12, LAST), (2, 11, FIRST), (3, 11, FIRST)]

    assert settle(rows, told, named(11, 12), False) == [
        (12, "label_conflict", "same_photo"),
        (11, "label_conflict", "same_photo"),
        (11, "", ""),
    ]


@pytest.mark.parametrize("keeps_latest", [True, False])
def test_a_product_of_an_unknown_class_takes_no_part_in_a_picture_s_conflict(keeps_latest: bool) -> None:
    rows, told = [(1, 1, ""), (2, 1, "")], [(1, 11, FIRST), (2, 99, LAST)]

    assert settle(rows, told, named(11), keeps_latest) == [(11, "", ""), (99, "unknown_class", "")]


def test_a_product_whose_latest_class_is_unknown_does_not_fall_back_on_an_earlier_one() -> None:
    assert settle([(1, 1, "")], [(1, 11, FIRST), (1, 99, LAST)], named(11))[0][:2] == (99, "unknown_class")


def test_a_photo_that_is_out_keeps_its_reason_and_takes_no_part_in_a_conflict() -> None:
    rows, told = [(1, 1, "bridges_release"), (2, 1, ""), (3, 3, "bridges_release")], [(1, 12, LAST), (2, 11, FIRST)]

    assert settle(rows, told, named(11, 12), False) == [
        (12, "bridges_release", ""),
        (11, "", ""),
        (None, "bridges_release", ""),
    ]


def settled_again(rows: list[PhotoRow], told: list[LabelRow], known: set[int], keeps_latest: bool) -> list[Decision]:
    """The rule of settle in other words, a photo at a time."""
    of_product: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for product_id, catalog_id, date in told:
        if product_id is not None and catalog_id is not None:
            of_product[product_id].append((date, -catalog_id))  # so that the largest is what counts
    first: list[Decision] = []
    for product_id, _, reason in rows:
        said = of_product[product_id]
        several = len({catalog_id for _, catalog_id in said}) > 1
        latest = -max(said)[1] if said else None
        problem = (
            "no_label"
            if latest is None
            else "unknown_class"
            if latest not in known
            else "label_conflict"
            if several and not keeps_latest
            else ""
        )
        first.append((latest, reason or problem, "several_labels" if several else ""))
    result = []
    for (_, picture, _), (latest, reason, change) in zip(rows, first, strict=True):
        members = [
            max(of_product[row[0]])
            for row, decision in zip(rows, first, strict=True)
            if row[1] == picture and not decision[1]
        ]
        if reason or len({catalog_id for _, catalog_id in members}) < 2:
            result.append((latest, reason, change))
        elif keeps_latest:
            result.append((-max(members)[1], "", "same_photo"))
        else:
            result.append((latest, "label_conflict", "same_photo"))
    return result


photo_rows = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.sampled_from(["", "", "", "bridges_release"])),
    min_size=1,
    max_size=10,
)
label_rows = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 4, 5, 6, None]),
        st.sampled_from([9, 10, LARGE, LARGE - 1, 99, None]),
        st.sampled_from(["", FIRST, LAST]),
    ),
    max_size=12,
)


@settings(UNHURRIED, max_examples=60)
@given(photo_rows, label_rows, st.booleans(), st.randoms(use_true_random=False))
def test_every_photo_ends_with_a_class_or_a_reason_by_the_rule(
    rows: list[PhotoRow], told: list[LabelRow], keeps_latest: bool, dice: Any
) -> None:
    known = {9, 10, LARGE, LARGE - 1}
    found = settle(rows, told, named(*known), keeps_latest)
    dice.shuffle(told)

    assert found == settled_again(rows, told, known, keeps_latest)
    assert found == settle(rows, told, named(*known), keeps_latest)
    assert all(reason or catalog_id in known for catalog_id, reason, _ in found)


def test_a_parent_that_is_no_class_counts_as_none() -> None:
    assert classes.parents_of(family({11: 10, 10: 99, 12: None, LARGE: LARGE - 1})) == {11: 10}


def test_a_class_that_is_its_own_parent_is_a_root() -> None:
    assert classes.parents_of(family({10: 10, 11: 10})) == {11: 10}


@pytest.mark.parametrize("parents", [{10: 11, 11: 10}, {1: 2, 2: 3, 3: 4, 4: 3}])
def test_parents_in_a_circle_are_an_error_that_names_one_of_them(parents: dict[int, int | None]) -> None:
    with pytest.raises(DataError, match=r"class (10|11|3|4) is its own ancestor by parent_id: .*catalog\.rare: drop"):
        classes.parents_of(family(parents))


def test_a_class_of_just_enough_photos_stays_and_one_short_of_it_does_not() -> None:
    assert classes.merge_rare({10: 5, 11: 4}, {}, 5) == {10: 10}


def test_a_class_that_is_large_enough_does_not_help_its_parent() -> None:
    assert classes.merge_rare({11: 9, 10: 4}, {11: 10}, 5) == {11: 11}


def test_rare_classes_meet_in_an_ancestor_without_photos() -> None:
    assert classes.merge_rare({11: 2, 12: 2, 3: 1}, {11: 10, 12: 10, 10: 1, 3: 1}, 5) == {3: 1, 11: 1, 12: 1}


def merged_again(photos_of: Mapping[int, int], parents: Mapping[int, int], min_photos: int) -> dict[int, int]:
    """The rule of merge_rare, from the roots down by recursion."""
    result: dict[int, int] = {}

    def handed_up(catalog_id: int) -> list[int]:
        held = [catalog_id] if catalog_id in photos_of else []
        for child in parents:
            if parents[child] == catalog_id:
                held += handed_up(child)
        if sum(photos_of[one] for one in held) < min_photos:
            return held
        result.update(dict.fromkeys(held, catalog_id))
        return []

    for root in (set(photos_of) | set(parents.values()) | set(parents)) - set(parents):
        handed_up(root)
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
def test_rare_classes_go_up_by_the_rule_on_any_tree(
    data: st.DataObject, parents: dict[int, int], min_photos: int
) -> None:
    ids = sorted({*parents, *parents.values(), 100})
    counts = data.draw(st.dictionaries(st.sampled_from(ids), st.integers(1, 9)))
    found = classes.merge_rare(counts, parents, min_photos)
    sizes = Counter[int]()
    for child, catalog_id in found.items():
        sizes[catalog_id] += counts[child]

    assert found == merged_again(counts, parents, min_photos)
    assert all(size >= min_photos for size in sizes.values())
    assert found.keys() <= counts.keys()
    assert list(found) == sorted(found)


@pytest.mark.timeout(12)  # a second where each level looks at those above it, minutes where it compares them all
def test_a_deep_chain_of_classes_takes_no_time_and_no_recursion() -> None:
    chain = family({level: level - 1 if level else None for level in range(2_500)})
    parents = classes.parents_of(chain)

    assert len(parents) == 2_499
    assert set(classes.merge_rare(dict.fromkeys(range(2_500), 1), parents, 2_500).values()) == {0}


def numbered(catalog_ids: set[int], released: list[tuple[int, int, str]], known: pd.DataFrame) -> list[tuple[Any, ...]]:
    found = classes.number_labels(catalog_ids, tables.frame(tables.LABEL_MAP, released), known)
    return list(found.itertuples(index=False, name=None))


def test_classes_are_numbered_in_the_order_of_their_catalog_ids() -> None:
    assert numbered({30, 4, 200}, [], named(200, 4, 30)) == [
        (0, 4, "class 4"),
        (1, 30, "class 30"),
        (2, 200, "class 200"),
    ]


def test_released_numbers_stay_new_classes_follow_and_names_are_today_s_where_there_are_any() -> None:
    released = [(1, 30, "trousers"), (0, 200, "coats")]

    assert numbered({30, 4, LARGE}, released, named(LARGE, 4, 30)) == [
        (0, 200, "coats"),
        (1, 30, "class 30"),
        (2, 4, "class 4"),
        (3, LARGE, f"class {LARGE}"),
    ]


def test_a_class_without_a_name_now_and_in_the_release_is_called_by_its_number() -> None:
    known = tables.frame(tables.CLASSES, [(4, "", None), (5, " ", None), (30, "", None), (200, "", None)])

    assert numbered({4, 5}, [(0, 30, "trousers"), (1, 200, "")], known) == [
        (0, 30, "trousers"),
        (1, 200, "200"),
        (2, 4, "4"),
        (3, 5, "5"),
    ]


@pytest.mark.parametrize("numbers", [(0, 2), (1, 2), (0, 0), (-1, 0)])
def test_released_numbers_with_a_gap_are_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"label_map\.csv.*without a gap"):
        numbered({30}, [(numbers[0], 30, "a"), (numbers[1], 200, "b")], named(30, 200))


def test_a_class_with_two_released_numbers_is_refused() -> None:
    with pytest.raises(DataError, match=r"label_map\.csv: a catalog_id stands there twice"):
        numbered({30}, [(0, 30, "a"), (1, 30, "b")], named(30))
