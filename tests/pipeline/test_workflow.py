"""The workflows of .github: what they may do, and compare.yaml's own commands on two branches of a real run."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from sandbox.s3 import DVC_BUCKET
from tests.project import PHOTOS, ROOT, Project
from tests.tools.test_compare import rows, section, stage_rows

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
WITHOUT_MASKS = "The DVC remote has no data/masks.h5 of dvc.lock"
FEWER = 20  # listings of the branch main, where a pull request adds some


def steps(workflow: str) -> list[dict[str, Any]]:
    content = yaml.safe_load((ROOT / ".github" / "workflows" / workflow).read_text())
    return [step for job in content["jobs"].values() for step in job["steps"]]


@pytest.fixture(scope="module")
def changed(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone of the project with a branch main, run and committed, and a branch change, not run."""
    clone = project.clone(tmp_path_factory.mktemp("workflow") / "project")
    clone.succeed("git", "switch", "--quiet", "--create", "change")
    clone.set_param("split.test_share", 0.4)
    clone.commit("a larger test share")
    return clone


@pytest.fixture
def more_listings(project: Project, tmp_path: Path) -> Project:
    """A clone with a branch main of fewer listings, masked, and a branch change of all listings, run up to inventory.

    So much is run where the database is, and pushed.
    """
    clone = project.clone(tmp_path / "project")
    for command in (["pull", "model"], ["fetch", "masks"]):
        clone.succeed("dvc", *command)
    clone.set_param("source.limit", FEWER)
    clone.succeed("dvc", "repro", "masks")
    clone.commit("fewer listings")
    clone.succeed("dvc", "push", "masks")
    clone.succeed("git", "switch", "--quiet", "--create", "change")
    clone.set_param("source.limit", "null")
    clone.succeed("dvc", "repro", "inventory")
    clone.commit("all listings")
    clone.succeed("dvc", "push", "inventory")
    return clone


@contextmanager
def without_remote_copy(project: Project, output: str) -> Iterator[None]:
    """Take an output out of DVC's remote for some time."""
    environment = project.environment
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    md5 = project.md5(output)
    at = {"Bucket": DVC_BUCKET, "Key": f"files/md5/{md5[:2]}/{md5[2:]}"}
    body = client.get_object(**at)["Body"].read()
    client.delete_object(**at)
    try:
        yield
    finally:
        client.put_object(Body=body, **at)


def run_compare(changed: Project, clone: Path, secrets: dict[str, str]) -> tuple[str, str]:
    """Run compare.yaml's commands, all but the installation and the comment, in a fresh clone; return its summary
    and what the commands said."""
    changed.clone(clone)
    context = {
        "github.base_ref": "main",
        "vars.IMAGE_STORE": changed.environment["IMAGE_STORE"],
        "vars.AWS_ENDPOINT_URL": changed.environment["AWS_ENDPOINT_URL"],
        **{f"secrets.{name}": value for name, value in secrets.items()},
    }
    runner = {name: value for name, value in changed.environment.items() if not name.startswith(("AWS_", "IMAGE"))}
    runner |= {"DATABASE_URL": NOWHERE, "GITHUB_STEP_SUMMARY": str(clone / "summary.md")}
    said = ""
    for step in steps("compare.yaml"):
        if "run" in step and not step["run"].startswith(("pip install", "gh pr comment")):
            values = {name: evaluate(value, context) for name, value in step["env"].items()}
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]], cwd=clone, env=runner | values, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout
    return (clone / "summary.md").read_text(), said


def evaluate(expression: str, context: dict[str, str]) -> str:
    """Return the value of a workflow's ${{ name || 'default' }}; a name without a value is empty."""
    match = re.fullmatch(r"\$\{\{ ([\w.]+)(?: \|\| '([^']*)')? \}\}", expression)
    assert match, expression
    return context.get(match[1], "") or match[2] or ""


