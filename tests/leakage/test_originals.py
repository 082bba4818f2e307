"""Which photos are copied: one a group, the same ones whatever else there is."""

import pandas as pd
import pytest

from imageset.formats import tables
from imageset.leakage.originals import choose_originals

Photo = tuple[int, int, str]  # product, group, reason


def make_tables(*rows: Photo) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return processed.csv and groups.csv; a photo's bytes depend on its product."""
    photos = [(product, 0, row, f"{product:064x}", "", "") for row, (product, _, _) in enumerate(rows)]
    groups = [(product, 0, row, group, row, reason) for row, (product, group, reason) in enumerate(rows)]
    return tables.frame(tables.PROCESSED, photos), tables.frame(tables.GROUPS, groups)


def choose(*rows: Photo, most: int = 100) -> list[int]:
    photos, groups = make_tables(*rows)
    chosen: list[int] = choose_originals([(photos, groups)], most)["product_id"].tolist()
    for size in (1, 3):
        parts = [(photos[start : start + size], groups[start : start + size]) for start in range(0, len(rows), size)]
        assert choose_originals(parts, most)["product_id"].tolist() == chosen
    return chosen


ALONE = tuple((product, product, "") for product in range(1, 41))


def test_one_photo_of_each_group_is_chosen() -> None:
    chosen = choose((1, 1, ""), (2, 1, ""), (3, 3, ""), (4, 3, ""), (5, 3, ""), (6, 6, ""))

    assert len(chosen) == 3
    assert {1, 2} & set(chosen)
    assert {3, 4, 5} & set(chosen)
    assert 6 in chosen


def test_photos_that_are_left_out_are_not_chosen() -> None:
    assert choose((1, 1, "shared_picture"), (2, 1, ""), (3, 3, "shared_picture")) == [2]


@pytest.mark.parametrize("most", [0, 1, 7, 40, 100])
def test_no_more_are_chosen_than_asked_for(most: int) -> None:
    assert choose(*ALONE, most=most) == choose(*ALONE)[:most]
    assert len(choose(*ALONE, most=most)) == min(most, 40)


def test_the_choice_does_not_follow_the_order_of_products() -> None:
    assert choose(*ALONE) != sorted(choose(*ALONE))


def test_photos_that_are_added_push_out_no_more_than_they_are_themselves() -> None:
    before = choose(*ALONE, most=20)
    after = choose(*ALONE, *((product, product, "") for product in range(101, 111)), most=20)
    new = {product for product in after if product > 100}

    assert 0 < len(new) < 10
    assert set(before) - set(after) == set(before[len(before) - len(new) :])
    assert [product for product in after if product not in new] == before[: len(before) - len(new)]
