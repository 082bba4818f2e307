"""Batches: how many photos a worker gets at a time, and only those of which nothing is known."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imageset.photos.batches import make_batches
from imageset.photos.cache import PhotoCache
from imageset.photos.preprocess import PhotoResult, PreparedPhoto, PreprocessRecipe, Rejected
from imageset.storage.bucket import Bucket, StoredObject
from tests.conftest import U2NETP_SHA256
from tests.photos.test_cache import CLIENT
from tests.photos.test_preprocess import recipe


def rows(sizes: list[int]) -> list[tuple[Any, ...]]:
    """Return an inventory of objects of these sizes."""
    return [(f"{number}.jpeg", number, 0, f"{number:032x}", size, "") for number, size in enumerate(sizes)]


@pytest.fixture
def open_cache(tmp_path: Path) -> Iterator[Callable[[PreprocessRecipe], PhotoCache]]:
    """Open a cache for a recipe, of a bucket that no test reads."""
    with ExitStack() as opened:
        yield lambda some_recipe: opened.enter_context(
            closing(
                PhotoCache(tmp_path / "photos.sqlite", Bucket(None, CLIENT, "bucket", ""), some_recipe, U2NETP_SHA256)
            )
        )


KEEP, REMOVE = recipe(), recipe(Path("no weights"))
MB = 1 << 20


@pytest.mark.parametrize(
    ("some_recipe", "sizes", "expected"),
    [
        (KEEP, [1] * 130, [64, 64, 2]),
        (REMOVE, [1] * 20, [8, 8, 4]),
        (KEEP, [], []),
        (KEEP, [9 * MB, 9 * MB, 1, 16 * MB, 40 * MB, 1], [2, 2, 1, 1]),
        (recipe(image_side=1700), [1] * 5, [2, 2, 1]),
    ],
)
def test_a_batch_ends_with_the_photo_that_makes_it_large_enough(
    some_recipe: PreprocessRecipe,
    sizes: list[int],
    expected: list[int],
    open_cache: Callable[[PreprocessRecipe], PhotoCache],
) -> None:
    inventory = rows(sizes)
    batches = list(make_batches(inventory, open_cache(some_recipe), some_recipe))

    assert [len(photos) for photos, _ in batches] == [len(requests) for _, requests in batches] == expected
    assert [photo.product_id for photo in chain.from_iterable(photos for photos, _ in batches)] == [
        product_id for _, product_id, *_ in inventory
    ]


def test_a_photo_that_is_known_is_not_requested(open_cache: Callable[[PreprocessRecipe], PhotoCache]) -> None:
    inventory = rows([1] * 130)
    mask, cache = Image.new("L", (320, 320), 7), open_cache(REMOVE)
    known: dict[int, PreparedPhoto | Rejected] = {
        3: PreparedPhoto(np.zeros((32, 32, 3), np.uint8), np.zeros((64, 64, 1), np.uint8), "sum", "hash", "mirrored"),
        4: Rejected("mask_full"),
    }
    for number, (key, _, _, etag, size, _) in enumerate(inventory[:80]):
        # Of most of them the mask alone is known: the cache does not keep decoder_* rejections.
        outcome = known.get(number, Rejected("decoder_memory"))
        cache.add(StoredObject(key, etag, size, ""), PhotoResult(outcome, mask))
    cache.commit()
    batches = list(make_batches(inventory, cache, REMOVE))
    photos, requests = (list(chain.from_iterable(column)) for column in zip(*batches, strict=True))

    assert [type(photo.known) for photo in photos[:6]] == [type(None)] * 3 + [PreparedPhoto, Rejected, type(None)]
    assert [one.stored.key for one in requests] == [row[0] for row in inventory if row[1] not in known]
    assert [one.mask is not None for one in requests] == [True] * 78 + [False] * 50
    assert requests[0].mask.tobytes() == mask.tobytes()
    assert [len(one.requests) for one in batches] == [64, 22, 8, 8, 8, 8, 8, 2]
