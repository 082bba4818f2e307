"""What caches of photos have in common: a row is found under its own key only, damage is a miss, runs share a file."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imageset.errors import ImagesetError
from imageset.photos import cache as cache_module
from imageset.photos.cache import PhotoCache
from imageset.storage.bucket import Bucket, StoredObject

CLIENT = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:1"))
BUCKET = Bucket(None, CLIENT, "photos", "shop/")
OBJECT = StoredObject("1.jpeg", "d41d8cd98f00b204e9800998ecf8427e", 1000, "version 1")
TABLE, COLUMNS = "things", "reason TEXT, content BLOB, number INTEGER, share REAL"
VALUES = ("words", bytes(range(256)) * 4, 1 << 40, 0.1)


def open_cache(folder: Path, recipe: str = "a recipe", bucket: Bucket = BUCKET) -> "closing[PhotoCache]":
    return closing(PhotoCache(folder / "photos.sqlite", TABLE, COLUMNS, bucket, recipe))


def find(folder: Path, stored: StoredObject = OBJECT, *more: str, **options: Any) -> tuple[Any, ...] | None:
    """Return what another run knows of an object."""
    with open_cache(folder, **options) as cache:
        return cache.look_up(cache.make_key(stored, *more))


def add(folder: Path, stored: StoredObject = OBJECT, *more: str, values: tuple[Any, ...] = VALUES) -> None:
    with open_cache(folder) as cache:
        cache.put(cache.make_key(stored, *more), stored.etag, *values)


def execute(path: Path, statement: str, *values: Any) -> list[Any]:
    """Run SQL on a cache's file from outside the project."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(statement, values).fetchall()


