"""Stage inventory: which objects of the bucket are pinned."""

import hashlib
import secrets
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imageset.errors import DataError
from imageset.formats import tables
from imageset.storage.bucket import Bucket, StoredObject, get_object, list_objects, open_bucket
from stages import inventory
from tests.conftest import put, run_stage

ROWS = [("1.jpeg", 1, 0, "done", ""), ("1-2.jpeg", 1, 2, "done", ""), ("5.jpeg", 5, 0, "rejected", "not_found")]
# Each contains a photo's key, or differs from one in a character.
ODD_KEYS = [
    "a//1.jpeg",
    "1/1.jpeg",
    "1.jpeg.txt",
    "1.jpeg\n",
    " 1.jpeg",
    "1.jpeg ",
    "1+1.jpeg",
    "1%2F1.jpeg",
    "1%2d1.jpeg",
    "1\t.jpeg",
    "1.JPEG",
    "\uff11.jpeg",
    "é.jpeg",
    "e\u0301.jpeg",
    f"{2**63}.jpeg",
    "1-32768.jpeg",
]


def ingest_enabled(value: str) -> tuple[str, str]:
    """Return what to replace in params.yaml, and with what; stage embed can be enabled too."""
    return "  enabled: true\n  # Refuse", f"  enabled: {value}\n  # Refuse"


def run(project: Path, rows: list[tuple[str, int, int, str, str]]) -> pd.DataFrame:
    tables.write(project / "data/ingest.csv", tables.INGEST, tables.frame(tables.INGEST, rows))
    inventory.main(project / "data/ingest.csv", project / "corrections/takedowns.csv", project / "data/inventory.csv")
    return tables.read(project / "data/inventory.csv", tables.INVENTORY)


def test_every_photo_that_is_done_is_pinned_by_its_etag(bucket: Bucket, in_project: Path) -> None:
    put(bucket, "1.jpeg", b"one")
    put(bucket, "1-2.jpeg", b"one, the third photo")

    table = run(in_project, ROWS)

    assert table.to_dict("records") == [
        {
            "key": "1.jpeg",
            "product_id": 1,
            "position": 0,
            "etag": hashlib.md5(b"one").hexdigest(),
            "bytes": 3,
            "version_id": "",
        },
        {
            "key": "1-2.jpeg",
            "product_id": 1,
            "position": 2,
            "etag": hashlib.md5(b"one, the third photo").hexdigest(),
            "bytes": 20,
            "version_id": "",
        },
    ]


