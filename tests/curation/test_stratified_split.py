"""Every class by its shares, whole groups, released photos where they were, and few moves when listings are added."""

import random
from collections.abc import Iterable

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imageset.curation.released_subsets import SUBSETS, of_groups
from imageset.curation.stratified_split import assign_subsets, group_classes
from imageset.formats import tables
from imageset.runtime.sections import SplitParams

NOTHING = tables.frame(tables.SPLIT, [])
UNHURRIED = settings(deadline=None)  # other processes share the cores


def section(test: float = 0.2, validation: float = 0.0, seed: int = 1) -> SplitParams:
    return SplitParams(test_share=test, validation_share=validation, seed=seed)


def catalog(groups: list[list[tuple[int, int]]]) -> pd.DataFrame:
    """Return a catalog of groups; a group is a list of products, a product its label and how many photos it has."""
    rows = []
    product_id = 0
    for group in groups:
        lowest = product_id
        for label, photos in group:
            rows += [(product_id, position, 0, 1000 + label, label, lowest) for position in range(photos)]
            product_id += 1
    return tables.frame(tables.CATALOG, rows)


groups = st.builds(
    lambda label, photos: [(label, count) for count in photos],
    st.integers(0, 3),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
grouped = st.lists(groups, min_size=1, max_size=20)
catalogs = grouped.map(catalog)
SHARES = [(0.2, 0.0), (0.0, 0.0), (0.5, 0.0), (0.95, 0.0), (0.2, 0.2), (0.0, 0.3), (0.01, 0.9)]


def choose(shares: list[tuple[float, float]]) -> st.SearchStrategy[SplitParams]:
    return st.builds(lambda pair, seed: section(pair[0], pair[1], seed), st.sampled_from(shares), st.integers(0, 5))


choices = choose(SHARES)
# No group of these classes is larger than twice a test share of 0.2.
even_classes = st.lists(st.lists(st.integers(1, 2), min_size=5, max_size=8), min_size=1, max_size=3).map(
    lambda classes: [[(label, photos)] for label, sizes in enumerate(classes) for photos in sizes]
)


def subsets(photos: pd.DataFrame, released: pd.DataFrame, split: SplitParams) -> dict[tuple[int, int], str]:
    result = assign_subsets(photos, of_groups(photos, released), split)

    assert not result.duplicated(["product_id", "position"]).any()
    return {(product_id, position): subset for product_id, position, subset in result.itertuples(index=False)}


@UNHURRIED
@given(catalogs, choices)
def test_groups_stay_whole_and_every_class_has_its_shares(photos: pd.DataFrame, split: SplitParams) -> None:
    """Every photo has one subset, and no group two. A class of one group trains."""
    result = assign_subsets(photos, {}, split)
    keys = ["product_id", "position"]

    assert sorted(result[keys].itertuples(index=False, name=None)) == sorted(
        photos[keys].itertuples(index=False, name=None)
    )
    assert set(result["subset"]) <= set(SUBSETS)

    found = result.merge(photos, on=keys)

    assert found.groupby("group")["subset"].nunique().eq(1).all()
    for _, rows in found.groupby("label"):
        sizes = rows.groupby("group").size()
        held_out = {subset: int((rows["subset"] == subset).sum()) for subset in SUBSETS}

        assert held_out["train"] > 0
        assert held_out["validation"] <= split.validation_share * len(rows) + sizes.max()
        if len(sizes) == 1:
            assert held_out["train"] == len(rows)
        else:
            target = split.test_share * len(rows)

            assert abs(held_out["test"] - target) <= sizes.max()
            assert held_out["test"] <= max(2 * target, sizes.min())
            assert (held_out["test"] > 0) == (split.test_share > 0)


@pytest.mark.parametrize("seed", range(8))
def test_a_group_that_is_most_of_its_class_trains(seed: int) -> None:
    photos = catalog([[(0, 90)], [(0, 5)], [(0, 5)]])
    found = assign_subsets(photos, {}, section(seed=seed)).merge(photos, on=["product_id", "position"])

    assert found.groupby("group")["subset"].first().tolist() == ["train", "test", "test"]


@UNHURRIED
@given(catalogs, choices, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(photos: pd.DataFrame, split: SplitParams, dice: random.Random) -> None:
    order = list(range(len(photos)))
    dice.shuffle(order)

    assert subsets(photos.iloc[order], NOTHING, split) == subsets(photos, NOTHING, split)


@UNHURRIED
@given(catalogs, choices, st.data())
def test_released_photos_never_move(photos: pd.DataFrame, split: SplitParams, data: st.DataObject) -> None:
    subset_of = {group: data.draw(st.sampled_from([*SUBSETS, None])) for group in photos["group"].unique()}
    released = photos.assign(subset=photos["group"].map(subset_of)).dropna(subset=["subset"])
    released = pd.concat([released, released.assign(product_id=released["product_id"] + 1000)])  # gone by now
    found = subsets(photos, tables.frame(tables.SPLIT, released), split)

    for product_id, position, group in photos[["product_id", "position", "group"]].itertuples(index=False):
        assert subset_of[group] in (None, found[product_id, position])


def singles(count: int, classes: int) -> pd.DataFrame:
    return catalog([[(number % classes, 1)] for number in range(count)])


def test_the_share_is_met_where_groups_are_small() -> None:
    found = assign_subsets(singles(1000, 10), {}, section(0.2, 0.1))

    assert found["subset"].value_counts().to_dict() == {"train": 700, "test": 200, "validation": 100}


def counts(moves: Iterable[tuple[str, str]], subset: str) -> tuple[int, int]:
    """Return how many photos moved from train to a subset, and by how many the subset grew."""
    pairs = list(moves)
    return pairs.count(("train", subset)), sum((after == subset) - (before == subset) for before, after in pairs)


@UNHURRIED
@given(st.one_of(even_classes, grouped), grouped, choose([pair for pair in SHARES if pair[0] >= 0.2]))
def test_a_class_moves_no_more_photos_from_train_to_test_than_its_test_set_grows_by(
    old: list[list[tuple[int, int]]], new: list[list[tuple[int, int]]], split: SplitParams
) -> None:
    grown = catalog(old + new)
    small = grown[grown["group"] < sum(map(len, old))]
    target = split.test_share * small.groupby("label").size()
    # A group larger than twice the target is passed over until its class is large enough. Then it may move as a whole.
    assume(all((rows.groupby("group").size() <= 2 * target[label]).all() for label, rows in small.groupby("label")))
    before, after = subsets(small, NOTHING, split), subsets(grown, NOTHING, split)

    for label in small["label"].unique():
        rows = grown[grown["label"] == label]
        moves = [(before.get(key, ""), after[key]) for key in zip(rows["product_id"], rows["position"], strict=True)]
        came, growth = counts(moves, "test")

        assert came <= max(0, growth)


def test_validation_takes_nothing_from_the_test_set() -> None:
    photos = singles(300, 3)
    without, with_it = (subsets(photos, NOTHING, section(0.2, share)) for share in (0.0, 0.3))

    assert [key for key in without if without[key] == "test"] == [key for key in with_it if with_it[key] == "test"]
    assert list(with_it.values()).count("validation") == 90


@pytest.mark.parametrize("more", [20, 200, 2000])
def test_with_a_release_no_released_photo_moves_however_many_listings_are_added(more: int) -> None:
    grown = singles(2000 + more, 20)
    released = assign_subsets(grown[grown["product_id"] < 2000], {}, section())
    before, after = subsets(grown[grown["product_id"] < 2000], NOTHING, section()), subsets(grown, released, section())

    assert all(after[photo] == before[photo] for photo in before)
    assert abs(list(after.values()).count("test") - 0.2 * (2000 + more)) <= 20 / 2  # half a photo a class


@pytest.mark.parametrize("more", [20, 200, 2000])
def test_without_a_release_no_more_photos_move_to_test_than_the_test_set_grows_by(more: int) -> None:
    grown = singles(2000 + more, 20)
    for seed in range(3):
        before = subsets(grown[grown["product_id"] < 2000], NOTHING, section(seed=seed))
        after = subsets(grown, NOTHING, section(seed=seed))
        came = sum((before.get(key), subset) == ("train", "test") for key, subset in after.items())

        assert came <= list(after.values()).count("test") - list(before.values()).count("test")
        assert more == 20 or came > 0


@pytest.mark.parametrize(
    ("photos", "expected"),
    [([1], ["train"]), ([5], ["train"]), ([1, 1], ["test", "train"]), ([1, 1, 1], ["test", "train", "validation"])],
)
def test_the_smallest_classes(photos: list[int], expected: list[str]) -> None:
    found = subsets(catalog([[(0, count)] for count in photos]), NOTHING, section(0.2, 0.2))

    assert sorted(set(found.values())) == expected


def test_a_new_class_moves_nothing() -> None:
    photos = catalog([[(number % 5, 1)] for number in range(100)] + [[(7, 1)] for _ in range(50)])
    before = subsets(photos[photos["label"] != 7], NOTHING, section())

    assert before.items() <= subsets(photos, NOTHING, section()).items()


def test_another_seed_is_another_split() -> None:
    assert subsets(singles(100, 2), NOTHING, section(seed=1)) != subsets(singles(100, 2), NOTHING, section(seed=2))


def test_released_photos_count_towards_the_share() -> None:
    photos = singles(100, 1)
    released = tables.frame(tables.SPLIT, [(number, 0, "test") for number in range(15)])
    found = assign_subsets(photos, of_groups(photos, released), section(0.2))

    assert (found["subset"] == "test").sum() == 20


def test_a_group_follows_its_released_photo() -> None:
    photos = catalog([[(0, 1), (0, 2)], *([(0, 1)] for _ in range(20))])
    for subset in SUBSETS:
        released = tables.frame(tables.SPLIT, [(1, 1, subset)])

        assert {subsets(photos, released, section())[key] for key in [(0, 0), (1, 0), (1, 1)]} == {subset}


def test_a_group_of_two_classes_counts_for_its_commonest() -> None:
    found = group_classes(catalog([[(2, 1), (1, 2)], [(3, 1), (0, 1)]]))

    assert found[["label", "photos"]].to_numpy().tolist() == [[1, 3], [0, 2]]
