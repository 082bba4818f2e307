"""The bucket's photos -> data/processed.h5: decoded, upright, without background, square, uint8."""

import hashlib
import tempfile
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Annotated, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field, Strict, model_validator

from imageset import background, decode, files, layout, params, pixels, pool, progress, settings, stage, store, tables
from imageset.errors import DataError, ParamsError
from imageset.layout import Pixels
from imageset.params import Section
from imageset.sections import ModelParams
from imageset.store import Store, StoredObject

REASONS = frozenset({"empty", "not_an_image", "too_many_pixels", "truncated", "undecodable", "decoder_memory",
                     "mask_empty", "mask_full"})

Channel = Annotated[int, Field(ge=0, le=255)]


class PreprocessParams(Section):
    """Section `preprocess`."""

    background: Literal["remove", "keep"]
    fill: Annotated[tuple[Channel, Channel, Channel], Strict(False)]
    fit: Literal["stretch", "pad", "crop"]
    color: Literal["grayscale", "rgb"]
    image_side: int = Field(ge=8, le=4096)
    min_foreground: float = Field(ge=0, le=1)
    max_foreground: float = Field(ge=0, le=1)
    max_pixels: int = Field(ge=1)
    max_rejected_share: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def leaves_room_for_foreground(self) -> Self:
        if self.min_foreground > self.max_foreground:
            raise ValueError("min_foreground has to be max_foreground at the most")
        return self

    @property
    def channels(self) -> int:
        return 1 if self.color == "grayscale" else 3


class Recipe(NamedTuple):
    """All that decides what becomes of a photo's bytes."""

    preprocess: PreprocessParams
    model_name: str
    model_weights: Path


class Prepared(NamedTuple):
    """A photo's pixels and what identifies its source."""

    pixels: Pixels
    sha256: str
    phash: str
    phash_mirrored: str


class Rejected(NamedTuple):
    """Why a photo has no pixels."""

    reason: str


class Changed(NamedTuple):
    """The object of this key is not what the inventory lists."""

    key: str


def prepare(body: bytes, recipe: Recipe) -> Prepared | Rejected:
    """Return a photo's pixels, uint8 (S, S, C), or why there are none; a pure function of its arguments."""
    try:
        photo = decode.decode(body, recipe.preprocess.max_pixels)
    except decode.Undecodable as error:
        return Rejected(error.reason)
    phash, phash_mirrored = pixels.perceptual_hashes(photo)
    chosen = recipe.preprocess
    garment = remove_background(pixels.shrink(photo, pixels.working_side(chosen.image_side)), recipe)
    if isinstance(garment, Rejected):
        return garment
    square = pixels.fit(garment, chosen.image_side, chosen.fit, chosen.fill)
    return Prepared(pixels.to_array(square, chosen.color), hashlib.sha256(body).hexdigest(), phash, phash_mirrored)


def remove_background(photo: Image.Image, recipe: Recipe) -> Image.Image | Rejected:
    """Return the garment on the fill colour, the photo itself where backgrounds are kept."""
    chosen = recipe.preprocess
    if chosen.background == "keep":
        return photo
    mask = background.predict_mask(photo, recipe.model_name, recipe.model_weights)
    share = pixels.foreground(mask)
    if share < chosen.min_foreground:
        return Rejected("mask_empty")
    if share > chosen.max_foreground:
        return Rejected("mask_full")
    return pixels.composite(photo, mask, chosen.fill)


def fetch_and_prepare(stored: StoredObject, recipe: Recipe) -> Prepared | Rejected | Changed:
    """Get one object of the inventory and prepare it; runs in a worker process."""
    try:
        body = store.get(connected_store(), stored)
    except store.ObjectChanged:
        return Changed(stored.key)
    return prepare(body, recipe)


@lru_cache(maxsize=1)
def connected_store() -> Store:
    return store.connect()


def stored_objects(inventory: pd.DataFrame) -> list[StoredObject]:
    columns = inventory[["key", "etag", "bytes", "version_id"]]
    return [StoredObject(*row) for row in columns.itertuples(index=False, name=None)]


class Collected(NamedTuple):
    """What came of the inventory: tables of both outcomes, and keys that changed since it was made."""

    processed: pd.DataFrame
    rejects: pd.DataFrame
    changed: list[str]


