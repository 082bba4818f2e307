"""Kills of a query of DuckDB that does not fit into memory: what it put into TMPDIR goes with the next connection."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imageset.storage import engines
from tests.faults.trials import Trials
from tests.project import ROOT

KILLS = 5
# Two million rows of 40 bytes do not fit into the memory that the process says. DuckDB takes `python -c` for a person,
# and shows one a bar after two seconds.
QUERY = """
import sys
from contextlib import closing
from imageset.storage import engines
with closing(engines.connect_duckdb(None)) as connection:
    query = connection.cursor()
    query.execute("SET memory_limit = '40MB'")
    query.execute("SET threads = 1")
    query.execute("SET enable_progress_bar = false")
    query.execute("CREATE TABLE rows AS SELECT md5(range::VARCHAR) AS text FROM range(2000000)")
    print("done", flush=True)
    sys.stdin.read()
"""
NEXT = """
from contextlib import closing
from imageset.storage import engines
with closing(engines.connect_duckdb(None)) as connection:
    connection.cursor().execute("SELECT 1")
"""


def list_spill(folder: Path) -> list[Path]:
    return list(folder.glob(f"{engines.SPILL}*/*"))


def start_query(folder: Path) -> subprocess.Popen[str]:
    """Start a process, and wait until its query has put rows into TMPDIR. It ends when its input does."""
    before = len(list_spill(folder))
    running = subprocess.Popen([sys.executable, "-c", QUERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while len(list_spill(folder)) <= before:
        assert running.poll() is None
        time.sleep(0.001)
    return running


@pytest.mark.fault("Crash", "kill -9 of a query of DuckDB that does not fit into memory", "signal")
def test_kill_a_query_of_duckdb(trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next connection removes what the killed one left, and nothing of one that is alive."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(ROOT)
    with start_query(tmp_path) as alive:
        assert alive.stdout is not None
        assert alive.stdout.readline() == "done\n"
        kept = list_spill(tmp_path)
        for number in trials.choose(range(KILLS), sample=1):
            with start_query(tmp_path) as killed:
                time.sleep(0.1 * number)
                killed.send_signal(signal.SIGKILL)
            left = set(list_spill(tmp_path)) - set(kept)
            assert left
            with trials.trial(f"kill {number}"):
                subprocess.run([sys.executable, "-c", NEXT], check=True)
                assert list_spill(tmp_path) == kept
                assert list(tmp_path.iterdir()) == [kept[0].parent]
        alive.communicate()
    assert not list(tmp_path.iterdir())
