"""A sheet of the first suspects of a kind, to look at."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.preview_file import PreviewRows
from imageset.report import plots

COLUMNS, SIDE = 6, 96


def draw_suspects(data: Path, kind: str, count: int) -> bytes:
    """Return a PNG of the first suspects of a kind: rank, score, class, suggestion and reason above each.

    Suspects of kind mask have beside them what the mask left.
    """
    suspects = tables.read(data / "suspects.csv", tables.SUSPECTS)
    chosen = suspects[(suspects["kind"] == kind) & suspects["product_id"].notna()].head(count)
    if chosen.empty:
        raise SystemExit(f"{data / 'suspects.csv'} has no photo of kind {kind}")
    photos = tables.read(data / "photos.csv", tables.PHOTOS)
    rows = pd.Series(np.arange(len(photos)), index=pd.MultiIndex.from_frame(photos[["product_id", "position"]]))
    classes = tables.read(data / "classes.csv", tables.CLASSES).set_index("catalog_id")["name"]
    processed = tables.read(data / "processed.csv", tables.PROCESSED).set_index(["product_id", "position"])["row"]
    pictures, captions = [], []
    with (
        row_checksums.open_file(data / "previews.h5", hdf5.PREVIEWS) as file,
        row_checksums.open_file(data / "processed.h5", hdf5.PROCESSED) as results,
    ):
        previews, images = PreviewRows(file), row_checksums.Rows(results)
        for suspect in chosen.itertuples(index=False):
            preview = previews.read(int(rows[suspect.product_id, suspect.position]))
            picture = Image.open(io.BytesIO(preview)).convert("RGB")
            square = np.asarray(ImageOps.pad(picture, (SIDE, SIDE), color=(255, 255, 255)))
            if kind == "mask":
                result = shrink(images[int(processed[suspect.product_id, suspect.position])])
                square = np.pad(
                    np.hstack([square, result]), ((SIDE // 2, SIDE // 2), (0, 0), (0, 0)), constant_values=255
                )
            pictures.append(square)
            suggested = "" if pd.isna(suspect.suggestion) else f" -> {classes[suspect.suggestion]}"
            captions.append(f"{suspect.rank}: {suspect.score} {suspect.why}\n{classes[suspect.catalog_id]}{suggested}")
    return plots.sheet(pictures, captions, COLUMNS)


def shrink(image: hdf5.Pixels) -> hdf5.Pixels:
    """Return an image of the dataset, uint8 (S, S, C), as uint8 (SIDE, SIDE, 3)."""
    picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE)))
