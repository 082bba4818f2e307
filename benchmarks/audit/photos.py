"""Real photos as stage audit sees them: classes, groups, embeddings, thumbnails."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.audit.off_topic import draw_off_topic
from benchmarks.shared.measure import ROOT
from imageset.audit import features
from imageset.audit.features import Features
from imageset.curation import duplicate_search, groups, ties
from imageset.formats import tables
from imageset.photos.decode import PhotoLimits
from imageset.photos.embeddings import EmbeddingRecipe, embed_photos
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import PreparedPhoto
from imageset.runtime import params, progress
from tests import planted

CACHE = ROOT / ".cache/bench-audit"
LIMITS = PhotoLimits(50_000_000)


class Photos(NamedTuple):
    """classes: of each photo, 0 to C - 1, int64 (N,). groups: int64 (N,). features: by what they are made of."""

    names: list[str]
    classes: NDArray[np.int64]
    groups: NDArray[np.int64]
    features: dict[str, Features]
    thumbnails: NDArray[np.uint8]  # (N, 64, 64, 1)


def read_photos(folder: Path, weights: Path) -> Photos:
    """Read a folder that has a folder for each class."""
    paths = sorted(folder.glob("*/*.jp*g"))
    bodies = [path.read_bytes() for path in paths]
    prepared = [planted.prepared(body) for body in progress.bar(bodies, "photos", len(bodies))]
    thumbnails = np.stack([each.thumbnail for each in prepared])
    names, classes = np.unique([path.parent.name for path in paths], return_inverse=True)
    return Photos(
        names.tolist(),
        classes.astype(np.int64),
        find_groups(prepared, thumbnails),
        describe(bodies, thumbnails, weights),
        thumbnails,
    )


def find_groups(prepared: Sequence[PreparedPhoto], thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the group of each photo as stage duplicates does, each photo a product."""
    shipped = params.load().duplicates
    rows = [(number, 0, number, each.sha256, each.phash, each.phash_mirrored) for number, each in enumerate(prepared)]
    photos, new = tables.frame(tables.PROCESSED, rows), np.full(len(rows), "")
    same_bytes, values = ties.byte_ties(photos, new != ""), tables.frame(tables.LISTING_GROUPS, [])
    pairs = list(duplicate_search.search(duplicate_search.KnownPhotos(photos, thumbnails, values, new, new), shipped))
    alike = ties.join([same_bytes, duplicate_search.ties_of(pairs)])
    pictures = ties.components(alike, len(photos))
    is_shared = groups.shared_pictures(photos, pictures, shipped.max_products)
    grouped = groups.group_photos(photos, alike, pictures, is_shared, values, new, new)
    return np.asarray(grouped["group"], np.int64)


def describe(bodies: Sequence[bytes], thumbnails: NDArray[np.uint8], weights: Path) -> dict[str, Features]:
    """Return the features of photos, with embeddings and without."""
    return {
        "embeddings": features.quantize_embeddings(embed(bodies, weights))[None],
        "thumbnails": features.describe_thumbnails(thumbnails),
    }


def embed(bodies: Sequence[bytes], weights: Path) -> NDArray[np.float32]:
    """Return the embeddings of photos, float32 (N, 1280): those of an earlier run are used again."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies)).hexdigest()[:16]
    path = CACHE / f"{digest}.npy"
    if not path.exists():
        recipe = EmbeddingRecipe(weights, LIMITS)
        found = [embed_photos([body], recipe)[0] for body in progress.bar(bodies, "embeddings", len(bodies))]
        values = [np.frombuffer(each.values, "<f4") for each in found if not isinstance(each, Rejected)]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack(values))
    return np.asarray(np.load(path), np.float32)


def read_off_topic(seed: int, each: int, weights: Path) -> tuple[list[str], dict[str, Features], NDArray[np.uint8]]:
    """Return drawn pictures that are no garments: their kinds, features and thumbnails."""
    drawn = draw_off_topic(seed, each)
    bodies = [body for _, body in drawn]
    thumbnails = np.stack([planted.prepared(body).thumbnail for body in bodies])
    return [kind for kind, _ in drawn], describe(bodies, thumbnails, weights), thumbnails
