"""Which photos are whole, as far as their formats allow to tell. No files, no network.

Decoders make a picture of a broken photo where they can. Each format has its own means to tell: jpeg_damage.py decodes
once more, a WebP and files of boxes have sizes, and a PNG has checksums, which its decoder compares.
"""

from imageset.errors import Undecodable
from imageset.photos import boxes, jpeg_damage, png_chunks, webp_chunks
from imageset.photos.file_formats import BRANDS


def is_cut(body: bytes, name: str) -> bool:
    """Return whether a photo of this format says that it is longer: seen before its header is read."""
    return (name == "webp" and webp_chunks.is_cut(body)) or (name in BRANDS and boxes.is_cut(body))


def mend(body: bytes, name: str) -> bytes:
    """Return a photo's bytes as its decoder takes them where only what has no pixels is missing or damaged.

    A JPEG gets an end marker. A PNG gets an end chunk and loses ancillary chunks that are broken. An AVIF loses its
    EXIF.

    Args:
        body: the photo's bytes, untrusted.
        name: of its format.
    """
    if name == "jpeg":
        return jpeg_damage.mend(body)
    if name == "png":
        return png_chunks.mend(body)
    return boxes.remove_exif(body) if name == "avif" else body


def require_whole(body: bytes, name: str, sides: tuple[int, int]) -> bool:
    """Refuse a photo that is cut or damaged, where its decoder would not.

    Args:
        body: the photo's bytes, untrusted.
        name: of its format.
        sides: width and height as the decoder reads them. Check them first: a JPEG takes as much memory as its decode.

    Returns:
        Whether all of it was decoded on the way, so that its decoder will find nothing.

    Raises:
        Undecodable: truncated where the file ends early, damaged where it does not, undecodable where it is a JPEG of
            a kind that no browser shows.
    """
    if name == "webp" and webp_chunks.has_text(body):
        raise Undecodable("damaged")
    if name != "jpeg":
        return False
    if damage := jpeg_damage.find_damage(body, sides):
        raise Undecodable(damage)
    return damage is not None
