"""URLs and redirects: which are valid, and how their spelling is kept."""

from contextlib import suppress

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from imageset.errors import BadUrl
from imageset.web import urls


@pytest.mark.parametrize(
    ("authority", "path"),
    [
        ("shop.example", "/a%7Eb?signature=x%2fy%3D&n=%C3%A9"),
        ("shop.example", "/a%7eb%2F?x=%e4+y"),
        ("shop.example", "/"),
        ("shop.example:443", "/a/../b/./c"),
        ("shop.example", "//a//b"),
        ("shop.example", "/%zz%"),
        ("shop.example", "/%0d%0aX:%20y"),
        ("shop.example", "/a+b%20c;d=1,2?x=[1]&y=a'b(c)*!$@:?"),
        ("user:p%40ss@shop.example", "/~a_b-c.d"),
        ("93.184.216.34:8080", "/a"),
        ("[2606:2800:220:1::1]:8080", "/a"),
    ],
)
def test_a_url_keeps_its_spelling(authority: str, path: str) -> None:
    target = urls.parse(f"http://{authority}{path}#fragment")

    assert target.raw_path_qs == path
    assert target.raw_authority == authority


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://shop.example", "/"),
        ("http://shop.example?q=/", "/?q=/"),
        ("http://shop.example#a", "/"),
    ],
)
def test_a_url_without_path_leads_to_the_root(url: str, path: str) -> None:
    assert urls.parse(url).raw_path_qs == path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://shop.example/a b.jpg", "/a%20b.jpg"),
        ("https://shop.example/photos/my photo.jpg", "/photos/my%20photo.jpg"),
        ("http://shop.example/caf\u00e9?n=\u00e9", "/caf%C3%A9?n=%C3%A9"),
        ("http://shop.example/\U0001f455.jpg", "/%F0%9F%91%95.jpg"),
        ('http://shop.example/a"b<c>d`e{f}|g^h\\i', "/a%22b%3Cc%3Ed%60e%7Bf%7D|g%5Eh/i"),
        ("http://shop.example?a\"b<c>d`e{f}|g^h\\i'j k", "/?a%22b%3Cc%3Ed`e{f}|g^h\\i'j%20k"),
        ("http://shop.example/a#b?c d", "/a"),
        ("http://shop.example/a\x85\xa0\u2028b", "/a%C2%85%C2%A0%E2%80%A8b"),
        # The rest of such a URL keeps its spelling.
        ("http://shop.example/a b%7E?signature=x%2fy%3D", "/a%20b%7E?signature=x%2fy%3D"),
        ("http://shop.example/\u00e9%7e?signature=x%2fy%3D+z", "/%C3%A9%7e?signature=x%2fy%3D+z"),
        # Bytes that are not UTF-8, as aiohttp passes those of a Location on.
        ("http://shop.example/caf\udce9.jpg", "/caf%E9.jpg"),
    ],
)
def test_characters_that_a_url_cannot_hold_are_percent_encoded(url: str, path: str) -> None:
    assert urls.parse(url).raw_path_qs == path


def test_a_name_in_another_alphabet_is_asked_by_its_ascii_name() -> None:
    assert urls.parse("http://m\u00fcnchen.example/").raw_host == "xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://shop.example/", 80),
        ("https://shop.example/", 443),
        ("http://shop.example:443/", 443),
        ("http://shop.example:/", 80),
        ("http://shop.example:8080/", 8080),
        ("http://shop.example:65535/", 65535),
        ("HTTP://shop.example/", 80),
        ("http://shop.example./", 80),
    ],
)
def test_a_url_has_a_port(url: str, port: int) -> None:
    assert urls.parse(url).port == port


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://shop.example/a{character}b" for character in "\r\n\t\0\x0b\x0c\x1f\x7f"),
        "http://shop.example\r\n/",
        "\nhttp://shop.example/",
        "http://shop.example/\n",
        "ht\ntp://shop.example/",
        "",
        "/",
        "//shop.example/a",
        "shop.example/a",
        "http:",
        "http:shop.example/a",
        "http:/shop.example",
        "http://",
        "http:///a",
        "http://?a",
        "http://#a",
        "http://@/",
        "http://:80/",
        "http://user@/",
        *(
            f"{scheme}://shop.example/a"
            for scheme in ("ftp", "file", "gopher", "ws", "dict", "ldap", "httpx", "http+unix")
        ),
        "file:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "mailto:a@shop.example",
        *(
            f"http://shop.example:{port}/"
            for port in (0, 1, 22, 25, 110, 1023, 65536, 99999, -1, "9" * 400, "http", "80a")
        ),
        *(
            f"http://shop.example:{port}/"
            for port in ("+80", " 80", "8_0", "\uff18\uff10", "\u0668\u0660", "80:80", "1e3")
        ),
        "http://[",
        "http://[::1",
        "http://::1]/",
        "http://[]/",
        "http://[g::1]/",
        "http://[::1]a/",
        "http://[127.0.0.1]/",
        "http://[192.0.2.1:22]/",
        "http://[192.0.2.1:8080]/",
        "http://[192.0.2.1:22]:8080/",
        "http://[1:2]/",
        "http://[:0:]/",
        "http://[:]/",
        "http://[::1::2]/",
        "http://[1:2:3:4:5:6:7:8:9]/",
        "http://[]@",
        "http://[a]@/a",
        "http://[@shop.example]/",
    ],
)
def test_a_url_that_is_not_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        urls.parse(url)


ANY_TEXT = st.text() | st.text("htps:/@[]?#.%0123456789ax \t\u00e9\uff10\\")
IN_BRACKETS = st.text("0123456789af:.").map("http://[{}]/".format)


@given(ANY_TEXT | ANY_TEXT.map("http://".__add__) | IN_BRACKETS)
def test_any_text_is_a_valid_url_or_refused(url: str) -> None:
    try:
        target = urls.parse(url)
    except BadUrl:
        return

    assert target.scheme in ("http", "https")
    assert target.raw_host
    assert target.port in (80, 443) or 1024 <= (target.port or 0) <= 65535
    assert target.raw_path_qs.isascii()
    assert urls.origin(yarl.URL(str(target))) == urls.origin(target)
    assert not set(target.raw_path_qs) & set(" \r\n\t\0")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("c", "http://shop.example/a/c"),
        ("/c", "http://shop.example/c"),
        ("../c", "http://shop.example/c"),
        ("?y=2", "http://shop.example/a/b?y=2"),
        ("", "http://shop.example/a/b?x=1"),
        ("//other.example/c", "http://other.example/c"),
        ("https://other.example/c", "https://other.example/c"),
        ("http://other.example/a%7Eb?s=x%2fy%3D", "http://other.example/a%7Eb?s=x%2fy%3D"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("data:,x", "data:,x"),
    ],
)
def test_a_location_is_joined_to_the_url_it_came_from(location: str, url: str) -> None:
    assert urls.join("http://shop.example/a/b?x=1", location) == url


@pytest.mark.parametrize("location", ["http://[", "//[::1", "http://\u2100.example/"])
def test_a_location_that_cannot_be_joined_is_a_bad_url(location: str) -> None:
    with pytest.raises(BadUrl):
        urls.join("http://shop.example/", location)


@given(ANY_TEXT | ANY_TEXT.map("//".__add__) | ANY_TEXT.map("http://".__add__))
def test_any_text_in_a_location_is_joined_or_refused(location: str) -> None:
    with suppress(BadUrl):
        urls.parse(urls.join("http://shop.example/a/b?x=1", location))
