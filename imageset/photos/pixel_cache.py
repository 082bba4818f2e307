"""Pixels, facts and previews that earlier runs made, keyed by the photo, its mask, the params, the code and the
libraries.

The limits on facts are no part of the key: stage preprocess applies them to what it finds here.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np

from imageset.photos import fact_limits, facts, gray_and_color, pixels, preprocess, previews
from imageset.photos.cache import PhotoCache
from imageset.photos.decode_recipe import DECODE_CODE, list_libraries
from imageset.photos.facts import PhotoFacts
from imageset.photos.file_formats import FORMATS
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto
from imageset.runtime.fingerprint import fingerprint
from imageset.runtime.sections import PreprocessParams
from imageset.storage.bucket import Bucket, StoredObject

# What decides pixels, besides params and masks.
PIXEL_CODE = (*DECODE_CODE, facts, gray_and_color, pixels, preprocess, previews)
PIXEL_LIBRARIES = ("ImageHash", "scipy")  # and those that decode

TABLE = "pixels"
COLUMNS = "reason TEXT, facts TEXT, preview BLOB, sha256 TEXT, phash TEXT, phash_mirrored TEXT, pixels BLOB"


class PixelCache(PhotoCache):
    """The pixels of one bucket's photos under one section of params."""

    def __init__(
        self, path: Path, bucket: Bucket, section: PreprocessParams, formats: tuple[str, ...] = FORMATS
    ) -> None:
        """Open the cache, and make its file if there is none.

        Args:
            path: the SQLite file.
            bucket: where the photos are; nothing is read from it.
            section: the params.
            formats: of photos that are decoded.

        Raises:
            ImagesetError: the file is no cache of this version, or cannot be opened.
        """
        shaping = section.model_dump(exclude={"max_rejected_share", *fact_limits.PARAMS})
        super().__init__(path, TABLE, COLUMNS, bucket, json.dumps([identify_pixels(formats), shaping], sort_keys=True))
        self.side = section.image_side

    def find(
        self, stored: StoredObject, mask: bytes | None, from_alpha: bool = False
    ) -> DecodedPhoto | Rejected | None:
        """Return what an earlier run made of this object with this mask, None if nothing is known."""
        values = self.look_up(self.make_key(stored, identify_mask(mask, from_alpha)))
        if values is None:
            return None
        reason, measured, preview, sha256, phash, phash_mirrored, content = values
        if measured is None:
            return Rejected(reason)
        found = PhotoFacts(*json.loads(measured))
        if reason is not None:
            return DecodedPhoto(found, preview, Rejected(reason))
        small = pixels.THUMBNAIL_SIDE
        both = np.frombuffer(content, np.uint8)
        square = both[: -(small**2)].reshape(self.side, self.side, -1)
        thumbnail = both[-(small**2) :].reshape(small, small, 1)
        return DecodedPhoto(found, preview, PreparedPhoto(square, thumbnail, sha256, phash, phash_mirrored))

    def add(
        self, stored: StoredObject, mask: bytes | None, outcome: DecodedPhoto | Rejected, from_alpha: bool = False
    ) -> None:
        """Remember what an object became, but no decoder_* rejection, which another run or machine might not repeat."""
        key = self.make_key(stored, identify_mask(mask, from_alpha))
        if isinstance(outcome, Rejected):
            if outcome.is_lasting:
                self.put(key, stored.etag, outcome.reason, *[None] * 6)
            return
        made, seen = outcome.prepared, (json.dumps(outcome.facts), outcome.preview)
        if isinstance(made, Rejected):
            self.put(key, stored.etag, made.reason, *seen, *[None] * 4)
        else:
            content = made.pixels.tobytes() + made.thumbnail.tobytes()
            self.put(key, stored.etag, None, *seen, made.sha256, made.phash, made.phash_mirrored, content)


@cache
def identify_pixels(formats: tuple[str, ...] = FORMATS) -> list[str]:
    """Return what decides pixels, besides params and masks, to compare with another machine's answer.

    Computed once a process: files may change later, but the process goes on running the code that it loaded.

    Args:
        formats: of photos that are decoded.
    """
    return fingerprint(PIXEL_CODE, (*list_libraries(formats), *PIXEL_LIBRARIES))


def identify_mask(mask: bytes | None, from_alpha: bool) -> str:
    """Return a hash of a mask as masks.h5 holds it, "" for none; and whether the photo's transparency is the mask."""
    if mask is None:
        return ""
    return hashlib.blake2b(mask, digest_size=16).hexdigest() + (" alpha" if from_alpha else "")
