"""Texts for messages without what may be secret in them: user, password, query and fragment of URLs. Pure."""

import re

SHOWN = 120  # characters of a URL in a message
WELL_FORMED = re.compile(
    r"https?://([^/?#\s]*@)?(\[[0-9a-f:.]+\]|[^]/?#@:[\s\\]+)(:[0-9]*)?(/.*)?", re.IGNORECASE | re.DOTALL
)
IN_TEXT = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+")
EXAMPLE_USER = "user:password@"  # of the examples in messages


def show_url(url: str) -> str:
    """Return a URL for a message: without user, password, query and fragment, which may be secret; also a bad one.

    >>> show_url("https://me:secret@shop.example/a.jpg?signature=1"), show_url("shop.example/a b.jpg")
    ('https://shop.example/a.jpg', 'shop.example/a b.jpg')
    """
    place = re.split(r"[?#]", url, maxsplit=1)[0]
    # In a path an @ is no secret. But a password with a slash looks like a path, and makes a bad URL.
    user = r"[^/]*@" if WELL_FORMED.fullmatch(place) or re.match(r"(?i)(s3|file)://", url) else r".*@"
    place = re.sub(rf"(?is)\A((?:[a-z][a-z0-9+.-]*:)?[/\\]*){user}", r"\1", place)
    return place if len(place) <= SHOWN else f"{place[:SHOWN]}..."


def hide_urls(text: str) -> str:
    """Return a text, such as the message of another program, with each URL in it as show_url has it.

    >>> hide_urls('no answer: "https://me:secret@host/a?b=1" (3 times)')
    'no answer: "https://host/a" (3 times)'
    """
    return IN_TEXT.sub(lambda found: found[0] if EXAMPLE_USER in found[0] else hide_one(found[0]), text)


def hide_one(url: str) -> str:
    # What closes the sentence or the brackets around a URL is no part of it.
    end = url[len(url.rstrip(".,:;)]}")) :]
    whole = url[: len(url) - len(end)]
    return (show_url(whole) if re.search("[@?#]", whole) else whole) + end


def show_setting(value: str) -> str:
    """Return the value of a setting for a message, in quotes; nothing of one that may have a password or a query.

    >>> show_setting("tcp:/scheduler"), show_setting("tcp://me:secret@scheduler:1")
    ("'tcp:/scheduler'", 'a text with @ or ?, which is not shown')
    """
    return "a text with @ or ?, which is not shown" if re.search("[@?]", value) else repr(value)
