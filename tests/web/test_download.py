"""Downloads of one photo from hosts that send any bytes at any time."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from imageset.errors import Refused, Unreachable
from imageset.photos.file_formats import FORMATS, HEAD_BYTES
from imageset.web import download, host_limits, transfer, urls, web_client
from imageset.web.web_client import WebClient
from tests.certificates import make_server_context
from tests.conftest import jpeg, plain_image
from tests.photos.samples import BY_NAME

PHOTO = jpeg(plain_image())
LARGE = PHOTO + bytes(300_000)
BYTES_IN_MEMORY = 1_000_000

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class RawHost:
    """A host on loopback that answers each path with raw bytes, or with a function that controls the connection."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Answer] = {}
        self.asked: list[str] = []
        self.heads: list[str] = []  # of all requests, in lower case
        self.connections = 0
        self.sent: Counter[str] = Counter()
        self.talks: set[asyncio.Task[None] | None] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other on one connection."""
        self.connections += 1
        self.talks.add(asyncio.current_task())
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1].decode()
                self.heads.append(head.decode("latin-1").lower())
                self.asked.append(path)
                answer = self.answers[path]
                if isinstance(answer, bytes):
                    await send(writer, answer)
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client closed the connection, or the test is over
        finally:
            writer.close()

    @asynccontextmanager
    async def serving(self, own: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """Yield the port where it listens."""
        async with await asyncio.start_server(self.talk, "127.0.0.1", 0, ssl=own) as server:
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                for task in self.talks:
                    assert task is not None
                    task.cancel()
                await asyncio.gather(*filter(None, self.talks), return_exceptions=True)

    def endless(self, path: str, first: bytes, piece: bytes, seconds: float = 0.0) -> Answer:
        """Answer with some bytes and then one piece again and again; `sent` counts the bytes that were sent."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            await send(writer, first)
            while True:
                await send(writer, piece)
                self.sent[path] += len(piece)
                await asyncio.sleep(seconds)

        self.answers[path] = answer
        return answer


async def send(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    await writer.drain()


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def complete(content: bytes = PHOTO, *headers: str, status: str = "200 OK") -> bytes:
    """Return a well-formed answer."""
    return head(f"Content-Length: {len(content)}", *headers, status=status) + content


def redirect(location: str) -> bytes:
    return complete(b"", f"Location: {location}", status="302 Found")


def chunked(*pieces: bytes) -> bytes:
    chunks = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in [*pieces, b""])
    return head("Transfer-Encoding: chunked") + chunks


