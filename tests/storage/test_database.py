"""The database: one snapshot, read only, and errors that name the server but no secret."""

import datetime
import re
from pathlib import Path

import pytest

from imageset.errors import DataError, ImagesetError, ServerError, SettingsError
from imageset.storage import database
from tests.conftest import execute, run_stage

COLUMNS = ["product_id", "title"]
QUERY = "SELECT product_id, title FROM products_catalog ORDER BY product_id"
DATED = f"""-- The listings up to a moment.
{QUERY.replace("ORDER", "WHERE :as_of IS NULL OR date <= CAST(:as_of AS timestamptz) ORDER")}"""
JANUARY, MARCH = "2026-01-15T00:00:00+00:00", "2026-03-15T00:00:00+00:00"


@pytest.fixture
def shop(database: str) -> str:
    """The URL of a database with two listings."""
    execute(
        database,
        f"INSERT INTO products_catalog VALUES (1, 'shirt: red', 'u', '{JANUARY}'), "
        f"(9223372036854775807, 'été 👗', 'u', '{MARCH}')",
    )
    return database


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SECONDS_BETWEEN_ATTEMPTS", 0.0)


def ask(folder: Path, text: str, as_of: str | None = None, columns: list[str] = COLUMNS) -> list[tuple[object, ...]]:
    """Return the rows of a query in a snapshot of its own."""
    query = folder / "query.sql"
    query.write_text(text, encoding="utf-8")
    with database.snapshot() as connection:
        return database.fetch_rows(connection, query, columns, as_of)


@pytest.mark.usefixtures("shop")
def test_rows_are_those_of_the_query(tmp_path: Path) -> None:
    assert ask(tmp_path, QUERY) == [(1, "shirt: red"), (2**63 - 1, "été 👗")]


