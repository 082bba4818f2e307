"""How pictures name classes: by name where the font has the letters, else by catalog_id or label. Never by boxes.

The font is DejaVu Sans, which matplotlib brings: Latin, Greek, Cyrillic and many symbols. A name that is written from
right to left, or whose letters combine, cannot be drawn either: neither matplotlib nor Pillow orders or joins letters.
"""

import unicodedata
from functools import cache
from pathlib import Path

import h5py

from imageset.formats import hdf5

RIGHT_TO_LEFT = ("R", "AL", "AN")


def font_file() -> Path:
    """Return the font of all pictures."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


@cache
def known_letters() -> frozenset[int]:
    """Return the code points that the font has a glyph for."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_file())).get_charmap())


def is_drawable(text: str) -> bool:
    """Return whether pictures can show a text.

    >>> is_drawable("Größe 38"), is_drawable("кроссовки"), is_drawable("ワンピース"), is_drawable("שמלה")
    (True, True, False, False)
    """
    return all(
        ord(letter) in known_letters()
        and unicodedata.category(letter)[0] != "M"
        and unicodedata.bidirectional(letter) not in RIGHT_TO_LEFT
        for letter in text
    )


def caption(name: str, label: int, catalog_id: int | str) -> str:
    """Return what a picture can show of a class, on one line: its name, its catalog_id or its label.

    >>> caption("T-Shirts", 3, 1210), caption("Tシャツ", 3, 1210), caption(" ", 3, 1210)
    ('T-Shirts', 'catalog 1210', 'catalog 1210')
    """
    its_id = drawable(str(catalog_id))
    return drawable(name) or (f"catalog {its_id}" if its_id else f"label {label}")


def drawable(text: str) -> str:
    """Return a text on one line, "" where a picture cannot show it. Characters that nobody sees are left out."""
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    line = unicodedata.normalize("NFC", " ".join(seen.split()))
    return line if is_drawable(line) else ""


def class_captions(file: h5py.File) -> list[str]:
    """Return what pictures call the classes of a dataset file, by label; equal names get their catalog_id."""
    ids = hdf5.class_ids(file)
    names = hdf5.unique_names(file["class_names"].asstr()[:].tolist(), ids)
    return [caption(name, label, ids[label]) for label, name in enumerate(names)]
