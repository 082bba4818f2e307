"""The cache of masks and pixels: what was added is found by runs with the same keys only; damage is a miss."""

import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from importlib import metadata
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.errors import ImagesetError
from imageset.photos import background, decode, pixels, preprocess
from imageset.photos.background import Network
from imageset.photos.cache import PhotoCache
from imageset.photos.fingerprint import identify
from imageset.photos.preprocess import PhotoResult, PreparedPhoto, PreprocessRecipe, Rejected
from imageset.runtime.sections import PreprocessParams
from imageset.storage.bucket import Bucket, StoredObject

CLIENT = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:1"))
BUCKET = Bucket(None, CLIENT, "photos", "shop/")
OBJECT = StoredObject("1.jpeg", "d41d8cd98f00b204e9800998ecf8427e", 1000, "version 1")
NETWORK = Network("u2netp", Path("u2netp.onnx"), 32)
WEIGHTS = "a" * 64
CHOSEN: dict[str, Any] = {
    "background": "remove",
    "mask_side": None,
    "fill": (255, 255, 255),
    "fit": "pad",
    "color": "grayscale",
    "image_side": 16,
    "min_foreground": 0.01,
    "max_foreground": 0.99,
    "max_pixels": 1_000_000,
    "max_rejected_share": 0.2,
}
# Another value of each param, where it shapes pixels; mask_side does by the network's side.
OTHERS: dict[str, Any] = {
    "background": "keep",
    "fill": (255, 255, 254),
    "fit": "crop",
    "color": "rgb",
    "image_side": 24,
    "min_foreground": 0.02,
    "max_foreground": 0.98,
    "max_pixels": 999_999,
}
HARMLESS: dict[str, Any] = {"max_rejected_share": 0.3, "mask_side": 64}
MASK = Image.frombytes("L", (32, 32), bytes(range(256)) * 4)


def made(side: int = 16, channels: int = 1, seed: int = 0) -> PhotoResult:
    random = np.random.default_rng(seed)
    square, thumbnail = (random.integers(0, 256, shape, np.uint8) for shape in ((side, side, channels), (64, 64, 1)))
    return PhotoResult(PreparedPhoto(square, thumbnail, "b" * 64, "0123456789abcdef", "fedcba9876543210"), MASK)


def values_of(found: PreparedPhoto) -> tuple[bytes | str, ...]:
    return found.pixels.tobytes(), found.thumbnail.tobytes(), found.sha256, found.phash, found.phash_mirrored


def open_cache(
    folder: Path, network: Network | None = NETWORK, weights: str = WEIGHTS, bucket: Bucket = BUCKET, **changes: Any
) -> "closing[PhotoCache]":
    recipe = PreprocessRecipe(PreprocessParams(**CHOSEN | changes), network)
    return closing(PhotoCache(folder / "photos.sqlite", bucket, recipe, weights))


def knows(folder: Path, stored: StoredObject = OBJECT, **options: Any) -> tuple[bool, bool]:
    """Tell whether pixels and mask of an object are known, by another run."""
    with open_cache(folder, **options) as cache:
        return cache.find(stored) is not None, cache.find_mask(stored, 32) is not None


def add(folder: Path, stored: StoredObject = OBJECT, what: PhotoResult | None = None, **options: Any) -> None:
    with open_cache(folder, **options) as cache:
        cache.add(stored, what or made())


def execute(folder: Path, statement: str, *values: Any) -> list[Any]:
    """Run SQL on the cache's file from outside the project."""
    with closing(sqlite3.connect(folder / "photos.sqlite", isolation_level=None)) as database:
        return database.execute(statement, values).fetchall()


@pytest.fixture(autouse=True)
def other_code_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at code and versions anew each time, as a new process does."""
    monkeypatch.setattr("imageset.photos.cache.identify", identify.__wrapped__)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with a cache that knows one object."""
    add(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("color", "channels"), [("grayscale", 1), ("rgb", 3)])
