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
        trials: how many were made.
        failures: one line for each that did not pass.
    """

    part: str
    fault: str
    how: str
    trials: int = 0
    failures: list[str] = field(default_factory=list)

    def choose(self, cases: Sequence[Case], sample: int) -> list[Case]:
        """Return all cases for `make faults`; else so many of them, at even distances."""
        if ALL or sample >= len(cases):
            return list(cases)
        return [cases[number * len(cases) // sample] for number in range(sample)]

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Count a trial. One that raises AssertionError has failed; the others go on."""
        self.trials += 1
        try:
            yield
        except AssertionError as error:
            self.failures.append(f"{name}: {str(error).strip()[:2000]}")

    def save(self, test: str) -> None:
        """Write the result for `python -m tests.faults.table`. A sample is no result."""
        if ALL:
            RESULTS.mkdir(parents=True, exist_ok=True)
            (RESULTS / f"{test}.json").write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_results(folder: Path = RESULTS) -> list[Trials]:
    """Return the results of the last `make faults`, by part and fault."""
    found = [Trials(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*.json")]
    return sorted(found, key=lambda trials: (trials.part, trials.fault))