def then_close(content: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        await send(writer, content)
        writer.close()

    return answer


def then_silence(content: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        await send(writer, content)
        await asyncio.sleep(3600)

    return answer


@pytest.fixture(autouse=True)
def fast_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses, and reduce the bytes in memory."""
    monkeypatch.setattr(host_limits, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(web_client, "BYTES_IN_MEMORY", BYTES_IN_MEMORY)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a request a tenth of a second. For answers that fail only: a busy machine may take longer."""
    monkeypatch.setattr(transfer, "SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr(transfer, "SECONDS_PER_REQUEST", 0.1)


def new_client(*ports: int, connections: int = 1, max_bytes: int = BYTES_IN_MEMORY) -> WebClient:
    return WebClient(
        frozenset(("127.0.0.1", port) for port in ports), connections, max_bytes, frozenset({"noai", "noindex"})
    )


async def outcome(client: WebClient, url: str) -> bytes | str:
    """Return the body behind a URL, or why there is none."""
    try:
        async with download.download(client, url) as body:
            return body.content
    except Refused as refusal:
        return str(refusal)
    except Unreachable as failure:
        return failure.reason or f"unreachable: {str(failure).partition(': ')[2]}"


def ask(host: RawHost, path: str = "/photo", max_bytes: int = BYTES_IN_MEMORY) -> bytes | str:
    """Return the body that a host sends, or why there is none.

    Afterwards the host's only slot, and all bytes in memory, must be free for another photo.
    """
    everything = PHOTO + bytes(max_bytes - len(PHOTO)) if max_bytes > len(PHOTO) else PHOTO[:max_bytes]
    host.answers["/everything"] = complete(everything)

    async def main() -> bytes | str:
        async with asyncio.timeout(60), host.serving() as port, new_client(port, max_bytes=max_bytes) as client:
            first = await outcome(client, f"http://127.0.0.1:{port}{path}")
            with pytest.MonkeyPatch.context() as patience:
                patience.setattr(transfer, "SECONDS_TO_ANSWER", 30.0)
                patience.setattr(transfer, "SECONDS_PER_REQUEST", 30.0)
                second = await outcome(client, f"http://127.0.0.1:{port}/everything")

            assert second == everything
            return first

    return asyncio.run(main())


def ask_one(answer: bytes | Answer, max_bytes: int = BYTES_IN_MEMORY) -> bytes | str:
    """Do as `ask` with a host that gives this answer."""
    host = RawHost()
    host.answers["/photo"] = answer
    return ask(host, max_bytes=max_bytes)


# Well-formed answers


def test_a_body_is_what_was_sent() -> None:
    assert ask_one(complete(LARGE)) == LARGE
    assert ask_one(chunked(LARGE[:100], LARGE[100:200_000], LARGE[200_000:])) == LARGE
    assert ask_one(then_close(head() + LARGE)) == LARGE


def test_one_photo_is_downloaded() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers["/photo"] = complete(PHOTO)
        async with host.serving() as port, new_client(port) as client:
            body = await outcome(client, f"http://127.0.0.1:{port}/photo")

        assert body == PHOTO

    asyncio.run(main())


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd8", b"x" * 15], ids=len)
def test_a_body_of_a_few_bytes_is_left_to_the_decoder(content: bytes) -> None:
    assert ask_one(complete(content)) == content


@pytest.mark.parametrize("first", [1, 5, 15, 16])
def test_a_photo_whose_first_bytes_come_alone_is_downloaded(first: int) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        await send(writer, complete(PHOTO)[: -len(PHOTO) + first])
        await asyncio.sleep(0.02)
        await send(writer, PHOTO[first:])

    assert ask_one(answer) == PHOTO


def test_a_connection_serves_all_requests_to_its_host() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers |= {
            "/1": complete(),
            "/2": chunked(PHOTO),
            "/3": redirect("/1"),
            "/4": complete(b"", status="404 Gone"),
        }
        async with host.serving() as port, new_client(port) as client:
            for number in (1, 2, 3, 4, 1):
                await outcome(client, f"http://127.0.0.1:{port}/{number}")

        assert host.asked == ["/1", "/2", "/3", "/1", "/4", "/1"]
        assert host.connections == 1

    asyncio.run(main())


def test_two_spellings_of_a_name_are_one_host() -> None:
    async def main() -> None:
        async with new_client() as client:
            host = client.host(urls.host_name(urls.parse("http://Shop.Example/1")))

            assert host.name == "shop.example:80"
            assert client.host(urls.host_name(urls.parse("http://shop.example:80/2"))) is host
            assert client.host(urls.host_name(urls.parse("http://user@SHOP.example?3"))) is host
            assert client.host(urls.host_name(urls.parse("http://shop.example:8080/"))) is not host
            assert client.host(urls.host_name(urls.parse("https://shop.example/"))) is not host

    asyncio.run(main())


# Redirects


def test_relative_and_absolute_redirects_and_those_with_odd_characters_are_followed() -> None:
    host = RawHost()
    host.answers |= {
        "/a/photo": redirect("b"),
        "/a/b": redirect("../c"),
        "/c": redirect("/d e"),
        "/d%20e": redirect("?f"),
        "/d%20e?f": redirect("/caf\u00c3\u00a9"),
        "/caf%C3%A9": complete(),
    }

    assert ask(host, "/a/photo") == PHOTO
    assert host.asked[:-1] == ["/a/photo", "/a/b", "/c", "/d%20e", "/d%20e?f", "/caf%C3%A9"]


def test_a_location_that_is_not_utf8_is_asked_byte_by_byte() -> None:
    host = RawHost()
    host.answers |= {"/photo": redirect("/caf\u00e9"), "/caf%E9": complete()}

    assert ask(host) == PHOTO


def test_line_breaks_in_a_location_make_no_second_request() -> None:
    host = RawHost()
    host.answers |= {"/photo": redirect("/a%0d%0aGET%20/b"), "/a%0d%0aGET%20/b": complete(), "/b": complete(b"")}

    assert ask(host) == PHOTO
    assert "/b" not in host.asked


@pytest.mark.parametrize("make", ["http://127.0.0.1:{}/photo", "//127.0.0.1:{}/photo"])
def test_a_redirect_leads_to_another_host(make: str) -> None:
    async def main() -> None:
        here, there = RawHost(), RawHost()
        async with here.serving() as port, there.serving() as other_port, new_client(port, other_port) as client:
            here.answers["/photo"] = redirect(make.format(other_port))
            there.answers["/photo"] = complete()
            body = await outcome(client, f"http://127.0.0.1:{port}/photo")

        assert isinstance(body, bytes)
        assert (here.asked, there.asked) == (["/photo"], ["/photo"])

    asyncio.run(main())


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused() -> None:
    async def main() -> None:
        here, there = RawHost(), RawHost()
        async with here.serving() as port, there.serving() as other_port, new_client(port) as client:
            here.answers["/photo"] = redirect(f"http://127.0.0.1:{other_port}/photo")

            assert await outcome(client, f"http://127.0.0.1:{port}/photo") == "private_address"
            assert there.connections == 0

    asyncio.run(main())


@pytest.mark.parametrize(("redirects", "result"), [(5, PHOTO), (6, "too_many_redirects")])
def test_five_redirects_are_followed_and_no_more(redirects: int, result: bytes | str) -> None:
    host = RawHost()
    host.answers |= {f"/{number}": redirect(f"/{number + 1}") for number in range(redirects)}
    host.answers[f"/{redirects}"] = complete()

    assert ask(host, "/0") == result
    assert len(host.asked) == 6 + 1


@pytest.mark.parametrize("location", ["/photo", "/other", "", "#x"])
def test_a_redirect_loop_ends(location: str) -> None:
    host = RawHost()
    host.answers |= {"/photo": redirect(location), "/other": redirect("/photo")}

    assert ask(host) == "too_many_redirects"
    assert len(host.asked) == 6 + 1


def needs_cookie(host: RawHost, path: str, location: str, cookie: bytes = b"session=1") -> None:
    """Redirect a path until the request has the cookie that the redirect sets."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        has_cookie = f"\r\ncookie: {cookie.decode()}\r\n" in host.heads[-1]
        sets = b"Set-Cookie: %s; Path=/; HttpOnly\r\n\r\n" % cookie
        await send(writer, complete() if has_cookie else redirect(location).replace(b"\r\n\r\n", b"\r\n" + sets))

    host.answers[path] = answer


@pytest.mark.parametrize("location", ["/photo", "", "photo", "//{}/photo", "http://{}/photo"])
def test_a_redirect_to_itself_that_sets_a_cookie_is_followed_with_it(location: str) -> None:
    async def main() -> None:
        host = RawHost()
        async with host.serving() as port, new_client(port) as client:
            url = f"http://127.0.0.1:{port}/photo"
            needs_cookie(host, "/photo", location.format(f"127.0.0.1:{port}"))

            assert [await outcome(client, url) for _ in range(2)] == [PHOTO] * 2
            # No cookie outlives its photo.
            assert ["cookie:" in head for head in host.heads] == [False, True] * 2

    asyncio.run(main())


def test_a_cookie_of_a_page_between_is_sent_back() -> None:
    host = RawHost()
    needs_cookie(host, "/photo", "/consent", b"session=0; ok=1")
    host.answers["/consent"] = complete(b"", "Location: /photo", "Set-Cookie: ok=1", status="302 Found")

    assert ask(host) == PHOTO
    assert host.asked[:-1] == ["/photo", "/consent", "/photo"]


def test_a_cookie_that_changes_nothing_ends_with_the_redirects() -> None:
    host = RawHost()
    host.answers["/photo"] = complete(b"", "Location: /photo", "Set-Cookie: a=b", status="302 Found")

    assert ask(host) == "too_many_redirects"
    assert len(host.asked) == 6 + 1


def test_a_cookie_is_sent_to_no_other_host_and_no_other_port() -> None:
    async def main() -> None:
        here, there = RawHost(), RawHost()
        async with here.serving() as port, there.serving() as other_port, new_client(port, other_port) as client:
            location = f"http://127.0.0.1:{other_port}/photo"
            cookies = [f"Set-Cookie: a{number}=b; Domain={name}" for number, name in enumerate(["127.0.0.1", "0.0.1"])]
            here.answers["/photo"] = complete(
                b"", f"Location: {location}", "Set-Cookie: c=d", *cookies, status="302 Found"
            )
            there.answers["/photo"] = complete()

            assert await outcome(client, f"http://127.0.0.1:{port}/photo") == PHOTO
            assert "cookie" not in there.heads[0]

    asyncio.run(main())


@pytest.mark.parametrize(
    "cookie",
    [b'=;;\xff="\\', b"caf\xe9=1", b"a=\x01", b"=", b"a" * 60_000, b"a=b; Expires=never; Max-Age=-", b"a=b\x7f"],
)
def test_odd_cookies_do_no_harm(cookie: bytes) -> None:
    host = RawHost()
    sets = b"\r\n" + b"Set-Cookie: %s\r\n" % cookie * (1 if len(cookie) > 1000 else 500)
    host.answers |= {"/photo": redirect("/there").replace(b"\r\n\r\n", sets + b"\r\n"), "/there": complete()}

    assert ask(host) == PHOTO


@pytest.mark.parametrize("cookie", ["a secret=b", "\u00e9=secret"])
def test_no_cookie_comes_into_the_log(cookie: str, caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp warns of a name that no cookie may have."""
    host = RawHost()
    host.answers |= {
        "/photo": complete(b"", "Location: /there", f"Set-Cookie: {cookie}", status="302 Found"),
        "/there": complete(),
    }

    assert ask(host) == PHOTO
    assert not caplog.records


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/photo",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "http://127.0.0.1:22/",
        "http://127.0.0.1:99999/",
        "http://[",
        "gopher://127.0.0.1:8080/_GET",
    ],
)
def test_a_redirect_to_another_protocol_is_a_bad_url(location: str) -> None:
    assert ask_one(redirect(location)) == "bad_url"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_each_redirect_status_is_followed(status: int) -> None:
    host = RawHost()
    host.answers |= {"/photo": complete(b"", "Location: /there", status=f"{status} Moved"), "/there": complete()}

    assert ask(host) == PHOTO


def test_a_redirect_with_a_body_that_does_not_end_is_followed() -> None:
    host = RawHost()
    host.endless("/photo", head("Location: /there", status="302 Found"), bytes(1000), 0.001)
    host.answers["/there"] = complete()

    assert ask(host) == PHOTO


# Refusals: the bodies of these are not read

NOT_LISTED = {name: body for name, body in BY_NAME.items() if name not in FORMATS}
REFUSED = {
    "206": (head("Content-Length: 1000", status="206 Partial Content"), "refused"),
    "300": (head("Content-Length: 1000", "Location: /there", status="300 Multiple Choices"), "refused"),
    "302 to nowhere": (head("Content-Length: 1000", status="302 Found"), "refused"),
    "404": (head("Content-Length: 1000", status="404 Not Found"), "not_found"),
    "410": (head("Content-Length: 1000", status="410 Gone"), "gone"),
    "418": (head("Content-Length: 1000", status="418 I'm a teapot"), "refused"),
    "451": (head("Content-Length: 1000", status="451 Unavailable For Legal Reasons"), "forbidden"),
    "robots": (head("Content-Length: 1000", "X-Robots-Tag: noai"), "robots_tag"),
    "robots in the second header": (
        head("Content-Length: 1000", "x-robots-tag: nofollow", "X-ROBOTS-TAG: NoIndex"),
        "robots_tag",
    ),
    "gzip": (head("Content-Length: 1000", "Content-Encoding: gzip"), "encoded"),
    "twice": (head("Content-Length: 1000", "Content-Encoding: identity, GZIP"), "encoded"),
    "large": (head(f"Content-Length: {BYTES_IN_MEMORY + 1}"), "too_large"),
    "as large as can be": (head(f"Content-Length: {2**63 - 1}"), "too_large"),
    "html": (head("Content-Length: 1000") + b"<!DOCTYPE html><html>", "not_an_image"),
    **{name: (head("Content-Length: 1000") + each[:HEAD_BYTES], f"format_{name}") for name, each in NOT_LISTED.items()},
    "svg after a declaration": (head("Content-Length: 1000") + b'<?xml version="1.0"?>\n<svg>', "format_svg"),
    "heic of a general brand": (head("Content-Length: 1000") + b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "format_heic"),
    "html in chunks": (head("Transfer-Encoding: chunked") + b"15\r\n<!DOCTYPE html><html>\r\n", "not_an_image"),
}


@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_answer_refused_by_its_headers_is_refused_before_its_body(answer: bytes, reason: str) -> None:
    started = time.monotonic()

    assert ask_one(then_silence(answer)) == reason
    assert time.monotonic() - started < transfer.SECONDS_PER_REQUEST


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_is_refused(status: str) -> None:
    assert ask_one(head("Location: /there", status=status)) == "refused"


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Robots-Tag: nofollow"],
        ["X-Robots-Tag: googlebot: noai"],
        ["Content-Type: text/html"],
        ['Set-Cookie: =;;\u00ff="\\', "Content-Type: \u00ff/;;;charset=\u00ff"],
        ["Link: <x>", "Refresh: 0; url=/other", "Location: /other"],
    ],
)
def test_headers_that_do_not_concern_the_bytes_refuse_no_photo(headers: list[str]) -> None:
    assert ask_one(complete(PHOTO, *headers)) == PHOTO


