"""previews.h5: what was appended is read by its row, the bytes depend on it alone, and damage is named."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from imageset.errors import DamagedFile
from imageset.formats import hdf5, row_checksums
from imageset.formats.preview_file import PreviewRows, writing_previews

PREVIEWS = [bytes([number]) * (1 + number * 7 % 50) for number in range(30)]


def write(path: Path, previews: list[bytes]) -> Path:
    with writing_previews(path) as add:
        for number, preview in enumerate(previews):
            add(2**40 + number // 2, number % 2, preview)
    return path


def read(path: Path) -> list[bytes]:
    with row_checksums.open_file(path, hdf5.PREVIEWS) as file:
        previews = PreviewRows(file)
        return [previews.read(row) for row in range(len(file["ids"]))]


@pytest.mark.parametrize("block_bytes", [1, 7, 8 << 20])
def test_what_was_appended_is_read_by_its_row(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", block_bytes)
    path = write(tmp_path / "previews.h5", PREVIEWS)

    assert read(path) == PREVIEWS
    assert [each.name for each in tmp_path.iterdir()] == ["previews.h5"]
    with h5py.File(path) as file:
        assert b"".join(PREVIEWS) == file["previews"][:].tobytes()
        assert file["ends"][:].tolist() == np.cumsum(list(map(len, PREVIEWS))).tolist()
        assert file["ids"][:].tolist() == [2**40 + number // 2 for number in range(30)]
        assert file["positions"][:].tolist() == [0, 1] * 15
        assert {name: file[name].dtype.name for name in file} == {
            "previews": "uint8",
            "ends": "int64",
            "ids": "int64",
            "positions": "int16",
            "crc32": "uint32",
        }


def test_the_same_previews_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, PREVIEWS).read_bytes() for name in ("one.h5", "other.h5"))

    assert first == second


def test_a_file_of_no_photos_is_read(tmp_path: Path) -> None:
    assert read(write(tmp_path / "previews.h5", [])) == []


def test_a_row_that_is_not_there_is_damage(tmp_path: Path) -> None:
    with (
        row_checksums.open_file(write(tmp_path / "previews.h5", PREVIEWS), hdf5.PREVIEWS) as file,
        pytest.raises(DamagedFile, match=r"previews\.h5 has no preview at row 30"),
    ):
        PreviewRows(file).read(30)
