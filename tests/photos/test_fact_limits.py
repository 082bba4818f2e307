"""The limits on facts: off by default, each with its reason, the first reason counts."""

from typing import Any

import pytest

from imageset.photos import fact_limits
from imageset.photos.fact_limits import judge_facts
from imageset.photos.facts import PhotoFacts
from imageset.photos.file_formats import FORMATS
from imageset.runtime.sections import PreprocessParams
from tests.photos.test_preprocess import section

FACTS = PhotoFacts(400, 600, "JPEG", 0.5, 100.0, 50.0, 1.5, "")


@pytest.mark.parametrize(
    ("limit", "at", "beyond", "reason"),
    [
        ("min_side", 400, 401, "too_small"),
        ("max_aspect_ratio", 1.5, 1.4999, "extreme_aspect"),
        ("min_brightness", 100.0, 100.01, "too_dark"),
        ("max_brightness", 100.0, 99.99, "too_light"),
        ("min_sharpness", 0.5, 0.5001, "too_blurred"),
    ],
)
def test_a_limit_rejects_what_is_beyond_it_with_its_own_reason(
    limit: str, at: float, beyond: float, reason: str
) -> None:
    assert judge_facts(FACTS, section(**{limit: at}), FORMATS) == ""
    assert judge_facts(FACTS, section(**{limit: beyond}), FORMATS) == reason


def test_without_limits_nothing_is_rejected() -> None:
    assert judge_facts(PhotoFacts(1, 9000, "GIF", 0.0, 0.0, 0.0, 9000.0, ""), section(), FORMATS) == ""


def test_a_format_that_is_not_listed_rejects_by_its_name_before_any_limit() -> None:
    assert judge_facts(FACTS, section(min_side=401), ["png", "gif"]) == "format_jpeg"
    assert judge_facts(FACTS._replace(format="AVIF"), section(), FORMATS[:-1]) == "format_avif"


def test_of_several_reasons_the_first_counts() -> None:
    limits: dict[str, Any] = {
        "min_side": 401,
        "max_aspect_ratio": 1.2,
        "min_brightness": 120.0,
        "max_brightness": None,
        "min_sharpness": 0.9,
    }
    found = []
    for name in limits:
        found.append(judge_facts(FACTS, section(**limits), FORMATS))
        limits[name] = None

    assert found == ["too_small", "extreme_aspect", "too_dark", "too_blurred", "too_blurred"]
    assert set(found) < set(fact_limits.REASONS)


def test_limits_are_the_params_that_the_cache_leaves_out() -> None:
    assert set(PreprocessParams.model_fields) >= fact_limits.PARAMS
    assert all(getattr(section(), name) is None for name in fact_limits.PARAMS)
