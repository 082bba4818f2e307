"""Masks that lost a part of the garment, smoke and specks are found among good ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imageset.audit import mask_suspects
from imageset.audit.mask_measures import MaskMeasures, measure_mask
from imageset.audit.mask_suspects import compare_shapes, score_masks
from imageset.audit.robust_scores import CENTRE_PRIOR
from imageset.audit.suspects import most_suspect
from imageset.formats.hdf5 import Pixels
from tests.audit.drawn_masks import SIDE, half, photo_of, shirt, shrink_photo, trousers


def find_mask_suspects(photos: pd.DataFrame, measures: MaskMeasures) -> pd.DataFrame:
    """Return the photos whose masks look wrong, as stage audit lists them."""
    return most_suspect(photos, *score_masks(photos, measures))


def measure(masks: list[Pixels], photos: list[Pixels]) -> MaskMeasures:
    values = np.stack(masks).astype(np.float64)
    shapes, weak_outline = zip(*map(measure_mask, masks, map(shrink_photo, photos)), strict=True)
    return MaskMeasures(
        np.stack(shapes),
        values.mean(axis=(1, 2)) / 255,
        1 - np.abs(values * 2 - 255).mean(axis=(1, 2)) / 255,
        np.array(weak_outline),
    )


def make(count: int = 60) -> tuple[pd.DataFrame, list[Pixels], list[Pixels]]:
    """Photos of two classes in turn, every one a group of its own, their masks, and the photos."""
    rng = np.random.default_rng(1)
    masks = [(trousers, shirt)[number % 2](rng) for number in range(count)]
    numbers = np.arange(count)
    photos = pd.DataFrame({"product_id": numbers + 100, "position": 1, "catalog_id": numbers % 2, "group": numbers})
    return photos, masks, [photo_of(mask, rng) for mask in masks]


def wedge(mask: Pixels) -> Pixels:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.where((rows > 40) & (columns < rows - 10) & (columns > 70 - rows), mask, 0).astype(np.uint8)


def smoke(mask: Pixels) -> Pixels:
    return np.asarray(mask // 2 + mask // 10)


def speck(mask: Pixels) -> Pixels:
    return np.where((np.mgrid[:SIDE, :SIDE] // 8 == 4).all(axis=0), mask, 0).astype(np.uint8)


def nothing(mask: Pixels) -> Pixels:
    return np.zeros_like(mask)


def everything(mask: Pixels) -> Pixels:
    return np.full_like(mask, 255)


def test_nothing_is_suspect_among_good_masks() -> None:
    photos, masks, pictures = make()

    assert len(find_mask_suspects(photos, measure(masks, pictures))) == 0


@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (half, {"small_foreground", "weak_outline", "unlike_class"}),
        (wedge, {"small_foreground"}),
        (smoke, {"unsure"}),
        (speck, {"small_foreground"}),
        (nothing, {"small_foreground"}),
        (everything, {"large_foreground"}),
    ],
)
def test_a_damaged_mask_is_the_first_suspect_and_the_reason_says_what_is_wrong(
    damage: Callable[[Pixels], Pixels], reasons: set[str]
) -> None:
    photos, masks, pictures = make()
    masks[7] = damage(masks[7])

    suspects = find_mask_suspects(photos, measure(masks, pictures))

    assert suspects["product_id"].tolist() == [107]
    assert suspects["catalog_id"].tolist() == [1]
    assert suspects["why"][0] in reasons <= set(mask_suspects.REASONS)


def test_a_mask_of_another_class_is_suspect_in_its_own() -> None:
    photos, masks, pictures = make()
    masks[6], pictures[6] = masks[7], pictures[7]

    suspects = find_mask_suspects(photos, measure(masks, pictures))

    assert suspects[["product_id", "why"]].to_numpy().tolist() == [[106, "unlike_class"]]


def test_ranks_do_not_depend_on_the_order_of_the_photos() -> None:
    photos, masks, pictures = make()
    for number, damage in enumerate([half, wedge, speck, half, smoke]):
        masks[number * 9] = damage(masks[number * 9])
    order = np.random.default_rng(5).permutation(len(masks))

    suspects = find_mask_suspects(photos, measure(masks, pictures))
    shuffled = find_mask_suspects(
        photos.iloc[order], measure([masks[row] for row in order], [pictures[row] for row in order])
    )

    assert len(suspects) == 5
    pd.testing.assert_frame_equal(suspects, shuffled)


def test_no_photos_have_no_suspects() -> None:
    photos = make(2)[0].iloc[:0]
    empty = MaskMeasures(np.zeros((0, 16, 16), np.uint8), *[np.zeros(0)] * 3)

    assert len(find_mask_suspects(photos, empty)) == 0


def direct_likeness(shapes: Pixels, classes: list[int], groups: list[int], row: int) -> float:
    """The definition, one photo at a time, in exact fractions."""
    prior = shapes.reshape(len(shapes), -1).astype(object).sum(axis=0) // len(shapes)
    others: list[Any] = [
        shapes[other].reshape(-1).astype(object)
        for other in range(len(shapes))
        if classes[other] == classes[row] and groups[other] != groups[row]
    ]
    mean = [int(value) for value in np.sum([*others, CENTRE_PRIOR * prior], axis=0)]
    count = len(others) + CENTRE_PRIOR
    scores = []
    for shape in (shapes[row], shapes[row][:, ::-1]):
        values = [int(value) * count for value in shape.reshape(-1)]
        scores.append(sum(map(min, values, mean)) / sum(map(max, values, mean)))
    return max(scores)


def test_likeness_to_the_mean_mask_leaves_out_the_own_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_suspects, "ROWS_AT_ONCE", 3)
    rng = np.random.default_rng(4)
    shapes = rng.integers(0, 256, (14, 16, 16), np.uint8)
    classes, groups = [1, 2, 1, 1, 2, 1, 3, 1, 2, 1, 1, 2, 1, 1], [5, 5, 9, 5, 4, 3, 5, 9, 4, 1, 0, 7, 5, 8]

    likeness = compare_shapes(shapes, np.array(classes), np.array(groups))

    assert likeness.tolist() == [direct_likeness(shapes, classes, groups, row) for row in range(14)]


def test_a_mirrored_garment_is_like_the_others() -> None:
    rng = np.random.default_rng(6)
    shapes = np.zeros((40, 16, 16), np.uint8)
    shapes[:, 4:12, :7] = rng.integers(200, 256, (40, 8, 7))
    shapes[5] = shapes[5][:, ::-1]

    likeness = compare_shapes(shapes, np.zeros(40, np.int64), np.arange(40))

    assert likeness[5] > 0.85
