"""With copies of every kind planted among photos, no copy is in another subset than its photo."""

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.preview_file import writing_previews
from imageset.formats.stable_hash import rank
from imageset.photos import decode
from imageset.photos.decode import PhotoLimits
from sandbox import draw
from sandbox.garments import GARMENTS
from stages import catalog, duplicates, split
from tests import planted
from tests.faults.trials import ALL
from tests.project import ROOT
from tests.samples import sample

REAL_PHOTOS = ROOT.parent / "shared/photos"
PHOTOS = 60 if ALL else 24
DATE = "2026-01-01T00:00:00+00:00"


def real_photos() -> list[tuple[str, Image.Image]]:
    """Return a fixed sample of photos with their classes, the same number of each class where possible."""
    folders = sorted(folder for folder in REAL_PHOTOS.iterdir() if folder.is_dir())
    ranked = [sorted(folder.glob("*.jp*g"), key=lambda path: rank(*path.name.encode())) for folder in folders]
    in_turn = (path for paths in itertools.zip_longest(*ranked) for path in paths if path is not None)
    return [
        (path.parent.name, decode.decode(path.read_bytes(), PhotoLimits(50_000_000)))
        for path in itertools.islice(in_turn, PHOTOS)
    ]


def drawn_photos() -> list[tuple[str, Image.Image]]:
    garments = itertools.islice(itertools.cycle(GARMENTS), PHOTOS)
    return [(garment, draw.draw(garment, number)) for number, garment in enumerate(garments)]


class Listings:
    """Photos and copies of them, each a product of its own with a random number."""

    def __init__(self, photos: list[tuple[str, Image.Image]], project: Path) -> None:
        self.data, self.releases = project / "data", project / "releases"
        self.data.mkdir()
        catalog_ids = {name: 100 + number for number, name in enumerate(sorted({name for name, _ in photos}))}
        numbers = list(range(1000, 1000 + len(photos) * (1 + len(planted.KINDS))))
        random.Random(0).shuffle(numbers)
        self.source, self.kind, prepared, labels = {}, {}, {}, []
        for source, (name, photo) in enumerate(photos):
            for kind in ("photo", *planted.KINDS):
                product_id = numbers.pop()
                body = planted.encode(photo) if kind == "photo" else planted.plant(photo, kind, source)
                self.source[product_id], self.kind[product_id] = source, kind
                prepared[product_id] = planted.decoded(body)
                labels.append((product_id, catalog_ids[name], DATE))
        order = sorted(prepared)
        found = {product_id: planted.require_pixels(photo) for product_id, photo in prepared.items()}
        with writing_previews(self.data / "previews.h5") as add_preview:
            for product_id in order:
                add_preview(product_id, 0, prepared[product_id].preview)
        with hdf5.create(self.data / "thumbnails.h5", hdf5.THUMBNAILS) as file:
            hdf5.add(file, "images", np.stack([found[product_id].thumbnail for product_id in order]))
            hdf5.add(file, "ids", np.array(order))
            hdf5.add(file, "positions", np.zeros(len(order), np.int16))
            row_checksums.finish(file)
        self.write(
            "processed",
            tables.PROCESSED,
            [(product_id, 0, row, *found[product_id][2:]) for row, product_id in enumerate(order)],
        )
        self.write("photos", tables.PHOTOS, [])  # only catalog.keep: best would need any
        self.write("listing_groups", tables.LISTING_GROUPS, [])
        self.write("labels", tables.LABELS, labels)
        self.write("classes", tables.CLASSES, [(number, name, None) for name, number in catalog_ids.items()])

    def write(self, name: str, table: tables.Table, rows: Sequence[tuple[object, ...]]) -> None:
        tables.write(self.data / f"{name}.csv", table, tables.frame(table, rows))

    def group_and_split(self) -> pd.DataFrame:
        """Run the stages and return group and subset of each photo, with its source and its kind."""
        data, releases, corrections = self.data, self.releases, self.data.parent / "corrections"
        duplicates.main(
            data / "processed.csv",
            data / "thumbnails.h5",
            data / "previews.h5",
            data / "listing_groups.csv",
            releases / "split.csv",
            data / "groups.csv",
            data / "near_duplicates.csv",
        )
        catalog.main(
            data / "groups.csv",
            data / "photos.csv",
            data / "labels.csv",
            data / "classes.csv",
            corrections / "labels.csv",
            corrections / "exclusions.csv",
            releases / "split.csv",
            releases / "label_map.csv",
            data / "catalog.csv",
            data / "label_map.csv",
            data / "label_changes.csv",
            data / "catalog_rejects.csv",
            data / "spent_corrections.csv",
        )
        split.main(data / "catalog.csv", data / "groups.csv", releases / "split.csv", data / "split.csv")
        both = tables.read(data / "catalog.csv", tables.CATALOG).merge(tables.read(data / "split.csv", tables.SPLIT))
        return both.assign(source=both["product_id"].map(self.source), kind=both["product_id"].map(self.kind))


# The real photos may be missing beside the checkout.
SOURCES = [drawn_photos, real_photos] if REAL_PHOTOS.is_dir() else [drawn_photos]


@pytest.mark.sampled
@pytest.mark.parametrize("photos", sample(SOURCES, SOURCES[-1]))
def test_no_copy_of_a_photo_crosses_the_split(
    photos: Callable[[], list[tuple[str, Image.Image]]], in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("test_share: 0.2", "test_share: 0.4")
    edit_params("validation_share: 0.0", "validation_share: 0.2")
    found = Listings(photos(), in_project).group_and_split()
    originals = found[found["kind"] == "photo"].set_index("source")
    misplaced = found[
        (found["subset"] != found["source"].map(originals["subset"]))
        | (found["group"] != found["source"].map(originals["group"]))
    ]

    assert len(found) == PHOTOS * (1 + len(planted.KINDS))
    assert set(found["subset"]) == {"train", "test", "validation"}
    assert misplaced[["source", "kind"]].to_numpy().tolist() == []
    assert found["group"].nunique() == PHOTOS  # and no other photos share a group
