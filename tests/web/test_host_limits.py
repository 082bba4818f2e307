"""One host in a run: how many requests it gets at once, when it is paused, and when it is given up.

The event loop has a clock of its own, which moves only while all tasks wait. So an hour of pauses takes no time and is
exact.
"""

import asyncio
import itertools
import random
import statistics
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.errors import HostGivenUp
from imageset.web import host_limits
from imageset.web.host_limits import (
    FAILURES_TO_OPEN,
    FIRST_LIMIT,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_PAUSES,
    MAX_PAUSES_IF_NEVER_ANSWERED,
    ROUNDS_TO_RAISE,
)
from tests.web.own_clock import Loop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on a loop with its own clock. Raises AssertionError when all tasks wait for ever."""
    loop = Loop()
    with mock.patch.object(host_limits, "time", loop.clock), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


class Host(host_limits.Host):
    """A host that has answered before, and counts the requests that hold a slot."""

    def __init__(self, name: str, max_limit: int) -> None:
        super().__init__(name, max_limit, max_bytes=1)
        self.has_answered = True
        self.asking = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        async with super().slot() as epoch:
            self.asking += 1
            try:
                yield epoch
            finally:
                self.asking -= 1


Report = Callable[[Host, int], None]


def now() -> float:
    return asyncio.get_running_loop().time()


def answer(latency: float = 0.01) -> Report:
    return lambda host, epoch: host.record_answer(epoch, latency)


def throttle(retry_after: float | None = None) -> Report:
    return lambda host, epoch: host.record_throttling(epoch, "status 429", retry_after)


def fail(host: Host, epoch: int) -> None:
    host.record_failure(epoch, "TimeoutError")


class Asked(NamedTuple):
    """When a request began, and how many were in progress then."""

    at: float
    at_once: int


async def ask(host: Host, report: Report, seconds: float = 0.01, more_seconds: float = 0.0) -> Asked:
    """Make a request that reports after some seconds and then keeps its slot for some more."""
    async with host.slot() as epoch:
        asked = Asked(now(), host.asking)
        await asyncio.sleep(seconds)
        report(host, epoch)
        await asyncio.sleep(more_seconds)
    return asked


async def ask_at_once(host: Host, *reports: Report) -> list[Asked]:
    return await asyncio.gather(*(ask(host, report) for report in reports))


async def rounds(host: Host, latency: float, count: int) -> list[int]:
    """Return the limit after each of some rounds of answers with this latency."""
    limits = []
    for _ in range(count):
        await ask_at_once(host, *[answer(latency)] * host.limit)
        limits.append(host.limit)
    return limits


async def rounds_until(host: Host, limit: int) -> int:
    """Return after how many rounds of answers the host has this limit."""
    count = 0
    while host.limit != limit:
        await rounds(host, 0.01, 1)
        count += 1
    return count


async def count_slots(host: Host) -> int:
    """Return how many requests the host lets through at once; no other may be in progress."""
    await asyncio.sleep(max(0.0, host.resume_at - now()))
    leave = asyncio.Event()

    async def stay() -> None:
        async with host.slot():
            await leave.wait()

    staying = [asyncio.create_task(stay()) for _ in range(host.max_limit + 10)]
    await asyncio.sleep(0.01)
    entered = host.asking
    leave.set()
    await asyncio.gather(*staying)
    return entered


def test_the_limit_doubles_at_first_up_to_its_maximum() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=20)

        assert host.limit == await count_slots(host) == FIRST_LIMIT == 4
        assert await rounds(host, 0.01, 4) == [8, 16, 20, 20]
        assert await count_slots(host) == 20

    run(main)


def test_the_limit_never_begins_above_its_maximum() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=1)

        assert host.limit == await count_slots(host) == 1
        assert await rounds(host, 0.01, 3) == [1, 1, 1]

    run(main)


def test_after_failures_the_limit_grows_by_one_a_round() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=32)
        await rounds(host, 0.01, 2)
        for _ in range(FAILURES_TO_OPEN):
            await ask(host, fail)

        assert host.limit == 1
        assert await rounds(host, 0.01, 3) == [2, 3, 4]
        assert await count_slots(host) == 4

    run(main)


def test_after_a_429_the_limit_stays_at_its_half_for_many_rounds_and_then_one_more_is_tried() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=32)
        await rounds(host, 0.01, 2)
        await ask(host, throttle())

        assert host.limit == 8
        assert ROUNDS_TO_RAISE <= await rounds_until(host, 9) <= ROUNDS_TO_RAISE + 3
        assert await count_slots(host) == 9

    run(main)


def test_where_one_more_is_refused_one_less_is_asked_for_twice_as_many_rounds() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=32)
        await rounds(host, 0.01, 2)
        await ask(host, throttle())
        await rounds_until(host, 9)
        await ask(host, throttle())

        assert host.limit == 8
        assert 2 * ROUNDS_TO_RAISE <= await rounds_until(host, 9) <= 2 * ROUNDS_TO_RAISE + 3

        await ask(host, throttle())
        await ask(host, throttle())  # refuses what it took before

        assert host.limit == 4

    run(main)


def test_a_host_that_refuses_no_more_gets_its_full_limit_again() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=8)
        await rounds(host, 0.01, 1)
        await ask(host, throttle())

        assert host.limit == 4
        assert await rounds_until(host, 8) <= 4 * (ROUNDS_TO_RAISE + 3)

    run(main)


def test_the_limit_grows_once_a_round_not_with_each_answer() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=32)
        await ask_at_once(host, *[answer()] * (FIRST_LIMIT - 1))

        assert host.limit == FIRST_LIMIT

        await ask(host, answer())

        assert host.limit == 2 * FIRST_LIMIT

    run(main)


def test_the_limit_stays_while_a_few_requests_queue_at_the_host_and_shrinks_when_many_do() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 3)

        assert await rounds(host, 0.0143, 3) == [16, 16, 16]  # 0.3 of 16 queue: neither few nor many
        assert await rounds(host, 0.02, 3) == [15, 14, 13]  # half of them queue
        assert await count_slots(host) == 13

    run(main)


def test_one_slow_answer_among_fast_ones_changes_nothing() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 3)
        await ask_at_once(host, answer(5.0), *[answer(0.01)] * 15)

        assert host.limit == 16

    run(main)


def test_a_host_that_has_become_slower_for_good_gets_its_full_limit_again() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 3)
        limits = await rounds(host, 0.03, 250)

        assert min(limits) < 10
        assert limits[-1] == 16

    run(main)


@pytest.mark.parametrize("takes", [3, 10, 20])
def test_the_limit_converges_a_little_above_what_the_host_handles_at_once(takes: int) -> None:
    """And stays there under constant load. If the best latency were forgotten, the limit would creep to its maximum."""
    drawn, limits = random.Random(takes), []

    async def main() -> None:
        host, at_work = Host("a:80", max_limit=64), asyncio.Semaphore(takes)

        async def one() -> None:
            async with host.slot() as epoch:
                started = now()
                async with at_work:
                    await asyncio.sleep(drawn.uniform(0.01, 0.03))
                host.record_answer(epoch, now() - started)
                limits.append(host.limit)

        await asyncio.gather(*(one() for _ in range(8000)))

    run(main)

    assert takes <= statistics.median(limits[4000:-200]) <= takes + 2 * host_limits.MANY_WAITING


def test_many_429s_at_once_halve_the_limit_once() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 2)
        limits = []
        for _ in range(6):
            await ask_at_once(host, *[throttle()] * host.limit)
            limits.append(host.limit)

        assert limits[:5] == [8, 4, 2, 1, 1]
        assert host.given_up  # nothing else six times in a row, for half a minute

    run(main)


def test_many_429s_at_once_pause_the_host_once() -> None:
    async def main() -> None:
        host, began = Host("a:80", max_limit=16), now()
        await ask_at_once(host, *[throttle()] * 4)
        asked = await ask_at_once(host, *[throttle()] * 2)

        assert [round(at - began, 3) for at, _ in asked] == [0.01 + FIRST_PAUSE] * 2
        assert round(host.resume_at - now(), 3) == 2 * FIRST_PAUSE

    run(main)


def test_requests_whose_answer_is_recorded_do_not_hide_later_429s() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 1)
        reading = [asyncio.create_task(ask(host, answer(), 0.01, more_seconds=0.5)) for _ in range(7)]
        await asyncio.sleep(0.1)
        before = host.limit
        await ask(host, throttle())
        after_one = host.limit
        await asyncio.gather(*reading)
        await ask(host, throttle())

        assert (before, after_one, host.limit) == (8, 4, 2)

    run(main)


def test_requests_whose_answer_is_recorded_do_not_shorten_the_pauses_of_the_circuit() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 1)
        reading = [asyncio.create_task(ask(host, answer(), 0.01, more_seconds=0.5)) for _ in range(7)]
        await asyncio.sleep(0.1)
        for _ in range(FAILURES_TO_OPEN):
            await ask(host, fail)
        await asyncio.gather(*reading)
        probes = [(await ask(host, fail)).at for _ in range(3)]

        assert [round(later - earlier, 2) for earlier, later in itertools.pairwise(probes)] == [2.01, 4.01]

    run(main)


def test_a_429_while_the_host_is_measured_is_not_forgotten_afterwards() -> None:
    """From time to time a round of few requests measures the host's latency without load; then the limit returns."""

    async def main() -> None:
        host = Host("a:80", max_limit=16)
        limits = await rounds(host, 0.01, host_limits.ROUNDS_TO_MEASURE)
        await ask(host, throttle())
        after_429 = host.limit

        assert (max(limits), limits[-1], after_429) == (16, 8, 4)
        assert await rounds(host, 0.01, 2) == [4, 4]

    run(main)


