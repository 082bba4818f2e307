"""The semaphore: no task overtakes another, nothing leaks, and never more is held than the amount."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.web.weighted_semaphore import WeightedSemaphore
from tests.web.test_host_limits import run


class Desk:
    """Tasks with names of people, who hold amounts of a semaphore: `came` has them in the order of their grants."""

    def __init__(self, amount: int) -> None:
        self.semaphore = WeightedSemaphore(amount)
        self.came: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def queue(self, **amounts: int) -> None:
        """Let these people ask for amounts, in this order."""
        for name, amount in amounts.items():
            self.leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self.visit(name, amount))
        await run_all()

    async def visit(self, name: str, amount: int) -> None:
        async with self.semaphore.acquire(amount):
            self.came.append(name)
            await self.leave[name].wait()

    async def go(self, *names: str) -> None:
        """Let these people give back what they hold."""
        for name in names:
            self.leave[name].set()
        await run_all()

    async def cancel(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await run_all()

    async def close(self) -> None:
        """Let all leave; check that every task that was not cancelled was served, and that the whole amount is free."""
        for event in self.leave.values():
            event.set()
        for task in self.tasks.values():
            if not task.cancelled():
                await task

        assert self.semaphore.available == self.semaphore.amount
        assert not self.semaphore.waiting


async def run_all() -> None:
    """Let all tasks run as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def at_desk(amount: int, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def main() -> None:
        desk = Desk(amount)
        await story(desk)
        await desk.close()

    run(main)


def test_as_many_as_fit_are_granted_at_once_and_the_next_when_one_leaves() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=6, cleo=1)

        assert desk.came == ["ann", "ben"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(10, story)


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=8, cleo=1, dora=1)

        assert desk.came == ["ann"]

        await desk.go("ann")

        assert desk.came == ["ann", "ben", "cleo", "dora"]

    at_desk(10, story)


@pytest.mark.parametrize("amount", [10, 11, 10**12])
def test_a_request_for_more_than_the_amount_waits_for_all_of_it(amount: int) -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=1, ben=amount, cleo=1)

        assert desk.came == ["ann"]

        await desk.go("ann")

        assert desk.came == ["ann", "ben"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(10, story)


def test_a_request_for_zero_waits_in_its_order_too() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=0, ben=10, cleo=0, dora=1, emil=0)

        assert desk.came == ["ann", "ben", "cleo"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo", "dora", "emil"]

    at_desk(10, story)


def test_cancelling_a_waiting_task_lets_those_behind_it_forward() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=8, cleo=3, dora=3)
        await desk.cancel("ben")

        assert desk.came == ["ann", "cleo", "dora"]

    at_desk(10, story)


def test_a_task_cancelled_in_the_middle_of_the_queue_is_passed_over() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=5, cleo=9, dora=5)
        await desk.cancel("cleo")

        assert desk.came == ["ann"]

        await desk.go("ann")

        assert desk.came == ["ann", "ben", "dora"]

    at_desk(10, story)


def test_a_task_cancelled_while_holding_gives_back() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=10)
        await desk.cancel("ann")

        assert desk.came == ["ann", "ben"]

    at_desk(10, story)


def test_a_task_cancelled_between_the_grant_and_its_next_step_gives_back() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=10, cleo=10)
        desk.leave["ann"].set()
        while len(desk.semaphore.waiting) == 2:
            await asyncio.sleep(0)
        await desk.cancel("ben")

        assert desk.came == ["ann", "cleo"]

    at_desk(10, story)


@pytest.mark.parametrize("cancelled", [["ben"], ["ben", "cleo"], ["cleo"], ["ben", "cleo", "dora"]], ids="+".join)
def test_cancelling_tasks_while_the_holder_leaves_disturbs_no_other(cancelled: list[str]) -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=10, cleo=10, dora=10)
        desk.leave["ann"].set()
        await desk.cancel(*cancelled)
        await desk.go("ben", "cleo", "dora")

        assert desk.came == [name for name in ("ann", "ben", "cleo", "dora") if name not in cancelled]

    at_desk(10, story)


def test_after_all_tasks_are_cancelled_at_once_the_amount_is_free() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=4, cleo=4, dora=10, emil=1)
        await desk.cancel("ann", "ben", "cleo", "dora", "emil")

        assert all(task.cancelled() for task in desk.tasks.values())

    at_desk(10, story)


def test_an_error_gives_back_what_was_held() -> None:
    async def story(desk: Desk) -> None:
        with pytest.raises(ValueError, match="nonsense"):
            async with desk.semaphore.acquire(10):
                raise ValueError("nonsense")

    at_desk(10, story)


def test_a_larger_amount_lets_more_in_at_once() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=1, ben=1, cleo=1, dora=1)
        desk.semaphore.resize(3)
        await run_all()

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(1, story)


def test_a_smaller_amount_counts_at_once_for_what_is_free_and_later_for_what_is_held() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=1, ben=1, cleo=1)
        desk.semaphore.resize(1)
        await desk.queue(dora=1)
        await desk.go("ann", "ben")

        assert desk.came == ["ann", "ben", "cleo"]

        await desk.go("cleo")

        assert desk.came == ["ann", "ben", "cleo", "dora"]

        await desk.queue(emil=1)

        assert "emil" not in desk.came

    at_desk(5, story)


def test_a_request_for_more_than_the_reduced_amount_waits_for_all_of_it() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=8)
        desk.semaphore.resize(5)
        await desk.queue(cleo=1)
        await desk.go("ann")

        assert desk.came == ["ann", "ben"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(10, story)


class Visit(NamedTuple):
    """An amount, when it is asked for, how long it is held, and the timeout if there is one."""

    amount: int
    comes: float
    seconds: float
    timeout: float | None


SECONDS = st.sampled_from([0.0, 0.0, 1.0, 1.0, 2.0, 5.0])  # few values, so that much happens at once
VISITS = st.lists(st.builds(Visit, st.integers(0, 15), SECONDS, SECONDS, st.none() | SECONDS), max_size=40)


@settings(deadline=None)
@given(VISITS)
def test_in_any_run_never_more_is_held_than_the_amount_and_all_are_served(visits: list[Visit]) -> None:
    async def story(desk: Desk) -> None:
        held, ended = 0, 0

        async def one(visit: Visit) -> None:
            nonlocal held, ended
            amount = min(visit.amount, 10)
            await asyncio.sleep(visit.comes)
            try:
                async with asyncio.timeout(visit.timeout), desk.semaphore.acquire(visit.amount):
                    held += amount
                    try:
                        assert held <= 10

                        await asyncio.sleep(visit.seconds)
                    finally:
                        held -= amount
            except TimeoutError:
                assert visit.timeout is not None
            ended += 1

        await asyncio.gather(*map(one, visits))

        assert (held, ended) == (0, len(visits))

    at_desk(10, story)
