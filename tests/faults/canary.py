"""`python -m tests.faults.canary`: download URLs on a network of one's own, where every address is the canary's.

Run it by `unshare --user --map-root-user --net`. All addresses of the internet, and those that no URL may lead to, are
then on this process's loopback device: a connection to any of them is real, and arrives here. So is the name server.
stdin has the case as JSON, stdout how each URL ended and which addresses the canary was reached at.
"""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yarl

from imageset.errors import BadUrl, ImagesetError
from imageset.web import address_guard, urls
from imageset.web.download import download
from imageset.web.web_client import WebClient

PORTS = (21, 22, 25, 53, 80, 81, 443, 445, 1023, 2375, 3306, 5432, 6379, 8000, 8080, 9000, 9200, 11211, 65535)
A, AAAA = 1, 28  # types of records
SECONDS_FOR_A_URL = 20


@dataclass
class Outcome:
    """How a URL's downloads ended, and each address and port that was connected to meanwhile."""

    ends: list[str] = field(default_factory=list)
    reached: list[tuple[str, int]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # their heads


class Canary:
    """Answers every connection with a photo or a redirect, and every question for a name."""

    def __init__(self, photo: bytes, names: dict[str, list[list[str]]], redirects: dict[str, str]) -> None:
        """names: the answers to each name, one look-up after the other. redirects: by the path of the request."""
        self.photo = photo
        self.names = names
        self.redirects = redirects
        self.outcome = Outcome()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        self.outcome.reached.append((address.removeprefix("::ffff:"), port))
        try:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 0.5)).decode("latin-1")
            self.outcome.requests.append(head)
            location = self.redirects.get(head.split()[1].partition("?")[0])
            if location is not None:
                line = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                writer.write(line.encode())
            else:
                length = len(self.photo)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % length)
                writer.write(self.photo)
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError):
            pass  # a hello of TLS, or a client that closed
        finally:
            writer.close()

    def addresses(self, name: str, kind: int) -> list[str]:
        """Return the addresses of a name, of one kind. The last answer stays."""
        answers = self.names.get(name.lower().rstrip("."), [[]])
        found = [address for address in answers[0] if (":" in address) == (kind == AAAA)]
        if kind == AAAA and len(answers) > 1:  # glibc asks for both kinds at once, AAAA last
            del answers[0]
        return found

    def serve_names(self, server: socket.socket) -> None:
        """Answer questions by UDP (RFC 1035): the header, the question, and an address a record."""
        while True:
            question, client = server.recvfrom(2048)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode("latin-1"))
                at += 1 + question[at]
            kind = int.from_bytes(question[at + 1 : at + 3], "big")
            found = self.addresses(".".join(labels), kind)
            known = ".".join(labels).lower() in self.names
            head = question[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1" + len(found).to_bytes(2, "big")
            records = b""
            for address in found:
                packed = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, address)
                records += (
                    b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1\0\0\0\0" + len(packed).to_bytes(2, "big") + packed
                )
            server.sendto(head + b"\0\0\0\0" + question[12 : at + 5] + records, client)


def open_network() -> None:
    """Make every address one of this machine. It needs a network namespace of its own."""
    for words in (
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run(["ip", *words.split()], check=True)


async def try_url(canary: Canary, url: str, times: int) -> Outcome:
    """Download a URL so many times, each as after the end of every cache."""
    canary.outcome = Outcome()
    for _ in range(times):
        async with WebClient(frozenset(), 4, 1_000_000, frozenset()) as client:
            try:
                async with asyncio.timeout(SECONDS_FOR_A_URL), download(client, url) as body:
                    canary.outcome.ends.append("photo" if body.content == canary.photo else "other bytes")
            except ImagesetError as error:
                canary.outcome.ends.append(f"{type(error).__name__}: {error}")
            except Exception as error:  # what ingest does not expect
                canary.outcome.ends.append(f"crash: {error!r}")
    await asyncio.sleep(0)
    return canary.outcome


async def run(case: dict[str, Any]) -> list[Outcome]:
    canary = Canary(Path(case["photo"]).read_bytes(), case["names"], case["redirects"])
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("0.0.0.0", 53))
    threading.Thread(target=canary.serve_names, args=(names,), daemon=True).start()
    for port in PORTS:
        await asyncio.start_server(canary.answer, ["0.0.0.0", "::"], port)
    return [await try_url(canary, url, times) for url, times in case["urls"]]


def parse_any(url: str) -> yarl.URL:
    """Parse a URL without the rules of `urls.parse`, as programs do that have none."""
    try:
        return yarl.URL(url.strip())
    except ValueError:
        raise BadUrl from None


def main() -> None:
    open_network()
    case = json.load(sys.stdin)
    if not case["guard"]:
        address_guard.is_public = lambda address: True
        urls.parse = parse_any
    json.dump([asdict(outcome) for outcome in asyncio.run(run(case))], sys.stdout)


if __name__ == "__main__":
    main()
