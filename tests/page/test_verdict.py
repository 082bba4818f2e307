"""Whether the page says that the dataset is fit to train on, and why."""

from typing import Any

import pytest

from imageset.curation.corrections import Decision
from imageset.formats import tables
from imageset.page.verdict import judge
from tests.page.tables import BASELINE, frame, make_inputs, make_stages

ROWS = {"train": 15, "test": 2}
NOTHING_LOST: dict[str, Any] = {
    "listings": make_stages().listings[:5],
    "listing_rejects": frame(tables.LISTING_REJECTS),
    "ingest": make_stages().ingest[:5],
    "inventory": make_stages().inventory[:5],
    "rejects": frame(tables.REJECTS),
    "catalog_rejects": frame(tables.CATALOG_REJECTS),
}
NO_SUSPECTS = {"suspects": frame(tables.SUSPECTS)}


def text_of(verdict: dict[str, Any], name: str) -> str:
    return next(str(line["text"]) for line in verdict["lines"] if line["name"] == name)


def test_a_dataset_with_nothing_against_it_is_fit() -> None:
    verdict = judge(make_inputs(**NOTHING_LOST, **NO_SUSPECTS), ROWS)

    assert verdict["fit"] == "yes"
    assert [line["name"] for line in verdict["lines"]] == [
        "Fit to train on",
        "Rows and classes",
        "Lost",
        "Suspect",
        "Baseline",
    ]
    assert text_of(verdict, "Rows and classes") == (
        "17 rows of 5 photos (15 train, 2 test) in 2 classes, from 2 to 3 photos each."
    )
    assert text_of(verdict, "Lost") == "None of 5 photos."
    assert text_of(verdict, "Suspect") == "Nothing is listed."
    assert [line["link"] for line in verdict["lines"]][:3] == ["", "classes", ""]
    assert "90.0 % of 100 test photos (standard error 3.0 points)" in text_of(verdict, "Baseline")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checks": {"a": {"passed": False}, "b": {"passed": True}}}, "1 of 2 checks failed (a)"),
        ({"split": make_stages().split.assign(subset="test")}, "fewer than two classes have training photos"),
        ({"split": make_stages().split.assign(subset="train")}, "there are no test photos"),
        ({"baseline": BASELINE | {"accuracy": 0.55}}, "less than 2 standard errors above its floor (50.0 %)"),
        (
            {"baseline": BASELINE | {"accuracy": 1.0, "accuracy_standard_error": 0.0, "photos": {"test": 3}}},
            "less than 2 standard errors above its floor (50.0 %)",
        ),
    ],
)
def test_a_dataset_on_which_nobody_should_train_says_why(changes: dict[str, Any], reason: str) -> None:
    verdict = judge(make_inputs(**NOTHING_LOST, **NO_SUSPECTS, **changes), ROWS)

    assert verdict["fit"] == "no"
    assert reason in text_of(verdict, "Fit to train on")


def test_no_test_photos_leave_the_baseline_unmeasured() -> None:
    baseline = {"accuracy": None, "accuracy_standard_error": None, "floor": {"accuracy": None}, "photos": {"test": 0}}
    verdict = judge(make_inputs(split=make_stages().split.assign(subset="train"), baseline=baseline), ROWS)

    assert verdict["fit"] == "no"
    assert text_of(verdict, "Baseline") == "Nothing was measured: there are no test photos."


def test_each_reservation_is_named() -> None:
    split = make_stages().split
    verdict = judge(make_inputs(split=split.assign(subset=["train", "train", "test", "train", "train"])), ROWS)

    assert verdict["fit"] == "reservations"
    assert text_of(verdict, "Fit to train on") == (
        "With reservations: 1 class has no test photos (hat); 54.5 % of the photos were lost; "
        "nobody has decided on any of 2 suspects."
    )


def test_a_photo_that_is_suspect_twice_counts_once_and_no_more_when_a_person_has_decided() -> None:
    labels = [Decision("corrections/labels.csv", line, 100 + line, None, 7, "") for line in (0, 1)]
    verdict = judge(make_inputs(**NOTHING_LOST, label_decisions=labels), ROWS)

    assert verdict["fit"] == "yes"
    assert text_of(verdict, "Suspect") == (
        "2 photos (2 labels, 1 mask), most of them in order; people decided on 2. 1 suspect among the classes."
    )


def test_what_params_or_people_left_out_is_not_lost() -> None:
    """Of twelve rows a repeated one is no photo, and one photo was excluded. Without it, six are lost."""
    exclusions = [Decision("corrections/exclusions.csv", 2, 901, 0, "off_topic", "")]
    rejects = frame(tables.CATALOG_REJECTS, (901, 0, "off_topic", 9))
    verdict = judge(make_inputs(catalog_rejects=rejects, exclusions=exclusions), ROWS)

    assert text_of(verdict, "Lost") == (
        "5 of 10 photos (50.0 %): 2 bad_id, 1 bad_url, 1 not_found, 1 mask_empty. Params or people left out 2 more."
    )
