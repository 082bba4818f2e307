"""How many photos the stages that keep caches have to make: those that neither a cache nor an earlier file knows."""

import contextlib
import io
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from imageset.curation.search_cache import count_known
from imageset.curation.search_recipe import describe_recipe
from imageset.errors import ImagesetError
from imageset.formats import tables
from imageset.photos import embedding_recipe, mask_recipe, networks
from imageset.photos.batches import scan_inventory
from imageset.photos.earlier_embeddings import EARLIER_EMBEDDINGS
from imageset.photos.earlier_file import EarlierFile, FileKind, open_earlier
from imageset.photos.earlier_masks import EARLIER_MASKS
from imageset.photos.embedding_cache import EmbeddingCache
from imageset.photos.engines import Network
from imageset.photos.file_formats import list_decodable
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcome_cache import OutcomeCache
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.pixel_cache import PixelCache, identify_mask
from imageset.runtime import settings
from imageset.runtime.sections import Params
from imageset.storage.bucket import Bucket, StoredObject, open_bucket
from imageset.storage.object_keys import object_key
from imageset.web.refusals import DECIDING_PARAMS, RefusalCache

BACKGROUND_ONNX = Path("models/background.onnx")
U2NETP_INT8 = Path("models/u2netp-int8.zip")
MASKS_H5 = Path("data/masks.h5")
EMBEDDINGS_H5 = Path("data/embeddings.h5")
NOT_KNOWN = object()


class PhotoWork(NamedTuple):
    """Photos to make by stage, where that could be counted, and what could not be."""

    made: dict[str, int]
    unknown: list[str]


def describe_network(params: Params) -> str:
    """Return what decides the speed of stage masks, as it records it; "" where backgrounds are kept."""
    network = find_network(params)
    if params.masks.background == "keep":
        return ""
    return f"{network.name} {network.side} {network.precision} {network.device}"


def find_network(params: Params) -> Network:
    """Return the network that params name, as stage masks has it. Raises ParamsError if there is none."""
    masks, name = params.masks, params.model.name
    weights = U2NETP_INT8 if masks.precision == "int8" else BACKGROUND_ONNX
    return Network(name, weights, masks.side or networks.find_spec(name).side, masks.precision, masks.device)


def count_work(params: Params, inventory_csv: Path, stages: set[str]) -> PhotoWork:
    """Count the photos that masks, embed and preprocess have to make, and that duplicates has to hash.

    Args:
        params: of the next run.
        inventory_csv: the photos, as far as they are known.
        stages: those that may run. The others are not counted.
    """
    work = PhotoWork({}, [])
    steps = {"embed": count_embeddings, "masks": count_masks_and_pixels}
    for name, count in steps.items():
        if stages & ({name} if name == "embed" else {"masks", "preprocess"}):
            try:
                work.made.update(count(params, inventory_csv, open_bucket(), "preprocess" in stages))
            except (ImagesetError, OSError) as error:
                work.unknown.append(f"what the caches know for {name}: {error}")
    if "duplicates" in stages:
        known = count_known(settings.search_cache(), describe_recipe(params.duplicates))
        new = max(0, tables.count(inventory_csv) - known)
        work.made["duplicates"] = max(new, work.made.get("preprocess", 0))
    return work


def count_embeddings(params: Params, inventory_csv: Path, bucket: Bucket, _pixels: bool) -> dict[str, int]:
    """Return how many embeddings are to be made."""
    if not params.embed.enabled:
        return {"embed": 0}
    recipe = embedding_recipe.describe_recipe(list_decodable(params.ingest.formats))
    path, max_pixels = settings.embedding_cache(), params.preprocess.max_pixels
    unknown = 0
    with ExitStack() as opened:
        cache = opened.enter_context(reading(lambda: EmbeddingCache(path, bucket, recipe, max_pixels), path))
        earlier = Earlier(opened, EARLIER_EMBEDDINGS, EMBEDDINGS_H5, recipe)
        for _, _, stored in scan_inventory(inventory_csv):
            if find_result(cache, stored) is NOT_KNOWN and earlier.find(stored) is NOT_KNOWN:
                unknown += 1
    return {"embed": unknown}


