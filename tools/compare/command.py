"""`python -m tools.compare BASE [HEAD]`: print as Markdown what a change does to the dataset.

Compares params.yaml, dvc.yaml, dvc.lock, reports/ and the files that stages depend on. BASE and HEAD are revisions of
git. HEAD is the working tree by default. Needs no data, cache, remote or database.
"""

import argparse
import sys

from imageset.errors import DataError
from imageset.report.markdown import escape
from tools.compare.class_balance import format_class_balance
from tools.compare.sections import format_metrics, format_params, format_report, format_stages
from tools.compare.snapshot import CLASS_COUNTS, METRICS, Snapshot, open_snapshot


def compare(base: Snapshot, head: Snapshot) -> str:
    """Return the comparison as Markdown. Without a dvc.lock in base, it has the params only.

    Raises:
        DataError: head has no stages.
    """
    if not head.stages:
        raise DataError(f"{head.title} has no dvc.yaml: run this in the root folder of the project")
    sections = {"Params changed": format_params(base, head)}
    if base.lock is None:
        sections["Stages that rerun, and why"] = (
            f"Unknown: {escape(base.title)} has no dvc.lock, the record of what its stages ran on. To make one, run "
            "`dvc repro` there and commit dvc.lock together with reports/."
        )
    else:
        sections["Stages that rerun, and why"] = format_stages(base, base.lock, head)
        sections["Metrics"] = format_report(METRICS, base, head, (base.metrics, head.metrics), format_metrics)
        sections["Class balance"] = format_report(
            CLASS_COUNTS, base, head, (base.classes, head.classes), format_class_balance
        )
    text = "\n\n".join(f"## {title}\n\n{section}" for title, section in sections.items())
    return f"# From {escape(base.title)} to {escape(head.title)}\n\n{text}\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.compare", description=__doc__)
    parser.add_argument("base", metavar="BASE", help="revision to compare with, such as main")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="revision that is compared; default: the working tree")
    arguments = parser.parse_args()
    text = compare(open_snapshot(arguments.base), open_snapshot(arguments.head))
    # As bytes: a locale other than UTF-8 has no dash.
    sys.stdout.buffer.write(text.encode())