def collect(inventory: pd.DataFrame, recipe: Recipe, spool: IO[bytes]) -> Collected:
    """Prepare all photos, in the inventory's order; the pixels of those that have any go to the spool."""
    processed: list[tuple[int | str, ...]] = []
    rejects: list[tuple[int | str, ...]] = []
    changed: list[str] = []
    work = partial(fetch_and_prepare, recipe=recipe)
    results = pool.ordered_map(work, stored_objects(inventory), settings.workers())
    photos = inventory[["product_id", "position"]].itertuples(index=False, name=None)
    for photo, result in zip(photos, progress.bar(results, "preprocess", len(inventory)), strict=True):
        if isinstance(result, Prepared):
            spool.write(result.pixels.tobytes())
            processed.append((*photo, len(processed), result.sha256, result.phash, result.phash_mirrored))
        elif isinstance(result, Changed):
            changed.append(result.key)
        else:
            rejects.append((*photo, result.reason))
    spool.flush()
    return Collected(tables.frame(tables.PROCESSED, processed), tables.frame(tables.REJECTS, rejects), changed)


def check(collected: Collected, photos: int, max_rejected_share: float) -> None:
    """Raise DataError when objects changed under way, when no photo or too few are left."""
    if collected.changed:
        hint = " (all of them: is IMAGE_STORE the one it was made of?)" if len(collected.changed) == photos else ""
        raise DataError(f"{len(collected.changed)} objects changed since the inventory, such as "
                        f"{', '.join(collected.changed[:5])}{hint}: run `make refresh`")
    assert len(collected.processed) + len(collected.rejects) == photos
    assert set(collected.rejects["reason"]) <= REASONS
    counts = tables.tally(collected.rejects["reason"])
    if collected.processed.empty:
        raise DataError(f"none of {photos} photos is left ({counts})")
    if len(collected.rejects) > max_rejected_share * photos:
        raise DataError(f"{len(collected.rejects)} of {photos} photos are rejected ({counts}): more than "
                        f"preprocess.max_rejected_share = {max_rejected_share}")


def write_processed(path: Path, photos: pd.DataFrame, images: Pixels, fill: tuple[int, int, int]) -> None:
    """Write the photos' pixels, ids and positions, and the colour behind them, atomically."""
    with files.atomic(path) as temporary, layout.create(temporary, layout.PROCESSED) as file:
        layout.add(file, "images", images)
        layout.add(file, "ids", photos["product_id"].to_numpy(np.int64))
        layout.add(file, "positions", photos["position"].to_numpy(np.int16))
        layout.finish(file, fill=np.array(fill, np.uint8))


def main(inventory_csv: Path, background_onnx: Path, processed_h5: Path, processed_csv: Path,
         rejects_csv: Path) -> None:
    chosen = params.load("preprocess", PreprocessParams)
    model = params.load("model", ModelParams)
    known = background.known_models()
    if model.name not in known:
        raise ParamsError(f"params.yaml: model.name = {model.name!r}: rembg knows {', '.join(known)}")
    if chosen.background == "remove" and files.sha256(background_onnx) != model.sha256:
        raise DataError(f"{background_onnx} has not the sha256 that params.yaml names: remove it and run `dvc repro`")
    inventory = tables.read(inventory_csv, tables.INVENTORY)
    image_bytes = chosen.image_side**2 * chosen.channels
    # Twice: the spool, then the file. Its pixels are spooled, as the number of rows is known only at the end.
    files.require_space(processed_h5, 2 * image_bytes * len(inventory))
    with tempfile.TemporaryFile(dir=processed_h5.parent) as spool:
        collected = collect(inventory, Recipe(chosen, model.name, background_onnx), spool)
        check(collected, len(inventory), chosen.max_rejected_share)
        shape = (len(collected.processed), chosen.image_side, chosen.image_side, chosen.channels)
        images = np.memmap(spool, np.uint8, "r", shape=shape)
        write_processed(processed_h5, collected.processed, images, chosen.fill)
    tables.write(processed_csv, tables.PROCESSED, collected.processed)
    tables.write(rejects_csv, tables.REJECTS, collected.rejects)
    print(f"preprocess: {len(inventory)} photos, {len(collected.processed)} done, {len(collected.rejects)} rejected "
          f"({tables.tally(collected.rejects['reason'])})")


if __name__ == "__main__":
    stage.run("preprocess", main)
