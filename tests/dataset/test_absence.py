"""tools.verify --absent: a file that holds a product, under its id or another one, fails; one that does not, passes."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from imageset.formats import hdf5, row_checksums, tables
from tests.dataset.test_verify import plant
from tests.forked import run_python
from tests.stages.test_build import build_in, photo_table
from tests.stages.test_build import run as run_build

GONE, OTHER = 100, 103  # products of photo_table; GONE has two photos


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a dataset that holds GONE, and one with a dataset that does not; both have data/processed.h5."""
    before, after = (tmp_path_factory.mktemp(name) for name in ("before", "after"))
    build_in(before)
    shutil.copytree(before, after, dirs_exist_ok=True)
    table = photo_table(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(after)
        patch.setenv("IMAGESET_WORKERS", "1")
        kept = table[table["product_id"] != GONE]
        tables.write(after / "data/catalog.csv", tables.CATALOG, kept)
        tables.write(after / "data/split.csv", tables.SPLIT, kept)
        run_build(after)
    return before, after


@pytest.fixture
def before(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders[0], tmp_path / "before"))


@pytest.fixture
def after(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders[1], tmp_path / "after"))


def verify(folder: Path, *arguments: object) -> tuple[int, str]:
    """Run the command on a folder's dataset and return its exit code and what it printed."""
    done = run_python("tools.verify", "data/dataset.h5", *arguments, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def test_a_file_without_the_product_passes_by_id_and_by_pixels(before: Path, after: Path) -> None:
    by_default = verify(after, "--absent", GONE)
    named = verify(after, "--absent", GONE, "--reference", before / "data/processed.h5")
    a_dataset = verify(after, "--absent", GONE, "--reference", before / "data/dataset.h5")

    for code, said in (by_default, named, a_dataset):
        assert code == 0, said
        assert "absent_by_id            passed" in said
        assert "absent_by_pixels        passed  9 examined" in said
        assert "complete and consistent, 14 checks passed" in said
    assert (
        "pixels were compared: 9 of 9 photos that are in data/processed.h5 too have the same pixels there"
        in (by_default[1])
    )


def test_a_product_that_the_reference_lacks_is_said_not_to_be_compared(before: Path, after: Path) -> None:
    for path, code in ((before / "data/processed.h5", 1), (None, 0)):
        reference = ("--reference", path) if path else ()
        found, said = verify(after, "--absent", GONE, 999, *reference)

        assert "absent_by_pixels        passed  9 examined" in said
        assert "have the same pixels there, but not those of product 999, which it does not hold" in said
        assert found == code


def test_a_file_with_the_product_fails_by_id_and_by_pixels(before: Path) -> None:
    code, said = verify(before, "--absent", 999, GONE)

    assert code == 1
    assert "absent_by_id            FAILED" in said
    assert "absent_by_pixels        FAILED  11 examined, 2 wrong: " in said
    assert f" {GONE} 0" in said
    assert "WRONG: absent_by_id: " in said


def disguise(file: h5py.File) -> None:
    """Give the product's rows another id."""
    for subset in hdf5.subsets(file):
        ids = file[f"{subset}_ids"]
        ids[...] = np.where(ids[:] == GONE, 555, ids[:])


def test_the_product_under_another_id_is_found_by_its_pixels(folders: tuple[Path, Path], before: Path) -> None:
    plant(before / "data/dataset.h5", disguise)
    code, said = verify(before, "--absent", GONE)

    assert code == 1
    assert "absent_by_id            passed" in said
    assert "absent_by_pixels        FAILED  11 examined, 2 wrong: " in said
    assert "555 0" in said
    assert "another product with the same picture: take it down as well" in said


def other_pixels(file: h5py.File) -> None:
    """Make the images with other params."""
    file["images"][...] = file["images"][:] ^ 1


def other_side(file: h5py.File) -> None:
    images = file["images"][:, ::2, ::2]
    del file["images"]
    hdf5.add(file, "images", images)


def other_photos(file: h5py.File) -> None:
    file["ids"][...] = np.where(file["ids"][:] == GONE, GONE, file["ids"][:] + 1_000_000)


def without_the_product(file: h5py.File) -> None:
    file["ids"][...] = np.where(file["ids"][:] == GONE, 555, file["ids"][:])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_pixels, "not compared: 0 of 9 photos .* have the same pixels there, so other params or masks may have"),
        (other_side, "not compared: images are 16 x 16 x 1, those of .*processed.h5 8 x 8 x 1"),
        (other_photos, "not compared: 0 of 0 photos"),
        (without_the_product, "not compared: .*processed.h5 does not hold the product either"),
    ],
)
def test_pixels_that_cannot_be_compared_are_said_not_to_be(
    change: Callable[[h5py.File], None], why: str, after: Path, tmp_path: Path
) -> None:
    reference = tmp_path / "processed.h5"
    shutil.copy(after / "data/processed.h5", reference)
    with h5py.File(reference, "r+") as file:
        change(file)
        del file[row_checksums.CHECKSUMS]
        row_checksums.finish(file)
    code, said = verify(after, "--absent", GONE, "--reference", reference)

    assert code == 1  # pixels were to be compared
    assert "absent_by_id            passed" in said
    assert "absent_by_pixels" not in said
    assert re.search(f"pixels were {why}", said)


def test_without_a_file_that_holds_the_product_only_ids_are_looked_at(after: Path) -> None:
    (after / "data/processed.h5").unlink()
    code, said = verify(after, "--absent", GONE)

    assert code == 0
    assert "pixels were not compared: no file at hand holds the product, name one with --reference" in said
    assert verify(after, "--absent", 999)[0] == 0
    assert verify(after, "--absent", OTHER)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--absent", "a\tb"), r"'a\tb' is no product's id, such as 1234567 or SKU-7"),
        (("--absent", " "), "' ' is no product's id"),
        (("--reference", "data/processed.h5"), "--reference is for --absent"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], problem: str, after: Path) -> None:
    code, said = verify(after, *arguments)

    assert code == 2
    assert problem in said


def test_a_reference_that_is_missing_is_one_line(after: Path) -> None:
    code, said = verify(after, "--absent", GONE, "--reference", "nowhere.h5")

    assert code == 1
    assert said.startswith("verify: nowhere.h5 is missing")
    assert said.count("\n") == 1
