"""How many planted classes are found: one that is split into two, one of random photos."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.audit.photos import Photos
from benchmarks.shared.tables import table
from imageset.audit import folds, labels
from imageset.audit.class_suspects import find_class_suspects
from imageset.audit.features import Features
from imageset.runtime import progress

Labels = NDArray[np.int64]
Row = tuple[int, str, int | None]  # class, reason, other class


class Planted(NamedTuple):
    """Labels with one class changed, and the first row that is expected."""

    labels: Labels
    expected: Row


def split(own: Labels, changed: int, random: np.random.Generator) -> Planted:
    """Give about half of a class's photos a class of their own."""
    new = int(own.max()) + 1
    half = (own == changed) & (random.random(len(own)) < 0.5)
    return Planted(np.where(half, new, own), (changed, "same_class", new))


def scatter(own: Labels, changed: int, random: np.random.Generator) -> Planted:
    """Give a class's photos classes of other photos, and as many photos of any class the class."""
    photos = own == changed
    mixed = np.where(photos, random.choice(own[~photos], len(own)), own)
    mixed[random.choice(len(own), photos.sum(), replace=False)] = changed
    return Planted(mixed, (changed, "no_better_than_chance", None))


KINDS: dict[str, Callable[[Labels, int, np.random.Generator], Planted]] = {
    "split into two": split,
    "of random photos": scatter,
}


def find(features: Features, own: Labels, photos: Photos) -> list[Row]:
    """Return the class suspects in their order, as the stage finds them."""
    names = [*photos.names, "planted"]
    dealt = folds.deal_folds(own, photos.groups)
    with threadpool_limits(limits=1):
        models = labels.learn(*folds.sum_folds([(slice(None), features)], own, dealt, len(names)))
        temperature = labels.choose_temperature(features, own, dealt, models, len(names))
        judged = labels.judge(features, own, dealt, models, len(names), temperature)
    parents = pd.array([None] * len(names), "Int64")
    classes = pd.DataFrame({"catalog_id": range(len(names)), "name": names, "parent_id": parents})
    suspects = find_class_suspects(classes, own[judged.judged], judged.likeliest[judged.judged, 0])
    others = [None if pd.isna(other) else int(other) for other in suspects["suggestion"]]
    return list(zip(suspects["catalog_id"].tolist(), suspects["why"].tolist(), others, strict=True))


def report_classes(photos: Photos, seeds: list[int]) -> None:
    """Plant both kinds of wrong classes, one class after the other, and print how many are the first suspect."""
    rows = []
    for name, features in photos.features.items():
        rows.append(("nothing", name, "", "", "", str(len(find(features, photos.classes, photos)))))
        for kind in KINDS:
            rows.append((kind, name, *count_found(kind, features, photos, seeds)))
    table(("a class", "seen by", "planted", "found, first", "missed", "other rows"), rows)


def count_found(kind: str, features: Features, photos: Photos, seeds: list[int]) -> tuple[str, str, str, str]:
    """Return how many classes were planted and found, the names of the others, and how many other rows there were."""
    missed: Counter[str] = Counter()
    others = 0
    turns = [(changed, seed) for changed in range(len(photos.names)) for seed in seeds]
    for changed, seed in progress.bar(turns, kind, len(turns), unit="class"):
        planted = KINDS[kind](photos.classes, changed, np.random.default_rng([seed, changed]))
        found = find(features, planted.labels, photos)
        missed[photos.names[changed]] += found[:1] != [planted.expected]
        others += len([row for row in found if row != planted.expected])
    worst = [
        f"{name} {count} ({(photos.classes == photos.names.index(name)).sum()} photos)"
        for name, count in missed.most_common()
        if count
    ]
    return str(len(turns)), str(len(turns) - missed.total()), ", ".join(worst), str(others)
