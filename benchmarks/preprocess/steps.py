"""Which step of a photo takes how much processor time: python -m benchmarks.preprocess.steps

Workers and main process in one process, on data/inventory.csv and the bucket that IMAGE_STORE names, backgrounds kept,
caches empty. The last line is JSON: microseconds a photo by step. A step's time is that without the steps inside it.
"""

import functools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.preprocess.peers import BATCH
from imageset.formats import hdf5, tables
from imageset.formats.preview_file import writing_previews
from imageset.photos import decode, facts, pixel_worker, pixels, preprocess, previews, wholeness, worker
from imageset.photos.batches import PhotoRow, scan_inventory
from imageset.photos.file_formats import list_decodable
from imageset.photos.pixel_cache import PixelCache
from imageset.photos.pixel_file import writing_images
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.photos.worker import Answer, PhotoRequest
from imageset.runtime import params, settings
from imageset.storage.bucket import open_bucket
from imageset.storage.object_cache import ObjectCache
from imageset.workers import pipe
from stages import preprocess as stage

OWNERS: tuple[tuple[Any, str, str], ...] = (
    (ObjectCache, "find", "object cache"),
    (ObjectCache, "add", "object cache"),
    (ObjectCache, "flush", "object cache"),
    (ScaledDecodes, "__init__", "header, limits"),
    (decode, "open_image", "header, limits"),
    (wholeness, "require_whole", "wholeness: the compressed bits once more"),
    (decode, "load_pixels", "decode: libjpeg"),
    (ScaledDecodes, "decode_reduced", "decode: Pillow's steps around it"),
    (preprocess, "decode_gray_and_color", "decode: Pillow's steps around it"),
    (facts, "measure_photo", "facts"),
    (previews, "make_preview", "preview, a JPEG"),
    (pixels, "fit", "square"),
    (pixels, "make_thumbnail", "thumbnail"),
    (pixels, "hash_thumbnail", "perceptual hashes"),
    (preprocess, "preprocess_photo", "between these steps, sha256"),
    (pipe, "dump", "pickling"),
    (pipe, "load", "pickling"),
    (PixelCache, "find", "main process: pixel cache"),
    (PixelCache, "add", "main process: pixel cache"),
    (PixelCache, "close", "main process: pixel cache"),
    (stage, "collect", "main process: outputs and tables"),
)

spent = defaultdict[str, float](float)
inside: list[float] = []  # of each step that has begun, the time of the steps inside it


def clocked(function: Callable[..., Any], step: str) -> Callable[..., Any]:
    """Return a function that adds the processor time of its calls to a step."""

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        inside.append(0.0)
        begin = time.process_time()
        try:
            return function(*given, **named)
        finally:
            took = time.process_time() - begin
            spent[step] += took - inside.pop()
            if inside:
                inside[-1] += took

    return call


def answer(rows: list[PhotoRow], cache: PixelCache, chosen: Any, formats: tuple[str, ...]) -> Iterator[Any]:
    """Do what a worker does with each batch, send it through pickle, and remember it."""
    get = clocked(lambda batch: list(worker.get_bodies(batch)), "GET, sha256 or md5")
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        for row in batch:
            cache.find(row.request.stored, None)
        got = get([row.request for row in batch])
        made = [Answer(preprocess.preprocess_photo(body, chosen, None, formats), asked) for body, asked in got]
        received = pipe.load([bytearray(part) for part in pipe.dump((True, made))])[1]
        for row, each in zip(batch, received, strict=True):
            cache.add(row.request.stored, None, each.outcome)
            yield row, each


def main() -> None:
    chosen, formats = params.load().preprocess, list_decodable(params.load().ingest.formats)
    rows = [
        PhotoRow(product_id, position, PhotoRequest(stored), None)
        for product_id, position, stored in scan_inventory(Path("data/inventory.csv"))
    ]
    pixel_worker.preprocess_batch([row.request for row in rows[:BATCH]], chosen, formats)  # imports, connections
    for owner, name, step in OWNERS:
        setattr(owner, name, clocked(getattr(owner, name), step))
    side = preprocess.get_image_shape(chosen)
    with (
        tables.writing(Path("processed.csv"), tables.PROCESSED) as add_processed,
        tables.writing(Path("photos.csv"), tables.PHOTOS) as add_photo,
        tables.writing(Path("rejects.csv"), tables.REJECTS) as add_reject,
        writing_previews(Path("previews.h5")) as add_preview,
        writing_images(Path("thumbnails.h5"), hdf5.THUMBNAILS, stage.THUMBNAIL_SHAPE) as add_thumbnail,
        writing_images(Path("processed.h5"), hdf5.PROCESSED, side) as add_square,
        closing(PixelCache(settings.pixel_cache(), open_bucket(), chosen, formats)) as cache,
    ):
        collected = stage.Collected(add_square, add_thumbnail, add_preview, add_processed, add_photo, add_reject)
        stage.collect(answer(rows, cache, chosen, formats), len(rows), collected, chosen, formats)
    print(
        json.dumps(
            {step: 1e6 * seconds / len(rows) for step, seconds in sorted(spent.items(), key=lambda each: -each[1])}
        )
    )


if __name__ == "__main__":
    main()
