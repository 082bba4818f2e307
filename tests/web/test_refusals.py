"""The cache of refusals: what is remembered, for how long, and what is forgotten."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.web.refusals import RULES, TEMPORARY, RefusalCache, compute_crc32

PARAMS = "10 bytes"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache/ingest.sqlite"


def insert(refusals: RefusalCache, *row: str) -> None:
    """Add a row as another version may have written it."""
    refusals.database.execute("INSERT INTO refusals VALUES (?, ?, ?, ?, ?)", (*row, compute_crc32(*row)))


def test_reasons_outlive_the_run_and_a_later_one_replaces_an_earlier(path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        refusals.remember("1.jpeg", "http://a/1", "gone")
        refusals.remember("1.jpeg", "http://a/1", "not_found")
        refusals.remember("1.jpeg", "http://b/1", "empty")
    with closing(RefusalCache(path, PARAMS)) as refusals:
        assert refusals.reasons() == {("1.jpeg", "http://a/1"): "not_found", ("1.jpeg", "http://b/1"): "empty"}


def test_a_reason_that_the_params_decided_is_valid_under_these_params_only(path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        refusals.remember("1.jpeg", "http://a/1", "too_large")
        refusals.remember("2.jpeg", "http://a/2", "gone")

        assert refusals.reasons() == {("1.jpeg", "http://a/1"): "too_large", ("2.jpeg", "http://a/2"): "gone"}
    with closing(RefusalCache(path, "20 bytes")) as refusals:
        assert refusals.reasons() == {("2.jpeg", "http://a/2"): "gone"}


def test_a_refusal_by_a_rule_that_has_changed_is_asked_for_once_more(path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        for number, reason in enumerate(RULES):  # as versions wrote them that had no numbers
            insert(refusals, f"{number}.jpeg", "http://a/", reason, "")
        refusals.remember("x.jpeg", "http://a/", "gone")
    with closing(RefusalCache(path, "other params")) as refusals:
        assert refusals.reasons() == {("x.jpeg", "http://a/"): "gone"}
        refusals.remember("0.jpeg", "http://a/", "encoded")
    with closing(RefusalCache(path, PARAMS)) as refusals:
        assert refusals.reasons() == {("0.jpeg", "http://a/"): "encoded", ("x.jpeg", "http://a/"): "gone"}


def test_what_an_earlier_version_refused_is_asked_for_once_more(path: Path) -> None:
    """Its rows have no checksum. Under undecodable it has photos that this version takes."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE refused (key TEXT, url TEXT, reason TEXT, limits TEXT, PRIMARY KEY (key, url))")
        database.execute("INSERT INTO refused VALUES ('1.jpeg', 'http://a/1', 'gone', '')")
        database.execute("INSERT INTO refused VALUES ('2.jpeg', 'http://a/2', 'undecodable', '')")
    with closing(RefusalCache(path, PARAMS)) as refusals:
        assert refusals.reasons() == {}
        refusals.remember("1.jpeg", "http://a/1", "not_found")
    with closing(RefusalCache(path, PARAMS)) as refusals:
        assert refusals.reasons() == {("1.jpeg", "http://a/1"): "not_found"}


# Damage


@pytest.mark.parametrize("column", ["key", "url", "reason", "limits", "crc32"])
def test_rows_that_were_exchanged_are_unknown(column: str, path: Path) -> None:
    rows = [("1.jpeg", "http://a/1", "gone"), ("2.jpeg", "http://a/2", "too_large")]
    with closing(RefusalCache(path, PARAMS)) as refusals:
        for row in rows:
            refusals.remember(*row)
        (one,), (other,) = refusals.database.execute(f"SELECT {column} FROM refusals ORDER BY rowid").fetchall()
        for value, rowid in (("", 1), (one, 2), (other, 1)):
            refusals.database.execute(f"UPDATE refusals SET {column} = ? WHERE rowid = ?", (value, rowid))

        assert refusals.reasons() == {}


@pytest.mark.parametrize("value", ["robots_tag", "lost", "server_error", "", None, 7, b"gone", "gon\udcff"])
def test_a_reason_that_was_edited_is_unknown(value: object, path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        refusals.remember("1.jpeg", "http://a/1", "gone")
        refusals.remember("2.jpeg", "http://a/2", "gone")
        as_text = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
        edited = value.encode(errors="surrogateescape") if isinstance(value, str) else value
        refusals.database.execute(f"UPDATE refusals SET reason = {as_text} WHERE key = '1.jpeg'", (edited,))

        assert refusals.reasons() == {("2.jpeg", "http://a/2"): "gone"}


@pytest.mark.parametrize("reason", ["lost", "server_error"])
def test_a_reason_that_no_refusal_has_is_unknown_whatever_its_checksum(reason: str, path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        insert(refusals, "1.jpeg", "http://a/1", reason, "")

        assert refusals.reasons() == {}


def test_temporary_reasons_are_not_remembered(path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        for reason in TEMPORARY:
            refusals.remember("1.jpeg", "http://a/1", reason)

        assert refusals.reasons() == {}


def test_reasons_are_forgotten_on_request(path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as refusals:
        for number, reason in enumerate(["gone", "empty", "gone", "refused"]):
            refusals.remember(f"{number}.jpeg", f"http://a/{number}", reason)
        refusals.forget(("gone", "refused"))
        refusals.forget(())

        assert refusals.reasons() == {("1.jpeg", "http://a/1"): "empty"}


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_file_that_is_no_cache_is_named_with_what_to_do(content: bytes, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    if not content:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE refusals (other TEXT)")

    with pytest.raises(ImagesetError, match=r"ingest\.sqlite: .*; it may be removed"):
        RefusalCache(path, PARAMS)


def test_two_runs_may_write_at_once(path: Path) -> None:
    with closing(RefusalCache(path, PARAMS)) as one, closing(RefusalCache(path, PARAMS)) as other:
        for number in range(20):
            (one if number % 2 else other).remember(f"{number}.jpeg", "http://a/", "gone")

        assert len(one.reasons()) == len(other.reasons()) == 20


def test_what_is_known_of_a_photo_is_removed_without_a_trace_whatever_params_decided(path: Path) -> None:
    for params in (PARAMS, "20 bytes"):
        with closing(RefusalCache(path, params)) as refusals:
            refusals.remember("1.jpeg", f"http://a/secret-{params}", "too_large")
            refusals.remember("1-2.jpeg", "http://a/secret-2", "gone")
            refusals.remember("11.jpeg", "http://a/11", "gone")
    with closing(RefusalCache(path, PARAMS)) as refusals:
        assert refusals.remembered_keys() == {"1.jpeg", "1-2.jpeg", "11.jpeg"}
        assert refusals.forget_photos(["1.jpeg", "1-2.jpeg", "5.jpeg"]) == 3
        assert refusals.reasons() == {("11.jpeg", "http://a/11"): "gone"}
    assert not any(b"secret" in file.read_bytes() for file in path.parent.iterdir())
