"""tools.prune removes what no run has used for some time, and the file shrinks."""

import datetime
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from imageset.runtime import command
from tests.photos.test_cache import OBJECT, add, execute, knows, made, open_cache
from tests.storage.test_object_cache import execute as execute_on_index
from tests.storage.test_object_cache import find, keep, photo
from tools import prune as tool

AGES = (0, 29, 30, 31)  # days since the last use of each object in the cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that IMAGESET_CACHE names."""
    monkeypatch.setenv("IMAGESET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def filled(folder: Path) -> Path:
    """A cache with an object for each of AGES, and a large object of long ago."""
    for days in (*AGES, 2000):
        add(folder, replace(OBJECT, bytes=days), made(256) if days == 2000 else made())
        used = datetime.date.today() - datetime.timedelta(days)
        for table in ("masks", "pixels"):
            execute(
                folder, f"UPDATE {table} SET used = ? WHERE rowid = (SELECT max(rowid) FROM {table})", used.isoformat()
            )
    return folder


def prune(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run the command as from a shell."""
    monkeypatch.setattr(sys, "argv", ["prune", *arguments])
    command.run("prune", tool.main)


def kept_ages(folder: Path) -> list[int]:
    """Return the ages of the objects whose pixels and mask are in the cache."""
    known = {days: knows(folder, replace(OBJECT, bytes=days)) for days in AGES}
    assert set(known.values()) <= {(True, True), (False, False)}
    return [days for days in AGES if known[days] == (True, True)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((), [0, 29, 30]), (("--days", "29"), [0, 29]), (("--days", "31"), [0, 29, 30, 31]), (("--days", "0"), [0])],
)
def test_what_was_used_within_the_days_is_kept_and_the_rest_removed(
    arguments: tuple[str, ...],
    expected: list[int],
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = filled / "photos.sqlite"
    before = path.stat().st_size
    prune(monkeypatch, *arguments)
    after, removed = path.stat().st_size, 5 - len(expected)

    assert after < before
    assert capsys.readouterr().out == (
        f"prune: removed {removed} masks and the pixels of {removed} photos; {path} shrank "
        f"from {before / 1e6:.1f} to {after / 1e6:.1f} MB\n"
    )
    assert kept_ages(filled) == expected


def test_what_is_used_again_is_kept(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knows(filled, replace(OBJECT, bytes=31))
    prune(monkeypatch)

    assert kept_ages(filled) == [0, 29, 30, 31]


def test_other_runs_continue_while_the_cache_is_pruned(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (replace(OBJECT, bytes=size) for size in (31, 7))
    before = (filled / "photos.sqlite").stat().st_size
    with open_cache(filled) as cache, closing(sqlite3.connect(filled / "photos.sqlite")) as reader:
        rows = reader.execute("SELECT key FROM pixels")
        rows.fetchone()
        cache.add(new, made())
        prune(monkeypatch)

        assert len(rows.fetchall()) == len(AGES)
        assert cache.find(old) is None

        cache.add(old, made())

    assert kept_ages(filled) == [0, 29, 30, 31]
    assert knows(filled, new) == (True, True)
    assert (filled / "photos.sqlite").stat().st_size < before


def test_photos_of_the_bucket_that_no_run_has_used_are_removed_as_well(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = filled / "objects"
    keep(objects, photo(1), photo(2))
    execute_on_index(objects, "UPDATE packs SET used = used - 40 * 86400")
    keep(objects, photo(3))
    prune(monkeypatch)

    assert capsys.readouterr().out.splitlines()[1:] == [
        f"prune: removed 2 photos of the bucket, 0.0 MB, from {objects}"
    ]
    assert find(objects, photo(1), photo(2), photo(3)) == [False, False, True]
    assert len(list(objects.glob("*.pack"))) == 1


def test_without_a_cache_there_is_nothing_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prune(monkeypatch)

    assert capsys.readouterr().out == f"prune: nothing to remove, {folder / 'photos.sqlite'} does not exist\n"
    assert not folder.exists()


def test_a_file_that_is_no_cache_is_refused_in_one_line(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (filled / "photos.sqlite").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(SystemExit) as caught:
        prune(monkeypatch)
    printed = capsys.readouterr()

    assert (caught.value.code, printed.out, printed.err.count("\n")) == (1, "", 1)
    assert printed.err.startswith(f"prune: {filled / 'photos.sqlite'}: ")
    assert "it may be removed" in printed.err


@pytest.mark.parametrize("days", ["-1", "many", "9999999", "1.5"])
def test_a_wrong_number_of_days_is_refused_before_anything_is_removed(
    days: str, filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        prune(monkeypatch, "--days", days)

    assert caught.value.code == 2
    assert f"--days: {days!r} is not a number of days from 0 to 9999" in capsys.readouterr().err
    assert kept_ages(filled) == list(AGES)
