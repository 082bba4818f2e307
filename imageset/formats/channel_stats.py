"""Mean and standard deviation of each channel, by exact integer sums: the same in any order, on any machine."""

import math

import numpy as np

from imageset.formats.hdf5 import Pixels


class ChannelStats:
    """Exact sums of pixel values and of their squares, per channel.

    Args:
        channels: 1 for grayscale, 3 for rgb.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.sums = [0] * channels
        self.squares = [0] * channels

    def add(self, images: Pixels) -> None:
        """Add images, uint8 (N, S, S, C)."""
        self.count += images[..., 0].size
        for channel in range(len(self.sums)):
            values = images[..., channel].astype(np.uint64)
            self.sums[channel] += int(values.sum())
            self.squares[channel] += int((values * values).sum())

    def mean(self) -> list[float]:
        """Return the mean of each channel, 0 to 255."""
        return [total / self.count for total in self.sums]

    def std(self) -> list[float]:
        """Return the population standard deviation of each channel."""
        # Integers up to the last step, so that the order in which images were added never matters.
        return [
            math.sqrt(self.count * square - total * total) / self.count
            for square, total in zip(self.squares, self.sums, strict=True)
        ]
