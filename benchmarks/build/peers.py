"""What stage build is measured against: python -m benchmarks.build.peers NAME SOURCE DATASET.h5

NAME is one of PEERS. SOURCE is a folder of JPEGs per class or, except for the simple loop, processed.h5. They run in
the environment of benchmarks/build/requirements.txt, without the project's own modules. No two runs give the same
rows, because OpenCV and NumPy draw from generators without a seed, as such loops do.
"""

import math
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# By name: whether mypy sees it and its types depends on the environment that it runs in.
cv2: Any = import_module("cv2")

SIDE = 128
COPIES = 5
CHUNK = 100  # photos that are augmented together by the simple loop
HELD_OUT = 0.2
WHITE = 255
CORES = os.cpu_count() or 1

# Probabilities and ranges are the stage's (params.yaml), the ranges in the units of OpenCV.
PROBABILITY = 0.5
DEGREES = 20.0
SHIFT = 10
KERNELS = (3, 5)
NOISE = (2.0, 10.0)

Pixels = NDArray[np.uint8]
Read = Callable[[list[Any]], Iterable[Pixels]]
Augment = Callable[[Pixels], Pixels]  # uint8 (S, S) -> uint8 (S, S)


def with_opencv(photo: Pixels) -> Pixels:
    """Return a photo with each of five changes or without it: one pass over the pixels for each."""
    if random.random() < PROBABILITY:
        photo = cv2.flip(photo, 1)
    if random.random() < PROBABILITY:
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), random.uniform(-DEGREES, DEGREES), 1)
        photo = cv2.warpAffine(photo, turn, (SIDE, SIDE), borderValue=WHITE)
    if random.random() < PROBABILITY:
        shift = np.array([[1, 0, random.randint(-SHIFT, SHIFT)], [0, 1, random.randint(-SHIFT, SHIFT)]], np.float32)
        photo = cv2.warpAffine(photo, shift, (SIDE, SIDE), borderValue=WHITE)
    if random.random() < PROBABILITY:
        kernel = random.choice(KERNELS)
        photo = cv2.GaussianBlur(photo, (kernel, kernel), 0)
    if random.random() < PROBABILITY:
        noise = np.random.normal(0, random.uniform(*NOISE), photo.shape)
        photo = np.clip(photo + noise, 0, 255).astype(np.uint8)
    return photo


def albumentations_pipeline() -> Augment:
    """Return the same changes as one composition of albumentations."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # its import would ask PyPI for a newer version
    albumentations = import_module("albumentations")

    changes = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=PROBABILITY),
            albumentations.Rotate((-DEGREES, DEGREES), fill=WHITE, p=PROBABILITY),
            albumentations.Affine(translate_px=(-SHIFT, SHIFT), fill=WHITE, p=PROBABILITY),
            albumentations.GaussianBlur((min(KERNELS), max(KERNELS)), p=PROBABILITY),
            albumentations.GaussNoise((NOISE[0] / 255, NOISE[1] / 255), p=PROBABILITY),
        ]
    )

    def augment(photo: Pixels) -> Pixels:
        changed: Pixels = changes(image=photo[..., None])["image"][..., 0]
        return changed

    return augment


def simple(source: Path, path: Path) -> None:
    """Build a dataset with a simple loop in one process.

    Its datasets grow with each chunk. The split of a chunk has no strata: most chunks hold
    too few photos of a class.
    """
    from PIL import Image
    from sklearn.model_selection import train_test_split

    def flush() -> None:
        kept, held_out, kept_labels, held_out_labels = train_test_split(
            np.array(photos), np.array(labels), test_size=HELD_OUT
        )
        rows = [row.reshape(SIDE, SIDE, 1) for photo in kept for row in copies(photo[..., 0], with_opencv)]
        append(path, "train", np.array(rows), np.repeat(kept_labels, COPIES))
        append(path, "test", held_out, held_out_labels)
        photos.clear()
        labels.clear()

    photos: list[Pixels] = []
    labels: list[int] = []
    for label, folder in enumerate(sorted(source.iterdir())):
        for photo in folder.iterdir():
            with Image.open(photo) as image:
                photos.append(np.array(image.convert("L").resize((SIDE, SIDE))).reshape(SIDE, SIDE, 1))
            labels.append(label)
            if len(photos) == CHUNK:
                flush()
    if len(photos) > 1:
        flush()


def append(path: Path, subset: str, images: Pixels, labels: NDArray[Any]) -> None:
    """Open the file, make a subset's datasets longer, write a chunk at their end, close it."""
    with h5py.File(path, "a") as file:
        for name, rows in ((f"{subset}_images", images), (f"{subset}_labels", labels)):
            if name not in file:
                file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=True)
            else:
                file[name].resize(len(file[name]) + len(rows), axis=0)
                file[name][-len(rows) :] = rows


def copies(photo: Pixels, augment: Augment) -> Iterator[Pixels]:
    """Yield a photo's rows: itself and its augmented copies."""
    yield photo
    for _ in range(COPIES - 1):
        yield augment(photo)


def listed(source: Path) -> tuple[list[Any], Read]:
    """Return what there is to read, JPEGs or rows of processed.h5, and the function that reads some of them."""
    if source.is_dir():
        return [photo for folder in sorted(source.iterdir()) for photo in sorted(folder.iterdir())], read_jpegs
    with h5py.File(source) as file:
        return list(range(len(file["images"]))), partial(read_rows, source)


def read_jpegs(photos: list[Path]) -> Iterator[Pixels]:
    """Yield photos, which libjpeg decodes to grey alone."""
    for photo in photos:
        image = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
        yield image if image.shape == (SIDE, SIDE) else cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def read_rows(source: Path, rows: list[int]) -> Iterator[Pixels]:
    with h5py.File(source) as file:
        yield from file["images"][sorted(rows), :, :, 0]


def in_processes(name: str, source: Path, path: Path) -> None:
    """Augment in as many processes as there are cores; write to datasets whose lengths are known from the start."""
    photos, read = listed(source)
    random.Random(1).shuffle(photos)
    held_out = math.ceil(HELD_OUT * len(photos))
    with h5py.File(path, "w") as file, Pool(CORES, start, (name,)) as pool:
        for subset, chosen, each in (("test", photos[:held_out], 1), ("train", photos[held_out:], COPIES)):
            images = file.create_dataset(f"{subset}_images", (each * len(chosen), SIDE, SIDE, 1), "uint8")
            bounds = [*range(0, len(chosen), CHUNK), len(chosen)]
            work = [(chosen[begin:end], each, read) for begin, end in pairwise(bounds)]
            first = 0
            for rows in pool.imap(make_rows, work):
                images[first : first + len(rows)] = rows
                first += len(rows)


augment_here: Augment = with_opencv


def start(name: str) -> None:
    global augment_here
    cv2.setNumThreads(1)  # a process for each core is faster than threads for images as small as these
    augment_here = albumentations_pipeline() if name == "albumentations" else with_opencv
    # Forked processes have the same generators otherwise.
    np.random.seed()
    random.seed()


def make_rows(work: tuple[list[Any], int, Read]) -> Pixels:
    chosen, each, read = work
    rows = [row for photo in read(chosen) for row in (copies(photo, augment_here) if each > 1 else [photo])]
    return np.stack(rows)[..., None]


PEERS: dict[str, Callable[[Path, Path], None]] = {
    "simple": simple,
    "opencv": partial(in_processes, "opencv"),
    "albumentations": partial(in_processes, "albumentations"),
}


if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
