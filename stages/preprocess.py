"""Turn the bucket's photos into data/processed.h5: decoded, upright, without background, square, uint8."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imageset.errors import DataError
from imageset.formats import hdf5, tables
from imageset.formats.preview_file import AddPreview, writing_previews
from imageset.photos import fact_limits, file_formats, pixel_worker, pixels
from imageset.photos.batches import InventoryRow, PhotoRow, make_batches, run_batches, scan_inventory
from imageset.photos.fact_limits import judge_facts
from imageset.photos.facts import PhotoFacts
from imageset.photos.file_formats import list_decodable
from imageset.photos.mask_file import MaskRow, scan_masks
from imageset.photos.outcomes import ChangedObject, Outcomes, Rejected
from imageset.photos.photo_file import is_of_photo
from imageset.photos.pixel_cache import PixelCache, identify_pixels
from imageset.photos.pixel_file import AddImage, writing_images
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, count_image_bytes, get_image_shape
from imageset.photos.worker import Answer, PhotoRequest
from imageset.runtime import files, params, progress, rates, settings, stage
from imageset.runtime.sections import PreprocessParams
from imageset.storage.bucket import open_bucket
from imageset.workers.pools import open_workers

REASONS = frozenset(
    {
        "empty",
        "not_an_image",
        "too_many_pixels",
        "truncated",
        "damaged",
        "undecodable",
        *file_formats.REASONS,
        *fact_limits.REASONS,
        "mask_empty",
        "mask_full",
        "decoder_crash",
        "decoder_timeout",
        "decoder_memory",
    }
)

PHOTOS_AT_ONCE = 64  # that a worker takes: handing a batch over costs as much as a photo
PREVIEW_BYTES = 4000  # of a preview and its facts at most, nearly always
THUMBNAIL_SHAPE = (pixels.THUMBNAIL_SIDE, pixels.THUMBNAIL_SIDE, 1)

AddRow = Callable[[tuple[Any, ...]], None]


class Collected(NamedTuple):
    """What adds a row to each output as results come."""

    add_square: AddImage
    add_thumbnail: AddImage
    add_preview: AddPreview
    add_processed: AddRow
    add_photo: AddRow
    add_reject: AddRow


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
        mask, from_alpha = (masked.mask, masked.from_alpha) if masked is not None else (None, False)
        known = cache.find(stored, mask, from_alpha)
        yield PhotoRow(product_id, position, PhotoRequest(stored, None if known else mask, from_alpha), known)


def remember(cache: PixelCache, request: PhotoRequest, made: DecodedPhoto | Rejected) -> None:
    """Put into the cache what a request became."""
    cache.add(request.stored, request.mask, made, request.from_alpha)


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
    collected: Collected,
    preprocess: PreprocessParams,
    formats: Collection[str],
) -> tuple[Outcomes, int, Counter[str]]:
    """Take results as they come, and add a row of each to the outputs.

    The limits on facts are applied here, to what workers made and to what the cache knew.

    Returns:
        What the photos became, how many of them the bucket was asked for, and how often each fact `profile` occurs.
    """
    outcomes, asked, made, profiles = Outcomes(), 0, 0, Counter[str]()
    for row, answer in progress.bar(answers, "preprocess", photos):
        outcome, photo = answer.outcome, (row.product_id, row.position)
        asked += answer.asked
        made += row.known is None
        if isinstance(outcome, ChangedObject):
            outcomes.add_changed(outcome)
            continue
        if isinstance(outcome, DecodedPhoto):
            collected.add_photo((*photo, *format_facts(outcome.facts)))
            collected.add_preview(*photo, outcome.preview)
            profiles[outcome.facts.profile] += 1
            outcome = accept(outcome, preprocess, formats)
        if isinstance(outcome, PreparedPhoto):
            collected.add_processed((*photo, outcomes.done, *outcome[2:]))
            collected.add_square(*photo, outcome.pixels)
            collected.add_thumbnail(*photo, outcome.thumbnail)
            outcomes.done += 1
        else:
            collected.add_reject((*photo, outcome.reason))
            outcomes.reasons[outcome.reason] += 1
    rates.note(photos, made)
    return outcomes, asked, profiles


def say_profiles(profiles: Counter[str]) -> str:
    """Return how many photos name their colours, "" for none: photos without a profile are not counted."""
    said = ", ".join(f"{profile} {profiles[profile]}" for profile in sorted(profiles) if profile)
    return f"; colour profiles: {said}" if said else ""


def accept(photo: DecodedPhoto, preprocess: PreprocessParams, formats: Collection[str]) -> PreparedPhoto | Rejected:
    """Return a photo's pixels, or why it has none: what the limits on facts say comes before what its mask says."""
    reason = judge_facts(photo.facts, preprocess, formats)
    return Rejected(reason) if reason else photo.prepared


