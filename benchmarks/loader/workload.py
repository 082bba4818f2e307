"""How a loader is measured, and those that need no package of their own: python -m benchmarks.loader.workload ...

`read NAME FOLDER SETTINGS SECONDS` prints images/s of batches of 256, shuffled, epoch after epoch; `pass` that of one
epoch, cut off after so many seconds. A photo's label is its row, so that each batch tells which rows it has.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# By name: whether mypy sees them and their types depends on the environment that it runs in.
torch: Any = import_module("torch")
utils_data: Any = import_module("torch.utils.data")

BATCH = 256
SIDE = 128
SHAPE = (SIDE, SIDE, 1)
MOMENTS = (128.0, 64.0)  # mean and standard deviation that are stored: which numbers they are makes nothing faster
PLAIN, GZIP, ONE_A_CHUNK, AUTO = "plain.h5", "gzip.h5", "one-a-chunk.h5", "auto.h5"
MEANS = "means.npy"  # of each photo's pixels
NEAR, NEAR_OF_JPEG = 0.01, 4.0  # how far from its photo's mean, in levels of 255, an image's may be

CHANGES = {  # random changes of images, as imageset.reader.Augment takes them
    "flip, shift": {"flip": 0.5, "shift": 0.1},
    "all but rotate": {"flip": 0.5, "shift": 0.1, "brightness": 0.2, "erase": 0.25},
    "all": {"flip": 0.5, "rotate": 10, "shift": 0.1, "brightness": 0.2, "erase": 0.25},
}

Settings = dict[str, Any]
Batches = Iterable[Any]  # (images, labels) of an epoch, to be iterated again and again
Readers = Mapping[str, Callable[[Path, Settings], Batches]]
Rows = NDArray[np.int64]


def main(readers: Readers, action: str, name: str, folder: Path, as_json: str, seconds: str) -> None:
    """Print images/s of one of these readers."""
    settings = json.loads(as_json)
    rows = chosen_rows(len(np.load(folder / MEANS)), settings)
    batches = readers[name](folder, settings)
    if action == "pass":
        rate = one_pass(batches, rows, float(seconds))
    else:
        verify(batches, np.load(folder / MEANS), rows, settings)
        rate = epochs(batches, rows, float(seconds), settings)
    print(rate, flush=True)


def epochs(batches: Batches, rows: Rows, seconds: float, settings: Settings) -> float:
    """Return images/s over as many epochs as begin within so many seconds. Ends the benchmark when one lacks a row.

    settings: with "clock" "processor", seconds are of processor time, which other work on the machine hardly changes.
    """
    clock = time.process_time if settings.get("clock") == "processor" else time.perf_counter
    done, begin = 0, clock()
    while clock() < begin + seconds:
        count = total = 0
        for _, labels in batches:
            count += len(labels)
            total += int(labels.sum())
        require_all(count, total, rows)
        done += 1
    return done * len(rows) / (clock() - begin)


def one_pass(batches: Batches, rows: Rows, seconds: float) -> float:
    """Return images/s of one epoch, or of its first seconds."""
    count = total = 0
    begin = time.perf_counter()
    for _, labels in batches:
        count += len(labels)
        total += int(labels.sum())
        if time.perf_counter() > begin + seconds:
            break
    else:
        require_all(count, total, rows)
    return count / (time.perf_counter() - begin)


def require_all(count: int, total: int, rows: Rows) -> None:
    if (count, total) != (len(rows), rows.sum()):
        raise SystemExit(f"an epoch of {count} images instead of {len(rows)}, or of others")


def verify(batches: Batches, means: NDArray[np.float64], rows: Rows, settings: Settings) -> None:
    """Check every image of an epoch. Ends the benchmark unless each row comes once, with its label."""
    found: list[int] = []
    mean, std = MOMENTS if settings.get("floats") else (0, 1)
    near = NEAR_OF_JPEG if settings.get("kind") == "jpeg" else NEAR
    for images, labels in batches:
        here = np.asarray(labels).reshape(-1)
        pixels = np.asarray(images).reshape(len(here), -1)
        if pixels.shape[1] != math.prod(SHAPE) or pixels.dtype != ("float32" if settings.get("floats") else "uint8"):
            raise SystemExit(f"a batch is {pixels.dtype} {images.shape}")
        distance = abs(pixels.mean(axis=1, dtype=np.float64) * std + mean - means[here]).max()
        if distance > near and "augment" not in settings:
            raise SystemExit(f"an image is not that of its label, by {distance:.2f} levels")
        found.extend(here.tolist())
    if sorted(found) != sorted(rows.tolist()):
        raise SystemExit(f"{len(found)} images, {len(set(found))} of them different, of {len(rows)}")


class Epochs:
    """Batches that are made anew for each epoch."""

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Any]:
        return self.start()


def torch_loader(dataset: Any, settings: Settings, **options: Any) -> Batches:
    """Return torch's DataLoader with so many workers, which it keeps from epoch to epoch."""
    workers = settings.get("workers", 0)
    loader: Batches = utils_data.DataLoader(
        dataset, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0, **options
    )
    return loader


def chosen_rows(total: int, settings: Settings) -> Rows:
    """Return all rows, or as many as are measured, in no order."""
    return np.random.default_rng(0).permutation(total)[: settings.get("rows", total)]


def shuffled(total: int) -> Iterator[Rows]:
    """Yield an epoch's rows a batch at a time."""
    order = np.random.permutation(total)
    for start in range(0, total, BATCH):
        yield order[start : start + BATCH]