def test_requests_from_before_a_429_neither_halve_the_limit_again_nor_raise_it() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await rounds(host, 0.01, 1)
        late = [asyncio.create_task(ask(host, report, 0.5)) for report in [throttle(), *[answer()] * 6]]
        await asyncio.sleep(0)
        await ask(host, throttle())
        await asyncio.gather(*late)

        assert host.limit == 4

    run(main)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (7.0, 7.0),
        (0.0, FIRST_PAUSE),
        (-30.0, FIRST_PAUSE),
        (None, FIRST_PAUSE),
        (3600.0, LONGEST_PAUSE),
        (float("inf"), LONGEST_PAUSE),
    ],
)
def test_retry_after_is_obeyed_within_bounds(retry_after: float | None, seconds: float) -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await ask(host, throttle(retry_after))
        answered = now()
        asked = await ask_at_once(host, answer(), answer())

        assert [round(at - answered, 6) for at, _ in asked] == [seconds, seconds]

    run(main)


def test_of_several_retry_afters_the_longest_counts() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        await ask_at_once(host, throttle(2.0), throttle(20.0), throttle(3.0), throttle())
        answered = now()
        asked = await ask(host, answer())

        assert round(asked.at - answered, 6) == 20.0

    run(main)


def test_a_pause_that_grows_holds_back_the_requests_that_wait_in_it_too() -> None:
    """A later answer lengthens the pause for requests that hold a slot and wait for the first pause to end."""

    async def main() -> None:
        host, began = Host("a:80", max_limit=16), now()
        late = asyncio.create_task(ask(host, throttle(30.0), 0.5))
        await asyncio.sleep(0)
        await ask(host, throttle())
        asked = await ask(host, answer())
        await late

        assert round(asked.at - began, 6) == 30.5

    run(main)


