"""Made features, classes and groups, in which something is wrong."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.audit.features import Features
from imageset.evaluation.feature_blocks import Labels

DIMENSIONS = 40


def make_features(labels: Labels, seed: int = 0, spread: float = 30.0) -> Features:
    """Return features of photos around a centre for each class: uint8 (1, N, DIMENSIONS)."""
    random = np.random.default_rng(seed)
    centres = random.uniform(60, 190, (int(labels.max(initial=0)) + 1, DIMENSIONS))
    values = centres[labels] + random.normal(0, spread, (len(labels), DIMENSIONS))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)[None]


def make_catalog(labels: Labels) -> pd.DataFrame:
    """Return a catalog: each photo a product and a group of its own, class 0 has catalog_id 10."""
    numbers = np.arange(len(labels))
    return pd.DataFrame({"product_id": numbers + 100, "position": 0, "catalog_id": labels + 10, "group": numbers + 100})


def flip(labels: Labels, share: float, seed: int) -> tuple[Labels, NDArray[np.int64]]:
    """Give a share of the photos another class; return all classes, and which photos have another one."""
    random = np.random.default_rng(seed)
    classes, count = int(labels.max()) + 1, round(share * len(labels))
    places = np.sort(random.choice(len(labels), count, replace=False))
    flipped = labels.copy()
    flipped[places] = (labels[places] + random.integers(1, classes, count)) % classes
    return flipped, places