@pytest.mark.parametrize(
    ("as_of", "product_ids"),
    [
        (None, [1, 2**63 - 1]),
        ("2026-02-01T00:00:00Z", [1]),
        (JANUARY, [1]),
        ("2026-01-14T23:59:59Z", []),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_query_sees_rows_up_to_as_of(as_of: str | None, product_ids: list[int], tmp_path: Path) -> None:
    assert [row[0] for row in ask(tmp_path, DATED, as_of)] == product_ids


@pytest.mark.usefixtures("shop")
def test_as_of_is_utc_in_a_database_of_another_time_zone(tmp_path: Path) -> None:
    zoned = "SELECT CAST(:as_of AS timestamptz) AS moment FROM set_config('TimeZone', 'Asia/Kathmandu', true)"
    ((moment,),) = ask(tmp_path, zoned, "2026-01-01T00:00:00Z", ["moment"])

    assert moment == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_queries_of_a_snapshot_see_one_state(shop: str, tmp_path: Path) -> None:
    query = tmp_path / "query.sql"
    query.write_text(QUERY)
    with database.snapshot() as connection:
        before = database.fetch_rows(connection, query, COLUMNS, None)
        execute(shop, "DELETE FROM products_catalog WHERE product_id = 1")
        execute(shop, "INSERT INTO products_catalog VALUES (2, 'new', 'u', now())")
        during = database.fetch_rows(connection, query, COLUMNS, None)
    after = ask(tmp_path, QUERY)

    assert during == before
    assert [row[0] for row in after] == [2, 2**63 - 1]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO products_catalog VALUES (3, 'x', 'u', now())",
        "DELETE FROM products_catalog",
        "DROP TABLE products_catalog",
        "WITH gone AS (DELETE FROM products_catalog RETURNING product_id, title) SELECT * FROM gone",
        "COMMIT",
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_query_cannot_change_anything(statement: str, tmp_path: Path) -> None:
    with pytest.raises(ImagesetError):
        ask(tmp_path, statement)

    assert len(ask(tmp_path, QUERY)) == 2


@pytest.mark.parametrize(
    "query",
    [
        "SELECT product_id FROM products_catalog",
        "SELECT title, product_id FROM products_catalog",
        "SELECT product_id, title, date FROM products_catalog",
        "SELECT product_id, title AS name FROM products_catalog",
    ],
)
@pytest.mark.usefixtures("shop")
def test_other_columns_are_refused_with_the_expected_ones(query: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"query\.sql returns columns .*; expected product_id, title$"):
        ask(tmp_path, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing FROM products_catalog",
        "SELECT product_id, title FROM nowhere",
        "SELEKT 1",
        "",
        "SELECT :other AS product_id, 1 AS title",
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_query_that_fails_is_one_line(query: str, tmp_path: Path) -> None:
    with pytest.raises(ImagesetError) as caught:
        ask(tmp_path, query)

    assert "\n" not in str(caught.value)


HINT = ": a column may be a reserved word: put it in double quotes"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT product_id,\n nothing\nFROM products_catalog", 'line 2: column "nothing" does not exist'),
        ("SELECT product_id, title\nFROM\nnowhere", 'line 3: relation "nowhere" does not exist'),
        ("SELECT product_id title FORM products_catalog", 'line 1: syntax error at or near "FORM"'),
        ("SELECT 1/0 AS product_id, 2 AS title", "division by zero"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_the_database_refuses_names_the_file_and_the_line(query: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        ask(tmp_path, query)

    found = str(caught.value)
    assert re.match(rf"{tmp_path}/query\.sql(, |: ){re.escape(message)}", found)
    assert re.search(rf" \(PostgreSQL at 127\.0\.0\.1:\d+, database test\w+\)({HINT})?$", found)
    assert (HINT in found) == ("syntax error" in message)
    assert "\n" not in found


@pytest.mark.usefixtures("shop")
def test_percent_signs_and_colons_are_sql_as_they_are(tmp_path: Path) -> None:
    literals = """'[{"alt":true}]'::jsonb ->> 0, '12:30', (ARRAY[1,2,3,4])[:3], '%:as_of', E'it\\'s', $$:as_of;$$"""
    query = f"SELECT {literals} WHERE 'a%b' LIKE '%\\%%' -- a:b; c"
    columns = ["?column?", "?column?", "array", "?column?", "?column?", "?column?"]
    expected = [('{"alt": true}', "12:30", [1, 2, 3], "%:as_of", "it's", ":as_of;")]

    assert ask(tmp_path, query, None, columns) == expected
    assert ask(tmp_path, query.replace("--", "AND :as_of IS NULL --"), None, columns) == expected


@pytest.mark.usefixtures("shop")
def test_two_statements_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"query\.sql has several statements: write one SELECT"):
        ask(tmp_path, f"{QUERY};\n{QUERY}")


@pytest.mark.usefixtures("shop")
def test_a_semicolon_and_a_comment_at_the_end_do_no_harm(tmp_path: Path) -> None:
    assert len(ask(tmp_path, f"{QUERY};\n-- the end;\n")) == 2


@pytest.mark.usefixtures("shop")
def test_a_query_that_ignores_as_of_is_refused_with_what_to_write(tmp_path: Path) -> None:
    query = "SELECT product_id, title FROM products_catalog "
    with pytest.raises(DataError, match=r"query\.sql does not use :as_of, but source\.as_of is 2026-02-01T") as caught:
        ask(tmp_path, query, "2026-02-01T00:00:00Z")
    advice = str(caught.value).partition("such as by ")[2].partition(", or set")[0]

    assert ask(tmp_path, query + advice, "2026-02-01T00:00:00Z") == [(1, "shirt: red")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("DATE '12000-01-31'", "12000-01-31"),
        ("DATE '0044-03-15 BC'", "0044-03-15 BC"),
        ("TIMESTAMP '12000-01-31'", "12000-01-31 00:00:00"),
        ("TIMESTAMPTZ '0044-03-15 00:00:00+00 BC'", "0044-03-15 00:00:00+00 BC"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_date_that_cannot_be_read_names_its_row_and_column(value: str, text: str, tmp_path: Path) -> None:
    query = f"""SELECT i AS product_id, CASE WHEN i = 25000 THEN {value} END AS title
        FROM generate_series(1, 30000) AS numbers (i), set_config('TimeZone', 'UTC', true)"""
    with pytest.raises(DataError) as caught:
        ask(tmp_path, query)

    assert f"query.sql: column title of product_id 25000 is {text}, which cannot be read: " in str(caught.value)
    assert "Leave the row out in the query, or return NULL" in str(caught.value)


def test_a_connection_that_breaks_is_an_error_with_the_server(shop: str, tmp_path: Path) -> None:
    query = tmp_path / "query.sql"
    query.write_text(QUERY)
    end_others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def read_twice() -> None:
        with database.snapshot() as connection:
            database.fetch_rows(connection, query, COLUMNS, None)
            execute(shop, end_others)
            database.fetch_rows(connection, query, COLUMNS, None)

    with pytest.raises(ServerError, match=r"^PostgreSQL at 127\.0\.0\.1:\d+, database test\w+: .*terminat"):
        read_twice()


@pytest.mark.usefixtures("impatient")
def test_a_missing_database_is_named(shop: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{shop.rpartition('/')[0]}/elsewhere")

    with pytest.raises(ServerError, match=r'database elsewhere: .*database "elsewhere" does not exist'):
        ask(tmp_path, QUERY)


def test_a_server_that_is_down_is_one_line_with_host_and_port_and_no_password(in_project: Path) -> None:
    ended = run_stage(
        "listings",
        "queries/listings.sql",
        "listings.csv",
        "rejects.csv",
        "attributes.csv",
        "listing_groups.csv",
        cwd=in_project,
        environment={"DATABASE_URL": "postgresql://someone:hidden@127.0.0.1:1/shop"},
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("listings: PostgreSQL at 127.0.0.1:1, database shop: ")
    assert ended.stderr.endswith(": correct DATABASE_URL in .env, or start the database\n")
    assert ended.stderr.count("\n") == 1
    assert "hidden" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hidden@host:port/shop",
        "postgresql://someone:hid/den@host:hidden/shop",
        "postgresql://someone:hid@den@127.0.0.1:1/shop",
        "postgresql://someone:x@127.0.0.1/hid@den:1/shop",
        "postgresql://some/one:hidden@127.0.0.1:1/shop",
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_malformed_url_is_refused_without_quoting_it(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError) as caught:
        ask(tmp_path, QUERY)

    assert str(caught.value).startswith("DATABASE_URL")
    assert "hid" not in str(caught.value)
    assert "den" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        "sslmode=hidden",
        "sslmode=require&sslpassword=hidden&sslkey=/hidden/key",
        "sslrootcert=/hidden/cert&sslmode=verify-full",
        "options=-c%20hidden",
        "options=-c%20search_path=hidden%20-c%20hidden_too=hidden",
        "options=-c%20datestyle=hidden",
        "target_session_attrs=hidden",
        "channel_binding=hidden",
        "client_encoding=hidden",
        "gssencmode=hidden",
        "connect_timeout=hidden",
        "keepalives_idle=hidden",
        "tcp_user_timeout=hidden",
        "ssl_min_protocol_version=hidden",
        "load_balance_hosts=hidden",
        "require_auth=hidden",
    ],
)
@pytest.mark.usefixtures("impatient")
def test_no_parameter_of_the_url_is_in_a_message(
    parameters: str, shop: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{shop}?{parameters}")
    with pytest.raises(ImagesetError) as caught:
        ask(tmp_path, "SELECT product_id, title FROM nowhere")

    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)
