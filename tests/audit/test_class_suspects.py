"""Two classes that are one, a class that nothing tells from others, and near-equal names are found; others are not."""

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from imageset.audit import class_suspects
from imageset.audit.class_suspects import (
    bound_difference,
    bound_share,
    find_class_suspects,
    find_similar_names,
    find_unknown_classes,
)
from imageset.evaluation.feature_blocks import Labels

CLASSES = pd.DataFrame(
    {
        "catalog_id": [10, 20, 30, 40],
        "name": ["hats", "shoes", "dresses", "trousers"],
        "parent_id": pd.array([None] * 4, "Int64"),
    }
)


def answered(counts: dict[tuple[int, int], int]) -> tuple[Labels, Labels]:
    """Return labels and answers of so many photos of each pair (label, answer)."""
    pairs = np.repeat(np.array(list(counts)), list(counts.values()), axis=0)
    return pairs[:, 0], pairs[:, 1]


def rows(suspects: pd.DataFrame) -> list[tuple[int, str, int | None]]:
    return [
        (catalog_id, why, None if pd.isna(other) else int(other))
        for catalog_id, why, other in suspects[["catalog_id", "why", "suggestion"]].itertuples(index=False)
    ]


WELL_TOLD = {(10, 10): 40, (20, 20): 40, (30, 30): 40, (40, 40): 35, (40, 30): 5, (30, 40): 6, (10, 20): 2}


def test_classes_that_are_told_apart_are_no_suspects() -> None:
    assert rows(find_class_suspects(CLASSES, *answered(WELL_TOLD))) == []


@pytest.mark.parametrize(("own", "other"), [(20, 20), (36, 4), (0, 40)])
def test_two_classes_that_are_one_are_found_whichever_of_them_the_answers_prefer(own: int, other: int) -> None:
    mixed = {**WELL_TOLD, (30, 30): own, (30, 40): other, (40, 30): own, (40, 40): other}

    suspects = find_class_suspects(CLASSES, *answered({pair: count for pair, count in mixed.items() if count}))

    assert rows(suspects) == [(30, "same_class", 40)]
    assert 0.5 < suspects["score"][0] <= 1


def test_two_small_classes_that_happen_to_be_confused_are_no_suspects() -> None:
    few = {(30, 30): 2, (30, 40): 1, (40, 30): 1, (40, 40): 2, (10, 10): 40, (20, 20): 40}

    assert rows(find_class_suspects(CLASSES, *answered(few))) == []


def test_a_class_that_the_answers_find_no_better_than_chance_is_found_and_is_in_no_pair() -> None:
    rng = np.random.default_rng(1)
    labels, _ = answered({(10, 10): 60, (20, 20): 60, (30, 30): 60, (40, 40): 60})
    answers = np.where(labels == 40, rng.choice([10, 20, 30, 40], len(labels), p=[0.35, 0.3, 0.35, 0.0]), labels)
    answers[::12] = 40

    assert rows(find_class_suspects(CLASSES, labels, answers)) == [(40, "no_better_than_chance", None)]


def test_a_class_of_a_few_photos_that_no_answer_finds_is_no_suspect() -> None:
    assert rows(find_class_suspects(CLASSES, *answered({**WELL_TOLD, (40, 40): 0, (40, 10): 3, (40, 30): 3}))) == []


def test_a_class_that_is_found_too_often_is_not_known_for_that() -> None:
    """All is answered with 30: its recall is 1, and that of chance is 1."""
    labels = np.repeat([10, 20, 30], 40)

    assert 30 in {suspect.catalog_id for suspect in find_unknown_classes(labels, np.full(120, 30))}


def test_the_most_suspect_come_first_and_the_order_of_the_photos_does_not_matter() -> None:
    counts = {(10, 10): 20, (10, 20): 20, (20, 10): 20, (20, 20): 20, (30, 30): 90, (30, 40): 30, (40, 40): 40}
    labels, answers = answered({**counts, (40, 30): 80})
    order = np.random.default_rng(2).permutation(len(labels))

    suspects = find_class_suspects(CLASSES, labels, answers)

    assert (
        rows(suspects) == [(30, "same_class", 40), (10, "same_class", 20)] or suspects["score"].is_monotonic_decreasing
    )
    pd.testing.assert_frame_equal(suspects, find_class_suspects(CLASSES, labels[order], answers[order]))


def test_the_limits_of_a_share_solve_wilsons_equation() -> None:
    """A limit p is where the share is z standard deviations of p away from p."""
    z = NormalDist().inv_cdf(0.975)

    for hits, of in ((0, 5), (3, 10), (7, 7), (81, 263)):
        for limit in bound_share(hits, of):
            assert abs(hits / of - limit) == pytest.approx(z * (limit * (1 - limit) / of) ** 0.5, abs=1e-9)
    assert bound_share(0, 0) == (0.0, 1.0)


def test_the_limits_of_a_difference_are_those_that_newcombe_prints() -> None:
    """Table II of the paper, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/10."""
    assert bound_difference(56, 70, 48, 80) == (0.0524, 0.3339)
    assert bound_difference(9, 10, 3, 10) == (0.1705, 0.8090)
    assert bound_difference(10, 10, 0, 10) == (0.6075, 1.0)


def names(*listed: str, parents: list[int | None] | None = None) -> list[tuple[int, int, float]]:
    """Return the pairs of names that are found similar, by their places."""
    classes = pd.DataFrame(
        {
            "catalog_id": range(len(listed)),
            "name": list(listed),
            "parent_id": pd.array(parents or [None] * len(listed), "Int64"),
        }
    )
    return [(found.catalog_id, found.suggestion or 0, found.score) for found in find_similar_names(classes)]


@pytest.mark.parametrize(
    "pair",
    [("T-shirt", "t shirts"), ("T-shirt", "TSHIRT"), ("Été", "ete"), ("Men's shoes", "Mens shoes"), ("bags", "Bag")],
)
def test_names_that_differ_by_case_accents_punctuation_or_a_plural_are_equal(pair: tuple[str, str]) -> None:
    assert names(*pair) == [(0, 1, 1.0)]


def test_a_long_word_may_differ_by_a_letter() -> None:
    assert names("winter trousers", "winter trouzers") == [(0, 1, 0.8571)]
    assert names("kids sweatshirts", "kid sweatshrt") == [(0, 1, 0.9474)]


@pytest.mark.parametrize(
    "pair",
    [
        ("shirt", "skirt"),
        ("shirt", "t-shirt"),
        ("shirt", "short"),
        ("jackets men", "jackets women"),
        ("blouse", "blouson"),
        ("dress", "dress shoes"),
        ("winter trousers", "summer trouzers"),
    ],
)
def test_other_names_are_not_similar(pair: tuple[str, str]) -> None:
    assert names(*pair) == []


def test_equal_names_under_two_parents_are_two_classes() -> None:
    assert names("shoes", "Shoes", "shoe", parents=[1, 2, 1]) == [(0, 2, 1.0)]


def test_a_name_without_letters_or_digits_is_like_no_other() -> None:
    assert names("?", "!!", "") == []


def test_words_of_a_very_long_name_are_compared_as_a_whole() -> None:
    """Word by word, these took minutes, and gigabytes."""
    word, words = "x" * 10_000, "sample " * 10_000

    assert names(word, f"{word}y", words, f"{words} more", word.upper()) == [(0, 4, 1.0)]


def test_every_reason_is_of_the_closed_list() -> None:
    assert set(class_suspects.REASONS) == {"same_class", "no_better_than_chance", "similar_name"}
