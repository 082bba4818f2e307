"""What differs between databases: how to connect read only, what begins a snapshot, how errors name them."""

import datetime
import re
import secrets
import sqlite3
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.dialects import registry
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from imageset.errors import SettingsError
from imageset.runtime import files, settings
from imageset.runtime.secret_text import hide_urls
from imageset.storage import silence
from imageset.storage.duckdb_dialect import Connection

EXAMPLES = "postgresql://user:password@host:5432/database, sqlite:///shop.db or duckdb:///shop.duckdb"
FILES = {"sqlite": "SQLite", "duckdb": "DuckDB"}  # databases that are files
SERVERS = {
    "postgresql": "PostgreSQL",
    "mysql": "MySQL",
    "mariadb": "MariaDB",
    "mssql": "SQL Server",
    "oracle": "Oracle",
}
SNAPSHOT_LEVELS = {"postgresql": "REPEATABLE READ", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ"}
BEGIN = {  # a session's time zone would decide the text of a moment, and which rows are before :as_of
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL TimeZone = 'UTC'"),
    # sqlite3 begins no transaction for a SELECT. SQLite takes its snapshot at the first one after BEGIN.
    "sqlite": ("PRAGMA query_only = ON", "BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1"),
    "duckdb": ("SET TimeZone = 'UTC'", "BEGIN TRANSACTION READ ONLY"),
    "mysql": (
        "SET time_zone = '+00:00'",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
    "mariadb": (
        "SET time_zone = '+00:00'",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
}
SECONDS_FOR_A_LOCK = 30
SPILL = "imageset-duckdb-"  # begins the names of DuckDB's folders in TMPDIR
# Where a driver's package has another name than its module, and which package brings a dialect.
PACKAGES = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary]"}
DIALECTS = {"bigquery": "sqlalchemy-bigquery", "redshift": "sqlalchemy-redshift", "snowflake": "snowflake-sqlalchemy"}
AS_OF_EXAMPLES = {
    "postgresql": "WHERE CAST(:as_of AS timestamptz) IS NULL OR date <= CAST(:as_of AS timestamptz)",
    "sqlite": "WHERE :as_of IS NULL OR unixepoch(date) <= unixepoch(:as_of)",
    "duckdb": "WHERE CAST(:as_of AS timestamptz) IS NULL OR date <= CAST(:as_of AS timestamptz)",
}
TOLD = {"host", "hostaddr", "port", "dbname", "database", "user"}  # parameters that messages show
HARMLESS = re.compile(
    r"[0-9]{0,6}|.{0,3}|true|false|disable|allow|prefer|require|verify-(ca|full)|read-(only|write)|primary|standby|"
    r"utf-?8(mb4)?|latin1|ascii"
)
SECRETS = re.compile(r"(?i)pass|pwd|secret|token|key|credential|odbc_connect")  # names of a URL's parameters


def parse_url(text: str) -> sqlalchemy.URL:
    """Parse a database URL. Raises SettingsError, whose message quotes no part of the URL that may be secret."""
    registry.register("duckdb", "imageset.storage.duckdb_dialect", "DuckDBDialect")
    try:
        url = sqlalchemy.make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(f"DATABASE_URL: expected {EXAMPLES}") from None
    backend = url.get_backend_name()
    # What follows an @ in a password counts as the host, and what follows a slash as the database. Messages show both.
    if "@" in f"{url.host or ''}{'' if backend in FILES else url.database or ''}":
        raise SettingsError("DATABASE_URL: write @ and / in a user or password as %40 and %2F")
    if backend in FILES and url.host:
        raise SettingsError(
            f"DATABASE_URL: write three slashes before the file, such as {backend}:///shop.db, and four before a path "
            f"from the root, such as {backend}:////data/shop.db"
        )
    return url


def open_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    """Return an engine that connects read only, as far as the database can.

    What the URL's parameters say of time limits counts more than what is said here.

    Raises:
        SettingsError: the dialect or the driver is not installed, the file is not there, or
            IMAGESET_DATABASE_SECONDS is no number.
    """
    backend = url.get_backend_name()
    options: dict[str, Any] = {"hide_parameters": True, "poolclass": NullPool}
    if backend in FILES:
        connect = {"sqlite": connect_sqlite, "duckdb": connect_duckdb}[backend]
        file = find_file(url)
        options["creator"] = lambda: connect(file)
        url = sqlalchemy.URL.create(backend, database=url.database)  # a file has no user and no parameters
    if backend in SNAPSHOT_LEVELS:
        options["isolation_level"] = SNAPSHOT_LEVELS[backend]
    try:
        dialect = url.get_dialect()
        limits = silence.connect_options(dialect.driver, settings.database_seconds())
        options["connect_args"] = {name: limit for name, limit in limits.items() if name not in url.query}
        if dialect.is_async:
            raise SettingsError(f"DATABASE_URL: the driver {dialect.driver} is asynchronous: name another, or none")
        return sqlalchemy.create_engine(url, **options)
    except NoSuchModuleError:
        package = DIALECTS.get(backend, f"sqlalchemy-{backend}")
        raise SettingsError(
            f"DATABASE_URL: SQLAlchemy does not know {url.drivername}: check its spelling, or install the package that "
            f"brings it, such as pip install {package}"
        ) from None
    except (ArgumentError, ValueError):
        raise SettingsError(f"DATABASE_URL: {backend} does not take the parameters after its ?: correct them") from None
    except ImportError as error:
        module = error.name or backend
        name, package = f"{backend}+{dialect.driver}", PACKAGES.get(module, module)
        raise SettingsError(f"DATABASE_URL: {name} needs the driver {module}: pip install {package}") from None


def find_file(url: sqlalchemy.URL) -> Path | None:
    """Return the file of a database that is a file, None for DuckDB in memory. Relative: from the project's root."""
    backend = url.get_backend_name()
    if not url.database or url.database == ":memory:":
        if backend == "duckdb":
            return None
        raise SettingsError("DATABASE_URL names no file: write sqlite:///shop.db")
    path = settings.project_directory() / url.database
    if not path.is_file():
        raise SettingsError(
            f"DATABASE_URL names the file {path}, which is not there: relative paths count from the project's root"
        )
    return path


def connect_sqlite(path: Path | None) -> sqlite3.Connection:
    # isolation_level None: sqlite3 itself begins and commits nothing.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=SECONDS_FOR_A_LOCK
    )


def connect_duckdb(path: Path | None) -> Connection:
    """Connect. Names of files in a query count from the project's root, and no name means a Python variable."""
    import duckdb

    folder = temporary_folder()
    for left in folder.parent.glob(f"{SPILL}*"):
        files.remove_unused(left)
    root = settings.project_directory()
    config: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": False,
        # For queries that need more than the memory. The default is beside the database.
        "temp_directory": str(folder),
        "file_search_path": "" if root == Path() else str(root.resolve()),
    }
    with ExitStack() as resources:
        resources.enter_context(files.scratch_folder(folder))
        connection = duckdb.connect(str(path or ":memory:"), read_only=path is not None, config=config)
        resources.callback(connection.close)
        return Connection(connection, resources.pop_all())


