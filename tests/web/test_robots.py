"""robots.txt of real hosts: which photos it allows, and what happens where it cannot be had."""

import asyncio
import zlib
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.web import robots, urls
from imageset.web.host_headers import HostHeaders
from imageset.web.web_client import WebClient
from tests.web.test_download import PHOTO, Answer, RawHost, complete, head, new_client, outcome, redirect, then_close

RULES = b"User-agent: *\nDisallow: /private\n"
AGENT = "ShopBot/1.0 (+mailto:data@shop.example)"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageset.web.host_limits.FIRST_PAUSE", 0.001)


def obedient(*ports: int, agent: str = AGENT) -> WebClient:
    allowed = frozenset(("127.0.0.1", port) for port in ports)
    return WebClient(allowed, 4, 1_000_000, frozenset(), agent, HostHeaders({}), obeys_robots=True)


def ask(rules: bytes | Answer, *paths: str, agent: str = AGENT) -> list[bytes | str]:
    """Return what comes of the photos at these paths of a host with this answer to /robots.txt."""
    host = RawHost()
    host.answers = {"/robots.txt": rules} | dict.fromkeys(paths, complete())

    async def main() -> list[bytes | str]:
        async with asyncio.timeout(60), host.serving() as port, obedient(port, agent=agent) as client:
            return [await outcome(client, f"http://127.0.0.1:{port}{path}") for path in paths]

    return asyncio.run(main())


def test_robots_txt_is_asked_for_once_and_before_all_photos() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers |= {"/robots.txt": complete(RULES), "/1": complete(), "/2": complete(), "/private/3": complete()}
        async with host.serving() as port, obedient(port) as client:
            paths = ["/1", "/2", "/private/3"] * 2
            results = await asyncio.gather(*(outcome(client, f"http://127.0.0.1:{port}{path}") for path in paths))

        assert results == [PHOTO, PHOTO, "robots_txt"] * 2
        assert host.asked[0] == "/robots.txt"
        assert sorted(host.asked) == ["/1", "/1", "/2", "/2", "/robots.txt"]
        assert "user-agent: shopbot/1.0" in host.heads[0]

    asyncio.run(main())


def test_it_is_not_asked_for_where_it_is_ignored() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers["/1"] = complete()
        async with host.serving() as port, new_client(port) as client:
            assert await outcome(client, f"http://127.0.0.1:{port}/1") == PHOTO

        assert host.asked == ["/1"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ("User-agent: *\nDisallow: /\n\nUser-agent: ShopBot\nAllow: /\n", True),
        ("User-agent: *\nAllow: /\n\nUser-agent: shopbot\nDisallow: /\n", False),
        ("User-agent: shop\nDisallow: /\n", True),
        ("User-agent: shopbot2\nDisallow: /\n", True),
        ("User-agent: imageset\nDisallow: /\n", True),
        ("User-agent: shopbot/2.0\nDisallow: /\n", False),
        ("user agent   SHOPBOT # ours\ndisallow: /img\n", False),
        ("User-agent: a\nUser-agent: shopbot\nUser-agent: b\nDisallow: /img\n", False),
        ("User-agent: *\nDisallow: /img\nAllow: /img/a\n", True),
        ("User-agent: *\nDisallow: /*.jpg\n", False),
        ("User-agent: *\nDisallow: /*.jpg?x=1$\n", False),
        ("User-agent: *\nDisallow: /*.jpg$\n", True),
        ("User-agent: *\nDisallow: /img/a%20b.jpg?x=1\n", False),
        ("User-agent: *\nDisallow:\n", True),
        ("Disallow: /\n", True),
        ("<!DOCTYPE html><html>Not found</html>", True),
        ("\ufeffUser-agent: *\nDisallow: /\n", False),
        ("User-agent: *\r\nDisallow: /\r\n", False),
        ("", True),
    ],
)
def test_rules_are_those_of_rfc_9309_for_our_product_token(rules: str, allowed: bool) -> None:
    (result,) = ask(complete(rules.encode()), "/img/a%20b.jpg?x=1")

    assert result == (PHOTO if allowed else "robots_txt")


def test_without_an_agent_of_their_own_requests_obey_the_rules_for_imageset() -> None:
    assert ask(complete(b"User-agent: imageset\nDisallow: /\n"), "/1", agent="imageset") == ["robots_txt"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 304])
def test_a_host_without_robots_txt_allows_all(status: int) -> None:
    assert ask(complete(RULES, status=f"{status} No"), "/private/1") == [PHOTO]


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_where_robots_txt_cannot_be_had_no_photo_is_asked_for_or_refused(status: int) -> None:
    (result,) = ask(complete(RULES, status=f"{status} Trouble"), "/1")

    assert isinstance(result, str)
    assert result.startswith("unreachable: ")
    assert f"status {status}, for http://127.0.0.1" in result
    assert result.endswith("/robots.txt")


@pytest.mark.parametrize("answer", [then_close(b""), PHOTO, head("Content-Encoding: br", "Content-Length: 1") + b"x"])
def test_a_robots_txt_that_cannot_be_read_refuses_no_photo(answer: bytes | Answer) -> None:
    (result,) = ask(answer, "/1")

    assert isinstance(result, str)
    assert result.startswith("unreachable: ")