def flipped(content: Any) -> Any:
    """Return text, bytes or a number with one bit changed."""
    if isinstance(content, int):
        return content ^ 1
    if isinstance(content, str):
        return flipped(content.encode()).decode()
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder with a cache that knows one object."""
    add(tmp_path)
    return tmp_path


@pytest.mark.parametrize("values", [VALUES, (None, b"", -1, 1e-300), ("é\n", None, None, None)])
def test_a_later_run_finds_what_was_added(values: tuple[Any, ...], tmp_path: Path) -> None:
    add(tmp_path, values=values)

    assert find(tmp_path) == values


def test_what_is_added_again_replaces_what_was_there(filled: Path) -> None:
    other = ("other", b"", 2, 0.5)
    add(filled, values=other)

    assert find(filled) == other
    assert execute(filled / "photos.sqlite", f"SELECT count(*) FROM {TABLE}") == [(1,)]


# What is part of the keys


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "another recipe"},
        {"stored": replace(OBJECT, etag="0" * 32)},
        {"stored": replace(OBJECT, etag=f"{OBJECT.etag}-2")},
        {"stored": replace(OBJECT, bytes=1001)},
    ],
    ids=repr,
)
def test_another_recipe_or_content_is_another_key(options: dict[str, Any], filled: Path) -> None:
    assert find(filled, **options) is None
    assert find(filled) == VALUES


def test_whatever_else_decides_the_values_of_an_object_is_part_of_its_key(filled: Path) -> None:
    add(filled, OBJECT, "a mask", values=("masked", b"", 3, 0.0))

    assert find(filled) == VALUES
    assert find(filled, OBJECT, "a mask") == ("masked", b"", 3, 0.0)
    assert find(filled, OBJECT, "another mask") is None


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

    assert find(tmp_path, stored) == VALUES
    assert [find(tmp_path, **options) is not None for options in elsewhere] == [shared] * 4


# Damage


@pytest.mark.parametrize(
    ("column", "spoil"),
    [
        ("content", flipped),
        ("content", lambda content: content[:-1]),
        ("content", lambda content: content + b"\0"),
        ("content", lambda content: b""),
        ("content", lambda content: None),
        ("content", lambda content: 7),
        ("crc32", flipped),
        ("etag", flipped),
        ("reason", flipped),
        ("reason", lambda content: None),
        ("number", flipped),
        ("share", lambda content: 0.1000001),
    ],
)
def test_a_damaged_row_is_unknown_and_replaced(column: str, spoil: Callable[[Any], Any], filled: Path) -> None:
    path = filled / "photos.sqlite"
    ((content,),) = execute(path, f"SELECT {column} FROM {TABLE}")
    execute(path, f"UPDATE {TABLE} SET {column} = ?", spoil(content))

    assert find(filled) is None

    add(filled)

    assert find(filled) == VALUES
    assert execute(path, f"SELECT {column} FROM {TABLE}") == [(content,)]


@pytest.mark.parametrize("column", ["key", "content", "etag"])
def test_rows_that_were_exchanged_are_unknown(column: str, filled: Path) -> None:
    other, values = replace(OBJECT, etag="0" * 32), ("words", bytes(1024), 1 << 40, 0.1)
    add(filled, other, values=values)
    path = filled / "photos.sqlite"
    rows = execute(path, f"SELECT * FROM {TABLE}")
    names = [name for _, name, *_ in execute(path, f"PRAGMA table_info({TABLE})")]
    (one, two), place = [list(row) for row in rows], names.index(column)
    one[place], two[place] = two[place], one[place]
    execute(path, f"DELETE FROM {TABLE}")
    for row in (one, two):
        execute(path, f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(row))})", *row)

    assert find(filled) is None
    assert find(filled, other) is None

    add(filled)

    assert find(filled) == VALUES


def test_bytes_that_moved_to_the_next_column_are_unknown(tmp_path: Path) -> None:
    columns = "one BLOB, other BLOB"
    with closing(PhotoCache(tmp_path / "photos.sqlite", TABLE, columns, BUCKET, "a recipe")) as cache:
        key = cache.make_key(OBJECT)
        cache.put(key, OBJECT.etag, b"ab", b"c")
        cache.commit()
        cache.database.execute(f"UPDATE {TABLE} SET one = ?, other = ?", (b"a", b"bc"))

        assert cache.look_up(key) is None


def test_a_row_of_another_table_is_unknown(filled: Path) -> None:
    with closing(PhotoCache(filled / "others.sqlite", "others", COLUMNS, BUCKET, "a recipe")) as others:
        (row,) = execute(filled / "photos.sqlite", f"SELECT * FROM {TABLE}")
        others.database.execute(f"INSERT INTO others VALUES ({', '.join('?' * len(row))})", row)

        assert others.look_up(others.make_key(OBJECT)) is None


@pytest.mark.parametrize("column", ["reason", "etag"])
def test_text_that_is_no_utf_8_any_more_is_a_damaged_row(column: str, filled: Path) -> None:
    execute(filled / "photos.sqlite", f"UPDATE {TABLE} SET {column} = CAST(x'ff41' AS TEXT)")

    assert find(filled) is None


def test_a_flipped_bit_in_the_file_never_gives_other_values(filled: Path) -> None:
    path = filled / "photos.sqlite"
    content = path.read_bytes()
    written = [place for place, byte in enumerate(content) if byte]
    for place in written[:: len(written) // 100]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with suppress(ImagesetError, sqlite3.Error, UnicodeError):
            assert find(filled) in (None, VALUES)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"<html>not found</html>" * 2000,
        lambda content: content[:20_000],
        lambda content: content[:32_768] + bytes(len(content) - 32_768),
        lambda content: b"\0" * 5000,
    ],
)
def test_a_file_that_is_no_database_says_that_it_may_be_removed(spoil: Callable[[bytes], bytes], filled: Path) -> None:
    path = filled / "photos.sqlite"
    path.write_bytes(spoil(path.read_bytes()))

    with pytest.raises(ImagesetError, match=r"photos\.sqlite: .*; it may be removed"):
        find(filled)

    path.unlink()

    assert find(filled) is None


def test_other_tables_say_that_the_file_may_be_removed(filled: Path) -> None:
    execute(filled / "photos.sqlite", f"DROP TABLE {TABLE}")
    execute(filled / "photos.sqlite", f"CREATE TABLE {TABLE} (key BLOB PRIMARY KEY, content BLOB)")

    with pytest.raises(ImagesetError, match=r"photos\.sqlite: .*; it may be removed"):
        find(filled)


# Runs and commits


def test_what_is_added_is_committed_by_number_by_time_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.photos.cache.PHOTOS_BETWEEN_COMMITS", 3)
    monkeypatch.setattr("imageset.photos.cache.SECONDS_BETWEEN_COMMITS", 1e9)
    others = iter(range(100))
    seen = []

    def add_one(cache: PhotoCache) -> None:
        cache.put(cache.make_key(replace(OBJECT, bytes=next(others))), OBJECT.etag, *VALUES)
        seen.append(execute(tmp_path / "photos.sqlite", f"SELECT count(*) FROM {TABLE}")[0][0])

    with open_cache(tmp_path) as cache:
        for _ in range(4):
            add_one(cache)
        monkeypatch.setattr("imageset.photos.cache.SECONDS_BETWEEN_COMMITS", -1.0)
        add_one(cache)
        monkeypatch.setattr("imageset.photos.cache.SECONDS_BETWEEN_COMMITS", 1e9)
        add_one(cache)

    assert seen == [0, 0, 3, 3, 5, 5]
    assert execute(tmp_path / "photos.sqlite", f"SELECT count(*) FROM {TABLE}") == [(6,)]


def test_what_was_added_is_kept_when_a_run_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with open_cache(tmp_path) as cache:
            cache.put(cache.make_key(OBJECT), OBJECT.etag, *VALUES)
            raise ImagesetError("the bucket is gone")

    with pytest.raises(ImagesetError, match="the bucket is gone"):
        fail()

    assert find(tmp_path) == VALUES


def test_a_full_disk_is_named_as_the_cause(tmp_path: Path) -> None:
    def fill() -> None:
        with open_cache(tmp_path) as cache:
            (pages,) = cache.database.execute("PRAGMA page_count").fetchone()
            cache.database.execute(f"PRAGMA max_page_count = {pages}")
            cache.put(cache.make_key(OBJECT), OBJECT.etag, "", bytes(100_000), 0, 0.0)
            cache.commit()

    with pytest.raises((sqlite3.Error, ImagesetError), match="full"):
        fill()

    assert find(tmp_path) is None


def test_what_a_run_finds_counts_as_used_today(filled: Path) -> None:
    execute(filled / "photos.sqlite", f"UPDATE {TABLE} SET used = '2020-01-01'")
    find(filled)
    ((today,),) = execute(filled / "photos.sqlite", f"SELECT used FROM {TABLE}")

    assert today != "2020-01-01"
    with open_cache(filled) as cache:
        assert today == cache.today


# Takedowns

SECRET = bytes(range(255, -1, -1)) * 200  # several pages of the file
OTHER = replace(OBJECT, etag="0" * 32)


def forget(folder: Path, *etags: str) -> int:
    return cache_module.forget(folder / "photos.sqlite", TABLE, COLUMNS, etags)


def left(folder: Path) -> list[str]:
    """Return which files of a folder hold a part of SECRET."""
    return [path.name for path in sorted(folder.iterdir()) if SECRET[:256] in path.read_bytes()]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder with a cache that knows two objects, one of them SECRET, under two recipes."""
    for recipe in ("a recipe", "a recipe of the past"):
        with open_cache(tmp_path, recipe) as cache:
            cache.put(cache.make_key(OBJECT), OBJECT.etag, "", SECRET, 1, 0.0)
            cache.put(cache.make_key(OBJECT, "a mask"), OBJECT.etag, "masked", SECRET, 1, 0.0)
            cache.put(cache.make_key(OTHER), OTHER.etag, *VALUES)
    assert left(tmp_path) == ["photos.sqlite"]
    return tmp_path