def count_masks_and_pixels(params: Params, inventory_csv: Path, bucket: Bucket, pixels: bool) -> dict[str, int]:
    """Return how many masks are to be made, and how many photos' pixels. New masks make new pixels."""
    formats = list_decodable(params.ingest.formats)
    made, keep = {"masks": 0, "preprocess": 0}, params.masks.background == "keep"
    recipe = "" if keep else mask_recipe.describe_recipe(find_network(params), formats, params.masks.use_alpha)
    path, max_pixels = settings.mask_cache(), params.preprocess.max_pixels
    pixel_path = settings.pixel_cache()
    with ExitStack() as opened:
        cache = opened.enter_context(reading(lambda: MaskCache(path, bucket, recipe, max_pixels), path))
        known = opened.enter_context(
            reading(lambda: PixelCache(pixel_path, bucket, params.preprocess, formats), pixel_path)
        )
        earlier = Earlier(opened, EARLIER_MASKS, MASKS_H5, recipe)
        for _, _, stored in scan_inventory(inventory_csv):
            mask = None if keep else find_result(cache, stored)
            mask = earlier.find(stored) if mask is NOT_KNOWN else mask
            made["masks"] += int(mask is NOT_KNOWN)
            if pixels and not isinstance(mask, Rejected):
                made["preprocess"] += int(mask is NOT_KNOWN or not has_pixels(known, stored, mask))
    return made


def find_result(cache: OutcomeCache[Any] | None, stored: StoredObject) -> Any:
    """Return what a cache has of a photo, a Rejected, or NOT_KNOWN, and leave no note that it was used."""
    if cache is None:
        return NOT_KNOWN
    select = f"SELECT * FROM {cache.table} WHERE key = ?"
    if row := cache.database.execute(select, (cache.make_key(stored),)).fetchone():
        return cache.result(*row[-len(cache.result._fields) :])
    select = f"SELECT reason FROM {cache.table} WHERE key = ?"
    row = cache.database.execute(select, (cache.make_rejected_key(stored),)).fetchone()
    return Rejected(row[0]) if row else NOT_KNOWN


def has_pixels(cache: PixelCache | None, stored: StoredObject, mask: PhotoMask | None) -> bool:
    """Say whether the cache has the pixels of a photo with this mask."""
    if cache is None:
        return False
    identity = identify_mask(mask.compressed, bool(mask.from_alpha)) if mask else identify_mask(None, False)
    key = cache.make_key(stored, identity)
    return cache.database.execute(f"SELECT 1 FROM {cache.table} WHERE key = ?", (key,)).fetchone() is not None


@contextmanager
def reading(open_cache: Any, path: Path) -> Iterator[Any]:
    """Yield an open cache, None if its file does not exist."""
    if not path.is_file():
        yield None
        return
    with closing(open_cache()) as cache:
        yield cache


class Earlier:
    """The file of an earlier run in DVC's cache, which is opened when a cache first lacks a photo."""

    def __init__(self, opened: ExitStack, kind: FileKind[Any, Any], path: Path, recipe: str) -> None:
        self.opened, self.kind, self.path, self.recipe = opened, kind, path, recipe
        self.file: EarlierFile[Any] | None = None
        self.is_open = False

    def find(self, stored: StoredObject) -> Any:
        """Return what the file has of a photo, a Rejected, or NOT_KNOWN."""
        if not self.is_open:
            with contextlib.redirect_stdout(io.StringIO()):  # it says why it cannot be used, as the stage will
                self.file = self.opened.enter_context(open_earlier(self.kind, self.path, self.recipe))
            self.is_open = True
        found = self.file.find(stored) if self.file else None
        return NOT_KNOWN if found is None else found


def count_requests(params: Params, listings_csv: Path, ingest_csv: Path) -> int:
    """Return how many photos of the listings neither the bucket had when ingest last ran, nor a host has refused.

    Raises:
        ImagesetError: a file is damaged.
    """
    if not params.ingest.enabled:
        return 0
    had = set()
    if ingest_csv.is_file():
        had = {row[0] for row in tables.scan(ingest_csv, tables.INGEST) if row[3] == "done"}
    refused: dict[tuple[str, str], str] = {}
    if settings.refusal_cache().is_file():
        limits = params.ingest.model_dump_json(include=DECIDING_PARAMS)
        with closing(RefusalCache(settings.refusal_cache(), limits, params.ingest.robots)) as refusals:
            refused = refusals.reasons()
    keys = (
        (object_key(number, position), url)
        for number, position, url, _ in tables.scan(listings_csv, tables.LISTINGS)
        if url  # nothing is fetched for a photo that the listings name by its key
    )
    return sum(key not in had and (key, url) not in refused for key, url in keys)
