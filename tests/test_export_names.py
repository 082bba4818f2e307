"""How tools.export names photos and classes."""

from hypothesis import given
from hypothesis import strategies as st

from tests.test_export import NAMES
from tools import export_names


@given(st.text() | st.sampled_from(NAMES))
def test_slugs_are_safe(name: str) -> None:
    made = export_names.slug(name)

    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(made) <= export_names.SLUG_LENGTH
    assert "--" not in made
    assert made == made.strip("-") == export_names.slug(made)


@given(st.lists(st.text(), max_size=120))
def test_class_folders_sort_as_labels_do_whatever_the_names(names: list[str]) -> None:
    folders = export_names.class_folders(names, list(range(-5, len(names) - 5)))

    assert sorted(folders) == folders
    assert len({folder.lower() for folder in folders}) == len(names)
    assert all(folder.isascii() and len(folder) < 70 and folder[0].isdigit() for folder in folders)
