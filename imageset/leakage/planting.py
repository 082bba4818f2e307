"""What a worker process does for stage leakage: get photos, and make copies of each kind as the search sees them."""

import hashlib
from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

from PIL import Image

from imageset.errors import Undecodable
from imageset.formats import stable_hash
from imageset.formats.hdf5 import Pixels
from imageset.leakage import copies
from imageset.leakage.copies import KINDS, make_copy
from imageset.photos import pixels
from imageset.photos.decode import PhotoLimits
from imageset.photos.decode_recipe import DECODE_CODE, list_libraries
from imageset.photos.outcomes import ChangedObject, Rejected
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.photos.worker import PhotoRequest, get_bodies
from imageset.runtime.fingerprint import fingerprint

COPIED_SIDE = 640  # pixels of the longer side of a photo that is copied, at most: as shops show photos
COLLAGE = "collage"
OWN_COPIES = tuple(kind for kind in KINDS if kind != COLLAGE)  # that need no other photo
COPY_LIMITS = PhotoLimits(1 << 24, ("jpeg",))  # of our own files

Pair = tuple[PhotoRequest, ...]  # two photos, one at the end of an odd number; both are in each other's collage


class SeenPhoto(NamedTuple):
    """What the search for duplicates sees of a photo: its thumbnail, uint8 (64, 64, 1), and what processed.csv has."""

    thumbnail: Pixels
    sha256: str
    phash: str
    phash_mirrored: str


class PlantedPhoto(NamedTuple):
    """A photo and its copies by kind. One without another photo has no collage.

    is_first: of its pair.
    """

    original: SeenPhoto
    copies: dict[str, SeenPhoto]
    is_first: bool


Outcome = PlantedPhoto | Rejected | ChangedObject


class OpenedPhoto(NamedTuple):
    """A photo as the search sees it, and the image to copy: mode RGB, at most COPIED_SIDE on its longer side."""

    seen: SeenPhoto
    image: Image.Image


def plant_batch(batch: Sequence[Pair], limits: PhotoLimits) -> list[list[Outcome]]:
    """Get pairs of photos and make the copies of each photo.

    Args:
        batch: the objects to get.
        limits: which photos are accepted.

    Returns:
        For each pair an outcome of each photo, in the batch's order.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses.
    """
    bodies = iter([body for body, _ in get_bodies([request for pair in batch for request in pair])])
    return [plant_pair([next(bodies) for _ in pair], limits) for pair in batch]


def plant_pair(bodies: Sequence[bytes | ChangedObject], limits: PhotoLimits) -> list[Outcome]:
    """Make the copies of two photos, or of one."""
    opened = [body if isinstance(body, ChangedObject) else open_photo(body, limits) for body in bodies]
    images = [photo.image if isinstance(photo, OpenedPhoto) else None for photo in opened]
    others = images[::-1] if len(images) == 2 else [None]
    return [
        plant_copies(photo, other, is_first) if isinstance(photo, OpenedPhoto) else photo
        for photo, other, is_first in zip(opened, others, (True, False), strict=False)
    ]


def open_photo(body: bytes, limits: PhotoLimits) -> OpenedPhoto | Rejected:
    """Decode a photo, as stage preprocess does for its thumbnail, and in colour to copy it."""
    try:
        # Preprocess, or masks, has made sure that it is whole.
        decodes = ScaledDecodes(body, limits, known_whole=True)
        seen = see_photo(body, decodes)
        image = decodes.decode_reduced(partial(choose_reduction, side=COPIED_SIDE), "RGB").copy()
    except Undecodable as error:
        return Rejected(error.reason)
    image.thumbnail((COPIED_SIDE, COPIED_SIDE), Image.Resampling.LANCZOS)
    return OpenedPhoto(seen, image)


def choose_reduction(width: int, height: int, side: int) -> int:
    """Return by what to divide a photo's sides so that the longer one keeps at least so many pixels."""
    return max(1, max(width, height) // side)


def see_photo(body: bytes, decodes: ScaledDecodes) -> SeenPhoto:
    """Return what stage preprocess makes of a photo for the search. Raises Undecodable."""
    small = pixels.make_thumbnail(decodes.decode_reduced(pixels.choose_hash_reduction, "L"))
    return SeenPhoto(pixels.to_array(small), hashlib.sha256(body).hexdigest(), *pixels.hash_thumbnail(small))


def plant_copies(photo: OpenedPhoto, other: Image.Image | None, is_first: bool) -> PlantedPhoto | Rejected:
    """Make a copy of each kind. The same photo, and the same other one, give the same copies."""
    seed = stable_hash.rank(int(photo.seen.sha256, 16))
    made = {}
    try:
        for kind in OWN_COPIES if other is None else KINDS:
            body = make_copy(photo.image, photo.image if other is None else other, kind, seed)
            made[kind] = see_photo(body, ScaledDecodes(body, COPY_LIMITS))
    except Undecodable as error:
        return Rejected(error.reason)
    return PlantedPhoto(photo.seen, made, is_first)


@cache
def identify_copies(formats: tuple[str, ...]) -> list[str]:
    """Return what decides the copies, to compare with another machine's answer: see identify_search."""
    libraries = (*list_libraries(formats), "ImageHash", "matplotlib", "scipy")
    return fingerprint((*DECODE_CODE, pixels, copies, stable_hash), libraries)
