"""What a check of a dataset file found."""

from collections.abc import Callable
from typing import Any, NamedTuple

from imageset.formats.hdf5 import Indices

EXAMPLES = 5


class Check(NamedTuple):
    """The result of a check: how many things it looked at, how many were wrong, examples, and what to do."""

    name: str
    examined: int
    violations: int
    examples: list[str]
    advice: str = ""

    @property
    def passed(self) -> bool:
        return self.violations == 0

    def summary(self) -> str:
        """Return what is wrong, in one line."""
        advice = f" ({self.advice})" if self.advice else ""
        return f"{self.name}: {self.violations}, such as {self.examples[0]}{advice}"

    def details(self) -> dict[str, Any]:
        """Return what data/validation.json holds of a check."""
        return {
            "passed": self.passed,
            "examined": self.examined,
            "violations": self.violations,
            "examples": self.examples,
        }


def check_result(name: str, examined: int, wrong: Indices, describe: Callable[[int], str], advice: str = "") -> Check:
    """Return the result of a check.

    Args:
        name: the name of the check.
        examined: how many things it looked at.
        wrong: the places of those that are wrong.
        describe: says in a few words what is at a place.
        advice: what to do about it.
    """
    return Check(name, examined, len(wrong), [describe(place) for place in wrong[:EXAMPLES].tolist()], advice)
