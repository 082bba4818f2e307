"""How well is a file larger than memory mixed? Table: python -m benchmarks.loader.shuffle [--help]

For each shuffle of `imageset.reader.loader` and each buffer; what a full permutation gives is 1. Nothing is read: an
order is a function of seed and epoch.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.tables import table
from imageset.formats.hdf5 import Indices
from imageset.reader.row_order import RowOrder, Shuffle

ROW_BYTES = 128 * 128
CLASSES = 700
EPOCHS = 6


def batch_numbers(order: RowOrder, epoch: int) -> Indices:
    """Return, by row, the batch that it comes in."""
    numbers = np.empty(order.total, np.int64)
    numbers[order.rows(epoch)] = np.arange(order.total) // order.batch_size
    return numbers


def pairs(*labels: NDArray[np.int64]) -> int:
    """Return how many pairs of rows are alike in all of the labels."""
    _, counts = np.unique(np.stack(labels), axis=1, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def meet_again(order: RowOrder) -> float:
    """Return how often two rows of a batch share one in the next epoch too, by how often chance has it so."""
    epochs = [batch_numbers(order, epoch) for epoch in range(EPOCHS)]
    together = np.mean([pairs(first, second) / pairs(first) for first, second in pairwise(epochs)])
    return float(together / ((order.batch_size - 1) / (order.total - 1)))


def classes_in_a_batch(order: RowOrder, labels: NDArray[np.int64]) -> float:
    """Return how many classes a batch has, on average."""
    ends = range(0, order.total - order.batch_size + 1, order.batch_size)
    return float(
        np.mean(
            [
                len(np.unique(labels[rows[start : start + order.batch_size]]))
                for rows in map(order.rows, range(EPOCHS))
                for start in ends
            ]
        )
    )


def lines(total: int, batch_size: int, buffers: list[int], block: int) -> Iterator[tuple[str, ...]]:
    # A class's share falls as in the worked case: the commonest has some hundred times as many as the rarest.
    shares = 1 / np.arange(1, CLASSES + 1) ** 0.7
    mixed = np.random.default_rng(0).choice(CLASSES, total, p=shares / shares.sum())
    cases: list[tuple[str, Shuffle, int]] = [
        ("True", True, 0),
        *((f'"blocks", {size} MB', "blocks", size) for size in buffers),
        ("False", False, 0),
    ]
    reference: tuple[float, ...] = ()
    for name, shuffle, size in cases:
        order = RowOrder(
            total,
            batch_size,
            shuffle,
            block_rows=(block << 20) // ROW_BYTES,
            window_rows=max(1, (size << 20) // ROW_BYTES),
        )
        found = classes_in_a_batch(order, mixed), classes_in_a_batch(order, np.sort(mixed))
        reference = reference or found
        yield (
            name,
            f"{order.window_rows / total:.1%}" if size else "",
            f"{meet_again(order):.2f}",
            *(f"{value / own:.3f}" for value, own in zip(found, reference, strict=True)),
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader.shuffle", description=__doc__)
    parser.add_argument("--rows", type=int, default=160_000, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--buffers", type=int, nargs="*", default=[16, 32, 64, 128, 256, 512, 1024], metavar="MB")
    parser.add_argument("--block", type=int, default=1, metavar="MB", help="default: %(default)s")
    chosen = parser.parse_args()
    print(
        f"{chosen.rows:,} rows of {ROW_BYTES:,} bytes, batches of {chosen.batch}, {CLASSES} classes, "
        f"{EPOCHS} epochs, blocks of {chosen.block} MB\n"
    )
    table(
        (
            "shuffle",
            "buffer, of the file",
            "pairs that meet again",
            "classes in a batch",
            "the same, were the file sorted by class",
        ),
        lines(chosen.rows, chosen.batch, chosen.buffers, chosen.block),
    )


if __name__ == "__main__":
    main()
