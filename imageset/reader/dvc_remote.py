"""Find an output of a DVC project in its remote, by dvc.lock and .dvc/config of a revision. It needs no DVC."""

import configparser
import os
import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from imageset.errors import DataError
from imageset.reader.bucket_file import Place

CONFIG, LOCAL_CONFIG, LOCK = ".dvc/config", ".dvc/config.local", "dvc.lock"
SECTION = re.compile("""'?remote "(.+)"'?""")


class Project(NamedTuple):
    """A DVC project at a commit; "" is the working tree."""

    root: Path
    commit: str

    def read(self, path: str) -> str:
        """Return the text of a file, "" where there is none."""
        if self.commit:
            return run_git(self.root, "cat-file", "blob", f"{self.commit}:./{path}") or ""
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""


def remote(path: str | Path, rev: str | None = None, *, name: str | None = None) -> Place | Path:
    """Find a dataset file in the remote of a DVC project, so that `ImageSet` reads it there.

    The project is the one that `path` is in. Nothing is fetched, and DVC need not be installed.

    Args:
        path: The file in the project, such as "data/dataset.h5". It need not exist.
        rev: The git revision that names the file's content and the remote, such as "v1.2.0". None: the working tree.
        name: Name of the remote. None: the project's default.

    Returns:
        Where the file is, for `ImageSet`. Its str() is a URL, or a path where the remote is a folder.

    Raises:
        DataError: There is no DVC project, or no such revision; or neither dvc.lock nor a .dvc file names the file; or
            the remote is neither at s3:// nor a folder, or has files under their own names.
        ImportError: PyYAML is not installed.

    Example::

        photos = ImageSet(remote("data/dataset.h5", rev="v1.2.0"), subset="train")
    """
    wanted = Path(os.path.abspath(path))
    root = next((folder for folder in wanted.parents if (folder / ".dvc").is_dir()), None)
    if root is None:
        raise DataError(f"{wanted} is in no DVC project: name the file with the project's folder")
    project = Project(root, find_commit(root, rev) if rev is not None else "")
    key = find_key(project, PurePosixPath(wanted.relative_to(root).as_posix()), rev)
    chosen, settings = find_settings(project, name)
    url = settings.get("url", "")
    if "true" in (settings.get("version_aware"), settings.get("worktree")):
        raise DataError(f"remote {chosen} of {root} has files under their own names: give ImageSet the URL of one")
    if match := re.fullmatch("s3://([^/]+)/*(.*?)/*", url):
        bucket, prefix = match.groups()
        whole = str(PurePosixPath(prefix, key))
        return Place(bucket, whole, settings.get("endpointurl", ""), settings.get("region", ""))
    if "://" in url or not url:
        kind = url.partition("://")[0] + "://" if url else "not set"
        raise DataError(f"remote {chosen} of {root} is {kind}, not s3:// or a folder: run `dvc pull {path}`, open that")
    return root / ".dvc" / url / key


def find_commit(root: Path, rev: str) -> str:
    """Return the hash of a revision's commit. Raises DataError."""
    found = run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    if not found:
        raise DataError(f"git has no revision {rev!r} in {root}: run `git fetch`, or correct it")
    return found.strip()


def find_key(project: Project, path: PurePosixPath, rev: str | None) -> PurePosixPath:
    """Return the place of an output in a remote. Raises DataError if no dvc.lock or .dvc file of the project has it."""
    for folder in path.parents:
        for name, key in list_outs(project, str(folder / LOCK)):
            if folder / name == path and key:
                return key
    for name, key in list_outs(project, f"{path}.dvc"):
        if name == path.name and key:
            return key
    where = f"{rev} of {project.root}" if rev is not None else project.root
    raise DataError(
        f"neither dvc.lock nor {path}.dvc names {path} in {where}: run `dvc repro`, or name another revision"
    )


def key_of(out: dict[str, Any]) -> PurePosixPath | None:
    """Return the place of a file that DVC 3 or an earlier DVC noted, None of what is no file.

    >>> str(key_of({"hash": "md5", "md5": "0123456789abcdef0123456789abcdef"}))
    'files/md5/01/23456789abcdef0123456789abcdef'
    """
    md5 = out.get("md5", "")
    if not re.fullmatch("[0-9a-f]{32}", md5):
        return None
    key = PurePosixPath(md5[:2], md5[2:])
    return "files/md5" / key if out.get("hash") == "md5" else key


def find_settings(project: Project, name: str | None) -> tuple[str, dict[str, str]]:
    """Return the name and the settings of a remote: those of config.local, which git does not have, come first.

    Raises:
        DataError: the project has no such remote.
    """
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=("#",))
    try:
        parser.read_string(project.read(CONFIG))
        parser.read_string(Project(project.root, "").read(LOCAL_CONFIG))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise DataError(f"{project.root}/{CONFIG} cannot be read ({type(error).__name__}): correct it") from None
    chosen = name or parser.get("core", "remote", fallback="").strip("'\"")
    for section in parser.sections():
        if (match := SECTION.fullmatch(section)) and match[1] == chosen:
            return chosen, {key: value.strip("'\"") for key, value in parser.items(section)}
    raise DataError(f"{project.root}/{CONFIG} has no remote {chosen!r}: name another one, or run `dvc remote add`")


def list_outs(project: Project, path: str) -> list[tuple[str, PurePosixPath | None]]:
    """Return the outputs that a dvc.lock or .dvc file names, with their places; nothing where there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise ImportError("DVC's files are read with PyYAML: pip install pyyaml") from None
    try:
        text = project.read(path)
        found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if text else {}
        stages = found["stages"].values() if "stages" in found else [found]
        return [(str(out["path"]), key_of(out)) for stage in stages for out in stage.get("outs", [])]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())}): restore it from git") from None


def run_git(root: Path, *arguments: str) -> str | None:
    """Return what a git command prints, None where it fails. Raises DataError if git is not installed."""
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise DataError("a revision is read with git, which is not installed") from None
    except subprocess.CalledProcessError:
        return None
