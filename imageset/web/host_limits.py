"""How many requests one host gets at once, when it is left alone for a while, and when it is given up.

The number of parallel requests follows TCP Vegas (Brakmo and Peterson, 1995), as in Netflix's concurrency-limits. It
compares the recent latency with the best known one, takes the excess for requests that queue at the host, and keeps a
few of these. A 429 or 503 halves the number and pauses the host, and the half is the most from then on: a host that
refuses requests does not let them queue, so its latency says nothing of its limit. After many rounds one more is tried.
Failures in a row open the circuit: a pause, then one request as a probe. After several pauses without an answer the
host is given up.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imageset.errors import HostGivenUp
from imageset.web.weighted_semaphore import WeightedSemaphore

FIRST_LIMIT = 4  # parallel requests, before anything is known of the host
FEW_WAITING, MANY_WAITING = 3, 6  # requests that queue at the host: below, the limit grows; above, it shrinks
ROUNDS_TO_MEASURE = (
    30  # then the best latency is measured anew at half the limit, so that our own load does not hide it
)
ROUNDS_TO_RAISE = 60  # after the first 429, until one request more is tried; twice as many after each further 429
FAILURES_TO_OPEN = 5
FIRST_PAUSE = 1.0  # seconds; each further pause without an answer in between is twice as long
LONGEST_PAUSE = 60.0  # seconds; a longer Retry-After is cut to this
MAX_PAUSES = 5  # without an answer in between; after one more the host is given up
MAX_PAUSES_IF_NEVER_ANSWERED = 2


class Host:
    """The state of one host in a run.

    Failures usually come in groups, from requests that were sent together. `epoch` counts the sudden falls of the
    limit; a request reports the epoch in which it began, and reports from an earlier epoch change nothing.
    """

    def __init__(self, name: str, max_limit: int, max_bytes: int) -> None:
        """Start with the first limit and nothing known.

        Args:
            name: host and port, such as "shop.example:80".
            max_limit: the limit never grows above this.
            max_bytes: of bodies from this host that are in memory together.
        """
        self.name = name
        self.max_limit = max_limit
        self.most = max_limit  # after a 429 less
        self.is_raised = False  # whether `most` was raised by one since the last 429
        self.limit = min(FIRST_LIMIT, max_limit)
        self.slots = WeightedSemaphore(self.limit)
        self.bytes = WeightedSemaphore(max_bytes)
        self.undeclared = asyncio.Semaphore(1)  # large bodies of undeclared length
        self.epoch = 0
        self.resume_at = 0.0
        self.failures = 0
        self.trouble = ""
        self.pauses = 0
        self.has_answered = False
        self.in_slow_start = True
        self.best_latency = float("inf")
        self.limit_after_measuring = 0
        self.rounds = 0
        self.rounds_without_429 = 0
        self.rounds_to_raise = ROUNDS_TO_RAISE // 2  # twice as many with each 429, the first one too
        self.latencies: list[float] = []  # of the current round, which ends after `limit` answers

    def allow(self, max_limit: int) -> None:
        """Let the limit grow up to `max_limit`, if that is more than before. All else that is known stays."""
        if max_limit > self.max_limit:
            if self.most == self.max_limit:  # no 429 has come
                self.most = max_limit
            self.max_limit = max_limit

    @property
    def given_up(self) -> bool:
        return self.pauses > (MAX_PAUSES if self.has_answered else MAX_PAUSES_IF_NEVER_ANSWERED)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait until one more request may be made and hold its place; yields the epoch. Raises HostGivenUp."""
        while True:
            while (seconds := self.resume_at - time.monotonic()) > 0 and not self.given_up:
                await asyncio.sleep(seconds)
            async with self.slots.acquire(1):
                if self.given_up:
                    raise HostGivenUp
                # Otherwise a pause began while we waited: the limit may have fallen, so the place is given back.
                if self.resume_at <= time.monotonic():
                    yield self.epoch
                    return

    def record_answer(self, epoch: int, latency: float) -> None:
        """Note a complete answer.

        Args:
            epoch: what slot yielded for the request.
            latency: seconds from the request to the answer's headers. The limit adapts once in `limit` answers.
        """
        if epoch != self.epoch:
            return
        self.has_answered = True
        self.failures = self.pauses = 0
        self.latencies.append(latency)
        if len(self.latencies) < self.limit:
            return
        lowest = min(self.latencies)
        self.latencies.clear()
        self.rounds += 1
        self.raise_most()
        self.best_latency = min(self.best_latency, lowest)
        if self.limit_after_measuring:
            self.change_limit(self.limit_after_measuring)
            self.limit_after_measuring = 0
        elif self.rounds % ROUNDS_TO_MEASURE == 0:
            self.start_measuring()
        else:
            self.adapt(self.limit * (1 - self.best_latency / lowest) if lowest else 0.0)

    def raise_most(self) -> None:
        """Let one request more be tried when the host has not refused any for many rounds."""
        self.rounds_without_429 += 1
        if self.most < self.max_limit and self.rounds_without_429 >= self.rounds_to_raise:
            self.most += 1
            self.is_raised = True
            self.rounds_without_429 = 0

    def adapt(self, waiting: float) -> None:
        """Change the limit by how many of our requests seem to queue at the host."""
        if waiting < FEW_WAITING:
            self.change_limit(2 * self.limit if self.in_slow_start else self.limit + 1)
        elif waiting > MANY_WAITING:
            self.in_slow_start = False
            self.change_limit(self.limit - 1)

    def start_measuring(self) -> None:
        """Halve the limit for a round, to learn the latency of the host at ease."""
        self.best_latency = float("inf")
        self.limit_after_measuring = self.limit
        self.epoch += 1  # requests sent under the full load do not count
        self.change_limit(self.limit // 2)

    def record_throttling(self, epoch: int, trouble: str, retry_after: float | None) -> None:
        """Note a 429 or 503: pause the host, then ask it with at most half the requests.

        If it refuses one request more than it took for many rounds, it gets one less.

        Args:
            epoch: what slot yielded for the request.
            trouble: what happened, for messages.
            retry_after: the seconds that the host asks to wait, at most LONGEST_PAUSE of which are waited.
        """
        self.trouble = trouble
        self.has_answered = True
        if retry_after is not None:
            self.resume_at = max(self.resume_at, time.monotonic() + min(retry_after, LONGEST_PAUSE))
        if epoch == self.epoch:
            one_more = self.is_raised and self.limit == self.most
            self.most = max(1, self.limit - 1 if one_more else self.limit // 2)
            self.is_raised = False
            self.rounds_without_429 = 0
            self.rounds_to_raise *= 2
            self.pause(self.most)

    def record_failure(self, epoch: int, trouble: str) -> None:
        """Note that no complete answer came, or a 5xx. FAILURES_TO_OPEN in a row open the circuit.

        Args:
            epoch: what slot yielded for the request.
            trouble: what happened, for messages.
        """
        self.trouble = trouble
        if epoch == self.epoch:
            self.failures += 1
            if self.failures >= FAILURES_TO_OPEN:
                self.pause(1)

    def pause(self, limit: int) -> None:
        """Pause the host and go on with this limit."""
        seconds = min(FIRST_PAUSE * 2**self.pauses, LONGEST_PAUSE)
        self.resume_at = max(self.resume_at, time.monotonic() + seconds)
        self.pauses += 1
        self.epoch += 1
        self.in_slow_start = False
        self.limit_after_measuring = 0
        self.latencies.clear()
        self.change_limit(limit)

    def change_limit(self, limit: int) -> None:
        self.limit = max(1, min(limit, self.most))
        self.slots.resize(self.limit)
