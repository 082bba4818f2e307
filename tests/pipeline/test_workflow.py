"""The workflows of .github: what they may do, and compare.yaml's own commands on two branches of a real run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from sandbox.s3 import DVC_BUCKET, open_client
from tests.faults.projects import copy_objects
from tests.forked import commands
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
def run(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone of the project with a remote of DVC of its own."""
    clone = project.clone(tmp_path_factory.mktemp("run") / "project")
    url = copy_objects(project.environment, f"s3://{DVC_BUCKET}", f"s3://{DVC_BUCKET}/copy-workflow-")
    clone.succeed("dvc", "remote", "modify", "storage", "url", url)
    clone.commit("another remote")
    return clone


@pytest.fixture(scope="module")
def changed(run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with a branch main, run and committed, and a branch change, not run."""
    clone = run.clone(tmp_path_factory.mktemp("workflow") / "project")
    clone.succeed("git", "switch", "--quiet", "--create", "change")
    clone.set_param("split.test_share", 0.4)
    clone.commit("a larger test share")
    return clone


@pytest.fixture
def more_listings(run: Project, tmp_path: Path) -> Project:
    """A clone with a branch main of fewer listings, masked, and a branch change of all listings, run up to inventory,
    and of another split.

    So much is run where the database is, and pushed.
    """
    clone = run.clone(tmp_path / "project")
    for command in (["pull", "model"], ["fetch", "masks"]):
        clone.succeed("dvc", *command)
    clone.set_param("source.limit", FEWER)
    clone.succeed("dvc", "repro", "masks")
    clone.commit("fewer listings")
    clone.succeed("dvc", "push", "masks")
    clone.succeed("git", "switch", "--quiet", "--create", "change")
    clone.set_param("source.limit", "null")
    clone.set_param("split.test_share", 0.4)  # so that the page changes, too
    clone.succeed("dvc", "repro", "inventory")
    clone.commit("all listings")
    clone.succeed("dvc", "push", "inventory")
    return clone


def open_remote(project: Project) -> Any:
    """Return a client of the S3 server that has DVC's remote."""
    return open_client(project.environment)


def prefix_of_remote(project: Project) -> str:
    """Return what the keys of DVC's remote begin with in its bucket."""
    [prefix] = re.findall(rf"url = s3://{DVC_BUCKET}/(.+)", (project.folder / ".dvc/config").read_text())
    return f"{prefix}/"


@contextmanager
def without_remote_copy(project: Project, output: str) -> Iterator[None]:
    """Take an output out of DVC's remote for some time."""
    client = open_remote(project)
    md5 = project.md5(output)
    at = {"Bucket": DVC_BUCKET, "Key": f"{prefix_of_remote(project)}files/md5/{md5[:2]}/{md5[2:]}"}
    body = client.get_object(**at)["Body"].read()
    client.delete_object(**at)
    try:
        yield
    finally:
        client.put_object(Body=body, **at)


class Ran(NamedTuple):
    """What compare.yaml's commands left: the run's summary, what they said, and whether all of them succeeded."""

    summary: str
    said: str
    succeeded: bool


def run_compare(changed: Project, clone: Path, secrets: dict[str, str], **variables: str) -> Ran:
    """Run compare.yaml's commands, all but the installation and the comment, in a fresh clone, as GitHub does.

    Args:
        changed: the project whose checked-out branch is the pull request.
        clone: a new folder.
        secrets: by name.
        variables: of the repository, beside those that every run needs.
    """
    changed.clone(clone)
    context = {
        "github.base_ref": "main",
        "vars.IMAGE_STORE": changed.environment["IMAGE_STORE"],
        "vars.AWS_ENDPOINT_URL": changed.environment["AWS_ENDPOINT_URL"],
        **{f"vars.{name}": value for name, value in variables.items()},
        **{f"secrets.{name}": value for name, value in secrets.items()},
    }
    runner = {name: value for name, value in changed.environment.items() if not name.startswith(("AWS_", "IMAGE"))}
    runner |= {"DATABASE_URL": NOWHERE, "GITHUB_STEP_SUMMARY": str(clone / "summary.md")}
    runner["PATH"] = f"{commands()}{os.pathsep}{runner['PATH']}"
    said, succeeded = "", True
    for step in steps("compare.yaml"):
        if "run" not in step or step["run"].startswith("pip install") or "gh api" in step["run"]:
            continue
        if succeeded or "!cancelled()" in step.get("if", ""):
            values = {name: evaluate(value, context) for name, value in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]], cwd=clone, env=runner | values, capture_output=True, text=True
            )
            said += done.stdout + done.stderr
            succeeded &= done.returncode == 0
    return Ran((clone / "summary.md").read_text(), said, succeeded)


