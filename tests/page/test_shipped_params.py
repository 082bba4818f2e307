"""The params that the page calls changed."""

import copy

import pytest

from imageset.page.shipped_params import SHIPPED, changed_params
from imageset.runtime import params
from tests.project import ROOT


def test_the_shipped_values_have_every_param() -> None:
    written = params.parse(ROOT / "params.yaml")

    assert {name: list(section) for name, section in SHIPPED.items()} == {
        name: list(section) for name, section in written.items()
    }


def test_the_shipped_values_are_those_of_params_yaml() -> None:
    """A project in use has run and may have other values, so this holds where no run has left a dvc.lock."""
    if (ROOT / "dvc.lock").exists():
        pytest.skip("this project has a dvc.lock: its params are its own")

    assert params.parse(ROOT / "params.yaml") == SHIPPED


def test_a_changed_param_is_shown_with_both_values_and_no_other() -> None:
    values = copy.deepcopy(SHIPPED)
    values["split"]["test_share"] = 0.3
    values["source"]["as_of"] = "2026-01-31T00:00:00Z"

    assert changed_params(values) == [
        {"name": "source.as_of", "value": '"2026-01-31T00:00:00Z"', "shipped": "null"},
        {"name": "split.test_share", "value": "0.3", "shipped": "0.2"},
    ]
