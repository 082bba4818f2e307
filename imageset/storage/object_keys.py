"""The keys of photos in the bucket: <product_id>.jpeg, <product_id>-<position>.jpeg."""

import re

INT64_MAX = 2**63 - 1
POSITION_MAX = 2**15 - 1


def object_key(product_id: int, position: int) -> str:
    """Return a photo's key in the bucket, without the prefix.

    >>> object_key(42, 0), object_key(42, 3)
    ('42.jpeg', '42-3.jpeg')
    """
    return f"{product_id}.jpeg" if position == 0 else f"{product_id}-{position}.jpeg"


def parse_key(key: str) -> tuple[int, int] | None:
    """Return (product_id, position) of a photo's key, or None for any other key.

    >>> parse_key("42-3.jpeg"), parse_key("042.jpeg"), parse_key("42-0.jpeg")
    ((42, 3), None, None)
    """
    match = re.fullmatch(r"(0|[1-9][0-9]*)(?:-([1-9][0-9]*))?\.jpeg", key)
    if match is None:
        return None
    product_id, position = int(match[1]), int(match[2] or 0)
    return (product_id, position) if product_id <= INT64_MAX and position <= POSITION_MAX else None
