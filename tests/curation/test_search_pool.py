"""Where the search runs: in this process, or in others. What is found depends on neither."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageset.curation import search_pool
from imageset.errors import ImagesetError
from imageset.workers.local import LocalWorkers


def square(value: int) -> int:
    return value * value


def process_of(value: int) -> int:
    return os.getpid()


def die(value: int) -> int:
    os._exit(1)


def test_few_photos_are_searched_by_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGESET_DASK", raising=False)
    monkeypatch.setenv("IMAGESET_WORKERS", "2")
    with search_pool.open_pool(search_pool.FEW_PHOTOS - 1) as few, search_pool.open_pool(10**6) as many:
        assert few is None
        assert many is not None

    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    with search_pool.open_pool(10**6) as alone:
        assert alone is None


def test_results_come_in_order_from_workers_and_without() -> None:
    with LocalWorkers(2) as pool:
        assert list(search_pool.map_in_order(pool, square, range(9))) == [value * value for value in range(9)]
        assert os.getpid() not in set(search_pool.map_in_order(pool, process_of, range(3)))
    assert list(search_pool.map_in_order(None, square, range(9))) == [value * value for value in range(9)]
    assert list(search_pool.map_in_order(None, process_of, [0])) == [os.getpid()]


def test_of_large_tasks_none_waits_for_a_worker() -> None:
    assert search_pool.one_each(None) is None
    with LocalWorkers(2) as workers:
        pool = search_pool.one_each(workers)
        assert pool is not None
        taken: list[int] = []

        def take() -> Iterator[int]:
            for value in range(6):
                taken.append(value)
                yield value

        for number in search_pool.map_in_order(pool, square, take()):
            assert len(taken) <= number**0.5 + 2

    assert taken == list(range(6))


def test_a_worker_that_dies_fails_the_search() -> None:
    with LocalWorkers(1) as pool, pytest.raises(ImagesetError, match="died twice over the same photos"):
        list(search_pool.map_in_order(pool, die, [1]))


def test_a_worker_with_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, identify = Path(search_pool.__file__), search_pool.identify_search.__wrapped__
    shutil.copytree(here.parent, tmp_path / "curation")
    expected = search_pool.identify_search()
    monkeypatch.setattr(search_pool, "__file__", str(tmp_path / "curation" / here.name))

    assert identify() == expected
    with (tmp_path / "curation/views.py").open("a") as file:
        file.write("# a comment\n")
    assert identify() == expected
    with (tmp_path / "curation/sieve.py").open("a") as file:
        file.write("OF_ANY_VIEW = 47\n")
    assert [line.split()[0] for line in set(identify()) - set(expected)] == ["sieve.py"]
    assert search_pool.identify_search() == expected  # a process runs the code that it loaded
