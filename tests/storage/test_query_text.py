"""The text of a query: only :as_of is a parameter, and there is one statement."""

import pytest

from imageset.errors import DataError
from imageset.storage import query_text


@pytest.mark.parametrize(
    "text",
    [
        """SELECT '[{"alt":true}]'::jsonb, '12:30', pics[:3], pics[1:2]""",
        "SELECT ':as_of', \":as_of\", `:as_of`, $$:as_of$$, $x$ $$ :as_of; $x$, E'it\\'s :as_of'",
        "SELECT 'it''s :as_of'",
        "SELECT 1 -- a:b, not :as_of\n",
        "SELECT 1 /* a:b, /* nested */ not :as_of; */",
        "SELECT 1::as_of, a:as_of, :as_of_1, :other",
        "(SELECT '50 %' LIKE '%x%')",
        "FROM 'listings.parquet'",
        "-- a comment; with a semicolon\nWITH a AS (SELECT ';') SELECT * FROM a",
    ],
)
def test_everything_but_as_of_is_sql_as_it_is(text: str) -> None:
    query = query_text.parse(text)

    assert not query.has_as_of
    for paramstyle in ("qmark", "format", "pyformat", "named", "numeric", "numeric_dollar"):
        assert query.render(paramstyle, 1) == (text, ())


@pytest.mark.parametrize(
    ("paramstyle", "expected"),
    [
        ("qmark", ("SELECT '%' WHERE ? IS NULL OR date<=?::date", (7, 7))),
        ("format", ("SELECT '%%' WHERE %s IS NULL OR date<=%s::date", (7, 7))),
        ("pyformat", ("SELECT '%%' WHERE %(as_of)s IS NULL OR date<=%(as_of)s::date", {"as_of": 7})),
        ("named", ("SELECT '%' WHERE :as_of IS NULL OR date<=:as_of::date", {"as_of": 7})),
        ("numeric", ("SELECT '%' WHERE :1 IS NULL OR date<=:1::date", (7,))),
        ("numeric_dollar", ("SELECT '%' WHERE $1 IS NULL OR date<=$1::date", (7,))),
    ],
)
def test_as_of_is_written_as_each_driver_takes_it(paramstyle: str, expected: tuple[str, object]) -> None:
    query = query_text.parse("SELECT '%' WHERE :as_of IS NULL OR date<=:as_of::date")

    assert query.render(paramstyle, 7) == expected


@pytest.mark.parametrize("end", [";", " ; ", ";;", ";\n-- the end\n", "; /* the end; */ ;"])
def test_semicolons_at_the_end_are_left_out(end: str) -> None:
    assert ";" not in query_text.parse(f"SELECT 1{end}").pieces[0].replace("the end;", "")


def test_where_comments_do_not_nest_the_first_end_counts() -> None:
    assert query_text.parse("/* a /* b */ SELECT :as_of").has_as_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no statement: write one SELECT"),
        (" ;\n; ", "has no statement: write one SELECT"),
        ("-- SELECT 1\n/* SELECT 2 */", "has no statement: write one SELECT"),
        ("/* never closed", "has no statement: write one SELECT"),
        ("SELECT 1; SELECT 2", "has several statements: write one SELECT, and no semicolon but at its end"),
        (
            "SELECT 1; -- and\nDELETE FROM a;",
            "has several statements: write one SELECT, and no semicolon but at its end",
        ),
        ("SELEKT 1", "is not a query that returns rows, as it begins with SELEKT: write one SELECT"),
        ("COPY a TO 'b.csv'", "is not a query that returns rows, as it begins with COPY: write one SELECT"),
        ("'text'", "is not a query that returns rows, as it begins with 'text': write one SELECT"),
    ],
)
def test_what_is_not_one_query_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        query_text.parse(text)

    assert str(caught.value) == message
