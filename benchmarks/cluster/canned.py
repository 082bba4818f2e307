"""Results that cost no work, in the place of those that workers make. Importing this costs a worker nothing either."""

import os
import pickle
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from imageset.photos.worker import Answer, PhotoRequest

FILE = "IMAGESET_BENCH_RESULTS"  # the variable that names the file of results: a list for each stage, pickled


@lru_cache(maxsize=1)
def load_results() -> dict[str, list[Any]]:
    results: dict[str, list[Any]] = pickle.loads(Path(os.environ[FILE]).read_bytes())
    return results


def answer(batch: Sequence[PhotoRequest], stage: str) -> list[Answer]:
    """Return an answer for each photo; the results of a stage repeat."""
    results = load_results()[stage]
    return [Answer(results[int(request.stored.key.partition(".")[0]) % len(results)], True) for request in batch]


def mask_batch(batch: Sequence[PhotoRequest], **recipe: object) -> list[Answer]:
    return answer(batch, "masks")


def embed_batch(batch: Sequence[PhotoRequest], **recipe: object) -> list[Answer]:
    return answer(batch, "embed")


def preprocess_batch(batch: Sequence[PhotoRequest], **params: object) -> list[Answer]:
    return answer(batch, "preprocess")


def load_network(items: Sequence[None], **network: object) -> Sequence[None]:
    return items
