"""Two commands that a person may start together: each does its work, or says in a line who is active.

What the second command made is as if it had run alone. Afterwards the work of the first is done once more, alone, and
the outputs are those of an undisturbed run.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psycopg2
import pytest
from dotenv import dotenv_values

from sandbox.ports import HOST, choose_ports
from sandbox.s3 import open_client
from tests.conftest import jpeg, plain_image
from tests.faults import projects
from tests.faults.test_crash_export import read_export
from tests.faults.test_crash_release import begin_again, read_state, release_and_commit
from tests.faults.trials import ALL, Trials
from tests.project import ROOT, Project
from tests.tools.test_release import AUTHOR, commands

REPRO = "dvc repro --force --single-item --no-run-cache duplicates catalog split"
# What says who is active: our stages and tools, DVC's lock of the project, and DVC's locks of single files.
WHO = re.compile(r"another run is active \(pid \d+\)|another DVC process is running|it is being blocked by|already run")
# What dvc and a stage say when they come after a takedown, which has removed the files that held the product.
GONE = re.compile(f"{WHO.pattern}|is missing: run `dvc repro`|Checkout failed for following targets")
TAKEN_DOWN_FROM = "inventory duplicates catalog split"
SAME_IN_ALL_SANDBOXES = {"sandbox", "us-east-1", HOST}
SECONDS = 240


Ended = subprocess.CompletedProcess[str]


def require_rows(trial: Project, ended: Ended) -> None:
    """Compare rows.csv of suspects with that of a run alone; a run that failed has made none."""
    rows = trial.folder / "rows.csv"
    assert rows.exists() == (ended.returncode == 0), ended
    made = rows.read_bytes() if rows.exists() else None
    rows.unlink(missing_ok=True)
    trial.succeed(*SUSPECTS.split())
    assert made in (None, rows.read_bytes())


def require_export(trial: Project, ended: Ended) -> None:
    """Compare the export that both wrote with that of a run alone."""
    made = read_export(trial.folder / "out")
    shutil.rmtree(trial.folder / "out")
    trial.succeed(*EXPORT.split())
    assert made == read_export(trial.folder / "out")


def require_pushed(trial: Project, ended: Ended) -> None:
    """Pull all data from the remote, which was empty. After a push that failed, push again."""
    if ended.returncode:
        trial.succeed("dvc", "push")
    outputs = projects.md5_of_outputs(trial)
    shutil.rmtree(trial.folder / ".dvc/cache")
    shutil.rmtree(trial.folder / "data")
    trial.succeed("dvc", "pull")
    assert projects.find_changed(trial, outputs) == []


def require_released(trial: Project, ended: Ended) -> None:
    """Commit as the release says, and compare all that it made with a release alone. One that failed is repeated."""
    if ended.returncode:
        release_and_commit(trial)
    else:
        trial.succeed("sh", "-c", commands(ended.stdout)[0], **AUTHOR)
    outputs = projects.md5_of_outputs(trial)
    made = read_state(trial, outputs)
    begin_again(trial, len(PAIRS))
    release_and_commit(trial)
    assert made == read_state(trial, outputs)


def require_all_kept(trial: Project, ended: Ended) -> None:
    """Check that a prune, also one alone now, removes nothing: every row was used just now."""
    alone = trial.succeed(*PRUNE.split())
    for printed in (alone, *([] if ended.returncode else [ended.stdout])):
        assert set(re.findall(r"removed (?:the \w+ of )?(\d+) photos", printed)) == {"0"}, printed


def require_said(trial: Project, ended: Ended) -> None:
    """Check that a command that only says something said it."""
    assert ended.returncode or ended.stdout.strip(), ended


SUSPECTS = "python -m tools.suspects --out rows.csv"
EXPORT = "python -m tools.export --to numpy out"
PRUNE = "python -m tools.prune --days 30"
RELEASE = "python -m tools.release v1.0.0"


class Pair(NamedTuple):
    """Two commands, of which the second starts some seconds after the first.

    require: checks what the second made, beside outputs of stages, given how it ended. empty: the remote is empty.
    """

    name: str
    first: str
    second: str
    seconds: float = 1.5
    require: Callable[[Project, Ended], None] | None = None
    empty: bool = False


PAIRS = [
    Pair("dvc repro twice", REPRO, REPRO),
    Pair("dvc repro and a plan", REPRO, "python -m tools.plan", require=require_said),
    Pair("dvc repro and dvc push", REPRO, "dvc push", require=require_pushed, empty=True),
    Pair("dvc repro and a release", REPRO, RELEASE, require=require_released, empty=True),
    Pair("dvc repro and a prune", REPRO, PRUNE, require=require_all_kept),
    Pair("dvc repro and a check", REPRO, "python -m tools.check", require=require_said),
    Pair("dvc repro and suspects", REPRO, SUSPECTS, require=require_rows),
    Pair("a stage twice by hand", "{split}", "{split}", 0.0),
    Pair("an export twice", EXPORT, EXPORT, 0.0, require=require_export),
    Pair("dvc repro and a stage by hand", REPRO, "{split}"),
]


def stage_command(project: Project, name: str) -> str:
    """Return the command of a stage as dvc.yaml has it."""
    text = (project.folder / "dvc.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^  {name}:.*?^    cmd: (.*?)\n    deps:", text, re.M | re.S)
    assert found
    return " ".join(found[1].removeprefix(">-").split())


def start(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command.replace("{split}", stage_command(project, "split"))],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def run_both(
    one: Project, first: str, other: Project, second: str, seconds: float, allowed: re.Pattern[str] = WHO
) -> Ended:
    """Run two commands that overlap. Each has to succeed, or to say what is allowed. Return how the second ended."""
    with ThreadPoolExecutor(2) as threads:
        begun = threads.submit(start, one, first)
        time.sleep(seconds)
        assert not begun.done(), "the first had ended before the second began"
        done = [threads.submit(start, other, second).result(), begun.result()]
    for each in done:
        said = each.stdout + each.stderr
        assert each.returncode == 0 or allowed.search(said), f"exit code {each.returncode}: {said[-600:]}"
    return done[0]


@pytest.mark.faults_only
@pytest.mark.fault("Twice at once", "two commands that a person starts together", "ten pairs of real commands")
def test_pairs(project: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path) -> None:
    for number, pair in enumerate(trials.choose(PAIRS, sample=1)):
        with trials.trial(pair.name):
            folder = tmp_path / str(number)
            folder.mkdir()
            trial = projects.copy(project, folder)
            if pair.empty:
                begin_again(trial, number)

            ended = run_both(trial, pair.first, trial, pair.second, pair.seconds)
            assert projects.find_orphans(trial) == []
            if pair.require:
                pair.require(trial, ended)
            trial.succeed(*REPRO.split())
            assert projects.find_changed(trial, undisturbed) == []
            assert not list(trial.folder.rglob(".*.tmp"))


@pytest.mark.faults_only
@pytest.mark.fault("Twice at once", "two projects on one cold cache", "IMAGESET_CACHE, two runs of dvc repro")
def test_two_projects_on_one_cold_cache(
    project: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path
) -> None:
    command = "dvc repro --force --single-item --no-run-cache inventory preprocess"
    with trials.trial("inventory and preprocess"):
        both = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            copied = projects.copy(project, tmp_path / name)
            shared = {"IMAGESET_CACHE": str(tmp_path / "cache"), "IMAGESET_WORKERS": "1"}
            both.append(Project(copied.folder, copied.environment | shared))

        run_both(both[0], command, both[1], command, 0.2)
        for each in both:
            assert projects.find_changed(each, undisturbed) == []
            assert projects.find_orphans(each) == []


@pytest.mark.faults_only
@pytest.mark.fault("Twice at once", "dvc while a product is taken down", "tools.forget beside dvc, either first")
def test_a_takedown_and_dvc(project: Project, trials: Trials, tmp_path: Path) -> None:
    product_id = list_products(project)[0]
    forget = f"python -m tools.forget --yes {product_id}"
    repro = f"dvc repro --force --single-item --no-run-cache {TAKEN_DOWN_FROM}"
    alone = copy_with_photos(project, tmp_path / "alone")
    alone.succeed(*forget.split())
    alone.succeed("dvc", "repro", "--no-run-cache")
    expected = projects.md5_of_outputs(alone)

    for number, (first, second) in enumerate([(repro, forget), (forget, repro), (forget, "dvc checkout --force")]):
        with trials.trial(f"{first}, {second}"):
            trial = copy_with_photos(project, tmp_path / str(number))

            run_both(trial, first, trial, second, 1.5, GONE)
            is_taken_down = product_id in (trial.folder / "corrections/takedowns.csv").read_text()
            assert is_taken_down != (product_id in list_products(trial))
            assert projects.find_orphans(trial) == []
            trial.succeed(*forget.split())
            trial.succeed("dvc", "repro", "--no-run-cache")
            assert projects.find_changed(trial, expected) == []


def list_products(project: Project) -> list[str]:
    """Return the products of data/inventory.csv, none where a takedown has removed it."""
    path = project.folder / "data/inventory.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as table:
        return [row["product_id"] for row in csv.DictReader(table)]


def copy_with_photos(project: Project, folder: Path) -> Project:
    """Return a copy with photos of its own: a takedown removes some."""
    folder.mkdir()
    return projects.copy(project, folder, bucket=True)


@pytest.mark.faults_only
@pytest.mark.fault("Twice at once", "make services in two shells", "two starts that overlap, at once and later")
def test_services_in_two_shells(trials: Trials, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "skirt").mkdir(parents=True)
    for number in range(6):
        (photos / f"skirt/{number}.jpg").write_bytes(jpeg(plain_image((number * 20, 0, 0))))
    command, few = [sys.executable, "-m", "sandbox"], ["--photos", str(photos)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for seconds in trials.choose([0.0, 0.2, 1.0], sample=1):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        with trials.trial(f"after {seconds} s"):
            shells = []
            for delay in (0.0, seconds):
                time.sleep(delay)
                shells.append(
                    subprocess.Popen(
                        [*command, "services", *few], cwd=folder, env=environment, stdout=-1, stderr=-1, text=True
                    )
                )
            ends = sorted((*shell.communicate(timeout=SECONDS), shell.returncode) for shell in shells)
            stopped = subprocess.run([*command, "stop"], cwd=folder, env=environment, capture_output=True, check=False)
            (_, refusal, code), (said, error, good) = sorted(ends, key=lambda end: -end[2])

            assert (code, good, error, stopped.returncode) == (1, 0, "", 0), ends
            assert re.fullmatch("sandbox: the services .*(start|run).*\n", refusal), refusal
            assert "another run" not in said + refusal
            assert not (folder / ".env").exists()


@pytest.mark.faults_only
@pytest.mark.fault("Twice at once", "make services in two projects", "started at once; one of them is stopped")
def test_services_in_two_projects(trials: Trials, server_folder: Path) -> None:
    for ports in trials.choose(["the same ports.json", "no ports.json"], sample=1):
        with trials.trial(ports):
            one, other = (prepare_services(server_folder / ports / name) for name in ("1", "2"))
            if ports == "the same ports.json":  # as in a copy of the folder
                for folder in (one, other):
                    (folder / ".sandbox").mkdir()
                choose_ports(one / ".sandbox/ports.json")
                shutil.copy(one / ".sandbox/ports.json", other / ".sandbox")
            try:
                started = [
                    call_sandbox(folder, "services", "--photos", str(folder / "photos")) for folder in (one, other)
                ]
                assert [end(each) for each in started] == [("", 0)] * 2
                first, second = (dotenv_values(folder / ".env") for folder in (one, other))
                assert (use_services(first), use_services(second)) == (1, 2)
                assert not set(first.values()) & set(second.values()) - SAME_IN_ALL_SANDBOXES

                assert end(call_sandbox(one, "stop")) == ("", 0)
                assert not (one / ".env").exists()
                assert use_services(second) == 2
                with pytest.raises(psycopg2.OperationalError, match="refused"):
                    use_services(first)

                if not ALL:
                    continue
                assert end(call_sandbox(one, "services")) == ("", 0)
                assert (use_services(dotenv_values(one / ".env")), use_services(second)) == (1, 2)
            finally:
                ends = [end(call_sandbox(folder, "stop")) for folder in (one, other)]
            assert ends == [("", 0)] * 2


def prepare_services(folder: Path) -> Path:
    """Make a folder with as many photos as its name says."""
    (folder / "photos/skirt").mkdir(parents=True)
    for number in range(int(folder.name)):
        (folder / f"photos/skirt/{number}.jpg").write_bytes(jpeg(plain_image((number * 20, 0, 0))))
    return folder


def call_sandbox(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sandbox", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def end(command: subprocess.Popen[str]) -> tuple[str, int]:
    """Wait for a command, and return its errors and its exit code."""
    _, errors = command.communicate(timeout=SECONDS)
    return errors, command.returncode


def use_services(environment: dict[str, str | None]) -> int:
    """Fetch all photos of the listings, put each into the bucket, and return how many objects that has."""
    known = {name: str(value) for name, value in environment.items()}
    client, (bucket, prefix) = open_client(known), known["IMAGE_STORE"].removeprefix("s3://").split("/")
    with closing(psycopg2.connect(known["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT product_id, image FROM products_catalog")
        for product_id, url in cursor.fetchall():
            assert url.startswith(f"http://{known['IMAGESET_ALLOWED_HOSTS']}/")
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                client.put_object(Bucket=bucket, Key=f"{prefix}/{product_id}.jpeg", Body=answer.read())
    return len(client.list_objects_v2(Bucket=bucket)["Contents"])
