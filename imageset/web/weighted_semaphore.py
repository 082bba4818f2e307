"""A semaphore for amounts, such as bytes: what many tasks hold together stays below a bound, which may move."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WeightedSemaphore:
    """First come, first served; who asks for more than there is waits until all of it is free."""

    def __init__(self, amount: int) -> None:
        self.amount = self.left = amount
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, amount: int) -> AsyncIterator[None]:
        """Wait for an amount and hold it until the context ends."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((amount, granted))
        self.grant()
        try:
            await granted
            yield
        finally:
            if granted.done() and not granted.cancelled():
                self.left += amount
            self.grant()

    def resize(self, amount: int) -> None:
        """Set how much there is; what is held beyond that is taken back as it comes free."""
        self.left += amount - self.amount
        self.amount = amount
        self.grant()

    def grant(self) -> None:
        while self.waiting:
            amount, granted = self.waiting[0]
            if not granted.cancelled():
                if amount > self.left and self.left < self.amount:
                    return
                self.left -= amount
                granted.set_result(None)
            self.waiting.popleft()
