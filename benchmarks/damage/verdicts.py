"""What becomes of each file of a folder? python -m benchmarks.damage.verdicts FOLDER

Prints tab-separated lines, for `diff` between two commits: the file, and why ingest and preprocess refuse it ("" where
they do not). Says on stderr about how many files they disagree.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.shared.measure import ROOT
from imageset.photos.decode import PhotoLimits, check
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import preprocess_photo
from imageset.runtime import params


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.damage.verdicts", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    section = params.load(ROOT / "params.yaml").preprocess
    limits = PhotoLimits(section.max_pixels)
    disagreed = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        body = path.read_bytes()
        reason, _ = check(body, limits)
        outcome = preprocess_photo(body, section)
        later = outcome.reason if isinstance(outcome, Rejected) else ""
        disagreed += reason != later
        print(path.relative_to(folder), reason, later, sep="\t")
    print(f"{disagreed} files on which they disagree", file=sys.stderr)


if __name__ == "__main__":
    main()
