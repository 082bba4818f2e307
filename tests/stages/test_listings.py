"""Stage listings: which rows of the query are photos, and which photos params choose."""

import itertools
import math
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from imageset.curation import listing_rows
from imageset.errors import DataError
from imageset.formats import attributes, source_ids, stable_hash, tables
from stages import listings
from tests.conftest import execute

URL = "https://photos.example/1.jpg"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, 0, URL), "no_id"),
        (("", 0, URL), "no_id"),
        ((" \t", 0, URL), "no_id"),
        ((float("nan"), 0, URL), "no_id"),
        (("\ufeff", 0, URL), "no_id"),
        ((123.5, 0, URL), "bad_id"),
        ((Decimal("123.5"), 0, URL), "bad_id"),
        (("1\n2", 0, URL), "bad_id"),
        (("\u202e12", 0, URL), "bad_id"),
        (("x" * 256, 0, URL), "bad_id"),
        ((b"12", 0, URL), "bad_id"),
        ((True, 0, URL), "bad_id"),
        ((1, None, URL), "bad_position"),
        ((1, -1, URL), "bad_position"),
        ((1, "1.0", URL), "bad_position"),
        ((1, 1.5, URL), "bad_position"),
        ((1, "007", URL), "bad_position"),
        ((1, "", URL), "bad_position"),
        ((1, True, URL), "bad_position"),
        ((1, "front", URL), "bad_position"),
        ((1, 2**15, URL), "bad_position"),
        ((1, 0, None), "no_url"),
        ((1, 0, " \n "), "no_url"),
        ((1, 0, "https://photos.example/1.jpg\r\nHost: internal"), "bad_url"),
        ((1, 0, "https://photos.example/\x00.jpg"), "bad_url"),
    ],
)
def test_a_row_that_names_no_photo_is_rejected(row: tuple[Any, ...], reason: str) -> None:
    assert listing_rows.reject_reason(row[0], row[1], row[2], None) == reason


@pytest.mark.parametrize(
    "product_id",
    [0, 2**63 - 1, 2**63, -1, "42", Decimal("42"), 42.0, "007", "ab-1", "../../etc/passwd", uuid.UUID(int=7)],
)
def test_any_text_and_any_whole_number_is_an_id(product_id: Any) -> None:
    assert listing_rows.reject_reason(product_id, 0, URL, None) is None


