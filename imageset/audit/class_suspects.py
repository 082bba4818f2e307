"""Which classes look wrong: two that are one, one that nothing tells from the others, near-equal names. Pure."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from imageset.evaluation.feature_blocks import Labels

REASONS = ("no_better_than_chance", "same_class", "similar_name")

CONFIDENCE = 0.95
NORMAL_QUANTILE = float(ndtri((1 + CONFIDENCE) / 2))
MOST_DISTINCT = 0.5  # Youden's J of two classes: those that differ by more are surely two
MOST_KNOWN = 0.3  # Youden's J of a class among all others: reached by chance where a class has fewer than nine photos
FEWEST = 5  # photos of a class that have to be answered with either class of a pair
LETTERS = 6  # words with fewer differ by one letter and mean something else: skirt and shirt
LONGEST_NAME = 200  # letters: words of longer names are compared with none, as time and memory grow with their square
LIKENESS = 0.83  # of two words: one letter in six differs
DECIMALS = 4
APOSTROPHE = r"['\u2019]s?\b"  # the typed one and the printed one


class ClassSuspect(NamedTuple):
    """A class, or a pair of classes, that looks wrong. score: 0 to 1, higher is more suspect. why: of REASONS."""

    catalog_id: int
    score: float
    why: str
    suggestion: int | None  # the other class of a pair


def find_class_suspects(classes: pd.DataFrame, labels: Labels, answers: Labels) -> pd.DataFrame:
    """Return the classes that look wrong, the most suspect first.

    Args:
        classes: catalog_id, name and parent_id (Int64) of the dataset's classes.
        labels: the catalog_id of each photo, int64 (N,).
        answers: the catalog_id that a classifier gives each photo which did not learn from it, int64 (N,).

    Returns:
        product_id and position (none), catalog_id, score (float64), why (of REASONS), suggestion (Int64): the other
        class of a pair, the larger id.
    """
    pairs = find_same_classes(labels, answers)
    explained = {catalog_id for pair in pairs for catalog_id in (pair.catalog_id, pair.suggestion)}
    unknown = [suspect for suspect in find_unknown_classes(labels, answers) if suspect.catalog_id not in explained]
    rows = sorted(
        [*unknown, *pairs, *find_similar_names(classes)],
        key=lambda suspect: (-suspect.score, suspect.why, suspect.catalog_id, suspect.suggestion or 0),
    )
    table = pd.DataFrame(rows, columns=list(ClassSuspect._fields), dtype=object)
    types = {"catalog_id": "int64", "score": "float64", "suggestion": "Int64"}
    return table.astype(types).assign(product_id=None, position=None)


def find_same_classes(labels: Labels, answers: Labels) -> list[ClassSuspect]:
    """Return pairs of classes that the answers do not tell apart.

    Of the photos of two classes that are answered with either, the share of the first class answered with the first,
    less that of the second: Youden's J, 1 for classes that are told apart, 0 where the answer does not depend on the
    class, whichever class is larger. A pair is listed when J is surely below MOST_DISTINCT, so small classes that
    happened to be confused are not, and when at least half of the photos of each class, and FEWEST, are answered with
    either: a class of any photos whatever is like no other. The score is 1 less the upper limit of J, at most 1.

    Args:
        labels: the catalog_id of each photo, int64 (N,).
        answers: the catalog_id that each is given, int64 (N,).
    """
    photos = dict(zip(*(values.tolist() for values in np.unique(labels, return_counts=True)), strict=True))
    counts = {
        (int(label), int(answer)): int(count)
        for (label, answer), count in pd.Series(1, index=[labels, answers]).groupby(level=[0, 1]).sum().items()
    }
    confused = {(min(pair), max(pair)) for pair in counts if pair[0] != pair[1]}
    suspects = []
    for first, second in sorted(confused):
        right, missed = counts.get((first, first), 0), counts.get((first, second), 0)
        wrong, kept = counts.get((second, first), 0), counts.get((second, second), 0)
        _, upper = bound_difference(right, right + missed, wrong, wrong + kept)
        within = [(right + missed, photos.get(first, 0)), (wrong + kept, photos.get(second, 0))]
        if upper < MOST_DISTINCT and all(count >= max(FEWEST, own / 2) for count, own in within):
            suspects.append(ClassSuspect(first, rate(upper), "same_class", second))
    return suspects


def find_unknown_classes(labels: Labels, answers: Labels) -> list[ClassSuspect]:
    """Return classes whose photos are answered with the class hardly more often than photos of other classes.

    The share of its photos that are answered with it, less that share of all other photos (informedness: Powers,
    Evaluation: From Precision, Recall and F-Measure to ROC, 2011), is not surely above 0, and surely below MOST_KNOWN.
    """
    suspects = []
    names, places = np.unique(labels, return_inverse=True)
    photos = np.bincount(places)
    hits = np.bincount(places[labels == answers], minlength=len(names))
    given = np.searchsorted(np.sort(answers), names, "right") - np.searchsorted(np.sort(answers), names, "left")
    for label, own, right, all_given in zip(
        names.tolist(), photos.tolist(), hits.tolist(), given.tolist(), strict=True
    ):
        lower, upper = bound_difference(right, own, all_given - right, len(labels) - own)
        if lower <= 0 and upper < MOST_KNOWN:
            suspects.append(ClassSuspect(label, rate(upper), "no_better_than_chance", None))
    return suspects


def rate(upper: float) -> float:
    """Return the score of classes that differ by at most this much: 0 to 1."""
    return round(1 - max(upper, 0.0), DECIMALS)


def bound_difference(hits: int, of: int, other_hits: int, of_others: int) -> tuple[float, float]:
    """Return the limits of the difference of two shares, with CONFIDENCE.

    Method 10 of Newcombe, Interval Estimation for the Difference between Independent Proportions, 1998: it puts
    together the intervals of Wilson, Probable Inference, 1927, and is right for small numbers, too.

    >>> bound_difference(56, 70, 48, 80)
    (0.0524, 0.3339)
    """
    share, other = hits / max(of, 1), other_hits / max(of_others, 1)
    (low, high), (other_low, other_high) = bound_share(hits, of), bound_share(other_hits, of_others)
    lower = share - other - ((share - low) ** 2 + (other_high - other) ** 2) ** 0.5
    upper = share - other + ((high - share) ** 2 + (other - other_low) ** 2) ** 0.5
    return round(lower, DECIMALS), round(upper, DECIMALS)


def bound_share(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's limits of a share; 0 and 1 if nothing was counted."""
    if not of:
        return 0.0, 1.0
    share, square = hits / of, NORMAL_QUANTILE**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = NORMAL_QUANTILE * ((share * (1 - share) + square / (4 * of)) / of) ** 0.5 / (1 + square / of)
    return middle - reach, middle + reach


