"""`python -m tests.faults.both_paths FILE...`: print a line of JSON a file, with the verdicts of ingest and preprocess.

It runs in a process of its own, with the limits of a worker, so that a decoder's crash is a file's and not the test's.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

from imageset.errors import Undecodable
from imageset.photos.decode import PhotoLimits, check, decode
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import preprocess_photo
from imageset.runtime import params
from imageset.workers import limits
from tests.project import ROOT

SECONDS, BYTES = 30.0, 2_000_000_000  # as docs/security.md has them


def main() -> None:
    section = params.load(ROOT / "params.yaml").preprocess
    photo_limits = PhotoLimits(section.max_pixels)
    for path in sys.argv[1:]:
        body = Path(path).read_bytes()
        with limits.deadline(SECONDS), limits.memory_limit(BYTES):
            ingest, _ = check(body, photo_limits)
            outcome = preprocess_photo(body, section)
            with suppress(Undecodable):
                decode(body, photo_limits)  # check takes any error for a damaged photo; here it ends the process
        print(json.dumps([ingest, outcome.reason if isinstance(outcome, Rejected) else ""]), flush=True)


if __name__ == "__main__":
    main()
