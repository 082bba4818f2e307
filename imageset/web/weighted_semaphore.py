"""A semaphore for amounts, such as bytes: what many tasks hold together stays below a bound, which can change."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WeightedSemaphore:
    """An amount that asyncio tasks share, first come, first served.

    A task that asks for more than the whole amount waits until all of it is free.
    """

    def __init__(self, amount: int) -> None:
        self.amount = self.available = amount
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def acquire(self, amount: int) -> AsyncIterator[None]:
        """Wait for an amount and hold it until the context ends."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((amount, granted))
        self.grant()
        try:
            await granted
            yield
        finally:
            if granted.done() and not granted.cancelled():
                self.available += amount
            self.grant()

    def resize(self, amount: int) -> None:
        """Change the whole amount. While tasks hold more than that, nothing is granted."""
        self.available += amount - self.amount
        self.amount = amount
        self.grant()

    def grant(self) -> None:
        """Grant what is available to the tasks that wait, in their order."""
        while self.waiting:
            amount, granted = self.waiting[0]
            if not granted.cancelled():
                if amount > self.available and self.available < self.amount:
                    return
                self.available -= amount
                granted.set_result(None)
            self.waiting.popleft()
