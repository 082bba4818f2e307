"""`python -m tools.compare BASE [HEAD]`: what a change does to the dataset, as Markdown: a verdict, then the details.

Compares params.yaml, dvc.yaml, dvc.lock, reports/ and the files that stages depend on. BASE and HEAD are revisions of
git. HEAD is the working tree by default. It needs no database and no remote. What only the tables of data/ say, such as
which photos moved, it says where DVC's cache has them.
"""

import argparse
import sys
from pathlib import Path

from imageset.errors import DataError, ImagesetError
from imageset.formats import tables
from imageset.report.markdown import escape
from imageset.runtime import files
from tools.compare.class_balance import format_class_balance
from tools.compare.markdown import cut
from tools.compare.outputs import read_output
from tools.compare.photo_lists import format_photos
from tools.compare.photos import find_changes, read_side
from tools.compare.scores import pair_answers
from tools.compare.sections import format_metrics, format_params, format_report, format_stages
from tools.compare.snapshot import CLASS_COUNTS, METRICS, Snapshot, open_snapshot
from tools.compare.verdict import FETCH, FLAGS, Found, Verdict, judge
from tools.dvc_files import Stage


def find(base_lock: dict[str, Stage], head: Snapshot) -> Found:
    """Return what the tables in DVC's cache say of both sides: of head, those of runs that are up to date."""
    before, after = read_side(base_lock), read_side(head.current)
    if before is None or after is None:
        return Found(None, None)
    answers = [read_output(runs, "data/predictions.csv", tables.PREDICTIONS) for runs in (base_lock, head.current)]
    kept = before.photos.index.intersection(after.photos.index)
    same_class = kept[before.photos.loc[kept, "catalog_id"] == after.photos.loc[kept, "catalog_id"]]
    scores = None if answers[0] is None or answers[1] is None else pair_answers(answers[0], answers[1], same_class)
    return Found(find_changes(before, after), scores)


def compare(base: Snapshot, head: Snapshot) -> tuple[str, Verdict]:
    """Return the comparison as Markdown, and its verdict. Without a dvc.lock in base, it has the params only.

    Raises:
        DataError: head has no stages, or a table in DVC's cache cannot be read.
    """
    if not head.stages:
        raise DataError(f"{head.title} has no dvc.yaml: run this in the root folder of the project")
    if base.lock is None:
        verdict = Verdict(
            [
                f"Not known what this change does: {escape(base.title)} has no dvc.lock, the record of what its stages "
                "ran on. To make one, run `dvc repro` there and commit dvc.lock together with reports/."
            ],
            {"unknown"},
        )
        sections = {"Params changed": format_params(base, head)}
    else:
        found = find(base.lock, head)
        verdict = judge(base, head, found)
        sections = describe(base, base.lock, head, found)
    lines = "\n".join(f"- {line}" for line in verdict.lines)
    text = "\n\n".join(f"## {title}\n\n{section}" for title, section in sections.items())
    return cut(f"# From {escape(base.title)} to {escape(head.title)}\n\n{lines}\n\n{text}\n"), verdict


def describe(base: Snapshot, base_lock: dict[str, Stage], head: Snapshot, found: Found) -> dict[str, str]:
    """Return the sections below the verdict, by title."""
    classes = (base.reports[CLASS_COUNTS], head.reports[CLASS_COUNTS])
    names = {key: name for side in classes if side.content is not None for key, name in side.content["name"].items()}
    photos = f"{FETCH[0].upper()}{FETCH[1:]}." if found.photos is None else format_photos(found.photos, names)
    metrics = format_report(METRICS, base, head, format_metrics)
    return {
        "Params changed": format_params(base, head),
        "Photos": photos if not head.reports[METRICS].problem else format_report(METRICS, base, head, str),
        "Class balance": format_report(CLASS_COUNTS, base, head, format_class_balance),
        "Stages that rerun, and why": format_stages(base, base_lock, head),
        "Metrics": metrics
        if "\n" not in metrics
        else f"<details><summary>All metrics</summary>\n\n{metrics}\n\n</details>",
    }


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
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures, too")
    parser.add_argument(
        "--fail-on",
        type=parse_flags,
        default=set(),
        metavar="LIST",
        help=f"end with exit code 1 for any of these, separated by commas: {', '.join(FLAGS)}",
    )
    arguments = parser.parse_args()
    base, head = open_snapshot(arguments.base), open_snapshot(arguments.head)
    text, verdict = compare(base, head)
    if arguments.out is None:
        # As bytes: a locale other than UTF-8 has no dash.
        sys.stdout.buffer.write(text.encode())
    else:
        files.write_text(arguments.out, text)
    failed = sorted(verdict.flags & arguments.fail_on)
    if failed:
        raise ImagesetError(f"{', '.join(failed)}: --fail-on names it; see the verdict")
