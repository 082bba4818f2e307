"""Copies of drawn photos are found, other garments are not, and nothing else changes what is found."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from imageset.curation import candidates, near_duplicates, sieve
from imageset.curation.candidates import Pairs, PhotosToCompare, list_photos
from imageset.curation.frames import find_frames
from imageset.curation.near_duplicates import Likeness, NearDuplicate, find_near_duplicates, measure_likeness
from imageset.curation.union_find import UnionFind
from imageset.curation.views import VIEWS, hash_views, view_frequencies
from imageset.errors import DataError
from imageset.formats.hdf5 import Pixels
from imageset.leakage import copies as leaked
from imageset.photos.preprocess import PreparedPhoto
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import WorkerPool
from sandbox import draw
from sandbox.garments import GARMENTS
from tests import planted
from tests.project import ROOT
from tests.samples import sample

SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text())["duplicates"]
DISTANCE, LIKENESS = SHIPPED["distance"], SHIPPED["likeness"]
KINDS = (*planted.KINDS, *(f"leaked {kind}" for kind in leaked.KINDS if kind != "collage"))


class Photos(NamedTuple):
    """Thumbnails, uint8 (N, 64, 64, 1), and the hashes of the whole photos, (N,)."""

    thumbnails: Pixels
    hashes: NDArray[np.uint64]

    def only(self, rows: list[int]) -> "Photos":
        return Photos(self.thumbnails[rows], self.hashes[rows])


def concatenate(*parts: Photos) -> Photos:
    return Photos(*map(np.concatenate, zip(*parts, strict=True)))


def gather(prepared: list[PreparedPhoto]) -> Photos:
    return Photos(
        np.stack([photo.thumbnail for photo in prepared]),
        np.array([int(photo.phash, 16) for photo in prepared], np.uint64),
    )


def with_hashes(thumbnails: Pixels) -> Photos:
    """Return thumbnails and their hashes."""
    return Photos(thumbnails, hash_views(view_frequencies(thumbnails[..., 0]))[:, 0])


@functools.cache
def drawn(garment: str, seed: int) -> PreparedPhoto:
    """A photo of a garment, on its background."""
    return planted.prepared(planted.encode(draw.draw(garment, seed)))


@pytest.fixture(scope="module")
def originals() -> Photos:
    """One photo of each garment."""
    return gather([drawn(garment, 7) for garment in GARMENTS])


@pytest.fixture(scope="module")
def copies() -> dict[str, Photos]:
    """A copy of each of the originals, by kind."""
    photos = [draw.draw(garment, 7) for garment in GARMENTS]
    return {
        kind: gather([planted.prepared(plant(photo, kind, number)) for number, photo in enumerate(photos)])
        for kind in KINDS
    }


def plant(photo: Image.Image, kind: str, seed: int) -> bytes:
    if kind in planted.KINDS:
        return planted.plant(photo, kind, seed)
    return leaked.make_copy(photo, photo, kind.removeprefix("leaked "), seed)


@pytest.fixture(scope="module")
def everything(originals: Photos, copies: dict[str, Photos]) -> Photos:
    return concatenate(originals, *copies.values())


@pytest.fixture(scope="module")
def found_in_everything(everything: Photos) -> list[NearDuplicate]:
    return find(everything)


@pytest.fixture(scope="module")
def few(everything: Photos) -> Photos:
    """Every third of them."""
    return everything.only(list(range(0, len(everything.hashes), 3)))


@pytest.fixture(scope="module")
def found_in_few(few: Photos) -> list[NearDuplicate]:
    return find(few)


def find(
    photos: Photos,
    distance: int = DISTANCE,
    likeness: float = LIKENESS,
    compared: list[int] | None = None,
    known: list[tuple[int, int]] | None = None,
    rows: list[int] | None = None,
    pool: WorkerPool | None = None,
) -> list[NearDuplicate]:
    """Search all photos. known: pairs that are connected already; compared: photos that were compared before."""
    count = len(photos.hashes)
    is_compared = np.zeros(count, bool)
    is_compared[compared or []] = True
    connected = UnionFind([""] * count)
    connected.join_all(known or [])
    rows_of = np.array(rows or range(count), np.intp)
    frames = find_frames(photos.thumbnails[rows_of][..., 0])
    to_compare = list_photos(photos.thumbnails, np.arange(count), rows_of, frames, photos.hashes, is_compared)
    return list(find_near_duplicates(photos.thumbnails, to_compare, distance, likeness, connected, pool))


def groups(count: int, pairs: list[NearDuplicate]) -> list[set[int]]:
    """Return the photos that the pairs connect, the lowest first."""
    sets = [{number} for number in range(count)]
    for left, right, _ in pairs:
        union = sets[left] | sets[right]
        for number in union:
            sets[number] = union
    return sorted({min(numbers): numbers for numbers in sets}.values(), key=min)


@pytest.fixture
def no_sieve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every candidate is compared."""
    for module, name in (
        (sieve, "OF_ANY_VIEW"),
        (candidates, "OF_A_WINDOW"),
        (near_duplicates, "OF_EQUAL_HASHES"),
    ):
        monkeypatch.setattr(module, name, 256)


