"""tools.release on clones of a real run: what it refuses, what it fixes, and that the commands it prints work."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from imageset.errors import DataError, ImagesetError
from imageset.formats import tables
from imageset.runtime import params
from tests import documents
from tests.faults.projects import link_or_copy
from tests.project import KEPT, ROOT, Project, command_line
from tests.samples import sample
from tools import release, versions
from tools.forget import remaining

AUTHOR = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
}
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
GONE = (999_999, 0, "test")  # a photo of an earlier release that the data no longer has
COMMAND = (sys.executable, "-m", "tools.release")


@pytest.fixture(scope="module")
def pulled(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone of the project with its data. Its origin is a bare repository. releases/split.csv has a photo more."""
    folder = tmp_path_factory.mktemp("release")
    project.succeed("git", "clone", "--quiet", "--bare", str(project.folder), str(folder / "origin.git"))
    environment = project.environment | AUTHOR | {"IMAGESET_WORKERS": "1"}
    clone = Project(folder / "origin.git", environment).clone(folder / "project")
    clone.succeed("dvc", "pull", "--quiet")
    tables.write(clone.folder / release.SPLIT, tables.SPLIT, tables.frame(tables.SPLIT, [GONE]))
    clone.succeed("dvc", "repro")
    assert clone.md5() == project.md5()
    clone.commit("a photo that is gone")
    clone.succeed("git", "push", "--quiet")
    return clone


@pytest.fixture
def copy_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Project], Project]:
    """Copy a project with its data, and make the copy the working directory."""

    def copy(source: Project) -> Project:
        shutil.copytree(source.folder, tmp_path / "project", symlinks=True, copy_function=link_or_copy)
        monkeypatch.chdir(tmp_path / "project")
        for name, value in source.environment.items():
            monkeypatch.setenv(name, value)
        return Project(tmp_path / "project", source.environment)

    return copy


@pytest.fixture
def copied(copy_of: Callable[[Project], Project], pulled: Project) -> Project:
    return copy_of(pulled)


@pytest.fixture(scope="module")
def released(pulled: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, str]:
    """The clone after a release and its printed commands, the output of the release, and git's status before them.

    Only .env has the keys of the bucket.
    """
    folder = tmp_path_factory.mktemp("released") / "project"
    shutil.copytree(pulled.folder, folder, symlinks=True, copy_function=link_or_copy)
    bare = {name: value for name, value in pulled.environment.items() if not name.startswith("AWS_")}
    keys = [f"{name}={value}\n" for name, value in pulled.environment.items() if name.startswith("AWS_")]
    (folder / ".env").write_text("".join(keys))
    output = Project(folder, bare).succeed(*COMMAND, "v1.2.0")
    changed = Project(folder, bare).succeed("git", "status", "--porcelain")
    Project(folder, bare).paste(commands(output)[0])
    return Project(folder, pulled.environment), output, changed


def commands(output: str) -> list[str]:
    """Return the commands in the output of a release: first those of git, then each way to get the dataset."""
    first, second = re.findall(r"\n\n((?:    .*\n)+)", output)
    return [first, *second.splitlines()]