def test_a_later_run_finds_what_was_added(color: str, channels: int, tmp_path: Path) -> None:
    what = made(24, channels)
    add(tmp_path, what=what, color=color, image_side=24)
    with open_cache(tmp_path, color=color, image_side=24) as cache:
        found, mask = cache.find(OBJECT), cache.find_mask(OBJECT, 32)
        unknown = replace(OBJECT, etag="0" * 32)

        assert (cache.find(unknown), cache.find_mask(unknown, 32)) == (None, None)

    assert isinstance(found, PreparedPhoto)
    assert isinstance(what.outcome, PreparedPhoto)
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape == (24, 24, channels)
    assert (found.pixels == what.outcome.pixels).all()
    assert (found.thumbnail == what.outcome.thumbnail).all()
    assert found[2:] == what.outcome[2:]
    assert mask is not None
    assert (mask.mode, mask.size, mask.tobytes()) == ("L", (32, 32), MASK.tobytes())


def test_rejections_and_their_masks_are_found_but_never_what_another_machine_might_decode(tmp_path: Path) -> None:
    rejections = {
        "empty": None,
        "undecodable": None,
        "mask_empty": MASK,
        "mask_full": MASK,
        "decoder_memory": None,
        "decoder_timeout": None,
        "decoder_crash": None,
    }
    objects = {reason: replace(OBJECT, bytes=number) for number, reason in enumerate(rejections)}
    for reason, mask in rejections.items():
        add(tmp_path, objects[reason], PhotoResult(Rejected(reason), mask))
    with open_cache(tmp_path) as cache:
        found = {reason: cache.find(stored) for reason, stored in objects.items()}

    assert found == {reason: None if reason.startswith("decoder_") else Rejected(reason) for reason in rejections}
    assert {reason: knows(tmp_path, stored)[1] for reason, stored in objects.items()} == {
        reason: mask is not None for reason, mask in rejections.items()
    }


def test_photos_without_network_have_no_mask(tmp_path: Path) -> None:
    add(tmp_path, what=made()._replace(mask=None), network=None, background="keep")

    assert knows(tmp_path, network=None, background="keep") == (True, False)


# What is part of the keys: (pixels, mask) are known


def test_every_param_that_shapes_pixels_changes_their_key_and_no_mask_key(filled: Path) -> None:
    known = {name: knows(filled, **{name: value}) for name, value in (OTHERS | HARMLESS).items()}

    assert set(known) == set(PreprocessParams.model_fields)
    assert known == dict.fromkeys(OTHERS, (False, True)) | dict.fromkeys(HARMLESS, (True, True))


@pytest.mark.parametrize(
    "options",
    [
        {"network": None},
        {"network": NETWORK._replace(name="silueta")},
        {"network": NETWORK._replace(side=64)},
        {"weights": "c" * 64},
        {"stored": replace(OBJECT, etag="0" * 32)},
        {"stored": replace(OBJECT, bytes=1001)},
        {"stored": replace(OBJECT, etag=f"{OBJECT.etag}-2")},
    ],
    ids=repr,
)
def test_network_weights_and_content_change_both_keys(options: dict[str, Any], filled: Path) -> None:
    assert knows(filled, **options) == (False, False)


def test_the_path_of_the_weights_changes_no_key(filled: Path) -> None:
    assert knows(filled, network=NETWORK._replace(weights=Path("elsewhere.onnx"))) == (True, True)
    assert knows(filled, network=NETWORK._replace(weights=Path("elsewhere"))) == (True, True)


@pytest.mark.parametrize(
    ("etag", "shared"),
    [
        (OBJECT.etag, True),
        (f"{OBJECT.etag}-12", True),
        ("my-own-etag-1", False),
        (OBJECT.etag[:-1], False),
        (f"{OBJECT.etag}-", False),
    ],
)
def test_a_photo_is_known_under_any_key_and_bucket_if_its_etag_is_of_its_content(
    etag: str, shared: bool, tmp_path: Path
) -> None:
    stored = replace(OBJECT, etag=etag)
    add(tmp_path, stored)
    elsewhere: list[dict[str, Any]] = [
        {"stored": replace(stored, key="2.jpeg")},
        {"stored": replace(stored, version_id="version 2")},
        {"stored": stored, "bucket": replace(BUCKET, name="other")},
        {"stored": stored, "bucket": replace(BUCKET, prefix="other/")},
    ]

    assert knows(tmp_path, stored) == (True, True)
    assert [knows(tmp_path, **options) for options in elsewhere] == [(shared, shared)] * 4


