"""SQLite and DuckDB, and what a driver that is not installed is: the same promises as PostgreSQL's, for real."""

import contextlib
import datetime
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from sqlalchemy.exc import DBAPIError

from imageset.errors import DataError, ImagesetError, ServerError, SettingsError
from imageset.storage import database, engines

COLUMNS = ["product_id", "title"]
ROWS = [(1, "shirt: 50 %"), (2**63 - 1, "été 👗")]
KINDS = ["sqlite", "duckdb", "parquet", "csv"]
SOURCE = {"sqlite": "listings", "duckdb": "listings", "parquet": "'in/listings.parquet'", "csv": "'in/*.csv'"}
URLS = {"sqlite": "sqlite:///shop.db", "duckdb": "duckdb:///shop.duckdb", "parquet": "duckdb://", "csv": "duckdb://"}
NAMES = {"sqlite": "SQLite shop.db", "duckdb": "DuckDB shop.duckdb", "parquet": "DuckDB in memory"}
UP_TO = {"sqlite": "unixepoch(date) <= unixepoch(:as_of)"}
TABLE = "(product_id BIGINT, title TEXT, date TEXT)"


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one shop as a file of SQLite, one of DuckDB, one of Parquet and two of CSV."""
    rows = [(*row, date) for row, date in zip(ROWS, ["2026-01-15", "2026-03-15T12:00:00Z"], strict=True)]
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute(f"CREATE TABLE listings {TABLE}")
        shop.executemany("INSERT INTO listings VALUES (?, ?, ?)", rows)
        shop.commit()
    (tmp_path / "in").mkdir()
    with duckdb.connect(tmp_path / "shop.duckdb") as ducks:
        ducks.execute("CREATE TABLE listings (product_id BIGINT, title TEXT, date TIMESTAMPTZ)")
        ducks.executemany("INSERT INTO listings VALUES (?, ?, ?)", rows)
        ducks.execute(f"COPY listings TO '{tmp_path}/in/listings.parquet'")
        for number in (0, 1):
            query = f"SELECT * FROM listings ORDER BY date LIMIT 1 OFFSET {number}"
            ducks.execute(f"COPY ({query}) TO '{tmp_path}/in/{number}.csv'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database, "SECONDS_BETWEEN_ATTEMPTS", 0.0)
    return tmp_path


def ask(kind: str, text: str, as_of: str | None = None, columns: list[str] = COLUMNS) -> list[tuple[object, ...]]:
    """Return the rows of a query in a snapshot of its own."""
    Path("query.sql").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", URLS.get(kind, kind))
        with database.snapshot() as connection:
            return database.fetch_rows(connection, Path("query.sql"), columns, as_of)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "query.sql"}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_query(kind: str) -> None:
    assert sorted(ask(kind, f"SELECT product_id, title FROM {SOURCE[kind]};")) == ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_percent_signs_and_colons_are_sql_as_they_are(kind: str) -> None:
    plain = f"SELECT product_id, title FROM {SOURCE[kind]} WHERE title LIKE '%: %' AND title <> ':as_of' -- a:b"

    assert ask(kind, plain) == ROWS[:1]
    assert ask(kind, plain.replace("--", "AND :as_of IS NULL --")) == ROWS[:1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("as_of", "count"),
    [
        (None, 2),
        ("2026-03-15T12:00:00Z", 2),
        ("2026-03-15T11:59:59Z", 1),
        ("2026-01-15T00:00:00.5Z", 1),
        ("2026-01-14T23:59:59Z", 0),
    ],
)
def test_a_query_sees_rows_up_to_as_of(kind: str, as_of: str | None, count: int) -> None:
    up_to = UP_TO.get(kind, "date <= :as_of")
    where = f"WHERE CAST(:as_of AS {'text' if kind == 'sqlite' else 'timestamptz'}) IS NULL OR {up_to}"

    assert len(ask(kind, f"SELECT product_id, title FROM {SOURCE[kind]} {where}", as_of)) == count


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_that_ignores_as_of_is_refused_with_what_to_write(kind: str) -> None:
    query = f"SELECT product_id, title FROM {SOURCE[kind]} -- :as_of"
    with pytest.raises(
        DataError, match=r"^query\.sql does not use :as_of, but source\.as_of is 2026-02-01T00:00:00Z: .*"
    ):
        ask(kind, query, "2026-02-01T00:00:00Z")

    assert len(ask(kind, query)) == 2


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "csv"])
def test_what_the_message_about_as_of_says_to_write_works(kind: str) -> None:
    query = f"SELECT product_id, title FROM {SOURCE[kind]} "
    with pytest.raises(DataError) as caught:
        ask(kind, query, "2026-02-01T00:00:00Z")
    advice = str(caught.value).partition("such as by ")[2].partition(";")[0]

    assert ask(kind, query + advice, "2026-02-01T00:00:00Z") == ROWS[:1]


def test_a_cast_that_sqlite_misunderstands_is_refused() -> None:
    with pytest.raises(DataError, match=r"SQLite has none, .* write unixepoch\(date\) <= unixepoch\(:as_of\)$"):
        ask("sqlite", "SELECT product_id, title FROM listings WHERE CAST(:as_of AS timestamptz) IS NULL")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "parquet"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO listings VALUES (3, 'x', NULL)",
        "WITH new AS (SELECT 3) INSERT INTO listings SELECT 3, 'x', NULL FROM new",
        "WITH gone AS (DELETE FROM listings RETURNING product_id, title) SELECT * FROM gone",
        "SELECT 1; DROP TABLE listings",
        "COPY listings TO 'stolen.csv'",
        "COPY (SELECT 1) TO 'in/listings.parquet'",
        "ATTACH 'new.db' AS new",
        "CREATE TABLE new AS SELECT 1 AS product_id, 2 AS title",
        "PRAGMA query_only = OFF",
        "VACUUM INTO 'new.db'",
        "COMMIT",
    ],
)
def test_a_query_cannot_change_anything(kind: str, statement: str, shop: Path) -> None:
    before = contents(shop)
    with pytest.raises(DataError, match=r"^query\.sql"):
        ask(kind, statement)

    assert contents(shop) == before


HINT = ": a column may be a reserved word: put it in double quotes"


@pytest.mark.parametrize(
    ("kind", "query", "message"),
    [
        ("sqlite", "SELECT product_id, title\nFROM nowhere", r"line 2: no such table: nowhere"),
        ("sqlite", "SELECT product_id,\n absent\nFROM listings", r"line 2: no such column: absent"),
        ("sqlite", "SELECT product_id title FORM listings", r'line 1: near "FORM": syntax error'),
        (
            "duckdb",
            "SELECT product_id, title\nFROM nowhere",
            r"line 2: Catalog Error: Table with name nowhere does not",
        ),
        (
            "duckdb",
            "SELECT product_id,\n nothing\nFROM listings",
            r"line 2: Binder Error: Referenced column \"nothing\"",
        ),
        ("parquet", "SELECT 1\n\nFORM x y", r"line 3: Parser Error: syntax error at or near"),
    ],
)
def test_what_the_database_refuses_names_the_file_and_the_line(kind: str, query: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"^query\.sql, {message}") as caught:
        ask(kind, query)

    assert str(caught.value).removesuffix(HINT).endswith(f" ({NAMES[kind]})")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "query", "at_a_word"),
    [
        ("duckdb", "SELECT product_id, lateral AS title FROM listings", True),
        ("sqlite", "SELECT product_id, group AS title FROM listings", True),
        ("duckdb", "SELECT product_id, title) FROM listings", False),
        ("sqlite", "SELECT product_id, title) FROM listings", False),
    ],
)
def test_a_syntax_error_at_a_word_may_be_a_reserved_one(kind: str, query: str, at_a_word: bool) -> None:
    with pytest.raises(DataError) as caught:
        ask(kind, query)

    assert str(caught.value).endswith(f" ({NAMES[kind]}){HINT if at_a_word else ''}")


def test_files_of_a_query_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match=r'^query\.sql: IO Error: No files found that match the pattern "out/\*\.csv"'):
        ask("csv", "SELECT * FROM 'out/*.csv'")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_paths_count_from_the_root_in_a_temporary_copy_of_the_project(
    kind: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shop / ".dvc/tmp/exps/copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)

    assert sorted(ask(kind, f"SELECT product_id, title FROM {SOURCE[kind]}")) == ROWS
    assert sorted(ask("parquet", f"SELECT product_id, title FROM {SOURCE['parquet']}")) == ROWS


def test_what_a_query_of_duckdb_needs_beside_the_memory_is_not_in_the_project(shop: Path) -> None:
    ((folder, _),) = ask("duckdb", "SELECT current_setting('temp_directory') AS product_id, NULL AS title")

    assert not Path(str(folder)).resolve().is_relative_to(shop)


def test_nobody_can_guess_the_folder_that_duckdb_makes_in_a_shared_one() -> None:
    query = "SELECT current_setting('temp_directory') AS product_id, NULL AS title"
    first = ask("duckdb", query)
    engines.temporary_folder.cache_clear()  # as in another process

    assert ask("duckdb", query) != first


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_user_and_parameters_of_a_file_change_nothing(kind: str) -> None:
    name = URLS[kind].rpartition("/")[2]

    assert sorted(ask(f"{kind}://me:hidden@/{name}?timeout=x", f"SELECT product_id, title FROM {SOURCE[kind]}")) == ROWS


def test_two_snapshots_of_a_file_of_duckdb_may_be_open_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URLS["duckdb"])
    with database.snapshot() as first, database.snapshot() as second:
        assert first.exec_driver_sql("SELECT 1").all() == second.exec_driver_sql("SELECT 1").all()


def test_dates_of_csv_files_are_read_as_the_documents_say() -> None:
    Path("dates.csv").write_text("id,date\n007,01/02/2026\n")
    documented = "read_csv('dates.csv', dateformat = '%m/%d/%Y', types = {'id': 'VARCHAR'})"

    assert ask("csv", "SELECT date AS product_id, 0 AS title FROM 'dates.csv'") == [(datetime.date(2026, 2, 1), 0)]
    assert ask("csv", f"SELECT id AS product_id, date AS title FROM {documented}") == [
        ("007", datetime.date(2026, 1, 2))
    ]


def test_a_variable_of_python_is_no_table_of_duckdb() -> None:
    with pytest.raises(DataError, match="Table with name COLUMNS does not exist"):
        ask("parquet", "SELECT * FROM COLUMNS")


@pytest.mark.parametrize(
    "url", ["sqlite:///none.db", "sqlite:////none/none.db", "duckdb:///none.duckdb", "sqlite:///in"]
)
def test_a_file_that_is_not_there_is_an_error_and_stays_away(url: str, shop: Path) -> None:
    before = contents(shop)
    with pytest.raises(SettingsError, match=r"^DATABASE_URL names the file .*, which is not there"):
        ask(url, "SELECT 1 AS product_id, 2 AS title")

    assert contents(shop) == before


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_file_that_is_no_database_is_named(kind: str) -> None:
    Path("junk").write_bytes(b"junk" * 5000)
    with pytest.raises(ServerError, match=r"^(SQLite|DuckDB) junk: .*not a (valid DuckDB )?database"):
        ask(f"{kind}:///junk", "SELECT 1 AS product_id, 2 AS title")


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_queries_of_a_snapshot_of_sqlite_see_one_state(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a write-ahead log, a writer goes on; without one, it waits until the snapshot ends."""
    monkeypatch.setenv("DATABASE_URL", URLS["sqlite"])
    Path("query.sql").write_text("SELECT product_id, title FROM listings")
    with contextlib.closing(sqlite3.connect("shop.db", timeout=20, check_same_thread=False)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")

        def write() -> None:
            other.execute("DELETE FROM listings")
            other.commit()

        with database.snapshot() as connection:
            writer = threading.Thread(target=write)
            writer.start()
            writer.join(0.5)
            goes_on = not writer.is_alive()
            seen = [database.fetch_rows(connection, Path("query.sql"), COLUMNS, None) for _ in range(2)]
        writer.join()

    assert goes_on == (mode == "wal")
    assert seen == [ROWS, ROWS]
    assert ask("sqlite", "SELECT product_id, title FROM listings") == []


def test_queries_of_duckdb_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "duckdb://")
    Path("query.sql").write_text("SELECT txid_current() AS product_id, now() AS title")
    with database.snapshot() as connection:
        seen = [database.fetch_rows(connection, Path("query.sql"), COLUMNS, None) for _ in range(2)]

    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("kind", "query", "message"),
    [
        ("parquet", "SELECT 7 AS product_id, DATE '12000-01-31' AS title", "product_id 7 is 12000-01-31, which"),
        (
            "duckdb",
            "SELECT 7 AS product_id, '0044-03-15 (BC)'::timestamptz AS title",
            r"product_id 7 is 0044-03-15 \(BC\)",
        ),
        (
            "duckdb",
            "SELECT i AS product_id, CASE i WHEN 25000 THEN DATE '12000-01-31' END AS title FROM range(30000) r (i)",
            "product_id 25000 is 12000-01-31, which",
        ),
        ("sqlite", "SELECT 7 AS product_id, CAST(x'6fff' AS text) AS title", r"product_id 7 is b'o\\xff', which"),
    ],
)
def test_a_value_that_cannot_be_read_names_its_row_and_column(kind: str, query: str, message: str) -> None:
    with pytest.raises(
        DataError, match=rf"^query\.sql: column title of {message}.* cannot be read: .*eave the row out"
    ):
        ask(kind, query)


