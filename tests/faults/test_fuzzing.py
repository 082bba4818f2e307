"""What reads bytes and texts of strangers, fuzzed: a minute each by atheris, a few seeds where it is not installed."""

import os
import re
import subprocess
import sys

import pytest

from tests.faults.fuzz.targets import TARGETS, seeds
from tests.faults.trials import Trials
from tests.project import ROOT

SECONDS = 60
# An input that takes 20 s is a finding, too.
OPTIONS = [f"-max_total_time={SECONDS}", "-timeout=20", "-rss_limit_mb=4096", "-artifact_prefix=.cache/fuzz/"]
has_atheris = (ROOT / ".cache/atheris/atheris").exists()


@pytest.mark.parametrize("name", list(TARGETS))
def test_seeds_are_read_or_refused(name: str) -> None:
    for seed in seeds(name):
        for content in (seed, seed[: len(seed) // 2], seed + b"\0\xff", seed[::-1]):
            TARGETS[name](content)


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
def test_no_bytes_raise_anything_else(name: str, trials: Trials) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz", name, *OPTIONS],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
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