def in_memory(folder: Path) -> NDArray[np.uint8]:
    with h5py.File(folder / PLAIN) as file:
        images: NDArray[np.uint8] = file["train_images"][:]
    return images


def take(folder: Path, settings: Settings) -> Batches:
    """The limit: numpy.take from an array in memory; with floats, what it takes is normalised by torch."""
    images = in_memory(folder)

    def batches() -> Iterator[Any]:
        for rows in shuffled(len(images)):
            batch = np.take(images, rows, axis=0)
            yield (normalised(torch.from_numpy(batch)) if settings.get("floats") else batch), rows

    return Epochs(batches)


def normalised(images: Any) -> Any:
    return (images.float() - MOMENTS[0]) / MOMENTS[1]


def memory_map(folder: Path, settings: Settings) -> Batches:
    """The contiguous images as an array in mapped memory, indexed by a batch's rows."""
    offset, shape = layout_of(folder)
    images = np.memmap(folder / PLAIN, np.uint8, "r", offset, shape)
    return Epochs(lambda: ((images[rows], rows) for rows in shuffled(len(images))))


def layout_of(folder: Path) -> tuple[int, tuple[int, ...]]:
    """Return the offset of the images in the file, and their shape."""
    with h5py.File(folder / PLAIN) as file:
        return file["train_images"].id.get_offset(), file["train_images"].shape


def sequence(folder: Path, settings: Settings) -> Batches:
    """Read the images in pieces of so many bytes, in the file's order, into one buffer."""
    offset, shape = layout_of(folder)
    buffer = bytearray(settings["piece"])
    each = len(buffer) // math.prod(SHAPE)

    def pieces() -> Iterator[Any]:
        with (folder / PLAIN).open("rb", buffering=0) as file:
            for start in range(0, shape[0], each):
                got = os.preadv(file.fileno(), [buffer], offset + start * math.prod(SHAPE)) // math.prod(SHAPE)
                yield buffer, np.arange(start, min(start + got, shape[0]))

    return Epochs(pieces)


def mixed(folder: Path, settings: Settings) -> Batches:
    """Read the images in pieces of 1 MB in mixed order, four at a time, into the same buffers: what the disk allows."""
    offset, shape = layout_of(folder)
    buffers = [bytearray(1 << 20) for _ in range(4)]
    each = len(buffers[0]) // math.prod(SHAPE)
    starts = np.random.default_rng(0).permutation(-(-shape[0] // each)) * each

    def pieces() -> Iterator[Any]:
        with (folder / PLAIN).open("rb", buffering=0) as file, ThreadPoolExecutor(len(buffers)) as threads:

            def read(turn: int) -> Rows:
                start = int(starts[turn])
                os.preadv(file.fileno(), [buffers[turn % len(buffers)]], offset + start * math.prod(SHAPE))
                return np.arange(start, min(start + each, shape[0]))

            for rows in threads.map(read, range(len(starts))):
                yield None, rows

    return Epochs(pieces)


class Array(utils_data.Dataset):  # type: ignore[misc]
    """The file read into memory, handed out item by item."""

    def __init__(self, folder: Path) -> None:
        self.images = in_memory(folder)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return torch.from_numpy(self.images[row]), row


def array(folder: Path, settings: Settings) -> Batches:
    loader = torch_loader(Array(folder), settings, shuffle=True)
    if settings.get("floats"):
        return Epochs(lambda: ((normalised(images), labels) for images, labels in loader))
    return loader


class Items(utils_data.Dataset):  # type: ignore[misc]
    """An HDF5 file, read with h5py item by item, opened where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: Any = None
        with h5py.File(path) as file:
            self.total = len(file["train_images"])

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, row: int) -> tuple[Any, int]:
        if self.images is None:
            self.images = h5py.File(self.path)["train_images"]
        return torch.from_numpy(self.images[row]), row


def items(folder: Path, settings: Settings) -> Batches:
    dataset = Items(folder / settings["file"])
    rows = chosen_rows(len(dataset), settings)
    return torch_loader(utils_data.Subset(dataset, rows.tolist()), settings, shuffle=True)


def loop(folder: Path, settings: Settings) -> Batches:
    """h5py image by image, without torch."""
    images = h5py.File(folder / settings["file"])["train_images"]
    return Epochs(lambda: ((np.stack([images[row] for row in rows]), rows) for rows in shuffled(len(images))))


def imageset(folder: Path, settings: Settings, **options: Any) -> Batches:
    """The project's loader, or its dataset in torch's DataLoader. options: of the loader."""
    reader = import_module("imageset.reader")
    dataset = reader.ImageSet(folder / settings["file"], subset="train", normalize=settings.get("floats", False))
    if "workers" in settings:
        return torch_loader(dataset, settings, shuffle=True)
    options |= {name: settings[name] for name in ("block_bytes",) if name in settings}
    if "augment" in settings and "transform_batch" not in options:
        options["transform_batch"] = reader.Augment(**CHANGES[settings["augment"]])
    loader: Batches = reader.loader(dataset, BATCH, shuffle=settings.get("shuffle", True), seed=0, **options)
    return loader


READERS: Readers = {
    "array": array,
    "imageset": imageset,
    "items": items,
    "loop": loop,
    "memory_map": memory_map,
    "mixed": mixed,
    "sequence": sequence,
    "take": take,
}


if __name__ == "__main__":
    main(READERS, sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], sys.argv[5])