def clean(rows: Iterable[listing_rows.Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean rows without a key."""
    return listing_rows.clean_rows([(*row, None) for row in rows])


@pytest.mark.parametrize("position", [3, "3", 3.0, Decimal("3"), " 3"])
def test_a_position_is_any_whole_number(position: Any) -> None:
    good, _ = clean([(1, position, URL)])

    assert good["position"].tolist() == [3]


INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


@pytest.mark.parametrize("text", [f" {URL}\r\n", f"{INVISIBLE}{URL}{INVISIBLE}", f"\u00a0{INVISIBLE} {URL}\t"])
def test_a_url_loses_the_blanks_around_it_also_those_that_nobody_sees(text: str) -> None:
    good, _ = clean([(1, 0, text)])

    assert good["image_url"].tolist() == [URL]


@pytest.mark.parametrize(
    "url", [f"{URL}?name=red hat", "https://photos.example/caf\u00e9/\u200b.jpg", "s3://a/b c", "x"]
)
def test_what_can_be_percent_encoded_is_a_url_as_it_is(url: str) -> None:
    good, _ = clean([(1, 0, url)])

    assert good["image_url"].tolist() == [url]


@pytest.mark.parametrize(
    ("image_url", "key", "expected"),
    [
        (None, "hats/a b.png", ("", "hats/a b.png")),
        ("", f" {INVISIBLE}caf\u00e9.jpg\n", ("", "caf\u00e9.jpg")),
        (INVISIBLE, "5.jpeg", ("", "5.jpeg")),
        (math.nan, "a" * 1024, ("", "a" * 1024)),
        (None, "/a//b/", ("", "/a//b/")),
        (URL, None, (URL, "")),
        (URL, " ", (URL, "")),
        (URL, INVISIBLE, (URL, "")),
        (None, None, "no_url"),
        ("", " ", "no_url"),
        (INVISIBLE, INVISIBLE, "no_url"),
        (URL, "a.png", "url_and_key"),
        (None, "a" * 1025, "bad_key"),
        (None, "\u00e9" * 513, "bad_key"),
        (None, "a\nb", "bad_key"),
        (None, "a\0b", "bad_key"),
        (None, "a\x7fb", "bad_key"),
        (None, "..", "bad_key"),
        (None, "a/../b", "bad_key"),
        (None, "./a", "bad_key"),
        (memoryview(URL.encode()), None, "bad_url"),
        (URL.encode(), None, "bad_url"),
        (None, b"a.png", "bad_key"),
    ],
)
def test_a_photo_has_a_url_or_a_key(image_url: Any, key: Any, expected: tuple[str, str] | str) -> None:
    good, bad = listing_rows.clean_rows([(1, 0, image_url, key)])

    assert len(good) + len(bad) == 1
    assert (
        bad["reason"].tolist() == [expected]
        if isinstance(expected, str)
        else good[["image_url", "key"]].values.tolist() == [list(expected)]
    )
    assert listing_rows.reject_reason(1, 0, image_url, key) == (expected if isinstance(expected, str) else None)


def test_rejects_have_the_key_as_the_query_returned_it() -> None:
    _, bad = listing_rows.clean_rows([(1, 0, None, " ../a "), (1, 1, "a", "b")])

    assert bad[["image_url", "key", "reason"]].values.tolist() == [["", " ../a ", "bad_key"], ["a", "b", "url_and_key"]]


def test_rejects_have_bytes_the_same_in_every_run() -> None:
    rows = [(memoryview(b"\xe9\n"), 0, URL, None), (1, 0, memoryview(b"a"), None), (2, 0, None, bytearray(b"b"))]
    _, bad = listing_rows.clean_rows(rows)

    assert bad[["product_id", "image_url", "key", "reason"]].values.tolist() == [
        ["b'\\xe9\\n'", URL, "", "bad_id"],
        ["1", "b'a'", "", "bad_url"],
        ["2", "", "b'b'", "bad_key"],
    ]


def test_of_repeated_photos_with_keys_the_same_one_is_kept_in_any_order() -> None:
    rows = [(1, 0, None, "b"), (1, 0, None, "a"), (1, 0, URL, None), (2, 0, None, "a")]

    for order in itertools.permutations(rows):
        good, bad = listing_rows.clean_rows(order)

        assert sorted(good[["product_id", "image_url", "key"]].values.tolist()) == [[1, "", "a"], [2, "", "a"]]
        assert bad["reason"].tolist() == ["repeated", "repeated"]


def test_of_repeated_rows_the_same_one_is_kept_in_any_order() -> None:
    rows = [(1, 0, "http://a/2"), ("1", "0", "http://a/1"), (1, 0, "http://a/3"), (2, 0, "http://a/1")]

    for order in itertools.permutations(rows):
        good, bad = clean(order)

        photos = good[["product_id", "position", "image_url"]].itertuples(index=False, name=None)
        assert sorted(photos) == [(1, 0, "http://a/1"), (2, 0, "http://a/1")]
        assert bad["reason"].tolist() == ["repeated", "repeated"]


def test_of_repeated_rows_with_other_columns_the_same_one_is_kept_in_any_order(database: str, in_project: Path) -> None:
    """As a JOIN gives them, whose order no database promises."""
    found = []
    for order in (("zeta", "acme"), ("acme", "zeta")):
        rows = " UNION ALL ".join(
            f"SELECT 7 AS product_id, 0 AS position, 'http://h' AS image_url, '{brand}' AS brand" for brand in order
        )
        found.append(ask(in_project, "[brand]", "brand", rows))

    assert found[0] == found[1]
    assert "7,0,acme" in found[0]["attributes"]


def test_the_time_zone_of_the_session_changes_no_byte(
    database: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = "timestamptz '2026-01-31 12:00:00+00' AS listed, CAST(timestamp '2026-01-31' AS timestamptz) AS day"
    query = f"SELECT 7 AS product_id, 0 AS position, 'http://h' AS image_url, {moments}"
    monkeypatch.setenv("PGTZ", "Pacific/Auckland")

    assert ask(in_project, "[listed]", "null", query)["attributes"].splitlines()[1] == (
        "7,0,2026-01-31T12:00:00+00:00,2026-01-31T00:00:00+00:00"
    )


def test_every_row_is_either_a_photo_or_a_reject() -> None:
    rows = [(1, 0, URL), (1, 0, URL), (None, 0, URL), (2, 0, None), (3, 1, URL), (None, None, None)]

    good, bad = clean(rows)

    assert len(good) + len(bad) == len(rows)
    assert sorted(bad["reason"]) == ["no_id", "no_id", "no_url", "repeated"]


def photos(count: int, positions: int = 1) -> pd.DataFrame:
    rows = [(product_id, position, URL) for product_id in range(count) for position in range(positions)]
    return clean(rows)[0]


def choose(listed: pd.DataFrame, photos_per_listing: int, limit: int) -> pd.DataFrame:
    return listed[listings.choose_photos(listed, photos_per_listing, limit) == ""]


def test_raising_the_limit_keeps_the_listings_already_in() -> None:
    samples = [set(choose(photos(200), 1, limit)["product_id"]) for limit in (10, 11, 50, 1000)]

    assert [len(sample) for sample in samples] == [10, 11, 50, 200]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(samples))


def test_the_sample_does_not_follow_the_ids() -> None:
    sample = choose(photos(200), 1, 10)["product_id"].tolist()

    assert sample != list(range(10))
    assert sorted(sample) == sorted(sorted(range(200), key=stable_hash.rank)[:10])


def test_the_limit_counts_listings_and_not_photos() -> None:
    listed = photos(10, positions=3)
    sample = choose(listed, 2, 4)

    assert len(sample) == 8
    assert set(sample["position"]) == {0, 1}
    assert listings.choose_photos(listed, 2, 4).value_counts().to_dict() == {
        "": 8,
        "beyond_position": 10,
        "beyond_limit": 12,
    }


@pytest.mark.parametrize("positions", [(0, 1, 2), (1, 2, 3), (10, 20, 30), (7, 8, 32767)])
@pytest.mark.parametrize("photos_per_listing", [1, 2, 3])
def test_positions_may_begin_anywhere_and_have_gaps(positions: tuple[int, ...], photos_per_listing: int) -> None:
    listed, _ = clean([(product_id, position, URL) for position in reversed(positions) for product_id in ("ab-1", 7)])
    chosen = choose(listed, photos_per_listing, 9)

    assert {*zip(source_ids.texts(chosen["product_id"]), chosen["position"], strict=True)} == {
        (product_id, position) for product_id in ("ab-1", "7") for position in positions[:photos_per_listing]
    }


def test_a_photo_without_a_url_keeps_its_rank() -> None:
    listed, _ = clean([(1, 1, None), (1, 2, URL), (1, 3, URL), (2, 0, URL)])

    assert choose(listed, 2, 9)[["product_id", "position"]].to_numpy().tolist() == [[1, 2], [2, 0]]


def test_the_rejects_have_the_ids_of_the_source() -> None:
    listed, _ = clean([("ab-1", 1, URL), ("ab-1", 2, URL)])
    reasons = listings.choose_photos(listed, 1, None)
    rejects = listing_rows.reject(listed[reasons != ""], reasons[reasons != ""])

    assert rejects.to_dict("records") == [
        {"product_id": "ab-1", "position": "2", "image_url": URL, "key": "", "reason": "beyond_position"}
    ]


@pytest.mark.parametrize("other", [7, "ab-2"])
def test_two_ids_that_become_one_number_are_an_error(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_ids, "_texts", {})
    monkeypatch.setattr(source_ids, "hash_text", lambda spelt: 7)

    with pytest.raises(DataError, match=f"'ab-1' and {other!r} have the same number"):
        clean([("ab-1", 1, URL), (other, 2, URL)])


@pytest.mark.parametrize("ids", [("ab-1", 7), (7, "ab-1")])
def test_two_ids_that_become_one_number_are_an_error_also_rows_apart(
    ids: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_ids, "_texts", {})
    monkeypatch.setattr(source_ids, "hash_text", lambda spelt: 7)
    parts = [listing_rows.judge_rows([(product_id, 1, URL, None)], place) for place, product_id in enumerate(ids)]
    judged = listing_rows.Judged(*map(pd.concat, zip(*parts, strict=True)))

    with pytest.raises(DataError, match="'ab-1' and 7 have the same number"):
        listing_rows.name_photos(judged, pd.DataFrame(index=judged.named.index))


def run(project: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = ("listings", "listings_rejects", "attributes", "listing_groups")
    outputs = [project / f"data/{name}.csv" for name in names]
    listings.main(project / "queries/listings.sql", *outputs)
    return tables.read(outputs[0], tables.LISTINGS), tables.read(outputs[1], tables.LISTING_REJECTS)


def test_ids_of_several_kinds_reach_the_tables_as_the_source_spells_them(in_project: Path, database: str) -> None:
    (in_project / "queries/listings.sql").write_text(
        "SELECT '6f9619ff-8b86-d011-b42d-00c04fc964ff' AS product_id, 1 AS position, 'http://h/1.jpg' AS image_url "
        "UNION ALL VALUES ('7', 1, 'http://h/2.jpg'), ('007', 2, 'http://h/3.jpg'), ('007', 1, ''), ('007', 3, 'x')"
    )
    good, bad = run(in_project)

    assert set((in_project / "data/listings.csv").read_text().splitlines()[1:]) >= {
        "7,1,http://h/2.jpg,",
        "6f9619ff-8b86-d011-b42d-00c04fc964ff,1,http://h/1.jpg,",
    }
    assert len(good) == 2
    assert bad[["product_id", "position", "reason"]].to_numpy().tolist() == [
        ["007", "1", "no_url"],
        ["007", "2", "beyond_position"],
        ["007", "3", "beyond_position"],
    ]


def test_the_photos_of_the_database_reach_the_table(database: str, in_project: Path) -> None:
    execute(
        database,
        "INSERT INTO products_catalog VALUES (7, 'a', 'http://h/7.jpg', now()), (5, 'b', NULL, now()), "
        "(NULL, 'c', 'http://h/c.jpg', now()), (9, 'd', 'http://h/9.jpg', NULL)",
    )
    execute(database, "INSERT INTO products_photos VALUES (7, 1, 'http://h/7-1.jpg')")

    good, bad = run(in_project)

    assert good.to_dict("list") == {
        "product_id": [7, 9],
        "position": [0, 0],
        "image_url": ["http://h/7.jpg", "http://h/9.jpg"],
        "key": ["", ""],
    }
    assert sorted(bad[["product_id", "reason"]].itertuples(index=False, name=None)) == [
        ("", "no_id"),
        ("5", "no_url"),
        ("7", "beyond_position"),
    ]


def test_photos_per_listing_says_how_many_photos_are_taken(
    database: str, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("photos_per_listing: 1", "photos_per_listing: 2")
    execute(database, "INSERT INTO products_catalog VALUES (7, 'a', 'http://h/7.jpg', now())")
    execute(database, "INSERT INTO products_photos VALUES (7, 1, 'http://h/7-1.jpg'), (7, 2, 'http://h/7-2.jpg')")

    good, _ = run(in_project)

    assert good["position"].tolist() == [0, 1]


def test_listings_after_as_of_are_left_out(
    database: str, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("as_of: null", 'as_of: "2026-01-31T00:00:00Z"')
    execute(
        database,
        "INSERT INTO products_catalog VALUES (1, 'a', 'http://h/1', '2026-01-30 23:59:59+00'), "
        "(2, 'b', 'http://h/2', '2026-01-31 00:00:00+00'), "
        "(3, 'c', 'http://h/3', '2026-01-31 00:00:01+00'), "
        "(4, 'd', 'http://h/4', '2026-01-31 00:30:00+01')",
    )

    good, _ = run(in_project)

    assert good["product_id"].tolist() == [1, 2, 4]


@pytest.mark.parametrize("url", ["http://h/1\r2", "http://h/1\n2", 'http://h/"1,2"\r', "http://h/\u202e1\t,"])
def test_a_hostile_url_is_unchanged_in_the_table(url: str, database: str, in_project: Path) -> None:
    literal = url.replace("\r", "\\r").replace("\n", "\\n")
    execute(database, f"INSERT INTO products_catalog VALUES (1, 'a', E'{literal} .', now()), (2, '', 'u', now())")

    _, bad = run(in_project)

    assert bad["image_url"].tolist() == [f"{url} ."]


def test_hostile_ids_of_a_text_column_are_rejected(database: str, in_project: Path) -> None:
    (in_project / "queries/listings.sql").write_text(
        "SELECT product_id, 0 AS position, 'http://h/1' AS image_url FROM (VALUES ('1'), (E'0\\t2'), ('\u202e3'), "
        "(''), (repeat('9', 256)), (NULL)) AS listed (product_id)"
    )

    good, bad = run(in_project)

    assert good["product_id"].tolist() == [1]
    assert sorted(bad["reason"]) == ["bad_id"] * 3 + ["no_id"] * 2


def test_rows_are_judged_a_part_at_a_time_with_the_same_tables(
    database: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tables_of(rows_at_once: int) -> list[bytes]:
        monkeypatch.setattr(tables, "ROWS_AT_ONCE", rows_at_once)
        ask(in_project, "[brand]", "seller")
        names = ("listings", "listings_rejects", "attributes", "listing_groups")
        return [(in_project / f"data/{name}.csv").read_bytes() for name in names]

    assert tables_of(1) == tables_of(2) == tables_of(10_000)


def test_a_query_without_rows_is_an_error_and_writes_nothing(database: str, in_project: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        run(in_project)

    assert not (in_project / "data/listings.csv").exists()


def test_a_query_with_other_columns_is_refused_with_their_names(database: str, in_project: Path) -> None:
    (in_project / "queries/listings.sql").write_text("SELECT 1 AS id, 'http://h/1' AS image_url")

    with pytest.raises(
        DataError, match=r"id, image_url; expected product_id, position and then image_url or key, or both"
    ):
        run(in_project)


def test_the_query_cannot_change_the_database(database: str, in_project: Path) -> None:
    execute(database, "CREATE SEQUENCE drawn")
    (in_project / "queries/listings.sql").write_text(
        "SELECT nextval('drawn') AS product_id, 0 AS position, 'http://h/1' AS image_url"
    )

    with pytest.raises(DataError, match=r"listings\.sql: cannot execute nextval\(\) in a read-only transaction"):
        run(in_project)


FURTHER = (
    "SELECT product_id, position, image_url, brand, price, seller FROM (VALUES "
    "(7, 0, 'http://h/7', E'Ac\\tme, \"Inc\"', 12.50, 'anna'), (7, 1, 'http://h/7-1', NULL, 12.50, ' anna '), "
    "(9, 0, 'http://h/9', 'Zeß', 1e3, ''), (8, 0, 'http://h/8', '007', NULL, 'ben'), (5, 0, NULL, 'x', 1, 'ben')"
    ") AS listed (product_id, position, image_url, brand, price, seller)"
)


def ask(project: Path, columns: str, group_by: str, query: str = FURTHER) -> dict[str, str]:
    """Run the stage with a query of further columns; return the tables that it writes beside the listings."""
    (project / "queries/listings.sql").write_text(query)
    path = project / "params.yaml"
    text = path.read_text().replace("  columns: []", f"  columns: {columns}")
    path.write_text(
        text.replace("  group_by: null", f"  group_by: {group_by}").replace("per_listing: 1", "per_listing: 2")
    )
    run(project)
    return {name: (project / f"data/{name}.csv").read_text() for name in ("listings", "attributes", "listing_groups")}


KEYS = """
SELECT * FROM (VALUES
    (7, 1, 'red', 'hats/a.png', NULL), (7, 2, 'blue', NULL, 'http://h/7-2'), (8, 1, 'grey', 'x', 'http://h/8')
) AS photo (product_id, position, color, key, image_url)
"""


def test_a_query_may_return_keys_in_place_of_urls_or_beside_them(database: str, in_project: Path) -> None:
    found = ask(in_project, "[color]", "null", KEYS)

    assert found["listings"].splitlines() == [
        "product_id,position,image_url,key",
        "7,1,,hats/a.png",
        "7,2,http://h/7-2,",
    ]
    assert found["attributes"].splitlines() == ["product_id,position,color", "7,1,red", "7,2,blue"]
    assert (in_project / "data/listings_rejects.csv").read_text().splitlines() == [
        "product_id,position,image_url,key,reason",
        "8,1,http://h/8,x,url_and_key",
    ]

    (in_project / "params.yaml").write_text((in_project / "params.yaml").read_text().replace("[color]", "[]"))
    found = ask(in_project, "[]", "null", "SELECT 7 AS product_id, 0 AS position, 'hats/a.png' AS key")

    assert found["listings"].splitlines()[1:] == ["7,0,,hats/a.png"]


def test_a_column_that_is_there_twice_is_an_error(database: str, in_project: Path) -> None:
    sql = "SELECT 1 AS product_id, 0 AS position, 'https://a/1.jpg' AS image_url, 'https://a/2.jpg' AS image_url"
    with pytest.raises(DataError, match="returns two columns image_url: leave one out, or give it another name"):
        ask(in_project, "[]", "null", sql)


@pytest.mark.parametrize(
    "columns", ["product_id, position", "product_id, image_url, position", "position, product_id, key"]
)
def test_a_query_without_a_place_of_the_photo_is_an_error(columns: str, database: str, in_project: Path) -> None:
    sql = f"SELECT {', '.join(f'1 AS {name}' for name in columns.split(', '))}"
    with pytest.raises(
        DataError, match=f"returns columns {columns}; expected product_id, position and then image_url or key"
    ):
        ask(in_project, "[]", "null", sql)


def test_further_columns_of_the_query_are_text_beside_the_listings(database: str, in_project: Path) -> None:
    found = ask(in_project, "[brand]", "seller")

    assert found["listings"].splitlines() == [
        "product_id,position,image_url,key",
        "7,0,http://h/7,",
        "7,1,http://h/7-1,",
        "8,0,http://h/8,",
        "9,0,http://h/9,",
    ]
    assert found["attributes"].splitlines() == [
        "product_id,position,brand,price,seller",
        '7,0,"Ac me, ""Inc""",12.50,anna',
        "7,1,,12.50,anna",
        "8,0,007,,ben",
        "9,0,Zeß,1000,",
    ]
    assert found["listing_groups"].splitlines() == ["product_id,value", "7,anna", "8,ben"]


def test_without_further_columns_both_tables_have_a_header_alone(database: str, in_project: Path) -> None:
    found = ask(in_project, "[]", "null", "SELECT 1 AS product_id, 0 AS position, 'http://h/1' AS image_url")

    assert found["attributes"] == "product_id,position\n"
    assert found["listing_groups"] == "product_id,value\n"


@pytest.mark.parametrize(
    ("columns", "group_by", "message"),
    [
        (
            "[brand, colour]",
            "null",
            r"source\.columns names colour, but .*listings\.sql returns brand, price, seller: add",
        ),
        ("[]", "shop", r"source\.group_by names shop, but .*listings\.sql returns brand, price, seller: add"),
        ("[position]", "null", r"source\.columns names position, but"),
    ],
)
def test_a_column_that_the_query_does_not_return_is_refused_before_a_row_is_read(
    database: str, in_project: Path, columns: str, group_by: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ask(in_project, columns, group_by)

    assert not (in_project / "data/attributes.csv").exists()


def test_a_text_too_long_for_the_dataset_is_refused_and_may_be_in_the_table(database: str, in_project: Path) -> None:
    query = "SELECT 7 AS product_id, 0 AS position, 'http://h/7' AS image_url, repeat('ß', 501) AS story"

    assert "ßß" in ask(in_project, "[]", "null", query)["attributes"]
    with pytest.raises(DataError, match=r"story of product 7 has 1,002 bytes.* `left\(story, 200\) AS story`"):
        ask(in_project, "[story]", "null", query)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("'x' AS \"der Preis\"", r"returns a column 'der Preis': give it a name of letters, digits and _"),
        ("'x' AS brand, 'y' AS brand", "returns two columns brand"),
        ("'x' AS brand, 'y' AS \"Brand\"", "returns two columns Brand"),
        ("'x' AS label", "source.columns names label, which exports call a column of their own"),
        ("'x' AS \"Label\"", "source.columns names Label, which exports call a column of their own"),
    ],
)
def test_further_columns_have_plain_names_of_their_own(
    database: str, in_project: Path, columns: str, message: str
) -> None:
    query = f"SELECT 1 AS product_id, 0 AS position, 'http://h/1' AS image_url, {columns}"

    with pytest.raises(DataError, match=message):
        ask(in_project, f"[{'Label' if 'Label' in columns else 'label'}]" if "abel" in columns else "[]", "null", query)


