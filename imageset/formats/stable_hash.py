"""Fixed pseudo-random ranks from numbers."""

from hashlib import blake2b


def rank(*numbers: int) -> int:
    """Return a pseudo-random uint64 that depends on the numbers alone: the same on every machine, in every run.

    blake2b (RFC 7693) over the numbers as decimal text.
    """
    text = ":".join(map(str, numbers)).encode("ascii")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
