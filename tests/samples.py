"""Cases that take long: `make test` runs some of them, `make faults` the others.

`make faults` runs the tests of tests/faults, and of the others those with the mark `faults_only` or
`sampled` and those with examples that hypothesis draws.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.faults.trials import ALL


def sample(cases: Sequence[Any], *chosen: Any) -> list[Any]:
    """Return the cases for `parametrize`. A tuple has a value for each argument.

    `make test` runs those that were chosen. The others have the mark `faults_only`.
    """
    assert all(case in cases for case in chosen)
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    marks = [() if case in chosen else (pytest.mark.faults_only,) for case in cases]
    return [pytest.param(*value, marks=mark) for value, mark in zip(values, marks, strict=True)]


def examples(count: int) -> int:
    """Return how many examples hypothesis draws, each time others: a third of the count for `make test`."""
    return count if ALL else count // 3
