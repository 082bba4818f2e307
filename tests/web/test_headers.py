"""X-Robots-Tag, Retry-After and Content-Encoding, well-formed and malformed."""

import datetime
import email.utils
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.web.headers import names_compression, robots_tags, seconds_to_wait


@pytest.mark.parametrize(
    ("headers", "tags"),
    [
        ([], set()),
        ([""], set()),
        ([" , ,"], set()),
        (["noai"], {"noai"}),
        (["NoAI,NOINDEX , nofollow"], {"noai", "noindex", "nofollow"}),
        (["noai", "noimageai"], {"noai", "noimageai"}),
        (["imageset: noai, noindex"], {"noai", "noindex"}),
        ([" ImageSet : NoAI"], {"noai"}),
        (["googlebot: noindex"], set()),
        (["googlebot: noindex, noai"], set()),
        (["imageset2: noai", "myimageset: noai"], set()),
        (["googlebot: nofollow", "noai", "imageset: noindex"], {"noai", "noindex"}),
        # Two headers that a proxy has joined.
        (["googlebot: nofollow, imageset: noai"], {"noai"}),
        (["imageset: noai, googlebot: noindex"], {"noai"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # one order in all of xdist's processes
)
def test_robots_tags_are_those_for_all_agents_and_for_ours(headers: list[str], tags: set[str]) -> None:
    assert robots_tags(headers, {"imageset"}) - {""} == tags


@pytest.mark.parametrize(
    "header",
    [
        "noindex, max-snippet: 0",
        "max-snippet: 0, noindex",
        "max-image-preview:none,noindex",
        "noindex, unavailable_after: 25 Jun 2030 15:00:00 PST",
        "unavailable_after: 25 Jun 2030 15:00:00 PST, noindex",
        "unavailable_after: Wednesday, 25-Jun-30 15:00:00 PST, noindex",
        "imageset: max-snippet: 0, noindex",
        "imageset: noindex, max-video-preview: -1",
    ],
)
def test_directives_with_values_hide_no_others(header: str) -> None:
    assert "noindex" in robots_tags([header], {"imageset"})


def test_directives_with_values_are_not_taken_for_agents() -> None:
    headers = ["unavailable_after: 25 Jun 2030 15:00:00 PST", "max-snippet: 0", "max-image-preview: large"]

    assert not robots_tags(headers, {"imageset"}) & {"noindex", "noai", "none", "0", "large", ""}


@given(st.lists(st.text()))
def test_any_text_in_a_robots_tag_is_parsed(headers: list[str]) -> None:
    assert all(tag == tag.strip() for tag in robots_tags(headers, {"imageset"}))


# Content-Encoding


@pytest.mark.parametrize("names", ["", " , ", "Identity", "none", "UTF-8", "aws-chunked", "binary", "image/jpeg"])
def test_what_names_no_compression_is_none(names: str) -> None:
    assert not names_compression([])
    assert not names_compression([names])
    assert not names_compression(["identity", f"{names},binary"])


@pytest.mark.parametrize("names", ["gzip", "X-GZIP", "br", "deflate", "zstd", "compress", "x", "application/gzip"])
def test_all_other_names_are_compressions_in_lists_too(names: str) -> None:
    assert names_compression([names])
    assert names_compression([f"identity , {names}"])
    assert names_compression(["aws-chunked", names])


# Retry-After


def in_an_hour() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        ("1.5", 1.5),
        (" 0.25 ", 0.25),
        ("9" * 400, float("inf")),
        ("9" * 5000, float("inf")),
    ],
)
def test_seconds_to_wait_are_a_number(text: str, seconds: float) -> None:
    assert seconds_to_wait({"Retry-After": text}) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "1.5.1",
        ".",
        "1.",
        "1e3",
        "+5",
        "0x10",
        "5 s",
        "soon",
        "inf",
        "nan",
        "\uff15",
        "\u0665",
        "\u00b2",
        "5,6",
        "\x00",
        "25 Jun",
        "Wed, 99 Oct 2115 07:28:00 GMT",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999",
        "Wed, 21 Oct 2015 " + "9" * 5000,
    ],
)
def test_a_malformed_retry_after_asks_for_no_wait(text: str) -> None:
    assert seconds_to_wait({"Retry-After": text}) is None


def test_a_missing_header_asks_for_no_wait() -> None:
    assert seconds_to_wait({}) is None


@pytest.mark.parametrize(
    "write",
    [
        lambda moment: email.utils.format_datetime(moment, usegmt=True),
        email.utils.format_datetime,
        lambda moment: email.utils.format_datetime(moment.replace(tzinfo=None)),  # "-0000": a zone that is not known
        lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S"),
        lambda moment: moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),  # RFC 850
        lambda moment: moment.strftime("%a %b %d %H:%M:%S %Y"),  # asctime
        lambda moment: email.utils.format_datetime(moment.astimezone(datetime.timezone(datetime.timedelta(hours=5.5)))),
    ],
    ids=["gmt", "zero", "unknown", "none", "rfc850", "asctime", "india"],
)
def test_seconds_to_wait_are_those_until_a_date(write: Callable[[datetime.datetime], str]) -> None:
    seconds = seconds_to_wait({"Retry-After": write(in_an_hour())})

    assert seconds is not None
    assert 3000 < seconds <= 3600


def test_a_date_in_the_past_gives_negative_seconds() -> None:
    seconds = seconds_to_wait({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})

    assert seconds is not None
    assert seconds < 0


DATE_WORDS = st.sampled_from(
    [
        "Wed,",
        "21",
        "Oct",
        "2115",
        "07:28:00",
        "7:28",
        "GMT",
        "+2359",
        "-2359",
        "-0000",
        "PST",
        "9999",
        "31",
        "Dec",
        "0001",
        "-1",
        ":",
        ",",
        "1e9",
    ]
)


@given(st.text() | st.lists(DATE_WORDS).map(" ".join))
def test_any_text_in_retry_after_is_parsed(text: str) -> None:
    seconds = seconds_to_wait({"Retry-After": text})

    assert seconds is None or seconds == seconds  # a number
