"""The budget: nobody overtakes, nothing leaks, and no more is held than there is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageset.web.weighted_semaphore import WeightedSemaphore
from tests.web.test_host_limits import run


class Desk:
    """People who take amounts from a budget by name: who holds one, in the order of their coming, and who has left."""

    def __init__(self, amount: int) -> None:
        self.budget = WeightedSemaphore(amount)
        self.came: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def queue(self, **amounts: int) -> None:
        """Let these people come, in this order."""
        for name, amount in amounts.items():
            self.leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self.visit(name, amount))
        await settle()

    async def visit(self, name: str, amount: int) -> None:
        async with self.budget.take(amount):
            self.came.append(name)
            await self.leave[name].wait()

    async def go(self, *names: str) -> None:
        """Let these people leave."""
        for name in names:
            self.leave[name].set()
        await settle()

    async def cancel(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await settle()

    async def close(self) -> None:
        """Let all leave, and see that all who were not cancelled have had their turn and the budget is whole."""
        for event in self.leave.values():
            event.set()
        for task in self.tasks.values():
            if not task.cancelled():
                await task

        assert self.budget.left == self.budget.amount
        assert not self.budget.waiting


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def at_desk(amount: int, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def main() -> None:
        desk = Desk(amount)
        await story(desk)
        await desk.close()

    run(main)


def test_as_many_as_fit_come_at_once_and_the_next_when_one_leaves() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=6, cleo=1)

        assert desk.came == ["ann", "ben"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(10, story)


def test_who_asks_for_much_is_not_overtaken_by_those_who_ask_for_little() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=8, cleo=1, dora=1)

        assert desk.came == ["ann"]

        await desk.go("ann")

        assert desk.came == ["ann", "ben", "cleo", "dora"]

    at_desk(10, story)


@pytest.mark.parametrize("amount", [10, 11, 10**12])
def test_who_asks_for_more_than_there_is_waits_for_all_of_it(amount: int) -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=1, ben=amount, cleo=1)

        assert desk.came == ["ann"]

        await desk.go("ann")

        assert desk.came == ["ann", "ben"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(10, story)


def test_nothing_is_taken_in_turn_as_well() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=0, ben=10, cleo=0, dora=1, emil=0)

        assert desk.came == ["ann", "ben", "cleo"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo", "dora", "emil"]

    at_desk(10, story)


def test_who_is_cancelled_while_waiting_lets_those_behind_forward() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=8, cleo=3, dora=3)
        await desk.cancel("ben")

        assert desk.came == ["ann", "cleo", "dora"]

    at_desk(10, story)


def test_who_is_cancelled_in_the_middle_of_the_queue_is_passed_over() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=5, cleo=9, dora=5)
        await desk.cancel("cleo")

        assert desk.came == ["ann"]

        await desk.go("ann")

        assert desk.came == ["ann", "ben", "dora"]

    at_desk(10, story)


def test_who_is_cancelled_while_holding_gives_back() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=10)
        await desk.cancel("ann")

        assert desk.came == ["ann", "ben"]

    at_desk(10, story)


def test_who_is_cancelled_between_the_grant_and_its_turn_gives_back() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=10, cleo=10)
        desk.leave["ann"].set()
        while len(desk.budget.waiting) == 2:
            await asyncio.sleep(0)
        await desk.cancel("ben")

        assert desk.came == ["ann", "cleo"]

    at_desk(10, story)


@pytest.mark.parametrize("cancelled", [["ben"], ["ben", "cleo"], ["cleo"], ["ben", "cleo", "dora"]], ids="+".join)
def test_who_is_cancelled_as_the_holder_leaves_disturbs_nobody(cancelled: list[str]) -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=10, cleo=10, dora=10)
        desk.leave["ann"].set()
        await desk.cancel(*cancelled)
        await desk.go("ben", "cleo", "dora")

        assert desk.came == [name for name in ("ann", "ben", "cleo", "dora") if name not in cancelled]

    at_desk(10, story)


def test_all_are_cancelled_at_once_and_the_budget_is_whole() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=4, ben=4, cleo=4, dora=10, emil=1)
        await desk.cancel("ann", "ben", "cleo", "dora", "emil")

        assert all(task.cancelled() for task in desk.tasks.values())

    at_desk(10, story)


def test_an_error_gives_back_what_was_held() -> None:
    async def story(desk: Desk) -> None:
        with pytest.raises(ValueError, match="nonsense"):
            async with desk.budget.take(10):
                raise ValueError("nonsense")

    at_desk(10, story)


def test_a_larger_budget_lets_more_in_at_once() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=1, ben=1, cleo=1, dora=1)
        desk.budget.resize(3)
        await settle()

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(1, story)


def test_a_smaller_budget_takes_back_what_is_free_at_once_and_the_rest_as_it_comes_free() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=1, ben=1, cleo=1)
        desk.budget.resize(1)
        await desk.queue(dora=1)
        await desk.go("ann", "ben")

        assert desk.came == ["ann", "ben", "cleo"]

        await desk.go("cleo")

        assert desk.came == ["ann", "ben", "cleo", "dora"]

        await desk.queue(emil=1)

        assert "emil" not in desk.came

    at_desk(5, story)


def test_who_waits_for_more_than_a_budget_that_has_become_smaller_waits_for_all_of_it() -> None:
    async def story(desk: Desk) -> None:
        await desk.queue(ann=10, ben=8)
        desk.budget.resize(5)
        await desk.queue(cleo=1)
        await desk.go("ann")

        assert desk.came == ["ann", "ben"]

        await desk.go("ben")

        assert desk.came == ["ann", "ben", "cleo"]

    at_desk(10, story)


class Visit(NamedTuple):
    """What somebody takes, when, for how long, and when they lose patience, if ever."""

    amount: int
    comes: float
    seconds: float
    patience: float | None


SECONDS = st.sampled_from([0.0, 0.0, 1.0, 1.0, 2.0, 5.0])  # few different ones: much happens at the same moment
VISITS = st.lists(st.builds(Visit, st.integers(0, 15), SECONDS, SECONDS, st.none() | SECONDS), max_size=40)


@settings(deadline=None)
@given(VISITS)
def test_never_more_is_held_than_there_is_and_all_come_in_the_end(visits: list[Visit]) -> None:
    async def story(desk: Desk) -> None:
        held, ended = 0, 0

        async def one(visit: Visit) -> None:
            nonlocal held, ended
            amount = min(visit.amount, 10)
            await asyncio.sleep(visit.comes)
            try:
                async with asyncio.timeout(visit.patience), desk.budget.take(visit.amount):
                    held += amount
                    try:
                        assert held <= 10

                        await asyncio.sleep(visit.seconds)
                    finally:
                        held -= amount
            except TimeoutError:
                assert visit.patience is not None
            ended += 1

        await asyncio.gather(*map(one, visits))

        assert (held, ended) == (0, len(visits))

    at_desk(10, story)
