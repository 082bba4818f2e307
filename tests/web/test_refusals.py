"""What is remembered of refusals."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.web.refusals import RefusalCache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache/ingest.sqlite"


def test_reasons_outlive_the_run_and_a_later_one_counts(path: Path) -> None:
    with closing(RefusalCache(path)) as journal:
        journal.add("1.jpeg", "http://a/1", "gone")
        journal.add("1.jpeg", "http://a/1", "not_found")
        journal.add("1.jpeg", "http://b/1", "empty")
    with closing(RefusalCache(path)) as journal:
        assert journal.reasons("") == {("1.jpeg", "http://a/1"): "not_found", ("1.jpeg", "http://b/1"): "empty"}


def test_what_the_limits_decided_counts_under_these_alone(path: Path) -> None:
    with closing(RefusalCache(path)) as journal:
        journal.add("1.jpeg", "http://a/1", "too_large", "10 bytes")
        journal.add("2.jpeg", "http://a/2", "gone")

        assert journal.reasons("10 bytes") == {("1.jpeg", "http://a/1"): "too_large", ("2.jpeg", "http://a/2"): "gone"}
        assert journal.reasons("20 bytes") == {("2.jpeg", "http://a/2"): "gone"}


def test_reasons_are_forgotten_when_told(path: Path) -> None:
    with closing(RefusalCache(path)) as journal:
        for number, reason in enumerate(["gone", "empty", "gone", "refused"]):
            journal.add(f"{number}.jpeg", f"http://a/{number}", reason)
        journal.forget(("gone", "refused"))
        journal.forget(())

        assert journal.reasons("") == {("1.jpeg", "http://a/1"): "empty"}


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_file_that_is_no_journal_is_named_with_what_to_do(content: bytes, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    if not content:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE refused (other TEXT)")

    with pytest.raises(ImagesetError, match=r"ingest\.sqlite: .*; it may be removed"):
        RefusalCache(path)


def test_two_runs_may_write_at_once(path: Path) -> None:
    with closing(RefusalCache(path)) as one, closing(RefusalCache(path)) as other:
        for number in range(20):
            (one if number % 2 else other).add(f"{number}.jpeg", "http://a/", "gone")

        assert len(one.reasons("")) == len(other.reasons("")) == 20
