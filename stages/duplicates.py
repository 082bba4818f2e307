"""Thumbnails -> data/groups.csv: which photos show the same picture, and which the split keeps in one subset."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation import duplicate_search, groups, released_subsets, ties
from imageset.curation.candidates import DIGEST_BYTES, Digests
from imageset.curation.pictures import number_pictures
from imageset.curation.same_picture import show_same
from imageset.curation.search_cache import SearchMemory, open_memory
from imageset.curation.search_recipe import describe_recipe
from imageset.curation.ties import Ties
from imageset.errors import DataError
from imageset.formats import hdf5, row_checksums, tables
from imageset.formats.hdf5 import Indices, Pixels
from imageset.formats.photo_places import find_rows
from imageset.formats.preview_file import PreviewRows, decode_square
from imageset.runtime import params, progress, rates, settings, stage

COMPARED_SIDE = 64  # of the photos that are compared in colour
PAIRS_AT_ONCE = 64  # 90 MB


def map_thumbnails(thumbnails_h5: Path, photos: pd.DataFrame) -> Pixels:
    """Return the thumbnails, mapped into memory. Raises DataError when they are of other photos, or damaged."""
    with row_checksums.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file:
        hdf5.require_photos(file, *(photos[name].to_numpy() for name in ("row", "product_id", "position")))
        return row_checksums.map_images(file)


def find_pictures(
    previews_h5: Path, photos: pd.DataFrame, same_bytes: Ties, near: Ties, memory: SearchMemory
) -> Indices:
    """Return for each photo the number of what it shows, (N,): see `number_pictures`. memory: of earlier searches."""
    with row_checksums.open_file(previews_h5, hdf5.PREVIEWS) as file:
        previews, rows = PreviewRows(file), find_rows(file, photos)

        def compare_block(left: Indices, right: Indices) -> NDArray[np.bool_]:
            both = [[previews.read(row) for row in rows[places].tolist()] for places in (left, right)]
            keys, known = memory.recall(f"show_same {COMPARED_SIDE}", *map(digest_previews, both))
            new = np.flatnonzero(np.isnan(known))
            if len(new):
                known[new] = show_same(*(decode_previews([bodies[place] for place in new]) for bodies in both))
            memory.keep_likeness(keys, known)
            return known > 0

        def compare(left: Indices, right: Indices) -> NDArray[np.bool_]:
            blocks = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(left), PAIRS_AT_ONCE)]
            bar = progress.bar(blocks, "duplicates: pictures", len(blocks), unit="block")
            return np.concatenate([compare_block(left[block], right[block]) for block in bar])

        return number_pictures(photos, same_bytes, near, compare)


def digest_previews(previews: Sequence[bytes]) -> Digests:
    """Return a digest of each preview, (N, DIGEST_BYTES)."""
    digests = [hashlib.blake2b(preview, digest_size=DIGEST_BYTES).digest() for preview in previews]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def decode_previews(previews: Sequence[bytes]) -> Pixels:
    """Return previews as they are compared, YCbCr, uint8 (N, COMPARED_SIDE, COMPARED_SIDE, 3)."""
    return np.stack([decode_square(preview, COMPARED_SIDE, "YCbCr") for preview in previews])


def main(
    processed_csv: Path,
    thumbnails_h5: Path,
    previews_h5: Path,
    listing_groups_csv: Path,
    released_split_csv: Path,
    groups_csv: Path,
    near_duplicates_csv: Path,
) -> None:
    """Find near-duplicates; put photos that belong together into one group.

    Args:
        processed_csv: the row of each photo in processed.h5, and its hashes.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        previews_h5: a small picture of every photo in colour, by which near-duplicates are compared once more.
        listing_groups_csv: the value of source.group_by of every listing.
        released_split_csv: the subsets that the last release fixed.
        groups_csv: the group of each photo: photos of one group stay in one subset.
        near_duplicates_csv: pairs of near-duplicate photos.
    """
    duplicates = params.load().duplicates
    photos = tables.read(processed_csv, tables.PROCESSED)
    values = tables.read(listing_groups_csv, tables.LISTING_GROUPS)
    released = tables.read(released_split_csv, tables.SPLIT)
    subsets = released_subsets.of_photos(photos, released), released_subsets.of_products(photos, released)
    thumbnails = map_thumbnails(thumbnails_h5, photos)
    known = duplicate_search.KnownPhotos(photos, thumbnails, values, *subsets)
    same_bytes = known.tie_bytes()
    with open_memory(settings.search_cache(), describe_recipe(duplicates)) as memory:
        pairs = list(duplicate_search.search(known, duplicates, memory, is_kept=True))
        pictures = find_pictures(previews_h5, photos, same_bytes, duplicate_search.ties_of(pairs), memory)
        is_shared = groups.shared_pictures(photos, pictures, duplicates.max_products)
        pairs += duplicate_search.search_without(is_shared, pairs, known, duplicates, memory)
    alike = ties.join([same_bytes, duplicate_search.ties_of(pairs)])
    grouped = groups.group_photos(photos, alike, pictures, is_shared, values, *subsets)
    listed = duplicate_search.pair_table(photos, pairs)
    reasons = [reason for reason in grouped["reason"] if reason]
    if len(reasons) > duplicates.max_rejected_share * len(photos):
        raise DataError(
            f"{len(reasons)} of {len(photos)} photos are left out ({tables.tally(reasons)}): more than "
            f"duplicates.max_rejected_share = {duplicates.max_rejected_share}"
        )
    tables.write(groups_csv, tables.GROUPS, grouped)
    tables.write(near_duplicates_csv, tables.NEAR_DUPLICATES, listed)
    inside = grouped[grouped["reason"] == ""]
    rates.note(len(photos), memory.new)
    print(
        f"duplicates: {len(photos)} photos, {inside['group'].nunique()} groups, {len(listed)} near-duplicates, "
        f"left out: {tables.tally(reasons)}; {memory.new} photos hashed and {memory.compared} pairs compared anew"
    )


if __name__ == "__main__":
    stage.run("duplicates", main)
