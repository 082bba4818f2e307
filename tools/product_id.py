"""Products as command lines name them."""

import argparse
import re

from imageset.formats import source_ids

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def parse_id(text: str) -> int:
    """Return the number of a product that the source calls so. Raises argparse.ArgumentTypeError for what is no id."""
    try:
        return source_ids.number(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no product's id, such as 1234567 or SKU-7") from None


def spellings(product_id: int) -> frozenset[int]:
    """Return the numbers of a product whose id is a UUID in capitals and in small letters; of any other, its own.

    Databases and tools differ in how they show a UUID. To the rest of imageset, each spelling is another id.
    """
    text = source_ids.text(product_id)
    others = [text.lower(), text.upper()] if UUID.fullmatch(text) else []
    return frozenset([product_id, *map(source_ids.number, others)])
