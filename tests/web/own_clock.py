"""An event loop with a clock of its own, which moves only while all tasks wait. So an hour of pauses takes no time."""

import asyncio
import selectors

BEGINNING = 1000.0  # seconds


class Clock(selectors.DefaultSelector):
    """A selector that moves the time on to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all tasks wait, and nothing will wake them"
        self.now += timeout
        return super().select(0)

    def monotonic(self) -> float:
        return self.now


class Loop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now
