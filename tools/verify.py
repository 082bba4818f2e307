"""`python -m tools.verify DATASET_H5`: check that a dataset file is complete and consistent. Needs only the file.

With --absent ID, also that it does not hold a product: by id, and by pixels, where another file that holds the product
has the pixels to compare with: --reference, or else data/processed.h5.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py

from imageset.dataset import absence, verify
from imageset.dataset.check import Check
from imageset.formats import hdf5, row_checksums
from imageset.runtime import command
from tools.export.read import open_source
from tools.product_id import parse_id, spellings

PROCESSED = Path("data/processed.h5")


def format_check(check: Check) -> str:
    """Return a check's name, result, number of rows or values and, if it failed, examples."""
    start = f"{check.name:22}  {'passed' if check.passed else 'FAILED'}  {check.examined:,} examined"
    return start if check.passed else f"{start}, {check.violations:,} wrong: {'; '.join(check.examples)}"


class Absence:
    """Checks that a file does not hold some products. note: whether pixels were compared, once that is known."""

    def __init__(self, file: h5py.File, product_ids: frozenset[int], reference: h5py.File | None) -> None:
        self.file = file
        self.product_ids = product_ids
        self.reference = reference
        self.compared = False
        self.note = "not compared, as the file is not as the format says"

    def check(self, contents: verify.Contents, found: verify.Scan) -> Iterator[Check]:
        """Yield the results."""
        all_spellings = frozenset(each for product_id in self.product_ids for each in spellings(product_id))
        yield absence.absent_by_id(contents.rows, all_spellings)
        if self.reference is None:
            self.note = "not compared: no file at hand holds the product, name one with --reference"
            return
        shape = self.file["train_images"].shape[1:]
        with hdf5.reading(self.reference.filename):
            result = absence.absent_by_pixels(contents, found, shape, self.reference, self.product_ids)
        self.note = result.note
        if result.check is not None:
            self.compared = result.is_complete
            yield result.check


def print_checks(path: Path, absent: frozenset[int] = frozenset(), reference: Path | None = None) -> bool:
    """Run all checks on a file and print each result as soon as it is known.

    Args:
        path: the dataset file.
        absent: products that it must not hold.
        reference: a dataset or processed file that holds them; None for data/processed.h5, if it does.

    Returns:
        Whether all passed, and pixels of all products were compared where a reference is given.

    Raises:
        DataError: a file cannot be read, or is not of this format version.
    """
    checks = []
    with ExitStack() as opened:
        file = opened.enter_context(hdf5.open_file(path, hdf5.DATASET))
        held = open_reference(opened, reference, absent) if absent else None
        absent_checks = Absence(file, absent, held)
        for check in verify.verify(file, absent_checks.check) if absent else verify.verify(file):
            print(format_check(check), flush=True)
            checks.append(check)
        digest = file.attrs.get("content_digest")
    failed = [check for check in checks if not check.passed]
    if absent:
        print(f"{path}: pixels were {absent_checks.note}")
    if failed:
        print(f"{path}: WRONG: {'; '.join(check.summary() for check in failed)}")
    else:
        print(f"{path}: complete and consistent, {len(checks)} checks passed, content_digest {digest}")
    return not failed and (absent_checks.compared or reference is None)


def open_reference(opened: ExitStack, path: Path | None, product_ids: frozenset[int]) -> h5py.File | None:
    """Open the file to compare pixels with; None where none is named and data/processed.h5 does not hold a product."""
    if path is not None:
        return opened.enter_context(open_source(path))
    if not PROCESSED.exists():
        return None
    file = opened.enter_context(row_checksums.open_file(PROCESSED, hdf5.PROCESSED))
    with hdf5.reading(PROCESSED):
        return file if absence.holds(file, product_ids) else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("dataset", metavar="DATASET_H5", type=Path, help="the dataset file to check")
    parser.add_argument(
        "--absent", metavar="ID", nargs="+", default=[], type=parse_id, help="products that it must not hold"
    )
    parser.add_argument(
        "--reference", metavar="H5", type=Path, help="a dataset or processed file that holds these, to compare pixels"
    )
    arguments = parser.parse_args()
    if arguments.reference and not arguments.absent:
        parser.error("--reference is for --absent")
    if not print_checks(arguments.dataset, frozenset(arguments.absent), arguments.reference):
        sys.exit(command.FAILED)


if __name__ == "__main__":
    command.run("verify", main)
