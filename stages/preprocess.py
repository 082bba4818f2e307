"""The bucket's photos -> data/processed.h5: decoded, upright, without background, square, uint8."""

import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from itertools import tee
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from imageset.errors import DataError, ParamsError
from imageset.formats import hdf5, tables
from imageset.photos import networks, pixels, worker
from imageset.photos.background import Network
from imageset.photos.cache import PhotoCache
from imageset.photos.fingerprint import identify
from imageset.photos.preprocess import Made, Prepared, Recipe, Rejected, image_bytes, image_shape
from imageset.photos.worker import Changed, Wanted
from imageset.runtime import files, params, progress, settings, stage
from imageset.runtime.sections import ModelParams, PreprocessParams
from imageset.storage.bucket import StoredObject, open_bucket
from imageset.workers.carried_file import carry_file
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, WorkerPool, ordered_map

REASONS = frozenset(
    {
        "empty",
        "not_an_image",
        "too_many_pixels",
        "truncated",
        "undecodable",
        "mask_empty",
        "mask_full",
        "decoder_crash",
        "decoder_timeout",
        "decoder_memory",
    }
)

# How many photos a worker takes at a time: few where each takes a network's time, many where handing over costs more.
PHOTOS_TO_MASK = 8
PHOTOS_TO_FIT = 64
BATCH_BYTES = 16 << 20  # of photos to get, or of pixels, but for the last of them

KEYS_TO_NAME = 5  # of objects that changed

Outcome = Prepared | Rejected | Changed
AddRow = Callable[[tuple[Any, ...]], None]


class Photo(NamedTuple):
    """A row of the inventory, and what an earlier run made of it, if one did."""

    product_id: int
    position: int
    stored: StoredObject
    known: Prepared | Rejected | None


class Batch(NamedTuple):
    """Neighbours in the inventory, and what a worker is to do for those of which nothing is known."""

    photos: list[Photo]
    wanted: list[Wanted]


def batches(inventory: Iterable[tuple[Any, ...]], cache: PhotoCache, recipe: Recipe) -> Iterator[Batch]:
    """Yield the inventory in batches, as large as the work on them wants it."""
    network = recipe.network
    photos, wanted, to_mask, source_bytes = [], [], 0, 0
    for key, product_id, position, etag, size, version_id in inventory:
        stored = StoredObject(key, etag, size, version_id)
        known = cache.find(stored)
        photos.append(Photo(product_id, position, stored, known))
        if known is None:
            mask = cache.find_mask(stored, network.side) if network else None
            to_mask += network is not None and mask is None
            source_bytes += size
            wanted.append(Wanted(stored, mask))
        pixel_bytes = len(photos) * image_bytes(recipe.preprocess)
        if (
            to_mask == PHOTOS_TO_MASK
            or len(wanted) == PHOTOS_TO_FIT
            or source_bytes >= BATCH_BYTES
            or pixel_bytes >= BATCH_BYTES
        ):
            yield Batch(photos, wanted)
            photos, wanted, to_mask, source_bytes = [], [], 0, 0
    if photos:
        yield Batch(photos, wanted)


def outcomes(
    batched: Iterator[Batch],
    engine: WorkerPool,
    work: Callable[[list[Wanted]], list[Made | Changed]],
    cache: PhotoCache,
) -> Iterator[tuple[Photo, Outcome]]:
    """Yield what becomes of each photo, in the inventory's order; what is made is added to the cache."""
    planned, to_do = tee(batched)
    results = ordered_map(engine, work, (batch.wanted for batch in to_do))
    for (photos, _), made in zip(planned, results, strict=True):
        news = iter(made)
        for photo in photos:
            yield photo, photo.known or settle(photo.stored, next(news), cache)


def settle(stored: StoredObject, made: Made | Changed | Lost, cache: PhotoCache) -> Outcome:
    """Return what became of a photo that a worker had, and remember it."""
    if isinstance(made, Changed):
        return made
    if isinstance(made, Lost):
        return Rejected(f"decoder_{made.reason}")
    cache.add(stored, made)
    return made.outcome


class Spools(NamedTuple):
    """Where pixels and thumbnails wait until it is known how many there are."""

    pixels: IO[bytes]
    thumbnails: IO[bytes]


class Collected:
    """What came of the photos: ids and positions of those that have pixels, and counts of the others."""

    def __init__(self) -> None:
        self.product_ids, self.positions = array("q"), array("h")
        self.reasons: Counter[str] = Counter()
        self.changed = 0
        self.changed_keys: list[str] = []  # the first ones

    def check(self, photos: int, max_rejected_share: float) -> None:
        """Raise DataError when objects changed under way, when no photo or too few are left."""
        rejected, counts = self.reasons.total(), tables.tally(self.reasons.elements())
        assert len(self.product_ids) + rejected + self.changed == photos
        assert set(self.reasons) <= REASONS
        if self.changed:
            hint = " (all of them: is IMAGE_STORE the one it was made of?)" if self.changed == photos else ""
            raise DataError(
                f"{self.changed} objects changed since the inventory, such as "
                f"{', '.join(self.changed_keys)}{hint}: run `make refresh`"
            )
        if not self.product_ids:
            raise DataError(f"none of {photos} photos is left ({counts}): is the bucket the right one?")
        if rejected > max_rejected_share * photos:
            raise DataError(
                f"{rejected} of {photos} photos are rejected ({counts}): more than "
                f"preprocess.max_rejected_share = {max_rejected_share}; set to 1, the stage goes on and "
                "lists them in data/rejects.csv"
            )

    def hint(self) -> str:
        """Return what to do about photos that may be good: memory may have been short, or the machine asleep."""
        if not any(reason.startswith("decoder_") for reason in self.reasons):
            return ""
        return "; decoder_* may pass: `dvc repro --force --single-item preprocess` tries these again"