def test_the_zone_of_the_machine_does_not_move_what_duckdb_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    ((day, moment),) = ask("parquet", "SELECT DATE '2026-01-01' AS product_id, TIMESTAMPTZ '2026-01-01' AS title")

    assert day == datetime.date(2026, 1, 1)
    assert moment == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql+pymysql://user:hidden@host/shop", "mysql+pymysql needs the driver pymysql: pip install pymysql"),
        ("mysql://user:hidden@host/shop", "mysql+mysqldb needs the driver MySQLdb: pip install mysqlclient"),
        ("oracle+oracledb://user:hidden@host/shop", "oracle+oracledb needs the driver oracledb: pip install oracledb"),
        ("snowflake://user:hidden@host/shop", "SQLAlchemy does not know snowflake: .*pip install snowflake-sqlalchemy"),
        ("marvel://user:hidden@host/shop", "SQLAlchemy does not know marvel: check its spelling"),
        ("postgresql+asyncpg://user:hidden@host/shop", "the driver asyncpg is asynchronous: name another, or none"),
        ("sqlite://hidden.db", "write three slashes before the file, such as sqlite:///shop.db"),
        ("duckdb://hidden.db", "write three slashes before the file, such as duckdb:///shop.db"),
        ("sqlite://", "DATABASE_URL names no file: write sqlite:///shop.db"),
        ("postgresql://me:hidden@/shop?host=a:1&host=b:hidden", "postgresql does not take the parameters after its ?"),
    ],
)
def test_a_url_that_cannot_work_says_what_to_do(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL") as caught:
        ask(url, "SELECT 1 AS product_id, 2 AS title")

    assert message.split(".*")[0] in str(caught.value)
    assert message.split(".*")[-1] in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql+psycopg2://me:secret@host/shop", "PostgreSQL at host:5432, database shop"),
        ("mysql+pymysql://me:secret@host:3307/shop?ssl_key=secret", "MySQL at host:3307, database shop"),
        ("exotic://me:secret@host", "exotic at host"),
        ("sqlite:////data/shop.db", "SQLite /data/shop.db"),
        ("duckdb://", "DuckDB in memory"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, named: str) -> None:
    assert engines.describe(engines.parse_url(url)) == named


def test_a_password_in_the_message_of_a_driver_is_hidden() -> None:
    url = engines.parse_url("mysql+pymysql://me:s3cret@host/shop?ssl_key=k3y&charset=utf8")
    error = DBAPIError("", None, Exception("no\n s3cret for k3y in utf8"))

    assert engines.describe_error(url, error) == "no *** for *** in utf8"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dme%3BPWD%3Dhidden", "no hidden for me"),
        ("postgresql://me@host/shop?sslpassword=hidden&sslpassword=hidden2", "no hidden2 for me"),
        ("bigquery://shop?credentials_base64=hidden", "no hidden for me"),
        ("postgresql://me:hidden%20%20word@host/shop?token=hidden", "no hidden  word for me"),
    ],
)
def test_what_is_named_like_a_secret_is_hidden_wherever_it_is(url: str, message: str) -> None:
    error = DBAPIError("", None, Exception(message))

    assert engines.describe_error(engines.parse_url(url), error) == "no *** for me"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ('syntax error at or near "x"\nLINE 12: x\n         ^', 12),
        ("(1064, \"You have an error in your SQL syntax; ... to use near 'l x' at line 3\")", 3),
        ("no such table: b", 2),
        ("no such table: a", None),  # in two lines
        ('near "(": syntax error', None),
        ("division by zero", None),
    ],
)
def test_the_line_is_the_one_that_the_driver_names(message: str, line: int | None) -> None:
    assert engines.line_of(DBAPIError("", None, Exception(message)), "SELECT a FROM a\nJOIN b USING (a)") == line


