"""What a worker process does with a batch of photos for stage preprocess: get all of them, then make their pixels."""

import math
import zlib
from collections.abc import Sequence

from PIL import Image

from imageset.errors import DataError
from imageset.photos.outcomes import ChangedObject
from imageset.photos.preprocess import preprocess_photo
from imageset.photos.worker import Answer, PhotoRequest, get_bodies
from imageset.runtime.sections import PreprocessParams


def preprocess_batch(
    batch: Sequence[PhotoRequest], preprocess: PreprocessParams, formats: tuple[str, ...]
) -> list[Answer]:
    """Get and preprocess a batch of photos.

    Args:
        batch: the objects to get, with their masks where backgrounds are removed.
        preprocess: the params.
        formats: of photos that are decoded.

    Returns:
        A DecodedPhoto, Rejected or ChangedObject for each photo, in the batch's order.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses, or a mask is damaged.
    """
    return [
        Answer(
            body
            if isinstance(body, ChangedObject)
            else preprocess_photo(body, preprocess, read_mask(request), formats, request.from_alpha),
            asked,
        )
        for request, (body, asked) in zip(batch, get_bodies(batch), strict=True)
    ]


def read_mask(request: PhotoRequest) -> Image.Image | None:
    """Return a request's mask, mode L; None where it has none. Raises DataError when it is damaged."""
    if request.mask is None:
        return None
    try:
        values = zlib.decompress(request.mask)
        side = math.isqrt(len(values))
        if not values or side**2 != len(values):  # PIL would leave out what is too much
            raise ValueError(f"{len(values)} pixels are no square")
        return Image.frombytes("L", (side, side), values)
    except (zlib.error, ValueError) as error:
        raise DataError(
            f"the mask of {request.stored.key} is damaged ({error}): remove masks.h5, then `dvc checkout` or "
            "`dvc pull` restores it, or `dvc repro` makes it"
        ) from None
