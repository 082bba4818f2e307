"""Labels -> classes, compared with a slow function that states the rule in other words."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.curation import classes
from imageset.formats import tables
from tests.samples import examples

FIRST, LAST = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
NONE_RELEASED = tables.frame(tables.LABEL_MAP, [])
LARGE = 2**53 + 1  # a float would make 2**53 of it
UNHURRIED = settings(deadline=None)  # other processes share the cores

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


def decisions(resolved: pd.DataFrame) -> list[Decision]:
    ids = [None if pd.isna(value) else int(value) for value in resolved["catalog_id"]]
    return list(zip(ids, resolved["reason"], resolved["change"], strict=True))


def resolve(
    rows: list[PhotoRow], claimed: list[LabelRow], known: pd.DataFrame, keeps_latest: bool = True
) -> list[Decision]:
    return decisions(classes.resolve_labels(photos(*rows), labels(*claimed), known, keeps_latest))


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
        [(1, 11, "9"), (1, 12, "10")],
        [(1, 12, "-1.5"), (1, 11, ""), (1, 11, "-2")],
        [(1, 12, "1.769860800E+9"), (1, 13, "1769860800.0"), (1, 11, "1769860799")],
        [(1, 12, "1769860800000000001"), (1, 11, "1769860800000000000")],
    ],
)
def test_a_product_has_the_class_of_its_latest_row_and_the_lowest_of_several(rows: list[LabelRow]) -> None:
    assert classes.latest_labels(labels(*rows))["catalog_id"].to_dict() == {1: 12}


def test_the_classes_that_a_product_claims_are_listed_once_each_in_order() -> None:
    found = classes.latest_labels(
        labels((1, 100, LAST), (1, 12, FIRST), (1, 12, LAST), (1, 100, FIRST), (2, 12, LAST), (1, None, LAST))
    )

    assert found["told"].to_dict() == {1: "12 100", 2: "12"}


def test_no_labels_at_all_are_no_error() -> None:
    assert resolve([(1, 1, ""), (2, 1, "")], [], named(11)) == [(None, "no_label", "")] * 2


def test_ids_beyond_the_integers_of_a_float_stay_as_they_are() -> None:
    rows = [(LARGE, LARGE, ""), (LARGE - 1, LARGE - 1, ""), (3, 3, "")]
    claimed = [(LARGE, LARGE, FIRST), (LARGE - 1, LARGE - 1, FIRST)]

    assert resolve(rows, claimed, named(LARGE, LARGE - 1)) == [
        (LARGE, "", ""),
        (LARGE - 1, "", ""),
        (None, "no_label", ""),
    ]


def test_an_unknown_id_next_to_a_known_one_beyond_the_integers_of_a_float_is_unknown() -> None:
    assert resolve([(1, 1, ""), (2, 2, "")], [(1, LARGE, FIRST)], named(LARGE - 1))[0] == (LARGE, "unknown_class", "")


def test_a_picture_takes_ids_beyond_the_integers_of_a_float_as_they_are() -> None:
    rows, claimed = [(1, 1, ""), (2, 1, ""), (3, 3, "")], [(1, LARGE - 1, FIRST), (2, LARGE, LAST)]
    resolved = classes.resolve_labels(photos(*rows), labels(*claimed), named(LARGE, LARGE - 1), True)

    assert decisions(resolved) == [(LARGE, "", "same_photo")] * 2 + [(None, "no_label", "")]
    assert resolved["told"].tolist()[:2] == [f"{LARGE - 1} {LARGE}"] * 2


def test_several_labels_over_time_are_a_conflict_only_where_conflicts_are_dropped() -> None:
    rows, claimed = [(1, 1, ""), (2, 2, "")], [(1, 12, FIRST), (1, 11, LAST), (2, 11, FIRST), (2, 11, LAST)]

    assert resolve(rows, claimed, named(11, 12), True) == [(11, "", "several_labels"), (11, "", "")]
    assert resolve(rows, claimed, named(11, 12), False) == [(11, "label_conflict", "several_labels"), (11, "", "")]


def test_a_picture_on_products_of_two_classes_has_the_class_of_the_latest_row() -> None:
    rows, claimed = [(1, 1, ""), (2, 1, ""), (3, 1, "")], [(1, 12, LAST), (2, 11, FIRST), (3, 11, FIRST)]

    assert resolve(rows, claimed, named(11, 12), True) == [(12, "", "same_photo")] * 3


def test_a_picture_has_the_class_of_the_row_with_the_largest_number() -> None:
    assert (
        resolve([(1, 1, ""), (2, 1, "")], [(1, 12, "10"), (2, 11, "9")], named(11, 12)) == [(12, "", "same_photo")] * 2
    )


def test_of_several_rows_of_one_moment_the_lowest_class_counts() -> None:
    assert resolve([(1, 1, ""), (2, 1, "")], [(1, 100, LAST), (2, 12, LAST)], named(12, 100))[0][0] == 12


def test_a_picture_on_products_of_two_classes_is_left_out_of_all_where_conflicts_are_dropped() -> None:
    rows, claimed = [(1, 1, ""), (2, 1, ""), (3, 3, "")], [(1, 12, LAST), (2, 11, FIRST), (3, 11, FIRST)]

    assert resolve(rows, claimed, named(11, 12), False) == [
        (12, "label_conflict", "same_photo"),
        (11, "label_conflict", "same_photo"),
        (11, "", ""),
    ]


@pytest.mark.parametrize("keeps_latest", [True, False])
def test_a_product_of_an_unknown_class_is_ignored_in_the_conflict_of_a_picture(keeps_latest: bool) -> None:
    rows, claimed = [(1, 1, ""), (2, 1, "")], [(1, 11, FIRST), (2, 99, LAST)]

    assert resolve(rows, claimed, named(11), keeps_latest) == [(11, "", ""), (99, "unknown_class", "")]


def test_a_product_whose_latest_class_is_unknown_does_not_fall_back_on_an_earlier_one() -> None:
    assert resolve([(1, 1, "")], [(1, 11, FIRST), (1, 99, LAST)], named(11))[0][:2] == (99, "unknown_class")


def test_a_photo_that_is_left_out_keeps_its_reason_and_is_ignored_in_conflicts() -> None:
    rows, claimed = [(1, 1, "bridges_release"), (2, 1, ""), (3, 3, "bridges_release")], [(1, 12, LAST), (2, 11, FIRST)]

    assert resolve(rows, claimed, named(11, 12), False) == [
        (12, "bridges_release", ""),
        (11, "", ""),
        (None, "bridges_release", ""),
    ]


def resolve_slowly(
    rows: list[PhotoRow], claimed: list[LabelRow], known: set[int], keeps_latest: bool
) -> list[Decision]:
    """Apply the rule of resolve_labels one photo at a time."""
    of_product: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for product_id, catalog_id, date in claimed:
        if product_id is not None and catalog_id is not None:
            of_product[product_id].append((date, -catalog_id))  # so that the largest is what counts
    first: list[Decision] = []
    for product_id, _, reason in rows:
        of_its_product = of_product[product_id]
        several = len({catalog_id for _, catalog_id in of_its_product}) > 1
        latest = -max(of_its_product)[1] if of_its_product else None
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


@settings(UNHURRIED, max_examples=examples(60))
@given(photo_rows, label_rows, st.booleans(), st.randoms(use_true_random=False))
def test_every_photo_ends_with_a_class_or_a_reason_by_the_rule(
    rows: list[PhotoRow], claimed: list[LabelRow], keeps_latest: bool, dice: Any
) -> None:
    known = {9, 10, LARGE, LARGE - 1}
    found = resolve(rows, claimed, named(*known), keeps_latest)
    dice.shuffle(claimed)

    assert found == resolve_slowly(rows, claimed, known, keeps_latest)
    assert found == resolve(rows, claimed, named(*known), keeps_latest)
    assert all(reason or catalog_id in known for catalog_id, reason, _ in found)
