"""`python -m tools.verify DATASET_H5`: check that a dataset file is complete and consistent. Needs only the file."""

import argparse
import sys
from pathlib import Path

from imageset.dataset import verify
from imageset.dataset.check import Check
from imageset.formats import hdf5
from imageset.runtime import command


def format_check(check: Check) -> str:
    """Return a check's name, result, number of rows or values and, if it failed, examples."""
    start = f"{check.name:22}  {'passed' if check.passed else 'FAILED'}  {check.examined:,} examined"
    return start if check.passed else f"{start}, {check.violations:,} wrong: {'; '.join(check.examples)}"


def print_checks(path: Path) -> bool:
    """Run all checks on a file and print each result as soon as it is known. Return whether all passed.

    Raises:
        DataError: the file cannot be read, or is not a dataset of this format version.
    """
    checks = []
    with hdf5.open_file(path, hdf5.DATASET) as file:
        for check in verify.verify(file):
            print(format_check(check), flush=True)
            checks.append(check)
        digest = file.attrs.get("content_digest")
    failed = [check for check in checks if not check.passed]
    if failed:
        print(f"{path}: WRONG: {'; '.join(check.summary() for check in failed)}")
    else:
        print(f"{path}: complete and consistent, {len(checks)} checks passed, content_digest {digest}")
    return not failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("dataset", metavar="DATASET_H5", type=Path, help="the dataset file to check")
    if not print_checks(parser.parse_args().dataset):
        sys.exit(command.FAILED)


if __name__ == "__main__":
    command.run("verify", main)
