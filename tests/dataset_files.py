"""Small dataset files, written through imageset.formats.hdf5, whose every image is another one."""

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from imageset.formats import hdf5
from imageset.formats.channel_stats import ChannelStats
from imageset.formats.hdf5 import Compression, Pixels

NAMES = ["shirt", "été 👗", "bag"]
CATALOG_IDS = [1201, 7, 1300]
COUNTS = {"train": 23, "test": 5}
COPIES = 3
SIDE = 6

Storage = Compression | Literal["lzf"]
Arrays = dict[str, np.ndarray[Any, Any]]


def write(
    path: Path,
    channels: int = 3,
    counts: dict[str, int] = COUNTS,
    compression: Storage = "none",
    names: list[str] = NAMES,
) -> Arrays:
    """Write a small dataset file; return its arrays."""
    arrays = {}
    for number, (subset, rows) in enumerate(counts.items()):
        random = np.random.default_rng([channels, number])
        arrays[f"{subset}_labels"] = random.integers(0, len(names), rows)
        arrays[f"{subset}_ids"] = 1_000_000 * number + np.arange(rows)
        arrays[f"{subset}_positions"] = np.zeros(rows, np.int16)
    arrays["train_copies"] = (np.arange(counts["train"]) % COPIES).astype(np.int16)
    images = {
        f"{subset}_images": image_rows(rows, channels, number) for number, (subset, rows) in enumerate(counts.items())
    }
    stats = ChannelStats(channels)
    stats.add(images["train_images"][arrays["train_copies"] == 0])
    with hdf5.create(path, hdf5.DATASET) as file:
        for name, pixels in images.items():
            add_images(file, name, pixels, compression)
        for name, values in arrays.items():
            hdf5.add(file, name, values)
        hdf5.add(
            file,
            "label_map",
            np.array([f"{label},{catalog_id}".encode("ascii") for label, catalog_id in enumerate(CATALOG_IDS)]),
        )
        hdf5.add_text(file, "class_names", names)
        hdf5.finish(file, content_digest=hdf5.content_digest(file), mean=stats.mean(), std=stats.std())
    return arrays | images


def add_images(file: h5py.File, name: str, pixels: Pixels, compression: Storage) -> None:
    """Add images as build stores them, or stored them once."""
    if compression == "lzf":  # h5py writes what earlier versions wrote
        file.create_dataset(name, data=pixels, track_times=False, chunks=(1, *pixels.shape[1:]), compression="lzf")
    else:
        hdf5.add_images(file, name, pixels.shape, compression)[...] = pixels


def image_rows(rows: int, channels: int, number: int) -> Pixels:
    """Return images of which some compress well and some, of noise, not at all."""
    random = np.random.default_rng([channels, number, 1])
    images = random.integers(0, 256, (rows, SIDE, SIDE, channels), np.uint8)
    images[::2] = random.integers(0, 256, (len(images[::2]), 1, 1, channels), np.uint8)
    images[:, 0, 0, 0] = np.arange(rows) % 256
    images[:, 0, 1, 0] = np.arange(rows) // 256
    return images