NO_COMPRESSION = ["", "identity", "none", "utf-8", "aws-chunked", "binary", "UTF-8, aws-chunked", "aws-chunked,"]


@pytest.mark.parametrize("names", NO_COMPRESSION)
def test_a_content_encoding_that_names_no_compression_is_no_reason(names: str) -> None:
    assert ask_one(complete(PHOTO, f"Content-Encoding: {names}")) == PHOTO
    assert ask_one(complete(PHOTO, f"Content-Encoding: {names}", "Content-Encoding: gzip")) == "encoded"


def test_html_is_cut_off_after_its_first_bytes() -> None:
    host = RawHost()
    host.endless("/photo", head(), b"<!DOCTYPE html>" * 1000)

    assert ask(host) == "not_an_image"
    assert host.sent["/photo"] < 20_000_000  # what the kernel buffers at both ends


@pytest.mark.parametrize("headers", [(), ("Content-Length: 900000000",), ("Transfer-Encoding: chunked",)], ids=str)
def test_a_body_without_end_is_cut_off(headers: tuple[str, ...]) -> None:
    host = RawHost()
    piece = b"186a0\r\n" + bytes(100_000) + b"\r\n" if "chunked" in str(headers) else bytes(100_000)
    first = b"%x\r\n%s\r\n" % (len(PHOTO), PHOTO) if "chunked" in str(headers) else PHOTO
    host.endless("/photo", head(*headers) + first, piece)

    assert ask(host) == "too_large"
    assert host.sent["/photo"] < 20_000_000