@cache
def temporary_folder() -> Path:
    """Return a name that nobody can guess. A process has one: DuckDB opens no file under two configurations."""
    return Path(tempfile.gettempdir()) / f"{SPILL}{secrets.token_hex(16)}"


def begin(connection: sqlalchemy.Connection) -> None:
    """Begin a read-only transaction, with one snapshot for all its queries where the database has that."""
    for statement in BEGIN.get(connection.dialect.name, ()):
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "postgresql":
        end_queries_with_client(connection)


def end_queries_with_client(connection: sqlalchemy.Connection) -> None:
    """Let PostgreSQL look every five seconds whether this program is still there, and end its query where it is not."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("SET LOCAL client_connection_check_interval = 5000")
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        # Before PostgreSQL 14, or on a system where it cannot look.


def as_of_value(dialect: str, as_of: str | None) -> datetime.datetime | str | None:
    """Return the value of :as_of in the type that a driver takes.

    SQLite compares texts, so it gets the text that its function datetime() writes. PostgreSQL and DuckDB get a
    timestamp with time zone, others a timestamp in UTC without one.

    >>> as_of_value("sqlite", "2026-01-31T00:00:00Z")
    '2026-01-31 00:00:00'
    """
    if as_of is None:
        return None
    moment = datetime.datetime.fromisoformat(as_of).astimezone(datetime.UTC)
    if dialect in ("postgresql", "duckdb"):
        return moment
    naive = moment.replace(tzinfo=None)
    return naive.isoformat(" ") if dialect == "sqlite" else naive


def as_of_condition(dialect: str) -> str:
    """Return how a query leaves out rows that are later than :as_of, as a message says it."""
    condition = AS_OF_EXAMPLES.get(dialect, "WHERE :as_of IS NULL OR date <= :as_of")
    return condition + ("; of a date in Unix seconds, date <= unixepoch(:as_of)" if dialect == "sqlite" else "")


def describe(url: sqlalchemy.URL) -> str:
    """Return how an error names the database: host, port and name, or the file; never the password.

    >>> describe(sqlalchemy.make_url("postgresql://me:secret@host/shop"))
    'PostgreSQL at host:5432, database shop'
    >>> describe(sqlalchemy.make_url("sqlite:///shop.db"))
    'SQLite shop.db'
    """
    backend = url.get_backend_name()
    if backend in FILES:
        return f"{FILES[backend]} {url.database or 'in memory'}"
    port = url.port or (5432 if backend == "postgresql" else None)
    where = f"{url.host or 'localhost'}{f':{port}' if port else ''}"
    return f"{SERVERS.get(backend, backend)} at {where}{f', database {url.database}' if url.database else ''}"


def describe_error(url: sqlalchemy.URL, error: DBAPIError) -> str:
    """Return the driver's message in one line, without the lines that point at the SQL, and without a secret."""
    text = str(error.orig)
    for secret in sorted(find_secrets(url), key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, "***")
    lines = text.splitlines()
    places = [number for number, line in enumerate(lines) if re.match(r"LINE \d+: ", line)]
    dropped = {number + step for number in places for step in (0, 1)}
    text = " ".join(" ".join(line for number, line in enumerate(lines) if number not in dropped).split())
    return hide_urls(text) or type(error.orig).__name__


