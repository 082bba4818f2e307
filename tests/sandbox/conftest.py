from pathlib import Path

import pytest

from tests.conftest import jpeg, photo_bytes, plain_image


@pytest.fixture
def tmp_path(server_folder: Path) -> Path:
    """A folder in which servers can run, in place of pytest's."""
    return server_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos for each class, and files that are no photos."""
    folder = tmp_path / "photos"
    for name, count in (("skirt", 3), ("Blusen, Größe L", 9)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.JPG").write_bytes(jpeg(plain_image((number * 20, len(name), 0))))
    (folder / "skirt/notes.txt").write_text("not a photo")
    (folder / "stray.jpg").write_bytes(photo_bytes())
    return folder