def test_a_column_of_the_catalog_is_refused() -> None:
    with pytest.raises(DataError, match=r"source\.columns names row, which .* such as `AS source_row`"):
        attributes.require_wanted(Path("queries/listings.sql"), ["row"], ["row"], None)


def test_when_all_rows_are_rejected_the_stage_fails_with_three_of_them_and_keeps_its_tables(
    in_project: Path, database: str
) -> None:
    rows = ", ".join(f"({number}, 'front', 'https://me:secret@h/{number}.jpg?key=secret')" for number in range(1, 5))
    (in_project / "queries/listings.sql").write_text(
        f"SELECT * FROM (VALUES {rows}, (5, '0', NULL)) AS listed (product_id, position, image_url)"
    )
    with pytest.raises(DataError) as caught:
        run(in_project)

    message = str(caught.value).replace(f"{in_project}/", "")

    assert message == (
        "all 5 rows of queries/listings.sql are rejected (4 bad_position, 1 no_url), such as "
        "product_id '1', position 'front', image_url 'https://h/1.jpg'; "
        "product_id '2', position 'front', image_url 'https://h/2.jpg'; "
        "product_id '3', position 'front', image_url 'https://h/3.jpg' (bad_position): return whole numbers from 0 to "
        "32767, such as ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY uploaded_at, image); "
        "data/listings_rejects.csv lists them"
    )
    assert len(tables.read(in_project / "data/listings_rejects.csv", tables.LISTING_REJECTS)) == 5
