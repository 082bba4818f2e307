"""z-scores that outliers do not move, shrunk for small classes."""

import numpy as np
import pytest

from imageset.audit import robust_scores
from imageset.audit.robust_scores import standardize


def test_of_one_class_they_are_those_of_iglewicz_and_hoaglin() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])

    scores = standardize(values, np.zeros(5, np.int64), 0.1)

    assert scores == pytest.approx((values - 3) / 1.4826, abs=1e-5)


def test_a_class_is_held_against_itself_where_it_has_many_photos() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 2000), rng.normal(50, 1, 2000)])
    classes = np.repeat([3, 8], 2000)

    scores = standardize(values, classes, 0.1)

    assert abs(np.median(scores[classes == 8])) < 0.3
    assert abs(scores).max() < 5


def test_a_class_of_one_photo_is_mostly_held_against_all() -> None:
    values = np.concatenate([np.random.default_rng(1).normal(0, 1, 200), [9.0]])
    classes = np.concatenate([np.zeros(200, np.int64), [1]])

    assert standardize(values, classes, 0.1)[-1] > 5


def test_where_nearly_all_are_equal_the_smallest_deviation_counts() -> None:
    values = np.concatenate([np.ones(50), [1.5]])

    assert standardize(values, np.zeros(51, np.int64), 0.5)[-1] == 1.0


def test_order_of_the_photos_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    values, classes, order = rng.normal(size=300), rng.integers(0, 9, 300), rng.permutation(300)

    assert (standardize(values, classes, 0.1)[order] == standardize(values[order], classes[order], 0.1)).all()


def test_the_last_bits_of_a_value_decide_nothing() -> None:
    values = np.random.default_rng(3).normal(size=50)
    nudged = np.nextafter(values, np.inf)

    assert (standardize(values, np.zeros(50, np.int64), 0.1) == standardize(nudged, np.zeros(50, np.int64), 0.1)).all()


def test_no_values_have_no_scores() -> None:
    assert len(standardize(np.zeros(0), np.zeros(0, np.int64), 0.1)) == 0
    assert robust_scores.CENTRE_PRIOR > 0