@pytest.mark.parametrize(
    ("module", "mask"), [(background, False), (decode, False), (preprocess, False), (pixels, True)]
)
def test_other_code_is_another_key(
    module: ModuleType, mask: bool, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = filled / "changed.py"
    changed.write_text(Path(str(module.__file__)).read_text() + "\nCHANGED = 1\n")
    monkeypatch.setattr(module, "__file__", str(changed))

    assert knows(filled) == (False, mask)


@pytest.mark.parametrize(
    ("library", "mask"),
    [("numpy", False), ("openvino", False), ("pillow", False), ("rembg", False), ("ImageHash", True), ("scipy", True)],
)
def test_other_libraries_are_another_key(
    library: str, mask: bool, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == library else real(name))

    assert knows(filled) == (False, mask)


def test_another_kind_of_processor_is_another_key(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    assert knows(filled) == (False, False)


# Damage


def flipped(content: Any) -> Any:
    """Return text, bytes or a number with one bit changed."""
    if isinstance(content, int):
        return content ^ 1
    if isinstance(content, str):
        return flipped(content.encode()).decode()
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("column", "spoil"),
    [
        ("pixels", flipped),
        ("pixels", lambda content: content[:-1]),
        ("pixels", lambda content: content + b"\0"),
        ("pixels", lambda content: None),
        ("pixels", lambda content: 7),
        ("crc32", flipped),
        ("sha256", flipped),
        ("sha256", lambda content: None),
        ("phash", flipped),
        ("phash_mirrored", flipped),
        ("reason", lambda content: "truncated"),
    ],
)
def test_damaged_pixels_are_unknown_and_replaced(column: str, spoil: Any, filled: Path) -> None:
    ((content,),) = execute(filled, f"SELECT {column} FROM pixels")
    execute(filled, f"UPDATE pixels SET {column} = ?", spoil(content))

    assert knows(filled) == (False, True)

    add(filled)

    assert knows(filled) == (True, True)
    assert execute(filled, f"SELECT {column} FROM pixels") == [(content,)]


def test_a_damaged_reason_is_unknown(tmp_path: Path) -> None:
    add(tmp_path, what=PhotoResult(Rejected("truncated")))
    execute(tmp_path, "UPDATE pixels SET reason = 'tsuncated'")

    assert knows(tmp_path) == (False, False)


@pytest.mark.parametrize("spoil", [flipped, lambda content: content[:-1], lambda content: b"", lambda content: 7])
def test_a_damaged_mask_is_unknown_and_replaced(spoil: Any, filled: Path) -> None:
    ((content,),) = execute(filled, "SELECT mask FROM masks")
    execute(filled, "UPDATE masks SET mask = ?", spoil(content))

    assert knows(filled) == (True, False)

    add(filled)

    assert knows(filled) == (True, True)
    assert execute(filled, "SELECT mask FROM masks") == [(content,)]


def test_a_flipped_bit_in_the_file_never_gives_another_photo_or_mask(filled: Path) -> None:
    path, expected = filled / "photos.sqlite", made().outcome
    content = path.read_bytes()
    written = [place for place, byte in enumerate(content) if byte]
    assert isinstance(expected, PreparedPhoto)
    for place in written[:: len(written) // 100]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with suppress(ImagesetError, sqlite3.Error, UnicodeError), open_cache(filled) as cache:
            found, mask = cache.find(OBJECT), cache.find_mask(OBJECT, 32)

            assert mask is None or mask.tobytes() == MASK.tobytes()
            assert found is None or isinstance(found, PreparedPhoto)
            assert found is None or values_of(found) == values_of(expected)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"<html>not found</html>" * 2000,
        lambda content: content[:40_000],
        lambda content: content[:32_768] + bytes(len(content) - 32_768),
        lambda content: b"\0" * 5000,
    ],
)
def test_a_file_that_is_no_database_says_that_it_may_be_removed(spoil: Any, filled: Path) -> None:
    path = filled / "photos.sqlite"
    path.write_bytes(spoil(path.read_bytes()))

    with pytest.raises(ImagesetError, match=r"photos\.sqlite: .*; it may be removed"):
        knows(filled)

    path.unlink()

    assert knows(filled) == (False, False)


