"""What a worker process does with a batch of photos for stage embed: get all of them, then make their embeddings."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from imageset.photos import embeddings
from imageset.photos.embeddings import EmbeddingRecipe
from imageset.photos.worker import Answer, PhotoRequest, answer_batch


def load_network(items: Sequence[None], weights: Path) -> Sequence[None]:
    """Load the network before the first photo, so that its time is not taken for a photo's."""
    embeddings.open_network(weights)
    return items


def embed_batch(batch: Sequence[PhotoRequest], recipe: EmbeddingRecipe) -> list[Answer]:
    """Get a batch of photos and make their embeddings.

    Args:
        batch: the objects to get.
        recipe: the network's weights and which photos are accepted.

    Returns:
        A PhotoEmbedding, Rejected or ChangedObject for each photo, in the batch's order.

    Raises:
        ImagesetError: the bucket cannot be reached or refuses, or the weights are not those of the network.
    """
    return answer_batch(batch, partial(embeddings.embed_photos, recipe=recipe))