def test_a_pull_request_runs_what_changed_and_shows_it(changed: Project, tmp_path: Path) -> None:
    secrets = {name: changed.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    summary, said = run_compare(changed, tmp_path / "clone", secrets)
    metrics = {name: delta for name, _, _, delta in rows(section(summary, "Metrics"))}

    assert set(re.findall(r"Running stage '(\w+)'", said)) == {"split", "build", "validate", "baseline", "report"}
    assert rows(section(summary, "Params changed")) == [("split.test_share", "0.2", "0.4")]
    assert {name: (reruns, why) for name, (reruns, why, _) in stage_rows(summary).items()} == {
        "split": ("yes", "params split.test_share"),
        "build": ("yes", "data/split.csv of split"),
        "validate": ("yes", "data/dataset.h5 of build, data/split.csv of split"),
        "baseline": ("yes", "data/dataset.h5 of build"),
        "report": (
            "yes",
            "data/dataset.h5 of build, data/split.csv of split, reports/baseline.json of baseline",
        ),
    }
    assert metrics["rows.test"] == "+3"
    assert metrics["rows.train"] == "-15"
    assert WITHOUT_MASKS not in said
    assert secrets["AWS_SECRET_ACCESS_KEY"] not in summary + said


def test_a_pull_request_of_more_listings_predicts_their_masks_alone(more_listings: Project, tmp_path: Path) -> None:
    secrets = {name: more_listings.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    summary, said = run_compare(more_listings, tmp_path / "clone", secrets)
    photos, new = sum(PHOTOS.values()), sum(PHOTOS.values()) - FEWER

    assert re.findall(r"Running stage '(\w+)'", said)[0] == "masks"
    assert f"masks: {FEWER} are taken from the data/masks.h5 that dvc.lock names" in said
    assert re.search(rf"^masks: {photos} photos, {photos} masks, {FEWER} known before, .* asked for {new}$", said, re.M)
    assert rows(section(summary, "Params changed")) == [("source.limit", str(FEWER), "null")]


def test_a_pull_request_is_compared_where_the_remote_lacks_the_masks(changed: Project, tmp_path: Path) -> None:
    secrets = {name: changed.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    changed.succeed("dvc", "pull", "data/masks.h5")
    with without_remote_copy(changed, "data/masks.h5"):
        summary, said = run_compare(changed, tmp_path / "clone", secrets)

    assert WITHOUT_MASKS in said
    assert set(re.findall(r"Running stage '(\w+)'", said)) == {"split", "build", "validate", "baseline", "report"}
    assert stage_rows(summary)["split"][:2] == ("yes", "params split.test_share")


def test_a_pull_request_from_a_fork_is_compared_without_secrets(changed: Project, tmp_path: Path) -> None:
    summary, said = run_compare(changed, tmp_path / "clone", {})

    assert "No secrets" in said
    assert rows(section(summary, "Params changed")) == [("split.test_share", "0.2", "0.4")]
    assert stage_rows(summary)["split"] == ("yes", "params split.test_share", "no run recorded")
    assert stage_rows(summary)["build"][:2] == ("perhaps", "if data/split.csv of split changes")
    assert section(summary, "Metrics").startswith("Not known: `dvc repro` has not run for the working tree")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_cannot_be_talked_into_more(path: Path) -> None:
    """No text of a pull request inside a script, no right to write but comments, no data from CI."""
    content = yaml.safe_load(path.read_text())
    scripts = [step["run"] for step in steps(path.name) if "run" in step]
    writes = {name for name, access in content["permissions"].items() if access != "read"}

    assert scripts
    assert not [script for script in scripts if "${{" in script or re.search(r"(git|dvc) (commit|push)", script)]
    assert writes <= {"pull-requests"}
    assert "pull_request_target" not in path.read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved to other code; the comment says which one it was."""
    used = re.findall(r"uses: (.+)", path.read_text())

    assert used
    assert [line for line in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line)] == []


def test_an_action_has_one_version() -> None:
    used = {line for path in WORKFLOWS for line in re.findall(r"uses: (.+)", path.read_text())}

    assert len(used) == len({line.partition("@")[0] for line in used})


def test_checks_are_those_of_make() -> None:
    scripts = [step["run"] for step in steps("checks.yaml") if "run" in step]

    assert [script for script in scripts if script.startswith("make")] == [
        "make lint",
        "make docs",
        "make test",
        "make coverage",
    ]


def test_make_lint_installs_all_that_mypy_looks_at() -> None:
    """mypy fails over an import that it does not find: torch in the reader, Sphinx in docs/conf.py."""
    needs = dict(re.findall(r"^(\w+): ([^#\n]+?) *##", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert needs["lint"] == needs["environment"]


def test_tests_run_where_the_page_of_platforms_has_all_wheels() -> None:
    """Its table has a row a platform, a column a Python; `make platforms` prints it."""
    matrix = yaml.safe_load((ROOT / ".github/workflows/checks.yaml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    runners = {"Linux x86-64": "ubuntu-latest", "Linux ARM64": "ubuntu-24.04-arm", "macOS 14, ARM64": "macos-15"}
    page = (ROOT / "docs/platforms.md").read_text()
    [head, *table] = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in re.findall(r"^\| (?:no wheel for|Linux|macOS).*\|$", page, re.MULTILINE)
    ]
    complete = [name for name, *cells in table if set(cells) == {"all have one"}]

    assert head[1:] == matrix["python"]
    assert matrix["os"] == [runners[name.partition(", glibc")[0]] for name in complete]


def test_ruff_before_a_commit_is_the_ruff_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][1]["hooks"]
    pin = re.findall(r"^ruff==.+$", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)

    assert [hook["additional_dependencies"] for hook in hooks] == [pin, pin]


def test_no_hook_changes_or_refuses_what_the_pipeline_writes() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    entries = [entry for stage in stages for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    in_git = [path for entry in entries if isinstance(entry, dict) for path in entry]
    exclude = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["exclude"]

    assert "reports/samples.png" in in_git
    others = ("dvc.lock", "releases/split.csv", "corrections/labels.csv")
    assert [path for path in (*in_git, *others) if not re.search(exclude, path)] == []


def test_no_robot_updates_a_package_that_decides_bytes() -> None:
    [pip] = [
        update
        for update in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
        if update["package-ecosystem"] == "pip"
    ]
    deciding = re.findall(r"^([\w-]+)==", (ROOT / "requirements-pixels.txt").read_text(), re.MULTILINE)

    assert [entry["dependency-name"] for entry in pip["ignore"]] == deciding
