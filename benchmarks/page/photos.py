"""A folder of photos with errors in it: classes flipped, pictures that are no garments, near copies."""

import io
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from benchmarks.audit import off_topic
from sandbox.marketplace import PHOTO_SUFFIXES
from tests import planted

FLIPPED = 0.05  # of all photos
OFF_TOPIC, PAIRS, MASKS = 5, 3, 10
COPIES = ("encoded again", "cropped", "resized")  # kinds of tests/planted.py

Random = np.random.Generator


class Planned(NamedTuple):
    """Paths in the folder of what was planted.

    flips: with the class that is right. masks: photos whose masks are to be damaged. pairs: a photo and its copy.
    """

    flips: dict[Path, str]
    masks: list[Path]
    off_topic: list[Path]
    pairs: list[tuple[Path, Path]]


def make_folder(
    source: Path, folder: Path, may_change: Callable[[Path], bool], has_garment: Callable[[bytes], bool], random: Random
) -> Planned:
    """Copy a folder that has a folder for each class, and plant errors in the copy.

    Args:
        source: the photos.
        folder: a new folder.
        may_change: whether something may be planted in a photo of the source.
        has_garment: whether the pipeline would take a picture for one of a garment; those that it rejects by itself
            are not planted.
        random: decides everything.

    Raises:
        ValueError: the source has too few photos that may change.
    """
    paths = sorted(path for path in source.glob("*/*") if path.suffix.lower() in PHOTO_SUFFIXES)
    for path in paths:
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.relative_to(source))
    drawn = [folder / path.relative_to(source) for path in paths if may_change(path)]
    chosen = [drawn[number] for number in random.permutation(len(drawn))]
    flipped = round(FLIPPED * len(paths))
    if len(chosen) < flipped + MASKS + PAIRS:
        raise ValueError(f"{source}: {len(chosen)} photos may change, {flipped + MASKS + PAIRS} are needed")
    classes = sorted({path.parent.name for path in paths})
    return Planned(
        dict(flip(path, classes, random) for path in chosen[:flipped]),
        chosen[flipped : flipped + MASKS],
        add_off_topic(folder, classes, has_garment, random),
        [(path, add_copy(path, random)) for path in chosen[flipped + MASKS : flipped + MASKS + PAIRS]],
    )


def flip(path: Path, classes: list[str], random: Random) -> tuple[Path, str]:
    """Move a photo to another class. Return its new path and the right class."""
    right = path.parent.name
    wrong = str(random.choice([name for name in classes if name != right]))
    return path.rename(path.parent.parent / wrong / path.name), right


def add_off_topic(folder: Path, classes: list[str], has_garment: Callable[[bytes], bool], random: Random) -> list[Path]:
    """Add pictures that are no garments, each of another kind, to any classes."""
    added = []
    for kind in random.permutation(len(off_topic.KINDS)).tolist() * 20:
        file = io.BytesIO()
        off_topic.KINDS[kind](random).save(file, "JPEG", quality=85)
        if has_garment(file.getvalue()):
            path = folder / str(random.choice(classes)) / name_photo(random)
            path.write_bytes(file.getvalue())
            added.append(path)
        if len(added) == OFF_TOPIC:
            return added
    raise ValueError("too few of the drawn pictures pass for garments")


def add_copy(path: Path, random: Random) -> Path:
    """Add a near copy of a photo to its class."""
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    copy = path.with_name(name_photo(random))
    copy.write_bytes(planted.plant(photo, str(random.choice(COPIES)), int(random.integers(2**31))))
    return copy


def name_photo(random: Random) -> str:
    """Return a new file name, as the photos of clothing-dataset-small have them."""
    return f"{uuid.UUID(bytes=random.bytes(16), version=4)}.jpg"
