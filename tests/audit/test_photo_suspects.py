"""Blurred, dark, bright, flat, small and elongated photos are found among ordinary ones."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from imageset.audit import photo_suspects
from imageset.audit.photo_suspects import find_photo_suspects

HATS = 7  # the class of every third photo, whose photos are darker


def ordinary(count: int = 90) -> pd.DataFrame:
    """Photos of two classes, as data/photos.csv has them, of two sizes, upright and across."""
    rng = np.random.default_rng(1)
    numbers = np.arange(count)
    classes = np.where(numbers % 3 == 0, HATS, 9)
    return pd.DataFrame(
        {
            "product_id": numbers + 100,
            "position": 1,
            "catalog_id": classes,
            "width": rng.choice([720, 960], count),
            "height": rng.choice([720, 960], count),
            "sharpness": np.clip(rng.normal(0.6, 0.08, count), 0.5, 0.7).round(4).astype(str),
            "brightness": (np.clip(rng.normal(150, 12, count), 135, 165) - 70 * (classes == HATS)).round(2).astype(str),
            "contrast": np.clip(rng.normal(55, 8, count), 47, 63).round(2).astype(str),
            "aspect_ratio": rng.choice(["1.0", "1.3333", "1.5"], count),
        }
    )


def test_nothing_is_suspect_among_ordinary_photos() -> None:
    assert len(find_photo_suspects(ordinary())) == 0


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"sharpness": "0.08"}, "blurred"),
        ({"brightness": "20.0"}, "dark"),
        ({"brightness": "240.0"}, "bright"),
        ({"contrast": "6.0"}, "low_contrast"),
        ({"width": 90, "height": 120}, "small"),
        ({"aspect_ratio": "7.5"}, "elongated"),
    ],
)
def test_a_photo_with_a_fault_is_the_suspect_and_the_reason_names_the_fault(facts: dict[str, Any], why: str) -> None:
    photos = ordinary()
    for name, value in facts.items():
        photos.loc[10, name] = value

    suspects = find_photo_suspects(photos)

    assert suspects[["product_id", "position", "catalog_id", "why"]].to_numpy().tolist() == [[110, 1, 9, why]]
    assert suspects["score"][0] >= 3
    assert why in photo_suspects.REASONS


@pytest.mark.parametrize(
    "facts",
    [{"sharpness": "1.0"}, {"contrast": "127.5"}, {"width": 9000, "height": 9000}],
)
def test_a_sharp_rich_or_large_photo_has_no_fault(facts: dict[str, Any]) -> None:
    photos = ordinary()
    for name, value in facts.items():
        photos.loc[10, name] = value

    assert len(find_photo_suspects(photos)) == 0


def test_a_photo_that_is_usual_in_its_class_or_among_all_is_no_suspect() -> None:
    """A dark class is not a list of dark photos; and a hat as bright as all the others is not a bright photo."""
    photos = ordinary()
    dark_of_all, bright_of_hats = photos["brightness"].copy(), photos["brightness"].copy()
    bright_of_hats[3] = "150.0"

    assert len(find_photo_suspects(photos.assign(brightness=dark_of_all))) == 0
    assert len(find_photo_suspects(photos.assign(brightness=bright_of_hats))) == 0


def test_two_faults_weigh_more_than_either() -> None:
    photos = ordinary()
    photos.loc[10, "sharpness"] = photos.loc[11, "sharpness"] = "0.08"
    photos.loc[10, "brightness"] = "60.0"

    assert find_photo_suspects(photos)["product_id"].tolist() == [110, 111]


def test_the_most_suspect_come_first_in_whatever_order_the_photos_are() -> None:
    photos = ordinary()
    for row, sharpness in ((4, "0.2"), (40, "0.1"), (80, "0.02"), (50, "0.1"), (8, "0.1")):
        photos.loc[row, "sharpness"] = sharpness
    photos.loc[[8, 40, 50], ["brightness", "contrast", "aspect_ratio"]] = ["150.0", "55.0", "1.0"]

    suspects = find_photo_suspects(photos)

    assert suspects["product_id"].tolist() == [180, 108, 140, 150, 104]
    pd.testing.assert_frame_equal(suspects, find_photo_suspects(photos.sample(frac=1, random_state=1)))


def test_no_photos_have_no_suspects() -> None:
    assert len(find_photo_suspects(ordinary().iloc[:0])) == 0


def test_at_most_a_share_of_the_photos_is_listed_the_most_suspect_of_them() -> None:
    photos = ordinary()
    blurred = list(range(5, 45, 2))
    photos.loc[blurred, "sharpness"] = [f"{0.1 - 0.004 * number:.4f}" for number in range(len(blurred))]

    suspects = find_photo_suspects(photos)

    assert len(suspects) == 9
    assert set(suspects["product_id"]) < {100 + row for row in blurred}
    assert suspects["score"].is_monotonic_decreasing
