"""Keys of photos, from product_id and position and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.storage.object_keys import INT64_MAX, POSITION_MAX, object_key, parse_key

PRODUCT_IDS = st.integers(0, INT64_MAX)
POSITIONS = st.integers(0, POSITION_MAX)


@given(PRODUCT_IDS, POSITIONS)
def test_a_key_names_the_photo_it_was_made_for(product_id: int, position: int) -> None:
    assert parse_key(object_key(product_id, position)) == (product_id, position)


@given(st.from_regex(r"[0-9]{0,5}(-[0-9]{0,3})?\.jpeg", fullmatch=True) | st.text(max_size=8))
def test_a_photo_has_one_spelling_of_its_key(key: str) -> None:
    photo = parse_key(key)

    assert photo is None or object_key(*photo) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "jpeg",
        ".jpeg",
        "42.jpg",
        "42.JPEG",
        "42.jpeg ",
        "42.jpeg\n",
        " 42.jpeg",
        "042.jpeg",
        "+42.jpeg",
        "-1.jpeg",
        "42-0.jpeg",
        "42-01.jpeg",
        "42-.jpeg",
        "42--1.jpeg",
        "42-1-1.jpeg",
        "4_2.jpeg",
        "4 2.jpeg",
        "1.0.jpeg",
        "\uff14\uff12.jpeg",
        "\u0664\u0662.jpeg",
        "x/42.jpeg",
        "../42.jpeg",
        "a//b",
        "..",
        "42.jpeg/",
        "42\x00.jpeg",
        "é.jpeg",
        "e\u0301.jpeg",
        f"{INT64_MAX + 1}.jpeg",
        f"42-{POSITION_MAX + 1}.jpeg",
    ],
)
def test_a_foreign_key_is_not_ours(key: str) -> None:
    assert parse_key(key) is None
