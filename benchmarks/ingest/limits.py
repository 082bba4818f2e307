"""What does the limit of requests to one host bring? Prints a table: python -m benchmarks.ingest.limits

What ingest does (imageset/web/host_limits.py), TCP Vegas alone, and a fixed limit that a 429 or 503 halves, against
model hosts. The event loop has a clock of its own, which moves on only while all tasks wait: the figures are the same
on every machine.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from unittest import mock

from imageset.errors import HostGivenUp
from imageset.web import host_limits
from imageset.web.transfer import SECONDS_TO_ANSWER
from tests.web.own_clock import BEGINNING, Loop

PHOTOS = 2000
MAX_LIMIT = 32  # what IMAGESET_CONNECTIONS_PER_HOST is without a setting
KEEP = 2  # a host has so many times its limit of photos in progress (imageset/web/host_queues.py)


class Fixed(host_limits.Host):
    """A host with a fixed limit, halved by 429 and 503. Pauses and the circuit stay as they are."""

    def __init__(self, name: str, max_limit: int, max_bytes: int) -> None:
        super().__init__(name, max_limit, max_bytes)
        self.change_limit(max_limit)

    def record_answer(self, epoch: int, latency: float) -> None:
        if epoch == self.epoch:
            self.has_answered = True
            self.failures = self.pauses = 0


class Vegas(host_limits.Host):
    """TCP Vegas: a 429 or 503 halves the limit, and it grows again."""

    def record_throttling(self, epoch: int, trouble: str, retry_after: float | None) -> None:
        super().record_throttling(epoch, trouble, retry_after)
        self.most = self.max_limit


KINDS = {"as ingest": host_limits.Host, "Vegas": Vegas, "fixed": Fixed}


@dataclass
class Model:
    """A host: it works on so many requests at once. More wait, or are refused with a 429 from `most` in progress on.

    Attributes:
        seconds: for a photo, at least and at most.
        until: seconds from the start after which it refuses no more.
    """

    name: str
    at_once: int
    most: int = 10**6
    seconds: tuple[float, float] = (0.02, 0.06)
    until: float = math.inf
    in_progress: int = 0
    refused: int = 0
    longest: int = 0

    @asynccontextmanager
    async def ask(self, workers: asyncio.Semaphore, drawn: random.Random) -> AsyncIterator[bool]:
        """Yield whether the host serves a request, after the time that it takes."""
        self.in_progress += 1
        self.longest = max(self.longest, self.in_progress)
        try:
            if self.in_progress > self.most and asyncio.get_running_loop().time() < BEGINNING + self.until:
                self.refused += 1
                await asyncio.sleep(0.005)
                yield False
            else:
                async with workers:
                    await asyncio.sleep(drawn.uniform(*self.seconds))
                yield True
        finally:
            self.in_progress -= 1


async def fetch(host: host_limits.Host, model: Model) -> tuple[float, float, int]:
    """Fetch all photos; return the seconds, the mean latency of an answer, and how many requests timed out."""
    drawn, workers, waiting = random.Random(1), asyncio.Semaphore(model.at_once), list(range(PHOTOS))
    loop, latencies, timeouts = asyncio.get_running_loop(), list[float](), 0
    began = loop.time()

    async def ask() -> bool:
        nonlocal timeouts
        async with host.slot() as epoch:
            started = loop.time()
            try:
                async with asyncio.timeout(SECONDS_TO_ANSWER), model.ask(workers, drawn) as served:
                    latencies.append(loop.time() - started)
            except TimeoutError:
                timeouts += 1
                host.record_failure(epoch, "TimeoutError")
                return False
            if served:
                host.record_answer(epoch, latencies[-1])
            else:
                host.record_throttling(epoch, "status 429", None)
            return served

    async def work() -> None:
        while waiting:
            waiting.pop()
            while not await ask():
                pass

    await asyncio.gather(*(work() for _ in range(KEEP * MAX_LIMIT)))
    return loop.time() - began, sum(latencies) / len(latencies), timeouts


def measure(name: str, model: Model) -> str:
    """Return a row of the table."""
    loop = Loop()

    async def main() -> tuple[float, float, int]:
        return await fetch(KINDS[name]("model:80", MAX_LIMIT, 1), model)

    with mock.patch.object(host_limits, "time", loop.clock), asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            seconds, latency, timeouts = runner.run(main())
        except HostGivenUp:
            return f"| {model.name} | {name} | given up | | {model.refused} | | {model.longest} |"
    speed, milliseconds = f"{PHOTOS / seconds:.1f}", f"{latency * 1000:.0f}"
    return f"| {model.name} | {name} | {speed} | {milliseconds} | {model.refused} | {timeouts} | {model.longest} |"


def main() -> None:
    print("| host | limit | photos/s | mean latency, ms | 429s | timeouts | most at once |")
    print("|---|---|---|---|---|---|---|")
    for name in KINDS:
        for count in (2, 8, 1000):
            print(measure(name, Model(f"takes {count} at once, more wait", count)), flush=True)
        slow = Model("takes 2 at once, for 1 to 3 s each", 2, seconds=(1.0, 3.0))
        print(measure(name, slow), flush=True)
        for count in (2, 8, 24):
            print(measure(name, Model(f"429 above {count} at once", 1000, count)), flush=True)
        print(measure(name, Model("429 above 2 at once, for the first 5 s", 1000, 2, until=5.0)), flush=True)


if __name__ == "__main__":
    main()
