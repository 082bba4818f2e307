"""Checks that the rows of any dataset file must pass, by its columns and by a hash of the pixels of each row."""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imageset.dataset.augment import copies_of
from imageset.dataset.check import EXAMPLES, Check, check_result
from imageset.dataset.photo_rows import Photos, SubsetRows, cross_subset_duplicates
from imageset.errors import DataError
from imageset.formats import source_ids
from imageset.runtime.sections import AugmentParams

COPIES_SHOWN = 8


def products_in_one_subset(photos: Photos) -> Check:
    """No product is in two subsets."""
    rows = photos.rows.take(photos.first)
    wrong, others = cross_subset_duplicates(rows.subsets, rows.ids)
    other = dict(zip(wrong[:EXAMPLES].tolist(), others[:EXAMPLES].tolist(), strict=True))
    return check_result(
        "products_in_one_subset",
        len(rows.ids),
        wrong,
        lambda row: f"{rows.describe(row)} and {rows.describe(other[row])}",
    )


def groups_in_one_subset(rows: SubsetRows, groups: NDArray[np.int64]) -> Check:
    """No group is in two subsets. groups: of each row, (N,)."""
    wrong, _ = cross_subset_duplicates(rows.subsets, groups)
    return check_result(
        "groups_in_one_subset",
        len(groups),
        wrong,
        describe_with_group(rows, groups),
    )


def products_in_one_group(rows: SubsetRows, groups: NDArray[np.int64]) -> Check:
    """No product is in two groups. groups: of each row, (N,)."""
    order = np.lexsort((groups, rows.ids))
    ids, of_ids = rows.ids[order], groups[order]
    wrong = order[1:][(ids[1:] == ids[:-1]) & (of_ids[1:] != of_ids[:-1])]
    return check_result(
        "products_in_one_group",
        len(groups),
        wrong,
        describe_with_group(rows, groups),
    )


def describe_with_group(rows: SubsetRows, groups: NDArray[np.int64]) -> Callable[[int], str]:
    """Return the function that names a row and its group. groups: of each row, (N,)."""
    return lambda row: f"{rows.describe(row)} of group {source_ids.text(groups[row])}"


def ids_of_source_ids(rows: SubsetRows, texts: NDArray[np.bytes_]) -> Check:
    """The id of every row is the number of its source id. texts: the source's id of each row, UTF-8, (N,)."""
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    numbers = [number_of(texts[row]) for row in first.tolist()]
    expected = np.array([-1 if number is None else number for number in numbers], np.int64)[inverse]
    return check_result(
        "ids_of_source_ids",
        len(texts),
        np.flatnonzero(rows.ids != expected),
        lambda row: f"{rows.describe(row)} with source id {texts[row]!r}",
    )


def number_of(text: bytes) -> int | None:
    """Return the number of a source's id in UTF-8; None where it is no id."""
    try:
        return source_ids.number(text.decode())
    except (ValueError, DataError):
        return None


def pixels_in_one_subset(rows: SubsetRows, hashes: NDArray[np.uint64]) -> Check:
    """No row, augmented ones included, has the pixels of a row in another subset.

    hashes: of the pixels of each row, (N, 2).
    """
    wrong, others = cross_subset_duplicates(rows.subsets, hashes[:, 1], hashes[:, 0])
    other = dict(zip(wrong[:EXAMPLES].tolist(), others[:EXAMPLES].tolist(), strict=True))
    return check_result(
        "pixels_in_one_subset",
        len(hashes),
        wrong,
        lambda row: f"{rows.describe(row)} with the pixels of {rows.describe(other[row])}",
        "blank images: raise preprocess.min_foreground or change preprocess.fill; "
        "others: raise duplicates.distance or lower duplicates.likeness",
    )


def augmented_as_photos(photos: Photos) -> Check:
    """Every augmented row has the id, position and label of a photo of its subset."""
    rows, number = photos.rows, photos.number
    augmented = rows.copies != 0
    alike = photos.has_original[number] & (rows.labels == photos.labels[number])
    return check_result("augmented_as_photos", int(augmented.sum()), np.flatnonzero(augmented & ~alike), rows.describe)


def copies_complete(photos: Photos, augment: AugmentParams) -> Check:
    """Every training photo has the copies that its label gets, numbered from 0, once each; other photos have copy 0.

    Another check finds rows without a photo.
    """
    rows, first = photos.rows, photos.first
    trained = photos.has_original & (photos.subsets == 0)
    labels, inverse, numbers = np.unique(photos.labels[trained], return_inverse=True, return_counts=True)
    copies = copies_of(dict(zip(labels.tolist(), numbers.tolist(), strict=True)), augment)
    expected = np.ones(len(first), np.int64)
    expected[trained] = np.array([copies[label] for label in labels.tolist()], np.int64)[inverse]
    misplaced = rows.copies != np.arange(len(rows.copies)) - np.repeat(first, photos.counts)
    wrong = photos.counts != expected
    wrong[photos.number[misplaced]] = True

    def describe(photo: int) -> str:
        start, count = int(first[photo]), int(photos.counts[photo])
        found = [str(copy) for copy in rows.copies[start : start + min(count, COPIES_SHOWN)]]
        listed = " ".join([*found, "..."] if count > COPIES_SHOWN else found)
        return f"{rows.describe(start)} has copies {listed}, expected {expected[photo]}"

    return check_result("copies_complete", len(first), np.flatnonzero(wrong & photos.has_original), describe)


def labels_in_map(photos: Photos, label_count: int) -> Check:
    """Every label is a row of the label map."""
    rows = photos.rows
    wrong = np.flatnonzero((rows.labels < 0) | (rows.labels >= label_count))
    return check_result(
        "labels_in_map", len(rows.labels), wrong, lambda row: f"{rows.describe(row)} label {rows.labels[row]}"
    )


def label_map_complete(pairs: list[bytes], names: list[bytes], class_ids: list[bytes] | None = None) -> Check:
    """Row l of the label map is "l,catalog_id" with a catalog_id of its own, and class l has a name.

    Where classes have source's ids, catalog_id is the number of it.
    """
    wrong, seen = [], set()
    for label, pair in enumerate(pairs):
        match = re.fullmatch(rb"%d,(0|-?[1-9][0-9]{0,18})" % label, pair)
        if not match or match[1] in seen:
            wrong.append(f"row {label} of label_map is {pair!r}")
        seen.add(match[1] if match else None)
    if len(names) != len(pairs):
        wrong.append(f"{len(pairs)} labels and {len(names)} class names")
    wrong += [f"class name {label} is {name!r}" for label, name in enumerate(names) if not is_text(name)]
    if class_ids is not None:
        numbers = map(number_of, class_ids)
        found = [None if number is None else b"%d,%d" % (label, number) for label, number in enumerate(numbers)]
        wrong += [f"class id {label} is {text!r}" for label, text in enumerate(class_ids) if found[label] not in pairs]
        wrong += [f"{len(pairs)} labels and {len(class_ids)} class ids"] if len(class_ids) != len(pairs) else []
    return Check("label_map_complete", len(pairs), len(wrong), wrong[:EXAMPLES])


def is_text(value: bytes) -> bool:
    try:
        return bool(value.decode().strip())
    except UnicodeDecodeError:
        return False
