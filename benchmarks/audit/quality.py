"""How many planted errors are found: labels flipped at random, pictures that are no garments."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks.audit.off_topic import KINDS
from benchmarks.audit.photos import CACHE, Photos, read_off_topic
from benchmarks.shared.tables import table
from imageset.audit import features as features_of
from imageset.audit import folds, labels, outliers
from imageset.audit.features import Features

EACH = 6  # pictures of each kind that are planted
AMONG = 0.05  # of the photos: where planted pictures are looked for

Labels = NDArray[np.int64]


class Scored(NamedTuple):
    """Photos with flipped labels, and what the models say of them: probabilities (N, C), scores (N,)."""

    given: Labels
    flipped: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    scores: NDArray[np.float64]
    listed: int
    found: int
    suggested: float


def flip(classes: Labels, share: float, seed: int) -> tuple[Labels, NDArray[np.bool_]]:
    """Give a share of the photos, drawn without replacement, another class, all others alike."""
    random, count = np.random.default_rng(seed), int(classes.max()) + 1
    places = random.choice(len(classes), round(share * len(classes)), replace=False)
    given, flipped = classes.copy(), np.zeros(len(classes), bool)
    given[places] = (classes[places] + random.integers(1, count, len(places))) % count
    flipped[places] = True
    return given, flipped


def score(features: Features, given: Labels, photos: Photos, flipped: NDArray[np.bool_]) -> Scored:
    """Score photos as the stage does."""
    count = len(photos.names)
    dealt = folds.deal_folds(given, photos.groups)
    with threadpool_limits(limits=1):
        models = labels.learn(*folds.sum_folds([(slice(None), features)], given, dealt, count))
        temperature = labels.choose_temperature(features, given, dealt, models, count)
        judged = labels.judge(features, given, dealt, models, count, temperature, candidates=count)
    probabilities = np.zeros((len(given), count))
    np.put_along_axis(probabilities, judged.likeliest, judged.chances, axis=1)
    numbers = np.arange(len(given))
    catalog = pd.DataFrame({"product_id": numbers, "position": 0, "catalog_id": given})
    listed = labels.find_label_suspects(catalog, given, judged)
    hits = flipped[listed["product_id"]]
    right = labels.other_classes(given, judged)[flipped] == photos.classes[flipped]
    return Scored(given, flipped, probabilities, judged.surprise, len(listed), int(hits.sum()), float(right.mean()))


def rate(scores: NDArray[np.float64], flipped: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the AUROC, and the precision among the first k where k are flipped."""
    first = np.argsort(-scores, kind="stable")[: int(flipped.sum())]
    return float(roc_auc_score(flipped, scores)), float(flipped[first].mean())


def ask_cleanlab(python: Path, scored: Sequence[Scored]) -> dict[str, list[NDArray[np.float64]]]:
    """Return cleanlab's scores of the same probabilities, the most suspect highest, by method, for each seed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "probabilities.npz"
    arrays: dict[str, Any] = {f"p{number}": each.probabilities for number, each in enumerate(scored)}
    arrays |= {f"l{number}": each.given for number, each in enumerate(scored)}
    np.savez(path, **arrays)
    script = Path(__file__).with_name("peers.py")
    done = subprocess.run([str(python), str(script), str(path)], capture_output=True, text=True, check=True)
    return {name: [-np.array(values) for values in found] for name, found in json.loads(done.stdout).items()}


def report_labels(photos: Photos, share: float, seeds: Sequence[int], python: Path | None) -> None:
    """Print how well flipped labels are found, with embeddings and without, and beside cleanlab."""
    rows = []
    for name, features in photos.features.items():
        scored = [score(features, *flipped_photos(photos, share, seed)) for seed in seeds]
        contenders = {"stage audit": [each.scores for each in scored]}
        if python is not None:
            contenders |= {f"cleanlab, {method}": found for method, found in ask_cleanlab(python, scored).items()}
        for contender, scores in contenders.items():
            rated = np.array([rate(*each) for each in zip(scores, [one.flipped for one in scored], strict=True)])
            rows.append((name, contender, *map(spread, rated.T)))
        listed, found, right = (
            np.mean([getattr(each, what) for each in scored]) for what in ("listed", "found", "suggested")
        )
        planted = int(scored[0].flipped.sum())
        print(f"{name}: {listed:.0f} listed, {found:.1f} of {planted} flipped ones among them.", end=" ")
        print(f"The own class is suggested for {right:.3f} of the flipped ones.")
    print()
    table(("features", "scores", "AUROC, mean (least to most)", "precision among the first k"), rows)


def flipped_photos(photos: Photos, share: float, seed: int) -> tuple[Labels, Photos, NDArray[np.bool_]]:
    given, flipped = flip(photos.classes, share, seed)
    return given, photos, flipped


def spread(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.4f} ({values.min():.3f} to {values.max():.3f})"


def report_outliers(photos: Photos, seeds: Sequence[int], weights: Path) -> None:
    """Print how many of the planted pictures are among the first AMONG of all photos, by kind."""
    rows = []
    for name in photos.features:
        recalls = [outlier_recall(photos, name, seed, weights) for seed in seeds]
        of_kinds = [float(np.mean([recall[kind.__name__] for recall in recalls])) for kind in KINDS]
        rows.append((name, f"{np.mean(of_kinds):.3f}", *(f"{value:.2f}" for value in of_kinds)))
    table(("features", "recall", *(kind.__name__.replace("_", " ") for kind in KINDS)), rows)


def outlier_recall(photos: Photos, name: str, seed: int, weights: Path) -> dict[str, float]:
    """Return the share of the planted pictures of each kind among the first AMONG of all."""
    kinds, drawn, thumbnails = read_off_topic(seed, EACH, weights)
    features = np.concatenate([photos.features[name], drawn[name]], axis=1)
    random = np.random.default_rng(seed)
    given = np.concatenate([photos.classes, random.integers(0, len(photos.names), len(kinds))])
    groups = np.concatenate([photos.groups, photos.groups.max() + 1 + np.arange(len(kinds))])
    dealt = folds.deal_folds(given, groups)
    total, of_fold = folds.sum_folds([(slice(None), features)], given, dealt, len(photos.names))
    with threadpool_limits(limits=1):
        remoteness = outliers.measure_remoteness(features, dealt, outliers.find_centres(total, of_fold))
    contrasts = features_of.measure_contrasts(np.concatenate([photos.thumbnails, thumbnails]))
    catalog = pd.DataFrame({"product_id": np.arange(len(given)), "position": 0, "catalog_id": given})
    listed = outliers.find_outliers(catalog, remoteness, contrasts)
    first = set(listed["product_id"].head(int(AMONG * len(given))))
    places = {kind: [len(photos.classes) + n for n, each in enumerate(kinds) if each == kind] for kind in set(kinds)}
    return {kind: len(first.intersection(of_kind)) / len(of_kind) for kind, of_kind in places.items()}
