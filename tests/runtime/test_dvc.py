"""An earlier output is the one that dvc.lock of the working tree names, else that of HEAD, in DVC's cache or not."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from imageset.runtime import dvc
from tests.forked import run_python

GRAPH = """\
stages:
  masks:
    cmd: cat listings.csv > data/masks.h5 && echo table > data/masks.csv
    deps:
      - listings.csv
    outs:
      - data/masks.csv
      - data/masks.h5
"""
MASKS = Path("data/masks.h5")


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def run_dvc(*arguments: str) -> None:
    run_python("dvc", *arguments, cwd=Path.cwd()).check_returncode()


def commit() -> None:
    run("git", "add", "--all")
    run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "a run")


def make_project(*options: str) -> None:
    """Make a DVC project of one stage in the working directory, and run it on one listing."""
    run_dvc("init", "--quiet", *options)
    Path("dvc.yaml").write_text(GRAPH)
    Path("data").mkdir()
    make_masks("one\n")


def make_masks(text: str) -> None:
    Path("listings.csv").write_text(text)
    run_dvc("repro", "--quiet")


def found() -> str | None:
    """Return what the output that is found has in it, "absent" where DVC's cache lacks it, None when none is named."""
    output = dvc.find_earlier_output(MASKS)
    if output is None:
        return None
    return output.path.read_text() if output.path.exists() else "absent"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in a folder of a git repository, run twice: HEAD has the first run, the working tree the second."""
    folder = tmp_path_factory.mktemp("repository") / "shop"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("git", "init", "--quiet", str(folder.parent))
        make_project("--subdir")
        commit()
        make_masks("one\ntwo\n")
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the working directory; as DVC runs a stage, its outputs are not there."""
    run("cp", "-r", str(made.parent), str(tmp_path / "repository"))
    monkeypatch.chdir(tmp_path / "repository/shop")
    MASKS.unlink()
    return Path()


def test_the_lock_of_the_working_tree_comes_before_that_of_head(project: Path) -> None:
    assert found() == "one\ntwo\n"


def test_without_a_lock_that_of_head_counts(project: Path) -> None:
    (project / "dvc.lock").unlink()

    assert found() == "one\n"


def test_where_the_cache_lacks_the_one_output_it_may_have_the_other(project: Path) -> None:
    newest = dvc.find_earlier_output(MASKS)
    assert newest
    newest.path.chmod(0o644)
    newest.path.unlink()

    assert found() == "one\n"

    run("rm", "-rf", str(newest.path.parent.parent))

    assert dvc.find_earlier_output(MASKS) == newest
    assert found() == "absent"


def test_the_md5_is_that_of_the_lock_whatever_became_of_the_file(project: Path) -> None:
    before = dvc.find_earlier_output(MASKS)
    assert before
    assert hashlib.md5(before.path.read_bytes()).hexdigest() == before.md5
    before.path.chmod(0o644)
    before.path.write_text("damaged")

    assert dvc.find_earlier_output(MASKS) == before


def test_a_cache_elsewhere_is_found(project: Path, tmp_path: Path) -> None:
    (project / ".dvc/cache").rename(tmp_path / "shared")
    run_dvc("cache", "dir", str(tmp_path / "shared"))
    output = dvc.find_earlier_output(MASKS)

    assert output
    assert output.path.is_relative_to(tmp_path / "shared")
    assert output.path.read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    "lock",
    [
        "",
        "stages: [\n",
        "\x01",
        "7\n",
        "[]\n",
        "stages:\n",
        "stages: []\n",
        "stages:\n  masks:\n",
        "stages:\n  masks:\n    outs: 7\n",
        "stages:\n  masks:\n    outs: [7]\n",
        "stages:\n  masks:\n    outs: [{md5: 7}]\n",
        "stages:\n  masks:\n    outs:\n",
        "stages: 2026-13-45\n",
        "stages:\n  masks:\n    outs: [{path: data/masks.h5}]\n",
        "stages:\n  masks:\n    outs: [{path: data/masks.h5, md5: 7}]\n",
        "stages:\n  masks:\n    outs: [{path: data/masks.h5, md5: 0123}]\n",
        "stages:\n  masks:\n    outs: [{path: data/masks.h5, md5: null}]\n",
        "stages:\n  masks:\n    outs: [{path: data/other.h5, md5: 0123456789abcdef0123456789abcdef}]\n",
    ],
)
def test_a_damaged_lock_counts_as_none(project: Path, lock: str) -> None:
    (project / "dvc.lock").write_text(lock)

    assert found() == "one\n"

    commit()

    assert found() is None


def test_a_lock_that_is_no_text_counts_as_none(project: Path) -> None:
    (project / "dvc.lock").write_bytes(b"stages: \xff\n")

    assert found() == "one\n"


def test_an_output_that_no_lock_names_has_none_earlier(project: Path) -> None:
    assert dvc.find_earlier_output(Path("data/processed.h5")) is None


def test_without_git_the_lock_of_the_working_tree_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project("--no-scm")

    assert found() == "one\n"

    Path("dvc.lock").unlink()

    assert found() is None


def test_without_dvc_there_is_nothing_earlier(project: Path) -> None:
    run("rm", "-rf", ".dvc")

    assert found() is None


def test_in_an_empty_folder_there_is_nothing_earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert found() is None


def test_where_git_is_not_installed_the_lock_of_the_working_tree_counts(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert found() == "one\ntwo\n"

    (project / "dvc.lock").unlink()

    assert found() is None
