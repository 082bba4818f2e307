"""What readers of dataset.h5 do with a damaged file, and with one that somebody wrote who means harm.

Each reads the same content as before, or raises DataError. It raises nothing else, does not crash, needs no more than
2 GB, and ends.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import pytest

from tests.faults import crafted_hdf5
from tests.faults.dataset_bytes import mutate, write_dataset
from tests.faults.hdf5_bytes import find_parts, with_checksums
from tests.faults.trials import Trials
from tests.project import ROOT

MUTATIONS = 500
SECONDS, SECONDS_A_FILE = 60, 10
WITHOUT_VERIFY = "ImageSet"
Outcomes = dict[str, Any]


def read_files(paths: Sequence[Path]) -> dict[str, Outcomes]:
    """Read files in a process of its own with little memory, and in another one behind each that it did not survive."""
    found: dict[str, Outcomes] = {}
    waiting = list(paths)
    while waiting:
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.faults.read_files", *map(str, waiting)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                answer, problem = process.communicate(timeout=SECONDS + SECONDS_A_FILE * len(waiting))
            except subprocess.TimeoutExpired:
                process.kill()
                answer, problem = process.communicate()
                problem += "\nkilled, as it did not end"
        outcomes = [json.loads(line) for line in answer.splitlines()]
        found |= {each.pop("file"): each for each in outcomes}
        waiting = waiting[len(outcomes) :]
        if waiting:
            found[waiting.pop(0).name] = {"process": f"{process.returncode} {problem[-1000:]}"}
    return found


def flat(outcomes: Outcomes) -> dict[str, str]:
    """Return the outcome of each way to read a file and, where it is one of these, of each subset."""
    parts = {way: [value] if isinstance(value, str) else value for way, value in outcomes.items()}
    return {f"{way} {number}": value for way, values in parts.items() for number, value in enumerate(values)}


def wrong(outcomes: Outcomes, good: Outcomes, ways: Sequence[str]) -> dict[str, str]:
    """Return the outcomes that are neither those of the good file nor an error that says so."""
    expected = flat(good)
    return {
        way: value
        for way, value in flat(outcomes).items()
        if way.startswith((*ways, "process")) and value not in ("DataError", "failed", expected.get(way))
    }


CHECKED = ("ImageSet, verify=True", "tools.verify", "tools.export")


@pytest.fixture
def good(tmp_path: Path) -> list[Path]:
    """Two good files, one of them compressed."""
    return [write_dataset(tmp_path / "good.h5"), write_dataset(tmp_path / "good_gzip.h5", "gzip")]


def write_mutations(good: list[Path], seeds: Sequence[int]) -> dict[str, tuple[Path, str]]:
    """Write damaged files; return, by name, of which good one each was made, and what was done."""
    made: dict[str, tuple[Path, str]] = {}
    parts = {path: find_parts(path.read_bytes()) for path in good}
    for seed in seeds:
        source = good[seed // 12 % 2]
        what, content = mutate(source.read_bytes(), parts[source], seed)
        path = source.with_name(f"{seed}.h5")
        path.write_bytes(content)
        made[path.name] = source, what
    return made


@pytest.mark.fault(
    "Readers",
    "damaged dataset.h5: ImageSet without verify, which checks no pixel, id or text",
    "the same; a trial that read other values has not passed",
)
@pytest.mark.fault(
    "Readers", "damaged dataset.h5: ImageSet with verify=True, tools.verify, export", "500 seeded changes of bytes"
)
def test_damage_is_found_by_who_checks_and_is_an_error_for_all(
    trials: Trials, good: list[Path], request: pytest.FixtureRequest
) -> None:
    made = write_mutations(good, trials.choose(range(MUTATIONS), sample=24))
    found = read_files([*good, *(good[0].with_name(name) for name in made)])
    _, mark = request.node.iter_markers("fault")
    unchecked = Trials(*mark.args)
    for name, (source, what) in made.items():
        with trials.trial(what):
            assert not wrong(found[name], found[source.name], CHECKED)
            # Without verify, values may be others. All other outcomes are as wrong as with it.
            values = wrong(found[name], found[source.name], ["ImageSet "])
            assert all(len(value) == 64 for value in values.values()), values
        with unchecked.trial(what):
            assert not values, "read other values"
    unchecked.save("test_readers.without_verify")


@pytest.mark.fault("Readers", "dataset.h5 of somebody who means harm", "crafted HDF5, 2 GB of memory")
def test_crafted_files_are_refused(trials: Trials, good: list[Path]) -> None:
    content = good[0].read_bytes()
    parts = find_parts(content)
    made = {
        function.__name__: good[0].with_name(f"{function.__name__}.h5")
        for function in (*crafted_hdf5.EDITS, *crafted_hdf5.PATCHES)
    }
    made = {name: made[name] for name in trials.choose(list(made), sample=14)}
    for edit in crafted_hdf5.EDITS:
        if path := made.get(edit.__name__):
            path.write_bytes(content)
            with h5py.File(path, "r+", libver=("v110", "v110")) as file:
                edit(file)
    for patch in crafted_hdf5.PATCHES:
        if path := made.get(patch.__name__):
            path.write_bytes(with_checksums(patch(content), parts))
    found = read_files([good[0], *made.values()])
    for name, path in made.items():
        with trials.trial(name):
            assert not wrong(found[path.name], found["good.h5"], ("ImageSet", "tools"))
            assert found[path.name]["tools.verify"] != "passed"
