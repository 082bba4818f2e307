"""Photos as rows of a table: one at a time, and all in order."""

import numpy as np
import pandas as pd
import pytest

from imageset.web import photo_list
from imageset.web.fetch_photo import PhotoToFetch
from imageset.web.photo_list import PhotoList

PHOTOS = [
    PhotoToFetch(f"{number}.jpeg", 2**62 + number, number, f"http://shop.example/é{number}") for number in range(7)
]


def test_a_list_has_the_photos_of_its_rows_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_list, "ROWS_AT_ONCE", 2)
    table = pd.DataFrame(PHOTOS).astype({"key": "str", "image_url": "str"})
    rows = np.array([6, 0, 3, 2, 5])
    photos = PhotoList(table, rows)

    assert len(photos) == 5
    assert list(photos) == [photos[place] for place in range(5)] == [PHOTOS[row] for row in rows]
    assert list(photos.take(np.array([4, 0]))) == [PHOTOS[5], PHOTOS[6]]
    assert {type(value) for photo in photos for value in photo} == {str, int}


def test_a_list_without_photos_is_empty() -> None:
    table = pd.DataFrame(PHOTOS).astype({"key": "str", "image_url": "str"})

    assert list(PhotoList(table, np.array([], int))) == []
