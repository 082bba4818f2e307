"""The HDF5 files: the same bytes for the same content, and a clear error for anything that is not one."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.errors import DamagedFile, DataError, FileInUse
from imageset.formats import hdf5
from imageset.reader import ImageSet
from tests.project import ROOT

IMAGES = np.random.default_rng(1).integers(0, 256, (600, 4, 4, 3), np.uint8)
LABELS = np.arange(600, dtype=np.int64)


def write(path: Path, kind: str = hdf5.DATASET, **attributes: Any) -> Path:
    """Write a small whole file."""
    with hdf5.create(path, kind) as file:
        hdf5.add_images(file, "train_images", IMAGES.shape)[:] = IMAGES
        hdf5.add(file, "train_labels", LABELS)
        hdf5.add_text(file, "class_names", ["shirt", "Çanta 👜", ""])
        hdf5.finish(file, **attributes)
    return path


def refusal(path: Path) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(DataError) as caught:
        hdf5.open_file(path, hdf5.DATASET)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_file_written_later_has_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "first.h5", mean=[1.5], params="{}").read_bytes()
    second = int(time.time())
    while int(time.time()) == second:  # HDF5 keeps times in seconds
        time.sleep(0.05)

    assert write(tmp_path / "other-name.h5", params="{}", mean=[1.5]).read_bytes() == first


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with hdf5.open_file(write(tmp_path / "file.h5", fill=np.array([1, 2, 3], np.uint8)), hdf5.DATASET) as file:
        assert (file["train_images"][...] == IMAGES).all()
        assert (file["train_labels"][...] == LABELS).all()
        assert file["class_names"].asstr()[:].tolist() == ["shirt", "Çanta 👜", ""]
        assert file.attrs["fill"].tolist() == [1, 2, 3]
        assert hdf5.subsets(file) == ["train"]
        assert file.mode == "r"


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    path = tmp_path / "data/dataset.h5"

    assert refusal(path) == f"{path} is missing: run `dvc repro` or `dvc pull {path}`"


def test_who_has_no_dvc_project_is_not_told_to_run_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert refusal(Path("dataset.h5")) == "dataset.h5 is missing"


@pytest.mark.parametrize(
    "content", [b"", b"product_id,position\n", b"<html>" * 1000, b"\x89HDF\r\n\x1a\n\x03" + bytes(4000)]
)
def test_what_is_not_hdf5_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.h5").write_bytes(content)

    assert "cannot be read as HDF5" in refusal(tmp_path / "file.h5")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read as HDF5" in refusal(tmp_path)


@pytest.mark.parametrize("tenths", range(10))
def test_a_truncated_file_is_refused(tenths: int, tmp_path: Path) -> None:
    path = write(tmp_path / "file.h5")
    os.truncate(path, path.stat().st_size * tenths // 10)

    assert "cannot be read as HDF5" in refusal(path)


@pytest.mark.parametrize("kind", [None, "imageset-processed", "other", 7, ["imageset-dataset", "imageset-dataset"]])
def test_a_file_of_another_format_is_refused(kind: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "file.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["format"]
        if kind is not None:
            file.attrs["format"] = kind

    assert "is not a file of format imageset-dataset" in refusal(path)


@pytest.mark.parametrize("version", [0, 3, None])
def test_a_file_of_another_version_is_refused_with_both(version: int | None, tmp_path: Path) -> None:
    path = write(tmp_path / "file.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["format_version"]
        if version is not None:
            file.attrs["format_version"] = version

    assert f"has format version {version}; this code reads version 1 and 2" in refusal(path)


def test_a_file_that_was_closed_early_is_refused(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "file.h5", hdf5.DATASET) as file:
        hdf5.add(file, "train_labels", LABELS)

    assert "is incomplete" in refusal(tmp_path / "file.h5")


@pytest.mark.parametrize("flush", ["", "file.flush();"])
def test_what_a_killed_writer_left_is_refused(flush: str, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; import numpy as np; "
        "from imageset.formats import hdf5; opened = hdf5.create(Path(sys.argv[1]), hdf5.DATASET); "
        "file = opened.__enter__(); "
        "hdf5.add(file, 'train_labels', np.arange(9));"
        f"{flush} os.kill(os.getpid(), signal.SIGKILL)"
    )
    writer = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file.h5")], cwd=ROOT, check=False)

    assert writer.returncode == -signal.SIGKILL
    assert refusal(tmp_path / "file.h5")


@contextmanager
def open_in_another_process(path: Path, mode: str, locking: str = "TRUE") -> Iterator[None]:
    """Have another process open a file, as a notebook does."""
    code = "import sys, h5py; file = h5py.File(*sys.argv[1:]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), mode],
        env=os.environ | {"HDF5_USE_FILE_LOCKING": locking},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        yield


def test_a_file_that_another_process_has_open_for_writing_is_in_use(tmp_path: Path) -> None:
    path = write(tmp_path / "dataset.h5")
    with open_in_another_process(path, "r+"):
        message = refusal(path)
        with pytest.raises(FileInUse) as caught:
            ImageSet(path)

    assert message == (
        f"{path} is open for writing in another process: close it there, then run this again; "
        f"`lsof {path}` names the process"
    )
    assert str(caught.value) == message
    hdf5.open_file(path, hdf5.DATASET).close()


def test_readers_do_not_lock_each_other_out(tmp_path: Path) -> None:
    path = write(tmp_path / "dataset.h5")
    with open_in_another_process(path, "r"):
        hdf5.open_file(path, hdf5.DATASET).close()


def test_a_writer_without_locks_leaves_a_mark_in_the_file(tmp_path: Path) -> None:
    """HDF5_USE_FILE_LOCKING=FALSE, as people set it for NFS. A killed writer leaves the same mark."""
    path = write(tmp_path / "dataset.h5")
    with open_in_another_process(path, "r+", locking="FALSE"):
        message = refusal(path)

    assert "is open for writing in another process, or its writer was killed: close it there" in message
    assert f"if none has it open, remove it, then run `dvc pull {path}` or `dvc repro`" in message
    hdf5.open_file(path, hdf5.DATASET).close()


def without_locks(path: Any, mode: str, locking: Any = None, *, real: Any = h5py.File, **options: Any) -> Any:
    """Open a file as on NFS without its lock service. The message is h5py's over a flock that gives ENOLCK."""
    if locking is not False or os.environ.get("HDF5_USE_FILE_LOCKING") == "TRUE":
        cause = "unable to lock file, errno = 37, error message = 'No locks available'"
        raise OSError(errno.ENOLCK, f"Unable to synchronously open file ({cause})")
    return real(path, mode, **options)


