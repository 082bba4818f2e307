"""Make listings that are wrong or unusual, as on real marketplaces."""

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from sandbox.listing import FIRST_PRODUCT, Listing


def make_dirty_listings(listings: list[Listing], photo_folder: Path) -> Iterator[Listing]:
    """Yield listings that are each wrong or unusual in one way, made from the first listing of each class."""
    ids = itertools.count(FIRST_PRODUCT + len(listings))
    firsts = list({listing.title: listing for listing in reversed(listings)}.values())[::-1]
    for original, (suffix, change) in zip(itertools.cycle(firsts), CHANGES.items()):
        product_id = next(ids)
        name = f"{product_id}{suffix}"
        (photo_folder / name).write_bytes(change((photo_folder / original.photos[0]).read_bytes()))
        yield Listing(product_id, original.title, (name,), original.catalog_ids[-1:])
    first, second, third = firsts[:3]
    yield Listing(next(ids), "its photo is gone", ("no-such-photo.jpg",), first.catalog_ids)
    yield Listing(next(ids), "nobody gave it a class", second.photos, ())
    yield Listing(
        next(ids), "three photos", (third.photos[0], listings[1].photos[0], listings[2].photos[0]), third.catalog_ids
    )


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def open_photo(photo: bytes) -> Image.Image:
    return Image.open(io.BytesIO(photo)).convert("RGB")


def shrink(photo: bytes) -> bytes:
    image = open_photo(photo)
    return encode(image.resize((image.width * 2 // 3, image.height * 2 // 3), Image.Resampling.LANCZOS), "JPEG")


def mirror(photo: bytes) -> bytes:
    return encode(ImageOps.mirror(open_photo(photo)), "JPEG", quality=85)


def turn_sideways(photo: bytes) -> bytes:
    """Turn a photo as phones store it: on its side, with the EXIF orientation (6) that turns it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(open_photo(photo).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def convert_to_cmyk(photo: bytes) -> bytes:
    return encode(open_photo(photo).convert("CMYK"), "JPEG")


def convert_to_png(photo: bytes) -> bytes:
    return encode(open_photo(photo), "PNG")


def truncate(photo: bytes) -> bytes:
    return photo[: len(photo) // 2]


def replace_by_web_page(photo: bytes) -> bytes:
    return b"<!DOCTYPE html><html><body>Please log in</body></html>"


def remove_all_bytes(photo: bytes) -> bytes:
    return b""


# How each dirty listing changes the photo, by the suffix of its file.
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "-again.jpg": bytes,
    "-smaller.jpg": shrink,
    "-mirrored.jpg": mirror,
    "-sideways.jpg": turn_sideways,
    "-cmyk.jpg": convert_to_cmyk,
    "-picture.png": convert_to_png,
    "-truncated.jpg": truncate,
    "-login.jpg": replace_by_web_page,
    "-empty.jpg": remove_all_bytes,
}
