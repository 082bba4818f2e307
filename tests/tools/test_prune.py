"""tools/prune.py: what no run has used for a while goes, and its room is given back."""

import datetime
import runpy
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.photos.test_cache import OBJECT, add, execute, knows, made, open_cache

AGES = (0, 29, 30, 31)  # how many days ago each object that the cache knows was used last


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that IMAGESET_CACHE names."""
    monkeypatch.setenv("IMAGESET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def filled(folder: Path) -> Path:
    """A cache of an object for each of AGES and of a large one from long ago."""
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
    runpy.run_module("tools.prune", run_name="__main__")


def left(folder: Path) -> list[int]:
    """Return the ages of those objects of which pixels and mask are known."""
    known = {days: knows(folder, replace(OBJECT, bytes=days)) for days in AGES}
    assert set(known.values()) <= {(True, True), (False, False)}
    return [days for days in AGES if known[days] == (True, True)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((), [0, 29, 30]), (("--days", "29"), [0, 29]), (("--days", "31"), [0, 29, 30, 31]), (("--days", "0"), [0])],
)
def test_what_was_used_within_the_days_is_kept_and_the_rest_goes(
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
        f"prune: {removed} masks and {removed} photos' pixels removed, {path} shrank "
        f"from {before / 1e6:.1f} to {after / 1e6:.1f} MB\n"
    )
    assert left(filled) == expected


def test_what_is_used_again_is_kept(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knows(filled, replace(OBJECT, bytes=31))
    prune(monkeypatch)

    assert left(filled) == [0, 29, 30, 31]


def test_runs_go_on_while_the_cache_is_pruned(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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

    assert left(filled) == [0, 29, 30, 31]
    assert knows(filled, new) == (True, True)
    assert (filled / "photos.sqlite").stat().st_size < before


def test_where_there_is_no_cache_there_is_nothing_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prune(monkeypatch)

    assert capsys.readouterr().out == f"prune: there is no {folder / 'photos.sqlite'}\n"
    assert not folder.exists()


def test_a_file_that_is_no_cache_is_one_line(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (filled / "photos.sqlite").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(SystemExit) as caught:
        prune(monkeypatch)
    said = capsys.readouterr()

    assert (caught.value.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"prune: {filled / 'photos.sqlite'}: ")
    assert "it may be removed" in said.err


@pytest.mark.parametrize("days", ["-1", "many", "9999999", "1.5"])
def test_days_that_are_none_are_refused_before_anything_is_removed(
    days: str, filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        prune(monkeypatch, "--days", days)

    assert caught.value.code == 2
    assert "--days" in capsys.readouterr().err
    assert left(filled) == list(AGES)
