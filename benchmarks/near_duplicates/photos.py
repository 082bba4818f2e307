"""Photos and copies planted among them, as the stages know them."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from imageset.curation.views import Hashes
from imageset.formats.hdf5 import Indices, Pixels
from imageset.photos import background, decode, networks, pixels
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, preprocess_photo
from imageset.runtime import progress
from imageset.runtime.params import load
from sandbox import draw
from sandbox.garments import GARMENTS
from tests import planted

LIMITS = PhotoLimits(50_000_000)


class Photos(NamedTuple):
    """Originals and copies: what the stages know of each, from which original it is, and 0 or its kind's number."""

    thumbnails: Pixels
    hashes: Hashes
    mirrored: Hashes
    sources: Indices
    kinds: Indices

    @property
    def originals(self) -> "Photos":
        return Photos(*(values[self.kinds == 0] for values in self))


def gather(prepared: Sequence[PreparedPhoto], sources: Sequence[int], kinds: Sequence[int]) -> Photos:
    plain, mirrored = (
        np.array([int(text, 16) for text in texts], np.uint64)
        for texts in zip(*((photo.phash, photo.phash_mirrored) for photo in prepared), strict=True)
    )
    return Photos(
        np.stack([photo.thumbnail for photo in prepared]), plain, mirrored, np.array(sources), np.array(kinds)
    )


def with_copies(bodies: Sequence[bytes], make: Callable[[bytes], PreparedPhoto | None]) -> Photos:
    """Return photos and one copy of each kind of each; make: None where a photo has no pixels, which leaves it out."""
    made = []
    for source, body in enumerate(progress.bar(bodies, "plant", len(bodies))):
        photo = decode.decode(body, LIMITS)
        everything = [body, *(planted.plant(photo, kind, source) for kind in planted.KINDS)]
        made += [(one, source, kind) for kind, one in enumerate(map(make, everything)) if one is not None]
    return gather(*zip(*made, strict=True))


def masked(body: bytes, weights: Path) -> PreparedPhoto | None:
    """Return a photo with the thumbnail and hashes that it would have without its background."""
    network = Network("u2netp", weights, networks.NETWORKS["u2netp"].side)
    factor = background.choose_reduction(*decode.read_sides(body, LIMITS))
    mask = background.predict_mask(decode.decode(body, LIMITS, factor), network)
    photo = preprocess_photo(body, load().preprocess, mask)
    if not isinstance(photo, DecodedPhoto) or not isinstance(photo.prepared, PreparedPhoto):
        return None
    made = photo.prepared
    small = pixels.make_thumbnail(Image.fromarray(made.pixels[..., 0]))
    phash, phash_mirrored = pixels.hash_thumbnail(small)
    return made._replace(thumbnail=pixels.to_array(small), phash=phash, phash_mirrored=phash_mirrored)


def drawn_photo(number: int) -> bytes:
    file = io.BytesIO()
    draw.draw(GARMENTS[number % len(GARMENTS)], number).save(file, "JPEG", quality=90)
    return file.getvalue()
