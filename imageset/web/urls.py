"""URLs as sellers write them: which are valid, their host, where a redirect leads."""

import re
from ipaddress import IPv6Address
from urllib.parse import quote, urljoin

import yarl

from imageset.errors import BadUrl

Origin = tuple[str, str, int]

URL = re.compile(
    r"(?P<base>https?://([^/?#\x00-\x1f\x7f]*@)?(\[(?P<address>[0-9a-f:.]+)\]|[^]/?#@:[\x00-\x1f\x7f]+)(:[0-9]*)?)"
    r"(?P<rest>([/?#][^\x00-\x1f\x7f]*)?)",
    re.IGNORECASE,
)
PARTS = re.compile(r"(?P<path>[^?#]*)(?P<query>(\?[^#]*)?)", re.DOTALL)  # of the rest; a fragment is not sent
# What is left as it is: the characters that a URL may have (RFC 3986), the percent sign of what is encoded already, and
# what browsers send unencoded (WHATWG URL, the path's and the special query's percent-encode sets).
IN_PATH = ":/?#[]@!$&'()*+,;=%|"
IN_QUERY = IN_PATH + "^`{}\\"


def parse(url: str) -> yarl.URL:
    """Parse a URL and keep its spelling: a signed URL is valid in one spelling only.

    Only what a URL cannot hold, such as spaces and other alphabets, is encoded, as browsers do it. Like them this takes
    a backslash in the path for a slash.

    Args:
        url: the text, of an untrusted source.

    Raises:
        BadUrl: it is not an http or https URL with a valid host, or has a port below 1024 other than 80 and 443.
    """
    parts = URL.fullmatch(url)
    try:
        if parts is None:
            raise ValueError("not an http or https URL")
        base = yarl.URL(parts["base"])
        if parts["address"]:
            IPv6Address(parts["address"])  # else yarl takes what is behind a colon in the brackets for the port
        elif not re.fullmatch(r"[a-z0-9_.-]{1,253}", base.raw_host or ""):
            raise ValueError("no name")
        if not base.port or (base.port < 1024 and base.port not in (80, 443)):
            raise ValueError("a port of another protocol")
        rest = percent_encode(parts["rest"])
        return yarl.URL(f"{base.scheme}://{base.raw_authority}{rest}", encoded=True)
    except (ValueError, IndexError):  # IndexError: yarl, for brackets in a user's name
        raise BadUrl from None


def percent_encode(rest: str) -> str:
    """Return path and query of a URL as browsers send them.

    >>> percent_encode("/red hat|1.jpg?name=caf\u00e9&s=a%2fb{1}#top")
    '/red%20hat|1.jpg?name=caf%C3%A9&s=a%2fb{1}'
    """
    parts = PARTS.match(rest)
    assert parts is not None
    path = quote(parts["path"].replace("\\", "/"), safe=IN_PATH, errors="surrogateescape")
    return path + quote(parts["query"], safe=IN_QUERY, errors="surrogateescape")


def origin(target: yarl.URL) -> Origin:
    """Return scheme, host and port of a URL."""
    return target.scheme, target.raw_host or "", target.port or 0


def host_name(target: yarl.URL) -> str:
    """Return the host of a URL with its port, such as "shop.example:80"."""
    return f"{target.raw_host}:{target.port}"


def join(url: str, location: str) -> str:
    """Return the target of a redirect from a URL (RFC 3986, 5.2). Raises BadUrl."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise BadUrl from None