def find_secrets(url: sqlalchemy.URL) -> set[str]:
    """Return the texts of a URL that no message may show: the password, and the values of its parameters.

    Drivers quote the values that they refuse. Of a parameter that is not named like a secret, short numbers and words
    are left: other parts of a message may have them, too.
    """
    named = [(name, value) for name, values in url.normalized_query.items() for value in values]
    # A connection string of ODBC has parameters of its own, DRIVER=...;UID=...;PWD=..., as has options=-c name=value.
    parts = [part.partition("=")[::2] for name, value in named for part in re.split(r"[;\s]+", value) if "=" in part]
    secret = {value for name, value in named + parts if SECRETS.search(name)}
    told = {value for name, value in named + parts if name not in TOLD and not HARMLESS.fullmatch(value)}
    return {url.password or "", *secret, *told} - {""}


def line_of(error: DBAPIError, sql: str) -> int | None:
    """Return the line of the query that the driver's message points at, where it does.

    PostgreSQL, DuckDB and MariaDB name the line. SQLite names a word: its line is known when no other line has
    the word.
    """
    message = str(error.orig)
    if match := re.search(r"(?m)^LINE (\d+): |\bat line (\d+)\b", message):
        return int(match[1] or match[2])
    if match := re.search(r'^(?:near "(.+)": |no such (?:table|column|function): (.+))', message):
        word = rf"(?<!\w){re.escape(match[1] or match[2])}(?!\w)"
        lines = [number for number, line in enumerate(sql.split("\n"), 1) if re.search(word, line)]
        return lines[0] if len(lines) == 1 else None
    return None
