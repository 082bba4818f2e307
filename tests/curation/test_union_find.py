from hypothesis import given
from hypothesis import strategies as st

from imageset.curation.union_find import Forest


def test_what_is_joined_is_not_apart_through_others_as_well() -> None:
    forest = Forest([""] * 5)
    forest.join_all([(0, 1), (3, 2), (1, 2)])

    assert [[forest.apart(one, other) for other in range(5)] for one in range(5)] == [[False] * 4 + [True]] * 4 + [
        [True] * 4 + [False]
    ]


def test_two_sides_never_become_one_tree_whatever_lies_between_them() -> None:
    forest = Forest(["train", "", "", "test", "test"])
    forest.join_all([(0, 1), (1, 2), (2, 3), (3, 4), (0, 3)])

    assert [forest.apart(0, photo) for photo in range(5)] == [False, False, False, True, True]
    assert not forest.apart(3, 4)


def test_a_tree_has_its_side_from_whichever_photo() -> None:
    for pairs in ([(0, 1), (1, 2)], [(1, 0), (2, 1)], [(1, 2), (0, 2)]):
        forest = Forest(["", "", "train", "test"])
        forest.join_all([*pairs, (0, 3)])

        assert forest.apart(0, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_without_sides_the_order_of_ties_is_irrelevant(pairs: list[tuple[int, int]]) -> None:
    def trees(ordered: list[tuple[int, int]]) -> list[list[bool]]:
        forest = Forest([""] * 10)
        forest.join_all(ordered)
        return [[forest.apart(one, other) for other in range(10)] for one in range(10)]

    assert trees(pairs) == trees(sorted(pairs)) == trees(pairs[::-1])
