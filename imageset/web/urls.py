"""Urls as strangers write them: what is one, its host, where a redirect leads."""

import re
from urllib.parse import quote, urljoin

import yarl

from imageset.errors import BadUrl

URL = re.compile(
    r"(?P<base>https?://([^/?#\x00-\x1f\x7f]*@)?(\[[0-9a-f:.]+\]|[^]/?#@:[\x00-\x1f\x7f]+)(:[0-9]*)?)"
    r"(?P<rest>([/?#][^\x00-\x1f\x7f]*)?)",
    re.IGNORECASE,
)
RESERVED = ":/?#[]@!$&'()*+,;=%"  # RFC 3986, and the percent sign of what is encoded already


def parse(url: str) -> yarl.URL:
    """Return a url as it was written, since a signed one is good in one spelling only. Raises BadUrl.

    What a url cannot hold, spaces and other alphabets, is encoded, and nothing else.
    """
    parts = URL.fullmatch(url)
    try:
        if parts is None:
            raise ValueError("not a url of the web")
        base = yarl.URL(parts["base"])
        if not re.fullmatch(r"[a-z0-9_.-]{1,253}|[0-9a-f:.]*:[0-9a-f:.]*", base.raw_host or ""):
            raise ValueError("neither a name nor an address")
        if not base.port or (base.port < 1024 and base.port not in (80, 443)):
            raise ValueError("a port of another protocol")
        rest = quote(parts["rest"], safe=RESERVED, errors="surrogateescape")
        return yarl.URL(f"{base.scheme}://{base.raw_authority}{rest}", encoded=True)
    except (ValueError, IndexError):  # yarl's, for brackets in a user's name
        raise BadUrl from None


def host_name(target: yarl.URL) -> str:
    """Return the name that stands for a url's host, with its port: "shop.example:80"."""
    return f"{target.raw_host}:{target.port}"


def join(url: str, location: str) -> str:
    """Return where a redirect from a url leads (RFC 3986, 5.2). Raises BadUrl."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise BadUrl from None
