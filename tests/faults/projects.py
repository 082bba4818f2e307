"""Copies of the session's project for trials that damage one, and what must not be left after a fault.

    trial = copy(project, tmp_path)                            # its own data/, .cache and TMPDIR; 0.1 s
    trial = copy(project, tmp_path, bucket=True, remote=True)  # and its own photos, and its own remote of DVC
    ... inject the fault ...
    assert find_half_files(trial, old=undisturbed) == []       # right after the fault
    assert find_orphans(trial) == []                           # within 10 s
    ... run the command again without a fault ...
    assert find_changed(trial, undisturbed) == []
    assert find_stray(trial, project) == []

`undisturbed` is the fixture that has the md5 of each output of the run without a fault.
"""

import itertools
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import yaml

from imageset.runtime import files
from sandbox.s3 import open_client
from tests.conftest import UNCONNECTED
from tests.project import Project

DVC_CACHE = Path(".dvc/cache/files/md5")
OBJECTS_OF_GIT = Path(".git/objects")
NOT_COMPARED = {".dvc", ".git", "__pycache__"}
SECONDS_TO_END = 10  # for what a killed process started

numbers = itertools.count()


def copy(
    source: Project,
    folder: Path,
    *,
    bucket: bool = False,
    remote: bool = False,
    database: bool = False,
    real_cache: bool = False,
) -> Project:
    """Copy a project with its data, caches and DVC's cache to `folder / "project"`. Its TMPDIR is `folder / "tmp"`.

    Args:
        source: the project, such as the session's.
        folder: an empty folder.
        bucket: copy the photos to a prefix of the copy's own, too: the trial may change them.
        remote: copy DVC's remote to a prefix of the copy's own, too.
        database: copy the database, too: the trial may change rows.
        real_cache: copy DVC's cache and git's objects. They are links else, as nobody writes into these files: a trial
            that flips a bit in one would flip it in all copies.
    """
    if source.folder.parent == folder:
        raise ValueError(f"{folder} is the source's")
    target = folder / "project"
    shutil.copytree(source.folder, target, symlinks=True, copy_function=shutil.copy2 if real_cache else link_or_copy)
    (folder / "tmp").mkdir()
    environment = source.environment | {"TMPDIR": str(folder / "tmp")}
    if bucket:
        url = environment["IMAGE_STORE"]
        environment["IMAGE_STORE"] = copy_objects(environment, url, f"{url.rstrip('/')}-copy-{os.getpid()}-")
    copied = Project(target, environment)
    if remote:
        url = copied.succeed("dvc", "config", "remote.storage.url").strip()
        own = copy_objects(environment, url, f"{url.rstrip('/')}/copy-{os.getpid()}-")
        copied.succeed("dvc", "remote", "modify", "--local", "storage", "url", own)
    if database:
        environment["DATABASE_URL"] = copy_database(environment["DATABASE_URL"])
    return copied


def link_or_copy(source: str, target: str) -> None:
    """Link a file that nobody changes in place; copy another, with its time."""
    if str(DVC_CACHE) in source or str(OBJECTS_OF_GIT) in source:
        with suppress(OSError):  # another disk
            os.link(source, target)
            return
    shutil.copy2(source, target)


def copy_objects(environment: dict[str, str], source: str, target: str) -> str:
    """Copy all objects below an s3 url to a new prefix, and return its url."""
    target += str(next(numbers))
    name, _, old = source.removeprefix("s3://").partition("/")
    new = target.removeprefix(f"s3://{name}/").rstrip("/") + "/"
    prefix = f"{old.rstrip('/')}/" if old else ""
    client = open_client(environment)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix):
        for each in page.get("Contents", ()):
            key = each["Key"].removeprefix(prefix)
            if not key.startswith("copy-"):  # of another trial
                client.copy_object(Bucket=name, Key=new + key, CopySource={"Bucket": name, "Key": each["Key"]})
    return target


