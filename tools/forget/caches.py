"""What the caches of this machine hold of a product."""

from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from imageset.curation import search_cache
from imageset.errors import DataError
from imageset.formats import row_checksums, tables
from imageset.photos import cache, photo_file
from imageset.photos.earlier_embeddings import EARLIER_EMBEDDINGS
from imageset.photos.earlier_file import EarlierFile, FileKind
from imageset.photos.earlier_masks import EARLIER_MASKS
from imageset.photos.embedding_cache import EmbeddingCache
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcome_cache import OutcomeCache
from imageset.runtime import progress, settings
from imageset.storage import object_cache
from imageset.storage.bucket import Bucket, StoredObject
from imageset.storage.object_keys import parse_key
from imageset.web.refusals import RefusalCache
from tools.photo_caches import earlier_cache, list_photo_caches

MASKS, EMBEDDINGS, INVENTORY = Path("data/masks.h5"), Path("data/embeddings.h5"), Path("data/inventory.csv")


def read_inventory(paths: Iterable[Path], product_ids: frozenset[int]) -> list[StoredObject]:
    """Return the products' objects in inventories, those that the bucket may have lost included.

    Args:
        paths: inventory.csv, of this run or of earlier ones. One that is missing or damaged is passed over.
        product_ids: the products.
    """
    found: set[tuple[str, str, int, str]] = set()
    for path in paths:
        try:
            for key, product_id, _, etag, size, version_id in tables.scan(path, tables.INVENTORY):
                if product_id in product_ids:
                    found.add((key, etag, size, version_id))
        except (DataError, FileNotFoundError):
            continue
    return [StoredObject(*values) for values in sorted(found)]


def forget(
    bucket: Bucket, product_ids: frozenset[int], objects: list[StoredObject], samples: Iterable[bytes]
) -> list[str]:
    """Remove what the caches hold of products, and return a line for each cache that there is.

    Args:
        bucket: where the objects are, or were; nothing is read from it.
        product_ids: the products.
        objects: all objects of these products that are known, whatever their version.
        samples: of the bytes of those that can be read.

    Raises:
        ImagesetError: a cache is damaged or of another version, or another run reads it.
        OSError: a file cannot be removed.
    """
    said = []
    etags = {stored.etag for stored in objects if stored.etag}
    for path, table, columns in list_photo_caches():
        if path.exists():
            said.append(f"removed {cache.forget(path, table, columns, etags)} rows from {path}")
    if (refused := settings.refusal_cache()).exists():
        with closing(RefusalCache(refused, "")) as refusals:
            keys = [key for key in refusals.remembered_keys() if (parse_key(key) or (None,))[0] in product_ids]
            said.append(f"removed {refusals.forget_photos(keys)} rows from {refused}")
    folder = settings.object_cache()
    if folder.exists():
        removed = object_cache.forget(folder, bucket, objects, samples)
        said.append(f"removed packs of {removed.bytes / 1e6:,.1f} MB from {folder}")
    if search_cache.remove(searched := settings.search_cache()):
        said.append(f"removed {searched}: its rows name no photo, so the next search compares all photos again")
    if (earlier := earlier_cache()).exists():
        remove_database(earlier)
        said.append(f"removed {earlier}, of version 0.1.0: its rows name no photo")
    return said


def keep_other_results(bucket: Bucket, product_ids: frozenset[int], max_pixels: int) -> None:
    """Put the masks and embeddings of all other photos into the caches, before their files are removed.

    The files may hold what another machine made, and what no run of this machine has used yet.

    Args:
        bucket: where the photos are; nothing is read from it.
        product_ids: whose results are not kept.
        max_pixels: of photos that are accepted (preprocess.max_pixels).

    Raises:
        ImagesetError: a cache is damaged or of another version.
    """
    for path, kind, open_cache in (
        (MASKS, EARLIER_MASKS, partial(MaskCache, settings.mask_cache(), bucket)),
        (EMBEDDINGS, EARLIER_EMBEDDINGS, partial(EmbeddingCache, settings.embedding_cache(), bucket)),
    ):
        if path.exists() and INVENTORY.exists():
            # A damaged file is removed as well; what it lacks is made again.
            with suppress(DataError):
                keep_others(path, kind, partial(open_cache, max_pixels=max_pixels), product_ids)


def keep_others(
    path: Path, kind: FileKind[Any, Any], open_cache: Callable[[str], OutcomeCache[Any]], product_ids: frozenset[int]
) -> None:
    """Put what a file has of other products into the cache of its recipe. Raises DataError."""
    with row_checksums.open_file(path, kind.format) as file:
        recipe = photo_file.read_recipe(file)
        if not recipe:  # it holds nothing on purpose
            return
        earlier = EarlierFile(kind, file)
        photos = tables.count(INVENTORY)
        with (
            closing(open_cache(recipe)) as known,
            progress.bar(None, f"forget: {kind.results} of other photos", photos, unit="photo") as bar,
        ):
            for key, product_id, _, *identity in tables.scan(INVENTORY, tables.INVENTORY):
                stored = StoredObject(key, *identity)
                if product_id not in product_ids and known.find(stored) is None:
                    found = earlier.find(stored)
                    if found is not None:
                        known.add(stored, found)
                bar.update()


def remove_database(path: Path) -> None:
    """Remove a SQLite file and what SQLite keeps beside it."""
    for suffix in ("-wal", "-shm", ".setup", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
