"""map_ahead: results in order, no further ahead than asked, errors in the place of the result."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from imageset.workers.threads import map_ahead


def test_results_come_in_order_whichever_item_is_faster() -> None:
    turns = {number: threading.Event() for number in range(4)}

    def work(number: int) -> int:
        if number % 2 == 0:  # each even one ends after its successor
            assert turns[number + 1].wait(10)
        turns[number].set()
        return number

    with ThreadPoolExecutor(2) as executor:
        assert list(map_ahead(executor, work, range(4), 2)) == [0, 1, 2, 3]


def test_no_more_items_are_begun_than_depth_says() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as executor:
        results = map_ahead(executor, begun.append, range(100), 3)
        next(results)
        results.close()

    assert begun == list(range(len(begun)))
    assert len(begun) <= 4


def test_an_error_comes_in_the_place_of_its_result_and_ends_the_map() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise OSError("no more")
        return number

    with ThreadPoolExecutor(2) as executor:
        results = map_ahead(executor, work, range(9), 4)

        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(OSError, match="no more"):
            next(results)
        assert list(results) == []
