"""`python -m tools.release v1.2.0`: fix the dataset's subsets and labels, push it, print the commands that commit it.

Writes the subset of every photo and the label of every class to releases/. Later runs keep them. The dataset does not
change by a byte. Commits and tags nothing: run the printed commands for that. After a release that failed or was
stopped, `git checkout -- dvc.lock releases reports && dvc checkout --force` undoes everything.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from imageset.errors import DataError, ImagesetError
from imageset.formats import source_ids, tables
from imageset.runtime import command, dvc, files, settings
from tools import dvc_files, versions
from tools.versions import DATASET, RELEASE_PATHS

VALIDATION = Path("reports/validation.json")
SPLIT, LABEL_MAP = Path("releases/split.csv"), Path("releases/label_map.csv")
# --force: DVC has not saved what a stage wrote before it failed, such as data/validation.json.
UNDO = f"git checkout -- {' '.join(RELEASE_PATHS)} && dvc checkout --force"
MISSING_DATA = {"deleted", "not in cache"}  # what `dvc status` says of data that is only missing


def freeze_split(released: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return the subset of each photo of the data, and of each released photo that the data no longer has.

    A photo that comes back so keeps its subset.

    Args:
        released: table of releases/split.csv.
        current: table of data/split.csv.

    Raises:
        DataError: a released photo is in another subset now.
    """
    both = released.merge(current, on=list(tables.SPLIT.key), how="left", suffixes=("", "_now"))
    moved = both[both["subset_now"].notna() & (both["subset_now"] != both["subset"])]
    if len(moved):
        raise DataError(
            f"{len(moved)} photos are in another subset than in {SPLIT}, such as "
            f"{tables.describe_key(tables.SPLIT, moved)}: run `dvc repro`"
        )
    return tables.frame(tables.SPLIT, pd.concat([current, both[both["subset_now"].isna()]])[list(current.columns)])


