"""Ties, groups and bridges, compared with a slow search over all pairs of photos."""

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageset.curation.groups import bridges_subsets, group_photos, lowest_products, shared_pictures
from imageset.curation.released_subsets import of_groups
from imageset.curation.ties import Ties, byte_ties, components, hash_ties, join, product_ties
from imageset.curation.union_find import UnionFind
from imageset.errors import DataError
from imageset.formats import tables

UNHURRIED = settings(deadline=None)  # other processes share the cores


class Photo(NamedTuple):
    """What ties photos: product, bytes and hashes, one letter or number each."""

    product_id: int
    sha256: str
    phash: str
    mirrored: str = "-"


def table(photos: Iterable[Photo]) -> pd.DataFrame:
    return tables.frame(
        tables.PROCESSED, [(photo.product_id, place, place, *photo[1:]) for place, photo in enumerate(photos)]
    )


def alike(one: Photo, other: Photo) -> bool:
    """Return whether two photos are tied without being near-duplicates, as the docstring of ties.py says."""
    return (
        one.product_id == other.product_id
        or one.sha256 == other.sha256
        or one.phash == other.phash
        or one.mirrored == other.phash
        or one.phash == other.mirrored
    )


def certain_ties(photos: Iterable[Photo], released: NDArray[np.bool_]) -> Ties:
    """Return all ties but those of near-duplicates."""
    return join(find_ties(table(photos), released) for find_ties in (byte_ties, product_ties, hash_ties))


def reached(start: int, count: int, tied: Callable[[int, int], bool]) -> set[int]:
    """Return all of `count` photos that can be reached from one."""
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        news = {there for there in range(count) if there not in found and (tied(here, there) or tied(there, here))}
        found |= news
        waiting += news
    return found