@pytest.fixture
def compared_pairs(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The pairs whose details were compared for their views, by the rows of their thumbnails."""
    pairs: list[set[int]] = []
    confirm, read_pairs = near_duplicates.Search.confirm, near_duplicates.Search.read_pairs
    measures: list[Likeness] = []

    def confirm_and_note(
        search: near_duplicates.Search, photos: PhotosToCompare, some: Pairs, measure: Likeness
    ) -> Iterator[NearDuplicate]:
        measures.append(measure)
        yield from confirm(search, photos, some, measure)

    def read_and_note(search: near_duplicates.Search, photos: PhotosToCompare, some: Pairs) -> tuple[Pixels, Pixels]:
        if measures[-1] is measure_likeness:
            pairs.extend(set(photos.rows[pair].tolist()) for pair in some)
        return read_pairs(search, photos, some)

    monkeypatch.setattr(near_duplicates.Search, "confirm", confirm_and_note)
    monkeypatch.setattr(near_duplicates.Search, "read_pairs", read_and_note)
    return pairs


@pytest.mark.parametrize("kind", KINDS)
def test_each_copy_is_found_by_its_photo_alone(kind: str, originals: Photos, copies: dict[str, Photos]) -> None:
    pairs = find(concatenate(originals, copies[kind]))
    count = len(originals.hashes)

    assert (
        sorted(
            {pair.left, pair.right} == {number, number + count}
            for number, pair in enumerate(sorted(pairs, key=lambda pair: min(pair[:2])))
        )
        == [True] * count
    )


@pytest.mark.parametrize("is_tall", [True, False])
def test_a_photo_of_three_to_one_is_found_when_bars_make_it_square(is_tall: bool) -> None:
    whole = draw.draw("jacket", 7)
    middle = planted.crop(whole, (1 / 3, 1 / 3, 0, 0) if is_tall else (0, 0, 1 / 3, 1 / 3))
    photo = middle.resize((200, 600) if is_tall else (600, 200))
    copy = leaked.make_copy(photo, photo, "padded", 1)

    assert len(find(gather([planted.prepared(planted.encode(photo)), planted.prepared(copy)]))) == 1


@pytest.mark.parametrize("ratio", [3, 3.5])
def test_bars_do_not_make_different_photos_alike(ratio: float) -> None:
    """Compared with their bars, they are."""
    strips = np.full((12, 64, 64, 1), 255, np.uint8)
    width = round(64 / ratio)
    left = (64 - width) // 2
    soft = np.random.default_rng(4).integers(60, 200, (12, 4, 3, 1), np.uint8)
    strips[:, :, left : left + width] = np.repeat(np.repeat(soft, 16, 1), 8, 2)[:, :, :width]
    hashes = hash_views(view_frequencies(strips[..., 0]))[:, 0]

    assert find(Photos(strips, hashes)) == []


def test_all_copies_of_a_photo_are_connected_and_no_other_photo_is(
    everything: Photos, found_in_everything: list[NearDuplicate]
) -> None:
    count = len(everything.hashes)

    assert groups(count, found_in_everything) == [
        set(range(number, count, len(GARMENTS))) for number in range(len(GARMENTS))
    ]


def test_the_sieve_changes_no_group_and_spares_most_comparisons(
    everything: Photos, compared_pairs: list[set[int]], request: pytest.FixtureRequest
) -> None:
    alike = gather([drawn(garment, seed) for garment in ("t-shirt", "pants") for seed in range(20)])
    photos = concatenate(everything, alike)
    sifted = groups(len(photos.hashes), find(photos))
    compared_pairs.clear()
    find(alike)
    few = len(compared_pairs)
    request.getfixturevalue("no_sieve")
    compared_pairs.clear()
    find(alike)

    assert 5 * few < len(compared_pairs)
    assert groups(len(photos.hashes), find(photos)) == sifted


def test_there_are_no_more_pairs_than_it_takes_to_connect_all(
    everything: Photos, found_in_everything: list[NearDuplicate]
) -> None:
    assert len(found_in_everything) == len(everything.hashes) - len(GARMENTS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("leaked padded", "leaked sticker")])
def test_it_does_not_matter_which_of_two_photos_is_the_copy(
    kind: str, originals: Photos, copies: dict[str, Photos]
) -> None:
    both = concatenate(originals, copies[kind]).thumbnails
    first, second = both[: len(GARMENTS), ..., 0], both[len(GARMENTS) :, ..., 0]
    likeness = measure_likeness(first, second)

    assert likeness.min() > LIKENESS
    assert measure_likeness(second, first) == pytest.approx(likeness, abs=0.05)


@pytest.mark.usefixtures("no_sieve")
def test_a_refused_pair_is_compared_once(originals: Photos, compared_pairs: list[set[int]]) -> None:
    same_hash = originals._replace(
        hashes=np.full(len(originals.hashes), hash_views(view_frequencies(originals.thumbnails[:1, ..., 0]))[0, 0])
    )
    find(same_hash)

    assert len(compared_pairs) == len({frozenset(pair) for pair in compared_pairs}) > 0


def test_frames_are_cut_off_few_photos_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without their frames follow each other. Cut at once, those of a part took 3 GB."""
    photos = np.full((7, 64, 64, 1), 255, np.uint8)
    photos[:, 8:56, 4:60, 0] = np.random.default_rng(1).integers(0, 256, (7, 48, 56))
    numbers = np.arange(7)
    frames = find_frames(photos[..., 0])
    listed = list_photos(photos, numbers, numbers, frames, np.zeros(7, np.uint64), np.zeros(7, bool))
    expected = candidates.cut_frames(photos[..., 0], frames)
    at_once, cut = [], candidates.cut_frames

    def note(images: Pixels, some: NDArray[np.float64]) -> Pixels:
        at_once.append(len(images))
        return cut(images, some)

    monkeypatch.setattr(candidates, "cut_frames", note)
    monkeypatch.setattr(candidates, "PHOTOS_AT_ONCE", 3)

    assert (listed.read(photos, np.arange(7, 14)) == expected).all()
    assert at_once == [3, 3, 1]


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_a_pair_that_both_photos_lead_to_is_compared_once(
    at_once: int,
    originals: Photos,
    copies: dict[str, Photos],
    compared_pairs: list[set[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "HASHES_AT_ONCE", at_once)

    assert find(concatenate(originals.only([3]), copies["mirrored"].only([3])), likeness=2) == []
    assert compared_pairs == [{0, 1}]


@pytest.mark.parametrize("garment", ["t-shirt", "pants"])
def test_other_garments_of_one_kind_are_not_found(garment: str) -> None:
    assert find(gather([drawn(garment, seed) for seed in range(20)])) == []


@pytest.mark.usefixtures("no_sieve")
@pytest.mark.parametrize(("garment", "one", "other"), [("t-shirt", 16, 3), ("pants", 14, 9)])
def test_photos_with_only_an_outline_in_common_are_no_near_duplicates(garment: str, one: int, other: int) -> None:
    # Their hashes make them candidates. The correlation of plain details is 0.73 and 0.75: outlines count most there.
    both = gather([drawn(garment, seed) for seed in (one, other)])

    assert find(both, likeness=-1) != []
    assert find(both, likeness=LIKENESS - 0.1) == []


def test_other_photos_with_the_hash_of_a_candidate_are_refused(originals: Photos) -> None:
    same_hash = originals._replace(
        hashes=np.full(len(originals.hashes), hash_views(view_frequencies(originals.thumbnails[:1, ..., 0]))[0, 0])
    )

    assert find(same_hash) == []


def test_a_pair_has_its_likeness(originals: Photos) -> None:
    ((left, right, likeness),) = find(originals.only([0, 0]))

    assert (left, right, likeness) == (0, 1, 1.0)


def test_a_pair_with_exactly_the_least_likeness_is_found(originals: Photos, copies: dict[str, Photos]) -> None:
    both = concatenate(originals.only([3]), copies["cropped"].only([3]))
    likeness = find(both)[0].likeness

    assert len(find(both, likeness=likeness)) == 1


def test_connected_photos_are_not_compared(originals: Photos, compared_pairs: list[set[int]]) -> None:
    assert find(originals.only([3, 3, 3]), known=[(0, 1), (1, 2)]) == []
    assert compared_pairs == []


def test_two_products_with_the_same_photos_are_connected_by_one_pair(originals: Photos) -> None:
    # Two products of two photos each: 0 and 2, 1 and 3, where 0 and 1 are copies and so are 2 and 3.
    assert len(find(originals.only([0, 0, 5, 5]), known=[(0, 2), (1, 3)])) == 1


def test_photos_that_were_compared_before_are_not_compared_with_each_other(originals: Photos) -> None:
    pairs = find(originals.only([3, 3, 3, 8, 8]), compared=[0, 1, 3, 4])

    assert [pair[:2] for pair in pairs] == [(0, 2)]


def test_a_photo_is_never_a_pair_with_itself(originals: Photos, compared_pairs: list[set[int]]) -> None:
    find(originals)

    assert all(len(pair) == 2 for pair in compared_pairs)


@pytest.mark.parametrize(
    ("name", "value"),
    sample(
        [
            ("candidates.HASHES_AT_ONCE", 1),
            ("candidates.HASHES_AT_ONCE", 7 * len(VIEWS)),
            ("near_duplicates.PAIRS_AT_ONCE", 1),
            ("near_duplicates.PAIRS_AT_ONCE", 5),
            ("near_duplicates.ALIGNED_AT_ONCE", 3),
            ("near_duplicates.SEARCHED_AT_ONCE", 7),
            ("candidates.PHOTOS_AT_ONCE", 11),
        ],
        ("candidates.HASHES_AT_ONCE", 7 * len(VIEWS)),
        ("near_duplicates.PAIRS_AT_ONCE", 5),
        ("candidates.PHOTOS_AT_ONCE", 11),
    ),
)
def test_the_size_of_a_block_changes_nothing(
    name: str, value: int, few: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, compared = few.only(list(range(0, len(few.hashes), 2))), [2, 5, 9, 15]
    expected = find(some, compared=compared)
    monkeypatch.setattr(f"imageset.curation.{name}", value)

    assert groups(len(some.hashes), find(some, compared=compared)) == groups(len(some.hashes), expected)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(
    workers: int, few: Photos, found_in_few: list[NearDuplicate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "HASHES_AT_ONCE", 20 * len(VIEWS))
    monkeypatch.setattr(candidates, "WINDOWS_AT_ONCE", 20)
    monkeypatch.setattr(near_duplicates, "PAIRS_AT_ONCE", 7)
    with LocalWorkers(workers) as pool:
        found = find(few, pool=pool)

    assert groups(len(few.hashes), found) == groups(len(few.hashes), found_in_few)
    assert found == find(few)


def test_the_order_of_photos_changes_no_group(few: Photos, found_in_few: list[NearDuplicate]) -> None:
    count = len(few.hashes)
    order = np.random.default_rng(0).permutation(count).tolist()
    mixed = groups(count, find(few.only(order)))

    assert sorted([{order[number] for number in numbers} for numbers in mixed], key=min) == groups(count, found_in_few)


def test_only_the_thumbnails_of_the_given_rows_are_compared(originals: Photos, compared_pairs: list[set[int]]) -> None:
    chosen = originals.only([2, 6, 2])
    pairs = find(Photos(originals.only([6, 2, 0, 2]).thumbnails, chosen.hashes), rows=[1, 0, 3])

    assert [{pair.left, pair.right} for pair in pairs] == [{0, 2}]
    assert {1, 3} in compared_pairs
    assert all(pair <= {0, 1, 3} for pair in compared_pairs)


def test_300_copies_take_few_comparisons(originals: Photos, compared_pairs: list[set[int]]) -> None:
    grain = np.random.default_rng(0).integers(-3, 4, (300, 64, 64, 1))
    copies = with_hashes(np.clip(originals.thumbnails[1] + grain, 0, 255).astype(np.uint8))

    assert groups(300, find(copies)) == [set(range(300))]
    assert len(compared_pairs) < 1000


@pytest.mark.parametrize("rows", [[], [0], [0, 1]])
def test_few_photos_have_no_pairs(rows: list[int], originals: Photos) -> None:
    assert find(originals.only(rows)) == []


def test_flat_photos_are_no_near_duplicates() -> None:
    flat = np.array([10, 100, 240], np.uint8)[:, np.newaxis, np.newaxis, np.newaxis].repeat(64, 1).repeat(64, 2)

    assert find(with_hashes(flat)) == []


def test_the_progress_of_the_search_is_shown(originals: Photos, capsys: pytest.CaptureFixture[str]) -> None:
    find(originals)

    assert f"near-duplicates: hashes: {len(GARMENTS)} of {len(GARMENTS)}" in capsys.readouterr().err


@pytest.mark.parametrize("distance", [0, 16])
def test_the_smallest_and_the_largest_distance_find_equal_photos(distance: int, originals: Photos) -> None:
    assert len(find(with_hashes(originals.only([1, 1, 8]).thumbnails), distance=distance)) == 1


def test_too_many_candidates_are_an_error(everything: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_PAIRS", 20)

    with pytest.raises(DataError, match=r"more than 20 pairs .* lower duplicates\.distance"):
        find(everything)
