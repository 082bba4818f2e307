"""Hostile URLs against a canary: a real server that receives every connection that the guard lets through.

Sockets are diverted to it when they connect, so nothing leaves this machine.
"""

import asyncio
import socket
from pathlib import Path

import pytest

from imageset.errors import Refused, Unreachable
from imageset.web import address_guard
from imageset.web.download import download
from imageset.web.web_client import WebClient
from tests.conftest import jpeg, plain_image

PHOTO = jpeg(plain_image())
PUBLIC = "93.184.216.34"
PUBLIC_IPV6 = "2606:2800:220:1:248:1893:25c8:1946"

# Addresses that no untrusted URL may lead to.
FORBIDDEN_IPV4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
FORBIDDEN_IPV6 = [
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2606:2800:220:1:0:5efe:10.0.0.1",
    "2606:2800:220:1:200:5efe:127.0.0.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::1",
    "fe80::1%1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
SPELLINGS = [
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0x7f.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.1/",
    "http://127.0.0.1./",
    "http://127.0.0.1:80/",
    "http://127.0.0.1:443/",
    "http://127.0.0.1:8080/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://localhost:8080/",
    "http://ip6-localhost/",
    "http://public.test@127.0.0.1/",
    "http://public.test:80@127.0.0.1/",
    "http://user:pass@localhost/",
    "http://127.0.0.1#@public.test/",
    "http://127.0.0.1\\@public.test/",
    "http://public.test\\@127.0.0.1/",
    "http://127.0.0.1?@public.test/",
    "http://public.test%2f@127.0.0.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::1]:80/",
    "http://[::ffff:7f00:1]/",
    "http://[::FFFF:127.0.0.1]/",
    "http://[fe80::1%25lo]/",
    "http://[::1%25lo]/",
    "http://0251.0376.0251.0376/",
    "http://0xA9FEA9FE/",
    "http://2852039166/",
    "http://169.254.43518/",
    "http://169.254.169.254:80/latest/meta-data/",
    "http://metadata.google.internal/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://[::1]/",
    "http://127.0.0.1:65535/",
    "http://10.1/",
]
PUBLIC_HOSTS = [
    PUBLIC,
    f"[{PUBLIC_IPV6}]",
    "8.8.8.8",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.0.1",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "[2a00:1450:4001::64]",
    f"[::ffff:{PUBLIC}]",
    f"[64:ff9b::{PUBLIC}]",
    "public.test",
    "both.test",
]


class Canary:
    """Counts the connections that reach it, and answers each with a photo or a redirect."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.reached: list[str] = []
        self.names = {
            "public.test": [[PUBLIC]],
            "both.test": [[PUBLIC, PUBLIC_IPV6]],
            "metadata.google.internal": [["169.254.169.254"]],
        }  # each name's answers, one look-up after the other
        self.redirects: list[str] = []  # where http://public.test/<number> redirects to

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().strip("/")
        if path.isdigit():
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {self.redirects[int(path)]}\r\n".encode())
            writer.write(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(PHOTO) + PHOTO)
        await writer.drain()
        writer.close()

    def fetch(self, *urls: str, allowed: tuple[tuple[str, int], ...] = ()) -> list[str]:
        """Return how the download of each URL ended: "photo", or why not."""
        return asyncio.run(self.fetch_all(urls, frozenset(allowed)))

    async def fetch_all(self, urls: tuple[str, ...], allowed: frozenset[tuple[str, int]]) -> list[str]:
        results = []
        async with (
            await asyncio.start_unix_server(self.answer, self.path),
            WebClient(allowed, 4, 1_000_000, frozenset()) as client,
        ):
            for url in urls:
                try:
                    async with download(client, url) as body:
                        results.append("photo" if body.content == PHOTO else "other bytes")
                except (Refused, Unreachable) as error:
                    results.append(str(error))
                client.session.connector.clear_dns_cache()  # type: ignore[union-attr]  # as after the ten seconds of the cache
        return results


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """A canary that receives every connection.

    The names of `Canary.names` resolve as written there, all others as they really do.
    """
    canary = Canary(tmp_path / "canary")

    class Diverted(socket.socket):
        def __init__(self, *meant: object) -> None:
            super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)

        def connect(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            canary.reached.append(address[0])
            super().connect(canary.path)

    class SocketModule:
        socket = Diverted

    resolve = asyncio.BaseEventLoop.getaddrinfo

    async def resolve_names(loop: asyncio.BaseEventLoop, host: str, port: int, **options: int) -> object:
        answers = canary.names.get(host.lower())
        if answers is None:
            return await resolve(loop, host, port, **options)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in (answers.pop(0) if len(answers) > 1 else answers[0])
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve_names)
    monkeypatch.setattr(address_guard, "socket", SocketModule)
    return canary


def in_url(address: str) -> str:
    return f"[{address.replace('%', '%25')}]" if ":" in address else address


FORBIDDEN = [*FORBIDDEN_IPV4, *FORBIDDEN_IPV6]
HOSTILE = [f"http://{in_url(address)}/photo.jpg" for address in FORBIDDEN] + SPELLINGS


def test_there_are_as_many_cases_as_the_documents_say() -> None:
    assert len(set(HOSTILE)) + len(set(FORBIDDEN)) >= 150  # by URL, and by name
    assert len(set(PUBLIC_HOSTS)) == 20


def test_no_spelling_of_a_forbidden_address_is_connected_to(canary: Canary) -> None:
    results = dict(zip(HOSTILE, canary.fetch(*HOSTILE), strict=True))

    assert canary.reached == []
    # Machines differ in the names that they have for the loopback address.
    assert {end for end in results.values() if "DNSError" not in end} == {"private_address", "bad_url"}


def test_no_redirect_leads_to_a_forbidden_address(canary: Canary) -> None:
    canary.redirects = HOSTILE

    results = canary.fetch(*(f"http://public.test/{number}" for number in range(len(HOSTILE))))

    assert canary.reached == [PUBLIC] * len(HOSTILE)
    assert "photo" not in results


def test_no_name_leads_to_a_forbidden_address(canary: Canary) -> None:
    canary.names |= {f"name{number}.test": [[address]] for number, address in enumerate(FORBIDDEN)}

    results = canary.fetch(*(f"https://name{number}.test/photo.jpg" for number in range(len(FORBIDDEN))))

    assert results == ["private_address"] * len(FORBIDDEN)
    assert canary.reached == []


def test_a_name_that_changes_after_a_public_answer_is_checked_again(canary: Canary) -> None:
    canary.names |= {f"name{number}.test": [[PUBLIC], [address]] for number, address in enumerate(FORBIDDEN)}

    results = canary.fetch(*(f"http://name{number // 2}.test/photo.jpg" for number in range(2 * len(FORBIDDEN))))

    assert results == ["photo", "private_address"] * len(FORBIDDEN)
    assert canary.reached == [PUBLIC] * len(FORBIDDEN)


def test_of_several_addresses_of_a_name_the_public_one_is_used(canary: Canary) -> None:
    canary.names |= {f"name{number}.test": [[address, PUBLIC]] for number, address in enumerate(FORBIDDEN)}

    results = canary.fetch(*(f"http://name{number}.test/photo.jpg" for number in range(len(FORBIDDEN))))

    assert results == ["photo"] * len(FORBIDDEN)
    assert canary.reached == [PUBLIC] * len(FORBIDDEN)


def test_public_addresses_are_connected_to(canary: Canary) -> None:
    assert canary.fetch(*(f"http://{host}/photo.jpg" for host in PUBLIC_HOSTS)) == ["photo"] * len(PUBLIC_HOSTS)
    assert len(canary.reached) == len(PUBLIC_HOSTS)


def test_without_the_guard_the_canary_is_reached(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_guard, "is_public", lambda address: True)

    results = canary.fetch(*HOSTILE[: len(FORBIDDEN)])

    assert results == ["bad_url" if "%" in address else "photo" for address in FORBIDDEN]
    assert len(canary.reached) == results.count("photo") > 60


def test_a_host_that_the_settings_allow_is_reached_at_its_port_only(canary: Canary) -> None:
    canary.names |= {"photos.test": [["10.0.0.7"]], "other.test": [["10.0.0.7"]]}

    results = canary.fetch(
        "http://photos.test:8080/1.jpg",
        "http://PHOTOS.test:8080/1.jpg",
        "http://127.0.0.1:9000/1.jpg",
        "http://photos.test/1.jpg",
        "http://10.0.0.8:8080/1.jpg",
        "http://127.0.0.1:9001/1.jpg",
        "http://localhost:9001/1.jpg",
        "http://other.test:8080/1.jpg",
        allowed=(("photos.test", 8080), ("127.0.0.1", 9000)),
    )

    assert results == ["photo"] * 3 + ["private_address"] * 5
    assert canary.reached == ["10.0.0.7", "10.0.0.7", "127.0.0.1"]
