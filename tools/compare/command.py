"""`python -m tools.compare BASE [HEAD]`: what a change does to the dataset, as Markdown: a verdict, then the details.

Compares params.yaml, dvc.yaml, dvc.lock, reports/ and the files that stages depend on. BASE and HEAD are revisions of
git. HEAD is the working tree by default. It needs no database, and no remote without --fetch. What only the tables of
data/ say, such as which photos moved, it says where DVC's cache has them.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

from imageset.errors import DataError, ImagesetError
from imageset.formats import tables
from imageset.report.markdown import escape
from imageset.runtime import files
from tools.compare.class_balance import format_class_balance
from tools.compare.fetch import PREDICTIONS, fetch
from tools.compare.html_page import NO_PIXELS, NOT_RUN, draw_groups, find_pixels, group_changes, group_pixels, make_page
from tools.compare.markdown import cut, fold
from tools.compare.outputs import read_output
from tools.compare.photo_lists import format_counts, format_photos
from tools.compare.photos import find_changes, read_side
from tools.compare.recall import format_recall
from tools.compare.scores import pair_answers
from tools.compare.sections import format_metrics, format_params, format_report, format_stages
from tools.compare.snapshot import CLASS_COUNTS, LEAKAGE, METRICS, Snapshot, open_snapshot
from tools.compare.verdict import FETCH, FLAGS, Found, Verdict, judge
from tools.dvc_files import Stage


class Comparison(NamedTuple):
    """What a change does: the verdict, the sections below it by title, and the page with pictures."""

    title: str
    verdict: Verdict
    sections: dict[str, str]

    @property
    def markdown(self) -> str:
        """The comparison as Markdown, of at most the length that GitHub takes as a comment."""
        lines = "\n".join(f"- {line}" for line in self.verdict.lines)
        text = "\n\n".join(f"## {title}\n\n{section}" for title, section in self.sections.items())
        return cut(f"# {self.title}\n\n{lines}\n\n{text}\n")


def compare(base: Snapshot, head: Snapshot, found: Found) -> Comparison:
    """Return the comparison. Without a dvc.lock in base, it has the params only.

    Raises:
        DataError: head has no stages.
    """
    if not head.stages:
        raise DataError(f"{head.title} has no dvc.yaml: run this in the root folder of the project")
    title = f"From {escape(base.title)} to {escape(head.title)}"
    if base.lock is None:
        line = (
            f"Not known what this change does: {escape(base.title)} has no dvc.lock, the record of what its stages ran "
            "on. To make one, run `dvc repro` there and commit dvc.lock together with reports/."
        )
        return Comparison(title, Verdict([line], {"unknown"}), {"Params changed": format_params(base, head)})
    return Comparison(title, judge(base, head, found), make_sections(base, base.lock, head, found))


def read_found(base: Snapshot, head: Snapshot) -> Found:
    """Return what the tables in DVC's cache say of both sides: of head, those of runs that are up to date.

    Raises:
        DataError: a table cannot be read.
    """
    locks = (base.lock or {}, head.current)
    before, after = (read_side(runs) for runs in locks)
    if before is None or after is None:
        return Found(None, None, None)
    answers = [read_output(runs, PREDICTIONS, tables.PREDICTIONS) for runs in locks]
    kept = before.photos.index.intersection(after.photos.index)
    same_class = kept[before.photos.loc[kept, "catalog_id"] == after.photos.loc[kept, "catalog_id"]]
    scores = None if answers[0] is None or answers[1] is None else pair_answers(answers[0], answers[1], same_class)
    return Found((before, after), find_changes(before, after), scores)


def class_names(base: Snapshot, head: Snapshot) -> dict[int, str]:
    """Return the names of both sides' classes by catalog_id."""
    counts = [side.reports[CLASS_COUNTS].content for side in (base, head)]
    return {key: name for table in counts if table is not None for key, name in table["name"].items()}


def make_sections(base: Snapshot, base_lock: dict[str, Stage], head: Snapshot, found: Found) -> dict[str, str]:
    """Return the sections below the verdict, by title."""
    metrics = format_report(METRICS, base, head, format_metrics)
    counts = format_report(METRICS, base, head, format_counts)
    lists = format_photos(found.photos, class_names(base, head)) if found.photos else f"Which photos: {FETCH}."
    return {
        "Params changed": format_params(base, head),
        "Photos": counts if head.outdated else f"{counts}\n\n{lists}",
        "Class balance": format_report(CLASS_COUNTS, base, head, format_class_balance),
        "Planted copies that are found": format_report(LEAKAGE, base, head, format_recall),
        "Stages that rerun, and why": format_stages(base, base_lock, head),
        "Metrics": fold("All metrics", metrics) if "\n" in metrics else metrics,
    }


def draw_page(base: Snapshot, head: Snapshot, found: Found, comparison: Comparison) -> str:
    """Return the comparison as an HTML page, with pictures of what changed where DVC's cache has both sides' pixels."""
    sections: list[dict[str, Any]] = [
        {"title": "Pictures", "text": NOT_RUN if head.outdated else NO_PIXELS, "photos": []}
    ]
    if found.sides is not None and found.photos is not None:
        before, after = (
            find_pixels(runs, side) for runs, side in zip((base.lock or {}, head.current), found.sides, strict=True)
        )
        if before is not None and after is not None:
            groups = [*group_changes(found.photos, class_names(base, head)), group_pixels(before, after)]
            sections = draw_groups(groups, before, after)
    return make_page(comparison.title, comparison.verdict.lines, sections, comparison.markdown)


def parse_flags(text: str) -> set[str]:
    """Return the flags that end the program with exit code 1. Raises ValueError for an unknown one."""
    flags = {flag.strip() for flag in text.split(",") if flag.strip()}
    if flags - set(FLAGS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(flags - set(FLAGS)))}: choose from {', '.join(FLAGS)}")
    return flags


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.compare", description=__doc__)
    parser.add_argument("base", metavar="BASE", help="revision to compare with, such as main")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="revision that is compared; default: the working tree")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the Markdown there; default: print it")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures of what changed, too")
    parser.add_argument(
        "--fail-on",
        type=parse_flags,
        default=set(),
        metavar="LIST",
        help=f"end with exit code 1 for any of these, separated by commas: {', '.join(FLAGS)}",
    )
    parser.add_argument("--fetch", action="store_true", help="fetch the tables that DVC's cache lacks from the remote")
    arguments = parser.parse_args()
    base, head = open_snapshot(arguments.base), open_snapshot(arguments.head)
    if arguments.fetch:
        fetch(arguments.base, base.lock or {}, arguments.html is not None)
        fetch(arguments.head, head.current, arguments.html is not None)
    found = read_found(base, head)
    comparison = compare(base, head, found)
    if arguments.out is None:
        # As bytes: a locale other than UTF-8 has no dash.
        sys.stdout.buffer.write(comparison.markdown.encode())
    else:
        files.write_text(arguments.out, comparison.markdown)
    if arguments.html is not None:
        files.write_text(arguments.html, draw_page(base, head, found, comparison))
    failed = sorted(comparison.verdict.flags & arguments.fail_on)
    if failed:
        raise ImagesetError(f"{', '.join(failed)}: --fail-on names it; see the verdict")
