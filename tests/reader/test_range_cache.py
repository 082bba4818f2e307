"""The cache of ranges gives back what was kept, or nothing; and it stays within its bound."""

import multiprocessing
import os
import random
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from imageset.reader.range_cache import GRAIN_BYTES, RESERVED, RangeCache

SIZE = 10 * GRAIN_BYTES - 100
CONTENT = np.random.default_rng(1).integers(0, 256, SIZE, np.uint8).tobytes()


def keep(cache: RangeCache, first: int, stop: int) -> bool:
    """Keep grains of CONTENT if there is room."""
    if not cache.reserve(first, stop):
        return False
    cache.keep(first, memoryview(CONTENT)[first * GRAIN_BYTES : stop * GRAIN_BYTES])
    return True


def read(cache: RangeCache, first: int, stop: int) -> bytes:
    out = bytearray(min(stop * GRAIN_BYTES, SIZE) - first * GRAIN_BYTES)
    cache.read(first * GRAIN_BYTES, memoryview(out))
    return bytes(out)


def places(cache: RangeCache) -> list[int]:
    return np.flatnonzero(cache.find(0, 10)).tolist()


def allocated(folder: Path) -> int:
    return sum(512 * path.stat().st_blocks for path in folder.glob("*.data"))


def test_what_was_kept_is_found_here_and_by_others(tmp_path: Path) -> None:
    first, second = (RangeCache(tmp_path, "one", SIZE, 1 << 20) for _ in range(2))
    assert keep(first, 2, 4)
    assert keep(first, 9, 10)

    for cache in (first, second, RangeCache(tmp_path, "one", SIZE, 1 << 20)):
        assert places(cache) == [2, 3, 9]
        assert read(cache, 2, 4) == CONTENT[2 * GRAIN_BYTES : 4 * GRAIN_BYTES]
        assert read(cache, 9, 10) == CONTENT[9 * GRAIN_BYTES :]
        starts = np.array([2 * GRAIN_BYTES, 3 * GRAIN_BYTES, 4 * GRAIN_BYTES - 10, 9 * GRAIN_BYTES])
        assert cache.has_all(starts, 10).tolist() == [True] * 4
        assert cache.has_all(starts, 11).tolist() == [True, True, False, True]
    assert not RangeCache(tmp_path, "other", SIZE, 1 << 20).find(0, 10).any()


def test_what_is_kept_waits_for_one_that_reserves_its_neighbours(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, "one", SIZE, 1 << 20)
    assert cache.reserve(0, 3)
    keeping = threading.Thread(target=cache.keep, args=(0, memoryview(CONTENT)[: 3 * GRAIN_BYTES]))
    with cache._locked():
        keeping.start()
        keeping.join(0.1)
        assert (cache._entries[:3] == RESERVED).all()
    keeping.join()

    assert places(RangeCache(tmp_path, "one", SIZE, 1 << 20)) == [0, 1, 2]


def test_what_is_reserved_and_not_written_is_not_found(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, "one", SIZE, 1 << 20)
    assert cache.reserve(0, 10)

    assert places(cache) == places(RangeCache(tmp_path, "one", SIZE, 1 << 20)) == []
    assert keep(cache, 0, 10)  # it counts once
    assert places(cache) == list(range(10))


def test_what_does_not_have_its_checksum_is_not_found_and_can_be_kept_again(tmp_path: Path) -> None:
    assert keep(RangeCache(tmp_path, "one", SIZE, 1 << 20), 0, 10)
    with (tmp_path / "one.data").open("r+b") as file:
        file.seek(3 * GRAIN_BYTES + 17)
        file.write(bytes([CONTENT[3 * GRAIN_BYTES + 17] ^ 4]))
        file.truncate(8 * GRAIN_BYTES)
    cache = RangeCache(tmp_path, "one", SIZE, 1 << 20)

    assert places(cache) == [0, 1, 2, 4, 5, 6, 7]
    assert keep(cache, 3, 4)
    assert keep(cache, 8, 10)
    assert read(cache, 0, 10) == CONTENT


