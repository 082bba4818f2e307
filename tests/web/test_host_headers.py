"""Headers for single hosts: who gets them, what the file may say, and that nothing quotes a value."""

import asyncio
from pathlib import Path

import pytest
import yarl

from imageset.errors import SettingsError
from imageset.web import host_headers, urls
from imageset.web.host_headers import HostHeaders
from imageset.web.web_client import WebClient
from tests.web.test_download import BYTES_IN_MEMORY, PHOTO, RawHost, complete, outcome, redirect

SECRET = "Bearer-top-secret"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def client_for(*ports: int, headers: HostHeaders, user_agent: str = "imageset") -> WebClient:
    hosts = frozenset((name, port) for name in ("127.0.0.1", "localhost") for port in ports)
    return WebClient(hosts, 1, BYTES_IN_MEMORY, frozenset({"noai"}), user_agent, headers)


def file_for(folder: Path, host: str) -> Path:
    return write(folder / "headers.toml", f'["{host}"]\nAuthorization = "{SECRET}"\nX-Shop = "7"\n')


def test_a_host_gets_its_headers_and_no_redirect_takes_them_along(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = RawHost(), RawHost()
        async with here.serving() as port, there.serving() as other:
            headers = host_headers.read(file_for(tmp_path, f"http://127.0.0.1:{port}"))
            here.answers |= {
                "/1": complete(),
                "/2": redirect(f"http://127.0.0.1:{other}/away"),
                "/3": redirect(f"http://localhost:{port}/1"),  # the same server by another name
                "/4": redirect("/1"),
            }
            there.answers |= {"/away": complete(), "/back": redirect(f"http://127.0.0.1:{port}/1")}
            async with client_for(port, other, headers=headers) as client:
                for url in (f":{port}/1", f":{port}/2", f":{port}/3", f":{port}/4", f":{other}/back"):
                    assert await outcome(client, f"http://127.0.0.1{url}") == PHOTO

        has_token = [f"authorization: {SECRET.lower()}\r\n" in head and "x-shop: 7\r\n" in head for head in here.heads]
        assert list(zip(here.asked, has_token, strict=True)) == [
            ("/1", True),
            ("/2", True),
            ("/3", True),
            ("/1", False),
            ("/4", True),
            ("/1", True),
            ("/1", True),
        ]
        assert there.asked == ["/away", "/back"]
        assert not [head for head in there.heads if "secret" in head or "x-shop" in head]

    asyncio.run(main())


def test_the_file_s_token_counts_and_not_the_user_of_a_url(tmp_path: Path) -> None:
    async def main() -> None:
        host = RawHost()
        host.answers["/a%7eb|c?x=%2f"] = complete()
        async with host.serving() as port:
            headers = host_headers.read(file_for(tmp_path, f"http://127.0.0.1:{port}"))
            async with client_for(port, headers=headers) as client:
                assert await outcome(client, f"http://me:password@127.0.0.1:{port}/a%7eb|c?x=%2f") == PHOTO

        assert host.heads[0].count("authorization:") == 1
        assert SECRET.lower() in host.heads[0]

    asyncio.run(main())


def test_requests_name_the_agent_and_robots_tags_may_address_it() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers |= {
            "/1": complete(),
            "/2": complete(PHOTO, "X-Robots-Tag: shopbot: noai"),
            "/3": complete(PHOTO, "X-Robots-Tag: imageset: noai"),
            "/4": complete(PHOTO, "X-Robots-Tag: mailto: noai"),
        }
        async with host.serving() as port:
            agent = "ShopBot/1.0 (+mailto:data@shop.example)"
            async with client_for(port, headers=HostHeaders({}), user_agent=agent) as client:
                results = [await outcome(client, f"http://127.0.0.1:{port}/{number}") for number in range(1, 5)]

        assert results == [PHOTO, "robots_tag", "robots_tag", PHOTO]
        assert all(f"user-agent: {agent.lower()}\r\n" in head for head in host.heads)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("table", "url", "gets"),
    [
        ("shop.example", "https://shop.example/a", True),
        ("shop.example", "https://SHOP.example:443/a", True),
        ("Shop.Example:443", "https://shop.example/a", True),
        ("m\u00fcnchen.example", "https://xn--mnchen-3ya.example/", True),
        ("http://shop.example", "http://shop.example/a", True),
        ("shop.example:8443", "https://shop.example:8443/a", True),
        ("[2606:2800:220:1::1]:8443", "https://[2606:2800:220:1::1]:8443/a", True),
        ("shop.example", "http://shop.example/a", False),
        ("shop.example", "http://shop.example:443/a", False),
        ("http://shop.example", "https://shop.example/a", False),
        ("http://shop.example:8080", "https://shop.example:8080/a", False),
        ("shop.example", "https://shop.example:8443/a", False),
        ("shop.example:8443", "https://shop.example/a", False),
        ("shop.example", "https://cdn.shop.example/a", False),
        ("shop.example", "https://shop.example.evil.example/a", False),
        ("shop.example", "https://shop.example./a", False),
        ("shop.example", "https://shop.example@evil.example/a", False),
    ],
)
def test_scheme_host_and_port_have_to_be_the_same(table: str, url: str, gets: bool, tmp_path: Path) -> None:
    headers = host_headers.read(file_for(tmp_path, table))

    assert bool(headers.of(urls.parse(url))) is gets
    assert SECRET not in f"{headers!r} {headers}"


