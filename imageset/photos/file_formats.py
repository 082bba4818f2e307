"""The file formats of photos, and how to tell by a file's first bytes which one it has."""

from PIL import Image

# By their names in params.yaml, Pillow's names. JPEG includes MPO, the two-picture files of some cameras.
FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}

HEAD_BYTES = 16  # what Pillow itself looks at to tell formats apart


def begins_like_photo(head: bytes) -> bool:
    """Return whether bytes that begin with this head, HEAD_BYTES of it, may be a file of FORMATS."""
    Image.init()
    return any(accept is None or accept(head) for _, accept in map(Image.OPEN.__getitem__, FORMATS.values()))


def find_format(body: bytes) -> str:
    """Return the format of a photo that was decoded, by Pillow's name. JPEG includes MPO."""
    head = body[:HEAD_BYTES]
    return next(name for name in FORMATS.values() if (accept := Image.OPEN[name][1]) is None or accept(head))