def copy_database(url: str) -> str:
    """Copy the session's database to a new one, and return its url."""
    server, _, _ = url.rpartition("/")
    new = f"copy_{os.getpid()}_{next(numbers)}"
    with closing(psycopg2.connect(f"{server}/postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {new} TEMPLATE {UNCONNECTED}")
    return f"{server}/{new}"


def read_outputs(folder: Path) -> dict[str, list[str]]:
    """Return the outputs of each stage of dvc.yaml, those that git keeps as well."""
    stages = yaml.load((folder / "dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
    return {
        name: [
            next(iter(one)) if isinstance(one, dict) else one
            for kind in ("outs", "metrics", "plots")
            for one in stage.get(kind, [])
        ]
        for name, stage in stages.items()
    }


def md5_of_outputs(project: Project, *stages: str) -> dict[str, str]:
    """Return the md5 of each output that exists, of some stages or of all."""
    outputs = read_outputs(project.folder)
    names = [name for stage in stages or outputs for name in outputs[stage]]
    return {name: files.md5(project.folder / name) for name in names if (project.folder / name).exists()}


def find_changed(project: Project, undisturbed: dict[str, str], *stages: str) -> list[str]:
    """Return the outputs, of some stages or of all, that are missing or other than in the undisturbed run."""
    outputs = read_outputs(project.folder)
    now = md5_of_outputs(project, *stages)
    expected = {name: undisturbed[name] for stage in stages or outputs for name in outputs[stage]}
    return sorted(name for name, md5 in expected.items() if now.get(name) != md5)


def find_half_files(project: Project, *whole: dict[str, str]) -> list[str]:
    """Return the outputs that are there and are in none of the given states, such as the old one and the new one."""
    now = md5_of_outputs(project)
    return sorted(name for name, md5 in now.items() if md5 not in [each.get(name) for each in whole])


def find_damaged(store: Path) -> list[str]:
    """Return the files of DVC's cache, or of its remote in a folder, that have another md5 than their name."""
    names = {path: path.parent.name + path.name for path in (store / "files/md5").glob("??/*")}
    return sorted(
        name for path, name in names.items() if re.fullmatch("[0-9a-f]{32}", name) and files.md5(path) != name
    )


def list_files(project: Project, *more: Path) -> set[str]:
    """Return the files and empty folders of a project: all that git does not keep below .git, DVC below .dvc, and
    Python in __pycache__; those of TMPDIR as `TMPDIR/...`."""
    found = set()
    places = {"": project.folder, "TMPDIR": Path(project.environment["TMPDIR"]), **{str(path): path for path in more}}
    for name, top in places.items():
        for folder, folders, inside in os.walk(top):
            folders[:] = [each for each in folders if each not in NOT_COMPARED]
            here = Path(name) / Path(folder).relative_to(top)
            found |= {str(here / each) for each in inside}
            if not inside and not folders:
                found.add(f"{here}/")
    return found - {"TMPDIR/"}


def find_stray(trial: Project, source: Project) -> list[str]:
    """Return what a copy has after its trial, also in TMPDIR, and its source has not.

    The source has run undisturbed: its files are what a run leaves.
    """
    with_tmp = Project(source.folder, source.environment | {"TMPDIR": "/nonexistent"})
    return sorted(list_files(trial) - list_files(with_tmp))


def find_orphans(trial: Project, seconds: float = SECONDS_TO_END) -> list[str]:
    """Return the processes that still run with the copy's TMPDIR in their environment, after a bounded wait."""
    return wait_until_none(lambda: list(map(describe, processes_of(trial))), seconds)


def wait_until_none(find: Callable[[], list[str]], seconds: float) -> list[str]:
    """Call find until it returns nothing or the time is over, and return what it returned last."""
    end = time.monotonic() + seconds
    while (found := find()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def processes_of(trial: Project) -> list[psutil.Process]:
    """Return the processes, of whatever parent, that were started with the copy's TMPDIR."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == trial.environment["TMPDIR"]:
                found.append(process)
    return found


def describe(process: psutil.Process) -> str:
    """Return a process's pid and command line."""
    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    return ""