def test_objects_that_are_not_wanted_are_counted_and_ignored(
    bucket: Bucket, in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("1.jpeg", "1-2.jpeg", "5.jpeg", "7.jpeg", "notes.txt", "folder/1.jpeg", "01.jpeg", "1-0.jpeg"):
        put(bucket, key, key.encode())

    table = run(in_project, ROWS)

    assert table["key"].tolist() == ["1.jpeg", "1-2.jpeg"]
    assert "0 of products taken down and 6 other objects are ignored" in capsys.readouterr().out
    assert len(list(list_objects(bucket))) == 8


def test_where_another_system_fills_the_bucket_all_photos_are_taken(
    bucket: Bucket, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params(*ingest_enabled("false"))
    for key in ("10.jpeg", "9.jpeg", "9-1.jpeg", "notes.txt"):
        put(bucket, key, key.encode())

    table = run(in_project, [])

    assert table["key"].tolist() == ["9.jpeg", "9-1.jpeg", "10.jpeg"]


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_objects_of_products_that_were_taken_down_are_left_out(
    enabled: str,
    bucket: Bucket,
    in_project: Path,
    edit_params: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params(*ingest_enabled(enabled))
    for key in ("1.jpeg", "1-2.jpeg", "11.jpeg", "11-1.jpeg", "11-9.jpeg", "notes.txt"):
        put(bucket, key, key.encode())
    (in_project / "corrections/takedowns.csv").write_text("product_id,date\n11,2026-01-31\n999,2026-01-31\n")
    # Of a stage ingest of before the takedown.
    stale = [*ROWS, ("11.jpeg", 11, 0, "done", "")] if enabled == "true" else []

    assert run(in_project, stale)["key"].tolist() == ["1.jpeg", "1-2.jpeg"]
    assert "; 3 of products taken down and 1 other objects are ignored" in capsys.readouterr().out

    (in_project / "corrections/takedowns.csv").write_text("product_id,date\n1,2026-01-31\n11,2026-01-31\n")

    with pytest.raises(
        DataError, match=r"has 6 objects, such as 'notes\.txt'; 5 of them are of products in .*takedowns\.csv"
    ):
        run(in_project, stale)


def test_a_missing_object_fails_the_stage_with_what_to_do(bucket: Bucket, in_project: Path) -> None:
    put(bucket, "1.jpeg", b"one")

    with pytest.raises(DataError, match=r"1 photos .* such as 1-2\.jpeg: run `make refresh`"):
        run(in_project, ROWS)

    assert not (in_project / "data/inventory.csv").exists()


def test_a_prefix_without_a_photo_is_an_error(
    bucket: Bucket, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params(*ingest_enabled("false"))
    for key in ("c/4.png", "a.txt", "b 2.webp", "d.gif"):
        put(bucket, key, b"")

    with pytest.raises(
        DataError,
        match=rf"no object is named <product_id>\.jpeg: s3://{bucket.name}/{bucket.prefix} at http\S+ has 4 objects, "
        r"such as 'a\.txt', 'b 2\.webp', 'c/4\.png'; correct the prefix in IMAGE_STORE, or return these names as",
    ):
        run(in_project, [])


def test_an_empty_prefix_is_an_error(bucket: Bucket, in_project: Path, edit_params: Callable[[str, str], None]) -> None:
    edit_params(*ingest_enabled("false"))

    with pytest.raises(DataError, match="has 0 objects: correct the bucket and the prefix in IMAGE_STORE"):
        run(in_project, [])


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_photos_have_the_keys_that_the_listings_name(
    enabled: str, bucket: Bucket, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params(*ingest_enabled(enabled))
    for key in ("hats/a b.png", "1.jpeg", "3.jpeg", "hats/other.png"):
        put(bucket, key, key.encode())
    named = [
        ("1.jpeg", 2, 0, "done", ""),
        ("hats/a b.png", 1, 7, "done", ""),
        ("hats/a b.png", 3, 0, "done", ""),
        ("hats/none.png", 4, 0, "rejected", "missing_object"),
    ]

    table = run(in_project, named)

    assert table[["key", "product_id", "position"]].values.tolist() == [
        ["hats/a b.png", 1, 7],
        ["1.jpeg", 2, 0],
        ["hats/a b.png", 3, 0],
    ]
    assert table["etag"].tolist() == [hashlib.md5(key.encode()).hexdigest() for key in table["key"]]


def test_an_object_of_two_products_stays_when_one_is_taken_down(
    bucket: Bucket, in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(bucket, "1.jpeg", b"one")
    (in_project / "corrections/takedowns.csv").write_text("product_id,date\n1,2026-01-31\n")

    table = run(in_project, [("1.jpeg", 1, 0, "rejected", "taken_down"), ("1.jpeg", 2, 0, "done", "")])

    assert table["product_id"].tolist() == [2]
    assert "0 of products taken down and 0 other objects" in capsys.readouterr().out


def test_where_no_named_object_is_there_the_message_shows_what_is(bucket: Bucket, in_project: Path) -> None:
    put(bucket, "hats/a.png", b"one")

    with pytest.raises(
        DataError, match=r"no photo of the listings is in the bucket: .* has 1 objects, such as 'hats/a\.png'; data/ing"
    ):
        run(in_project, [("hat/a.png", 1, 0, "rejected", "missing_object")])


def test_the_same_bucket_gives_the_same_table(bucket: Bucket, in_project: Path) -> None:
    for key in ("1-2.jpeg", "1.jpeg"):
        put(bucket, key, b"photo")
    written = []
    for rows in (ROWS, ROWS[::-1]):
        run(in_project, rows)
        written.append((in_project / "data/inventory.csv").read_bytes())

    assert written[0] == written[1]


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_odd_keys_are_counted_and_ignored(
    enabled: str,
    bucket: Bucket,
    in_project: Path,
    edit_params: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params(*ingest_enabled(enabled))
    for key in ["1.jpeg", "1-2.jpeg", *ODD_KEYS]:
        put(bucket, key, key.encode())
    before = list(list_objects(bucket))
    table = run(in_project, ROWS)

    assert table["key"].tolist() == ["1.jpeg", "1-2.jpeg"]
    assert f"{len(ODD_KEYS)} other objects are ignored" in capsys.readouterr().out
    assert list(list_objects(bucket)) == before


def test_where_the_bucket_keeps_versions_the_latest_is_pinned(
    bucket: Bucket, in_project: Path, edit_params: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"versioned-{secrets.token_hex(4)}"
    bucket.client.create_bucket(Bucket=name)
    bucket.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    monkeypatch.setenv("IMAGE_STORE", f"s3://{name}/photos")
    edit_params(*ingest_enabled("false"))
    versioned = open_bucket()
    for key, body in (("1.jpeg", b"older"), ("1.jpeg", b"pinned"), ("2.jpeg", b"deleted"), ("3.jpeg", b"pinned")):
        put(versioned, key, body)
    versioned.client.delete_object(Bucket=name, Key="photos/2.jpeg")
    latest = {
        key: versioned.client.head_object(Bucket=name, Key=f"photos/{key}")["VersionId"] for key in ("1.jpeg", "3.jpeg")
    }
    table = run(in_project, [])
    put(versioned, "1.jpeg", b"newer")

    assert dict(zip(table["key"], table["version_id"], strict=True)) == latest
    assert [
        get_object(versioned, StoredObject(row.key, row.etag, row.bytes, row.version_id)) for row in table.itertuples()
    ] == [b"pinned", b"pinned"]


@pytest.mark.parametrize("count", range(8))
def test_the_rows_are_the_same_however_many_are_held_at_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [StoredObject(key, "etag", 2**40, "") for number in range(count) for key in (f"{number}.jpeg", "x.txt")]
    expected, others = inventory.choose_objects(objects, None)
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    table, same_others = inventory.choose_objects(objects, None)

    assert table["product_id"].tolist() == list(range(count))
    pd.testing.assert_frame_equal(table, expected)
    assert others == same_others == (0, count, ["x.txt"] * min(count, 3))


@pytest.mark.parametrize("key", ["thumbnails/{}.webp", "{}.jpeg"], ids=["foreign", "not wanted"])
def test_memory_does_not_grow_with_keys_that_are_not_wanted(key: str) -> None:
    wanted = tables.frame(tables.INGEST, [("1.jpeg", 1, 0, "done", "")])[["key", *tables.PHOTO_KEY]]

    def peak(count: int) -> int:
        objects = (StoredObject(key.format(number), f"{number:032x}", 1, "") for number in range(10, 10 + count))
        tracemalloc.start()
        try:
            assert inventory.choose_objects(objects, wanted)[1].others == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what pandas allocates once
    pointer = 8

    assert peak(30_000) - peak(300) < (30_000 - 300) * pointer


@pytest.mark.parametrize(
    ("variable", "value"),
    [("IMAGE_STORE", "s3://no-such-bucket/photos"), ("AWS_SECRET_ACCESS_KEY", "hidden-and-wrong")],
)
@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_cannot_be_listed_fails_the_stage_in_one_line(
    variable: str, value: str, in_project: Path
) -> None:
    tables.write(in_project / "ingest.csv", tables.INGEST, tables.frame(tables.INGEST, ROWS))
    ended = run_stage(
        "inventory",
        "ingest.csv",
        "corrections/takedowns.csv",
        "inventory.csv",
        cwd=in_project,
        environment={variable: value},
    )
    lines = [line for line in ended.stderr.splitlines() if line and "key/s" not in line]

    assert ended.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith("inventory: s3://")
    assert variable in lines[0]
    assert "hidden" not in ended.stdout + ended.stderr
    assert not (in_project / "inventory.csv").exists()