def test_a_body_of_exactly_max_bytes_is_accepted_and_one_more_byte_refused() -> None:
    for answer in (complete, chunked):
        assert ask_one(answer(LARGE), max_bytes=len(LARGE)) == LARGE
        assert ask_one(answer(LARGE), max_bytes=len(LARGE) - 1) == "too_large"


@pytest.mark.parametrize("user", ["a%3Ab:c", "%E4%BD%A0:x", "\u4f60:x", "%0d%0aX:y", "a:b:c", ":", "%00"])
def test_a_user_in_the_url_is_accepted_or_refused(user: str) -> None:
    async def main() -> None:
        host = RawHost()
        host.answers["/photo"] = complete()
        async with host.serving() as port, new_client(port) as client:
            result = await outcome(client, f"http://{user}@127.0.0.1:{port}/photo")

        assert isinstance(result, bytes) or result == "bad_url"

    asyncio.run(main())


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        "..",
        ".a",
        "a" * 64 + ".b",
        "a." * 130 + "b",
        "127.1",
        "2130706433",
        "256.1.1.1",
        "0",
        "a b",
        "a%00",
        "%31%32%37.0.0.1",
        "[v1.x]",
        "$(x)",
    ],
)
def test_a_host_that_is_neither_name_nor_address_is_a_bad_url(host: str) -> None:
    """It must not count as unreachable, which would be asked again in every run."""

    async def main() -> None:
        async with new_client() as client:
            assert await outcome(client, f"http://{host}:8080/") == "bad_url"

    asyncio.run(main())


