"""The order has every row once and equal shares, and is the same on any machine with any NumPy."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.reader.row_order import RowOrder, Window

shuffles = st.sampled_from([False, True, "blocks"])
orders = st.builds(
    RowOrder,
    total=st.integers(0, 200),
    batch_size=st.integers(1, 40),
    shuffle=shuffles,
    seed=st.integers(0, 2**63),
    block_rows=st.integers(1, 30),
    window_rows=st.integers(1, 70),
    first_rows=st.integers(0, 80),
)
epochs = st.integers(0, 1000)


def share(order: RowOrder, rank: int, world_size: int, drop_last: bool = False) -> RowOrder:
    return RowOrder(
        order.total,
        order.batch_size,
        order.shuffle,
        order.seed,
        rank,
        world_size,
        drop_last,
        order.block_rows,
        order.window_rows,
        order.first_rows,
    )


@given(orders, epochs)
def test_every_row_occurs_once(order: RowOrder, epoch: int) -> None:
    assert sorted(order.rows(epoch)) == list(range(order.total))
    assert len(order) == -(-order.total // order.batch_size)


@given(orders, epochs, st.integers(1, 9))
def test_ranks_get_equally_many_rows_and_few_rows_occur_twice(order: RowOrder, epoch: int, world_size: int) -> None:
    ranks = [share(order, rank, world_size) for rank in range(world_size)]
    rows = [rank.rows(epoch).tolist() for rank in ranks]

    assert {len(each) for each in rows} == {ranks[0].rows_per_rank}
    assert {len(rank) for rank in ranks} == {-(-ranks[0].rows_per_rank // order.batch_size)}
    assert set(chain(*rows)) == set(range(order.total))
    assert sum(map(len, rows)) - order.total < world_size


@given(orders, epochs, st.integers(1, 9))
def test_rows_that_fill_no_batch_on_every_rank_can_be_dropped(order: RowOrder, epoch: int, world_size: int) -> None:
    ranks = [share(order, rank, world_size, drop_last=True) for rank in range(world_size)]
    rows = list(chain(*(rank.rows(epoch).tolist() for rank in ranks)))

    assert {len(rank.rows(epoch)) for rank in ranks} == {len(ranks[0]) * order.batch_size}
    assert len(set(rows)) == len(rows)
    assert 0 <= order.total - len(rows) < order.batch_size * world_size


@given(orders, epochs, st.integers(0, 20))
def test_windows_hold_neighbours_and_can_start_anywhere(order: RowOrder, epoch: int, first: int) -> None:
    windows = list(order.windows(epoch))
    later = list(order.windows(epoch, first))

    def as_lists(some: list[Window]) -> list[list[list[int]]]:
        return [[window.rows.tolist(), window.permutation.tolist()] for window in some]

    assert as_lists(later) == as_lists(windows[first:])
    lengths = [min(order.first_rows or order.window_rows, order.window_rows), *[order.window_rows] * len(windows)]
    assert [len(window.rows) for window in windows[:-1]] == lengths[: max(0, len(windows) - 1)]
    places = [order.find_window(place) for place in range(order.total)]
    assert [number for number, _ in places] == [at for at, window in enumerate(windows) for _ in window.rows]
    assert [windows[number].rows[place - start] for place, (number, start) in enumerate(places)] == np.concatenate(
        [window.rows for window in windows] or [np.arange(0)]
    ).tolist()
    steps = np.diff(np.concatenate([window.rows for window in windows] or [np.arange(0)]))
    assert np.count_nonzero(steps != 1) < max(1, -(-order.total // order.block_rows))


def test_each_rank_mixes_its_windows_differently() -> None:
    ranks = [RowOrder(100, 10, "blocks", rank=rank, world_size=2, block_rows=5, window_rows=25) for rank in (0, 1)]
    first, second = (next(iter(rank.windows(0))).permutation.tolist() for rank in ranks)

    assert first != second


@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_epochs_and_seeds_differ(shuffle: Any) -> None:
    order = RowOrder(100, 10, shuffle, seed=1, block_rows=5, window_rows=30)
    other_seed = RowOrder(100, 10, shuffle, seed=2, block_rows=5, window_rows=30)

    assert order.rows(3).tolist() == order.rows(3).tolist()
    assert order.rows(3).tolist() != order.rows(4).tolist()
    assert order.rows(3).tolist() != other_seed.rows(3).tolist()


@pytest.mark.parametrize(
    ("shuffle", "expected"),
    [
        (True, [7, 11, 9, 6, 4, 2, 5, 10, 3, 1, 0, 8]),
        ("blocks", [6, 7, 3, 2, 5, 4, 1, 11, 0, 8, 9, 10]),
    ],
)
def test_the_order_never_changes(shuffle: Any, expected: list[int]) -> None:
    """A run saved with one version continues with another: change this only on purpose."""
    assert RowOrder(12, 4, shuffle, seed=7, block_rows=2, window_rows=6).rows(2).tolist() == expected