@pytest.mark.parametrize("content", [b"", b"\xff" * 33, b"\xff" * 88])
def test_a_damaged_index_finds_nothing_wrong(tmp_path: Path, content: bytes) -> None:
    assert keep(RangeCache(tmp_path, "one", SIZE, 1 << 20), 0, 10)
    (tmp_path / "one.index1").write_bytes(content)
    cache = RangeCache(tmp_path, "one", SIZE, 1 << 20)

    assert places(cache) == []
    assert keep(cache, 0, 10)
    assert read(cache, 0, 10) == CONTENT


def test_the_folder_stays_within_its_bound(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, "one", SIZE, 4 * GRAIN_BYTES)

    assert not keep(cache, 0, 5)
    assert keep(cache, 3, 6)
    assert not keep(cache, 7, 9)
    assert keep(cache, 8, 9)
    assert keep(cache, 3, 6)  # which is there already
    assert places(cache) == [3, 4, 5, 8]
    assert allocated(tmp_path) == 4 * GRAIN_BYTES


def test_objects_that_nobody_uses_make_room_the_oldest_first(tmp_path: Path) -> None:
    used = RangeCache(tmp_path, "used", SIZE, 8 * GRAIN_BYTES)
    assert keep(used, 0, 2)
    for second, name in enumerate(("old", "new")):
        assert keep(RangeCache(tmp_path, name, SIZE, 8 * GRAIN_BYTES), 0, 2)
        os.utime(tmp_path / f"{name}.index1", (second, second))
    cache = RangeCache(tmp_path, "one", SIZE, 8 * GRAIN_BYTES)

    assert keep(cache, 0, 4)
    assert sorted(path.name for path in tmp_path.glob("*.data")) == ["new.data", "one.data", "used.data"]
    assert not keep(cache, 4, 10)
    assert keep(cache, 4, 6)
    assert sorted(path.name for path in tmp_path.glob("*.data")) == ["one.data", "used.data"]
    assert read(used, 0, 2) == CONTENT[: 2 * GRAIN_BYTES]
    assert allocated(tmp_path) == 8 * GRAIN_BYTES


def fill(folder: Path, seed: int, turns: int, ready: Event) -> None:
    """Keep grains in random order, some at a time, also where there is no room."""
    cache, order = RangeCache(folder, "one", SIZE, 6 * GRAIN_BYTES), random.Random(seed)
    for _ in range(turns):
        first = order.randrange(10)
        keep(cache, first, min(10, first + order.choice((1, 2))))
        ready.set()


def test_several_processes_share_it_and_may_be_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    begun = [context.Event() for _ in range(2)]
    killed, whole = (
        context.Process(target=fill, args=(tmp_path, seed, turns, begun[seed]))
        for seed, turns in ((0, 10_000_000), (1, 300))
    )
    killed.start()
    assert begun[0].wait(60)
    whole.start()
    whole.join()
    assert killed.is_alive()
    killed.kill()
    killed.join()
    cache = RangeCache(tmp_path, "one", SIZE, 6 * GRAIN_BYTES)
    found = places(cache)

    assert whole.exitcode == 0
    assert len(found) in (5, 6)
    assert allocated(tmp_path) <= 6 * GRAIN_BYTES
    for place in found:
        assert read(cache, place, place + 1) == CONTENT[place * GRAIN_BYTES :][:GRAIN_BYTES]


def test_a_folder_that_takes_no_more_is_said_once(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, "one", SIZE, 1 << 20)
    assert keep(cache, 0, 1)
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()

    with pytest.warns(RuntimeWarning, match="Is a directory; from now on nothing is kept there, but read from") as said:
        assert not keep(cache, 1, 2)
    assert not keep(cache, 1, 2)
    assert len(said) == 1
    assert places(cache) == [0]
