"""In which order photos are compared, so that new photos never hide what connects released ones, and vice versa."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation.candidates import blocks, list_photos
from imageset.curation.frames import find_frames
from imageset.curation.groups import spans_subsets
from imageset.curation.near_duplicates import NearDuplicate, find_near_duplicates
from imageset.curation.search_cache import SearchMemory
from imageset.curation.search_pool import open_pool
from imageset.curation.ties import Ties, all_ties, byte_ties, components, first_of_equal, hash_ties, join
from imageset.curation.union_find import UnionFind
from imageset.curation.views import Boxes
from imageset.formats import tables
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime.sections import DuplicatesParams


class KnownPhotos(NamedTuple):
    """What a search knows of N photos.

    Attributes:
        photos: rows of processed.csv, N of them.
        thumbnails: grey, uint8 (M, 64, 64, 1), by column row of the photos.
        values: the rows of listing_groups.csv.
        photo_subsets: (N,), the subset that each photo was released in, "" of new photos.
        product_subsets: (N,), the subset that each photo's product was released in, "" of new products.
    """

    photos: pd.DataFrame
    thumbnails: Pixels
    values: pd.DataFrame
    photo_subsets: NDArray[Any]
    product_subsets: NDArray[Any]

    def take(self, places: Indices) -> "KnownPhotos":
        """Return what is known of some of the photos."""
        return self._replace(
            photos=self.photos.iloc[places].reset_index(drop=True),
            photo_subsets=self.photo_subsets[places],
            product_subsets=self.product_subsets[places],
        )

    def tie_bytes(self) -> Ties:
        """Return the ties of photos with the same bytes."""
        return byte_ties(self.photos, self.photo_subsets != "")


def search(
    known: KnownPhotos, duplicates: DuplicatesParams, memory: SearchMemory | None = None, is_kept: bool = False
) -> Iterator[NearDuplicate]:
    """Yield pairs of near-duplicates, as places among the photos. Photos with the same bytes are not compared.

    Args:
        known: the photos.
        duplicates: section `duplicates` of params.yaml.
        memory: what earlier searches found, or None. It changes no pair.
        is_kept: whether the memory keeps what is found, instead of what it has.
    """
    photos, thumbnails, values, photo_subsets, product_subsets = known
    same_bytes = known.tie_bytes()
    released, everything = photo_subsets != "", np.ones(len(photos), bool)
    compared = np.zeros(len(photos), bool)
    found = []
    connected = UnionFind(product_subsets.tolist())
    # First the released photos alone: that two of them are near-duplicates must be found even where a new photo
    # connects them, too.
    for part in (released, everything):
        connected.join_all(same_bytes.among(part).pairs())
        keep = is_kept and part is everything
        for pair in search_part(photos, thumbnails, part, compared, connected, duplicates, memory, keep):
            found.append(pair)
            yield pair
        compared = part
    # Some of the new photos that connect two subsets are left out. What connects them to each other must not depend on
    # what was found first, so they are compared once more, without the released photos.
    same_picture = join([same_bytes, ties_of(found)])
    conflicting = ~released & spans_subsets(all_ties(photos, same_picture, values, released), product_subsets)
    connected = UnionFind([""] * len(photos))
    connected.join_all(same_bytes.among(conflicting).pairs())
    yield from search_part(photos, thumbnails, conflicting, ~everything, connected, duplicates, memory)


def tie_unreleased(photos: pd.DataFrame, thumbnails: Pixels, duplicates: DuplicatesParams) -> Ties:
    """Return the ties of photos that no release has: near-duplicates, equal bytes, equal perceptual hashes.

    Args:
        photos: the rows of processed.csv, N of them.
        thumbnails: grey, uint8 (N, 64, 64, 1).
        duplicates: section `duplicates` of params.yaml.
    """
    unreleased = np.full(len(photos), "")
    known = KnownPhotos(photos, thumbnails, tables.frame(tables.LISTING_GROUPS, []), unreleased, unreleased)
    return join([known.tie_bytes(), ties_of(search(known, duplicates)), hash_ties(photos, unreleased != "")])


def search_without(
    left_out: NDArray[np.bool_],
    pairs: Sequence[NearDuplicate],
    known: KnownPhotos,
    duplicates: DuplicatesParams,
    memory: SearchMemory | None = None,
) -> list[NearDuplicate]:
    """Return pairs of near-duplicates among the photos that are connected with photos that are left out.

    A search yields as many pairs as connect all. Without the photos that are left out, these may be too few.

    Args:
        left_out: which photos are left out, (N,).
        pairs: what `search` found among all.
        known, duplicates, memory: as in `search`.
    """
    chains = components(join([known.tie_bytes(), ties_of(pairs)]), len(known.photos))
    places = np.flatnonzero(~left_out & np.isin(chains, chains[left_out]))
    if not len(places):
        return []
    found = search(known.take(places), duplicates, memory)
    return [NearDuplicate(int(places[left]), int(places[right]), likeness) for left, right, likeness in found]


def search_part(
    photos: pd.DataFrame,
    thumbnails: Pixels,
    part: NDArray[np.bool_],
    compared: NDArray[np.bool_],
    connected: UnionFind,
    duplicates: DuplicatesParams,
    memory: SearchMemory | None = None,
    is_kept: bool = False,
) -> Iterator[NearDuplicate]:
    """Yield near-duplicates among the photos of `part`, but no pairs of which both photos are in `compared`."""
    places: Indices = np.flatnonzero(part)
    places = places[np.argsort(~compared[places], kind="stable")]
    distinct = places[np.unique(first_of_equal(photos["sha256"].to_numpy()[places]))]
    if len(distinct):
        hashes = np.array([int(value, 16) for value in photos["phash"].to_numpy()[distinct]], np.uint64)
        rows = photos["row"].to_numpy()[distinct]
        frames = find_all_frames(thumbnails, rows)
        to_compare = list_photos(thumbnails, distinct, rows, frames, hashes, compared[distinct])
        limits = duplicates.distance, duplicates.likeness
        memory = memory or SearchMemory()
        with open_pool(int((memory.find(to_compare.digests) < 0).sum())) as pool:
            yield from find_near_duplicates(thumbnails, to_compare, *limits, connected, pool, memory, is_kept)


def find_all_frames(thumbnails: Pixels, rows: Indices) -> Boxes:
    """Return how much of the thumbnails at these rows is frame, (R, 4): see `find_frames`."""
    return np.concatenate([find_frames(thumbnails[rows[block]][..., 0]) for block in blocks(len(rows))])


def ties_of(pairs: Iterable[NearDuplicate]) -> Ties:
    places = np.array([pair[:2] for pair in pairs], np.intp).reshape(-1, 2)
    return Ties(places[:, 0], places[:, 1])


def pair_table(photos: pd.DataFrame, pairs: Iterable[NearDuplicate]) -> pd.DataFrame:
    """Return the rows of near_duplicates.csv: each pair once, the lower product first, with its likeness."""
    keys = list(photos[["product_id", "position"]].itertuples(index=False, name=None))
    # A pair may be found twice, once in each direction: the greater likeness counts.
    likeness_of = {
        tuple(sorted((keys[left], keys[right]))): likeness
        for left, right, likeness in sorted(pairs, key=lambda pair: pair.likeness)
    }
    return tables.frame(
        tables.NEAR_DUPLICATES, [(*one, *other, f"{likeness:.3f}") for (one, other), likeness in likeness_of.items()]
    )
