"""What reads bytes and texts of strangers, fuzzed: a minute each by atheris, a few seeds where it is not installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imageset.photos.decode import open_image
from imageset.photos.file_formats import tell_format
from tests.faults.fuzz import targets
from tests.faults.fuzz.seeds import DECODE, SEEDS
from tests.faults.fuzz.targets import TARGETS
from tests.faults.trials import Trials
from tests.project import ROOT

SECONDS = 60
# An input that takes 20 s is a finding, too.
OPTIONS = [f"-max_total_time={SECONDS}", "-timeout=20", "-rss_limit_mb=4096", "-artifact_prefix=.cache/fuzz/"]
has_atheris = (ROOT / ".cache/atheris/atheris").exists()


@pytest.mark.parametrize("name", list(TARGETS))
def test_seeds_are_read_or_refused(name: str) -> None:
    for seed in SEEDS[name].values():
        for content in (seed, seed[: len(seed) // 2], seed + b"\0\xff", seed[::-1]):
            TARGETS[name](content)


@pytest.mark.parametrize("name", list(TARGETS))
def test_the_fuzzer_begins_behind_the_first_checks(name: str) -> None:
    refused = [kind for kind, seed in SEEDS[name].items() if not TARGETS[name](seed)]

    assert refused == [kind for kind in SEEDS[name] if kind.endswith("which is refused")]


def test_there_is_a_seed_of_each_format_that_is_decoded() -> None:
    """And of each kind of pixels, for Pillow has other code for these."""
    photos = [open_image(seed, targets.LIMITS) for kind, seed in DECODE.items() if not kind.endswith("refused")]

    assert {tell_format(seed) for seed in DECODE.values()} >= set(targets.LIMITS.formats)
    assert {photo.mode for photo in photos} >= {"1", "CMYK", "I;16", "L", "LA", "P", "RGB", "RGBA"}
    assert [photo for photo in photos if photo.getexif().get(0x0112, 1) != 1]
    assert [photo for photo in photos if photo.info.get("icc_profile")]


@pytest.mark.faults_only
@pytest.mark.skipif(not has_atheris, reason="needs atheris: requirements-fuzz.txt")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.fault("Fuzzing", f"bytes that a fuzzer finds: {name}", "atheris, a minute")
        )
        for name in TARGETS
    ],
)
def test_no_bytes_raise_anything_else(name: str, trials: Trials, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz", name, *OPTIONS],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
    )
    # The last line: "Done 81234 runs in 61 second(s)".
    executions = re.search(r"Done (\d+) runs", done.stderr)
    with trials.trial(name):
        assert done.returncode == 0, (done.stdout + done.stderr)[-1500:]
        assert executions, done.stderr[-1500:]
        trials.trials += int(executions[1]) - 1