def test_enough_failures_in_a_row_open_the_circuit_and_fewer_do_not() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        for report in [*[fail] * (FAILURES_TO_OPEN - 1), answer(), *[fail] * (FAILURES_TO_OPEN - 1)]:
            before = now()

            assert (await ask(host, report)).at == before

        await ask(host, fail)
        opened = now()

        assert round((await ask(host, fail)).at - opened, 6) == FIRST_PAUSE

    run(main)


@pytest.mark.parametrize("at_once", [1, FIRST_LIMIT])
def test_an_open_circuit_lets_one_probe_through_at_a_time(at_once: int) -> None:
    """Whether the failures came one after the other or together."""

    async def main() -> None:
        host = Host("a:80", max_limit=16)
        for _ in range(8 // at_once):
            await ask_at_once(host, *[fail] * at_once)
            if host.limit == 1:
                break
        asked = await ask_at_once(host, *[fail] * 4)

        assert [at_once for _, at_once in asked] == [1, 1, 1, 1]

    run(main)


def test_an_answer_closes_the_circuit() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=16)
        for _ in range(FAILURES_TO_OPEN + 2):
            await ask(host, fail)
        await ask(host, answer())
        before = now()
        await rounds(host, 0.01, 10)

        assert round(now() - before, 6) == 0.1
        assert host.limit > 10
        assert not host.given_up

        for _ in range(FAILURES_TO_OPEN):  # the next failures begin with the shortest pause
            await ask(host, fail)
        opened = now()

        assert round((await ask(host, answer())).at - opened, 6) == FIRST_PAUSE

    run(main)


