"""A dataset is found in DVC's remote by what git has, at any revision."""

import subprocess
import sys
from pathlib import Path

import pytest

from imageset.errors import DataError
from imageset.reader import ImageSet, remote
from imageset.reader.bucket_file import Place
from tests.dataset_files import write

MD5 = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
KEY = "files/md5/01/23456789abcdef0123456789abcdef"
CONFIG = """[core]
    analytics = false
    remote = storage
['remote "storage"']
    url = s3://shop-dvc/some/prefix/
    endpointurl = https://s3.example.com
['remote "plain"']
    url = s3://plain
['remote "folder"']
    url = ../../elsewhere
['remote "cloud"']
    url = gs://bucket
['remote "names"']
    url = s3://bucket
    version_aware = true
"""


def lock(md5: str, path: str = "data/dataset.h5", kind: str = "      hash: md5\n") -> str:
    """Return a dvc.lock as DVC writes it."""
    out = f"    - path: {path}\n{kind}      md5: {md5}\n      size: 17\n"
    return f"schema: '2.0'\nstages:\n  build:\n    cmd: build\n    outs:\n{out}"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=b", *arguments], check=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a release v1, another content at HEAD, and a third one in the working tree."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    git(folder, "init", "--quiet")
    for md5, tag, bucket in ((MD5, "v1", "shop-dvc"), (OTHER, "v2", "new-dvc")):
        (folder / "dvc.lock").write_text(lock(md5))
        (folder / ".dvc/config").write_text(CONFIG.replace("shop-dvc", bucket))
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", tag)
        git(folder, "tag", tag)
    (folder / "dvc.lock").write_text(lock(MD5[::-1]))
    return folder


def test_a_revision_decides_the_content_and_the_remote(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project / "data/dataset.h5"

    assert remote(path, "v1") == Place("shop-dvc", f"some/prefix/{KEY}", "https://s3.example.com", "")
    assert str(remote(path, "v1")) == f"s3://shop-dvc/some/prefix/{KEY}"
    assert str(remote(path, "v2")) == f"s3://new-dvc/some/prefix/files/md5/{OTHER[:2]}/{OTHER[2:]}"
    assert str(remote(path)) == f"s3://new-dvc/some/prefix/files/md5/{MD5[:-3:-1]}/{MD5[-3::-1]}"
    assert str(remote(path, "v1", name="plain")) == f"s3://plain/{KEY}"
    monkeypatch.chdir(project / ".dvc")
    assert remote("../data/dataset.h5", "v1") == remote(path, "v1")


def test_config_local_comes_first_at_any_revision(project: Path) -> None:
    (project / ".dvc/config.local").write_text(
        '[\'remote "storage"\']\n    endpointurl = "http://127.0.0.1:9000"\n    region = eu-north-1 # near\n'
    )

    found = remote(project / "data/dataset.h5", "v1")
    assert isinstance(found, Place)
    assert (found.endpoint, found.region) == ("http://127.0.0.1:9000", "eu-north-1")


def test_files_of_dvc_add_of_dvc_2_and_of_folders_below(project: Path) -> None:
    (project / "dvc.lock").unlink()
    (project / "added.h5.dvc").write_text(f"outs:\n- md5: {MD5}\n  size: 17\n  hash: md5\n  path: added.h5\n")
    (project / "teams/shoes").mkdir(parents=True)
    (project / "teams/shoes/dvc.lock").write_text(lock(MD5))
    (project / "old").mkdir()
    (project / "old/dvc.lock").write_text(lock(MD5, "dataset.h5", ""))

    assert str(remote(project / "added.h5", name="plain")) == f"s3://plain/{KEY}"
    assert str(remote(project / "teams/shoes/data/dataset.h5", name="plain")) == f"s3://plain/{KEY}"
    assert str(remote(project / "old/dataset.h5", name="plain")) == f"s3://plain/{KEY.removeprefix('files/md5/')}"


def test_a_remote_that_is_a_folder_is_read_there(project: Path) -> None:
    found = remote(project / "data/dataset.h5", "v1", name="folder")
    assert isinstance(found, Path)
    found.parent.mkdir(parents=True)
    write(found)

    assert found.resolve() == project.parent / "elsewhere" / KEY
    assert len(ImageSet(found)) == 23


@pytest.mark.parametrize(
    ("path", "options", "problem"),
    [
        ("../dataset.h5", {}, "is in no DVC project: name the file with the project's folder"),
        ("data/none.h5", {"rev": "v1"}, r"neither dvc\.lock nor data/none\.h5\.dvc names data/none\.h5 in v1 of "),
        ("data/dataset.h5", {"rev": "v3"}, "git has no revision 'v3' in .*: run `git fetch`, or correct it"),
        ("data/dataset.h5", {"rev": "--all"}, "git has no revision '--all'"),
        ("data/dataset.h5", {"name": "none"}, r"has no remote 'none': name another one, or run `dvc remote add`"),
        ("data/dataset.h5", {"name": "cloud"}, "is gs://, not s3:// or a folder: run `dvc pull .*`, open that"),
        ("data/dataset.h5", {"name": "names"}, "has files under their own names: give ImageSet the URL of one"),
    ],
)
def test_what_cannot_be_found_is_said(project: Path, path: str, options: dict[str, str], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        remote(project / path, **options)


def test_damaged_files_and_a_folder_without_git_are_said(project: Path) -> None:
    (project / "dvc.lock").write_text("stages: [")
    with pytest.raises(DataError, match=r"dvc\.lock cannot be read \(.*\): restore it from git"):
        remote(project / "data/dataset.h5")
    (project / "dvc.lock").unlink()
    (project / "added.h5.dvc").write_text("outs: [")
    with pytest.raises(DataError, match=r"^added\.h5\.dvc cannot be read"):
        remote(project / "added.h5")
    (project / ".dvc/config").write_text("url = s3://bucket")
    (project / "dvc.lock").write_text(lock(MD5))
    with pytest.raises(DataError, match=r"config cannot be read \(MissingSectionHeaderError\): correct it"):
        remote(project / "data/dataset.h5")
    (project / ".git").rename(project / "no-git")
    with pytest.raises(DataError, match="git has no revision 'v1'"):
        remote(project / "data/dataset.h5", "v1")


@pytest.mark.parametrize(
    "damaged",
    [
        lock(MD5)[: lock(MD5).index("    cmd")].encode(),
        lock(MD5)[: lock(MD5).index("    - path")].encode(),
        lock(MD5)[: lock(MD5).index("stages:") + 7].encode(),
        lock("7").encode(),
        b"- 7",
        b"stages: \xff",
    ],
)
def test_a_damaged_lock_of_any_revision_is_said(damaged: bytes, project: Path) -> None:
    (project / "dvc.lock").write_bytes(damaged)
    git(project, "commit", "--quiet", "--all", "-m", "damaged")

    for revision in (None, "HEAD"):
        with pytest.raises(DataError, match=r"dvc\.lock cannot be read \(.*\): restore it from git"):
            remote(project / "data/dataset.h5", revision)


def test_a_config_that_is_no_text_is_said(project: Path) -> None:
    (project / ".dvc/config").write_bytes(b"[core]\n\xff")

    with pytest.raises(DataError, match=r"config cannot be read \(UnicodeDecodeError\): correct it"):
        remote(project / "data/dataset.h5")


def test_without_yaml_it_says_how_to_install_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(ImportError, match="pip install pyyaml"):
        remote(project / "data/dataset.h5")