def test_without_a_file_there_are_no_headers() -> None:
    assert host_headers.read(None).of(yarl.URL("https://shop.example/")) == {}


TABLE = '["shop.example"]\n'
MALFORMED = {
    "no TOML": (f'{TABLE}Authorization = "{SECRET}\n', "line 2 is not TOML: expected"),
    "no quotes": (f"{TABLE}Authorization = {SECRET}\n", "line 2 is not TOML"),
    "JSON": (f'{{"shop.example": {{"Authorization": "{SECRET}"}}}}', "line 1 is not TOML"),
    "no table": (f'Authorization = "{SECRET}"\n', "table 1 is no table of headers"),
    "bare name": (
        f'[shop.example]\nAuthorization = "{SECRET}"\n',
        r'table 1: its name needs quotes, such as \["photos',
    ),
    "a path": (f'["shop.example/{SECRET}"]\nX = "1"\n', "table 1 is named by no host"),
    "a user": (f'["{SECRET}@shop.example"]\nX = "1"\n', "table 1 is named by no host"),
    "a port of mail": ('["shop.example:25"]\nX = "1"\n', "table 1 is named by no host"),
    "no host": ('[""]\nX = "1"\n', "table 1 is named by no host"),
    "another scheme": ('["s3://shop"]\nX = "1"\n', "table 1 is named by no host"),
    "the same host": (f'{TABLE}X = "1"\n["SHOP.example:443"]\nX = "{SECRET}"\n', "table 2 is for the same host"),
    "a number": (f"{TABLE}X = 1\n", "value of header 1 is no text"),
    "a list": (f'{TABLE}X = ["{SECRET}"]\n', "value of header 1 is no text"),
    "a line break": (f'{TABLE}X = "{SECRET}\\r\\nX-Other: 1"\n', "value of header 1 is no text"),
    "NUL": (f'{TABLE}X = "{SECRET}\\u0000"\n', "value of header 1 is no text"),
    "another alphabet": (f'{TABLE}X = "{SECRET}\u00e9"\n', "value of header 1 is no text"),
    "empty": (f'{TABLE}X = ""\n', "value of header 1 is no text"),
    "blanks": (f'{TABLE}X = " {SECRET}"\n', "value of header 1 is no text"),
    "a name with a break": (f'{TABLE}"{SECRET}\\n" = "1"\n', "header 1 has no name of a header"),
    "a name with a colon": (f'{TABLE}"{SECRET}:" = "1"\n', "header 1 has no name of a header"),
    "twice": (f'{TABLE}X = "1"\nx = "{SECRET}"\n', "header 2 is there twice"),
    "agent": (f'{TABLE}User-Agent = "{SECRET}"\n', "set IMAGESET_USER_AGENT"),
} | {
    name: (f'{TABLE}{name} = "{SECRET}"\n', f"table 1: {name} may not be set")
    for name in ("Host", "content-length", "Transfer-Encoding", "Range", "If-Match", "Proxy-Authorization", "TE")
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_named_and_nothing_of_it_quoted(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "headers.toml", text)

    with pytest.raises(SettingsError, match=rf"IMAGESET_HEADERS_FILE: {path}.*{message}") as caught:
        host_headers.read(path)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_everybody_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = write(tmp_path / "headers.toml", "", mode)

    with pytest.raises(SettingsError, match=rf"everybody can read {path}: run chmod 600 {path}$"):
        host_headers.read(path)

    path.chmod(0o640)
    host_headers.read(path)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"IMAGESET_HEADERS_FILE: .* cannot be read \((No such|Is a dir)"):
        host_headers.read(tmp_path / name)
