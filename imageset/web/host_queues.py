"""Work on many hosts at once: a slow host delays its own photos only."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from imageset.web.host_limits import Host

MAX_TASKS = 512  # most of them wait: for a slot at their host, for a retry, for the bucket

Item = TypeVar("Item")


async def work_through(
    queues: Mapping[Host, Iterator[Item]], work: Callable[[Item], Coroutine[Any, Any, None]]
) -> None:
    """Run work(item) for every item, in turns between the hosts.

    A host has at most twice its limit of items in progress: half of them are downloaded while half are decoded and
    uploaded.

    Args:
        queues: each host's items. An item is taken when its work begins.
        work: a coroutine function for one item.

    Raises:
        Exception: the first that `work` raises; all other work is cancelled.
    """
    ready = dict.fromkeys(queues)  # an ordered set of the hosts that may have room for one more item
    in_progress: Counter[Host] = Counter()
    running: dict[asyncio.Task[None], Host] = {}
    finished: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
    try:
        while ready or running:
            while ready and len(running) < MAX_TASKS:
                host = next(iter(ready))
                del ready[host]
                if in_progress[host] >= 2 * host.limit:
                    continue
                for item in islice(queues[host], 1):
                    task = asyncio.create_task(work(item))
                    task.add_done_callback(finished.put_nowait)
                    running[task] = host
                    in_progress[host] += 1
                    ready[host] = None
            if running:
                task = await finished.get()
                host = running.pop(task)
                in_progress[host] -= 1
                ready[host] = None
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
