"""Class counts and weights of an ImageSet, against their definitions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imageset.reader import ImageSet
from imageset.reader.class_weights import weigh_classes
from tests.dataset_files import write

COUNTS = np.array([1, 9, 0, 90, 1000])


@pytest.fixture
def photos(tmp_path: Path) -> ImageSet:
    write(tmp_path / "dataset.h5", names=["shirt", "none", "bag"])
    return ImageSet(tmp_path / "dataset.h5", augmented=False)


def test_counts_are_of_the_items(photos: ImageSet) -> None:
    counts = photos.class_counts

    assert (counts.dtype, tuple(counts.shape)) == (torch.int64, (photos.num_labels,))
    assert counts.tolist() == [photos.targets.count(label) for label in range(3)]
    photos.labels = torch.zeros(0, dtype=torch.int64)
    assert photos.class_counts.tolist() == [0, 0, 0]
    assert photos.class_weights("inverse").tolist() == [0, 0, 0]


@pytest.mark.parametrize(("scheme", "beta"), [("inverse", 0.9), ("effective", 0.0), ("effective", 0.99)])
def test_the_mean_weight_of_the_items_is_1_and_classes_without_items_have_0(scheme: Any, beta: float) -> None:
    weights = weigh_classes(COUNTS, scheme, beta)

    assert (weights * COUNTS).sum() / COUNTS.sum() == pytest.approx(1)
    assert (weights == 0).tolist() == (COUNTS == 0).tolist()


def test_inverse_gives_each_class_the_same_weight_in_all() -> None:
    shares = weigh_classes(COUNTS, "inverse", 0.9) * COUNTS

    assert shares[[0, 1, 3, 4]] == pytest.approx([COUNTS.sum() / 4] * 4)


def test_effective_numbers_are_those_of_cui_et_al() -> None:
    """They add beta^0 + beta^1 + ... + beta^(n - 1), which is (1 - beta^n) / (1 - beta)."""
    weights = weigh_classes(COUNTS, "effective", 0.99)
    effective = [sum(0.99**power for power in range(count)) for count in COUNTS]

    assert weights[1:] * effective[1:] == pytest.approx(weights[0] * np.array([1, 0, 1, 1]))


def test_effective_lies_between_no_weights_and_inverse(photos: ImageSet) -> None:
    none, some, much = (photos.class_weights("effective", beta=beta) for beta in (0, 0.9, 1 - 1e-12))

    assert none.tolist() == [1 if count else 0 for count in photos.class_counts]
    torch.testing.assert_close(much, photos.class_weights("inverse"))
    assert not torch.equal(some, none)
    assert some.std() < much.std()


def test_a_loss_takes_them(photos: ImageSet) -> None:
    weights = photos.class_weights("inverse")
    scores = torch.eye(3)[photos.labels]

    assert weights.dtype == torch.float32
    torch.testing.assert_close(
        torch.nn.functional.cross_entropy(scores, photos.labels, weight=weights),
        torch.nn.functional.cross_entropy(scores, photos.labels),  # all items have the same loss, and mean weight 1
    )


@pytest.mark.parametrize(
    ("scheme", "beta", "message"),
    [
        ("balanced", 0.9, "scheme is 'balanced', it must be 'inverse' or 'effective'"),
        ("effective", 1, "beta is 1, it must be 0 or more and below 1"),
        ("effective", float("nan"), "beta is nan"),
    ],
)
def test_unknown_schemes_and_betas_out_of_range_are_refused(
    photos: ImageSet, scheme: Any, beta: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        photos.class_weights(scheme, beta=beta)
