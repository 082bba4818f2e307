"""Stage labels: every dated class of the database, in one spelling."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from imageset.curation import labelled
from imageset.errors import DataError
from imageset.formats import source_ids, tables
from stages import labels
from tests.conftest import execute


def run(project: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    outputs = project / "data/labels.csv", project / "data/classes.csv"
    labels.main(project / "queries/labels.sql", project / "queries/classes.sql", *outputs)
    return tables.read(outputs[0], tables.LABELS), tables.read(outputs[1], tables.CLASSES)


def test_all_rows_of_the_database_are_kept_unchanged(database: str, in_project: Path) -> None:
    execute(database, "INSERT INTO catalogs VALUES (12, 'tops', NULL), (13, 'Blusen, \"Größe\" L', 12)")
    execute(
        database,
        "INSERT INTO tracking_staging VALUES (1, 12, '2026-01-01 01:00:00+01'), "
        "(1, 13, '2026-01-02 00:00:00.5+00'), (1, 12, '2026-01-01 00:00:00+00'), "
        "(NULL, 12, '2026-01-01 00:00:00+00'), (2, NULL, NULL)",
    )

    found, classes = run(in_project)

    assert (in_project / "data/labels.csv").read_text() == (
        "product_id,catalog_id,date\n"
        ",12,2026-01-01T00:00:00+00:00\n"
        "1,12,2026-01-01T00:00:00+00:00\n"
        "1,12,2026-01-01T00:00:00+00:00\n"
        "1,13,2026-01-02T00:00:00.500000+00:00\n"
        "2,,\n"
    )
    assert len(found) == 5
    assert classes["name"].tolist() == ["tops", 'Blusen, "Größe" L']
    assert classes["parent_id"].isna().tolist() == [True, False]


def test_the_order_of_the_database_changes_no_byte(database: str, in_project: Path) -> None:
    execute(database, "INSERT INTO catalogs VALUES (12, 'tops', NULL)")
    rows = ["(1, 12, '2026-01-01')", "(1, 11, '2026-01-01')", "(2, 12, NULL)", "(NULL, NULL, NULL)"]
    written = []
    for order in (rows, rows[::-1]):
        execute(database, f"TRUNCATE tracking_staging; INSERT INTO tracking_staging VALUES {', '.join(order)}")
        run(in_project)
        written.append((in_project / "data/labels.csv").read_bytes())

    assert written[0] == written[1]


def test_the_time_zone_of_the_session_changes_no_byte(
    database: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database, "INSERT INTO catalogs VALUES (12, 'tops', NULL)")
    execute(database, "INSERT INTO tracking_staging VALUES (1, 12, '2026-01-01 00:00:00+00')")
    run(in_project)
    before = (in_project / "data/labels.csv").read_bytes()
    monkeypatch.setenv("PGTZ", "Pacific/Auckland")
    run(in_project)

    assert (in_project / "data/labels.csv").read_bytes() == before


def test_rows_that_are_read_in_parts_are_those_of_one_part(
    database: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(
        in_project, "('b', '12', 1)", "('2', '12', 2)", "('b', NULL, NULL)", "(NULL, '11', 1)", "('a', '11', 7)"
    )
    write_classes(in_project, "('11', 'hats', NULL)", "('12', 'tops', NULL)")
    run(in_project)
    whole = (in_project / "data/labels.csv").read_bytes()
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 2)
    run(in_project)

    assert (in_project / "data/labels.csv").read_bytes() == whole
    assert whole.count(b"\n") == 6


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["('7', 1, NULL)", "('ab-1', 1, NULL)"],
            r"labels\.sql: product_id: the ids 'ab-1' and 7 have the same number",
        ),
        (
            ["(1, '7', NULL)", "(2, 'ab-1', NULL)"],
            r"labels\.sql: catalog_id: the ids 'ab-1' and 7 have the same number",
        ),
        (["(1, 1, '')", "(2, 1, 'soon')"], r"product_id 2 is the text 'soon', .*NULLIF\(date, ''\)"),
    ],
)
def test_rows_of_two_parts_that_contradict_each_other_are_refused(
    rows: list[str], message: str, database: str, in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(source_ids, "_texts", {})
    monkeypatch.setattr(source_ids, "hash_text", lambda spelt: 7)
    write_labels(in_project, *rows)

    with pytest.raises(DataError, match=message):
        run(in_project)


def test_labels_after_as_of_are_left_out(
    database: str, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("as_of: null", 'as_of: "2026-01-31T00:00:00Z"')
    execute(database, "INSERT INTO catalogs VALUES (12, 'tops', NULL)")
    execute(
        database,
        "INSERT INTO tracking_staging VALUES (1, 12, '2026-01-31 00:00:00+00'), (2, 12, '2026-01-31 00:00:01+00')",
    )

    found, _ = run(in_project)

    assert found["product_id"].tolist() == [1]


def test_two_names_for_one_class_are_refused_and_shown(database: str, in_project: Path) -> None:
    write_query(in_project, "classes", "catalog_id, name, parent_id", "(12, 'tops', NULL), (12, 'shirts', 1)")

    with pytest.raises(DataError) as caught:
        run(in_project)

    assert str(caught.value).endswith(
        "classes.sql: two rows have the catalog_id 12: name 'tops', parent_id null and name 'shirts', parent_id 1: "
        "return one row a class, such as by GROUP BY catalog_id"
    )


def test_a_class_without_an_id_is_refused_and_shown(database: str, in_project: Path) -> None:
    write_query(in_project, "classes", "catalog_id, name, parent_id", "('12', 'tops', NULL), (NULL, 'shirts', '12')")

    with pytest.raises(DataError, match="the class catalog_id null, name 'shirts', parent_id '12' has no catalog_id"):
        run(in_project)


def test_ids_of_any_kind_and_a_tree_of_texts_are_written_as_the_source_spells_them(
    database: str, in_project: Path
) -> None:
    write_query(
        in_project,
        "labels",
        "product_id, catalog_id, date",
        "('6f9619ff-8b86-d011-b42d-00c04fc964ff', 'dresses/long', DATE '2026-01-31'), ('007', ' dresses', NULL), "
        "('7', 'dresses', NULL), ('', 'dresses', NULL), ('8', NULL, NULL)",
    )
    write_query(
        in_project,
        "classes",
        "catalog_id, name, parent_id",
        "('dresses', 'Dresses', NULL), ('dresses/long', 'Long', 'dresses'), ('1', 'Tops', '')",
    )
    found, classes = run(in_project)

    assert sorted((in_project / "data/labels.csv").read_text().splitlines()[1:]) == sorted(
        [
            ",dresses,",
            "007,dresses,",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff,dresses/long,2026-01-31T00:00:00+00:00",
            "7,dresses,",
            "8,,",
        ]
    )
    assert sorted((in_project / "data/classes.csv").read_text().splitlines()[1:]) == sorted(
        ["1,Tops,", "dresses,Dresses,", "dresses/long,Long,dresses"]
    )
    assert set(found["catalog_id"].dropna()) <= set(classes["catalog_id"])


@pytest.mark.parametrize("classes_sql", ["", "-- no classes\n/* none */", "SELECT * FROM no_such_table", None])
def test_classes_may_have_names_alone(classes_sql: str | None, database: str, in_project: Path) -> None:
    write_query(
        in_project,
        "labels",
        "product_id, class_name, date",
        "(1, 'T-shirt', NULL), (2, E'\ufeffT-shirt \\n', NULL), (3, 'Long   dress', NULL), (4, E'Long\\tdress', NULL), "
        "(5, '42', NULL), (6, '', NULL), (7, NULL, NULL), (8, E'Ro\u0302be', NULL), (9, 'R\u00f4be', NULL)",
    )
    if classes_sql is None:
        (in_project / "queries/classes.sql").unlink()
    else:
        (in_project / "queries/classes.sql").write_text(classes_sql)
    found, classes = run(in_project)

    assert source_ids.texts(found["catalog_id"]).tolist() == [
        "T-shirt",
        "T-shirt",
        "Long dress",
        "Long dress",
        "42",
        "",
        "",
        "R\u00f4be",
        "R\u00f4be",
    ]
    assert sorted(classes["name"]) == ["42", "Long dress", "R\u00f4be", "T-shirt"]
    assert source_ids.texts(classes["catalog_id"]).tolist() == classes["name"].tolist()
    assert classes["parent_id"].isna().all()


@pytest.mark.parametrize("classes_sql", [" -- nothing yet\n", None])
def test_ids_of_classes_need_a_query_of_classes(classes_sql: str | None, database: str, in_project: Path) -> None:
    write_query(in_project, "labels", "product_id, catalog_id, date", "(1, 'tops', NULL)")
    if classes_sql is None:
        (in_project / "queries/classes.sql").unlink()
    else:
        (in_project / "queries/classes.sql").write_text(classes_sql)

    with pytest.raises(DataError, match=r"classes.sql has no query.*or return class_name in place of catalog_id"):
        run(in_project)

    assert not (in_project / "data/labels.csv").exists()


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("product_id, catalog_id, date", "(1.5, 12, NULL)", "product_id Decimal.*1.5.*the row is product_id Decimal"),
        ("product_id, catalog_id, date", "(1, true, NULL)", "catalog_id True is no id.*product_id 1, catalog_id True"),
        ("product_id, class_name, date", "(1, repeat('x', 256), NULL)", "class_name .*more than 255 bytes"),
        (
            "product_id, class_name, date",
            "(1, NULL, NULL), (2, ' ', NULL)",
            "class_name is null or blank in all 2 rows",
        ),
        ("product_id, date, catalog_id", "(1, NULL, 1)", "expected product_id, catalog_id, date, or product_id, class"),
    ],
)
def test_a_row_that_cannot_be_used_is_shown(
    columns: str, row: str, message: str, database: str, in_project: Path
) -> None:
    write_query(in_project, "labels", columns, row)

    with pytest.raises(DataError, match=rf"labels\.sql.*{message}"):
        run(in_project)


def write_query(project: Path, name: str, columns: str, *rows: str) -> None:
    """Write a query that returns these rows."""
    (project / f"queries/{name}.sql").write_text(f"SELECT * FROM (VALUES {', '.join(rows)}) AS returned ({columns})")


def write_labels(project: Path, *rows: str) -> None:
    write_query(project, "labels", "product_id, catalog_id, date", *rows)


def write_classes(project: Path, *rows: str) -> None:
    write_query(project, "classes", "catalog_id, name, parent_id", *rows)


def test_a_tree_with_a_circle_or_unknown_parents_is_said(
    database: str, in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(database, "INSERT INTO catalogs VALUES (12, 'tops', 13), (13, 'hats', 12), (14, 'a', 98), (15, 'b', 99)")
    execute(database, "INSERT INTO tracking_staging VALUES (1, 12, now())")
    run(in_project)
    said = capsys.readouterr().out

    assert "classes.sql: class 12 is its own ancestor by parent_id: correct it in the database" in said
    assert "classes.sql: 2 of 4 parent_id are no class, such as '98', '99': their children are at the top" in said


def test_labels_that_name_no_class_fail_with_examples_of_both_sides(database: str, in_project: Path) -> None:
    write_labels(in_project, *(f"({number}, {900 + number}, NULL)" for number in range(1, 6)))
    write_classes(in_project, "(12, 'tops', NULL)", "(13, 'dresses', NULL)")

    with pytest.raises(DataError) as caught:
        run(in_project)

    assert str(caught.value) == (
        "none of the 5 rows of queries/labels.sql names one of the 2 classes of queries/classes.sql: labels have "
        "catalog_id 901, 902, 903, classes have 12, 13: return the same catalog_id in both queries"
    )
    assert len(tables.read(in_project / "data/labels.csv", tables.LABELS)) == 5  # for people to look at


def test_one_label_that_names_a_class_is_enough(database: str, in_project: Path) -> None:
    write_labels(in_project, "(1, 77, NULL)", "(1, 12, NULL)", "(9, 77, NULL)")
    write_classes(in_project, "(12, 'tops', NULL)")

    assert len(run(in_project)[0]) == 3


def test_no_labels_at_all_fail_the_stage(database: str, in_project: Path) -> None:
    with pytest.raises(DataError, match=r"^queries/labels\.sql returned no rows, .* let null pass.* no query$"):
        run(in_project)


def test_a_comment_in_place_of_labels_leaves_them_to_people(
    database: str, in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_project / "queries/labels.sql").write_text("-- corrections/labels.csv has them all\n")
    write_classes(in_project, "(12, 'tops', NULL)")
    found, classes = run(in_project)

    assert found.empty
    assert classes["name"].tolist() == ["tops"]
    assert "has no query: corrections/labels.csv alone gives photos their classes" in capsys.readouterr().out
    labelled.require_labelled_product({1, 2}, found, classes)  # as stage ingest does


def test_without_a_query_of_labels_that_of_classes_is_needed(database: str, in_project: Path) -> None:
    for name in ("labels", "classes"):
        (in_project / f"queries/{name}.sql").write_text("-- later")

    with pytest.raises(DataError, match=r"^neither \S+/classes\.sql nor \S+/labels\.sql has a query: "):
        run(in_project)
