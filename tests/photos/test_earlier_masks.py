"""An earlier masks.h5: what has the same recipe is found by its object, and nothing else is; else it says why.

What dvc.lock names is tested in tests/runtime/test_dvc.py; here it is told.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from imageset.formats import hdf5
from imageset.photos import photo_file
from imageset.photos.earlier_file import EarlierFile, open_earlier
from imageset.photos.earlier_masks import EARLIER_MASKS
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.photo_file import name_object
from imageset.runtime import dvc, files
from imageset.storage.bucket import StoredObject
from tests.photos.test_cache import OBJECT
from tests.photos.test_mask_file import RECIPE, make_mask, make_rows, write

Lock = dict[Path, str]


@pytest.fixture(autouse=True)
def lock(monkeypatch: pytest.MonkeyPatch) -> Lock:
    """The files that dvc.lock names, with their md5; any other that is there is named with its own."""
    named: Lock = {}

    def find_earlier_output(path: Path) -> dvc.EarlierOutput | None:
        md5 = named.get(path) or (files.md5(path) if path.exists() else None)
        return dvc.EarlierOutput(md5, path) if md5 else None

    monkeypatch.setattr(dvc, "find_earlier_output", find_earlier_output)
    return named


@contextmanager
def opened(path: Path, recipe: str = RECIPE) -> Iterator[EarlierFile[PhotoMask]]:
    """Open a file that is to be used."""
    with open_earlier(EARLIER_MASKS, path, recipe) as earlier:
        assert earlier is not None
        yield earlier


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what is said of a file that is not used."""

    def refuse(path: Path, recipe: str = RECIPE) -> str:
        with open_earlier(EARLIER_MASKS, path, recipe) as earlier:
            assert earlier is None
        said = capsys.readouterr().out
        beginning = f"masks: the {path} that dvc.lock names "
        assert said.startswith(beginning) or not said
        return said.removeprefix(beginning).strip()

    return refuse


def find(path: Path, stored: StoredObject) -> PhotoMask | Rejected | None:
    with opened(path) as earlier:
        return earlier.find(stored)


@pytest.fixture
def written(tmp_path: Path, lock: Lock) -> Path:
    """A file of 23 photos, every fifth of which is rejected, with its md5 in dvc.lock."""
    path = write(tmp_path / "masks.h5", make_rows(23))
    lock[path] = files.md5(path)
    return path


def test_every_mask_is_found_by_its_object_with_all_that_was_measured(written: Path) -> None:
    with opened(written) as earlier:
        for _, _, stored, outcome in make_rows(23):
            if isinstance(outcome, PhotoMask):
                assert earlier.find(stored) == outcome
                assert earlier.find(replace(stored, key="elsewhere.jpeg")) == outcome
            assert earlier.find(replace(stored, bytes=1000 + stored.bytes)) is None
            assert earlier.find(replace(stored, etag="0" * 32)) is None


def test_rejections_that_every_machine_and_max_pixels_repeat_are_found(tmp_path: Path) -> None:
    lasting, others = (
        ("empty", "not_an_image"),
        # A photo may be too large to be decoded for a smaller max_pixels.
        ("truncated", "undecodable", "too_many_pixels", "decoder_memory", "decoder_timeout", "decoder_crash"),
    )
    objects = {reason: replace(OBJECT, bytes=number) for number, reason in enumerate(lasting + others)}
    path = write(tmp_path / "masks.h5", [(one.bytes, 0, one, Rejected(reason)) for reason, one in objects.items()])

    assert {reason: find(path, stored) for reason, stored in objects.items()} == {
        reason: Rejected(reason) if reason in lasting else None for reason in objects
    }


def test_objects_whose_names_begin_alike_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identify(stored: StoredObject) -> bytes:
        return b"the same" * (stored.bytes < 5) + name_object(stored)[: 16 - 8 * (stored.bytes < 5)]

    monkeypatch.setattr(photo_file, "name_object", identify)
    rows = [(number, 0, replace(OBJECT, bytes=number), make_mask(number)) for number in (3, 7, 1, 0, 9, 4)]
    path = write(tmp_path / "masks.h5", rows)
    with opened(path) as earlier:
        assert [earlier.find(stored) for _, _, stored, _ in rows] == [outcome for _, _, _, outcome in rows]
        assert earlier.find(replace(OBJECT, bytes=2)) is None
        assert earlier.find(replace(OBJECT, bytes=8)) is None


def test_an_object_that_is_there_twice_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.h5", [(number, 0, OBJECT, make_mask(1)) for number in range(3)])

    assert find(path, OBJECT) == make_mask(1)


def test_an_object_whose_etag_is_no_md5_is_found_by_its_version_alone(tmp_path: Path) -> None:
    """Another bucket, or a later upload, may have the same etag for other bytes."""
    etags = (OBJECT.etag, f"{OBJECT.etag}-2", "my-own-etag-1")
    objects = [replace(OBJECT, etag=etag, version_id=version) for etag in etags for version in ("", "version 1")]
    path = write(tmp_path / "masks.h5", [(number, 0, one, make_mask(number)) for number, one in enumerate(objects)])

    assert [find(path, one) is not None for one in objects] == [True, True, True, True, False, True]
    assert find(path, objects[5]) == make_mask(5)
    assert find(path, replace(objects[5], version_id="version 2")) is None
    assert find(path, replace(objects[5], key="elsewhere.jpeg")) is None


