from pathlib import Path

import numpy as np
import pytest

from imageset.dataset import render
from imageset.dataset.augment import augment_photo
from imageset.dataset.render import RenderRecipe, SourceRows
from imageset.formats import hdf5, row_checksums
from imageset.runtime import params
from tests.project import ROOT

CHOSEN = params.load(ROOT / "params.yaml").augment
FILL = (9, 200, 30)


@pytest.fixture(params=[1, 3])
def processed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, hdf5.Pixels]:
    """A file of 7 photos, and their pixels."""
    images = np.random.default_rng(1).integers(0, 256, (7, 16, 16, request.param), np.uint8)
    path = tmp_path / "processed.h5"
    with hdf5.create(path, hdf5.PROCESSED) as file:
        hdf5.add(file, "ids", np.arange(7))
        hdf5.add(file, "images", images)
        row_checksums.finish(file, fill=np.array(FILL, np.uint8))
    return path, images


def rows(sources: list[int], copies: list[int]) -> SourceRows:
    count = len(sources)
    return SourceRows(
        np.arange(100, 100 + count),
        np.arange(count, dtype=np.int16),
        np.array(copies, np.int16),
        np.zeros(count, np.int64),
        np.array(sources),
    )


def test_each_row_is_its_copy_of_its_photo_whatever_else_is_in_the_batch(processed: tuple[Path, hdf5.Pixels]) -> None:
    path, images = processed
    wanted = rows([6, 0, 3, 3, 6], [0, 0, 2, 1, 4])
    (together,) = render.render([wanted], RenderRecipe(path, CHOSEN))
    alone = render.render([wanted.take(slice(row, row + 1)) for row in range(5)], RenderRecipe(path, CHOSEN))

    assert together.dtype == np.uint8
    assert (together[:2] == images[[6, 0]]).all()
    assert (together == np.concatenate(alone)).all()
    assert all(
        (together[row] == augment_photo(images[source], 100 + row, row, copy, CHOSEN, FILL)).all()
        for row, (source, copy) in enumerate(zip([6, 0, 3, 3, 6], [0, 0, 2, 1, 4], strict=True))
    )


def test_rows_taken_keep_their_columns_together() -> None:
    taken = rows([6, 0, 3], [0, 1, 2]).take(np.array([2, 0]))

    assert list(taken.tuples()) == [(102, 2, 2, 3), (100, 0, 0, 6)]
    assert taken.labels.tolist() == [0, 0]
    assert taken.total == 2