def find_similar_names(classes: pd.DataFrame) -> list[ClassSuspect]:
    """Return pairs of classes of one parent whose names are near-equal.

    Equal without case, accents, spaces, punctuation and a plural s: score 1. Or one of the words differs by a letter
    or two and has at least LETTERS: the likeness of the words (difflib). That is left out for a name of more than
    LONGEST_NAME letters. Equal names under two parents are two classes.

    Args:
        classes: catalog_id, name and parent_id (Int64).
    """
    named = [
        (int(catalog_id), None if pd.isna(parent) else int(parent), normalize(name))
        for catalog_id, name, parent in classes[["catalog_id", "name", "parent_id"]].itertuples(index=False)
    ]
    places: dict[tuple[object, ...], list[tuple[int, str]]] = defaultdict(list)
    for catalog_id, parent, words in named:
        for place, key in keys_of(words):
            places[(parent, key)].append((catalog_id, place))
    found: dict[tuple[int, int], float] = {}
    for members in places.values():
        for (first, word), (second, other) in combinations(sorted(members), 2):
            likeness = compare_words(word, other)
            if first != second and likeness >= LIKENESS:
                found[first, second] = max(likeness, found.get((first, second), 0.0))
    return [ClassSuspect(first, score, "similar_name", second) for (first, second), score in sorted(found.items())]


def normalize(name: str) -> tuple[str, ...]:
    """Return the words of a name without case, accents, punctuation and a plural s.

    >>> normalize("T-Shirts (Men's)")
    ('t', 'shirt', 'men')
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", re.sub(APOSTROPHE, "", letters))
    return tuple(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    )


def keys_of(words: Sequence[str]) -> Iterator[tuple[str, object]]:
    """Yield a word and what is the same for all names that it may be compared in: all of it, or all other words."""
    if words:
        yield "", "".join(words)
    if sum(map(len, words)) > LONGEST_NAME:
        return
    for place, word in enumerate(words):
        if len(word) >= LETTERS:
            yield word, (place, *words[:place], None, *words[place + 1 :])


def compare_words(word: str, other: str) -> float:
    """Return the likeness of two words, 0 to 1, rounded; 0 where their lengths alone exclude LIKENESS."""
    shorter, longer = sorted((len(word), len(other)))
    if 2 * shorter < LIKENESS * (shorter + longer):
        return 0.0
    return round(SequenceMatcher(None, word, other, autojunk=False).ratio(), DECIMALS)
