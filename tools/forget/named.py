"""The keys by which listings name photos of a product: objects of the bucket that imageset did not write."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from imageset.errors import DataError
from imageset.formats import tables
from imageset.storage.object_keys import object_key, parse_key

LISTINGS, INVENTORY = Path("data/listings.csv"), Path("data/inventory.csv")


class Keys(NamedTuple):
    """Which objects are photos of the products beside those that have their names.

    named: the keys that their photos name. others: of these keys and those with a name of the products, the ones that
    are photos of another product, with that product. are_used: whether any photo of the listings has a key; then an
    object with the name of a photo may be another one. may_go: whether named objects may be removed.
    """

    named: frozenset[str]
    others: dict[str, int]
    are_used: bool
    may_go: bool


def find_keys(
    product_ids: frozenset[int], inventories: Iterable[Path], taken_down: frozenset[int], may_go: bool
) -> Keys:
    """Return the keys of the products by the listings and by inventories.

    Args:
        product_ids: the products.
        inventories: inventory.csv, of this run or of earlier ones.
        taken_down: products that use no object any more.
        may_go: whether named objects may be removed.
    """
    named, are_used = set(), False
    for path in (LISTINGS, *inventories):
        for key, product_id, position in read_photos(path):
            if key != object_key(product_id, position):
                are_used = True
                if product_id in product_ids:
                    named.add(key)
    others = {}
    for path in (LISTINGS, INVENTORY):  # what other products were in the past keeps nothing
        for key, product_id, _ in read_photos(path):
            if product_id not in product_ids | taken_down:
                photo = parse_key(key)
                if key in named or (photo is not None and photo[0] in product_ids):
                    others[key] = product_id
    return Keys(frozenset(named), others, are_used, may_go)


def read_photos(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield key, product_id and position of each photo of the listings or of an inventory; of a damaged file, some."""
    with suppress(DataError, FileNotFoundError):
        if path == LISTINGS:
            for product_id, position, _, key in tables.scan(path, tables.LISTINGS):
                yield key or object_key(product_id, position), product_id, position
        else:
            for key, product_id, position, *_ in tables.scan(path, tables.INVENTORY):
                yield key, product_id, position
