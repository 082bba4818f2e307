"""Pictures show no box in place of a letter: such classes have their catalog_id."""

from pathlib import Path

import pytest

from imageset.formats import hdf5, source_ids
from imageset.report import lettering, plots


@pytest.mark.parametrize(
    "name", ["T-Shirts & Tops", "Größe 38", "кроссовки", "φόρεμα", "Đầm", "10 € → 5 €", "a\u0301", "  two\n lines "]
)
def test_a_name_that_the_font_has_letters_for_is_drawn(name: str) -> None:
    caption = lettering.caption(name, 3, 7)

    assert not caption.startswith("catalog")
    assert caption.split() == caption.split(" ")


@pytest.mark.parametrize(
    "name",
    [
        "ワンピース",
        "连衣裙",
        "원피스",
        "เสื้อ",
        "साड़ी",
        "שמלה",
        "فستان",
        "👗",
        "ເສື້ອ",
        "x\u0301\u0302",
        "\x00",
        "\u200b\u200d",
        " ",
        "",
    ],
)
def test_a_name_that_it_lacks_letters_for_is_the_catalog_id(name: str) -> None:
    assert lettering.caption(name, 3, 7) == "catalog 7"


def test_a_very_long_caption_is_cut_at_once() -> None:
    """One letter at a time, it took minutes."""
    assert plots.shorten("sample " * 10_000, plots.open_font(plots.CAPTION_SIZE)) == "sample sample sample …"


def test_captions_of_a_file_differ_where_names_do_not(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "dataset.h5", hdf5.DATASET) as file:
        hdf5.add_text(file, "label_map", ["0,12", "1,13", "2,14", "3,15"])
        hdf5.add_text(file, "class_names", ["other", "靴", "other", "靴"])

        assert lettering.class_captions(file) == ["other (12)", "catalog 13", "other (14)", "catalog 15"]


def test_classes_that_the_source_calls_by_texts_are_never_shown_by_a_number(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "dataset.h5", hdf5.DATASET) as file:
        hdf5.add_text(
            file,
            "label_map",
            [f"{label},{source_ids.number(name)}" for label, name in enumerate(["K1", "קוד", "K3", "K4"])],
        )
        hdf5.add_text(file, "class_names", ["靴", "שמלה", "other", "other"])
        hdf5.add_text(file, "class_ids", ["K1", "קוד", "K3", "K4"])

        assert lettering.class_captions(file) == ["catalog K1", "label 1", "other (K3)", "other (K4)"]


def test_the_letters_of_sheets_are_those_that_are_checked() -> None:
    """A letter that the font has looks other than the box of one that it lacks."""
    font = plots.open_font(plots.CAPTION_SIZE)
    box = font.getmask("\U0001f457").getbbox(), bytes(font.getmask("\U0001f457"))

    for letter in "aßж€φ":
        assert (font.getmask(letter).getbbox(), bytes(font.getmask(letter))) != box
    assert not lettering.is_drawable("\U0001f457")
