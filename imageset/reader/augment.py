"""Random changes of a batch, each image for itself: flip, rotate, shift, brightness, erase. NumPy and torch alone.

All of it runs in the thread that calls it. Torch's own threads would share the cores with the loader's.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from imageset.formats.hdf5 import Indices, Pixels

TILE_BYTES = 256 << 10  # of pixels changed at a time: with what is made of them they fit in a core's cache
UNIT = 128  # brightness counts in steps of 1 / 128, so that products fit in 16 bits
ERASED_AREA = (0.02, 0.33)  # of the image: as in torchvision's RandomErasing
ERASED_ASPECT = (0.3, 3.3)
MOST = {"flip": 1, "shift": 1, "rotate": 180, "brightness": 1, "erase": 1}


class Draws(NamedTuple):
    """What happens to each image of a batch."""

    flip: NDArray[np.bool_]  # (B,)
    angle: NDArray[np.float64]  # radians, clockwise, (B,)
    shift: Indices  # whole pixels to the right and down, (B, 2)
    factor: NDArray[np.uint16]  # of brightness, in UNIT, (B,)
    box: Indices  # left, right, top and bottom of what is erased, (B, 4); all 0 where nothing is
    fill: Pixels  # its new value, (B, C)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Change each image of a batch at random: for `loader(transform_batch=Augment(flip=0.5, shift=0.1))`.

    Each image has draws of its own. They come from NumPy's RandomState. Its streams are frozen, so they are the same
    with every version. What moves in from outside repeats the image's edge. An option at 0 changes nothing, and no
    option changes what the others draw.

    `loader` calls it in its own threads, before it copies the batch to its device. It seeds it by seed, epoch, rank and
    batch. Called as a function, it takes its seed from torch's generator; then it takes single images, (C, H, W), too.

    Args:
        flip: Probability of mirroring left and right.
        rotate: Largest angle, in degrees, in both directions, around the centre, with bilinear interpolation. It costs
            more than all others together.
        shift: Largest distance, as a share of the side, in both directions, horizontally and vertically; whole pixels.
        brightness: Largest change: pixels are multiplied by a number from 1 - brightness to 1 + brightness.
        erase: Probability of filling a rectangle with one colour (Zhong et al., Random Erasing Data Augmentation, AAAI
            2020): 2 to 33 % of the area, with sides of a ratio from 0.3 to 3.3.

    Raises:
        ValueError: An option is out of range.

    >>> Augment(flip=1)(torch.tensor([[[1, 2, 3]]], dtype=torch.uint8))
    tensor([[[3, 2, 1]]], dtype=torch.uint8)
    """

    flip: float = 0
    rotate: float = 0
    shift: float = 0
    brightness: float = 0
    erase: float = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= MOST[field.name]:
                raise ValueError(f"{field.name} is {value}, it must be from 0 to {MOST[field.name]}")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Change images, uint8 (B, C, H, W), or one, (C, H, W). The seed comes from torch's generator."""
        seed = int(torch.randint(1 << 62, ()))
        batch = images if images.ndim == 4 else images[None]
        changed = self.apply(batch, np.random.RandomState(np.random.MT19937(seed)))
        return changed if images.ndim == 4 else changed[0]

    def apply(self, images: torch.Tensor, generator: np.random.RandomState) -> torch.Tensor:
        """Return changed images.

        Args:
            images: uint8 (B, C, H, W), in any memory format. They stay as they are.
            generator: Draws what happens.

        Returns:
            uint8 (B, C, H, W), channels_last, on the CPU.

        Raises:
            TypeError: The images are no uint8 tensor.
        """
        if not isinstance(images, torch.Tensor) or images.dtype != torch.uint8:
            found = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
            raise TypeError(f"Augment takes images as uint8 tensors, not {found}")
        pixels: Pixels = images.cpu().permute(0, 2, 3, 1).numpy()
        draws, changed = self._draw(pixels.shape, generator), np.empty(pixels.shape, np.uint8)
        tile = max(1, TILE_BYTES // max(1, math.prod(pixels.shape[1:])))
        for start in range(0, len(pixels), tile):
            part = slice(start, start + tile)
            self._change(pixels[part], Draws._make(each[part] for each in draws), changed[part])
        return torch.from_numpy(changed).permute(0, 3, 1, 2)

    def _draw(self, shape: tuple[int, ...], generator: np.random.RandomState) -> Draws:
        """Draw what happens to each image of a batch (B, H, W, C). All is drawn, whatever the options are."""
        count, height, width, channels = shape
        flip, angle, across, down, factor, erase, area, aspect, left, top = generator.random_sample((10, count))
        fill = generator.randint(0, 256, (count, channels)).astype(np.uint8)
        share = np.stack([across, down], 1) * 2 - 1
        area = ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])
        root = np.sqrt(ERASED_ASPECT[0] * (ERASED_ASPECT[1] / ERASED_ASPECT[0]) ** aspect)
        sides = np.stack([width * np.sqrt(area) / root, height * np.sqrt(area) * root])
        wide, high = np.clip(np.rint(sides), 1, [[width], [height]]).astype(np.int64)
        left, top = (left * (width - wide + 1)).astype(np.int64), (top * (height - high + 1)).astype(np.int64)
        return Draws(
            flip < self.flip,
            (angle * 2 - 1) * math.radians(self.rotate),
            np.rint(share * self.shift * (width, height)).astype(np.int64),
            np.rint((1 + (factor * 2 - 1) * self.brightness) * UNIT).astype(np.uint16),
            np.stack([left, left + wide, top, top + high], 1) * (erase < self.erase)[:, None],
            fill,
        )

    def _change(self, pixels: Pixels, draws: Draws, out: Pixels) -> None:
        """Fill `out`, uint8 (b, H, W, C), with some images changed."""
        out[...] = rotate(pixels, draws) if self.rotate else move(pixels, draws)
        if self.brightness:
            products = out * draws.factor[:, None, None, None]
            products += UNIT // 2
            products //= UNIT
            np.minimum(products, 255, out=out, casting="unsafe")
        if self.erase:
            for image in np.flatnonzero(draws.box.any(axis=1)):
                left, right, top, bottom = draws.box[image]
                out[image, top:bottom, left:right] = draws.fill[image]


