"""Photos that look like no class."""

import numpy as np
import pandas as pd
import pytest

from imageset.audit import folds, outliers
from imageset.audit.features import Features
from imageset.evaluation.feature_blocks import Labels
from tests.audit.photos import DIMENSIONS, make_catalog, make_features

CONTRAST = 50.0


def find(features: Features, own: Labels, groups: Labels, contrasts: dict[int, float]) -> pd.DataFrame:
    dealt = folds.deal_folds(own, groups)
    sums = folds.sum_folds([(slice(None), features)], own, dealt, int(own.max()) + 1)
    remoteness = outliers.measure_remoteness(features, dealt, outliers.find_centres(*sums))
    of_each = np.full(len(own), CONTRAST)
    for place, contrast in contrasts.items():
        of_each[place] = contrast
    return outliers.find_outliers(make_catalog(own), remoteness, of_each)


def test_a_photo_far_from_all_is_found_and_one_of_another_class_is_not() -> None:
    own = np.repeat(np.arange(4), 50)
    features = make_features(own)
    features[0, 7, ::2], features[0, 7, 1::2] = 255, 0
    own[8] = 3  # looks like class 0, among photos of class 3
    found = find(features, own, np.arange(200), {})

    assert found["product_id"].tolist()[:1] == [107]
    assert 108 not in set(found["product_id"])
    assert set(found["why"]) == {outliers.FAR}
    assert found["suggestion"].isna().all()


def test_photos_of_one_group_do_not_hide_each_other() -> None:
    """Six equal screenshots of one product, all photos of their class: they are the mean of it."""
    own = np.repeat([0, 1, 2], [60, 60, 6])
    features, groups = make_features(own), np.arange(126)
    features[0, 120:, ::2], features[0, 120:, 1::2] = 255, 0
    groups[120:] = 120

    assert set(find(features, own, groups, {})["product_id"]) >= set(range(220, 226))


def test_a_uniform_picture_is_listed_first() -> None:
    own = np.repeat(np.arange(2), 20)
    found = find(make_features(own), own, np.arange(40), {11: 1.5, 3: 3.9, 5: 4.0})

    assert found.head(2)["product_id"].tolist() == [103, 111]
    assert found.head(2)["why"].tolist() == [outliers.PLAIN] * 2
    assert found.head(2)["score"].tolist() == [1.0, 1.0]
    assert 105 not in set(found["product_id"])


@pytest.mark.parametrize("photos", [1, 2, 5])
def test_few_photos_are_no_outliers(photos: int) -> None:
    own = np.zeros(photos, np.int64)

    assert find(make_features(own), own, np.arange(photos), {}).empty


def test_a_photo_without_features_is_no_outlier_unless_it_is_uniform() -> None:
    """Such as one that a crash left without an embedding: nothing is known of it."""
    own = np.repeat(np.arange(2), 20)
    features = make_features(own)
    features[0, [4, 9]] = np.zeros(DIMENSIONS, np.uint8)
    found = find(features, own, np.arange(40), {9: 1.0})

    assert found["product_id"].tolist()[0] == 109
    assert 104 not in set(found["product_id"])
