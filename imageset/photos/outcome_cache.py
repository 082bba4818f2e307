"""What the caches of masks and of embeddings have in common: a result that max_pixels may still reject, or a reason."""

from pathlib import Path
from typing import Generic, TypeVar

from imageset.photos.cache import PhotoCache
from imageset.photos.outcomes import PhotoEmbedding, PhotoMask, Rejected
from imageset.storage.bucket import Bucket, StoredObject

Result = TypeVar("Result", PhotoMask, PhotoEmbedding)


class OutcomeCache(PhotoCache, Generic[Result]):
    """What the photos of one bucket became under one recipe: results of one type, and rejections."""

    def __init__(
        self,
        path: Path,
        table: str,
        columns: str,
        result: type[Result],
        bucket: Bucket,
        recipe: str,
        max_pixels: int,
    ) -> None:
        """Open the cache, and make its file if there is none.

        Args:
            path: the SQLite file.
            table: the name of its table.
            columns: SQL of the values of a row: the reason, then the fields of `result`.
            result: what a photo becomes that is not rejected.
            bucket: where the photos are; nothing is read from it.
            recipe: everything that decides a result except the photo.
            max_pixels: of photos that are accepted. It is no part of the recipe, as it changes no result.

        Raises:
            ImagesetError: the file is no cache of this version, or cannot be opened.
        """
        super().__init__(path, table, columns, bucket, recipe)
        self.result: type[Result] = result
        self.max_pixels = max_pixels

    def find(self, stored: StoredObject) -> Result | Rejected | None:
        """Return what an earlier run made of this object, None if nothing is known.

        A photo with more than max_pixels gets the rejection that it would get without being decoded.
        """
        if values := self.look_up(self.make_key(stored)):
            found = self.result(*values[1:])
            return found if found.photo_pixels <= self.max_pixels else Rejected("too_many_pixels")
        if values := self.look_up(self.make_rejected_key(stored)):
            return Rejected(values[0])
        return None

    def add(self, stored: StoredObject, outcome: Result | Rejected) -> None:
        """Remember what an object became, where every run and machine would make the same of it."""
        if not isinstance(outcome, Rejected):
            self.put(self.make_key(stored), stored.etag, None, *outcome)
        elif outcome.is_lasting:
            nothing = [None] * len(self.result._fields)
            self.put(self.make_rejected_key(stored), stored.etag, outcome.reason, *nothing)

    def make_rejected_key(self, stored: StoredObject) -> bytes:
        """Return the key of a rejection: a photo that is broken may be too large as well, for a smaller max_pixels."""
        return self.make_key(stored, f"rejected within {self.max_pixels} pixels")