def keys(project: Project) -> dict[str, str]:
    return {name: project.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def clone_with_main(project: Project, folder: Path) -> Project:
    """Return a clone that has the branch main, too, so that it can be cloned as the repository of a pull request."""
    clone = project.clone(folder)
    clone.succeed("git", "branch", "main", "origin/main")
    return clone


def verdict(summary: str) -> list[str]:
    """Return the lines of the verdict."""
    return re.findall(r"^- (.+)$", summary.split("\n## ", 1)[0], re.MULTILINE)


def evaluate(expression: str, context: dict[str, str]) -> str:
    """Return the value of a workflow's ${{ name || 'default' }}; a name without a value is empty."""
    match = re.fullmatch(r"\$\{\{ ([\w.]+)(?: \|\| '([^']*)')? \}\}", expression)
    assert match, expression
    return context.get(match[1], "") or match[2] or ""


def test_a_pull_request_runs_what_changed_and_shows_it(changed: Project, tmp_path: Path) -> None:
    """It does so where the remote lacks the masks, too, and says that it does."""
    changed.succeed("dvc", "pull", "data/masks.h5")
    with without_remote_copy(changed, "data/masks.h5"):
        summary, said, succeeded = run_compare(changed, tmp_path / "clone", keys(changed))
    metrics = {name: delta for name, _, _, delta in rows(section(summary, "Metrics"))}

    assert succeeded
    assert set(re.findall(r"Running stage '(\w+)'", said)) == {"split", "build", "validate", "baseline", "report"}
    assert any(re.match(r"\*\*Other test photos \(\d+ → \d+\): scores are not", line) for line in verdict(summary))
    assert any(re.match(r"(Of )?\d+ test photos that both sides share", line) for line in verdict(summary))
    assert any(
        re.search(r"^Photos: \d+ \(train .*\): 0 added, 0 gone, 0 relabelled, 3 moved between", line)
        for line in verdict(summary)
    )
    assert not (tmp_path / "clone/compare.html").exists()
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
    assert WITHOUT_MASKS in said
    assert keys(changed)["AWS_SECRET_ACCESS_KEY"] not in summary + said


def test_a_pull_request_from_a_fork_is_compared_without_secrets(changed: Project, tmp_path: Path) -> None:
    summary, said, succeeded = run_compare(changed, tmp_path / "clone", {})

    assert succeeded
    assert "No secrets" in said
    assert verdict(summary)[0].startswith(
        "**Not known what this change does**: `dvc repro` has not run for it (to run:"
    )
    assert rows(section(summary, "Params changed")) == [("split.test_share", "0.2", "0.4")]
    assert stage_rows(summary)["split"] == ("yes", "params split.test_share", "no run recorded")
    assert stage_rows(summary)["build"][:2] == ("perhaps", "if data/split.csv of split changes")
    assert section(summary, "Metrics") == "Not known: `dvc repro` has not run for the working tree, or not to its end."


@pytest.mark.faults_only
def test_a_pull_request_of_more_listings_predicts_their_masks_alone_and_is_kept_where_the_repository_asks_for_it(
    more_listings: Project, tmp_path: Path
) -> None:
    """With the patch and what was pushed, the branch needs no second run."""
    clone, own = tmp_path / "clone", keys(more_listings)
    summary, said, succeeded = run_compare(more_listings, clone, own, IMAGESET_UPLOAD_REPORT="1", IMAGESET_PUSH="1")
    photos, new = sum(PHOTOS.values()), sum(PHOTOS.values()) - FEWER

    assert succeeded
    assert re.findall(r"Running stage '(\w+)'", said)[0] == "masks"
    assert f"masks: {FEWER} are taken from the data/masks.h5 that dvc.lock names" in said
    assert re.search(rf"^masks: {photos} photos, {photos} masks, {FEWER} known before, .* asked for {new}$", said, re.M)
    assert WITHOUT_MASKS not in said
    assert rows(section(summary, "Params changed")) == [
        ("source.limit", str(FEWER), "null"),
        ("split.test_share", "0.2", "0.4"),
    ]
    assert "<title>From origin/main" in (clone / "compare.html").read_text()
    assert (clone / "data/report.html").exists()
    assert run_cache_of(more_listings) == []

    merged = clone_with_main(more_listings, tmp_path / "merged")
    merged.succeed("git", "apply", str(clone / "run.patch"))
    merged.commit("dvc.lock and reports/ of the pull request's run")

    assert merged.stages_that_run("--pull", "--allow-missing") == []


def run_cache_of(project: Project) -> list[str]:
    """Return the objects of the run cache in DVC's remote."""
    client = open_remote(project)
    found = client.list_objects_v2(Bucket=DVC_BUCKET, Prefix=f"{prefix_of_remote(project)}runs/")
    return [entry["Key"] for entry in found.get("Contents", [])]


def test_the_first_pull_request_of_a_project_without_a_lock_is_green(changed: Project, tmp_path: Path) -> None:
    first = clone_with_main(changed, tmp_path / "project")
    for branch in ("main", "change"):
        first.succeed("git", "switch", "--quiet", branch)
        first.succeed("git", "rm", "--quiet", "-r", "dvc.lock", "reports")
        first.commit("no run yet")
    summary, said, succeeded = run_compare(first, tmp_path / "clone", keys(changed))

    assert succeeded
    assert "There is no dvc.lock yet" in said
    assert "has no dvc.lock, the record of what its stages ran on" in verdict(summary)[0]
    assert rows(section(summary, "Params changed")) == [("split.test_share", "0.2", "0.4")]


def test_after_a_failed_run_nothing_is_called_unchanged(changed: Project, tmp_path: Path) -> None:
    broken = clone_with_main(changed, tmp_path / "project")
    broken.set_param("catalog.min_photos", 1000)
    broken.commit("more photos a class than there are")
    summary, said, succeeded = run_compare(broken, tmp_path / "clone", keys(changed), IMAGESET_PUSH="1")

    assert not succeeded
    assert "failed to reproduce 'catalog'" in said
    assert verdict(summary)[0].startswith(
        "**Not known what this change does**: `dvc repro` has not run for it (to run:"
    )
    assert "Unchanged" not in summary


GH = """\
#!{python}
# The part of GitHub's `gh api` that compare.yaml calls, on comments in a file. The filter runs in jq, as in gh.
import json, pathlib, sys
import jq
path = pathlib.Path({comments!r})
comments, arguments = json.loads(path.read_text()), sys.argv[2:]
method = arguments[arguments.index("--method") + 1] if "--method" in arguments else "GET"
if method == "GET":
    for found in jq.compile(arguments[arguments.index("--jq") + 1]).input_value(comments):
        print(found)
else:
    field = arguments[arguments.index("--field") + 1]
    body = pathlib.Path(field.removeprefix("body=@")).read_text()
    if method == "POST":
        assert "repos/me/data/issues/7/comments" in arguments
        comments.append({{"id": len(comments), "user": {{"type": "Bot"}}, "body": body}})
    else:
        [one] = [part for part in arguments if part.startswith("repos/me/data/issues/comments/")]
        comments[int(one.rpartition("/")[2])]["body"] = body
path.write_text(json.dumps(comments))
"""


def test_one_comment_is_written_and_found_again_among_those_of_others(tmp_path: Path) -> None:
    [step] = [step for step in steps("compare.yaml") if "gh api" in step.get("run", "")]
    others = [
        {"id": 0, "user": {"type": "Bot"}, "body": "another workflow's"},
        {"id": 1, "user": {"type": "User"}, "body": "<!-- imageset compare -->\n\nquoted by a person"},
    ]
    comments, gh = tmp_path / "comments.json", tmp_path / "gh"
    comments.write_text(json.dumps(others))
    gh.write_text(GH.format(python=sys.executable, comments=str(comments)))
    gh.chmod(0o755)
    context = {"github.token": "x", "github.repository": "me/data", "github.event.pull_request.number": "7"}
    values = {name: fill(value, context) for name, value in step["env"].items()}
    environment = os.environ | values | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    failed = "Not known what this change does: the comparison failed. The log of the run says why.\n"
    for text in ("1", "@second", failed):
        (tmp_path / "comparison.md").unlink(missing_ok=True)
        if text != failed:
            (tmp_path / "comparison.md").write_text(text)
        subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)

        assert json.loads(comments.read_text()) == [
            *others,
            {"id": 2, "user": {"type": "Bot"}, "body": f"<!-- imageset compare -->\n\n{text}"},
        ]