def test_a_takedown_removes_all_rows_of_an_object_of_whatever_recipe(secret: Path) -> None:
    assert forget(secret, OBJECT.etag, "an etag that is not there") == 4
    assert find(secret) is None
    assert find(secret, OTHER) == find(secret, OTHER, recipe="a recipe of the past") == VALUES
    assert forget(secret, OBJECT.etag) == 0


def test_a_takedown_leaves_no_byte_in_the_files(secret: Path) -> None:
    forget(secret, OBJECT.etag)

    assert left(secret) == []


def test_a_takedown_removes_what_replaced_and_removed_rows_have_left(secret: Path) -> None:
    path = secret / "photos.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute(f"DELETE FROM {TABLE} WHERE etag = ?", (OBJECT.etag,))
    assert left(secret) == ["photos.sqlite"]

    assert forget(secret, OBJECT.etag) == 0
    assert left(secret) == []


def test_a_takedown_while_another_run_has_the_cache_open_leaves_no_byte_in_the_files(secret: Path) -> None:
    with open_cache(secret) as other:
        other.put(other.make_key(OBJECT), OBJECT.etag, "", SECRET, 2, 0.0)
        other.commit()
        assert left(secret) == ["photos.sqlite", "photos.sqlite-wal"]

        assert forget(secret, OBJECT.etag) == 4
        assert left(secret) == []
        assert other.look_up(other.make_key(OBJECT)) is None


def test_a_takedown_while_another_run_reads_says_to_run_again(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageset.runtime.sqlite_cache.SECONDS_FOR_ANOTHER_RUN", 0.1)
    with closing(sqlite3.connect(secret / "photos.sqlite")) as reader:
        rows = reader.execute(f"SELECT key FROM {TABLE}")
        rows.fetchone()
        with pytest.raises(ImagesetError, match=r"photos\.sqlite: another run reads it, .*: run again"):
            forget(secret, OBJECT.etag)
        rows.close()

    assert forget(secret, OBJECT.etag) == 0
    assert left(secret) == []


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
                    cache.put(
                        cache.make_key(replace(OBJECT, bytes=size)), OBJECT.etag, "", bytes([size]) * 5000, size, 0.0
                    )
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
        for size in range(3):
            found = find(tmp_path / str(number), replace(OBJECT, bytes=size))

            assert found == ("", bytes([size]) * 5000, size, 0.0)
