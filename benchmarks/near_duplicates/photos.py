"""Photos and copies planted among them, as the stages know them."""

import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imageset.curation.views import Hashes
from imageset.formats.hdf5 import Indices, Pixels
from imageset.formats.stable_hash import rank
from imageset.leakage import copies
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

# Kinds of copies that tests/planted.py alone has, by the names of the tables.
PLANTED = {
    "brighter": "brighter",
    "darker": "darker",
    "cropped at each edge": "cropped",
    "cropped most": "cropped most",
    "cropped on one side": "cropped on one side",
    "mirrored and cropped": "mirrored and cropped",
}

Make = Callable[[Image.Image, Image.Image, int], bytes]  # from a photo, another one and a seed


def make_shared(kind: str, photo: Image.Image, other: Image.Image, seed: int) -> bytes:
    return copies.make_copy(photo, other, kind, seed)


def make_planted(kind: str, photo: Image.Image, other: Image.Image, seed: int) -> bytes:
    return planted.plant(photo, kind, seed)


def crop_more(photo: Image.Image, other: Image.Image, seed: int) -> bytes:
    """Keep 0.8 of each side, anywhere."""
    draw = np.random.default_rng(seed)
    left, top = (int(draw.uniform(0, 0.2) * side) for side in photo.size)
    return planted.encode(photo.crop((left, top, left + int(0.8 * photo.width), top + int(0.8 * photo.height))))


def crop_and_turn(photo: Image.Image, other: Image.Image, seed: int) -> bytes:
    cropped = planted.crop(photo, planted.cropped_shares("cropped", np.random.default_rng(seed)))
    return planted.encode(cropped.transpose(Image.Transpose.ROTATE_90))


def rotate(photo: Image.Image, other: Image.Image, seed: int) -> bytes:
    """Rotate by 5 degrees, with white corners."""
    return planted.encode(photo.rotate(5 if seed % 2 else -5, Image.Resampling.BICUBIC, fillcolor="white"))


def tile_four(photo: Image.Image, other: Image.Image, seed: int) -> bytes:
    """Put the photo into a corner of four, beside another one in three turns."""
    fitted = ImageOps.fit(other, photo.size)
    corners = [photo, fitted, ImageOps.mirror(fitted), ImageOps.flip(fitted)]
    whole = Image.new("RGB", (2 * photo.width, 2 * photo.height))
    for number, corner in enumerate(np.roll(range(4), seed).tolist()):
        whole.paste(corners[corner], (number % 2 * photo.width, number // 2 * photo.height))
    return planted.encode(whole)


KINDS: dict[str, Make] = {
    **{kind.replace("_", " "): partial(make_shared, kind) for kind in copies.KINDS},
    **{name: partial(make_planted, kind) for name, kind in PLANTED.items()},
}
# Copies that the search was not made for.
BEYOND: dict[str, Make] = {
    "0.8 of each side": crop_more,
    "cropped at each edge and turned 90": crop_and_turn,
    "rotated by 5 degrees": rotate,
    "collage of four": tile_four,
}
EVERY_KIND = {**KINDS, **BEYOND}
NUMBERS = {kind: number for number, kind in enumerate(EVERY_KIND, 1)}  # an original has 0
COLLAGES = ("collage", "collage of four")


class Originals(NamedTuple):
    """N photos: their names, their bytes, and their places among all of the folder, (N,)."""

    names: Sequence[str]
    bodies: Sequence[bytes]
    places: Indices

    def copy(self, number: int, kind: str) -> bytes:
        """Return the copy of a kind of one photo. A collage shows the next photo, too."""
        photo, other = (decode.decode(self.bodies[place], LIMITS) for place in (number, self.next(number)))
        return EVERY_KIND[kind](photo, other, int(self.places[number]))

    def next(self, number: int) -> int:
        return (number + 1) % len(self.bodies)


class Photos(NamedTuple):
    """What the stages know of N photos, from which originals each is, and 0 or its kind's number.

    others: the second original that a collage shows; of all other photos the same as `sources`.
    """

    thumbnails: Pixels
    hashes: Hashes
    mirrored: Hashes
    sources: Indices
    others: Indices
    kinds: Indices

    def take(self, which: NDArray[Any]) -> "Photos":
        return Photos(*(values[which] for values in self))

    @property
    def originals(self) -> "Photos":
        return self.take(self.kinds == 0)

    def of_kind(self, kind: str) -> "Photos":
        """Return the originals and their copies of one kind."""
        return self.take((self.kinds == 0) | (self.kinds == NUMBERS[kind]))


def read_originals(folder: Path, count: int) -> Originals:
    """Return photos of a folder, those of the lowest ranks, in the order of their paths. Without one, draw some."""
    paths = sorted(folder.glob("*/*.jp*g"))
    if not paths:
        return Originals([str(number) for number in range(count)], [*map(drawn_photo, range(count))], np.arange(count))
    places = sorted(sorted(range(len(paths)), key=lambda place: rank(*paths[place].name.encode()))[:count])
    chosen = [paths[place] for place in places]
    return Originals(
        [f"{path.parent.name}/{path.name}" for path in chosen], [path.read_bytes() for path in chosen], np.array(places)
    )


def gather(
    prepared: Sequence[PreparedPhoto], sources: Sequence[int], kinds: Sequence[int], others: Sequence[int] | None = None
) -> Photos:
    plain, mirrored = (
        np.array([int(text, 16) for text in texts], np.uint64)
        for texts in zip(*((photo.phash, photo.phash_mirrored) for photo in prepared), strict=True)
    )
    thumbnails = np.stack([photo.thumbnail for photo in prepared])
    shown = sources if others is None else others
    return Photos(thumbnails, plain, mirrored, np.array(sources), np.array(shown), np.array(kinds))


def with_copies(
    originals: Originals, make: Callable[[bytes], PreparedPhoto | None], kinds: Iterable[str] = KINDS
) -> Photos:
    """Return photos and one copy of each kind of each; make: None where a photo has no pixels, which leaves it out."""
    made = []
    for source, body in enumerate(progress.bar(originals.bodies, "plant", len(originals.bodies))):
        shown = [(body, 0, source)]
        for kind in kinds:
            other = originals.next(source) if kind in COLLAGES else source
            shown.append((originals.copy(source, kind), NUMBERS[kind], other))
        made += [(one, source, kind, other) for copy, kind, other in shown if (one := make(copy)) is not None]
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
