"""Near-duplicates are one picture where they show the same, and a chain of them may have several."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation import pictures
from imageset.curation.pictures import number_pictures
from imageset.curation.ties import Ties, byte_ties
from imageset.formats import tables
from imageset.formats.hdf5 import Indices


def table(contents: str) -> pd.DataFrame:
    rows = [(place, 0, place, content, "hash", "mirrored") for place, content in enumerate(contents)]
    return tables.frame(tables.PROCESSED, rows)


def number(contents: str, shown: str, *near: tuple[int, int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the pictures of photos with these contents, a letter each, and the pairs that were compared.

    shown: what each photo shows, a letter each.
    """
    compared: list[tuple[int, int]] = []

    def show_same(left: Indices, right: Indices) -> NDArray[np.bool_]:
        compared.extend(zip(left.tolist(), right.tolist(), strict=True))
        return np.array([shown[one] == shown[other] for one, other in zip(left, right, strict=True)], bool)

    photos, pairs = table(contents), np.array(near, np.intp).reshape(-1, 2)
    same_bytes = byte_ties(photos, np.zeros(len(photos), bool))
    found = number_pictures(photos, same_bytes, Ties(pairs[:, 0], pairs[:, 1]), show_same)
    return found.tolist(), compared


def test_photos_that_are_no_near_duplicates_are_not_compared() -> None:
    assert number("abc", "xxx") == ([0, 1, 2], [])


def test_near_duplicates_that_show_the_same_are_one_picture() -> None:
    assert number("abc", "xxx", (0, 1), (1, 2))[0] == [0, 0, 0]


def test_near_duplicates_that_show_something_else_are_pictures_of_their_own() -> None:
    assert number("abcd", "xyxy", (0, 1), (1, 2), (2, 3)) == ([0, 1, 0, 1], [(0, 1), (0, 2), (0, 3), (1, 3)])


def test_the_same_bytes_are_one_picture_and_compared_once() -> None:
    assert number("aabb", "xxxx", (0, 2)) == ([0, 0, 0, 0], [(0, 2)])
    assert number("abab", "xyxy", (0, 1)) == ([0, 1, 0, 1], [(0, 1)])


def test_a_photo_in_the_middle_of_a_chain_hides_no_picture() -> None:
    """0 and 2 are near-duplicates of 1 alone, which has a sticker."""
    assert number("abc", "xsx", (0, 1), (1, 2))[0] == [0, 1, 0]


def test_what_is_like_none_of_the_first_few_is_a_picture_of_its_own() -> None:
    many = "".join(chr(ord("a") + place) for place in range(20))
    found, compared = number(many, many, *((place, place + 1) for place in range(19)))

    assert found == list(range(20))
    assert len(compared) == sum(19 - leader for leader in range(pictures.MOST_LEADERS))
