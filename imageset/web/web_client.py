"""What all downloads of a run share: connections, the state of each host, limits on memory."""

import asyncio
import logging
import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.log import internal_logger
from protego import Protego

from imageset.photos.file_formats import FORMATS
from imageset.web.address_guard import AddressGuard
from imageset.web.connections import HEAD_BYTES, Connector
from imageset.web.host_headers import HostHeaders
from imageset.web.host_limits import Host
from imageset.web.weighted_semaphore import WeightedSemaphore
from imageset.workers import limits

SECONDS_TO_CONNECT = 10.0
SECONDS_IDLE = 5.0  # a connection is kept this long for the host's next photo
MAX_LOOKUPS = 256  # of host names at once
OPEN_FILES = 16_384  # each connection is one; where every photo has its own host, many are idle
BYTES_IN_MEMORY = 64_000_000  # of all bodies together, from their headers until they are uploaded or refused
BYTES_IN_MEMORY_PER_HOST = 24_000_000  # so that a few hosts that send slowly do not hold all of them
LARGE_UNDECLARED_AT_ONCE = 3  # large bodies of undeclared length, each from another host
USER_AGENT = "imageset"


class WebClient:
    """The client of all downloads of a run.

    Make it inside a running event loop and use it as an async context manager.
    """

    def __init__(
        self,
        allowed_hosts: frozenset[tuple[str, int]],
        connections_per_host: int,
        max_bytes: int,
        refused_robots_tags: frozenset[str],
        user_agent: str = USER_AGENT,
        host_headers: HostHeaders | None = None,
        obeys_robots: bool = False,
        formats: Collection[str] = FORMATS,
        machines: int = 1,
    ) -> None:
        """Open no connection yet.

        Args:
            allowed_hosts: names and ports that may be outside the public internet.
            connections_per_host: the most parallel requests to one host.
            max_bytes: longer bodies are refused as too_large.
            refused_robots_tags: a photo with one of these X-Robots-Tag directives is refused as robots_tag.
            user_agent: what requests call themselves. X-Robots-Tag may address its first word, or imageset.
            host_headers: further headers for single hosts.
            obeys_robots: whether robots.txt of each host decides which photos may be fetched.
            formats: of photos that are accepted.
            machines: how many work on this run, each on hosts of its own. Redirects may lead all of them to one host,
                so a host that is not this machine's gets its part of the requests.
        """
        guard = AddressGuard(allowed_hosts)
        # By default aiohttp takes no proxy and no .netrc from the environment. It has no limits here: our own waiting
        # for a slot or for memory must not count as the host's failure to answer.
        connector = Connector(limit=0, resolver=guard, socket_factory=guard.open_socket, keepalive_timeout=SECONDS_IDLE)
        # Without this glibc waits half a minute for name servers that do not answer, and Ctrl-C waits with it.
        os.environ.setdefault("RES_OPTIONS", "timeout:3 attempts:2")
        # Look-ups run in the loop's threads, few by default: some names without an answer would block all others.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_LOOKUPS, "lookup"))
        limits.allow_open_files(OPEN_FILES)
        internal_logger.setLevel(logging.ERROR)  # its warnings quote what hosts set as cookies
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": user_agent},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=SECONDS_TO_CONNECT),
            # The connections bound all headers together.
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            max_headers=HEAD_BYTES,
        )
        self.connections_per_host = connections_per_host
        self.connections_elsewhere = max(1, connections_per_host // machines)
        self.hosts: dict[str, Host] = {}
        self.bytes = WeightedSemaphore(BYTES_IN_MEMORY)
        self.undeclared = asyncio.Semaphore(LARGE_UNDECLARED_AT_ONCE)
        self.max_bytes = max_bytes
        self.refused_robots_tags = refused_robots_tags
        self.product_token = re.split(r"[/\s]", user_agent)[0].lower()
        self.agent_names = {USER_AGENT, self.product_token}
        self.host_headers = host_headers or HostHeaders({})
        self.obeys_robots = obeys_robots
        # robots.txt of each scheme, host and port: its rules, None where there are none, and its bytes.
        self.robots: dict[str, asyncio.Task[tuple[Protego | None, int]]] = {}
        self.formats = formats

    async def __aenter__(self) -> "WebClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.close()

    def host(self, name: str, own: bool = False) -> Host:
        """Return the state of a host.

        Args:
            name: by urls.host_name.
            own: whether no other machine has photos of this host.
        """
        most = self.connections_per_host if own else self.connections_elsewhere
        if name not in self.hosts:
            self.hosts[name] = Host(name, most, BYTES_IN_MEMORY_PER_HOST)
        self.hosts[name].allow(most)  # a redirect may have led here before, and met a pause
        return self.hosts[name]
