"""Queues of tasks on a Dask cluster. One worker runs all tasks of a queue, so it may keep state from task to task.

Any worker may run any task, though: when one is lost, its queues go to the others, and what it had not answered is sent
again. Tasks run in a thread of the Dask worker itself (dask_worker.py has the process beside it).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

import distributed
from distributed import Client
from distributed.scheduler import KilledWorker

from imageset.errors import ServerError
from imageset.workers.dask_cluster import GONE, list_workers

SECONDS_BETWEEN_COUNTS = 2
SECONDS_WITHOUT_WORKERS = 60
SECONDS_TO_RECEIVE = 5
QUEUES_PER_WORKER = 16  # at once
TASKS_PER_QUEUE = 3  # at once: one ends, one is in progress, one follows without a pause
MAX_LOSSES = 10  # of workers in a row that a queue was with: a task that kills every worker must not be sent for ever

Item = TypeVar("Item")


@dataclass(eq=False)
class Queue(Generic[Item]):
    """Items for one worker, a task each. size: how much work they are, in any unit."""

    items: Iterator[Item]
    size: int
    again: list[Item] = field(default_factory=list)  # sent before, to a worker that was lost
    running: int = 0
    losses: int = 0

    def next(self) -> Item | None:
        return self.again.pop() if self.again else next(self.items, None)


class Sent(NamedTuple):
    """A task on the cluster."""

    future: Any
    queue: Queue[Any]
    item: Any
    worker: str


class QueueRunner(Generic[Item]):
    """Runs queues on the workers of a cluster."""

    def __init__(
        self, client: Client, queues: list[Queue[Item]], function: Callable[[Any], Any], load: Callable[[Item], Any]
    ) -> None:
        """Send nothing yet.

        Args:
            client: of the cluster.
            queues: what is to be done.
            function: what a worker does with a task. It should call distributed.secede where it waits.
            load: what of an item travels.
        """
        self.client = client
        self.function = function
        self.load = load
        self.waiting = deque(sorted(queues, key=lambda queue: -queue.size))
        self.workers: dict[str, set[Queue[Item]]] = {}
        self.threads: dict[str, int] = {}
        self.sent: dict[str, Sent] = {}  # by the future's key
        self.finished: SimpleQueue[str] = SimpleQueue()
        self.seen_at = time.monotonic()  # when the cluster had workers
        self.counted_at = float("-inf")

    def results(self) -> Iterator[tuple[Item, Any]]:
        """Yield each item with what the function returned for it, as they come.

        Raises:
            ServerError: the cluster is gone, or one worker after the other was lost with a queue.
            ImagesetError: what the function raised.
        """
        try:
            self.count_workers()
            while self.waiting or self.sent:
                self.share_out()
                yield from self.receive()
                self.count_workers()
        finally:
            for sent in self.sent.values():
                sent.future.cancel()

    def run_on_workers(self, function: Callable[[], Any]) -> None:
        """Run a function once on each worker. Those that are gone by now do not matter."""
        gone = (TimeoutError, OSError, distributed.CancelledError, distributed.client.ClosedClientError)
        futures: list[Any] = []
        with suppress(*gone):
            futures += [self.client.submit(function, workers=[worker], pure=False) for worker in self.workers]
            send_off: Any = distributed.fire_and_forget  # not typed
            send_off(futures)  # a worker whose threads are busy runs it later
        for future in futures:
            with suppress(*gone):
                future.result(timeout=SECONDS_TO_RECEIVE)

    def share_out(self) -> None:
        """Give each queue that waits, the largest first, to the worker with the least to do for each of its threads."""
        while self.waiting:
            free = [worker for worker, queues in self.workers.items() if len(queues) < QUEUES_PER_WORKER]
            if not free:
                return
            queue = self.waiting.popleft()
            worker = min(free, key=self.left)
            self.workers[worker].add(queue)
            for _ in range(TASKS_PER_QUEUE):
                self.send(queue, worker)

    def left(self, worker: str) -> float:
        return sum(queue.size for queue in self.workers[worker]) / self.threads[worker]

    def send(self, queue: Queue[Item], worker: str) -> None:
        """Send a queue's next item to its worker; without one, the queue is done when nothing of it runs."""
        item = queue.next()
        if item is None:
            if not queue.running:
                self.workers[worker].discard(queue)
            return
        future: Any = self.client.submit(
            self.function,
            self.load(item),
            workers=[worker],
            pure=False,  # or Dask would return the result of an equal task without running it again
        )
        self.sent[future.key] = Sent(future, queue, item, worker)
        queue.running += 1
        future.add_done_callback(lambda future: self.finished.put(future.key))

    def receive(self) -> Iterator[tuple[Item, Any]]:
        """Yield the next result, if one comes soon, and send the next item of its queue."""
        try:
            key = self.finished.get(timeout=SECONDS_BETWEEN_COUNTS)
        except Empty:
            return
        if key not in self.sent:  # its worker was lost
            return
        sent = self.sent[key]
        try:
            result = sent.future.result(timeout=SECONDS_TO_RECEIVE)
        except TimeoutError:
            if sent.future.status == "error":  # the function itself raised it
                raise
            self.finished.put(key)  # its worker stalls, or is lost
            return
        except (KilledWorker, distributed.client.FutureCancelledError) as error:
            if getattr(error, "reason", "") == "scheduler-connection-lost":
                raise ServerError(GONE) from None
            self.take_back(sent.worker)
            return
        except OSError:
            raise ServerError(GONE) from None
        del self.sent[key]
        sent.queue.running -= 1
        sent.queue.losses = 0
        yield sent.item, result
        self.send(sent.queue, sent.worker)

    def count_workers(self) -> None:
        """Learn which workers there are, every few seconds. Raises ServerError when there have been none for long."""
        now = time.monotonic()
        if now - self.counted_at < SECONDS_BETWEEN_COUNTS:
            return
        self.counted_at, self.threads = now, list_workers(self.client)
        for worker in self.workers.keys() - self.threads:
            self.take_back(worker)
            del self.workers[worker]
        for worker in self.threads:
            self.workers.setdefault(worker, set())
        if self.threads:
            self.seen_at = now
        elif now - self.seen_at > SECONDS_WITHOUT_WORKERS:
            raise ServerError(GONE)

    def take_back(self, worker: str) -> None:
        """Let a worker's queues wait for another one, with all that it has not answered. Raises ServerError."""
        lost = [key for key, sent in self.sent.items() if sent.worker == worker]
        for key in lost:
            sent = self.sent.pop(key)
            sent.future.cancel()
            sent.queue.again.append(sent.item)
        for queue in self.workers[worker]:
            queue.running = 0
            queue.losses += 1
            if queue.losses == MAX_LOSSES:
                raise ServerError(
                    f"the Dask cluster lost workers over one batch {MAX_LOSSES} times: run again; finished work is kept"
                )
        self.waiting.extendleft(sorted(self.workers[worker], key=lambda queue: queue.size))
        self.workers[worker] = set()
