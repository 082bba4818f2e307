"""Images out of files: the same ones whatever the storage, and an error where they are not what they were."""

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.formats.hdf5 import Pixels
from imageset.formats.images import Bytes, Chunked, Compressed, Contiguous, Images, open_images
from imageset.formats.plain_hdf5 import inflate
from tests.dataset_files import image_rows, write

COUNT = 400


def write_images(path: Path, images: Pixels, **storage: Any) -> Images:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **storage)
    return reopen(path)


def reopen(path: Path) -> Images:
    with h5py.File(path) as file:
        return open_images(file, "images")


def gather(images: Images, wanted: list[int]) -> Pixels:
    out = np.empty((len(wanted), *images.shape[1:]), np.uint8)
    images.gather(np.array(wanted), out)
    return out


STORAGES: list[tuple[type, dict[str, Any]]] = [
    (Contiguous, {}),
    (Compressed, {"chunks": (1, 6, 6, 3), "compression": "gzip"}),
    (Chunked, {"chunks": (1, 6, 6, 3), "compression": "lzf"}),
    (Chunked, {"chunks": (1, 6, 6, 3)}),
    (Chunked, {"chunks": (5, 6, 6, 3), "compression": "gzip"}),
    (Chunked, {"chunks": (1, 6, 6, 3), "compression": "gzip", "shuffle": True}),
    (Chunked, {"maxshape": (None, 6, 6, 3), "chunks": True}),
]


@pytest.mark.parametrize(("kind", "storage"), STORAGES)
@pytest.mark.parametrize("wanted", [[0], [COUNT - 1], [5, 6, 7, 8], [8, 7, 6, 5], [3, 3, 399, 0], [5, 7, 6, 8]])
def test_images_are_those_of_the_file(tmp_path: Path, kind: type, storage: dict[str, Any], wanted: list[int]) -> None:
    images = image_rows(COUNT, 3, 0)
    opened = write_images(tmp_path / "images.h5", images, **storage)

    assert isinstance(opened, kind)
    assert opened.shape == images.shape
    assert (gather(opened, wanted) == images[wanted]).all()


@pytest.mark.parametrize(("kind", "storage"), STORAGES)
def test_several_threads_read_at_once(tmp_path: Path, kind: type, storage: dict[str, Any]) -> None:
    images = image_rows(COUNT, 3, 0)
    opened = write_images(tmp_path / "images.h5", images, **storage)
    wanted = [np.random.default_rng(seed).integers(0, COUNT, 50).tolist() for seed in range(40)]
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda part: gather(opened, part), wanted))

    assert all((part == images[chosen]).all() for part, chosen in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("kind", "storage"), STORAGES)
