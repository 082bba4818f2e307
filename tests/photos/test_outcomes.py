"""What the photos of a stage became, and when that fails the stage."""

from contextlib import nullcontext

import pytest

from imageset.errors import DataError
from imageset.photos.outcomes import ChangedObject, Outcomes


def collected(done: int, rejected: int, changed: int) -> Outcomes:
    """Return what came of so many photos."""
    result = Outcomes()
    result.done = done
    result.reasons.update({"empty": rejected} if rejected else {})
    for number in range(changed):
        result.add_changed(ChangedObject(f"{number}.jpeg"))
    return result


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((4, 1, 0), ""),
        (
            (7, 2, 0),
            r"2 of 9 photos are rejected \(2 empty\): more than preprocess\.max_rejected_share = 0\.2; .* in out\.csv$",
        ),
        ((5, 0, 1), "1 objects changed .*0.jpeg: run `make refresh`$"),
        ((0, 3, 0), r"none of 3 photos is left \(3 empty\)"),
        ((0, 0, 0), r"none of 0 photos is left \(none\)"),
        (
            (0, 0, 9),
            r"9 objects changed .*0\.jpeg, .*, 4\.jpeg \(all of them: does IMAGE_STORE name its bucket\?\)",
        ),
    ],
)
def test_up_to_the_share_allowed_may_be_rejected_and_nothing_may_be_changed(
    counts: tuple[int, int, int], problem: str
) -> None:
    with pytest.raises(DataError, match=problem) if problem else nullcontext():
        collected(*counts).check(0.2, "out.csv")


@pytest.mark.parametrize(
    ("most", "hint"),
    [
        ("format_jpeg", "see ingest.formats in params.yaml"),
        ("too_dark", "see the limits of section preprocess in params.yaml"),
        ("extreme_aspect", "see the limits of section preprocess in params.yaml"),
        ("mask_empty", "see the limits of section preprocess in params.yaml"),
        ("not_an_image", "does IMAGE_STORE name the right bucket?"),
    ],
)
def test_where_no_photo_is_left_the_most_frequent_reason_says_where_to_look(most: str, hint: str) -> None:
    outcomes = Outcomes()
    outcomes.reasons.update({"empty": 1, most: 2})

    with pytest.raises(DataError) as caught:
        outcomes.check(1.0, "out.csv")

    assert str(caught.value) == f"none of 3 photos is left (2 {most}, 1 empty): {hint}"


def test_every_photo_counts_once() -> None:
    outcomes = collected(5, 2, 1)

    assert (outcomes.done, outcomes.changed, outcomes.total) == (5, 1, 8)
    assert outcomes.tally() == "2 empty"


@pytest.mark.parametrize(
    ("reasons", "hint"),
    [
        ([], ""),
        (["empty", "undecodable", "mask_full"], ""),
        *[
            (
                ["empty", reason],
                "; decoder_* may be temporary: `dvc repro --force --single-item masks` tries these photos again",
            )
            for reason in ("decoder_crash", "decoder_timeout", "decoder_memory")
        ],
    ],
)
def test_a_retry_is_suggested_for_what_memory_or_time_may_have_caused(reasons: list[str], hint: str) -> None:
    outcomes = Outcomes()
    outcomes.reasons.update(reasons)

    assert outcomes.suggest_retry("masks") == hint
