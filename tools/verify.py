"""`python -m tools.verify DATASET_H5`: is a dataset file whole, and right in itself? Needs the file, nothing else."""

import argparse
import sys
from pathlib import Path

from imageset.dataset import verify
from imageset.dataset.check import Check
from imageset.formats import hdf5
from imageset.runtime import command


def line(check: Check) -> str:
    """Return what a person reads of a check: name, verdict, figures and, where it failed, examples."""
    start = f"{check.name:22}  {'passed' if check.passed else 'FAILED'}  {check.examined:,} examined"
    return start if check.passed else f"{start}, {check.violations:,} wrong: {'; '.join(check.examples)}"


def show(path: Path) -> bool:
    """Print the outcome of each check as it is known, then the verdict; return it.

    Raises DataError when the file cannot be read, or is no dataset of this version.
    """
    outcomes = []
    with hdf5.open_file(path, hdf5.DATASET) as file:
        for check in verify.verify(file):
            print(line(check), flush=True)
            outcomes.append(check)
        digest = file.attrs.get("content_digest")
    failed = [check for check in outcomes if not check.passed]
    if failed:
        print(f"{path}: WRONG: {'; '.join(check.summary() for check in failed)}")
    else:
        print(f"{path}: whole and consistent, {len(outcomes)} checks passed, content_digest {digest}")
    return not failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("dataset", metavar="DATASET_H5", type=Path, help="a dataset file, from wherever it came")
    if not show(parser.parse_args().dataset):
        sys.exit(command.FAILED)


if __name__ == "__main__":
    command.run("verify", main)
