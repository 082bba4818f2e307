"""Ids: whole numbers are themselves, other texts become numbers, and no two ids become one."""

import time
import uuid
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from imageset.errors import DataError
from imageset.formats import source_ids

UUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_ids, "_texts", {})


@pytest.mark.parametrize("value", [42, "42", 42.0, Decimal("42"), Decimal("42.00"), " 42\n", "\ufeff42", "42\u200b"])
def test_a_whole_number_is_itself(value: Any) -> None:
    assert source_ids.number(value) == 42
    assert source_ids.text(42) == "42"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        (-5, "-5"),
        ("+5", "+5"),
        (2**63, "9223372036854775808"),
        ("\uff11\uff12", "\uff11\uff12"),
        ("AB-1", "AB-1"),
        ("1.0", "1.0"),
        (f"\u2060 {UUID} ", UUID),
        (uuid.UUID(UUID.upper()), UUID),
        ("two words", "two words"),
    ],
)
def test_any_other_text_becomes_a_number_and_is_remembered(value: Any, text: str) -> None:
    number = source_ids.number(value)

    assert number == source_ids.hash_text(text)
    assert 0 <= number < 2**63
    assert source_ids.text(number) == text


def test_the_number_of_a_text_is_the_first_63_bits_of_its_sha256() -> None:
    """This never changes: released files are made of it."""
    assert source_ids.number(UUID) == 0x2A877DA80E460A13 >> 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        pd.NA,
        "",
        " \u200b",
        "a\nb",
        "a\x00",
        "\u202e12",
        "\ud800",
        "x" * 256,
        "\u00e9" * 128,
        1.5,
        float("nan"),
        float("inf"),
        2.0**53,
        -(2.0**60),
        Decimal("1.5"),
        Decimal("NaN"),
        b"42",
        True,
        [1],
    ],
)
def test_what_is_no_id_has_no_number(value: Any) -> None:
    with pytest.raises(ValueError, match="is no "):
        source_ids.number(value)


def test_a_column_that_became_floats_is_a_mistake_of_the_program() -> None:
    """A merge that finds no partner for a row makes floats of int64, and rounds them."""
    with pytest.raises(AssertionError, match="catalog_id has floats"):
        source_ids.texts(pd.Series([2**62 + 1, None], name="catalog_id"))


def test_two_texts_of_one_number_are_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_ids, "hash_text", lambda spelt: 7)
    source_ids.number("ab-1")

    assert source_ids.number("ab-1") == 7
    with pytest.raises(DataError, match="'ab-1' and 'ab-2' have the same number, 7"):
        source_ids.number("ab-2")


@pytest.mark.parametrize("column", [["7", "ab-1"], ["ab-1", "7"], [7, "ab-1"], ["ab-1", "3", 7]])
def test_a_text_and_an_integer_of_one_number_are_an_error_that_names_both(
    column: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_ids, "hash_text", lambda spelt: 7)

    with pytest.raises(DataError, match="'ab-1' and 7 have the same number"):
        source_ids.numbers(column)


def test_a_column_of_numbers_only_may_have_those_of_texts() -> None:
    """A bucket names photos by these numbers. A table of its keys does not know the texts."""
    number = source_ids.number("ab-1")

    assert source_ids.numbers([str(number), "7"]) == [number, 7]
    assert source_ids.numbers([number, 7]) == [number, 7]


def test_a_column_of_mixed_ids_has_the_numbers_of_each() -> None:
    column = ["7", "9223372036854775807", "9223372036854775808", "00", UUID, "0"]

    assert source_ids.numbers(column) == [source_ids.number(value) for value in column]
    assert source_ids.texts(pd.Series(source_ids.numbers(column))).tolist() == column


def test_texts_of_missing_ids_are_empty() -> None:
    column = pd.Series(pd.array([source_ids.number("ab-1"), None, 5], dtype="Int64"), index=[3, 4, 5])

    assert source_ids.texts(column).to_dict() == {3: "ab-1", 4: "", 5: "5"}
    assert source_ids.has_text(column)
    assert not source_ids.has_text(pd.Series([5]))


def test_a_million_whole_numbers_take_less_than_a_second() -> None:
    column = [str(number) for number in range(10**18, 10**18 + 10**6)]
    began = time.process_time()
    found = source_ids.numbers(column)

    assert time.process_time() - began < 1
    assert found[-1] == 10**18 + 10**6 - 1