# Failures that may pass


def test_a_wrong_certificate_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    """aiohttp's error for it is a ValueError, like those for bad URLs."""
    own = make_server_context(tmp_path)

    async def main() -> None:
        host = RawHost()
        async with host.serving(own) as port, new_client(port) as client:
            result = await outcome(client, f"https://127.0.0.1:{port}/photo")

        assert result == "unreachable: ClientConnectorCertificateError"

    asyncio.run(main())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 600, 999])
def test_a_status_that_may_pass_is_not_a_refusal(status: int) -> None:
    assert ask_one(complete(b"", status=f"{status} Trouble")) == f"unreachable: status {status}"


UNREACHABLE: dict[str, bytes] = {
    "nothing": b"",
    "half a head": head("Content-Length: 1000")[:-10],
    "a body that ends early": head("Content-Length: 5000") + PHOTO[:100],
    "no body": head("Content-Length: 5000"),
    "chunks that end early": chunked(PHOTO)[:-10],
}
CHUNKED = "Transfer-Encoding: chunked"
MALFORMED: dict[str, bytes] = {
    "http 0.9": PHOTO,
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "http 2": b"HTTP/2 200 OK\r\n\r\n" + PHOTO,
    "a status line in lower case": complete().lower(),
    "a status of two digits": complete(status="20 OK"),
    "a status in words": complete(status="OK"),
    "a header without name": head(": x") + PHOTO,
    "a header without colon": head("Nonsense") + PHOTO,
    "a name with a blank": head("X Y: z") + PHOTO,
    "a zero byte": head("X: a\0b", f"Content-Length: {len(PHOTO)}") + PHOTO,
    "a header of megabytes": head("X: " + "x" * 2_000_000),
    "a negative length": head("Content-Length: -1") + PHOTO,
    "an empty length": head("Content-Length:") + PHOTO,
    "a length in words": head("Content-Length: many") + PHOTO,
    "a length of forty digits": head("Content-Length: " + "9" * 40) + PHOTO,
    "two lengths": head("Content-Length: 5", "Content-Length: 6") + PHOTO,
    "two lengths in one header": head("Content-Length: 5, 6") + PHOTO,
    "a length twice and nothing": head("Content-Length: 5, 5,") + PHOTO,
    "a length and chunks": head("Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
    "chunks and a length twice": head(CHUNKED, "Content-Length: 5", "Content-Length: 5") + b"0\r\n\r\n",
    "a chunk of negative length": head(CHUNKED) + b"-5\r\n" + PHOTO,
    "a chunk longer than it says": head(CHUNKED) + b"10\r\n" + PHOTO + b"\r\n0\r\n\r\n",
    "a chunk of 2^160 bytes": head(CHUNKED) + b"f" * 40 + b"\r\n" + PHOTO,
    "a chunk whose length is no number": head(CHUNKED) + b"zz\r\n" + PHOTO,
    "a second chunk whose length is no number": chunked(PHOTO)[:-5] + b"zz\r\n",
    "a trailer without colon": chunked(PHOTO)[:-2] + b"Nonsense\r\n\r\n",
}


def ways(answer: bytes) -> list[Answer]:
    """Return ways to send an answer: in one piece; headers and body apart, as aiohttp's parser sees both alike then."""

    async def in_two(writer: asyncio.StreamWriter) -> None:
        first, mark, rest = answer.partition(b"\r\n\r\n")
        await send(writer, first + mark)
        await asyncio.sleep(0.01)
        await send(writer, rest)
        writer.close()

    return [then_close(answer), in_two]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("answer", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_broken_connection_is_a_failure_that_may_pass(answer: bytes) -> None:
    for way in ways(answer):
        result = ask_one(way)

        assert isinstance(result, str)
        assert result.startswith("unreachable: ")


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_answer_is_a_bad_response_at_once_and_no_failure_of_its_host(answer: bytes) -> None:
    host = RawHost()

    async def main() -> None:
        async with asyncio.timeout(20), host.serving() as port, new_client(port) as client:
            for way in [*ways(answer), then_silence(answer)] * 2:
                host.answers["/photo"] = way

                assert await outcome(client, f"http://127.0.0.1:{port}/photo") == "bad_response"
            state = client.host(f"127.0.0.1:{port}")

            assert (state.failures, state.pauses, state.resume_at) == (0, 0, 0.0)

    asyncio.run(main())


def test_a_body_longer_than_its_length_is_cut_there() -> None:
    answer = head(f"Content-Length: {len(PHOTO)}") + PHOTO

    for more in (b"\r\n", b"<!-- served by a script -->", complete(b"another body")):
        for way in ways(answer + more):
            assert ask_one(way) == PHOTO


WELL_FORMED = {
    "a long header": complete(PHOTO, "X: " + "x" * 9000),
    "a longer header": complete(PHOTO, "Set-Cookie: " + "x" * 65_000),
    "a thousand headers": complete(PHOTO, *["Set-Cookie: session=1234567890; path=/"] * 1000),
    "Content-Length twice with one value": complete(PHOTO, f"content-length:{len(PHOTO)}"),
    "Content-Length four times with one value": complete(PHOTO, *[f"Content-Length: 0{len(PHOTO)}"] * 3),
    "Content-Length as a list of one value": head(f"Content-Length: {len(PHOTO)}, {len(PHOTO)} ,{len(PHOTO)}") + PHOTO,
    "an answer after interim ones": head(status="100 Continue")
    + head("Link: </x>; rel=preload", status="103 Early Hints")
    + complete(PHOTO, f"Content-Length: {len(PHOTO)}"),
    "empty lines before the answer": b"\r\n\r\n" + complete(PHOTO, f"Content-Length: {len(PHOTO)}"),
    "line feeds alone": head(f"Content-Length: {len(PHOTO)}").replace(b"\r\n", b"\n") + PHOTO,
    "a status without words": complete(status="200"),
    "a status without words and blank": complete(status="200 "),
    "a folded header": complete(PHOTO, "X: a\r\n b"),
    "http 1.0": complete().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "http 1.0 without length": head().replace(b"HTTP/1.1", b"HTTP/1.0") + PHOTO,
    "connection: close without length": head("Connection: close") + PHOTO,
    "chunks in upper case": head("TRANSFER-ENCODING: Chunked") + chunked(PHOTO).partition(b"\r\n\r\n")[2],
    "chunks with extensions and trailers": chunked(PHOTO)[:-2].replace(b"\r\n0\r\n", b"\r\n0;a=b\r\nX: y\r\n")
    + b"\r\n",
    "an upgrade that is offered": complete(PHOTO, "Upgrade: h2,h2c", "Connection: Upgrade"),
}


@pytest.mark.parametrize("answer", WELL_FORMED.values(), ids=WELL_FORMED)
def test_an_unusual_answer_is_taken(answer: bytes) -> None:
    async def byte_by_byte(writer: asyncio.StreamWriter) -> None:
        for byte in answer[:-2000]:
            await send(writer, bytes([byte]))
        await send(writer, answer[-2000:])
        writer.close()

    for way in [*ways(answer), byte_by_byte]:
        assert ask_one(way) == PHOTO


def test_headers_of_64_kilobytes_are_the_most() -> None:
    rest = len(complete(PHOTO, "X: ")) - len(PHOTO)
    most = complete(PHOTO, "X: " + "x" * (65_536 - rest))
    many = complete(PHOTO, *["X: " + "x" * 995] * 66)

    assert ask_one(most) == PHOTO
    assert [ask_one(most.replace(b"X:", b"X: ")), ask_one(many)] == ["bad_response"] * 2


def test_bytes_behind_an_answer_refuse_no_other_photo() -> None:
    """They may arrive when the connection has got its next request. So a malformed answer is asked for again."""

    async def main() -> None:
        host = RawHost()

        async def late(writer: asyncio.StreamWriter) -> None:
            await send(writer, complete())
            await asyncio.sleep(0.05)
            await send(writer, b"<!-- served by a script -->")

        async def slow(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.1)
            await send(writer, complete(LARGE))

        host.answers |= {"/late": late, "/slow": slow}
        async with host.serving() as port, new_client(port) as client:
            results = [await outcome(client, f"http://127.0.0.1:{port}/{path}") for path in ("late", "slow", "slow")]

        assert results == [PHOTO, "bad_response", LARGE]

    asyncio.run(main())


def test_trailers_without_end_are_cut_off() -> None:
    host = RawHost()
    host.endless("/photo", chunked(PHOTO)[:-2], b"X: " + b"x" * 10_000 + b"\r\n")

    assert ask(host) == "bad_response"
    assert host.sent["/photo"] < 20_000_000


SLOW = {
    "a body byte by byte": (head("Content-Length: 5000") + PHOTO[:20], b"x", 0.002),
    "a body byte by byte without length": (head() + PHOTO[:20], b"x", 0.002),
    "headers byte by byte": (b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.002),
    "silence": (b"", b"", 0.01),
    "silence after the head": (head("Content-Length: 5000"), b"", 0.01),
    "silence after half a body": (head("Content-Length: 5000") + PHOTO[:100], b"", 0.01),
    "informational answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.002),
    "empty lines": (b"", b"\r\n", 0.002),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("first", "piece", "seconds"), SLOW.values(), ids=SLOW)
def test_an_answer_that_takes_too_long_is_a_timeout(first: bytes, piece: bytes, seconds: float) -> None:
    host = RawHost()
    host.endless("/photo", first, piece, seconds)

    assert ask(host) == "unreachable: TimeoutError"


@pytest.mark.parametrize("piece", [b"X-Header: " + b"x" * 1000 + b"\r\n", b"x" * 1000], ids=["many headers", "one"])
def test_a_head_without_end_is_cut_off(piece: bytes) -> None:
    host = RawHost()
    host.endless("/photo", b"HTTP/1.1 200 OK\r\n", piece)

    assert ask(host) == "bad_response"
    assert host.sent["/photo"] < 20_000_000


# What is recorded of a host


def test_retry_after_pauses_the_host() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers["/photo"] = complete(b"", "Retry-After: 30", status="503 Service Unavailable")
        async with host.serving() as port, new_client(port) as client:
            url = f"http://127.0.0.1:{port}/photo"
            await outcome(client, url)

            assert 10 < client.host(urls.host_name(urls.parse(url))).resume_at - time.monotonic() <= 30

    asyncio.run(main())


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        complete(b"", status="500 Trouble"),
        complete(b"", status="503 Trouble"),
        head("Content-Length: 5000") + PHOTO[:100],
        head("Content-Length: 5000"),
    ],
    ids=["nothing", "500", "503", "half a body", "no body"],
)
def test_a_host_that_always_fails_is_given_up(answer: bytes) -> None:
    """Even if its headers are well-formed and only the bodies never complete."""

    async def main() -> None:
        host = RawHost()
        host.answers["/photo"] = then_close(answer)
        async with host.serving() as port, new_client(port) as client:
            for _ in range(host_limits.FAILURES_TO_OPEN + host_limits.MAX_PAUSES + 1):
                await outcome(client, f"http://127.0.0.1:{port}/photo")
            asked = len(host.asked)
            with pytest.raises(Unreachable) as caught:
                async with download.download(client, f"http://127.0.0.1:{port}/photo"):
                    pass

        assert caught.value.final
        assert str(caught.value).startswith(f"127.0.0.1:{port}: ")
        assert len(host.asked) == asked

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        complete(b"", status="404 Not Found"),
        complete(b"<html>" * 10),
        complete(PHOTO, "X-Robots-Tag: noai"),
        complete(PHOTO, "Content-Encoding: gzip"),
        redirect("file:///etc/passwd"),
        complete(),
    ],
    ids=["404", "html", "robots", "encoded", "moved", "photo"],
)
def test_a_host_that_refuses_photos_properly_is_never_given_up(answer: bytes) -> None:
    async def main() -> None:
        host = RawHost()
        troubles: list[bytes | Answer] = [then_close(b"")] * (host_limits.FAILURES_TO_OPEN - 1)
        async with host.serving() as port, new_client(port) as client:
            for _ in range(3):
                for each in [*troubles, answer]:
                    host.answers["/photo"] = each
                    await outcome(client, f"http://127.0.0.1:{port}/photo")

            assert client.host(f"127.0.0.1:{port}").resume_at == 0.0  # it has never been paused

    asyncio.run(main())


