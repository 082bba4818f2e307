"""What the page of a large dataset takes. Tables: python -m benchmarks.page [--help]

A finished project is repeated until it has so many photos and classes, and stage page runs on it. README.md says what
is measured and how.
"""

import json
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page.repeat import repeat_project
from benchmarks.page.tab import Opened, open_page
from benchmarks.shared.measure import ROOT, Run, measure
from benchmarks.shared.tables import circumstances, options, spread, table
from tests.browser import launched

COMMAND = [
    *(sys.executable, "-m", "stages.page", "data", "corrections", "reports"),
    *(str(ROOT / "stages/templates/page"), str(ROOT / "pyproject.toml"), "report.html"),
]
ELEMENT = re.compile(r'<script type="[\w/]+"(?: id="([a-z]+)(?:-\d+)?")?>(.*?)</script>', re.DOTALL)
PARTS = {
    "data": "what the tables say, JSON",
    "components": "components, int8",
    "tiles": "tiles",
    "means": "mean of each class",
    "augmented": "augmented rows",
    "details": "larger pictures",
    "": "script",
}


def print_parts(text: str) -> None:
    """Print how many bytes of the page each of its parts has."""
    sizes: Counter[str] = Counter()
    for name, content in ELEMENT.findall(text):
        sizes[name] += len(content.encode())
    data: dict[str, Any] = json.loads(next(content for name, content in ELEMENT.findall(text) if name == "data"))
    photos, sheets = data["photos"], data["sheets"]
    suspects = set(data["suspects"]["photo"])
    larger = {photo for photo, place in enumerate(photos["detail"]) if place >= 0}
    counts = {
        "tiles": f" of {sheets['tiles']['side']} px: {sheets['tiles']['count']:,} photos",
        "means": f": {sheets['means']['count']:,}",
        "details": f": {len(larger):,} photos, {len(larger & suspects):,} of {len(suspects):,} suspects among them",
    }
    rest = len(text.encode()) - sizes.total()
    rows = [[f"{said}{counts.get(name, '')}", f"{sizes[name]:,}"] for name, said in PARTS.items()]
    table(
        ["part of the page", "bytes"], [*rows, ["style and the rest", f"{rest:,}"], ["all", f"{len(text.encode()):,}"]]
    )


def print_times(runs: Sequence[Run], tabs: Sequence[Opened]) -> None:
    """Print what making and opening the page takes."""
    rows = [
        ["stage page, processor s", spread([run.cpu for run in runs])],
        ["stage page, s", spread([run.wall for run in runs])],
        ["stage page, most memory in MB", spread([run.everybody.rss / 1e6 for run in runs], 0)],
        ["first paint in a browser, ms", spread([tab.paint for tab in tabs], 0)],
        ["ready, ms", spread([tab.ready for tab in tabs], 0)],
        ["memory of the tab's process, MB", spread([tab.memory / 1e6 for tab in tabs], 0)],
    ]
    table(["what", "median (least to most)"], rows)


def parse() -> Namespace:
    parser = options("page", __doc__, turns=3)
    parser.add_argument("project", type=Path, metavar="PROJECT", help="a folder in which `dvc repro` ran")
    parser.add_argument("--photos", type=int, default=10_000, metavar="N", help="how many the page is of (10000)")
    parser.add_argument("--classes", type=int, default=700, metavar="N", help="of how many classes they are (700)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the page as this file")
    return parser.parse_args()


def main() -> None:
    chosen = parse()
    circumstances(chosen, f"{chosen.photos} photos and {chosen.classes} classes", "pillow", "h5py", "playwright")
    with tempfile.TemporaryDirectory(prefix="imageset-bench-") as home, launched() as browser:
        folder = Path(home) / "project"
        repeat_project(chosen.project, folder, chosen.photos, chosen.classes)
        page_html = folder / "report.html"
        runs = [measure(COMMAND, folder, {}) for _ in range(chosen.turns)]
        tabs = [open_page(browser, page_html) for _ in range(chosen.turns)]
        print_parts(page_html.read_text(encoding="utf-8"))
        print_times(runs, tabs)
        if chosen.keep:
            shutil.copy(page_html, chosen.keep)


if __name__ == "__main__":
    main()