def test_it_is_asked_for_again_after_a_failure() -> None:
    async def main() -> None:
        host = RawHost()
        host.answers |= {"/robots.txt": complete(b"", status="500 Trouble"), "/private/1": complete()}
        async with host.serving() as port, obedient(port) as client:
            first = await outcome(client, f"http://127.0.0.1:{port}/private/1")
            host.answers["/robots.txt"] = complete(RULES)
            second = await outcome(client, f"http://127.0.0.1:{port}/private/1")

        assert str(first).startswith("unreachable: ")
        assert second == "robots_txt"
        assert host.asked == ["/robots.txt"] * 2

    asyncio.run(main())


@pytest.mark.parametrize(("redirects", "result"), [(5, "robots_txt"), (6, PHOTO)])
def test_five_redirects_of_robots_txt_are_followed(redirects: int, result: bytes | str) -> None:
    async def main() -> None:
        host = RawHost()
        host.answers = {f"/{number}": redirect(f"/{number + 1}") for number in range(1, redirects)}
        host.answers |= {"/robots.txt": redirect("/1"), f"/{redirects}": complete(RULES), "/private": complete()}
        async with host.serving() as port, obedient(port) as client:
            assert await outcome(client, f"http://127.0.0.1:{port}/private") == result

    asyncio.run(main())


def test_a_redirect_of_robots_txt_reaches_no_private_address() -> None:
    async def main() -> None:
        here, there = RawHost(), RawHost()
        async with here.serving() as port, there.serving() as other, obedient(port) as client:
            here.answers |= {"/robots.txt": redirect(f"http://127.0.0.1:{other}/robots.txt"), "/1": complete()}

            assert await outcome(client, f"http://127.0.0.1:{port}/1") == PHOTO
            assert there.connections == 0

    asyncio.run(main())


def test_a_redirect_to_another_host_obeys_its_rules_too() -> None:
    async def main() -> None:
        here, there = RawHost(), RawHost()
        async with here.serving() as port, there.serving() as other, obedient(port, other) as client:
            here.answers |= {"/robots.txt": complete(b""), "/1": redirect(f"http://127.0.0.1:{other}/private")}
            there.answers |= {"/robots.txt": complete(RULES), "/private": complete()}

            assert await outcome(client, f"http://127.0.0.1:{port}/1") == "robots_txt"
            assert there.asked == ["/robots.txt"]

    asyncio.run(main())


def test_compressed_rules_are_read_and_bombs_cut_off() -> None:
    packed = zlib.compressobj(wbits=31)
    bomb = packed.compress(b"#" * 100_000_000 + b"\nUser-agent: *\nDisallow: /late\n") + packed.flush()
    packed = zlib.compressobj(wbits=31)
    rules = packed.compress(RULES) + packed.flush()

    assert ask(complete(rules, "Content-Encoding: gzip"), "/private") == ["robots_txt"]
    assert ask(complete(bomb, "Content-Encoding: gzip"), "/late") == [PHOTO]


def test_half_a_megabyte_of_rules_counts_to_the_end_of_a_line() -> None:
    filler = b"User-agent: *\n" + b"#" * (robots.MAX_BYTES - 40) + b"\n"
    counts, cut = b"Disallow: /private\n", b"Disallow: /img/secret\nDisallow: /other\n"

    assert ask(complete(filler + counts + cut), "/private", "/img/1", "/other") == ["robots_txt", PHOTO, PHOTO]


def test_an_endless_robots_txt_is_cut_off() -> None:
    host = RawHost()
    host.answers["/private"] = complete()
    host.endless("/robots.txt", head() + RULES, b"#" * 10_000 + b"\n")

    async def main() -> bytes | str:
        async with asyncio.timeout(60), host.serving() as port, obedient(port) as client:
            return await outcome(client, f"http://127.0.0.1:{port}/private")

    assert asyncio.run(main()) == "robots_txt"
    assert host.sent["/robots.txt"] < 20_000_000


def test_the_rules_of_many_hosts_stay_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of hosts without rules cost nothing, and those that were needed last stay."""
    monkeypatch.setattr(robots, "MAX_BYTES_KEPT", 2 * len(RULES))

    async def main() -> None:
        hosts = [RawHost() for _ in range(5)]
        async with AsyncExitStack() as stack:
            ports = [await stack.enter_async_context(host.serving()) for host in hosts]
            client = await stack.enter_async_context(obedient(*ports))
            for number, host in enumerate(hosts):
                rules = complete(b"", status="404 Not Found") if number == 0 else complete(RULES)
                host.answers |= {"/robots.txt": rules, "/private": complete()}
            results = [
                await outcome(client, f"http://127.0.0.1:{ports[number]}/private")
                for number in [0, 1, 2, 1, 3, 4, 1, 2, 0]
            ]

        assert results == [PHOTO, *["robots_txt"] * 7, PHOTO]
        assert [host.asked.count("/robots.txt") for host in hosts] == [1, 1, 2, 1, 1]

    asyncio.run(main())


def test_thousands_of_agents_are_one_group() -> None:
    """Their rules would be copied for each of them, 36 million in all."""
    agents = "".join(f"User-agent: a{number}\u2028User agent b{number}\n" for number in range(6000))
    rules = robots.parse(agents + "".join(f"Disallow: /{number}\n" for number in range(6000)), "imageset")

    assert len(rules._user_agents) == 1
    assert rules.can_fetch("http://shop.example/1", "imageset")


@given(
    st.text()
    | st.lists(st.sampled_from(["user-agent", ":", "*", "\n", "disallow", "/", "allow", "$", "%", " "])).map("".join)
)
def test_any_text_is_parsed(text: str) -> None:
    rules = robots.parse(robots.decode(text.encode(errors="surrogatepass")), "imageset")

    assert rules.can_fetch(str(urls.parse("http://shop.example/a%zz b?\u00e9")), "imageset") in (True, False)