def test_other_tables_say_that_the_file_may_be_removed(filled: Path) -> None:
    execute(filled, "DROP TABLE pixels")
    execute(filled, "CREATE TABLE pixels (key BLOB PRIMARY KEY, content BLOB)")

    with pytest.raises(ImagesetError, match=r"photos\.sqlite: .*; it may be removed"):
        knows(filled)


# Runs and commits


def test_what_is_added_is_committed_by_number_by_time_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.photos.cache.PHOTOS_BETWEEN_COMMITS", 6)
    monkeypatch.setattr("imageset.photos.cache.SECONDS_BETWEEN_COMMITS", 1e9)
    others = iter(range(100))
    seen = []

    def add_one(cache: PhotoCache) -> None:
        cache.add(replace(OBJECT, bytes=next(others)), made())
        seen.append(execute(tmp_path, "SELECT count(*) FROM pixels")[0][0])

    with open_cache(tmp_path) as cache:
        for _ in range(4):
            add_one(cache)
        monkeypatch.setattr("imageset.photos.cache.SECONDS_BETWEEN_COMMITS", -1.0)
        add_one(cache)
        monkeypatch.setattr("imageset.photos.cache.SECONDS_BETWEEN_COMMITS", 1e9)
        add_one(cache)

    assert seen == [0, 0, 3, 3, 5, 5]
    assert execute(tmp_path, "SELECT count(*) FROM pixels") == [(6,)]


def test_what_was_added_is_kept_when_a_run_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with open_cache(tmp_path) as cache:
            cache.add(OBJECT, made())
            raise ImagesetError("the bucket is gone")

    with pytest.raises(ImagesetError, match="the bucket is gone"):
        fail()

    assert knows(tmp_path) == (True, True)


def test_a_full_disk_is_named_as_the_cause(tmp_path: Path) -> None:
    def fill() -> None:
        with open_cache(tmp_path) as cache:
            (pages,) = cache.database.execute("PRAGMA page_count").fetchone()
            cache.database.execute(f"PRAGMA max_page_count = {pages}")
            cache.add(OBJECT, made(256))
            cache.commit()

    with pytest.raises((sqlite3.Error, ImagesetError), match="full"):
        fill()

    assert knows(tmp_path) == (False, False)


def test_what_a_run_finds_counts_as_used_today(filled: Path) -> None:
    for table in ("masks", "pixels"):
        execute(filled, f"UPDATE {table} SET used = '2020-01-01'")
    knows(filled)
    (today,) = {day for table in ("masks", "pixels") for day in execute(filled, f"SELECT used FROM {table}")}

    assert today != ("2020-01-01",)
    with open_cache(filled) as cache:
        assert today == (cache.today,)


FILES = 60  # for one of which at least two runs come at the very same moment
meeting: Barrier


def prepare_to_meet(barrier: Barrier) -> None:
    global meeting
    meeting = barrier


def work(folder: Path, run: int) -> None:
    """Add two objects to each of many new files just as another run does, one of them the same."""
    try:
        for number in range(FILES):
            meeting.wait(20)
            with open_cache(folder / str(number)) as cache:
                for size in (run, 2):
                    cache.add(replace(OBJECT, bytes=size), made(seed=size))
                    cache.commit()
    except ImagesetError:
        meeting.abort()
        raise


def test_runs_that_meet_at_a_new_file_both_write_to_it_and_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, prepare_to_meet, (spawn.Barrier(2),)) as pool:
        for run in [pool.submit(work, tmp_path, run) for run in (0, 1)]:
            run.result()
    for number in range(FILES):
        with open_cache(tmp_path / str(number)) as cache:
            for size in range(3):
                found, expected = cache.find(replace(OBJECT, bytes=size)), made(seed=size).outcome

                assert isinstance(found, PreparedPhoto)
                assert isinstance(expected, PreparedPhoto)
                assert (found.pixels == expected.pixels).all()
