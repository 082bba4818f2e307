"""Stages duplicates, catalog and split on top of a release: no photo is like one in another subset, none has moved."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from imageset.curation import duplicate_search, groups, released_subsets, ties
from imageset.curation.stratified_split import assign_subsets
from imageset.errors import DataError
from imageset.formats import tables
from imageset.runtime.sections import SplitParams
from sandbox.garments import GARMENTS
from tests.curated import (
    DUPLICATES,
    Key,
    are_alike,
    by_photo,
    hashes,
    of_one_class,
    pattern,
    photo,
    rows,
    run_split,
    write_release,
)
from tests.samples import examples
from tools import release


@pytest.mark.usefixtures("no_rare_classes")
def test_a_product_keeps_its_subset_when_its_photo_is_replaced(in_project: Path) -> None:
    for subset in ("train", "test"):
        write_release(in_project, {(1, 0): subset, (2, 0): "train", (9, 0): "test"})
        of_one_class(
            in_project,
            {
                (1, 1): photo("dress"),
                **{(number, 0): photo(garment) for number, garment in enumerate(GARMENTS[2:6], 2)},
            },
        )

        assert run_split(in_project)[1, 1] == subset


@pytest.mark.usefixtures("no_rare_classes")
def test_the_stage_says_how_much_the_params_still_decide(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_one_class(in_project, {(number, 0): photo(garment) for number, garment in enumerate(GARMENTS[:5], 1)})
    said = []
    for released in (0, 4, 5):
        write_release(in_project, {(number, 0): "train" for number in range(1, released + 1)})
        capsys.readouterr()
        run_split(in_project)
        said.append(capsys.readouterr().out.splitlines()[1:])

    params = "split: split.test_share, validation_share and seed decide"
    assert said == [
        [],
        [f"{params} on 1 of 5 photos: the release fixes the subset of the others"],
        [f"{params} nothing: the release fixes the subset of all 5 photos"],
    ]


@pytest.mark.usefixtures("no_rare_classes")
@pytest.mark.parametrize(
    ("new", "left_out"),
    [
        ({(3, 0): 1}, [(3, 0)]),
        ({(3, 0): 1, (4, 0): 2}, [(3, 0), (4, 0)]),
        ({(3, 0): 16, (3, 1): 5}, [(3, 0), (3, 1)]),
        ({(3, 0): 16, (4, 0): 5}, []),
        ({(1, 1): 5}, [(1, 1)]),
        ({(1, 1): 9}, []),
        ({(3, 0): 0}, []),
        ({(3, 0): 0, (3, 1): 3}, [(3, 0), (3, 1)]),
        ({(3, 0): 9}, []),
    ],
    ids=[
        "like both",
        "both like both",
        "product like both",
        "two like one each",
        "of the one like the other",
        "of the one like none",
        "hash of the one",
        "hashes of both",
        "like none",
    ],
)
def test_photos_that_connect_two_released_subsets_are_left_out_and_no_others(
    in_project: Path, new: dict[Key, int], left_out: list[Key]
) -> None:
    released: dict[Key, str] = {(1, 0): "train", (2, 0): "test"}
    write_release(in_project, released)
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(3)} | {key: pattern(new[key]) for key in new})
    subsets = run_split(in_project)

    assert found.reasons == dict.fromkeys(left_out, "bridges_release")
    assert released.items() <= subsets.items()
    for key in new.keys() - set(left_out):
        if are_alike(new[key], 0) or key[0] == 1:
            assert subsets[key] == "train"
        elif are_alike(new[key], 3):
            assert subsets[key] == "test"


@pytest.mark.usefixtures("no_rare_classes")
@pytest.mark.parametrize(
    "new",
    [{}, {(3, 0): pattern(1)}, {(3, 0): pattern(0), (3, 1): pattern(2)}],
    ids=["alone", "with a new photo like both", "with a new product that has the hashes of both"],
)
def test_tied_photos_released_in_different_subsets_fail_the_split_that_lists_them(
    in_project: Path, new: dict[Key, Image.Image]
) -> None:
    """As after a change of params that finds more pairs: a person decides which of the two photos to give up."""
    write_release(in_project, {(1, 0): "train", (2, 0): "test"})
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(2), **new})

    assert found.groups.items() >= {(1, 0): 1, (2, 0): 1}.items()
    with pytest.raises(DataError, match=r"2 photos .* released in different subsets.*: 1/0 \(train.* 2/0 \(test"):
        run_split(in_project)


@pytest.mark.usefixtures("no_rare_classes")
def test_the_last_line_of_each_stage_counts_the_rows_of_its_tables(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(in_project, {(1, 0): "train", (2, 0): "test"})
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(3), (3, 0): pattern(1)})

    assert len(found.near) == 2
    assert capsys.readouterr().out == (
        "duplicates: 3 photos, 2 groups, 2 near-duplicates, left out: 1 bridges_release; "
        "3 photos hashed and 6 pairs compared anew\n"
        "catalog: 3 photos, 2 in 1 classes and 2 groups, labels changed: none; 1 rejected (1 bridges_release); "
        "0 corrections, 0 in use, 0 spent (none)\n"
    )


@pytest.mark.usefixtures("no_rare_classes")
def test_released_photos_stay_one_group_when_a_new_photo_between_them_is_left_out(in_project: Path) -> None:
    write_release(in_project, {(2, 0): "train", (3, 0): "train", (4, 0): "test"})
    found = of_one_class(
        in_project,
        {(1, 0): pattern(1), (1, 1): pattern(10), (2, 0): pattern(0), (3, 0): pattern(2), (4, 0): pattern(11)},
    )

    assert found.reasons == {(1, 0): "bridges_release", (1, 1): "bridges_release"}
    assert found.groups == {(2, 0): 2, (3, 0): 2, (4, 0): 4}


def reached(start: Key, pattern_of: dict[Key, int]) -> set[Key]:
    """Return the photos that ties lead to from one, among those given."""
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        news = {key for key in pattern_of.keys() - found if tied(here, key, pattern_of)}
        found |= news
        waiting += news
    return found


def tied(one: Key, other: Key, pattern_of: dict[Key, int]) -> bool:
    return one[0] == other[0] or are_alike(pattern_of[one], pattern_of[other])


def grouped(pattern_of: dict[Key, int], released: pd.DataFrame) -> pd.DataFrame:
    """Return the photos with their group, and the reason of those left out, as the stage's main does without files."""
    keys = sorted(pattern_of)
    images = [pattern(pattern_of[key]) for key in keys]
    rows_of = [(*key, row, str(key), *hashes(images[row].tobytes())) for row, key in enumerate(keys)]
    photos = tables.frame(tables.PROCESSED, rows_of)
    subsets = released_subsets.of_photos(photos, released), released_subsets.of_products(photos, released)
    same_bytes, values = ties.byte_ties(photos, subsets[0] != ""), tables.frame(tables.LISTING_GROUPS, [])
    thumbnails = np.stack([np.asarray(image)[..., np.newaxis] for image in images])
    pairs = duplicate_search.search(duplicate_search.KnownPhotos(photos, thumbnails, values, *subsets), DUPLICATES)
    alike = ties.join([same_bytes, duplicate_search.ties_of(pairs)])
    pictures = ties.components(alike, len(photos))
    is_shared = groups.shared_pictures(photos, pictures, DUPLICATES.max_products)
    return groups.group_photos(photos, alike, pictures, is_shared, values, *subsets)


