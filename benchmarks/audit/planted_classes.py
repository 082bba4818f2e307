"""How many planted classes are found: python -m benchmarks.audit.planted_classes [PHOTOS]

PHOTOS is a folder per class. Of each class, in turn: half of its photos get a class of their own; or its photos get
classes of other photos, and as many photos of any class get it. Answers come from the models that stage audit makes of
the edges in thumbnails, out of fold.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import circumstances, options, table
from imageset.audit import folds, labels
from imageset.audit.class_suspects import find_class_suspects
from imageset.evaluation import hog_features
from imageset.formats.hdf5 import Pixels
from imageset.formats.stable_hash import rank
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto, preprocess_photo
from imageset.runtime import progress
from imageset.runtime.params import load

SEEDS = 3

Labels = NDArray[np.int64]
Features = NDArray[np.uint8]  # (2, N, D), as they are and mirrored


class Planted(NamedTuple):
    """Labels with one class changed, and the first row that is expected: class, reason, other class."""

    labels: Labels
    expected: tuple[int, str, int | None]


def parse() -> argparse.Namespace:
    return options("audit.planted_classes", __doc__, SEEDS, 713).parse_args()


def make_thumbnail(body: bytes) -> Pixels:
    """Return the thumbnail that stage preprocess makes of a photo."""
    made = preprocess_photo(body, load(ROOT / "params.yaml").preprocess)
    assert isinstance(made, DecodedPhoto)
    assert isinstance(made.prepared, PreparedPhoto)
    return made.prepared.thumbnail


def answer(features: Features, own: Labels) -> Labels:
    """Return the class that each photo is given by a model that did not learn from it; each photo is its own group."""
    names, places = np.unique(own, return_inverse=True)
    dealt = folds.deal_folds(places, np.arange(len(own)))
    total, of_fold = folds.sum_folds(features, places, dealt, len(names))
    judgements = labels.judge(features, places, dealt, labels.learn(total, of_fold), len(names))
    return np.asarray(names[judgements.likeliest[:, 0]])


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
    return Planted(mixed, (changed, "not_told_from_chance", None))


def find(features: Features, own: Labels, names: list[str]) -> list[tuple[int, str, int | None]]:
    """Return the class suspects in their order: class, reason, other class."""
    classes = pd.DataFrame(
        {
            "catalog_id": range(len(names)),
            "name": names,
            "parent_id": pd.array([None] * len(names), "Int64"),
        }
    )
    suspects = find_class_suspects(classes, own, answer(features, own))
    others = [None if pd.isna(other) else int(other) for other in suspects["suggestion"]]
    return list(zip(suspects["catalog_id"].tolist(), suspects["why"].tolist(), others, strict=True))


def main() -> None:
    chosen = parse()
    paths = sorted(chosen.folder.glob("*/*.jp*g"), key=lambda path: rank(*path.name.encode()))[: chosen.photos]
    circumstances(chosen, f"{len(paths)} photos of {chosen.folder}", "numpy", "scikit-learn")
    with ProcessPoolExecutor() as workers:
        thumbnails = np.stack(list(workers.map(make_thumbnail, [path.read_bytes() for path in paths], chunksize=16)))
    views = [thumbnails, np.ascontiguousarray(thumbnails[:, :, ::-1])]
    features = np.stack([hog_features.features(view) for view in views])
    names = sorted({path.parent.name for path in paths})
    own = np.array([names.index(path.parent.name) for path in paths])
    print(f"Nothing planted: {len(find(features, own, names))} listed\n")
    kinds: dict[str, Callable[[Labels, int, np.random.Generator], Planted]] = {
        "split into two": split,
        "of random photos": scatter,
    }
    rows = []
    for kind, plant in kinds.items():
        missed: Counter[str] = Counter()
        others = 0
        turns = [(changed, seed) for changed in range(len(names)) for seed in range(chosen.turns)]
        for changed, seed in progress.bar(turns, kind, len(turns), unit="class"):
            planted = plant(own, changed, np.random.default_rng([seed, changed]))
            found = find(features, planted.labels, [*names, "planted"])
            missed[names[changed]] += found[:1] != [planted.expected]
            others += len([row for row in found if row != planted.expected])
        photos = {name: int((own == number).sum()) for number, name in enumerate(names)}
        worst = ", ".join(f"{name} {count} ({photos[name]} photos)" for name, count in missed.most_common() if count)
        rows.append((kind, str(len(turns)), str(len(turns) - missed.total()), worst or "none", str(others)))
    table(("a class", "planted", "found, first", "missed", "other rows"), rows)


if __name__ == "__main__":
    main()
