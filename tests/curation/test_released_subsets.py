"""The subsets that a release fixed, and releases that contradict themselves or the groups."""

import pandas as pd
import pytest

from imageset.curation import released_subsets
from imageset.errors import DataError
from imageset.formats import tables
from tests.curation.test_stratified_split import catalog


def released(*rows: tuple[int, int, str]) -> pd.DataFrame:
    return tables.frame(tables.SPLIT, rows)


def test_a_photo_has_the_subset_it_was_released_in_and_a_product_that_of_any_of_its_photos() -> None:
    photos = catalog([[(0, 2)], [(0, 1)], [(0, 1)]])
    release = released((0, 0, "train"), (2, 5, "test"), (9, 0, "test"))

    assert released_subsets.of_photos(photos, release).tolist() == ["train", "", "", ""]
    assert released_subsets.of_products(photos, release).tolist() == ["train", "train", "", "test"]
    assert released_subsets.of_groups(photos, release) == {0: "train", 2: "test"}


def test_a_product_in_two_subsets_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^releases/split\.csv has product 7 in two subsets: "):
        released_subsets.of_products(catalog([[(0, 1)]]), released((7, 0, "train"), (7, 1, "test")))


def test_an_unknown_subset_is_an_error() -> None:
    with pytest.raises(DataError, match="names a subset 'Test'"):
        released_subsets.of_groups(catalog([[(0, 1)], [(0, 1)]]), released((0, 0, "Test")))


def test_a_group_released_in_two_subsets_is_an_error_that_lists_its_photos() -> None:
    photos = catalog([[(0, 1)], [(0, 1), (0, 1)], [(0, 1)]])
    release = released((0, 0, "train"), (1, 0, "train"), (2, 0, "test"), (3, 0, "test"))

    with pytest.raises(DataError, match=r"^2 photos .* group: 1/0 \(train, group 1\), 2/0 \(test, group 1\)\. S"):
        released_subsets.of_groups(photos, release)


def test_the_error_names_ten_photos_at_most() -> None:
    photos = catalog([[(0, 1)] * 12])
    release = released(*((number, 0, "test" if number else "train") for number in range(12)))

    with pytest.raises(DataError, match=r"^12 photos .* 9/0 \(test, group 0\), \.\.\.\. S"):
        released_subsets.of_groups(photos, release)
