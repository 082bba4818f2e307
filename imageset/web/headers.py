"""HTTP headers with a syntax of their own: Content-Encoding, Retry-After and X-Robots-Tag."""

import datetime
import email.utils
import re
from collections.abc import Iterable, Mapping, Set

# Directives of X-Robots-Tag with a value after a colon. Any other name before a colon is that of a robot.
VALUED_ROBOTS_TAGS = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
# What hosts write into Content-Encoding beside the names of compressions. S3 keeps the aws-chunked of an upload.
NO_COMPRESSION = {"", "identity", "none", "binary", "7bit", "8bit", "utf-8", "utf8", "us-ascii", "aws-chunked"}


def names_compression(headers: Iterable[str]) -> bool:
    """Return whether Content-Encoding names a compression: anything but one of the above or the type of an image.

    >>> names_compression(["", "aws-chunked, UTF-8", "image/jpeg"]), names_compression(["identity, gzip"])
    (False, True)
    """
    names = (name.strip().lower() for header in headers for name in header.split(","))
    return any(name not in NO_COMPRESSION and not re.fullmatch(r"image/[a-z0-9.+*-]+", name) for name in names)


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds Retry-After asks to wait, or None when it is missing or malformed.

    The header has seconds or a date (RFC 9110, 10.2.3). Some hosts send a fraction of seconds. The result is negative
    for a date in the past.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (moment.replace(tzinfo=moment.tzinfo or datetime.UTC) - datetime.datetime.now(datetime.UTC)).total_seconds()


def robots_tags(headers: Iterable[str], agent_names: Set[str]) -> set[str]:
    """Return the X-Robots-Tag directives that apply to an agent: those for all agents and those for its names.

    >>> sorted(robots_tags(["noindex, max-snippet: 0, nofollow", "other: noarchive, nosnippet", "me: NoAI"], {"me"}))
    ['noai', 'nofollow', 'noindex']
    """
    tags: set[str] = set()
    for header in headers:
        agent = ""
        for piece in header.lower().split(","):
            name, colon, rest = (part.strip() for part in piece.partition(":"))
            if colon and name not in VALUED_ROBOTS_TAGS and re.fullmatch(r"[\w*.-]+", name):
                agent, name = name, rest
            if agent in ("", "*") or agent in agent_names:
                tags |= {"noindex", "nofollow"} if name == "none" else {name}
    return tags - VALUED_ROBOTS_TAGS
