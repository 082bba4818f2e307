"""What a worker process does with a batch of photos for stage masks: get all of them, then make their masks."""

import sys
from collections.abc import Sequence
from functools import partial

from imageset.photos import background
from imageset.photos.engines import Network
from imageset.photos.masks import MaskRecipe, mask_photos
from imageset.photos.worker import Answer, PhotoRequest, answer_batch

# rembg imports jsonschema, for a network that this project does not offer. jsonschema imports rfc3987_syntax if it is
# installed, and does without it otherwise. It builds a parser, which takes 0.9 s, and rembg without it 0.3 s.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # Python calls such a module not found


def load_network(items: Sequence[None], network: Network) -> Sequence[None]:
    """Load the network before the first photo, so that its time is not taken for a photo's."""
    background.open_session(network)
    return items


def mask_batch(batch: Sequence[PhotoRequest], recipe: MaskRecipe) -> list[Answer]:
    """Get a batch of photos and make their masks.

    Args:
        batch: the objects to get.
        recipe: the network, which photos are accepted, and whether cut-outs are masks.

    Returns:
        A PhotoMask, Rejected or ChangedObject for each photo, in the batch's order.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses.
    """
    return answer_batch(batch, partial(mask_photos, recipe=recipe))
