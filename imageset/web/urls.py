"""URLs as sellers write them: which are valid, their host, where a redirect leads."""

import re
from urllib.parse import quote, urljoin

import yarl

from imageset.errors import BadUrl

URL = re.compile(
    r"(?P<base>https?://([^/?#\x00-\x1f\x7f]*@)?(\[[0-9a-f:.]+\]|[^]/?#@:[\x00-\x1f\x7f]+)(:[0-9]*)?)"
    r"(?P<rest>([/?#][^\x00-\x1f\x7f]*)?)",
    re.IGNORECASE,
)
SHOWN = 120  # characters of a URL in a message
RESERVED = ":/?#[]@!$&'()*+,;=%"  # RFC 3986, and the percent sign of what is already encoded


def parse(url: str) -> yarl.URL:
    """Parse a URL and keep its spelling: a signed URL is valid in one spelling only.

    Only what a URL cannot hold, such as spaces and other alphabets, is encoded.

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
        if not re.fullmatch(r"[a-z0-9_.-]{1,253}|[0-9a-f:.]*:[0-9a-f:.]*", base.raw_host or ""):
            raise ValueError("neither a name nor an address")
        if not base.port or (base.port < 1024 and base.port not in (80, 443)):
            raise ValueError("a port of another protocol")
        rest = quote(parts["rest"], safe=RESERVED, errors="surrogateescape")
        return yarl.URL(f"{base.scheme}://{base.raw_authority}{rest}", encoded=True)
    except (ValueError, IndexError):  # IndexError: yarl, for brackets in a user's name
        raise BadUrl from None


def host_name(target: yarl.URL) -> str:
    """Return the host of a URL with its port, such as "shop.example:80"."""
    return f"{target.raw_host}:{target.port}"


def show(url: str) -> str:
    """Return a URL for a message: without user, password, query and fragment, which may be secret; also a bad one.

    >>> show("https://me:secret@shop.example/a.jpg?signature=1"), show("shop.example/a b.jpg")
    ('https://shop.example/a.jpg', 'shop.example/a b.jpg')
    """
    place = re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0])
    return place if len(place) <= SHOWN else f"{place[:SHOWN]}..."


def join(url: str, location: str) -> str:
    """Return the target of a redirect from a URL (RFC 3986, 5.2). Raises BadUrl."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise BadUrl from None