def test_a_query_that_is_not_utf_8_is_named() -> None:
    Path("query.sql").write_bytes("SELECT 'été' AS product_id".encode("latin-1"))

    with pytest.raises(ImagesetError, match=r"^query\.sql is not UTF-8: byte 8 is 0xe9: save it as UTF-8$"):
        database.read_query(Path("query.sql"), "sqlite")


def test_a_byte_order_mark_is_no_part_of_a_query() -> None:
    assert ask("sqlite", "\ufeffSELECT product_id, title FROM listings") == ROWS


def test_a_file_that_another_process_writes_to_is_named() -> None:
    code = "import duckdb, sys; kept = duckdb.connect('shop.duckdb'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"

        with pytest.raises(ServerError, match=r"^DuckDB shop\.duckdb: IO Error: Could not set lock on file"):
            ask("duckdb", "SELECT product_id, title FROM listings")

        other.communicate()

    assert sorted(ask("duckdb", "SELECT product_id, title FROM listings")) == ROWS


def test_a_database_of_sqlite_that_stays_locked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SECONDS_FOR_A_LOCK", 0.1)
    with contextlib.closing(sqlite3.connect("shop.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(ServerError, match=r"^SQLite shop\.db: database is locked$"):
            ask("sqlite", "SELECT product_id, title FROM listings")
