"""Products as command lines name them."""

import argparse

from imageset.formats import tables


def parse_id(text: str) -> int:
    """Return a product's id. Raises argparse.ArgumentTypeError unless it is 0 or a positive 64-bit integer."""
    try:
        number = tables.whole_number(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no product's id, such as 1234567")
    return number