def none_released(photos: list[Photo]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.zeros(len(photos), bool)


def grouped(photos: list[Photo], near: list[tuple[int, int]] | None = None) -> list[int]:
    certain = certain_ties(photos, none_released(photos))
    pairs = np.array(near or [], np.intp).reshape(-1, 2)
    found: list[int] = lowest_products(table(photos), join([certain, Ties(pairs[:, 0], pairs[:, 1])])).tolist()
    return found


def left_out(subsets: list[str], *pairs: tuple[int, int]) -> list[int]:
    """Return the numbers of the photos that are bridges. subsets: of each photo, "" of new ones."""
    left, right = (np.array(ends, np.intp) for ends in zip(*pairs, strict=True))
    of_photos = np.array(subsets, object)
    return np.flatnonzero(bridges_subsets(Ties(left, right), of_photos, of_photos)).tolist()


def test_photos_with_nothing_in_common_are_groups_of_their_own() -> None:
    assert grouped([Photo(3, "a", "A"), Photo(1, "b", "B"), Photo(2, "c", "C")]) == [3, 1, 2]


@pytest.mark.parametrize(
    "other",
    [Photo(9, "b", "B"), Photo(5, "a", "B"), Photo(5, "b", "A"), Photo(5, "b", "M"), Photo(5, "b", "B", "A")],
    ids=["product", "bytes", "hash", "hash of the mirrored", "mirrored hash of the other"],
)
def test_photos_with_one_thing_in_common_are_a_group_of_the_lowest_product(other: Photo) -> None:
    assert grouped([Photo(9, "a", "A", "M"), other, Photo(7, "c", "C")]) == [other.product_id] * 2 + [7]


def test_equal_mirrored_hashes_alone_are_no_tie() -> None:
    assert grouped([Photo(1, "a", "A", "M"), Photo(2, "b", "B", "M")]) == [1, 2]


def test_near_duplicates_are_a_group() -> None:
    assert grouped([Photo(3, "a", "A"), Photo(1, "b", "B"), Photo(2, "c", "C")], [(0, 2)]) == [2, 1, 2]


def test_ties_chain_through_everything() -> None:
    photos = [
        Photo(60, "a", "A"),
        Photo(50, "a", "B", "C"),
        Photo(40, "b", "C"),
        Photo(40, "c", "D"),
        Photo(30, "d", "D"),
        Photo(20, "e", "E"),
        Photo(70, "f", "F"),
    ]

    assert grouped(photos, [(5, 4)]) == [20] * 6 + [70]


def test_a_placeholder_on_many_listings_is_one_group_of_few_ties() -> None:
    photos = [Photo(number, str(number), "same", "same") for number in range(5000, 10, -1)]

    assert len(certain_ties(photos, none_released(photos)).left) <= 4 * len(photos)
    assert set(grouped(photos)) == {11}


def values_of(*rows: tuple[int, str]) -> pd.DataFrame:
    return tables.frame(tables.LISTING_GROUPS, rows)


def group(photos: list[Photo], values: pd.DataFrame, subsets: list[str] | None = None) -> list[tuple[int, str]]:
    """Return the group of each photo, and why it is left out. A picture on three products is shared."""
    of_photos = np.array(subsets or [""] * len(photos), object)
    same_bytes = byte_ties(table(photos), of_photos != "")
    pictures = components(same_bytes, len(photos))
    is_shared = shared_pictures(table(photos), pictures, 2)
    found = group_photos(table(photos), same_bytes, pictures, is_shared, values, of_photos, of_photos)
    return list(found[["group", "reason"]].itertuples(index=False, name=None))


def test_listings_of_one_seller_are_one_group_and_those_of_nobody_are_not() -> None:
    photos = [Photo(number, str(number), str(number)) for number in (5, 3, 8, 9, 1, 7)]
    sellers = values_of((3, "anna"), (8, "anna"), (9, "ben"), (1, "ben"), (8, "ben"), (999, "anna"))

    assert group(photos, sellers) == [(5, ""), (1, ""), (1, ""), (1, ""), (1, ""), (7, "")]
    assert group(photos, values_of()) == [(number, "") for number in (5, 3, 8, 9, 1, 7)]


PLACEHOLDER = [Photo(10, "x", "X"), Photo(11, "x", "X"), Photo(12, "x", "X")]  # of three products


def test_a_product_of_which_the_first_photo_is_a_placeholder_stays_together() -> None:
    """Its second photo is that of product 5 as well."""
    found = group([*PLACEHOLDER, Photo(10, "b", "B"), Photo(10, "c", "C"), Photo(5, "b", "B")], values_of())

    assert [number for number, reason in found if not reason] == [5, 5, 5]


def test_a_seller_of_which_the_first_photo_is_a_placeholder_stays_together() -> None:
    sellers = values_of((10, "anna"), (11, "ben"), (20, "anna"), (21, "anna"))
    found = group([*PLACEHOLDER, Photo(20, "b", "B"), Photo(21, "c", "C"), Photo(22, "d", "D")], sellers)

    assert [number for number, reason in found if not reason] == [20, 20, 22]


def test_a_new_listing_of_a_seller_follows_the_released_ones() -> None:
    photos = [Photo(5, "a", "A"), Photo(3, "b", "B"), Photo(4, "c", "C")]
    subsets = ["test", "", ""]

    assert group(photos, values_of((5, "anna"), (3, "anna")), subsets) == [(3, ""), (3, ""), (4, "")]


def test_a_seller_in_two_released_subsets_is_an_error_that_names_the_param() -> None:
    photos = [Photo(5, "a", "A"), Photo(3, "b", "B")]
    found = group(photos, values_of((5, "anna"), (3, "anna")), ["test", "train"])
    released = tables.frame(tables.SPLIT, [(5, 0, "test"), (3, 1, "train")])
    catalog = table(photos).assign(group=[number for number, _ in found])

    with pytest.raises(DataError, match=r"2 photos were released in different subsets.*source\.group_by was changed"):
        of_groups(catalog, released)


def test_a_picture_on_more_products_than_allowed_is_shared() -> None:
    photos = table(
        [
            Photo(1, "a", "A"),
            Photo(1, "a", "B"),
            Photo(2, "a", "C"),
            Photo(3, "d", "D"),
            Photo(4, "d", "D"),
            Photo(5, "d", "D"),
            Photo(6, "g", "G"),
        ]
    )
    pictures = components(byte_ties(photos, np.zeros(7, bool)), 7)

    assert [shared_pictures(photos, pictures, most).tolist() for most in (1, 2, 3)] == [
        [True] * 6 + [False],
        [False] * 3 + [True] * 3 + [False],
        [False] * 7,
    ]


def test_no_photos_are_no_groups() -> None:
    assert grouped([]) == []


letters = st.sampled_from("abcdefgh")
photo_lists = st.lists(
    st.builds(Photo, st.integers(1, 9), st.sampled_from("stuvwxyz"), letters, letters), min_size=1, max_size=9
)


@UNHURRIED
@given(photo_lists, st.data())
def test_groups_are_what_a_search_over_all_pairs_finds(photos: list[Photo], data: st.DataObject) -> None:
    places = st.integers(0, len(photos) - 1)
    near = data.draw(st.lists(st.tuples(places, places), max_size=3))
    expected = [
        min(
            photos[there].product_id
            for there in reached(
                here, len(photos), lambda one, other: alike(photos[one], photos[other]) or (one, other) in near
            )
        )
        for here in range(len(photos))
    ]

    assert grouped(photos, near) == expected


@UNHURRIED
@given(photo_lists, st.data())
def test_released_photos_are_connected_without_the_help_of_new_ones(photos: list[Photo], data: st.DataObject) -> None:
    """So a new photo that is left out takes no tie between released photos with it."""
    released = np.array(data.draw(st.lists(st.booleans(), min_size=len(photos), max_size=len(photos))))
    ties = certain_ties(photos, released)
    parts = components(ties.among(released), len(photos))
    for here in np.flatnonzero(released).tolist():
        mates = reached(
            here,
            len(photos),
            lambda one, other: bool(released[one] and released[other]) and alike(photos[one], photos[other]),
        )

        assert set(np.flatnonzero(parts == parts[here]).tolist()) == mates


def test_a_new_photo_between_two_subsets_is_left_out() -> None:
    assert left_out(["train", "test", ""], (2, 0), (1, 2)) == [2]


def test_a_chain_of_new_photos_between_two_subsets_is_left_out_as_a_whole() -> None:
    assert left_out(["train", "", "", "", "test"], (0, 1), (1, 2), (3, 2), (3, 4)) == [1, 2, 3]


def test_new_photos_tied_to_one_subset_stay() -> None:
    assert left_out(["train", "train", "", "", "", "test"], (2, 0), (2, 1), (3, 2), (4, 5)) == []


def test_a_released_photo_is_never_left_out_whatever_it_is_tied_to() -> None:
    assert left_out(["train", "test", "validation", ""], (0, 1), (1, 2), (3, 0)) == []


def test_two_new_photos_at_one_released_photo_are_not_a_chain() -> None:
    """The released photo between them stays, so leaving out one of them is no reason to leave out the other."""
    assert left_out(["train", "test", "", ""], (2, 0), (2, 1), (3, 0)) == [2]


def test_nothing_released_and_nothing_new_have_no_bridges() -> None:
    assert left_out(["", "", ""], (0, 1), (1, 2)) == []
    assert left_out(["train", "test"], (0, 0), (1, 1)) == []


@UNHURRIED
@given(st.lists(st.sampled_from(["", "", "", "train", "test", "validation"]), min_size=2, max_size=10), st.data())
def test_bridges_are_what_a_search_over_all_pairs_finds(subsets: list[str], data: st.DataObject) -> None:
    places = st.integers(0, len(subsets) - 1)
    pairs = data.draw(st.lists(st.tuples(places, places), min_size=1, max_size=14))
    expected = []
    for here in range(len(subsets)):
        part = reached(
            here, len(subsets), lambda one, other: (one, other) in pairs and subsets[one] == subsets[other] == ""
        )
        touched = {subsets[other] for pair in pairs for one, other in (pair, pair[::-1]) if one in part} - {""}
        if subsets[here] == "" and len(touched) > 1:
            expected.append(here)
    shuffled = random.Random(0).sample(pairs, len(pairs))

    assert left_out(subsets, *pairs) == expected
    assert left_out(subsets, *(pair[::-1] for pair in shuffled)) == expected


def test_photos_of_two_subsets_stay_apart_however_they_are_tied() -> None:
    connected = UnionFind(["train", "", "", "test"])
    connected.join_all([(1, 2), (0, 1), (2, 3), (3, 1), (3, 0)])

    assert not connected.are_apart(0, 2)
    assert connected.are_apart(2, 3)


def test_a_set_has_the_subset_of_any_released_photo_in_it() -> None:
    connected = UnionFind(["", "train", "test", "", "train"])
    connected.join_all([(1, 0), (2, 3), (0, 3), (4, 0)])

    assert [connected.are_apart(4, other) for other in range(4)] == [False, False, True, True]