# The bytes in memory


def test_many_bodies_share_the_bytes_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_client, "BYTES_IN_MEMORY", 3 * len(PHOTO))

    async def main() -> None:
        host = RawHost()
        host.answers["/photo"] = complete()
        in_memory = most = taken = 0

        async def one(client: WebClient, url: str) -> None:
            nonlocal in_memory, most, taken
            async with download.download(client, url) as body:
                in_memory += len(body.content)
                most = max(most, in_memory)
                await asyncio.sleep(0.005)
                in_memory -= len(body.content)
                taken += 1

        async with asyncio.timeout(60), host.serving() as port, new_client(port, connections=8) as client:
            await asyncio.gather(*(one(client, f"http://127.0.0.1:{port}/photo") for _ in range(30)))

        assert taken == 30
        assert most <= 3 * len(PHOTO)

    asyncio.run(main())


@pytest.mark.parametrize("answer", [chunked(LARGE), then_close(head() + LARGE)], ids=["chunked", "until closed"])
def test_large_bodies_of_undeclared_length_come_one_at_a_time(
    answer: bytes | Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BYTES_IF_UNDECLARED", 1000)

    async def main() -> None:
        host = RawHost()
        host.answers["/large"] = answer
        host.answers["/small"] = chunked(PHOTO)
        in_memory, most = Counter[str](), Counter[str]()

        async def one(client: WebClient, url: str) -> None:
            size = url.rpartition("/")[2]
            async with download.download(client, url) as body:
                assert len(body.content) == (len(LARGE) if size == "large" else len(PHOTO))

                in_memory[size] += 1
                most[size] = max(most[size], in_memory[size])
                await asyncio.sleep(0.01)
                in_memory[size] -= 1

        async with asyncio.timeout(60), host.serving() as port, new_client(port, connections=8) as client:
            await asyncio.gather(*(one(client, f"http://127.0.0.1:{port}/{size}") for size in ["large", "small"] * 6))

        assert most["large"] == 1

    asyncio.run(main())


def test_waiting_for_bytes_in_memory_does_not_count_against_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long another photo stays in memory: its decoding may take half a minute."""
    monkeypatch.setattr(web_client, "BYTES_IN_MEMORY", len(PHOTO))
    check_that_waiting_is_untimed(monkeypatch, complete(PHOTO))


def test_waiting_with_a_large_body_of_undeclared_length_does_not_count_against_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "BYTES_IF_UNDECLARED", 1000)
    check_that_waiting_is_untimed(monkeypatch, chunked(LARGE))


def check_that_waiting_is_untimed(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """Download a photo while another one holds what it needs; check that its timeout is paused meanwhile."""
    monkeypatch.setattr(transfer, "SECONDS_TO_ANSWER", 1234.0)
    clocks: list[asyncio.Timeout] = []
    original = asyncio.timeout

    def timeout(seconds: float | None) -> asyncio.Timeout:
        clock = original(seconds)
        if seconds == 1234.0:  # not one of aiohttp's own
            clocks.append(clock)
        return clock

    async def main() -> None:
        host = RawHost()
        host.answers["/photo"] = answer
        async with asyncio.timeout(60), host.serving() as port, new_client(port, connections=2) as client:
            url = f"http://127.0.0.1:{port}/photo"
            with monkeypatch.context() as patch:
                patch.setattr(asyncio, "timeout", timeout)
                async with download.download(client, url):
                    second = asyncio.create_task(outcome(client, url))
                    clock = await wait_for_clock(clocks)
                    stopped = []
                    for _ in range(10):
                        await asyncio.sleep(0.005)
                        stopped.append(clock.when() is None)
                body = await second

        assert isinstance(body, bytes), body
        assert stopped == [True] * 10

    asyncio.run(main())


async def wait_for_clock(clocks: list[asyncio.Timeout]) -> asyncio.Timeout:
    """Return the second timeout when it is paused for more than a moment, or after some seconds."""
    stopped = 0
    for _ in range(3000):
        await asyncio.sleep(0.001)
        stopped = stopped + 1 if len(clocks) == 2 and clocks[1].when() is None else 0
        if stopped == 5:
            break
    return clocks[1]


@pytest.mark.parametrize("declared", ["Content-Length: 20000000", "Transfer-Encoding: chunked"])
def test_a_host_that_declares_much_and_sends_nothing_delays_no_other_host(
    declared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_client, "BYTES_IN_MEMORY", 64_000_000)

    async def main() -> None:
        bad, good = RawHost(), RawHost()
        bad.answers["/photo"] = then_silence(head(declared))
        good.answers["/photo"] = complete()
        async with AsyncExitStack() as stack:
            ports = [await stack.enter_async_context(host.serving()) for host in (bad, good)]
            client = await stack.enter_async_context(new_client(*ports, connections=32, max_bytes=20_000_000))
            client.host(f"127.0.0.1:{ports[0]}").change_limit(32)
            hanging = [asyncio.create_task(outcome(client, f"http://127.0.0.1:{ports[0]}/photo")) for _ in range(32)]
            while len(bad.asked) < 32:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)  # until the headers have been read
            try:
                async with asyncio.timeout(5):
                    body = await outcome(client, f"http://127.0.0.1:{ports[1]}/photo")
            finally:
                for task in hanging:
                    task.cancel()
                await asyncio.gather(*hanging, return_exceptions=True)

        assert isinstance(body, bytes)

    asyncio.run(main())


def test_a_cancelled_download_gives_back_all_that_it_held() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers |= {"/slow": then_silence(head("Content-Length: 900000") + PHOTO), "/good": complete(LARGE)}
        async with asyncio.timeout(60), host.serving() as port, new_client(port) as client:
            for _ in range(3):
                task = asyncio.create_task(outcome(client, f"http://127.0.0.1:{port}/slow"))
                asked = len(host.asked)
                while len(host.asked) == asked:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

                assert isinstance(await outcome(client, f"http://127.0.0.1:{port}/good"), bytes)

    asyncio.run(main())
