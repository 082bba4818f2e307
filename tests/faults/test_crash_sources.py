"""Kills of the stages from listings to embed."""

from pathlib import Path

import pytest

from tests.faults.kills import GROUPS, RENAMES, WRITES, Stage, kill_stages, needs_strace
from tests.faults.trials import Trials
from tests.project import Project

STAGES = (
    Stage("labels"),
    Stage("listings"),
    Stage("ingest"),
    Stage("ingest", cold=("ingest.sqlite",), empty_bucket=True),
    Stage("inventory"),
    Stage("model"),
    Stage("masks"),
    Stage("masks", cold=("masks.sqlite",)),
    Stage("embed"),
    Stage("embed", cold=("embeddings.sqlite",)),
)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of stages listings to embed at each rename and fsync", "strace")
def test_kill_from_listings_to_embed_at_each_rename_and_fsync(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_stages(trials, project, undisturbed, tmp_path, STAGES, RENAMES, kills_before_a_run=1)


@pytest.mark.faults_only
@needs_strace
@pytest.mark.fault("Crash", "kill -9 of stages listings to embed at 30 drawn writes each", GROUPS)
def test_kill_from_listings_to_embed_at_drawn_writes(
    trials: Trials, project: Project, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_stages(trials, project, undisturbed, tmp_path, STAGES, WRITES, kills_before_a_run=4)