def test_a_file_without_photos_knows_none(tmp_path: Path) -> None:
    assert find(write(tmp_path / "masks.h5", []), OBJECT) is None


# What is not used, and why


def test_where_dvc_lock_names_no_file_nothing_is_said(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert refusal(tmp_path / "masks.h5") == ""


def test_of_a_file_that_dvc_does_not_have_it_says_how_to_fetch_it(
    tmp_path: Path, lock: Lock, refusal: Callable[..., str]
) -> None:
    path = tmp_path / "masks.h5"
    lock[path] = "0123456789abcdef0123456789abcdef"

    assert refusal(path) == (f"is not in DVC's cache: to use its masks, stop, run `dvc fetch {path}`, and start again")


BASE: dict[str, Any] = {
    "network": "u2netp",
    "side": 320,
    "weights_sha256": "3",
    "made_by": ["background.py 1", "numpy 2.1.3", "x86_64", "openvino float32"],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"side": 256}, "side 256, not 320"),
        ({"network": "silueta", "weights_sha256": "5"}, "network silueta, not u2netp"),
        ({"weights_sha256": "5"}, "weights_sha256 5, not 3"),
        ({"side": 256, "made_by": []}, "side 256, not 320"),
        ({"made_by": ["background.py 2", *BASE["made_by"][1:]]}, "background.py 2"),
        ({"made_by": [*BASE["made_by"][:3], "openvino int8"]}, "openvino int8"),
        ({"made_by": BASE["made_by"][1:]}, "other code"),
        ({"more": 1}, "more 1, not None"),
    ],
    ids=str,
)
def test_masks_of_another_recipe_are_not_used_and_a_part_that_differs_is_named(
    changes: dict[str, Any], said: str, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    path = write(tmp_path / "masks.h5", make_rows(3), recipe=json.dumps(BASE | changes))

    assert refusal(path, json.dumps(BASE)) == f"has masks of another recipe ({said})"
    with opened(path, json.dumps(BASE | changes)):
        pass


def test_the_empty_file_of_a_dataset_that_keeps_backgrounds_is_not_used(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    path = write(tmp_path / "masks.h5", [], recipe="")

    assert refusal(path) == "has masks of another recipe (backgrounds were kept)"


DAMAGED = "is damaged in DVC's cache"


@pytest.mark.parametrize("left", [0, 100, 0.2, 0.5, 0.9, -1])
def test_a_file_that_was_cut_is_not_used(left: float, written: Path, refusal: Callable[..., str]) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(left * len(content)) if 0 < left < 1 else int(left)])

    assert refusal(written) == DAMAGED


def test_a_file_that_is_open_for_writing_is_not_called_damaged(written: Path, refusal: Callable[..., str]) -> None:
    program = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(written)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"

        assert refusal(written) == "is open for writing in another process"
        writer.communicate()


@pytest.mark.parametrize("part", [b'{"made_by"', b"imageset-masks"])
def test_a_file_with_a_flipped_bit_is_not_used(part: bytes, written: Path, refusal: Callable[..., str]) -> None:
    content = bytearray(written.read_bytes())
    content[content.index(part) + 1] ^= 1
    written.write_bytes(content)

    assert refusal(written) == DAMAGED


def test_a_file_with_a_flipped_bit_in_a_mask_is_not_used(written: Path, refusal: Callable[..., str]) -> None:
    content = bytearray(written.read_bytes())
    with h5py.File(written) as file:
        chunk = file["masks"].id.get_chunk_info_by_coord((3, 0, 0))
    content[chunk.byte_offset + chunk.size // 2] ^= 4
    written.write_bytes(content)

    assert refusal(written) == DAMAGED


@pytest.mark.parametrize("name", ["recipe", "objects"])
def test_a_file_that_lacks_a_part_is_not_used(
    name: str, written: Path, lock: Lock, refusal: Callable[..., str]
) -> None:
    with h5py.File(written, "r+") as file:
        del (file if name in file else file.attrs)[name]
    del lock[written]

    assert refusal(written) == DAMAGED


def test_a_file_of_another_kind_is_not_used(tmp_path: Path, refusal: Callable[..., str]) -> None:
    with hdf5.create(tmp_path / "other.h5", hdf5.PROCESSED) as file:
        hdf5.finish(file, recipe=RECIPE)

    assert refusal(tmp_path / "other.h5") == DAMAGED


def test_the_file_is_closed_afterwards(written: Path) -> None:
    with opened(written) as earlier:
        pass

    assert not earlier.file
    with open_earlier(EARLIER_MASKS, written, json.dumps(BASE)):
        pass
    with h5py.File(written, "r+"):
        pass
