"""How one host is asked: as many requests at once as it answers well, with pauses, and not at all once it is dead.

The number of requests follows TCP Vegas (Brakmo and Peterson, 1995), as in Netflix's concurrency-limits: compare the
latency of late with the best one known, take what is in excess for requests that wait at the host, and keep a few of
these. 429 and 503 halve the number and pause the host. Failures in a row open the circuit: a pause, then one request
to probe; after some such pauses without an answer the host is given up.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imageset.errors import HostGivenUp
from imageset.web.weighted_semaphore import WeightedSemaphore

FIRST_LIMIT = 4  # requests at once, until the host has shown what it takes
FEW_WAITING, MANY_WAITING = 3, 6  # requests waiting at the host: fewer, and the limit grows; more, and it shrinks
ROUNDS_TO_MEASURE = 30  # then the best latency is measured anew, at half the limit: no load of ours hides it
FAILURES_TO_OPEN = 5
FIRST_PAUSE = 1.0  # seconds; each pause without an answer since is twice as long
LONGEST_PAUSE = 60.0  # seconds; Retry-After is obeyed up to that
PAUSES = 5  # without an answer, and the host is given up; sooner, when it has never answered
PAUSES_OF_A_STRANGER = 2


class Host:
    """The state of one host in a run; its name is that of urls, with a port."""

    def __init__(self, name: str, most: int, most_bytes: int) -> None:
        """most: the limit's upper bound; most_bytes: of the bodies in hand that come from this host."""
        self.name = name
        self.most = most
        self.limit = min(FIRST_LIMIT, most)
        self.turns = WeightedSemaphore(self.limit)
        self.bytes = WeightedSemaphore(most_bytes)
        self.undeclared = asyncio.Semaphore(1)  # large bodies of undeclared length
        self.wave = 0  # counts the sudden falls of the limit: what a request from before one tells is no news after it
        self.resume_at = 0.0
        self.failures = 0
        self.trouble = ""
        self.pauses = 0
        self.has_answered = False
        self.starting = True
        self.best_latency = float("inf")
        self.limit_after_measuring = 0
        self.rounds = 0
        self.round: list[float] = []

    @property
    def given_up(self) -> bool:
        return self.pauses > (PAUSES if self.has_answered else PAUSES_OF_A_STRANGER)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Wait until one more request may be made and hold its place; yields its wave. Raises HostGivenUp."""
        async with self.turns.take(1):
            while (seconds := self.resume_at - time.monotonic()) > 0 and not self.given_up:
                await asyncio.sleep(seconds)
            if self.given_up:
                raise HostGivenUp
            yield self.wave

    def answered(self, wave: int, latency: float) -> None:
        """Note a whole answer, which began so many seconds after its request; adapt once in `limit` of them."""
        if wave != self.wave:
            return
        self.has_answered = True
        self.failures = self.pauses = 0
        self.round.append(latency)
        if len(self.round) < self.limit:
            return
        least = min(self.round)
        self.round.clear()
        self.rounds += 1
        self.best_latency = min(self.best_latency, least)
        if self.limit_after_measuring:
            self.change_limit(self.limit_after_measuring)
            self.limit_after_measuring = 0
        elif self.rounds % ROUNDS_TO_MEASURE == 0:
            self.measure()
        else:
            self.adapt(self.limit * (1 - self.best_latency / least) if least else 0.0)

    def adapt(self, waiting: float) -> None:
        if waiting < FEW_WAITING:
            self.change_limit(2 * self.limit if self.starting else self.limit + 1)
        elif waiting > MANY_WAITING:
            self.starting = False
            self.change_limit(self.limit - 1)

    def measure(self) -> None:
        self.best_latency = float("inf")
        self.limit_after_measuring = self.limit
        self.wave += 1  # who was asked under the full load tells nothing
        self.change_limit(self.limit // 2)

    def throttled(self, wave: int, trouble: str, retry_after: float | None) -> None:
        """Note a 429 or 503 and the seconds it asks to wait; fewer requests, after a pause."""
        self.trouble = trouble
        self.has_answered = True
        if retry_after is not None:
            self.resume_at = max(self.resume_at, time.monotonic() + min(retry_after, LONGEST_PAUSE))
        if wave == self.wave:
            self.pause(self.limit // 2)

    def failed(self, wave: int, trouble: str) -> None:
        """Note that no whole answer came, or one that says the host is in trouble."""
        self.trouble = trouble
        if wave == self.wave:
            self.failures += 1
            if self.failures >= FAILURES_TO_OPEN:
                self.pause(1)

    def pause(self, limit: int) -> None:
        seconds = min(FIRST_PAUSE * 2**self.pauses, LONGEST_PAUSE)
        self.resume_at = max(self.resume_at, time.monotonic() + seconds)
        self.pauses += 1
        self.wave += 1
        self.starting = False
        self.limit_after_measuring = 0
        self.round.clear()
        self.change_limit(limit)

    def change_limit(self, limit: int) -> None:
        self.limit = max(1, min(limit, self.most))
        self.turns.resize(self.limit)