def split_on_top(pattern_of: dict[Key, int], unlabelled: set[Key], before: dict[Key, str], seed: int) -> dict[Key, str]:
    """Group and split photos on top of a release, check the result, and return their subsets."""
    photos = grouped(pattern_of, split_table(before))
    left_out = {key for key, reason in by_photo(photos, "reason").items() if reason}
    has_label = np.array([key not in unlabelled for key in sorted(pattern_of)])
    kept = photos[(photos["reason"] == "") & has_label].assign(catalog_id=10, label=0)
    fixed = released_subsets.find_fixed(kept, photos[photos["reason"] == ""], split_table(before))
    subsets = by_photo(
        assign_subsets(kept, fixed, SplitParams(test_share=0.5, validation_share=0.1, seed=seed)),
        "subset",
    )

    assert subsets.keys() == pattern_of.keys() - left_out - unlabelled
    assert all(subset == before.get(key, subset) for key, subset in subsets.items()), "a released photo has moved"
    assert not left_out & before.keys()
    for one in subsets:
        for other in subsets:
            assert not tied(one, other, pattern_of) or subsets[one] == subsets[other], f"{one} is like {other}"
    for key in left_out:
        chain = reached(key, {other: pattern_of[other] for other in pattern_of.keys() - before.keys()})
        touched = {
            before[other]
            for other in pattern_of.keys() & before.keys()
            if any(tied(link, other, pattern_of) for link in chain)
        }
        touched |= {subset for other, subset in before.items() if other[0] in {link[0] for link in chain}}

        assert len(touched) > 1, f"{key} touches one subset at most"
    return subsets


def split_table(subsets: dict[Key, str]) -> pd.DataFrame:
    return tables.frame(tables.SPLIT, [(*key, subset) for key, subset in subsets.items()])


histories = st.dictionaries(
    st.tuples(st.integers(1, 8), st.integers(0, 1)),
    st.tuples(st.integers(0, 11), st.sampled_from(["goes", "stays", "stays, labelled later", "comes", "comes"])),
    min_size=3,
    max_size=11,
)


@settings(deadline=None, max_examples=examples(30))
@given(history=histories, seed=st.integers(0, 3))
@example(
    history={
        (1, 0): (2, "stays, labelled later"),
        (2, 0): (3, "stays, labelled later"),
        (3, 0): (2, "stays"),
        (6, 0): (6, "stays"),
        (6, 1): (0, "comes"),
        (7, 0): (1, "stays, labelled later"),
    },
    seed=0,
)
def test_on_top_of_any_release_no_photo_is_like_one_in_another_subset(
    history: dict[Key, tuple[int, str]], seed: int
) -> None:
    first = {key: number for key, (number, fate) in history.items() if fate != "comes"}
    later = {key: number for key, (number, fate) in history.items() if fate != "goes"}
    unlabelled = {key for key, (_, fate) in history.items() if fate == "stays, labelled later"}
    assume(later and first.keys() - unlabelled)
    before = split_on_top(first, unlabelled, {}, seed)
    now = split_on_top(later, set(), before, seed)
    frozen = release.freeze_split(split_table(before), split_table(now))
    columns = ["product_id", "position", "group", "reason"]

    assert rows(grouped(later, frozen)[columns]) == rows(grouped(later, split_table(before))[columns]), (
        "a release changed the groups"
    )
