"""Work on many hosts at once: each host's own work waits for it, and for no other host's."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from imageset.web.host_limits import Host

AT_ONCE = 512  # most of them wait: for a turn at their host, for a retry, for the bucket

Item = TypeVar("Item")


async def work_through(queues: Mapping[Host, deque[Item]], work: Callable[[Item], Coroutine[Any, Any, None]]) -> None:
    """Await work(item) for every item, the hosts taking turns; the first to raise ends the others.

    A host has no more of its items at work than twice its limit: half of them ask, while half are decoded and put.
    """
    in_turn = dict.fromkeys(queues)  # an ordered set of the hosts that may have room for one more
    at_work: Counter[Host] = Counter()
    running: dict[asyncio.Task[None], Host] = {}
    finished: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
    try:
        while in_turn or running:
            while in_turn and len(running) < AT_ONCE:
                host = next(iter(in_turn))
                del in_turn[host]
                if queues[host] and at_work[host] < 2 * host.limit:
                    task = asyncio.create_task(work(queues[host].popleft()))
                    task.add_done_callback(finished.put_nowait)
                    running[task] = host
                    at_work[host] += 1
                    in_turn[host] = None
            if running:
                task = await finished.get()
                host = running.pop(task)
                at_work[host] -= 1
                in_turn[host] = None
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
