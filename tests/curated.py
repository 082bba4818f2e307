"""Photos, labels and releases as files of a project, and stages duplicates, catalog and split run on them.

The likeness of the drawn patterns is known, so that tests decide which photos are near-duplicates.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.fft import dctn, idctn

from imageset.curation.corrections import RECOMMENDED
from imageset.errors import DataError
from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.preview_file import writing_previews
from imageset.photos import pixels
from imageset.photos.previews import make_preview
from imageset.runtime.sections import DuplicatesParams
from sandbox import draw
from stages import catalog, duplicates, split

FIRST, LAST = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
LARGE = 2**53 + 1  # a float would make 2**53 of it
SEARCH = (
    "data/processed.csv",
    "data/thumbnails.h5",
    "data/previews.h5",
    "data/listing_groups.csv",
    "releases/split.csv",
    "data/groups.csv",
    "data/near_duplicates.csv",
)
INPUTS = (
    "data/groups.csv",
    "data/photos.csv",
    "data/labels.csv",
    "data/classes.csv",
    "corrections/labels.csv",
    "corrections/exclusions.csv",
    "releases/split.csv",
    "releases/label_map.csv",
)
OUTPUTS = {
    "catalog": tables.CATALOG,
    "label_map": tables.LABEL_MAP,
    "label_changes": tables.LABEL_CHANGES,
    "catalog_rejects": tables.CATALOG_REJECTS,
    "spent_corrections": tables.SPENT_CORRECTIONS,
}
FOUND = {"near_duplicates": tables.NEAR_DUPLICATES} | OUTPUTS
PATTERNS = 18  # on a circle: those at most NEAR apart are near-duplicates, all others are not
NEAR = 2
# Not as in params.yaml: between the likeness of two patterns NEAR apart and of two that are one step further apart.
DUPLICATES = DuplicatesParams(distance=6, likeness=0.55, max_products=20, max_rejected_share=1.0)

Edit = Callable[[str, str], None]
Key = tuple[int, int]
LabelRow = tuple[Any, Any, str]


class Found(NamedTuple):
    """The tables that both stages write."""

    near: pd.DataFrame
    catalog: pd.DataFrame
    label_map: pd.DataFrame
    changes: pd.DataFrame
    rejects: pd.DataFrame
    spent: pd.DataFrame

    @property
    def groups(self) -> dict[Key, int]:
        return by_photo(self.catalog, "group")

    @property
    def classes(self) -> dict[Key, int]:
        return by_photo(self.catalog, "catalog_id")

    @property
    def reasons(self) -> dict[Key, str]:
        return by_photo(self.rejects, "reason")


def by_photo(table: pd.DataFrame, column: str) -> dict[Key, Any]:
    return dict(zip(zip(table["product_id"], table["position"], strict=True), table[column], strict=True))


def rows(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(table.itertuples(index=False, name=None))


@cache
def photo(garment: str, seed: int = 1) -> Image.Image:
    """The thumbnail of a drawn photo."""
    return thumbnail(draw.draw(garment, seed))


def thumbnail(image: Image.Image) -> Image.Image:
    return pixels.make_thumbnail(image.convert("L"))


@cache
def pattern(number: int) -> Image.Image:
    """A thumbnail whose likeness to others is known: its details mix two noises, at an angle of 20 degrees a number.

    All have nearly the same 16 x 16 lowest frequencies, so that details alone tell them apart. Along the circle, nine
    pairs of the 64 bits are swapped one after the other. So the hashes differ, and those of near-duplicates differ in
    at most four bits.
    """
    rng = np.random.default_rng(7)
    signs = rng.permutation(np.tile([1.0, -1.0], 32))
    noises = dctn(rng.choice([-1.0, 1.0], (2, 64, 64)), axes=(1, 2), norm="ortho")
    low = signs * rng.uniform(0.8, 1.2, 64)
    half = PATTERNS // 2
    turned = range(number) if number <= half else range(number - half, half)
    for bit in turned:
        pair = [np.flatnonzero(signs > 0)[1 + bit], np.flatnonzero(signs < 0)[1 + bit]]
        low[pair] = low[pair[::-1]]
    frequencies = np.zeros((64, 64))
    frequencies[:8, :8] = low.reshape(8, 8)
    frequencies[0, 0] = 0
    frequencies *= 64 / np.sqrt((frequencies**2).sum())  # a deviation of 1
    angle = 2 * np.pi * number / PATTERNS
    details = np.cos(angle) * noises[0] + np.sin(angle) * noises[1]
    details[:16, :16] = noises[0, :16, :16]
    details[:8, :8] = 0
    values = 128 + 25 * idctn(frequencies + details, norm="ortho")
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def are_alike(one: int, other: int) -> bool:
    return min((one - other) % PATTERNS, (other - one) % PATTERNS) <= NEAR


@cache
def hashes(pixels_of: bytes) -> tuple[str, str]:
    return pixels.hash_thumbnail(Image.frombytes("L", (64, 64), pixels_of))


def write_photos(project: Path, photos: dict[Key, Image.Image], sha256: dict[Key, str] | None = None) -> None:
    """Write processed.csv, photos.csv, thumbnails.h5 and previews.h5 as stage preprocess does; no groups of listings.

    photos: 64 x 64, grey for the thumbnail, in colour (mode RGB) for the preview alone.
    """
    keys = sorted(photos)
    content = [photos[key].convert("L").tobytes() for key in keys]
    (project / "data").mkdir(exist_ok=True)
    with hdf5.create(project / "data/thumbnails.h5", hdf5.THUMBNAILS) as file:
        hdf5.add_images(file, "images", (len(keys), 64, 64, 1))[...] = np.frombuffer(
            b"".join(content), np.uint8
        ).reshape(-1, 64, 64, 1)
        hdf5.add(file, "ids", np.array([product_id for product_id, _ in keys], np.int64))
        hdf5.add(file, "positions", np.array([position for _, position in keys], np.int16))
        row_checksums.finish(file)
    with writing_previews(project / "data/previews.h5") as add_preview:
        for key in keys:
            add_preview(*key, make_preview(photos[key].convert("RGB")))
    facts = [(*key, *photos[key].size, "JPEG", "0.5000", "128.00", "50.00", "1.0000", "") for key in keys]
    tables.write(project / "data/photos.csv", tables.PHOTOS, tables.frame(tables.PHOTOS, facts))
    processed = [(*key, row, (sha256 or {}).get(key, f"{key}"), *hashes(content[row])) for row, key in enumerate(keys)]
    tables.write(project / "data/processed.csv", tables.PROCESSED, tables.frame(tables.PROCESSED, processed))
    write_listing_groups(project, [])


def write_listing_groups(project: Path, values: list[tuple[int, str]]) -> None:
    """Write the product and the value of source.group_by of listings."""
    path = project / "data/listing_groups.csv"
    tables.write(path, tables.LISTING_GROUPS, tables.frame(tables.LISTING_GROUPS, values))


def write_labels(project: Path, labels: list[LabelRow], parents: dict[int, int | None]) -> None:
    """Write labels in the order given, and classes with their parents."""
    (project / "data").mkdir(exist_ok=True)
    tables.frame(tables.LABELS, labels).to_csv(project / "data/labels.csv", index=False)
    named = [(catalog_id, f"class {catalog_id}", parent) for catalog_id, parent in parents.items()]
    tables.write(project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, named))


def write_release(project: Path, subsets: dict[Key, str]) -> None:
    tables.write(
        project / "releases/split.csv",
        tables.SPLIT,
        tables.frame(tables.SPLIT, [(*key, subset) for key, subset in subsets.items()]),
    )


def run(project: Path) -> Found:
    """Run the stages and return their tables, which hold every photo once."""
    duplicates.main(*(project / name for name in SEARCH))
    catalog.main(*(project / name for name in INPUTS), *(project / f"data/{name}.csv" for name in OUTPUTS))
    found = Found(*(tables.read(project / f"data/{name}.csv", table) for name, table in FOUND.items()))
    processed = tables.read(project / "data/processed.csv", tables.PROCESSED)

    assert sorted([*found.groups, *found.reasons]) == rows(processed[["product_id", "position"]])
    assert by_photo(found.catalog, "row").items() <= by_photo(processed, "row").items()
    assert set(found.rejects["reason"]) <= catalog.REASONS | set(RECOMMENDED)
    assert rows(found.catalog[["label", "catalog_id"]].drop_duplicates().sort_values("label")) == [
        (label, catalog_id) for label, catalog_id, _ in rows(found.label_map) if catalog_id in found.classes.values()
    ]
    return found


def run_split(project: Path) -> dict[Key, str]:
    paths = [project / name for name in ("data/catalog.csv", "data/groups.csv", "releases/split.csv", "data/split.csv")]
    split.main(*paths)
    return by_photo(tables.read(paths[3], tables.SPLIT), "subset")


def of_one_class(project: Path, photos: dict[Key, Image.Image], sha256: dict[Key, str] | None = None) -> Found:
    """Run both stages on photos that all have class 10."""
    write_photos(project, photos, sha256)
    write_labels(project, [(product_id, 10, FIRST) for product_id, _ in photos], {10: None})
    return run(project)


def written(project: Path) -> dict[str, bytes]:
    return {name: (project / f"data/{name}.csv").read_bytes() for name in FOUND}


def failure(project: Path) -> str:
    """Return the message of the stage that fails. It leaves no output behind."""
    before = {*(project / "data").iterdir(), *(project / name for name in SEARCH[4:])}
    with pytest.raises(DataError) as caught:
        run(project)

    assert {*(project / "data").iterdir()} <= before
    return str(caught.value)
