"""A small dataset.h5 that passes every check, and seeded changes of its bytes."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from imageset.formats import hdf5, source_ids
from imageset.formats.channel_stats import ChannelStats
from tests.faults.hdf5_bytes import with_checksums

SIDE, COPIES = 6, 2
CLASSES = ["tops", "7", "bags"]
COUNTS = {"train": 8, "validation": 3, "test": 4}


def write_dataset(path: Path, compression: hdf5.Compression = "none", texts: bool = True) -> Path:
    """Write a dataset file of format version 2: three subsets, text ids and a column where `texts`."""
    random_numbers = np.random.default_rng(20)
    with hdf5.create(path, hdf5.DATASET) as file:
        stats = ChannelStats(3)
        for number, (subset, photos) in enumerate(COUNTS.items()):
            copies = np.tile(np.arange(COPIES if subset == "train" else 1), photos)
            photo = np.repeat(np.arange(photos), COPIES if subset == "train" else 1)
            names = [f"{subset}-{each}" if texts else str(100 * number + each) for each in photo.tolist()]
            pixels = random_numbers.integers(0, 256, (len(photo), SIDE, SIDE, 3), np.uint8)
            pixels[::2, 1:] = 255  # compresses well
            stats.add(pixels[copies == 0] if subset == "train" else pixels[:0])
            columns: dict[str, Any] = {
                "labels": photo % 3,
                "ids": np.array([source_ids.number(name) for name in names]),
                "positions": np.zeros(len(photo), np.int16),
                "groups": 100 * number + photo,
            }
            columns |= {"copies": copies.astype(np.int16)} if subset == "train" else {}
            for name, values in columns.items():
                hdf5.add(file, f"{subset}_{name}", values.astype(hdf5.ROW_DTYPES.get(name, "int64")))
            if texts:
                hdf5.add_text(file, f"{subset}_source_ids", names)
                hdf5.add_text(
                    file, f"{subset}_column_brand", ["Größe", ""] * (len(photo) // 2) + [""] * (len(photo) % 2)
                )
            hdf5.add_images(file, f"{subset}_images", pixels.shape, compression)[:] = pixels
        numbers = [source_ids.number(each) for each in (CLASSES if texts else ["1", "7", "9"])]
        hdf5.add(file, "label_map", np.array([b"%d,%d" % pair for pair in enumerate(numbers)]))
        hdf5.add_text(file, "class_names", ["shirt", "été 👗", "shirt"])
        if texts:
            hdf5.add_text(file, "class_ids", CLASSES)
        params = {
            "augment": {"balance": "none", "copies": COPIES, "max_copies": 9},
            "build": {"compression": compression},
        }
        digest = hdf5.content_digest(file)
        hdf5.finish(file, content_digest=digest, mean=stats.mean(), std=stats.std(), params=json.dumps(params))
    return path


def mutate(content: bytes, parts: dict[int, int], seed: int) -> tuple[str, bytes]:
    """Return what was done and the changed bytes. Behind every second change, all checksums are right again.

    parts: of the content, from `find_parts`.
    """
    draw = random.Random(seed)
    changed = bytearray(content)
    kind = ("bits", "bytes", "zeros", "cut", "inserted", "exchanged")[seed // 2 % 6]
    place = draw.randrange(len(changed))
    if kind == "bits":
        for _ in range(draw.choice((1, 1, 1, 4, 30))):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    elif kind == "bytes":
        for _ in range(draw.choice((1, 2, 8))):
            changed[draw.randrange(len(changed))] = draw.choice((0, 1, 127, 128, 255))
    elif kind == "zeros":
        length = min(draw.choice((1, 8, 64, 512)), len(changed) - place)
        changed[place : place + length] = bytes(length)
    elif kind == "cut":
        del changed[place:]
    elif kind == "inserted":
        changed[place:place] = draw.randbytes(draw.choice((1, 8, 100)))
    else:
        length = draw.choice((1, 4, 8, 32))
        other = draw.randrange(len(changed) - length)
        place = min(place, len(changed) - length)
        changed[place : place + length] = changed[other : other + length]
    is_sealed = bool(seed % 2) and kind != "inserted"
    result = with_checksums(bytes(changed), parts) if is_sealed else bytes(changed)
    return f"{kind}{' with checksums' if is_sealed else ''}, seed {seed}", result