def freeze_label_map(released: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return the current label map. Raises DataError if a released class has another label now."""
    labels = dict(zip(current["catalog_id"], current["label"], strict=True))
    for label, catalog_id in zip(released["label"], released["catalog_id"], strict=True):
        if labels.get(catalog_id) != label:
            name = source_ids.text(catalog_id)
            raise DataError(f"class {name} no longer has label {label} of {LABEL_MAP}: run `dvc repro`")
    return current


def require_up_to_date(status: dict[str, list[Any]]) -> None:
    """Raise ImagesetError if `dvc status --json` lists a stage that would rerun, or missing data."""
    if not status:
        return
    # For each stage a list of "changed command", {"changed deps": {path: state}} and so on. Params are nested deeper.
    changes = [change for changes in status.values() for change in changes]
    states = {
        state
        for change in changes
        for state in (dvc_files.flatten(change).values() if isinstance(change, dict) else [change])
    }
    names = ", ".join(status)
    if states <= MISSING_DATA:
        raise ImagesetError(f"data of {names} is missing: run `dvc pull` to fetch it or `dvc repro` to make it")
    raise ImagesetError(f"the data is out of date ({names} changed): run `dvc repro`, then check reports/")


def git(*arguments: str) -> str:
    """Run a git command that changes nothing, and return its output. Raises ImagesetError if it fails.

    A `git status` that may write the index and is killed leaves .git/index.lock, and no git commits until that is gone.
    """
    done = subprocess.run(["git", "--no-optional-locks", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ImagesetError(f"`git {arguments[0]}` failed: {' '.join(done.stderr.split()) or 'it did not say why'}")
    return done.stdout


def check_repository(version: str) -> str:
    """Return the branch. Raises ImagesetError if the version or the project's folder cannot be released.

    The project may be a folder of its repository: what is not committed in other folders is no reason.
    """
    versions.parse_version(version)
    root = Path(git("rev-parse", "--show-toplevel").removesuffix("\n"))
    if not Path("dvc.yaml").exists():
        raise ImagesetError("run this in the root folder of the project, the one with dvc.yaml")
    branch = git("branch", "--show-current").strip()
    if not branch:
        raise ImagesetError("no branch is checked out: switch to the branch of the release, such as `git switch main`")
    folder = dvc.find_folder()
    versions.require_folder(folder)
    versions.require_higher(version, git("tag", "--list").split(), versions.name_artifact(folder))
    changed = list_changed(root)
    if "dvc.lock" in changed:
        from tools import dvc_lock  # DVC takes a second

        with dvc_lock.hold():  # one that runs may just write it
            changed = list_changed(root)
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        hint = f"; `{UNDO}` undoes a release that was stopped" if changed[0].split("/")[0] in RELEASE_PATHS else ""
        raise ImagesetError(f"not committed: {', '.join(changed[:5])}{more}; commit first{hint}")
    return branch


def list_changed(root: Path) -> list[str]:
    """Return the files of this folder that git does not have as they are."""
    listed = git("status", "--porcelain", "-z", "--no-renames", "-uall", "--", ".").split("\0")[:-1]
    return [os.path.relpath(root / entry[3:]) for entry in listed]


def check_data() -> str:
    """Return the md5 of the dataset. Raises ImagesetError unless it is valid, up to date and undamaged."""
    try:
        passed = json.loads(VALIDATION.read_text())["passed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{VALIDATION} does not say whether the checks passed ({error}): run `dvc repro`") from None
    if passed is not True:
        raise DataError(f"{VALIDATION} says that a check of the dataset failed: see data/validation.json")
    require_up_to_date(json.loads(dvc.run("status", "--json", stdout=subprocess.PIPE)))
    # Read the file: `dvc status` only looks at its size and time.
    with Path(DATASET).open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != read_recorded_md5():
        raise DataError(
            f"{DATASET} has md5 {found}, dvc.lock {read_recorded_md5()}: the file was changed or damaged; remove it "
            "and run `dvc checkout`"
        )
    return found


def read_recorded_md5() -> str | None:
    """Return the dataset's md5 in dvc.lock."""
    records = dvc_files.parse_dvc_lock(Path("dvc.lock").read_text()).values()
    return next((record.outputs[DATASET] for record in records if DATASET in record.outputs), None)


@contextmanager
def name_undo_on_failure() -> Iterator[None]:
    """When the body fails or is stopped, name the command that undoes what it has written."""
    try:
        yield
    except (ImagesetError, OSError) as error:
        raise ImagesetError(f"{error}; `{UNDO}` undoes this release") from None
    except BaseException:
        print(f"release: stopped half-way; `{UNDO}` undoes this release", file=sys.stderr)
        raise


def freeze() -> None:
    """Write both tables of releases/, or neither if one is refused."""
    split = freeze_split(tables.read(SPLIT, tables.SPLIT), tables.read(Path("data/split.csv"), tables.SPLIT))
    label_map = freeze_label_map(
        tables.read(LABEL_MAP, tables.LABEL_MAP), tables.read(Path("data/label_map.csv"), tables.LABEL_MAP)
    )
    tables.write(SPLIT, tables.SPLIT, split)
    tables.write(LABEL_MAP, tables.LABEL_MAP, label_map)


def release(version: str) -> str:
    """Fix the dataset's subsets and labels and push it.

    Args:
        version: such as v1.2.0.

    Returns:
        The commands that commit, tag and push the release, and those that get it.

    Raises:
        ImagesetError: something is not in order. Unless the message names the command to undo, nothing was written.
    """
    branch = check_repository(version)
    md5 = check_data()
    with name_undo_on_failure():
        freeze()
        dvc.run("repro")
        if read_recorded_md5() != md5:
            raise DataError(
                f"with subsets and labels fixed, {DATASET} has md5 {read_recorded_md5()} instead of {md5}: a stage "
                "reads releases/ wrongly"
            )
        dvc.run("push")
    has_origin = "origin" in git("remote").split()
    origin = git("remote", "get-url", "origin") if has_origin else git("rev-parse", "--show-toplevel")
    address = versions.without_credentials(origin.strip())
    if Path(address).exists():
        address = str(Path(address).resolve())
    to_commit = bool(git("status", "--porcelain", "--", *RELEASE_PATHS))
    return versions.instructions(version, md5, address, branch, has_origin, to_commit, dvc.find_folder())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="such as v1.2.0, higher than all released versions")
    version = parser.parse_args().version
    settings.load()
    with files.lock(Path(".cache/release.lock")):
        print(release(version), end="")


if __name__ == "__main__":
    command.run("release", main)
