import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imageset.errors import DataError, ParamsError
from imageset.formats import tables
from imageset.runtime import params
from imageset.runtime.sections import SplitParams
from stages import split

NOTHING = tables.frame(tables.SPLIT, [])
SIDES = ("train", "validation", "test")
UNHURRIED = settings(deadline=None)  # other processes share the cores


def chosen(test: float = 0.2, validation: float = 0.0, seed: int = 1) -> SplitParams:
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
shares = st.sampled_from([(0.2, 0.0), (0.0, 0.0), (0.5, 0.0), (0.95, 0.0), (0.2, 0.2), (0.0, 0.3), (0.01, 0.9)])
choices = st.builds(lambda pair, seed: chosen(pair[0], pair[1], seed), shares, st.integers(0, 5))


def subsets(photos: pd.DataFrame, released: pd.DataFrame, how: SplitParams) -> dict[tuple[int, int], str]:
    result = split.split(photos, released, how)

    assert not result.duplicated(["product_id", "position"]).any()
    return {(product_id, position): subset for product_id, position, subset in result.itertuples(index=False)}


@UNHURRIED
@given(catalogs, choices)
def test_every_photo_has_one_subset_and_no_group_two(photos: pd.DataFrame, how: SplitParams) -> None:
    found = subsets(photos, NOTHING, how)

    assert sorted(found) == sorted(photos[["product_id", "position"]].itertuples(index=False, name=None))
    assert set(found.values()) <= set(SIDES)
    for _, group in photos.groupby("group"):
        assert len({found[key] for key in zip(group["product_id"], group["position"], strict=True)}) == 1


@UNHURRIED
@given(catalogs, choices)
def test_every_class_is_held_out_to_its_share_give_or_take_a_group(photos: pd.DataFrame, how: SplitParams) -> None:
    found = split.split(photos, NOTHING, how).merge(photos, on=["product_id", "position"])
    for _, rows in found.groupby("label"):
        sizes = rows.groupby("group").size()
        held_out = {subset: int((rows["subset"] == subset).sum()) for subset in SIDES}

        assert held_out["train"] > 0
        assert held_out["validation"] <= how.validation_share * len(rows) + sizes.max()
        if len(sizes) > 1:
            target = how.test_share * len(rows)

            assert abs(held_out["test"] - target) <= sizes.max()
            assert held_out["test"] <= max(2 * target, sizes.min())
            assert (held_out["test"] > 0) == (how.test_share > 0)


@pytest.mark.parametrize("seed", range(8))
def test_a_group_that_is_most_of_its_class_trains(seed: int) -> None:
    photos = catalog([[(0, 90)], [(0, 5)], [(0, 5)]])
    found = split.split(photos, NOTHING, chosen(seed=seed)).merge(photos, on=["product_id", "position"])

    assert found.groupby("group")["subset"].first().tolist() == ["train", "test", "test"]


@UNHURRIED
@given(catalogs, choices)
def test_a_class_of_one_group_trains(photos: pd.DataFrame, how: SplitParams) -> None:
    found = split.split(photos, NOTHING, how).merge(photos, on=["product_id", "position"])
    alone = found[found.groupby("label")["group"].transform("nunique") == 1]

    assert set(alone["subset"]) <= {"train"}