def format_facts(facts: PhotoFacts) -> tuple[Any, ...]:
    """Return facts as the columns of the table PHOTOS, from width on."""
    sharpness, ratio = f"{facts.sharpness:.4f}", f"{facts.aspect_ratio:.4f}"
    light = f"{facts.brightness:.2f}", f"{facts.contrast:.2f}"
    return facts.width, facts.height, facts.format, sharpness, *light, ratio, facts.profile


def main(
    inventory_csv: Path,
    masks_h5: Path,
    processed_h5: Path,
    thumbnails_h5: Path,
    processed_csv: Path,
    rejects_csv: Path,
    photos_csv: Path,
    previews_h5: Path,
) -> None:
    """Turn every object of the inventory into pixels (upright, without background, square), and measure it.

    Args:
        inventory_csv: the objects of the bucket that the dataset is made of.
        masks_h5: the network's mask of every photo.
        processed_h5: the pixels of every photo.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        processed_csv: the row of each photo in processed.h5, and its hashes.
        rejects_csv: photos without pixels, with a reason.
        photos_csv: what was measured on every photo that can be decoded, rejected ones too.
        previews_h5: a small picture in colour of each of these photos, for people to look at.
    """
    preprocess, background = params.load().preprocess, params.load().masks.background
    listed = params.load().ingest.formats
    formats = list_decodable(listed)
    settings.object_cache_bytes()  # workers read it; a wrong one is refused before any work
    address, bucket, photos = settings.dask(), open_bucket(), tables.count(inventory_csv)
    result_bytes = count_image_bytes(preprocess) + pixels.THUMBNAIL_SIDE**2 + PREVIEW_BYTES
    files.require_space(processed_h5, result_bytes * photos)
    fill = np.array(preprocess.fill, np.uint8)
    with (
        tables.writing(processed_csv, tables.PROCESSED) as add_processed,
        tables.writing(photos_csv, tables.PHOTOS) as add_photo,
        tables.writing(rejects_csv, tables.REJECTS) as add_reject,
        writing_previews(previews_h5) as add_preview,
        writing_images(thumbnails_h5, hdf5.THUMBNAILS, THUMBNAIL_SHAPE) as add_thumbnail,
        writing_images(processed_h5, hdf5.PROCESSED, get_image_shape(preprocess), fill=fill) as add_square,
        open_workers(address, settings.workers(), partial(identify_pixels, formats)) as pool,
        closing(PixelCache(settings.pixel_cache(), bucket, preprocess, formats)) as cache,
    ):
        rows = look_up(inventory_csv, masks_h5 if background == "remove" else None, cache)
        batches = make_batches(rows, PHOTOS_AT_ONCE, result_bytes)
        function = partial(pixel_worker.preprocess_batch, preprocess=preprocess, formats=formats)
        answers = run_batches(batches, pool, function, partial(remember, cache))
        collected = Collected(add_square, add_thumbnail, add_preview, add_processed, add_photo, add_reject)
        outcomes, asked, profiles = collect(answers, photos, collected, preprocess, listed)
        assert outcomes.total == photos
        assert set(outcomes.reasons) <= REASONS
        outcomes.check(preprocess.max_rejected_share, str(rejects_csv))
    print(
        f"preprocess: {photos} photos, {outcomes.done} done, {outcomes.reasons.total()} rejected "
        f"({outcomes.tally()}); the bucket was asked for {asked}{say_profiles(profiles)}"
        f"{outcomes.suggest_retry('masks preprocess')}"
    )


if __name__ == "__main__":
    stage.run("preprocess", main)
