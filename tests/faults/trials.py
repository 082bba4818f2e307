"""Count the trials of a fault and those that passed, for the table of docs/reliability.md."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.project import ROOT

RESULTS = ROOT / ".cache" / "faults"
ALL = os.environ.get("FAULTS") == "all"

Case = TypeVar("Case")


@dataclass
class Trials:
    """The trials of one fault.

    Attributes:
        part: the part of the suite, such as "Crash".
        fault: what goes wrong, such as "kill -9 of a stage at a rename".
        how: how that is injected, such as "strace".
        trials: how many were made; after `end`, also those that were chosen and not begun.
        failures: what was wrong with each that did not pass.
        chosen: how many cases were chosen. A test makes fewer trials where a call or a moment is not reached again.
    """

    part: str
    fault: str
    how: str
    trials: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    chosen: int = 0

    def choose(self, cases: Sequence[Case], sample: int) -> list[Case]:
        """Return all cases for `make faults`; else so many of them, at even distances."""
        if ALL or sample >= len(cases):
            chosen = list(cases)
        else:
            chosen = [cases[number * len(cases) // sample] for number in range(sample)]
        self.chosen += len(chosen)
        return chosen

    @contextmanager
    def trial(self, name: str) -> Iterator[str]:
        """Count a trial, and give its name among the failures. One that raises has failed.

        After an AssertionError the others go on. Any other error, such as a stage that hangs, ends the test.
        """
        self.trials += 1
        numbered = f"trial {self.trials}, {name}"
        with self.charge(numbered):
            yield numbered

    @contextmanager
    def charge(self, *trials: str) -> Iterator[None]:
        """Check what some trials left together. Where that is wrong, each of them has failed."""
        try:
            yield
        except BaseException as error:
            said = f"{'' if isinstance(error, AssertionError) else type(error).__name__} {error}".strip()[:2000]
            for name in trials:
                self.failures.setdefault(name, said)
            if not (trials and isinstance(error, AssertionError)):
                raise

    def end(self, error: str) -> None:
        """Count the cases that were chosen and not tried as failed trials: an error ended the test.

        It counts at least one failed trial, as the error may have come after the last of them. Where a test chooses
        stages, and then cases of each, a stage that it did not come to counts as one case.
        """
        missing = max(self.chosen - self.trials, 0 if self.failures else 1)
        for number in range(self.trials + 1, self.trials + missing + 1):
            self.failures[f"trial {number}, not made"] = error
        self.trials += missing

    def save(self, place: str) -> None:
        """Write the result for `python -m tests.faults.table`. A sample is no result."""
        if ALL:
            RESULTS.mkdir(parents=True, exist_ok=True)
            (RESULTS / f"{place}.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_results(folder: Path = RESULTS) -> list[Trials]:
    """Return the results of the last `make faults`, by part and fault."""
    found = [Trials(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*.json")]
    return sorted(found, key=lambda trials: (trials.part, trials.fault))