def state(project: Project) -> dict[str, bytes]:
    """Return all files that a release or a stage may write."""
    names = ("releases", "reports", "data", "models")
    paths = [path for name in names for path in (project.folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in [project.folder / "dvc.lock", *paths]}


def read_subsets(path: Path) -> dict[tuple[int, int], str]:
    return {(product, position): subset for product, position, subset in tables.scan(path, tables.SPLIT)}


def flip_bit(path: Path) -> None:
    """Change one bit of a file but neither its size nor its time, which DVC looks at."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("version", ["1.2.0", "v1.2", "v1.2.0.1", "v01.2.0", "v1.2.0-rc.1", "v1.2.0\n", "v1.2.\u0661"])
def test_text_that_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ImagesetError, match="is not a version"):
        versions.parse_version(version)


@pytest.mark.parametrize(
    ("version", "tags", "fits"),
    [
        ("v0.1.0", [], True),
        ("v1.10.0", ["dataset@v1.9.9"], True),
        ("v1.2.0", ["dataset@v1.2.0"], False),
        ("v1.2.0", ["dataset@v1.2.0#1"], False),
        ("v1.9.0", ["dataset@v1.10.0", "dataset@v1.2.0"], False),
        ("v1.2.0", ["dataset@v1.2.0-rc.1", "other@v3.0.0", "v3.0.0", "dataset#prod"], True),
    ],
)
def test_a_version_is_higher_than_all_released_ones(version: str, tags: list[str], fits: bool) -> None:
    if fits:
        versions.require_higher(version, tags)
    else:
        with pytest.raises(ImagesetError, match="is not higher than"):
            versions.require_higher(version, tags)


def test_a_photo_that_left_the_data_keeps_its_subset() -> None:
    before = tables.frame(tables.SPLIT, [(1, 0, "test"), (1, 1, "test"), (3, 0, "train")])
    now = tables.frame(tables.SPLIT, [(1, 0, "test"), (2, 0, "train")])
    frozen = release.freeze_split(before, now).sort_values(list(tables.SPLIT.key))

    assert frozen.to_numpy().tolist() == [[1, 0, "test"], [1, 1, "test"], [2, 0, "train"], [3, 0, "train"]]
    with pytest.raises(DataError, match=r"1 photos are in another subset than .* product_id 1, position 0: "):
        release.freeze_split(before, now.assign(subset="train"))


def test_a_released_label_that_changed_is_refused() -> None:
    before, now = (tables.frame(tables.LABEL_MAP, [(0, 7, "hat"), (1, last, "dress")]) for last in (8, 9))

    assert release.freeze_label_map(before.head(1), now) is now
    with pytest.raises(DataError, match="class 8 no longer has label 1"):
        release.freeze_label_map(before, now)


def test_the_dataset_is_the_artifact_that_dvc_yaml_names() -> None:
    assert params.parse(ROOT / "dvc.yaml")["artifacts"][versions.ARTIFACT]["path"] == versions.DATASET


# What is refused, with nothing written: a param committed without a run, an uncommitted edit, ...


def tag(project: Project) -> None:
    project.succeed("git", "tag", "--annotate", "dataset@v1.2.0", "--message", "there")


def edit_code(project: Project) -> None:
    path = project.folder / "stages/split.py"
    path.write_text(path.read_text() + "# edited\n")
    (project.folder / "notes.txt").touch()


def let_dvc_write(project: Project) -> None:
    """Leave what there is while a dvc writes dvc.lock: half of it, and DVC's list of files in use."""
    path = project.folder / "dvc.lock"
    path.write_text(path.read_text()[:2000])
    used = {"write": {str(project.folder / "data/split.csv"): {"pid": os.getpid(), "cmd": "dvc repro"}}}
    (project.folder / ".dvc/tmp").mkdir(exist_ok=True)
    (project.folder / ".dvc/tmp/rwlock").write_text(json.dumps(used))


def edit_report(project: Project) -> None:
    path = project.folder / "reports/metrics.json"
    path.write_text(path.read_text() + "\n")


def detach(project: Project) -> None:
    project.succeed("git", "checkout", "--quiet", "--detach")


def remove_git(project: Project) -> None:
    shutil.rmtree(project.folder / ".git")


def fail_validation(project: Project) -> None:
    path = project.folder / release.VALIDATION
    path.write_text(json.dumps(json.loads(path.read_text()) | {"passed": False}))
    project.commit("a failed validation")


def remove_validation(project: Project) -> None:
    (project.folder / release.VALIDATION).unlink()
    project.commit("no validation")


def commit_param(project: Project) -> None:
    project.set_param("split.test_share", 0.4)
    project.commit("not run")


def lose_data(project: Project) -> None:
    (project.folder / "data/catalog.csv").unlink()


def damage_dataset(project: Project) -> None:
    project.succeed("dvc", "status")  # which remembers size and time of the undamaged file
    flip_bit(project.folder / versions.DATASET)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (tag, "v1.2.0 is not higher than v1.2.0, which tag dataset@v1.2.0 released"),
        (edit_code, "not committed: stages/split.py, notes.txt; commit first$"),
        (let_dvc_write, r"^another run is active \(pid \d+\); wait for it or stop it"),
        (edit_report, "not committed: reports/metrics.json; commit first; `git checkout"),
        (detach, "no branch is checked out"),
        (remove_git, "not a git repository"),
        (fail_validation, "reports/validation.json says that a check of the dataset failed"),
        (remove_validation, "reports/validation.json does not say whether the checks passed"),
        (commit_param, r"out of date \(split, page changed\): run `dvc repro`"),
        (lose_data, "data of catalog, .* is missing: run `dvc pull`"),
        (damage_dataset, "the file was changed or damaged"),
    ],
)
def test_what_is_not_in_order_is_refused_and_stays_as_it_is(
    copied: Project, spoil: Callable[[Project], None], message: str
) -> None:
    spoil(copied)
    before = state(copied)
    with pytest.raises(ImagesetError, match=message) as caught:
        release.release("v1.2.0")

    assert "\n" not in str(caught.value)
    assert state(copied) == before


