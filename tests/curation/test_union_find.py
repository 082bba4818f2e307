from hypothesis import given
from hypothesis import strategies as st

from imageset.curation.union_find import UnionFind


def test_joined_photos_are_not_apart_also_through_others() -> None:
    connected = UnionFind([""] * 5)
    connected.join_all([(0, 1), (3, 2), (1, 2)])

    assert [[connected.are_apart(one, other) for other in range(5)] for one in range(5)] == [
        [False] * 4 + [True]
    ] * 4 + [[True] * 4 + [False]]


def test_photos_of_two_subsets_are_never_connected_whatever_is_between_them() -> None:
    connected = UnionFind(["train", "", "", "test", "test"])
    connected.join_all([(0, 1), (1, 2), (2, 3), (3, 4), (0, 3)])

    assert [connected.are_apart(0, photo) for photo in range(5)] == [False, False, False, True, True]
    assert not connected.are_apart(3, 4)


def test_a_set_has_the_subset_of_any_of_its_photos() -> None:
    for pairs in ([(0, 1), (1, 2)], [(1, 0), (2, 1)], [(1, 2), (0, 2)]):
        connected = UnionFind(["", "", "train", "test"])
        connected.join_all([*pairs, (0, 3)])

        assert connected.are_apart(0, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_without_subsets_the_order_of_ties_is_irrelevant(pairs: list[tuple[int, int]]) -> None:
    def sets(ordered: list[tuple[int, int]]) -> list[list[bool]]:
        connected = UnionFind([""] * 10)
        connected.join_all(ordered)
        return [[connected.are_apart(one, other) for other in range(10)] for one in range(10)]

    assert sets(pairs) == sets(sorted(pairs)) == sets(pairs[::-1])
