"""Photos that look like another class: found, whatever the order and the threads; groups are never divided."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from imageset.audit import folds, labels
from imageset.audit.features import Features
from imageset.evaluation.feature_blocks import FeatureBlock, Labels
from imageset.evaluation.linear_discriminant import ClassSums
from tests.audit.photos import flip, make_catalog, make_features


def judge(features: Features, own: Labels, groups: Labels | None = None) -> tuple[labels.Judgements, Labels]:
    dealt = folds.deal_folds(own, np.arange(len(own)) if groups is None else groups)
    classes = int(own.max()) + 1
    models = labels.learn(*folds.sum_folds([(slice(None), features)], own, dealt, classes))
    temperature = labels.choose_temperature(features, own, dealt, models, classes)
    return labels.judge(features, own, dealt, models, classes, temperature), dealt


def find(features: Features, own: Labels) -> pd.DataFrame:
    return labels.find_label_suspects(make_catalog(own), own, judge(features, own)[0])


def test_flipped_labels_are_found_and_their_own_class_is_suggested() -> None:
    true = np.repeat(np.arange(4), [60, 50, 30, 60])
    own, places = flip(true, 0.05, 1)
    found = find(make_features(true), own)

    assert sorted(found["product_id"] - 100) == places.tolist()
    assert (found["suggestion"] - 10 == true[found["product_id"] - 100]).all()
    assert (found["catalog_id"] - 10 == own[found["product_id"] - 100]).all()
    assert set(found["why"]) == set(labels.REASONS)
    assert found["score"].between(0.5, 1).all()
    assert found["score"].is_monotonic_decreasing


def test_right_labels_are_no_suspects() -> None:
    true = np.repeat(np.arange(4), 50)

    assert find(make_features(true), true).empty


def test_at_most_a_tenth_of_the_photos_is_listed() -> None:
    """Labels that mean nothing: nearly all photos look like another class."""
    own = np.random.default_rng(0).integers(0, 5, 200)
    found = find(make_features(np.zeros(200, np.int64)), own)

    assert len(found) == 20


def test_a_group_has_one_fold_and_every_class_of_two_groups_has_two() -> None:
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(0, 80, 300)) + 7_000_000_000
    own = (groups - 7_000_000_000) % 13
    dealt = folds.deal_folds(own, groups)

    assert all(len(set(dealt[groups == group])) == 1 for group in set(groups.tolist()))
    for label in range(13):
        count = len(set(groups[own == label].tolist()))
        assert len(set(dealt[own == label].tolist())) == min(count, folds.FOLDS)
    sizes = np.bincount([dealt[groups == group][0] for group in sorted(set(groups.tolist()))])
    assert sizes.max() - sizes.min() <= 1


def test_folds_depend_on_no_order() -> None:
    own, groups = np.arange(90) % 4, np.arange(90) // 2
    groups -= groups % 2  # groups of two classes, dealt with the class of the first photo
    order = np.lexsort((np.random.default_rng(0).permutation(90), groups))
    order = order[np.lexsort((np.arange(90)[order] % 4, groups[order]))]

    assert folds.deal_folds(own[order], groups[order]).tolist() == folds.deal_folds(own, groups)[order].tolist()


def test_sums_less_a_fold_are_those_of_a_pass_without_it() -> None:
    own = np.arange(120) % 5
    features = np.concatenate([make_features(own), make_features(own, 1)])
    dealt = folds.deal_folds(own, np.arange(120))
    parts = [(which, features[:, which]) for which in (slice(0, 50), slice(50, 51), slice(51, 120))]
    total, of_fold = folds.sum_folds(parts, own, dealt, 5)
    for number, part in enumerate(of_fold):
        alone = ClassSums(5)
        for view in features:
            rows = dealt != number
            alone.add(FeatureBlock(view[rows], own[rows], np.ones(int(rows.sum()), bool)))
        rest = total.without(part)

        assert np.array_equal(rest.products, alone.products)
        assert np.array_equal(rest.features, alone.features)
        assert rest.rows.tolist() == alone.rows.tolist()


def test_a_photo_is_judged_by_models_that_did_not_learn_from_its_group() -> None:
    """Two equal photos of one group: each would vouch for the other's label."""
    true = np.repeat(np.arange(3), 40)
    features = make_features(true)
    features[0, 1] = features[0, 0]
    own, groups = true.copy(), np.arange(120)
    own[:2], groups[1] = 2, 0
    judgements, dealt = judge(features, own, groups)

    assert dealt[0] == dealt[1]
    assert judgements.likeliest[:2, 0].tolist() == [0, 0]
    assert judgements.own[0] == judgements.own[1] < 0.1


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_and_the_order_of_photos_change_nothing(threads: int) -> None:
    true = np.repeat(np.arange(6), 30)
    own, _ = flip(true, 0.1, 2)
    features = make_features(true, spread=60)
    expected = find(features, own)
    order = np.random.default_rng(1).permutation(len(own))
    with threadpool_limits(limits=threads):
        dealt = folds.deal_folds(own[order], order)
        models = labels.learn(*folds.sum_folds([(slice(None), features[:, order])], own[order], dealt, 6))
        with threadpool_limits(limits=1):
            temperature = labels.choose_temperature(features[:, order], own[order], dealt, models, 6)
            judgements = labels.judge(features[:, order], own[order], dealt, models, 6, temperature)
    found = labels.find_label_suspects(make_catalog(own).iloc[order], own[order], judgements)

    assert len(found) > 5
    pd.testing.assert_frame_equal(found, expected)