def test_a_file_system_without_locks_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5py, "File", without_locks)
    path = write(tmp_path / "dataset.h5", mean=[1.0])
    with hdf5.open_file(path, hdf5.DATASET) as file:
        assert (file["train_images"][...] == IMAGES).all()


def test_locks_that_the_environment_asks_for_in_vain_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "dataset.h5")
    monkeypatch.setattr(h5py, "File", without_locks)
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")

    assert refusal(path) == (
        f"{path} is on a file system without locks, and HDF5_USE_FILE_LOCKING asks for them: "
        "unset it, or set HDF5_USE_FILE_LOCKING=FALSE"
    )


@pytest.mark.parametrize("options", [{}, {"chunks": (1, 4, 4, 3), "compression": "gzip"}])
@pytest.mark.parametrize("rows", [0, 1, 600])
def test_mapped_images_are_those_that_h5py_reads(rows: int, options: dict[str, Any], tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "file.h5", hdf5.DATASET) as file:
        if rows or not options:
            file.create_dataset("train_images", data=IMAGES[:rows], track_times=False, **options)
        else:
            hdf5.add_images(file, "train_images", (rows, 4, 4, 3))[:] = IMAGES[:rows]
        hdf5.finish(file)
    with hdf5.open_file(tmp_path / "file.h5", hdf5.DATASET) as file:
        images = hdf5.mapped(file, "train_images")

    assert images.dtype == np.uint8
    assert images.shape == (rows, 4, 4, 3)
    assert (images == IMAGES[:rows]).all()


@pytest.mark.parametrize("rows", [0, 600])
def test_images_have_the_same_place_in_a_file_whenever_they_are_filled(rows: int, tmp_path: Path) -> None:
    def write_images(path: Path, at_once: bool) -> bytes:
        with hdf5.create(path, hdf5.DATASET) as file:
            found = []
            for subset in ("train", "test"):
                found.append(hdf5.add_images(file, f"{subset}_images", (rows, 4, 4, 3)))
                if at_once:
                    found.pop()[:] = IMAGES[:rows]
                hdf5.add(file, f"{subset}_labels", LABELS[:rows])
            for images in reversed(found):
                images[:] = IMAGES[:rows]
            hdf5.finish(file)
        return path.read_bytes()

    assert write_images(tmp_path / "late.h5", False) == write_images(tmp_path / "at_once.h5", True)


def test_the_digest_of_images_that_are_written_meanwhile_is_that_of_the_file(tmp_path: Path) -> None:
    with hdf5.create(tmp_path / "file.h5", hdf5.DATASET) as file:
        images = hdf5.add_images(file, "train_images", IMAGES.shape)
        hdf5.add(file, "train_labels", LABELS)

        def write_blocks() -> hdf5.Blocks:
            for rows in (slice(0, 250), slice(250, 600)):
                images[rows] = IMAGES[rows]
                yield rows, IMAGES[rows]

        found = hdf5.content_digest(file, {"train_images": write_blocks()})

        assert found == hdf5.content_digest(file) == digest(tmp_path / "plain.h5", read_arrays(file))


