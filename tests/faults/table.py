"""`python -m tests.faults.table`: write the results of the last `make faults` into docs/reliability.md."""

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.faults.trials import Trials, read_results
from tests.project import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"


def format_table(results: Iterable[Trials]) -> str:
    """Return a row for each fault.

    >>> print(format_table([Trials("Crash", "kill -9 at a rename", "strace", 9, ["split"])]))
    | part | fault | how | trials | passed |
    |---|---|---|---|---|
    | Crash | kill -9 at a rename | strace | 9 | 8 |
    """
    rows = ["| part | fault | how | trials | passed |", "|---|---|---|---|---|"]
    for each in results:
        passed = each.trials - len(each.failures)
        rows.append(f"| {each.part} | {each.fault} | {each.how} | {each.trials:,} | {passed:,} |")
    return "\n".join(rows)


def write_table(page: Path, results: list[Trials]) -> None:
    """Replace the table of the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{format_table(results)}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    results = read_results()
    if not results:
        sys.exit("table: no results: run `make faults`, which writes them")
    write_table(PAGE, results)
    trials, failed = sum(each.trials for each in results), sum(len(each.failures) for each in results)
    print(f"table: {len(results)} faults, {trials:,} trials, {trials - failed:,} passed; {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
