"""`python -m tests.faults.table`: write the results of the last `make faults` into docs/reliability.md.

With `--keep` the rows of faults that were not tried stay: after a run of some of the tests.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.faults.trials import Trials, read_results
from tests.project import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"

Fault = tuple[str, str, str]  # part, fault, how


def format_row(result: Trials) -> str:
    """Return the row of a fault.

    >>> format_row(Trials("Crash", "kill -9 at a rename", "strace", 9, {"split": "half a file"}))
    '| Crash | kill -9 at a rename | strace | 9 | 8 |'
    """
    passed = result.trials - len(result.failures)
    return f"| {result.part} | {result.fault} | {result.how} | {result.trials:,} | {passed:,} |"


def read_rows(page: Path) -> dict[Fault, str]:
    """Return the rows of the page's table by their fault."""
    table = page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    return {(part, fault, how): row for row, (_, part, fault, how, *_) in zip(rows, cells, strict=True)}


def write_table(page: Path, results: Iterable[Trials], keep: bool = False) -> None:
    """Replace the table of the page, by part and fault. keep: leave the rows of faults that have no result."""
    rows = read_rows(page) if keep else {}
    rows |= {(each.part, each.fault, each.how): format_row(each) for each in results}
    head = ["| part | fault | how | trials | passed |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *(row for _, row in sorted(rows.items()))])
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    results = read_results()
    if not results:
        sys.exit("table: no results: run `make faults`, which writes them")
    write_table(PAGE, results, keep="--keep" in sys.argv[1:])
    trials, failed = sum(each.trials for each in results), sum(len(each.failures) for each in results)
    print(f"table: {len(results)} faults, {trials:,} trials, {trials - failed:,} passed; {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
