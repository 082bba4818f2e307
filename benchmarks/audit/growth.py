"""Time and memory of stage audit as photos grow in number, on made embeddings."""

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.shared.measure import ROOT, Run, measure
from benchmarks.shared.tables import table
from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.preview_file import writing_previews
from imageset.photos.embedding_file import writing_embeddings
from imageset.photos.mask_file import writing_masks
from imageset.photos.outcomes import PhotoEmbedding
from imageset.runtime import progress
from imageset.storage.bucket import StoredObject
from stages import audit

DIMENSIONS = 1280
PHOTOS_PER_GROUP = 2


def make_project(folder: Path, photos: int, classes: int) -> None:
    """Write what stage audit reads, of so many photos in uneven classes (Zipf's law). Masks are left out."""
    data, random = folder / "data", np.random.default_rng(1)
    data.mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    weights = 1 / np.arange(1, classes + 1)
    more = random.choice(classes, photos - classes, p=weights / weights.sum())
    labels = np.concatenate([np.arange(classes), more])
    rows = [(n, 0, n, 10 + label, label, n - n % PHOTOS_PER_GROUP) for n, label in enumerate(labels.tolist())]
    tables.write(data / "catalog.csv", tables.CATALOG, tables.frame(tables.CATALOG, rows))
    named = [(10 + label, f"class {label}", None) for label in range(classes)]
    tables.write(data / "classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, named))
    facts = [(n, 0, 300, 400, "JPEG", "100.0", "128.0", "60.0", "0.750", "") for n in range(photos)]
    tables.write(data / "photos.csv", tables.PHOTOS, tables.frame(tables.PHOTOS, facts))
    with writing_masks(data / "masks.h5", 0, 0, ""), writing_previews(data / "previews.h5"):
        pass
    with hdf5.create(data / "thumbnails.h5", hdf5.THUMBNAILS) as file:
        images = hdf5.add_images(file, "images", (photos, 64, 64, 1))
        checksums: list[int] = []
        for block in hdf5.blocks(images):
            values = random.integers(0, 256, (block.stop - block.start, 64, 64, 1), np.uint8)
            images[block] = values
            checksums += row_checksums.checksum_rows(values).tolist()
        hdf5.add(file, "ids", np.arange(photos))
        hdf5.add(file, "positions", np.zeros(photos, np.int16))
        row_checksums.finish(file, checksums)
    centres = random.gamma(0.5, 0.4, (classes, DIMENSIONS))
    with writing_embeddings(data / "embeddings.h5", photos, "made") as add:
        for number, label in enumerate(progress.bar(labels.tolist(), "made", photos)):
            values = np.minimum(centres[label] * random.standard_exponential(DIMENSIONS), 6).astype("<f4")
            add(number, 0, StoredObject(f"{number}", f"{number}", 1, ""), PhotoEmbedding(values.tobytes(), 120_000))


def run(photos: int, classes: int) -> Run:
    """Run stage audit on so many photos, as DVC does."""
    with tempfile.TemporaryDirectory(prefix="imageset-bench-") as temporary:
        folder = Path(temporary)
        make_project(folder, photos, classes)
        command = [sys.executable, "-m", "stages.audit"]
        for path in audit.main.__annotations__:
            if path != "return":
                name, _, suffix = path.rpartition("_")
                command += [f"--{name.replace('_', '-')}", f"data/{name}.{suffix}"]
        return measure(command, folder, {})


def report(sizes: Sequence[int], classes: int) -> None:
    """Print seconds and memory for each size, and the exponent by which time grows from one to the next."""
    names = ("photos", "wall s", "processor s", "resident MB", "anonymous MB", "exponent")
    table(names, measure_sizes(sizes, classes))


def measure_sizes(sizes: Sequence[int], classes: int) -> Iterator[tuple[str, ...]]:
    """Yield the row of each size as soon as it is known."""
    earlier: tuple[int, float] | None = None
    for photos in sizes:
        found = run(photos, min(classes, photos))
        grown = math.log(found.cpu / earlier[1]) / math.log(photos / earlier[0]) if earlier else None
        numbers = (found.wall, found.cpu, found.main.rss / 1e6, found.main.anonymous / 1e6)
        yield f"{photos:,}", *(f"{number:.0f}" for number in numbers), f"{grown:.2f}" if grown else ""
        earlier = photos, found.cpu
