"""The keys of photos in the bucket: <product_id>.jpeg, <product_id>-<position>.jpeg, or as the listings name them."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import islice

INT64_MAX = 2**63 - 1
POSITION_MAX = 2**15 - 1
KEY_MAX = 1024  # bytes of UTF-8, as S3 has it
KEYS_TO_SHOW = 3


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


def check_key(key: str) -> None:
    """Check a key that listings name, of an object that anything has written.

    Raises:
        ValueError: it is empty or longer than 1,024 bytes, or has a control character or a part that is . or ..
    """
    if not key or len(key.encode(errors="replace")) > KEY_MAX:
        raise ValueError(f"it is empty, or longer than {KEY_MAX} bytes")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        raise ValueError("it has a control character")
    # Clients resolve such parts before they ask, and would read another object than the one that is listed.
    if {".", ".."} & set(key.split("/")):
        raise ValueError("it has a part that is . or ..")


def show_keys(keys: Iterable[str]) -> str:
    """Return the first keys for a message, in quotes and without control characters.

    >>> print(show_keys(["a.jpg", "b c.jpg", "c", "d"]))
    'a.jpg', 'b c.jpg', 'c'
    """
    return ", ".join(repr(key if len(key) < 80 else f"{key[:60]}...{key[-16:]}") for key in islice(keys, KEYS_TO_SHOW))
