"""The labels of classes: released ones stay, new ones follow."""

from typing import Any

import pandas as pd
import pytest

from imageset.curation import label_map
from imageset.errors import DataError
from imageset.formats import source_ids, tables
from tests.curation.test_classes import LARGE, named


def number(catalog_ids: set[int], released: list[tuple[int, int, str]], known: pd.DataFrame) -> list[tuple[Any, ...]]:
    found = label_map.number_labels(catalog_ids, tables.frame(tables.LABEL_MAP, released), known)
    return list(found.itertuples(index=False, name=None))


def test_labels_follow_the_order_of_catalog_ids() -> None:
    assert number({30, 4, 200}, [], named(200, 4, 30)) == [
        (0, 4, "class 4"),
        (1, 30, "class 30"),
        (2, 200, "class 200"),
    ]


def test_released_labels_stay_new_classes_follow_and_current_names_count_first() -> None:
    released = [(1, 30, "trousers"), (0, 200, "coats")]

    assert number({30, 4, LARGE}, released, named(LARGE, 4, 30)) == [
        (0, 200, "coats"),
        (1, 30, "class 30"),
        (2, 4, "class 4"),
        (3, LARGE, f"class {LARGE}"),
    ]


def test_a_class_without_any_name_is_called_by_its_catalog_id() -> None:
    known = tables.frame(tables.CLASSES, [(4, "", None), (5, " ", None), (30, "", None), (200, "", None)])

    assert number({4, 5}, [(0, 30, "trousers"), (1, 200, "")], known) == [
        (0, 30, "trousers"),
        (1, 200, "200"),
        (2, 4, "4"),
        (3, 5, "5"),
    ]


def test_a_class_without_any_name_is_called_by_its_text_id() -> None:
    known = tables.frame(tables.CLASSES, [("hats & caps", "", None)])

    assert number({source_ids.number("hats & caps")}, [], known)[0][2] == "hats & caps"


@pytest.mark.parametrize("numbers", [(0, 2), (1, 2), (0, 0), (-1, 0)])
def test_released_labels_with_a_gap_are_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"label_map\.csv.*without a gap"):
        number({30}, [(numbers[0], 30, "a"), (numbers[1], 200, "b")], named(30, 200))


def test_a_class_with_two_released_labels_is_refused() -> None:
    with pytest.raises(DataError, match=r"label_map\.csv: catalog_id 30 has two labels"):
        number({30}, [(0, 30, "a"), (1, 30, "b")], named(30))