def test_a_forked_process_reads_too(tmp_path: Path, kind: type, storage: dict[str, Any]) -> None:
    images = image_rows(COUNT, 3, 0)
    opened = write_images(tmp_path / "images.h5", images, **storage)
    gather(opened, [1])
    handle = getattr(opened, "_dataset", None)
    child = os.fork()
    if child == 0:
        right = (gather(opened, [2, 9]) == images[[2, 9]]).all()
        own = handle is None or opened._dataset is not handle  # type: ignore[attr-defined]
        os._exit(0 if right and own else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert (gather(opened, [3]) == images[3]).all()


@pytest.mark.parametrize(("kind", "compression"), [(Compressed, "gzip"), (Chunked, "lzf")])
def test_images_that_compression_would_have_made_longer_lie_as_they_are(
    tmp_path: Path, kind: type, compression: str
) -> None:
    images = image_rows(COUNT, 3, 0)
    opened = write_images(tmp_path / "images.h5", images, chunks=(1, 6, 6, 3), compression=compression)

    assert isinstance(opened, kind)
    assert (gather(opened, list(range(COUNT))) == images).all()


@pytest.mark.parametrize(("compression", "message"), [("gzip", r"at row 4: remove it"), ("lzf", r"\(.*\): remove it")])
def test_damaged_images_are_refused(tmp_path: Path, compression: str, message: str) -> None:
    images = np.zeros((9, 6, 6, 3), np.uint8)
    opened = write_images(tmp_path / "images.h5", images, chunks=(1, 6, 6, 3), compression=compression)
    with h5py.File(tmp_path / "images.h5") as file:
        chunk = file["images"].id.get_chunk_info(4)
    content = bytearray((tmp_path / "images.h5").read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    (tmp_path / "images.h5").write_bytes(content)
    opened = reopen(tmp_path / "images.h5")

    assert not gather(opened, [3, 5]).any()
    with pytest.raises(DataError, match=rf"images\.h5 is damaged {message}"):
        gather(opened, [3, 4])


def test_an_image_of_another_length_is_not_taken() -> None:
    out = np.empty((4, 4), np.uint8)

    def inflates(length: int) -> bool:
        return inflate(np.frombuffer(zlib.compress(bytes(length)), np.uint8), out)

    assert [inflates(length) for length in (15, 16, 17)] == [False, True, False]


every_storage = pytest.mark.parametrize("storage", [storage for _, storage in STORAGES])


@every_storage
def test_a_file_that_is_written_to_meanwhile_is_refused(tmp_path: Path, storage: dict[str, Any]) -> None:
    path = tmp_path / "images.h5"
    opened = write_images(path, image_rows(COUNT, 3, 0), **storage)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    os.utime(path, ns=(0, 0))

    with pytest.raises(DataError, match="was written to since"):
        gather(opened, [1, 3])


@every_storage
def test_a_file_that_is_written_to_while_it_is_read_is_refused(
    tmp_path: Path, storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.h5"
    opened = write_images(path, image_rows(COUNT, 3, 0), **storage)
    find_state = Bytes._find_state

    def find_and_write(self: Bytes) -> tuple[int, int]:
        found = find_state(self)
        os.utime(path, ns=(0, 0))
        return found

    monkeypatch.setattr(Bytes, "_find_state", find_and_write)

    with pytest.raises(DataError, match="was written to since"):
        gather(opened, [1, 3])


@every_storage
def test_a_file_that_another_one_replaced_is_still_there_for_who_opened_it(
    tmp_path: Path, storage: dict[str, Any]
) -> None:
    images = image_rows(COUNT, 3, 0)
    opened = write_images(tmp_path / "images.h5", images, **storage)
    write_images(tmp_path / "other.h5", images[::-1], **storage)
    os.replace(tmp_path / "other.h5", tmp_path / "images.h5")

    assert (gather(opened, [1, 3]) == images[[1, 3]]).all()


def test_a_fork_that_has_to_open_a_replaced_file_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = write_images(tmp_path / "images.h5", image_rows(COUNT, 3, 0), chunks=(5, 6, 6, 3))
    write_images(tmp_path / "other.h5", image_rows(COUNT, 3, 1))
    os.replace(tmp_path / "other.h5", tmp_path / "images.h5")
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a fork

    with pytest.raises(DataError, match="was replaced since"):
        gather(opened, [1, 3])


def test_a_chunk_that_is_too_short_for_an_image_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "images.h5", image_rows(9, 3, 0), chunks=(1, 6, 6, 3), compression="gzip")
    with h5py.File(tmp_path / "images.h5", "r+") as file:
        file["images"].id.write_direct_chunk((4, 0, 0, 0), bytes(10), filter_mask=1)

    with pytest.raises(DataError, match="is damaged at row 4"):
        gather(reopen(tmp_path / "images.h5"), [3, 4])


def test_files_are_closed_when_nobody_reads_them_any_more(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    opened = write_images(tmp_path / "images.h5", image_rows(COUNT, 3, 0))

    assert open_files() > before
    del opened
    assert open_files() == before


def test_what_build_writes_is_read_the_fast_way(tmp_path: Path) -> None:
    kinds = {}
    compressions: tuple[hdf5.Compression, ...] = ("none", "gzip")
    for compression in compressions:
        write(tmp_path / "dataset.h5", compression=compression)
        with hdf5.open_file(tmp_path / "dataset.h5", hdf5.DATASET) as file:
            kinds[compression] = type(open_images(file, "train_images"))

    assert kinds == {"none": Contiguous, "gzip": Compressed}
