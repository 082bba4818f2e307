"""Read the rows of a subset as features, a block at a time: the file may be larger than memory."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from imageset.errors import DamagedFile
from imageset.evaluation.hog_features import WORKING_BYTES, features
from imageset.formats import hdf5, plain_hdf5
from imageset.runtime import progress

Labels = NDArray[np.int64]


class FeatureBlock(NamedTuple):
    """Rows of a subset. features: uint8 (N, D). labels: int64 (N,). plain: which rows are photos, not copies."""

    features: NDArray[np.uint8]
    labels: Labels
    plain: NDArray[np.bool_]


def read_blocks(file: h5py.File, subset: str, classes: int) -> Iterator[FeatureBlock]:
    """Yield the rows of a subset in order.

    Args:
        file: an open dataset file.
        subset: "train" or "test".
        classes: how many classes there are.

    Raises:
        DamagedFile: the file cannot be read, or a label is not from 0 to classes - 1.
    """
    with hdf5.reading(file.filename):
        images, labels = file[f"{subset}_images"], file[f"{subset}_labels"]
        copies = file["train_copies"] if subset == "train" else None
    step = hdf5.block_rows(max(math.prod(images.shape[1:]), WORKING_BYTES))
    with progress.bar(None, f"baseline: {subset}", len(images), unit="row") as bar:
        for start in range(0, len(images), step):
            which = slice(start, start + step)
            with hdf5.reading(file.filename):
                found: Labels = labels[which]
                pixels: hdf5.Pixels = plain_hdf5.read_block(images, which)
                plain = np.ones(len(found), bool) if copies is None else copies[which] == 0
            if len(found) != len(pixels) or found.min() < 0 or found.max() >= classes:
                raise DamagedFile(
                    file.filename, f"is damaged ({subset}_labels does not give each row one of {classes} classes)"
                )
            yield FeatureBlock(features(pixels), found, plain)
            bar.update(len(found))