def test_a_class_without_a_model_is_no_suspect_for_that_alone() -> None:
    """Class 3 has one photo, class 4 two photos of one group: in their folds nothing is known of them."""
    true = np.repeat(np.arange(5), [40, 40, 40, 1, 2])
    groups = np.arange(123)
    groups[-1] = groups[-2]
    features = make_features(true)
    judgements, _ = judge(features, true, groups)
    found = labels.find_label_suspects(make_catalog(true), true, judgements)

    assert judgements.judged.tolist() == [True] * 120 + [False] * 3
    assert found.empty


@pytest.mark.parametrize("photos", [1, 2, 5])
@pytest.mark.parametrize("classes", [1, 2])
def test_few_photos_and_one_class_have_no_suspects(photos: int, classes: int) -> None:
    own = np.arange(photos) % classes

    assert find(make_features(own), own).empty


def test_the_temperature_makes_probabilities_honest() -> None:
    """Of photos whose class has probability p, about p are of it; a discriminant alone is too sure of itself."""
    true = np.repeat(np.arange(5), 60)
    judgements, dealt = judge(make_features(true, spread=110), true)
    right = (judgements.likeliest[:, 0] == true).mean()

    assert 0.4 < right < 0.95
    assert judgements.chances[:, 0].mean() == pytest.approx(right, abs=0.08)
    assert (judgements.chances.sum(axis=1) <= 1.00001).all()
    assert len(set(dealt.tolist())) == folds.FOLDS


def test_photos_are_counted_as_confident_learning_counts_them() -> None:
    """By hand: thresholds are the means of `own`, class 0: 0.6, class 1: 0.7."""
    own = np.array([0, 0, 1, 1])
    likeliest = np.array([[0, 1], [1, 0], [1, 0], [0, 1]], np.int32)
    chances = np.array([[0.9, 0.1], [0.7, 0.3], [0.9, 0.1], [0.5, 0.5]], np.float32)
    judgements = labels.Judgements(np.ones(4, bool), np.array([0.9, 0.3, 0.9, 0.5]), np.ones(4), likeliest, chances)

    assert labels.flag(own, judgements).tolist() == [False, True, False, False]


def test_folds_are_as_even_as_scikit_learns() -> None:
    from sklearn.model_selection import StratifiedGroupKFold  # a second of each collection

    own = np.repeat(np.arange(8), [200, 90, 50, 30, 20, 10, 10, 10])
    groups = np.arange(len(own)) // 2
    ours = np.bincount(folds.deal_folds(own, groups), minlength=10)
    theirs = [len(test) for _, test in StratifiedGroupKFold(10).split(own, own, groups)]

    assert ours.max() - ours.min() <= max(theirs) - min(theirs) + 2