def test_the_patch_of_a_run_has_files_that_git_does_not_know(tmp_path: Path) -> None:
    [step] = [step for step in steps("compare.yaml") if "run.patch" in step.get("run", "")]
    for command in (
        ["init", "--quiet"],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", *command, *(["--allow-empty"] if "commit" in command else [])], cwd=tmp_path, check=True)
    for _ in range(2):  # without dvc.lock and reports/, as before a first run, then with both
        subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, check=True)
        patch = (tmp_path / "run.patch").read_text()
        (tmp_path / "reports").mkdir(exist_ok=True)
        (tmp_path / "reports/new.json").write_text("{}\n")
        (tmp_path / "dvc.lock").write_text("stages: {}\n")

    assert "if" not in step  # so that a failed run leaves no patch
    assert re.findall(r"^\+\+\+ b/(.+)$", patch, re.MULTILINE) == ["dvc.lock", "reports/new.json"]


def fill(text: str, context: dict[str, str]) -> str:
    """Return a text with the values of its ${{ names }}."""
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda match: context[match[1]], text)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_cannot_be_talked_into_more(path: Path) -> None:
    """No text of a pull request inside a script, no right to write but comments, nothing into the run cache.

    Data is pushed only where the repository asks for it: the test of pushes shows that.
    """
    content = yaml.safe_load(path.read_text())
    scripts = [step["run"] for step in steps(path.name) if "run" in step]
    writes = {name for name, access in content["permissions"].items() if access != "read"}

    assert scripts
    assert not [script for script in scripts if "${{" in script or re.search(r"git (commit|push)|--run-cache", script)]
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
