"""Cases that take long: `make test` runs some of them, `make faults` all."""

from collections.abc import Sequence
from typing import TypeVar

from tests.faults.trials import ALL

Case = TypeVar("Case")


def sample(cases: Sequence[Case], *chosen: Case) -> list[Case]:
    """Return all cases for `make faults`, else those that were chosen."""
    assert all(case in cases for case in chosen)
    return list(cases if ALL else chosen)
