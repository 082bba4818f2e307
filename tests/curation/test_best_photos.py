"""Of the photos of one picture, the released, the largest, the sharpest one stays."""

import pandas as pd
import pytest

from imageset.curation.best_photos import leave_out_duplicates
from imageset.errors import DataError
from imageset.formats import tables

NONE_RELEASED: list[int] = []


def choose(
    sizes: list[tuple[int, int, float]], pictures: list[int], released: list[int], reasons: list[str] | None = None
) -> list[str]:
    """Return the reasons of photos, each of a product of its own. sizes: width, height and sharpness."""
    count = len(sizes)
    photos = pd.DataFrame(
        {
            "product_id": range(count),
            "position": 0,
            "row": range(count),
            "picture": pictures,
            "reason": reasons or [""] * count,
        }
    )
    facts = [
        (number, 0, width, height, "JPEG", f"{sharpness:.4f}", "100.00", "10.00", "1.0000", "")
        for number, (width, height, sharpness) in enumerate(sizes)
    ]
    split = tables.frame(tables.SPLIT, [(number, 0, "train") for number in released])
    # The facts are in another order than the photos, which have an index of their own.
    listed = tables.frame(tables.PHOTOS, facts[::-1])
    found = leave_out_duplicates(photos.set_axis(range(10, 10 + count)), listed, split)
    assert found.index.tolist() == list(range(10, 10 + count))
    return [*found["reason"]]


def test_the_largest_photo_of_a_picture_stays_and_of_equally_large_ones_the_sharpest() -> None:
    assert choose([(10, 20, 0.9), (30, 10, 0.1), (15, 20, 0.2)], [0, 0, 0], NONE_RELEASED) == ["duplicate"] * 2 + [""]


def test_of_equal_photos_the_first_stays() -> None:
    assert choose([(10, 10, 0.5)] * 3, [0, 0, 0], NONE_RELEASED) == ["", "duplicate", "duplicate"]


def test_other_pictures_stay() -> None:
    assert choose([(10, 10, 0.5)] * 3, [0, 1, 2], NONE_RELEASED) == [""] * 3


def test_a_released_photo_stays_although_a_new_one_is_larger() -> None:
    assert choose([(90, 90, 0.9), (10, 10, 0.1)], [0, 0], [1]) == ["duplicate", ""]


def test_a_photo_that_is_left_out_is_not_the_best_and_keeps_its_reason() -> None:
    found = choose([(90, 90, 0.9), (10, 10, 0.1), (5, 5, 0.1)], [0, 0, 0], NONE_RELEASED, ["off_topic", "", ""])

    assert found == ["off_topic", "", "duplicate"]


def test_a_photo_without_facts_is_an_error() -> None:
    photos = pd.DataFrame({"product_id": [1, 2], "position": 0, "row": [0, 1], "picture": 0, "reason": ""})

    with pytest.raises(DataError, match=r"data/photos\.csv has other photos"):
        leave_out_duplicates(photos, tables.frame(tables.PHOTOS, []), tables.frame(tables.SPLIT, []))