def collect(
    results: Iterable[tuple[Photo, Outcome]], photos: int, spools: Spools, add_processed: AddRow, add_reject: AddRow
) -> Collected:
    """Take results as they come: rows to their tables, pixels to the spools."""
    collected = Collected()
    for photo, outcome in progress.bar(results, "preprocess", photos):
        if isinstance(outcome, Prepared):
            add_processed((photo.product_id, photo.position, len(collected.product_ids), *outcome[2:]))
            spools.pixels.write(outcome.pixels.tobytes())
            spools.thumbnails.write(outcome.thumbnail.tobytes())
            collected.product_ids.append(photo.product_id)
            collected.positions.append(photo.position)
        elif isinstance(outcome, Changed):
            collected.changed += 1
            if collected.changed <= KEYS_TO_NAME:
                collected.changed_keys.append(outcome.key)
        else:
            add_reject((photo.product_id, photo.position, outcome.reason))
            collected.reasons[outcome.reason] += 1
    return collected


def write_photos(
    path: Path, kind: str, image_shape: tuple[int, ...], collected: Collected, spool: IO[bytes], **attributes: Any
) -> None:
    """Write the photos' pixels from the spool, their ids and positions, atomically."""
    shape = (len(collected.product_ids), *image_shape)
    with files.atomic(path) as temporary, hdf5.create(temporary, kind) as file:
        images = hdf5.add_images(file, "images", shape)
        spool.seek(0)
        for block in hdf5.blocks(images):
            rows = (block.stop - block.start, *shape[1:])
            images[block] = np.frombuffer(spool.read(int(np.prod(rows))), np.uint8).reshape(rows)
        hdf5.add(file, "ids", np.array(collected.product_ids, np.int64))
        hdf5.add(file, "positions", np.array(collected.positions, np.int16))
        hdf5.finish(file, **attributes)


def choose_network(chosen: PreprocessParams, model: ModelParams, background_onnx: Path) -> Network | None:
    """Return params' network with its weights, None where backgrounds are kept. Raises ParamsError, DataError."""
    known = networks.choose(model)
    if chosen.background == "keep":
        return None
    if chosen.mask_side not in (None, known.side) and not known.any_side:
        raise ParamsError(
            f"params.yaml: preprocess.mask_side = {chosen.mask_side}: {model.name} takes {known.side} "
            "only: expected null"
        )
    if files.sha256(background_onnx) != model.sha256:
        raise DataError(f"{background_onnx} has not the sha256 that params.yaml names: remove it and run `dvc repro`")
    return Network(model.name, background_onnx, chosen.mask_side or known.side)


def open_engine(address: str) -> AbstractContextManager[WorkerPool]:
    """Return the workers of the Dask cluster at this address, processes here where it is ""."""
    if not address:
        return LocalWorkers(settings.workers(), import_main=False)
    from imageset.workers import dask_cluster  # half a second, and nobody else needs it

    return dask_cluster.connect_workers(address, identify)


def main(
    inventory_csv: Path,
    background_onnx: Path,
    processed_h5: Path,
    thumbnails_h5: Path,
    processed_csv: Path,
    rejects_csv: Path,
) -> None:
    """Turn every object of the inventory into pixels (upright, without background, square).

    Args:
        inventory_csv: the objects of the bucket that the dataset is made of.
        background_onnx: the weights of the background-removal network.
        processed_h5: the pixels of every photo.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        processed_csv: the row of each photo in processed.h5, and its hashes.
        rejects_csv: photos without pixels, with a reason.
    """
    chosen = params.load().preprocess
    model = params.load().model
    address = settings.dask()
    network = choose_network(chosen, model, background_onnx)
    if network and address:
        network = network._replace(weights=carry_file(network.weights))
    recipe = Recipe(chosen, network)
    bucket = open_bucket()
    photos = tables.count(inventory_csv)
    # Twice: the spools, then the files. How many photos have pixels is known only at the end.
    files.require_space(processed_h5, 2 * (image_bytes(chosen) + pixels.THUMBNAIL_SIDE**2) * photos)
    with (
        tempfile.TemporaryFile(dir=processed_h5.parent) as spooled,
        open_engine(address) as engine,
        tempfile.TemporaryFile(dir=processed_h5.parent) as spooled_thumbnails,
        closing(PhotoCache(settings.photo_cache(), bucket, recipe, model.sha256)) as cache,
        tables.writing(processed_csv, tables.PROCESSED) as add_processed,
        tables.writing(rejects_csv, tables.REJECTS) as add_reject,
    ):
        batched = batches(tables.scan(inventory_csv, tables.INVENTORY), cache, recipe)
        results = outcomes(batched, engine, partial(worker.work, recipe=recipe), cache)
        collected = collect(results, photos, Spools(spooled, spooled_thumbnails), add_processed, add_reject)
        collected.check(photos, chosen.max_rejected_share)
        write_photos(
            processed_h5, hdf5.PROCESSED, image_shape(chosen), collected, spooled, fill=np.array(chosen.fill, np.uint8)
        )
        write_photos(
            thumbnails_h5,
            hdf5.THUMBNAILS,
            (pixels.THUMBNAIL_SIDE, pixels.THUMBNAIL_SIDE, 1),
            collected,
            spooled_thumbnails,
        )
    print(
        f"preprocess: {photos} photos, {len(collected.product_ids)} done, {collected.reasons.total()} rejected "
        f"({tables.tally(collected.reasons.elements())}){collected.hint()}"
    )


if __name__ == "__main__":
    stage.run("preprocess", main)