@UNHURRIED
@given(catalogs, choices, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(photos: pd.DataFrame, how: SplitParams, dice: random.Random) -> None:
    order = list(range(len(photos)))
    dice.shuffle(order)

    assert subsets(photos.iloc[order], NOTHING, how) == subsets(photos, NOTHING, how)


@UNHURRIED
@given(catalogs, choices, st.data())
def test_released_photos_never_move(photos: pd.DataFrame, how: SplitParams, data: st.DataObject) -> None:
    sides = {group: data.draw(st.sampled_from([*SIDES, None])) for group in photos["group"].unique()}
    released = photos.assign(subset=photos["group"].map(sides)).dropna(subset=["subset"])
    released = pd.concat([released, released.assign(product_id=released["product_id"] + 1000)])  # gone by now
    found = subsets(photos, tables.frame(tables.SPLIT, released), how)

    for product_id, position, group in photos[["product_id", "position", "group"]].itertuples(index=False):
        assert sides[group] in (None, found[product_id, position])


def singles(count: int, classes: int) -> pd.DataFrame:
    return catalog([[(number % classes, 1)] for number in range(count)])


def test_the_share_is_met_where_groups_are_small() -> None:
    found = split.split(singles(1000, 10), NOTHING, chosen(0.2, 0.1))

    assert found["subset"].value_counts().to_dict() == {"train": 700, "test": 200, "validation": 100}


def counts(moved: Iterable[tuple[str, str]], side: str) -> tuple[int, int]:
    """Return how many went from train to a side, and how many are on this side after less before."""
    pairs = list(moved)
    return pairs.count(("train", side)), sum((after == side) - (before == side) for before, after in pairs)


@UNHURRIED
@given(grouped, grouped, choices)
def test_what_comes_from_train_is_no_more_than_its_class_grew_by_in_the_test_set(
    old: list[list[tuple[int, int]]], new: list[list[tuple[int, int]]], how: SplitParams
) -> None:
    grown = catalog(old + new)
    small = grown[grown["group"] < sum(map(len, old))]
    target = how.test_share * small.groupby("label").size()
    # A group beyond twice the target is passed over until the class has grown to it: then it may come whole.
    assume(all((rows.groupby("group").size() <= 2 * target[label]).all() for label, rows in small.groupby("label")))
    before, after = subsets(small, NOTHING, how), subsets(grown, NOTHING, how)

    for label in small["label"].unique():
        rows = grown[grown["label"] == label]
        moves = [(before.get(key, ""), after[key]) for key in zip(rows["product_id"], rows["position"], strict=True)]
        came, growth = counts(moves, "test")

        assert came <= max(0, growth)


def test_validation_takes_nothing_from_the_test_set() -> None:
    photos = singles(300, 3)
    without, with_it = (subsets(photos, NOTHING, chosen(0.2, share)) for share in (0.0, 0.3))

    assert [key for key in without if without[key] == "test"] == [key for key in with_it if with_it[key] == "test"]
    assert list(with_it.values()).count("validation") == 90


@pytest.mark.parametrize("more", [20, 200, 2000])
def test_with_a_release_no_released_photo_moves_however_many_listings_are_added(more: int) -> None:
    grown = singles(2000 + more, 20)
    released = split.split(grown[grown["product_id"] < 2000], NOTHING, chosen())
    before, after = subsets(grown[grown["product_id"] < 2000], NOTHING, chosen()), subsets(grown, released, chosen())

    assert all(after[photo] == before[photo] for photo in before)
    assert abs(list(after.values()).count("test") - 0.2 * (2000 + more)) <= 20 / 2  # half a photo a class


@pytest.mark.parametrize("more", [20, 200, 2000])
def test_without_one_as_many_come_from_train_as_the_test_set_grew_by_at_the_most(more: int) -> None:
    grown = singles(2000 + more, 20)
    for seed in range(3):
        before = subsets(grown[grown["product_id"] < 2000], NOTHING, chosen(seed=seed))
        after = subsets(grown, NOTHING, chosen(seed=seed))
        came = sum((before.get(key), side) == ("train", "test") for key, side in after.items())

        assert came <= list(after.values()).count("test") - list(before.values()).count("test")
        assert more == 20 or came > 0


@pytest.mark.parametrize(
    ("photos", "sides"),
    [([1], ["train"]), ([5], ["train"]), ([1, 1], ["test", "train"]), ([1, 1, 1], ["test", "train", "validation"])],
)
def test_the_smallest_classes(photos: list[int], sides: list[str]) -> None:
    found = subsets(catalog([[(0, count)] for count in photos]), NOTHING, chosen(0.2, 0.2))

    assert sorted(set(found.values())) == sides


def test_a_new_class_moves_nothing() -> None:
    photos = catalog([[(number % 5, 1)] for number in range(100)] + [[(7, 1)] for _ in range(50)])
    before = subsets(photos[photos["label"] != 7], NOTHING, chosen())

    assert before.items() <= subsets(photos, NOTHING, chosen()).items()


def test_another_seed_is_another_split() -> None:
    assert subsets(singles(100, 2), NOTHING, chosen(seed=1)) != subsets(singles(100, 2), NOTHING, chosen(seed=2))


def test_released_photos_count_towards_the_share() -> None:
    photos = singles(100, 1)
    released = tables.frame(tables.SPLIT, [(number, 0, "test") for number in range(15)])
    found = split.split(photos, released, chosen(0.2))

    assert (found["subset"] == "test").sum() == 20


def test_a_group_follows_its_released_photo() -> None:
    photos = catalog([[(0, 1), (0, 2)], *([(0, 1)] for _ in range(20))])
    for side in SIDES:
        released = tables.frame(tables.SPLIT, [(1, 1, side)])

        assert {subsets(photos, released, chosen())[key] for key in [(0, 0), (1, 0), (1, 1)]} == {side}


def test_a_released_subset_that_is_none_is_an_error() -> None:
    released = tables.frame(tables.SPLIT, [(0, 0, "Test")])

    with pytest.raises(DataError, match="names a subset 'Test'"):
        split.split(catalog([[(0, 1)], [(0, 1)]]), released, chosen())


def test_a_group_released_on_two_sides_is_an_error_that_lists_its_photos() -> None:
    photos = catalog([[(0, 1)], [(0, 1), (0, 1)], [(0, 1)]])
    released = tables.frame(tables.SPLIT, [(0, 0, "train"), (1, 0, "train"), (2, 0, "test"), (3, 0, "test")])

    with pytest.raises(DataError, match=r"^2 photos .* now: 1/0 \(train, group 1\), 2/0 \(test, group 1\)\. A"):
        split.split(photos, released, chosen())


def test_a_group_of_two_classes_goes_with_its_commonest() -> None:
    groups = split.group_classes(catalog([[(2, 1), (1, 2)], [(3, 1), (0, 1)]]))

    assert groups[["label", "photos"]].to_numpy().tolist() == [[1, 3], [0, 2]]


@pytest.mark.parametrize(
    ("test_share", "validation_share"), [("0.5", "0.5"), ("0.9", "0.2"), ("1.0", "0.0"), ("-0.1", "0.0")]
)
def test_shares_that_leave_nothing_to_train_on_are_refused(
    test_share: str, validation_share: str, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("  test_share: 0.2", f"  test_share: {test_share}")
    edit_params("  validation_share: 0.0", f"  validation_share: {validation_share}")

    with pytest.raises(ParamsError, match=r"params\.yaml: split"):
        params.load()


def test_the_stage_writes_the_same_bytes_for_any_order_of_rows(in_project: Path) -> None:
    written = []
    for photos in (singles(50, 3), singles(50, 3)[::-1]):
        tables.write(in_project / "data/catalog.csv", tables.CATALOG, photos)
        split.main(in_project / "data/catalog.csv", in_project / "releases/split.csv", in_project / "data/split.csv")
        written.append((in_project / "data/split.csv").read_bytes())

    assert written[0] == written[1]
    assert written[0].startswith(b"product_id,position,subset\n0,0,")
    assert written[0].count(b"\n") == 51
