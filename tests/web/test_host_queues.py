"""The order of work: hosts take turns, no host waits for another, the first error ends all."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from imageset.web.host_limits import FIRST_LIMIT, Host
from imageset.web.host_queues import work_through


def make_queues(**counts: int) -> dict[Host, Iterator[str]]:
    """Return this many items for each host, each with the host's name."""
    return {Host(name, max_limit=32, max_bytes=1): iter([name] * count) for name, count in counts.items()}


def test_every_item_is_done_once_and_hosts_take_turns() -> None:
    done: list[str] = []

    async def work(item: str) -> None:
        done.append(item)

    asyncio.run(work_through(make_queues(a=30, b=2, c=0, d=5), work))

    assert Counter(done) == {"a": 30, "b": 2, "d": 5}
    assert done[:6] == ["a", "b", "d"] * 2


def test_nothing_to_do_ends_at_once() -> None:
    async def work(item: str) -> None:
        raise AssertionError

    asyncio.run(work_through(make_queues(a=0), work))
    asyncio.run(work_through({}, work))


def test_a_host_has_twice_its_limit_in_progress_and_more_when_that_grows() -> None:
    queues = make_queues(a=100)
    (host,) = queues
    at_work, most = 0, []

    async def work(item: str) -> None:
        nonlocal at_work
        at_work += 1
        most.append(at_work)
        await asyncio.sleep(0.001)
        if len(most) >= 50:
            host.change_limit(10)
        at_work -= 1

    asyncio.run(work_through(queues, work))

    assert max(most[:50]) == 2 * FIRST_LIMIT
    assert max(most) == 20


def test_hosts_that_hang_leave_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageset.web.host_queues.MAX_TASKS", 5 * 2 * FIRST_LIMIT)
    left = 200

    async def main() -> None:
        others_are_done = asyncio.Event()

        async def work(item: str) -> None:
            nonlocal left
            if item != "alive":
                await asyncio.wait_for(others_are_done.wait(), 20)
                return
            await asyncio.sleep(0)
            left -= 1
            if not left:
                others_are_done.set()

        await work_through(make_queues(dead=50, silent=50, slow=50, alive=left), work)

    asyncio.run(main())

    assert left == 0


def test_no_more_tasks_run_than_the_most_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageset.web.host_queues.MAX_TASKS", 7)
    at_work, most = 0, 0

    async def work(item: str) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1

    asyncio.run(work_through(make_queues(**{f"h{number}": 3 for number in range(10)}), work))

    assert most == 7


def test_the_first_error_cancels_the_others_and_is_raised() -> None:
    ended: list[str] = []

    async def work(item: str) -> None:
        if item == "b":
            raise ValueError("bucket is down")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(item)
            raise

    with pytest.raises(ValueError, match="bucket is down"):
        asyncio.run(work_through(make_queues(a=3, b=1), work))

    assert ended == ["a"] * 3
