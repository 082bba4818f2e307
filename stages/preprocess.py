"""Turn the bucket's photos into data/processed.h5: decoded, upright, without background, square, uint8."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from imageset.errors import DataError
from imageset.formats import hdf5, tables
from imageset.photos import pixel_worker, pixels
from imageset.photos.batches import InventoryRow, PhotoRow, make_batches, run_batches, scan_inventory
from imageset.photos.mask_file import MaskRow, is_of_photo, scan_masks
from imageset.photos.outcomes import ChangedObject, Outcomes, Rejected
from imageset.photos.pixel_cache import PixelCache, identify_pixels
from imageset.photos.preprocess import PreparedPhoto, count_image_bytes, get_image_shape
from imageset.photos.temporary_pixels import TemporaryPixels, open_temporary_pixels
from imageset.photos.worker import Answer, PhotoRequest
from imageset.runtime import files, params, progress, settings, stage
from imageset.storage.bucket import open_bucket
from imageset.workers.pools import open_workers

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

PHOTOS_AT_ONCE = 64  # that a worker takes: handing a batch over costs as much as a photo
THUMBNAIL_SHAPE = (pixels.THUMBNAIL_SIDE, pixels.THUMBNAIL_SIDE, 1)

AddRow = Callable[[tuple[Any, ...]], None]


def look_up(inventory_csv: Path, masks_h5: Path | None, cache: PixelCache) -> Iterator[PhotoRow]:
    """Yield the inventory's photos, each with its mask and what is known of it.

    Args:
        inventory_csv: the photos.
        masks_h5: their masks, None where backgrounds are kept.
        cache: what earlier runs made.

    Raises:
        DataError: the masks are those of other photos.
    """
    for (product_id, position, stored), masked in pair_with_masks(inventory_csv, masks_h5):
        if masked is not None and masked.reason:
            yield PhotoRow(product_id, position, PhotoRequest(stored), Rejected(masked.reason))
            continue
        mask = None if masked is None else masked.mask
        known = cache.find(stored, mask)
        yield PhotoRow(product_id, position, PhotoRequest(stored, None if known else mask), known)


def pair_with_masks(inventory_csv: Path, masks_h5: Path | None) -> Iterator[tuple[InventoryRow, MaskRow | None]]:
    """Yield the inventory's photos, each with its mask; with None where backgrounds are kept. Raises DataError."""
    inventory = scan_inventory(inventory_csv)
    if masks_h5 is None:
        yield from ((photo, None) for photo in inventory)
        return
    for photo, masked in zip_longest(inventory, scan_masks(masks_h5)):
        if photo is None or masked is None or not is_of_photo(masked, *photo):
            raise DataError(f"{masks_h5} has other photos than {inventory_csv}: run `dvc repro`")
        yield photo, masked


def collect(
    answers: Iterator[tuple[PhotoRow, Answer]],
    photos: int,
    squares: TemporaryPixels,
    thumbnails: TemporaryPixels,
    add_processed: AddRow,
    add_reject: AddRow,
) -> tuple[Outcomes, int]:
    """Take results as they come: rows go to their tables, pixels to temporary files.

    Returns:
        What the photos became, and how many of them the bucket was asked for.
    """
    outcomes, asked = Outcomes(), 0
    for row, answer in progress.bar(answers, "preprocess", photos):
        outcome, photo = answer.outcome, (row.product_id, row.position)
        asked += answer.asked
        if isinstance(outcome, PreparedPhoto):
            add_processed((*photo, outcomes.done, *outcome[2:]))
            squares.append(outcome.pixels)
            thumbnails.append(outcome.thumbnail)
            outcomes.add_done(*photo)
        elif isinstance(outcome, ChangedObject):
            outcomes.add_changed(outcome)
        else:
            add_reject((*photo, outcome.reason))
            outcomes.reasons[outcome.reason] += 1
    return outcomes, asked


def main(
    inventory_csv: Path,
    masks_h5: Path,
    processed_h5: Path,
    thumbnails_h5: Path,
    processed_csv: Path,
    rejects_csv: Path,
) -> None:
    """Turn every object of the inventory into pixels (upright, without background, square).

    Args:
        inventory_csv: the objects of the bucket that the dataset is made of.
        masks_h5: the network's mask of every photo.
        processed_h5: the pixels of every photo.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        processed_csv: the row of each photo in processed.h5, and its hashes.
        rejects_csv: photos without pixels, with a reason.
    """
    preprocess, background = params.load().preprocess, params.load().masks.background
    address, bucket, photos = settings.dask(), open_bucket(), tables.count(inventory_csv)
    # Twice: first temporary files hold the pixels, then the outputs as well.
    files.require_space(processed_h5, 2 * (count_image_bytes(preprocess) + pixels.THUMBNAIL_SIDE**2) * photos)
    with (
        open_temporary_pixels(processed_h5.parent, get_image_shape(preprocess)) as squares,
        open_temporary_pixels(processed_h5.parent, THUMBNAIL_SHAPE) as thumbnails,
        open_workers(address, settings.workers(), identify_pixels) as pool,
        closing(PixelCache(settings.pixel_cache(), bucket, preprocess)) as cache,
        tables.writing(processed_csv, tables.PROCESSED) as add_processed,
        tables.writing(rejects_csv, tables.REJECTS) as add_reject,
    ):
        rows = look_up(inventory_csv, masks_h5 if background == "remove" else None, cache)
        batches = make_batches(rows, PHOTOS_AT_ONCE, count_image_bytes(preprocess))
        function = partial(pixel_worker.preprocess_batch, preprocess=preprocess)
        answers = run_batches(batches, pool, function, lambda request, made: cache.add(*request, made))
        outcomes, asked = collect(answers, photos, squares, thumbnails, add_processed, add_reject)
        assert outcomes.total == photos
        assert set(outcomes.reasons) <= REASONS
        outcomes.check(preprocess.max_rejected_share, str(rejects_csv))
        fill = np.array(preprocess.fill, np.uint8)
        squares.write(processed_h5, hdf5.PROCESSED, outcomes.product_ids, outcomes.positions, fill=fill)
        thumbnails.write(thumbnails_h5, hdf5.THUMBNAILS, outcomes.product_ids, outcomes.positions)
    print(
        f"preprocess: {photos} photos, {outcomes.done} done, {outcomes.reasons.total()} rejected "
        f"({outcomes.tally()}); the bucket was asked for {asked}{outcomes.suggest_retry('masks preprocess')}"
    )


if __name__ == "__main__":
    stage.run("preprocess", main)