def test_a_request_that_gets_its_place_just_before_a_throttling_keeps_to_the_new_limit() -> None:
    async def main() -> None:
        host, began = Host("a:80", max_limit=4), now()

        async def give_its_place_to_the_last() -> None:
            async with host.slot():
                await asyncio.sleep(1)

        others = [ask(host, throttle(), 1.0), *(ask(host, answer(), 9.0) for _ in range(2)), ask(host, answer())]
        *_, last = await asyncio.gather(give_its_place_to_the_last(), *others)

        assert last is not None
        # Two are in progress until 9.0, as many as the new limit.
        assert (round(last.at - began, 6), last.at_once) == (9.0, 1)

    run(main)


def test_each_pause_is_twice_as_long_and_after_the_last_all_waiting_requests_end() -> None:
    async def main() -> None:
        host, began = Host("a:80", max_limit=16), now()
        results = await asyncio.gather(*(ask(host, fail, 0.0) for _ in range(50)), return_exceptions=True)
        asked = [round(result.at - began, 6) for result in results if isinstance(result, Asked)]

        # The first four at once, and the three that came back before the fifth failure.
        probes = sorted(at for at in asked if at > 0)

        assert probes == [FIRST_PAUSE * (2**count - 1) for count in range(1, MAX_PAUSES + 1)]
        assert FAILURES_TO_OPEN <= len(asked) - len(probes) < FAILURES_TO_OPEN + FIRST_LIMIT
        assert sum(isinstance(result, HostGivenUp) for result in results) == 50 - len(asked)
        assert now() - began <= probes[-1]

        with pytest.raises(HostGivenUp):
            await ask(host, answer())

    run(main)


async def fail_for_ever(host: Host) -> None:
    while True:
        await ask(host, fail)


def test_a_host_that_has_never_answered_is_given_up_sooner() -> None:
    async def main() -> None:
        seconds = {}
        for has_answered in (True, False):
            host, started = Host("a:80", max_limit=4), now()
            host.has_answered = has_answered
            with pytest.raises(HostGivenUp):
                await fail_for_ever(host)
            seconds[has_answered] = round(now() - started)

        assert seconds == {True: 2**MAX_PAUSES - 1, False: 2**MAX_PAUSES_IF_NEVER_ANSWERED - 1}

    run(main)


