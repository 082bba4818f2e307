"""Whether nearest embeddings would find the copies that the search does not look at."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.near_duplicates.photos import LIMITS, Originals, Photos
from benchmarks.near_duplicates.quality import Found
from benchmarks.shared.tables import table
from imageset.curation.near_duplicates import measure_likeness
from imageset.photos.embeddings import EmbeddingRecipe, embed_photo
from imageset.photos.outcomes import PhotoEmbedding
from imageset.runtime import progress
from imageset.runtime.sections import DuplicatesParams

NEAREST = (1, 5, 20)


def report_embeddings(
    originals: Originals, found: Mapping[str, Found], duplicates: DuplicatesParams, weights: Path
) -> None:
    """Print, of each kind, how many missed copies have their original among the nearest embeddings, and how many of
    these would be joined if the search looked at them."""
    recipe = EmbeddingRecipe(weights, LIMITS)
    bodies = progress.bar(originals.bodies, "embed", len(originals.bodies))
    everything = np.stack([embed(body, recipe) for body in bodies])

    def lines() -> Iterator[tuple[str, ...]]:
        for kind, (photos, sources, likeness) in found.items():
            missed = sources[likeness < duplicates.likeness]
            if not len(missed):
                continue
            copies = np.stack([embed(originals.copy(number, kind), recipe) for number in missed.tolist()])
            cosines = copies @ everything.T
            ranks = (cosines > cosines[np.arange(len(missed)), missed][:, np.newaxis]).sum(1)
            would = likeness_when_looked_at(photos, missed)
            yield (
                kind,
                f"{len(missed)}",
                *(f"{np.count_nonzero(ranks < nearest)}" for nearest in NEAREST),
                f"{np.count_nonzero((ranks < NEAREST[-1]) & (would >= duplicates.likeness))}",
            )

    table(
        (
            "kind of copy",
            "missed",
            *(f"original among the {nearest} nearest" for nearest in NEAREST),
            f"of the {NEAREST[-1]} nearest, joined when compared",
        ),
        lines(),
    )


def embed(body: bytes, recipe: EmbeddingRecipe) -> NDArray[np.float32]:
    """Return the embedding of a photo, of length 1."""
    embedding = embed_photo(body, recipe)
    assert isinstance(embedding, PhotoEmbedding)
    values = np.frombuffer(embedding.values, "<f4")
    return np.asarray(values / np.linalg.norm(values))


def likeness_when_looked_at(photos: Photos, sources: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the likeness of originals and their copies, whether they are candidates or not."""
    rows = [np.flatnonzero(photos.sources == number) for number in sources.tolist()]
    return measure_likeness(*(photos.thumbnails[places][..., 0] for places in np.array(rows).T))
