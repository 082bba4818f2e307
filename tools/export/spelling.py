"""Names of classes as parts of folder names that Linux, macOS and Windows take, and `datasets` too. Pure."""

import re
import unicodedata

LONGEST_BYTES = 100
# Letters, their marks, digits and pictures of any script. Not taken: what separates paths or ends a name, control
# characters, blanks, quotes and other signs, half characters and those without a meaning.
KEPT = ("L", "M", "N", "So")
# `datasets` takes folders with these words in their names for subsets, in lower case alone.
SUBSET_WORDS = frozenset(
    ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation")
)


def spell_safely(name: str) -> str:
    """Return a name that a folder may have behind a number; "" where nothing of it can be kept.

    The number keeps folders apart: names that differ in other signs, in case or beyond the longest length are one.

    >>> spell_safely("Schuhe & Stiefel, Größe 38/39"), spell_safely("日本 🥾"), spell_safely("../..")
    ('Schuhe_Stiefel_Größe_38_39', '日本_🥾', '')
    >>> spell_safely("test tubes"), spell_safely("con."), len(spell_safely("x" * 300))
    ('Test_tubes', 'con', 100)
    """
    letters = [letter for letter in unicodedata.normalize("NFC", name) if unicodedata.category(letter) != "Cf"]
    spelt = "".join(letter if letter == "-" or is_kept(letter) else "_" for letter in letters)
    words = re.split(r"([-_0-9]+)", re.sub("__+", "_", spelt))
    harmless = "".join(word.capitalize() if word in SUBSET_WORDS else word for word in words)
    return harmless.strip("-_").encode()[:LONGEST_BYTES].decode("utf-8", "ignore").rstrip("-_")


def is_kept(letter: str) -> bool:
    return unicodedata.category(letter).startswith(KEPT)
