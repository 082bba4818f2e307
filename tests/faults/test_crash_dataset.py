"""Kills of the stages from preprocess to page."""

from pathlib import Path

import pytest

from tests.faults.kills import GROUPS, RENAMES, WRITES, Stage, kill_stages, needs_strace
from tests.faults.trials import Trials
from tests.project import Project

STAGES = (
    Stage("build"),
    Stage("preprocess"),
    Stage("preprocess", cold=("pixels.sqlite",)),
    Stage("duplicates"),
    Stage("catalog"),
    Stage("split"),
    Stage("validate"),
    Stage("baseline"),
    Stage("audit"),
    Stage("report"),
    Stage("page"),
)


@needs_strace
@pytest.mark.fault("Crash", "kill -9 of stages preprocess to page at each rename and fsync", "strace")
def test_kill_from_preprocess_to_page_at_each_rename_and_fsync(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_stages(trials, project, undisturbed, tmp_path, STAGES, RENAMES, kills_before_a_run=1)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of stages preprocess to page at 30 drawn writes each", GROUPS)
def test_kill_from_preprocess_to_page_at_drawn_writes(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_stages(trials, project, undisturbed, tmp_path, STAGES, WRITES, kills_before_a_run=4)
