"""How exported photos and classes are named: safe on every file system, class folders sorted as labels are; pure."""

import re
import unicodedata

from imageset import keys

SLUG_LENGTH = 40


def photo_key(product_id: int, position: int, copy: int) -> str:
    """Return a photo's name without its ending: as in the bucket, and of an augmented copy with its number.

    >>> photo_key(42, 0, 0), photo_key(42, 3, 0), photo_key(42, 3, 2)
    ('42', '42-3', '42-3_2')
    """
    key = keys.object_key(product_id, position).removesuffix(".jpeg")
    return f"{key}_{copy}" if copy else key


def slug(name: str) -> str:
    """Return what a-z, 0-9 and - can say of a name, "" where that is nothing.

    >>> slug("Été / Shorts & T-Shirts"), slug("../CON."), slug("帽子")
    ('ete-shorts-t-shirts', 'con', '')
    """
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return re.sub("[^a-z0-9]+", "-", "".join(letters).lower()).strip("-")[:SLUG_LENGTH].rstrip("-")


def class_folders(names: list[str], catalog_ids: list[int]) -> list[str]:
    """Return a folder name for each class, in the order of labels, which is their order by name as well.

    >>> class_folders(["T-Shirt", "帽子"], [1201, 7])
    ['0_1201_t-shirt', '1_7']
    """
    width = len(str(max(len(names) - 1, 0)))
    return ["_".join(filter(None, (f"{label:0{width}}", str(catalog_id), slug(name))))
            for label, (name, catalog_id) in enumerate(zip(names, catalog_ids, strict=True))]