def read_arrays(file: h5py.File) -> dict[str, np.ndarray[Any, Any]]:
    return {name: file[name][...] for name in file}


def digest(path: Path, arrays: dict[str, np.ndarray[Any, Any]], **options: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, **options)
        return hdf5.content_digest(file)


ARRAYS: dict[str, np.ndarray[Any, Any]] = {"images": IMAGES, "labels": LABELS}


@pytest.mark.parametrize(
    "options",
    [{"chunks": True}, {"chunks": True, "compression": "gzip"}, {"chunks": True, "shuffle": True, "fletcher32": True}],
)
def test_the_digest_does_not_depend_on_storage_or_order(options: dict[str, Any], tmp_path: Path) -> None:
    reordered = dict(reversed(ARRAYS.items()))

    assert digest(tmp_path / "other.h5", reordered, **options) == digest(tmp_path / "plain.h5", ARRAYS)


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (311, 2, 3, 1), (599, 3, 3, 2)])
def test_the_digest_changes_with_any_value(place: tuple[int, ...], tmp_path: Path) -> None:
    changed = IMAGES.copy()
    changed[place] ^= 1

    assert digest(tmp_path / "changed.h5", ARRAYS | {"images": changed}) != digest(tmp_path / "plain.h5", ARRAYS)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": IMAGES},
        {"images": IMAGES, "labels_": LABELS},
        {"images": IMAGES, "labels": LABELS.astype(">i8")},
        {"images": IMAGES, "labels": LABELS.view(np.uint64)},
        {"images": IMAGES, "labels": LABELS.reshape(300, 2)},
        {"images": IMAGES, "labels": LABELS[::-1]},
        {"images": IMAGES.reshape(600, 48), "labels": LABELS},
        {"images": IMAGES[:-1], "labels": LABELS},
    ],
)
def test_the_digest_changes_with_names_types_shapes_and_order(
    arrays: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    assert digest(tmp_path / "changed.h5", arrays) != digest(tmp_path / "plain.h5", ARRAYS)


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (1, [1]), (4, [4]), (5, [4, 1]), (12, [4, 4, 4])])
def test_blocks_cover_every_row_once(rows: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 4 * 6)
    slices = list(hdf5.blocks(np.zeros((rows, 3, 2), np.uint8)))

    assert [len(range(rows)[block]) for block in slices] == sizes
    assert [row for block in slices for row in range(rows)[block]] == list(range(rows))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_images_are_picked_in_any_order_from_any_storage(tmp_path: Path, compression: hdf5.Compression) -> None:
    values = np.random.default_rng(2).integers(0, 256, (5, 8, 8, 1), np.uint8)
    with hdf5.create(tmp_path / "file.h5", hdf5.DATASET) as file:
        hdf5.add_images(file, "images", values.shape, compression)[...] = values

        assert (hdf5.pick(file["images"], [4, 0, 4]) == values[[4, 0, 4]]).all()


@pytest.mark.parametrize("pairs", [[b"1,7", b"0,9"], [b"1,7"], [b"0,7", b"2,9"], [b"0,7", b"0,9"], [b"00,7"]])
def test_a_label_map_out_of_order_is_refused(tmp_path: Path, pairs: list[bytes]) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["label_map"] = np.array([b"0,7", b"1,-9", b"2,5"])
        assert hdf5.catalog_ids(file) == [7, -9, 5]
        del file["label_map"]
        file["label_map"] = np.array(pairs)

        with pytest.raises(
            DataError, match=r"file\.h5 has a label map whose labels are not 0 to K - 1: remove it, then"
        ):
            hdf5.catalog_ids(file)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "a (1)", "a (1) (2)"]), st.integers(0, 9)),
        max_size=8,
        unique_by=lambda pair: pair[1],
    )
)
def test_unique_names_are_unique_and_change_nothing_that_is(pairs: list[tuple[str, int]]) -> None:
    names = [name for name, _ in pairs]
    made = hdf5.unique_names(names, [catalog_id for _, catalog_id in pairs])

    assert len(set(made)) == len(names)
    assert all(new.startswith(old) for old, new in zip(names, made, strict=True))
    if len(set(names)) == len(names):
        assert made == names


def test_damage_found_by_a_worker_process_reaches_ours() -> None:
    error = DamagedFile("data/dataset.h5", "ends too early")

    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_text_is_written_in_blocks_of_the_longest_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 12)
    values = ["a", "Größe", "", "zwölf", "b"]
    with hdf5.create(tmp_path / "dataset.h5", hdf5.DATASET) as file:
        hdf5.add_text(file, "brands", values)
        hdf5.add_text(file, "of_nobody", [])

        assert hdf5.read_text(file, "brands").tolist() == values
        assert (file["brands"].dtype, file["brands"].chunks) == (np.dtype("S7"), None)
        assert hdf5.read_text(file, "of_nobody").tolist() == []