def test_a_folder_of_the_project_is_refused(copied: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("data")
    with pytest.raises(ImagesetError, match=r"in the root folder of the project, the one with dvc\.yaml$"):
        release.release("v1.2.0")


@pytest.mark.parametrize("folder", ["my data", "güzel", "a=b"])
def test_a_folder_that_no_tag_can_name_is_refused(folder: str) -> None:
    with pytest.raises(ImagesetError, match=f"in folder '{folder}' of its git repository, which DVC accepts in no tag"):
        versions.require_folder(folder)


def test_a_wrong_version_is_refused_in_one_line(copied: Project) -> None:
    done = copied.run(*COMMAND, "1.2")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "release: '1.2' is not a version: expected vMAJOR.MINOR.PATCH, such as v1.2.0\n"


def test_git_is_not_written_to(copied: Project) -> None:
    """A git that is killed while it writes leaves a lock, which the printed commands would meet."""
    os.utime(copied.folder / "params.yaml")  # `git status` would note the new time
    index = copied.folder / ".git/index"
    before = index.read_bytes()
    release.check_repository("v1.2.0")

    assert index.read_bytes() == before


# Releases that succeed.


def test_a_release_fixes_subsets_and_labels_and_changes_no_data(
    released: tuple[Project, str, str],
    pulled: Project,
) -> None:
    project, output, changed = released
    before, after = state(pulled), state(project)

    graph = params.parse(project.folder / "dvc.yaml")["stages"]
    readers = [name for name, stage in graph.items() if any(path.startswith("releases/") for path in stage["deps"])]

    assert re.findall(r"Running stage '(\w+)'", output) == readers
    assert changed == " M dvc.lock\n M releases/label_map.csv\n M releases/split.csv\n"
    assert {name for name in after if after[name] != before.get(name)} == {
        "dvc.lock",
        "releases/label_map.csv",
        "releases/split.csv",
    }
    assert read_subsets(project.folder / release.SPLIT) == read_subsets(project.folder / "data/split.csv") | {
        GONE[:2]: GONE[2]
    }
    assert after["releases/label_map.csv"] == after["data/label_map.csv"]
    assert before.keys() == after.keys()


def test_the_printed_commands_make_a_version_that_gto_knows(released: tuple[Project, str, str]) -> None:
    project, _, _ = released

    assert project.succeed("git", "status", "--porcelain") == ""
    assert (
        project.succeed("git", "rev-parse", "HEAD", "dataset@v1.2.0^{commit}", "origin/main")
        .split()
        .count(project.succeed("git", "rev-parse", "HEAD").strip())
        == 3
    )
    assert "dataset@v1.2.0" in project.succeed("git", "ls-remote", "--tags", "origin")
    assert "v1.2.0" in project.succeed("gto", "show", "dataset")
    assert project.stages_that_run() == []


@pytest.mark.parametrize("way", [1, 2])
def test_the_printed_ways_get_the_dataset_in_an_empty_folder(
    released: tuple[Project, str, str], way: int, tmp_path: Path
) -> None:
    project, output, _ = released
    Project(tmp_path, project.environment).paste(commands(output)[way])

    assert [path.name for path in tmp_path.iterdir()] == ["dataset.h5"]
    assert (tmp_path / "dataset.h5").read_bytes() == (project.folder / versions.DATASET).read_bytes()


def test_the_ways_to_get_a_version_in_docs_work_without_a_clone(
    released: tuple[Project, str, str], tmp_path: Path
) -> None:
    project, _, _ = released
    page = documents.section("docs/releases.md", "Get a version")
    text = page.replace("<url of the repository>", str(project.folder))
    ways = documents.commands(text)
    [block] = documents.blocks(text, "python")
    for number, command in enumerate(ways):
        (tmp_path / str(number)).mkdir()
        Project(tmp_path / str(number), project.environment).paste(command)
    check = "assert len(images) == len(labels) > 0"
    done = subprocess.run(
        [sys.executable, "-c", f"{block}\n{check}"],
        cwd=tmp_path,
        env=project.environment,
        capture_output=True,
        text=True,
    )

    assert len(ways) == 2
    assert done.returncode == 0, done.stderr
    for number in range(2):
        assert (tmp_path / str(number) / "dataset.h5").read_bytes() == (project.folder / versions.DATASET).read_bytes()


def test_no_secret_is_printed(released: tuple[Project, str, str]) -> None:
    project, output, _ = released

    assert project.environment["AWS_SECRET_ACCESS_KEY"] not in output


def test_a_later_release_keeps_all_subsets_and_labels_of_the_one_before(
    released: tuple[Project, str, str], copy_of: Callable[[Project], Project]
) -> None:
    project = copy_of(released[0])
    first, label_map = read_subsets(project.folder / release.SPLIT), (project.folder / release.LABEL_MAP).read_text()
    project.set_param("catalog.min_photos", 2)  # now the hats are in
    project.set_param("split.seed", 5)  # without a release, another seed makes another split
    project.succeed("dvc", "repro")
    project.commit("hats")
    output = project.succeed(*COMMAND, "v1.3.0")
    second = read_subsets(project.folder / release.SPLIT)

    assert len(second) > len(first) == sum(KEPT.values()) + 1
    assert {photo: second[photo] for photo in first} == first
    assert (project.folder / release.LABEL_MAP).read_text().startswith(label_map)
    assert "dataset@v1.3.0" in output


def test_a_release_without_anything_new_has_nothing_to_commit(
    released: tuple[Project, str, str], copy_of: Callable[[Project], Project]
) -> None:
    project = copy_of(released[0])
    project.succeed("git", "remote", "set-url", "origin", "https://me:secret-word@git.example/team/data.git")
    output = release.release("v1.2.1")

    assert commands(output)[0] == (
        '    git tag -a dataset@v1.2.1 -m "Release dataset@v1.2.1" && \\\n'
        "    git push --atomic origin main dataset@v1.2.1\n"
    )
    assert commands(output)[1] == "    dvc get https://git.example/team/data.git data/dataset.h5 --rev dataset@v1.2.1"
    assert "secret-word" not in output
    assert project.succeed("git", "status", "--porcelain") == ""


def test_where_git_has_no_remote_no_push_is_printed() -> None:
    output = versions.instructions("v1.2.0", "md5", "/srv/my data", "main", False, True)

    assert "git push" not in output
    assert "Git has no remote named origin yet" in output
    assert "dvc get '/srv/my data' data/dataset.h5" in output


# A project that is a folder of its repository.


@pytest.fixture(scope="module")
def below(pulled: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The clone as folder teams/shoes of a repository, after a release and its printed commands; what the release said.

    The repository has another project's versions, and changes in other folders that are not committed.
    """
    top = tmp_path_factory.mktemp("below") / "top"
    project = Project(top / "teams/shoes", pulled.environment)
    shutil.copytree(pulled.folder, project.folder, symlinks=True, ignore=lambda *_: [".git"])
    project.succeed("git", "init", "--quiet", "--initial-branch=main", str(top))
    (top / "other.txt").touch()
    Project(top, pulled.environment).commit("two projects")
    project.succeed("git", "clone", "--quiet", "--bare", str(top), str(top.parent / "origin.git"))
    project.succeed("git", "remote", "add", "origin", str(top.parent / "origin.git"))
    project.succeed("git", "tag", "--annotate", "dataset@v7.0.0", "--message", "another project's")
    (top / "other.txt").write_text("staged")
    project.succeed("git", "add", str(top / "other.txt"))
    (top / "teams/notes.txt").touch()
    output = project.succeed(*COMMAND, "v1.2.0")
    project.paste(commands(output)[0])
    return project, output


def test_a_project_in_a_folder_of_its_repository_is_released_under_the_folders_name(below: tuple[Project, str]) -> None:
    project, output = below

    assert 'git tag -a teams/shoes=dataset@v1.2.0 -m "Release teams/shoes=dataset@v1.2.0"' in output
    assert "v1.2.0" in project.succeed("gto", "show", "teams/shoes:dataset")
    assert project.succeed("git", "show", "--name-only", "--format=", "HEAD").split() == [
        "teams/shoes/dvc.lock",
        "teams/shoes/releases/label_map.csv",
        "teams/shoes/releases/split.csv",
    ]
    assert project.succeed("git", "status", "--porcelain") == "M  other.txt\n?? teams/notes.txt\n"


@pytest.mark.parametrize("way", [1, 2])
def test_the_printed_ways_get_the_dataset_of_a_folder(below: tuple[Project, str], way: int, tmp_path: Path) -> None:
    project, output = below
    Project(tmp_path, project.environment).paste(commands(output)[way])

    assert (tmp_path / "dataset.h5").read_bytes() == (project.folder / versions.DATASET).read_bytes()


def test_what_is_not_in_order_in_a_folder_is_named_from_there(
    below: tuple[Project, str], copy_of: Callable[[Project], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = below
    project = copy_of(Project(source.folder.parent.parent, source.environment))
    monkeypatch.chdir(project.folder / "teams/shoes")
    with pytest.raises(ImagesetError, match=r"which tag teams/shoes=dataset@v1\.2\.0 released"):
        release.check_repository("v1.2.0")
    assert release.check_repository("v1.2.1") == "main"
    Path("reports/metrics.json").write_text("{}")
    with pytest.raises(ImagesetError, match=r"^not committed: reports/metrics\.json; commit first; `git checkout"):
        release.check_repository("v1.2.1")


def test_a_takedown_finds_the_versions_of_a_folder(
    below: tuple[Project, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project, _ = below
    monkeypatch.chdir(project.folder)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    (product_id, *_), *_ = tables.scan(project.folder / "data/split.csv", tables.SPLIT)

    # Of the data that DVC fetches, as its cache is said to be elsewhere.
    assert [tuple(one)[:2] for one in remaining.find_releases(frozenset({product_id}), tmp_path)] == [
        ("teams/shoes=dataset@v1.2.0", True)
    ]
    assert [one.holds for one in remaining.find_releases(frozenset({-5}), tmp_path)] == [False]


def test_a_comparison_and_a_plan_in_a_folder_know_what_was_run_there(below: tuple[Project, str]) -> None:
    project, _ = below
    assert "Total: nothing to do." in project.succeed(sys.executable, "-m", "tools.plan")
    printed = project.succeed(sys.executable, "-m", "tools.compare", "main", "--fetch")

    assert "**The dataset is the same**, to the last pixel" in printed
    assert "## Stages that rerun, and why\n\nNone." in printed


# Releases that fail or are stopped.


def undo(project: Project) -> None:
    """Run the command that a release names when it fails."""
    project.paste(release.UNDO)


def test_when_the_push_fails_the_command_that_undoes_it_is_named(copied: Project) -> None:
    before = state(copied)
    done = copied.run(*COMMAND, "v1.2.0", **NOWHERE)

    assert done.returncode == 1
    assert "Running stage 'split'" in done.stdout
    assert "git commit" not in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "release: `dvc push` failed; its own message above says why; "
        "`git checkout -- dvc.lock releases reports && dvc checkout --force` undoes this release"
    )
    assert "Traceback" not in done.stderr
    assert copied.environment["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr

    undo(copied)

    assert state(copied) == before
    assert copied.succeed("git", "status", "--porcelain") == ""


def test_data_that_would_change_is_refused(copied: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "freeze_split", lambda released, current: current.assign(subset="train"))
    before = state(copied)
    with pytest.raises(ImagesetError, match=r"dataset.h5 has md5 \w{32} instead of \w{32}: .* undoes this release"):
        release.release("v1.2.0")
    # As validate leaves it when it finds the data wrong: a stage's failure keeps dvc from saving its outputs.
    (copied.folder / "data/validation.json").write_text('{"passed": false}')

    undo(copied)

    assert state(copied) == before
    assert json.loads(copied.succeed("dvc", "status", "--json")) == {}


STOPPED = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


@pytest.fixture
def begun(copied: Project) -> Iterator[subprocess.Popen[str]]:
    """A running release that has written releases/."""
    with subprocess.Popen(
        [*COMMAND, "v1.2.0"],
        cwd=copied.folder,
        env=copied.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        while "Running stage 'catalog'" not in running.stdout.readline():
            assert running.poll() is None
        yield running
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.faults_only
def test_a_killed_release_is_undone_by_git_and_dvc(
    begun: subprocess.Popen[str], copied: Project, pulled: Project
) -> None:
    started = psutil.Process(begun.pid).children(recursive=True)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    psutil.wait_procs(started, timeout=60)  # dvc takes what a process locked for locked until the process is gone
    left = state(copied)
    with pytest.raises(ImagesetError, match=r"commit first; `git checkout .*` undoes a release that was stopped"):
        release.release("v1.2.0")

    assert state(copied) == left
    assert left["releases/split.csv"] != state(pulled)["releases/split.csv"]

    undo(copied)

    assert state(copied) == state(pulled)
    assert json.loads(copied.succeed("dvc", "status", "--json")) == {}


def wait_for_a_stage(running: subprocess.Popen[str]) -> None:
    """Wait until a stage handles signals by itself. Before, while it imports, Python shows a traceback of its own."""
    while not any(handles_sigterm(child) for child in psutil.Process(running.pid).children(recursive=True)):
        assert running.poll() is None
        time.sleep(0.005)


def handles_sigterm(process: psutil.Process) -> bool:
    if not any(word.startswith("stages.") for word in command_line(process)):
        return False
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:  # it has ended
        return False
    return bool(int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, which Linux has")
@pytest.mark.parametrize(("number", "code"), sample(STOPPED, STOPPED[1]))
def test_a_release_that_is_stopped_names_the_command_that_undoes_it(
    begun: subprocess.Popen[str], copied: Project, pulled: Project, number: int, code: int
) -> None:
    wait_for_a_stage(begun)
    if number == signal.SIGINT:
        os.killpg(begun.pid, number)  # as a terminal does
    else:
        begun.send_signal(number)
    output, _ = begun.communicate(timeout=60)

    assert begun.returncode == code, output
    assert "Traceback" not in output
    assert f"release: stopped half-way; `{release.UNDO}` undoes this release\n" in output

    undo(copied)

    assert state(copied) == state(pulled)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ghp_token@github.com/team/data.git", "https://github.com/team/data.git"),
        ("https://me:wo%40rd@host:8443/data.git?private_token=word", "https://host:8443/data.git"),
        ("ssh://git:word@host:22/data.git", "ssh://git@host:22/data.git"),
        ("git@github.com:team/data.git", "git@github.com:team/data.git"),
        ("../data.git", "../data.git"),
    ],
)
def test_addresses_are_shown_without_credentials(url: str, shown: str) -> None:
    assert versions.without_credentials(url) == shown
