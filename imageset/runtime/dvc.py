"""Run dvc as a child of a program, so that both end together."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from imageset.errors import ImagesetError

FULL = 1 << 20  # bytes: with less, a failure is the disk's


def run(*arguments: str, environment: Mapping[str, str] = os.environ, stdout: int | None = None) -> str:
    """Run a dvc command.

    Its stages call plain `python`, so this interpreter's folder comes first on their PATH.

    Args:
        arguments: of dvc, such as "repro".
        environment: variables of dvc and its stages.
        stdout: subprocess.PIPE to return what dvc prints; None to show it.

    Returns:
        What dvc printed, "" when it was shown.

    Raises:
        ImagesetError: dvc failed.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "dvc", *arguments]
    with subprocess.Popen(command, env={**environment, "PATH": path}, stdout=stdout, text=True) as running:
        try:
            printed, _ = running.communicate()
        except KeyboardInterrupt:  # a terminal sends Ctrl-C to dvc and its stage as well: both end by themselves
            running.wait()
            raise
        except SystemExit:  # SIGTERM reached this process alone
            running.terminate()
            raise
    if running.returncode:
        full = shutil.disk_usage(".").free < FULL  # DVC says so in half of the cases
        why = "the disk of this folder is full: make room, then run this again"
        raise ImagesetError(f"`dvc {' '.join(arguments)}` failed; {why if full else 'its own message above says why'}")
    return printed or ""


class EarlierOutput(NamedTuple):
    """An output that dvc.lock names: its md5, and where DVC's cache on this machine has it, if it has."""

    md5: str
    path: Path


def find_earlier_output(path: Path) -> EarlierOutput | None:
    """Return the output that dvc.lock names, of the last run or a colleague's.

    dvc.lock of the working tree counts, else that of HEAD. Where the cache has that of HEAD alone, that counts.

    Args:
        path: the output, as dvc.yaml names it.

    Returns:
        The output in the cache, which is not to be changed and may be damaged; None if no dvc.lock names it, or this
        is no DVC project.
    """
    named = find_earlier_outputs(path)
    return next((output for output in named if output.path.is_file()), named[0] if named else None)


def find_earlier_outputs(path: Path) -> list[EarlierOutput]:
    """Return the outputs that dvc.lock of the working tree and that of HEAD name, in this order; equal ones once.

    DVC removes the outputs of a stage before it runs; its cache keeps them. Asking DVC where that is takes a second.

    Args:
        path: the output, as dvc.yaml names it.

    Returns:
        The outputs in the cache, which are not to be changed, and may be missing or damaged.
    """
    locks = (read_text(Path("dvc.lock")), capture("git", "show", "HEAD:./dvc.lock"))
    sums = dict.fromkeys(found for lock in locks if (found := find_md5(lock, path.as_posix())))
    folder = find_cache(Path.cwd()) if sums else ""
    return [EarlierOutput(md5, Path(folder) / "files" / "md5" / md5[:2] / md5[2:]) for md5 in sums if folder]


@functools.cache
def find_cache(project: Path) -> str:
    """Return the folder of DVC's cache, "" where there is none. project: the working directory."""
    return capture(sys.executable, "-m", "dvc", "cache", "dir").strip()


def find_md5(lock: str, output: str) -> str:
    """Return the md5 of an output in the text of a dvc.lock, "" where it has none."""
    try:
        stages = yaml.load(lock, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"].values()
        md5 = next(out["md5"] for stage in stages for out in stage.get("outs", []) if out["path"] == output)
        return md5 if re.fullmatch("[0-9a-f]{32}", md5) else ""
    except (yaml.YAMLError, StopIteration, AttributeError, KeyError, TypeError, ValueError):  # such as of a date
        return ""


def find_folder() -> str:
    """Return the folder of the working directory in its git repository, such as "teams/shoes"; "" for the root."""
    return capture("git", "rev-parse", "--show-prefix").removesuffix("\n").rstrip("/")


def read_text(path: Path) -> str:
    """Return a file's text, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def capture(*command: str) -> str:
    """Return what a command prints, "" where it fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
