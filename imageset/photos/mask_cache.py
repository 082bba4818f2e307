"""Masks that earlier runs predicted. mask_recipe.py says what they are keyed by."""

from pathlib import Path

from imageset.photos.cache import PhotoCache
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.storage.bucket import Bucket, StoredObject

TABLE = "masks"
COLUMNS = (
    "reason TEXT, mask BLOB, photo_pixels INTEGER, foreground_share REAL, border_share REAL, pieces INTEGER, "
    "uncertainty REAL"
)


class MaskCache(PhotoCache):
    """The masks of one bucket's photos under one recipe."""

    def __init__(self, path: Path, bucket: Bucket, recipe: str, max_pixels: int) -> None:
        """Open the cache, and make its file if there is none.

        Args:
            path: the SQLite file.
            bucket: where the photos are; nothing is read from it.
            recipe: from `mask_recipe.describe_recipe`.
            max_pixels: of photos that are accepted. It is no part of the recipe, as it changes no mask.

        Raises:
            ImagesetError: the file is no cache of this version, or cannot be opened.
        """
        super().__init__(path, TABLE, COLUMNS, bucket, recipe)
        self.max_pixels = max_pixels

    def find(self, stored: StoredObject) -> PhotoMask | Rejected | None:
        """Return what an earlier run made of this object, None if nothing is known."""
        if values := self.look_up(self.make_key(stored)):
            return accept(PhotoMask(*values[1:]), self.max_pixels)
        if values := self.look_up(self.make_rejected_key(stored)):
            return Rejected(values[0])
        return None

    def add(self, stored: StoredObject, outcome: PhotoMask | Rejected) -> None:
        """Remember what an object became, where every run and machine would make the same of it."""
        if isinstance(outcome, PhotoMask):
            self.put(self.make_key(stored), stored.etag, None, *outcome)
        elif outcome.is_lasting:
            nothing = [None] * len(PhotoMask._fields)
            self.put(self.make_rejected_key(stored), stored.etag, outcome.reason, *nothing)

    def make_rejected_key(self, stored: StoredObject) -> bytes:
        """Return the key of a rejection: a photo that is broken may be too large as well, for a smaller max_pixels."""
        return self.make_key(stored, f"rejected within {self.max_pixels} pixels")


def accept(mask: PhotoMask, max_pixels: int) -> PhotoMask | Rejected:
    """Return a known mask, or the rejection that a photo of so many pixels gets without decoding it."""
    return mask if mask.photo_pixels <= max_pixels else Rejected("too_many_pixels")
