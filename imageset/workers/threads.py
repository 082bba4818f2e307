"""Work done in threads before its result is needed; results come in input order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Generator[Result, None, None]:
    """Yield function(item) for each item, in order, while the executor works on the next ones.

    Args:
        executor: the threads that do the work.
        function: what is called with one item.
        items: taken one at a time, `depth` ahead of the result that is yielded.
        depth: how many items are in progress or ready beyond the next result.

    Raises:
        Exception: whatever the function raises, in the place of that item's result.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