def test_no_pause_is_longer_than_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_limits, "MAX_PAUSES", 9)

    async def main() -> None:
        host = Host("a:80", max_limit=1)
        asked = [(await ask(host, fail, 0.0)).at for _ in range(FAILURES_TO_OPEN + 9)]

        assert round(max(later - earlier for earlier, later in itertools.pairwise(asked)), 6) == LONGEST_PAUSE

    run(main)


def test_a_pause_of_one_host_does_not_hold_back_another() -> None:
    async def main() -> None:
        dead, good = Host("dead:80", max_limit=16), Host("good:80", max_limit=16)
        for _ in range(FAILURES_TO_OPEN):
            await ask(dead, fail)
        before = now()

        assert (await ask(good, answer())).at == before

    run(main)


def test_slots_are_given_in_the_order_of_asking() -> None:
    async def main() -> None:
        host, order = Host("a:80", max_limit=1), []

        async def one(number: int) -> None:
            async with host.slot():
                order.append(number)
                await asyncio.sleep(0.01)

        await asyncio.gather(*map(one, range(20)))

        assert order == list(range(20))

    run(main)


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.5, 2.0], ids=["before", "asking", "pausing", "after"])
def test_a_cancelled_request_leaves_its_slot_to_others(seconds: float) -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=2)
        await asyncio.sleep(0)
        if seconds > 0.1:
            await ask(host, throttle())
        tasks = [asyncio.create_task(ask(host, answer())) for _ in range(10)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert host.asking == 0
        assert await count_slots(host) == host.limit

    run(main)


def test_an_error_gives_the_slot_back() -> None:
    async def main() -> None:
        host = Host("a:80", max_limit=1)
        for _ in range(3):
            with pytest.raises(ValueError, match="nonsense"):
                async with host.slot():
                    raise ValueError("nonsense")

        assert await count_slots(host) == 1

    run(main)


class Request(NamedTuple):
    """A request of a random run: when it comes, what it reports and when, and its timeout if it has one."""

    comes: float
    report: Report
    seconds: float
    more_seconds: float
    timeout: float | None


SECONDS = st.sampled_from([0.0, 0.0, 0.01, 0.02, 0.5, 3.0])
REPORTS = st.sampled_from(
    [
        answer(0.01),
        answer(0.01),
        answer(0.02),
        answer(0.1),
        throttle(),
        throttle(5.0),
        fail,
        fail,
        lambda host, epoch: None,
    ]
)
REQUESTS = st.lists(st.builds(Request, SECONDS, REPORTS, SECONDS, SECONDS, st.none() | SECONDS), max_size=60)


@settings(deadline=None)
@given(REQUESTS, st.integers(1, 12))
def test_in_any_run_the_limit_is_kept_and_every_request_gets_a_slot(requests: list[Request], max_limit: int) -> None:
    async def main() -> None:
        host = Host("a:80", max_limit)
        ended = 0
        instant, highest = now(), host.limit  # the limit may fall while requests that it let in are in progress

        def note() -> None:
            nonlocal instant, highest
            highest = host.limit if now() > instant else max(highest, host.limit)
            instant = now()

            assert 1 <= host.limit <= max_limit

        async def one(request: Request) -> None:
            nonlocal ended
            await asyncio.sleep(request.comes)
            try:
                async with asyncio.timeout(request.timeout), host.slot() as epoch:
                    note()

                    assert host.asking <= highest
                    assert host.resume_at <= now()

                    await asyncio.sleep(request.seconds)
                    note()
                    request.report(host, epoch)
                    note()
                    await asyncio.sleep(request.more_seconds)
            except (TimeoutError, HostGivenUp):
                pass
            ended += 1

        await asyncio.gather(*map(one, requests))

        assert ended == len(requests)
        assert host.asking == 0

        if not host.given_up:
            assert await count_slots(host) == host.limit

    run(main)
