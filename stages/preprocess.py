"""Turn the bucket's photos into data/processed.h5: decoded, upright, without background, square, uint8."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imageset.errors import DataError, ParamsError
from imageset.formats import hdf5, tables
from imageset.photos import networks, pixels, worker
from imageset.photos.background import Network
from imageset.photos.batches import InventoryRow, Outcome, make_batches, preprocess_batches
from imageset.photos.cache import PhotoCache
from imageset.photos.fingerprint import identify
from imageset.photos.preprocess import PreparedPhoto, PreprocessRecipe, count_image_bytes, get_image_shape
from imageset.photos.temporary_pixels import TemporaryPixels, open_temporary_pixels
from imageset.photos.worker import ChangedObject
from imageset.runtime import files, params, progress, settings, stage
from imageset.runtime.sections import ModelParams, PreprocessParams
from imageset.storage.bucket import open_bucket
from imageset.workers.carried_file import carry_file
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import WorkerPool

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

KEYS_TO_NAME = 5  # of objects that changed
THUMBNAIL_SHAPE = (pixels.THUMBNAIL_SIDE, pixels.THUMBNAIL_SIDE, 1)

AddRow = Callable[[tuple[Any, ...]], None]


class Outcomes:
    """What the photos became: ids and positions of those that have pixels, and counts of the others."""

    def __init__(self) -> None:
        self.product_ids, self.positions = array("q"), array("h")
        self.reasons: Counter[str] = Counter()
        self.changed = 0
        self.changed_keys: list[str] = []  # the first ones

    def check(self, photos: int, max_rejected_share: float) -> None:
        """Raise DataError when an object changed, when no photo is left, or when too many are rejected."""
        rejected, counts = self.reasons.total(), tables.tally(self.reasons.elements())
        assert len(self.product_ids) + rejected + self.changed == photos
        assert set(self.reasons) <= REASONS
        if self.changed:
            hint = " (all of them: does IMAGE_STORE name its bucket?)" if self.changed == photos else ""
            raise DataError(
                f"{self.changed} objects changed since the inventory, such as "
                f"{', '.join(self.changed_keys)}{hint}: run `make refresh`"
            )
        if not self.product_ids:
            raise DataError(f"none of {photos} photos is left ({counts}): does IMAGE_STORE name the right bucket?")
        if rejected > max_rejected_share * photos:
            raise DataError(
                f"{rejected} of {photos} photos are rejected ({counts}): more than "
                f"preprocess.max_rejected_share = {max_rejected_share}; set it to 1 to go on and see them in "
                "data/rejects.csv"
            )

    def suggest_retry(self) -> str:
        """Return how to retry photos that may be good: memory may have been short, or the machine suspended."""
        if not any(reason.startswith("decoder_") for reason in self.reasons):
            return ""
        return "; decoder_* may be temporary: `dvc repro --force --single-item preprocess` tries these photos again"


def collect(
    results: Iterable[tuple[InventoryRow, Outcome]],
    photos: int,
    squares: TemporaryPixels,
    thumbnails: TemporaryPixels,
    add_processed: AddRow,
    add_reject: AddRow,
) -> Outcomes:
    """Take results as they come: rows go to their tables, pixels to temporary files."""
    outcomes = Outcomes()
    for row, outcome in progress.bar(results, "preprocess", photos):
        if isinstance(outcome, PreparedPhoto):
            add_processed((row.product_id, row.position, len(outcomes.product_ids), *outcome[2:]))
            squares.append(outcome.pixels)
            thumbnails.append(outcome.thumbnail)
            outcomes.product_ids.append(row.product_id)
            outcomes.positions.append(row.position)
        elif isinstance(outcome, ChangedObject):
            outcomes.changed += 1
            if outcomes.changed <= KEYS_TO_NAME:
                outcomes.changed_keys.append(outcome.key)
        else:
            add_reject((row.product_id, row.position, outcome.reason))
            outcomes.reasons[outcome.reason] += 1
    return outcomes


def choose_network(preprocess: PreprocessParams, model: ModelParams, background_onnx: Path) -> Network | None:
    """Return the network that params name, with its weights; None where backgrounds are kept.

    Raises:
        ParamsError: the network is unknown or not allowed, or does not take `mask_side`.
        DataError: the weights are not those that params name.
    """
    spec = networks.find_network(model)
    if preprocess.background == "keep":
        return None
    if preprocess.mask_side not in (None, spec.side) and not spec.any_side:
        raise ParamsError(
            f"params.yaml: preprocess.mask_side = {preprocess.mask_side}: {model.name} takes {spec.side} "
            "only: expected null"
        )
    if files.sha256(background_onnx) != model.sha256:
        raise DataError(
            f"{background_onnx} does not have the sha256 that params.yaml names: remove it and run `dvc repro`"
        )
    return Network(model.name, background_onnx, preprocess.mask_side or spec.side)


def open_workers(address: str) -> AbstractContextManager[WorkerPool]:
    """Return the workers of the Dask cluster at this address, processes of this machine where it is ""."""
    if not address:
        return LocalWorkers(settings.workers(), import_main=False)
    from imageset.workers import dask_cluster  # here, as its import takes half a second

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
    preprocess, model = params.load().preprocess, params.load().model
    address = settings.dask()
    network = choose_network(preprocess, model, background_onnx)
    if network and address:
        network = network._replace(weights=carry_file(network.weights))
    recipe = PreprocessRecipe(preprocess, network)
    bucket = open_bucket()
    photos = tables.count(inventory_csv)
    # Twice: first temporary files hold the pixels, then the outputs as well.
    files.require_space(processed_h5, 2 * (count_image_bytes(preprocess) + pixels.THUMBNAIL_SIDE**2) * photos)
    with (
        open_temporary_pixels(processed_h5.parent, get_image_shape(preprocess)) as squares,
        open_temporary_pixels(processed_h5.parent, THUMBNAIL_SHAPE) as thumbnails,
        open_workers(address) as pool,
        closing(PhotoCache(settings.photo_cache(), bucket, recipe, model.sha256)) as cache,
        tables.writing(processed_csv, tables.PROCESSED) as add_processed,
        tables.writing(rejects_csv, tables.REJECTS) as add_reject,
    ):
        batches = make_batches(tables.scan(inventory_csv, tables.INVENTORY), cache, recipe)
        results = preprocess_batches(batches, pool, partial(worker.preprocess_batch, recipe=recipe), cache)
        done = collect(results, photos, squares, thumbnails, add_processed, add_reject)
        done.check(photos, preprocess.max_rejected_share)
        fill = np.array(preprocess.fill, np.uint8)
        squares.write(processed_h5, hdf5.PROCESSED, done.product_ids, done.positions, fill=fill)
        thumbnails.write(thumbnails_h5, hdf5.THUMBNAILS, done.product_ids, done.positions)
    print(
        f"preprocess: {photos} photos, {len(done.product_ids)} done, {done.reasons.total()} rejected "
        f"({tables.tally(done.reasons.elements())}){done.suggest_retry()}"
    )


if __name__ == "__main__":
    stage.run("preprocess", main)
