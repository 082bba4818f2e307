"""Products as command lines name them."""

import argparse

from imageset.formats import source_ids


def parse_id(text: str) -> int:
    """Return the number of a product that the source calls so. Raises argparse.ArgumentTypeError for what is no id."""
    try:
        return source_ids.number(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no product's id, such as 1234567 or SKU-7") from None
