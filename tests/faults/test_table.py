"""The table of docs/reliability.md."""

from pathlib import Path

from tests.faults.table import BEGIN, END, write_table
from tests.faults.trials import Trials


def test_table_is_replaced_and_the_text_around_it_stays(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(page, [Trials("Crash", "kill -9", "signal", 1200, [])])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| Crash | kill -9 | signal | 1,200 | 1,200 |" in text
    assert "old" not in text
