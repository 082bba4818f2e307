"""Headers for single hosts, such as tokens: IMAGESET_HEADERS_FILE.

They are secret: no message quotes a value, and only the very scheme, host and port that a table names gets its headers.
A download asks for them anew at each hop, so none is sent on after a redirect.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yarl

from imageset.errors import BadUrl, SettingsError
from imageset.web import urls
from imageset.web.urls import Origin

HOST = re.compile(r"(https?://)?[^/?#@\s]+", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# What describes the message, the connection or the part of a photo that is wanted is ours to say.
FORBIDDEN = {
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"),
    *("range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
    *("accept-encoding", "content-encoding"),
}
EXAMPLE = '["photos.example.com"], and below it Authorization = "Bearer ..."'


class HostHeaders:
    """The headers of each scheme, host and port. It shows no values."""

    def __init__(self, headers: Mapping[Origin, Mapping[str, str]]) -> None:
        self._headers = headers

    def __repr__(self) -> str:
        return f"HostHeaders of {len(self._headers)} hosts"

    def names(self) -> list[tuple[str, list[str]]]:
        """Return which headers each scheme, host and port has, without their values."""
        return sorted((str(origin), sorted(headers)) for origin, headers in self._headers.items())

    def of(self, target: yarl.URL) -> dict[str, str]:
        """Return the headers for a URL, none for any other scheme, host or port than a table names."""
        return dict(self._headers.get(urls.origin(target), {}))


def read(path: Path | None) -> HostHeaders:
    """Read the file of headers; without a file there are none.

    Args:
        path: a TOML file with a table for each host, that nobody else on this machine may read.

    Raises:
        SettingsError: the file is missing, malformed or open to everybody. The message quotes nothing of it.
    """
    if path is None:
        return HostHeaders({})
    found: dict[Origin, dict[str, str]] = {}
    for number, (host, headers) in enumerate(parse_toml(path).items(), 1):
        place = f"IMAGESET_HEADERS_FILE: {path}: table {number}"
        if not isinstance(headers, dict):
            raise SettingsError(f"{place} is no table of headers: expected {EXAMPLE}")
        origin = parse_host(host, place)
        if origin in found:
            raise SettingsError(f"{place} is for the same host as another one: put their headers into one table")
        found[origin] = dict(check_headers(headers, place))
    return HostHeaders(found)


def parse_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise SettingsError(f"IMAGESET_HEADERS_FILE: {path} is no file")
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                raise SettingsError(f"IMAGESET_HEADERS_FILE: everybody can read {path}: run chmod 600 {path}")
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"IMAGESET_HEADERS_FILE: {path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = re.search(r"\(at line (\d+)", str(error))
        where = f", line {line[1]}" if line else ""
        raise SettingsError(f"IMAGESET_HEADERS_FILE: {path}{where} is not TOML: expected {EXAMPLE}") from None


def parse_host(host: str, place: str) -> Origin:
    """Return scheme, host and port of `host`, `host:port` (both https) or `http://host:port`. Raises SettingsError."""
    try:
        if not HOST.fullmatch(host):
            raise BadUrl
        return urls.origin(urls.parse(host if "://" in host else f"https://{host}"))
    except BadUrl:
        raise SettingsError(
            f'{place} is named by no host: expected such as ["photos.example.com"], ["photos.example.com:8443"] or '
            '["http://photos.internal:8080"]'
        ) from None


def check_headers(headers: dict[str, Any], place: str) -> list[tuple[str, str]]:
    """Return the headers of a table. Raises SettingsError for one that may not be sent."""
    names: set[str] = set()
    for number, (name, value) in enumerate(headers.items(), 1):
        if isinstance(value, dict):
            raise SettingsError(f'{place}: its name needs quotes, such as ["photos.example.com"]')
        if not NAME.fullmatch(name):
            raise SettingsError(f"{place}, header {number} has no name of a header: expected such as Authorization")
        if name.lower() == "user-agent":
            raise SettingsError(f"{place}: User-Agent is the same for all hosts: set IMAGESET_USER_AGENT")
        if name.lower() in FORBIDDEN or name.lower().startswith("proxy-"):
            raise SettingsError(f"{place}: {name} may not be set: ingest sends it itself or may not send it")
        if not isinstance(value, str) or not VALUE.fullmatch(value):
            raise SettingsError(
                f"{place}: the value of header {number} is no text of visible ASCII characters in quotes"
            )
        if name.lower() in names:
            raise SettingsError(f"{place}, header {number} is there twice")
        names.add(name.lower())
    return list(headers.items())
