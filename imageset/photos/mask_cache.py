"""Masks that earlier runs predicted. mask_recipe.py says what they are keyed by."""

from pathlib import Path

from imageset.photos.outcome_cache import OutcomeCache
from imageset.photos.outcomes import PhotoMask
from imageset.storage.bucket import Bucket

TABLE = "masks"
COLUMNS = (
    "reason TEXT, mask BLOB, photo_pixels INTEGER, foreground_share REAL, border_share REAL, pieces INTEGER, "
    "uncertainty REAL, from_alpha INTEGER"
)


class MaskCache(OutcomeCache[PhotoMask]):
    """The masks of one bucket's photos under one recipe."""

    def __init__(self, path: Path, bucket: Bucket, recipe: str, max_pixels: int) -> None:
        """Open the cache of the recipe from `mask_recipe.describe_recipe`; see OutcomeCache."""
        super().__init__(path, TABLE, COLUMNS, PhotoMask, bucket, recipe, max_pixels)
