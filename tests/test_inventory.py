import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imageset import store, tables
from imageset.errors import DataError
from imageset.store import Store
from stages import inventory

ROWS = [("1.jpeg", 1, 0, "done", ""), ("1-2.jpeg", 1, 2, "done", ""), ("5.jpeg", 5, 0, "rejected", "not_found")]


def run(project: Path, rows: list[tuple[str, int, int, str, str]]) -> pd.DataFrame:
    tables.write(project / "data/ingest.csv", tables.INGEST, tables.frame(tables.INGEST, rows))
    inventory.main(project / "data/ingest.csv", project / "data/inventory.csv")
    return tables.read(project / "data/inventory.csv", tables.INVENTORY)


def test_every_photo_that_is_done_is_pinned_by_its_etag(bucket: Store, in_project: Path) -> None:
    store.put_new(bucket, "1.jpeg", b"one")
    store.put_new(bucket, "1-2.jpeg", b"one, the third photo")

    table = run(in_project, ROWS)

    assert table.to_dict("records") == [
        {"key": "1.jpeg", "product_id": 1, "position": 0, "etag": hashlib.md5(b"one").hexdigest(), "bytes": 3,
         "version_id": ""},
        {"key": "1-2.jpeg", "product_id": 1, "position": 2, "etag": hashlib.md5(b"one, the third photo").hexdigest(),
         "bytes": 20, "version_id": ""},
    ]


def test_objects_that_are_not_asked_for_are_counted_and_left_alone(bucket: Store, in_project: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("1.jpeg", "1-2.jpeg", "5.jpeg", "7.jpeg", "notes.txt", "folder/1.jpeg", "01.jpeg", "1-0.jpeg"):
        store.put_new(bucket, key, key.encode())

    table = run(in_project, ROWS)

    assert table["key"].tolist() == ["1.jpeg", "1-2.jpeg"]
    assert "6 other objects left alone" in capsys.readouterr().out
    assert len(list(store.list_objects(bucket))) == 8


def test_where_another_system_fills_the_bucket_the_whole_prefix_is_taken(
        bucket: Store, in_project: Path, edit_params: Callable[[str, str], None]) -> None:
    edit_params("enabled: true", "enabled: false")
    for key in ("10.jpeg", "9.jpeg", "9-1.jpeg", "notes.txt"):
        store.put_new(bucket, key, key.encode())

    table = run(in_project, [])

    assert table["key"].tolist() == ["9.jpeg", "9-1.jpeg", "10.jpeg"]


def test_an_object_that_is_lost_fails_the_stage_with_what_to_do(bucket: Store, in_project: Path) -> None:
    store.put_new(bucket, "1.jpeg", b"one")

    with pytest.raises(DataError, match=r"1 photos .* such as 1-2\.jpeg: run `make refresh`"):
        run(in_project, ROWS)

    assert not (in_project / "data/inventory.csv").exists()


def test_a_prefix_without_a_photo_is_an_error(bucket: Store, in_project: Path,
                                              edit_params: Callable[[str, str], None]) -> None:
    edit_params("enabled: true", "enabled: false")
    store.put_new(bucket, "notes.txt", b"")

    with pytest.raises(DataError, match=r"holds no photo named <product_id>\.jpeg"):
        run(in_project, [])


def test_the_same_bucket_gives_the_same_table(bucket: Store, in_project: Path) -> None:
    for key in ("1-2.jpeg", "1.jpeg"):
        store.put_new(bucket, key, b"photo")
    written = []
    for rows in (ROWS, ROWS[::-1]):
        run(in_project, rows)
        written.append((in_project / "data/inventory.csv").read_bytes())

    assert written[0] == written[1]