def move(pixels: Pixels, draws: Draws) -> Pixels:
    """Return images flipped and shifted. Whole stretches of rows are copied; no pixel is computed."""
    count, height, width, channels = pixels.shape
    margin = int(abs(draws.shift[:, 0]).max())
    padded = np.empty((count, height, width + 2 * margin, channels), np.uint8)
    middle = padded[:, :, margin : margin + width]
    middle[...] = pixels
    for image in np.flatnonzero(draws.flip):
        for channel in range(channels):  # one by one: three values at a time take four times as long
            middle[image, :, :, channel] = pixels[image, :, ::-1, channel]
    if not draws.shift.any():
        return middle
    padded[:, :, :margin] = middle[:, :, :1]
    padded[:, :, margin + width :] = middle[:, :, -1:]
    rows = np.clip(np.arange(height) - draws.shift[:, 1:], 0, height - 1) + np.arange(count)[:, None] * height
    starts = (rows * (width + 2 * margin) + margin - draws.shift[:, :1]) * channels
    # Row i of this view is the stretch of an image's width that begins at byte i.
    stretches = np.lib.stride_tricks.sliding_window_view(padded.reshape(-1), width * channels)
    moved: Pixels = stretches[starts.reshape(-1)].reshape(pixels.shape)
    return moved


def rotate(pixels: Pixels, draws: Draws) -> Pixels:
    """Return images flipped, rotated around their centre, then shifted, with bilinear interpolation."""
    count, height, width, channels = pixels.shape
    # Where each pixel comes from, from the centre: shifted back, turned back, mirrored.
    across = np.arange(width) - (width - 1) / 2 - draws.shift[:, :1]
    down = np.arange(height) - (height - 1) / 2 - draws.shift[:, 1:]
    cosine, sine = np.cos(draws.angle)[:, None], np.sin(draws.angle)[:, None]
    mirror = np.where(draws.flip, -1, 1)[:, None]
    grid = np.empty((count, height, width, 2), np.float32)
    # The image reaches from -1 to 1.
    for axis, (row, column) in enumerate(
        [
            (cosine * across * mirror * 2 / width, sine * down * mirror * 2 / width),
            (-sine * across * 2 / height, cosine * down * 2 / height),
        ]
    ):
        np.add(row.astype(np.float32)[:, None], column.astype(np.float32)[:, :, None], out=grid[..., axis])
    grids = torch.from_numpy(grid)
    floats = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32))
    found = np.empty((count, channels, height, width), np.float32)
    for image in range(count):  # of one image at a time torch makes no work for its threads
        one = slice(image, image + 1)
        sampled = torch.nn.functional.grid_sample(floats[one], grids[one], padding_mode="border", align_corners=False)
        found[image] = sampled.numpy()[0]
    found += 0.5
    return found.astype(np.uint8).transpose(0, 2, 3, 1)
