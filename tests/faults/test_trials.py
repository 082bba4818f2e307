"""What counts as a trial of a fault, and as one that failed."""

from pathlib import Path

import pytest

from tests.faults import trials
from tests.faults.trials import Trials, read_results

pytest_plugins = ["pytester"]

CONFTEST = "from tests.faults.conftest import pytest_runtest_makereport, trials"
INI = """
[pytest]
addopts = -p no:cacheprovider
markers = fault
timeout = 2
"""
TESTS = """
import subprocess, sys, time
import pytest

@pytest.mark.fault("Crash", "{name}", "sleep")
def test_{name}(trials):
    for number in trials.choose(range(5), sample=5):
        with trials.trial(str(number)):
            assert number != 0
            if number == 2:
                {body}
"""
BODIES = {
    "a_stage_that_hangs": "subprocess.run(['sleep', '9'], timeout=0.1)",
    "a_test_that_hangs": "time.sleep(9)",
    "an_error": "[][1]",
    "a_missing_error": "with pytest.raises(OSError): pass",
    "assertions": "assert not number",
}


def make_trials() -> Trials:
    return Trials("Crash", "kill -9", "signal")


def test_an_error_fails_its_trial_and_the_trials_after_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stage that hung ended its test with "2 trials, 0 failures"."""
    monkeypatch.setattr(trials, "ALL", True)
    monkeypatch.setattr(trials, "RESULTS", tmp_path / "results")
    pytester.makeconftest(CONFTEST)
    pytester.makeini(INI)
    pytester.makepyfile(*(TESTS.format(name=name, body=body) for name, body in BODIES.items()))
    pytester.runpytest_inprocess()
    found = {each.fault: (each.trials, len(each.failures)) for each in read_results(tmp_path / "results")}

    assert found == {name: (5, 2 if name == "assertions" else 4) for name in BODIES}


def test_tests_with_one_place_for_their_results_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.faults.conftest import pytest_collection_modifyitems")
    pytester.makeini(INI)
    for folder in ("one", "other"):
        pytester.mkpydir(folder).joinpath("test_same.py").write_text(TESTS.format(name="same", body="pass"))
    ended = pytester.runpytest_inprocess()

    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines("*would replace each other: test_same.test_same")


def test_an_error_after_the_last_trial_fails_one_more() -> None:
    counted = make_trials()
    for name in counted.choose(["one", "two"], sample=2):
        with counted.trial(name):
            pass
    counted.end("AssertionError: too few calls")

    assert (counted.trials, counted.failures) == (3, {"trial 3, not made": "AssertionError: too few calls"})


def test_a_check_of_several_trials_fails_each_of_them_once() -> None:
    counted = make_trials()
    names = []
    for name in ("one", "one", "other"):
        with counted.trial(name) as numbered:
            names.append(numbered)
            assert name == "one", "half a file"
    with counted.charge(*names[1:]):
        raise AssertionError("another md5")

    said = {name: error.splitlines()[0] for name, error in counted.failures.items()}
    assert said == {"trial 2, one": "another md5", "trial 3, other": "half a file"}
