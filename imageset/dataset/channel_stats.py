"""Mean and standard deviation of pixels from exact integer sums: the same in any order, on any machine."""

import math

import numpy as np

from imageset.formats.hdf5 import Pixels


class Moments:
    """Exact sums of pixel values and their squares, per channel."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.sums = [0] * channels
        self.squares = [0] * channels

    def add(self, images: Pixels) -> None:
        """Take in images, uint8 (N, S, S, C)."""
        self.count += images[..., 0].size
        for channel in range(len(self.sums)):
            values = images[..., channel].astype(np.uint64)
            self.sums[channel] += int(values.sum())
            self.squares[channel] += int((values * values).sum())

    def mean(self) -> list[float]:
        return [total / self.count for total in self.sums]

    def std(self) -> list[float]:
        """Return the population standard deviations; integers up to the last step, so that order never matters."""
        return [
            math.sqrt(self.count * square - total * total) / self.count
            for square, total in zip(self.squares, self.sums, strict=True)
        ]
