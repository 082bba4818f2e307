"""`python -m tools.release v1.2.0`: fix the subsets and labels of this tree's dataset, push it, say how to commit it.

releases/ gets the subset of every photo and the label of every class, which later runs keep. That changes no byte of
the dataset. Committing and tagging is left to the person who releases. `git checkout -- dvc.lock releases reports &&
dvc checkout --force` undoes a release that failed or was stopped.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from imageset.errors import DataError, ImagesetError
from imageset.formats import tables
from imageset.runtime import command, dvc, files, settings
from tools import dvc_files, versions
from tools.versions import DATASET, WRITTEN

VALIDATION = Path("reports/validation.json")
SPLIT, LABEL_MAP = Path("releases/split.csv"), Path("releases/label_map.csv")
# By force: dvc has not saved what a stage wrote before it failed, such as validate's data/validation.json.
UNDO = f"git checkout -- {' '.join(WRITTEN)} && dvc checkout --force"
LOST = {"deleted", "not in cache"}  # by `dvc status`, of data that is just not here


def freeze_split(released: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return the subset of each photo of the data, and of released photos that have left the data.

    So a photo that comes back keeps its subset. Raises DataError when a released photo is in another subset now.
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
    """Return the data's label map. Raises DataError when a released class has another label now."""
    labels = dict(zip(current["catalog_id"], current["label"], strict=True))
    for label, catalog_id in zip(released["label"], released["catalog_id"], strict=True):
        if labels.get(catalog_id) != label:
            raise DataError(f"class {catalog_id} does not have label {label}, as in {LABEL_MAP}: run `dvc repro`")
    return current


def require_up_to_date(status: dict[str, list[Any]]) -> None:
    """Raise ImagesetError when `dvc status --json` names a stage that would run, or data that is not here."""
    if not status:
        return
    # A stage has "changed command", or {"changed deps": {path: word}} and the like. The words of params are deeper.
    changes = [change for changes in status.values() for change in changes]
    words = {
        word
        for change in changes
        for word in (dvc_files.flatten(change).values() if isinstance(change, dict) else [change])
    }
    names = ", ".join(status)
    if words <= LOST:
        raise ImagesetError(f"data of {names} is not here: bring it with `dvc pull`, or make it with `dvc repro`")
    raise ImagesetError(
        f"the data is not what this tree makes ({names} changed): run `dvc repro` first, and look at reports/"
    )


def git(*arguments: str) -> str:
    """Run git and return what it printed. Raises ImagesetError."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ImagesetError(f"`git {arguments[0]}` says {' '.join(done.stderr.split()) or 'no'}")
    return done.stdout


def check_repository(version: str) -> str:
    """Return the branch. Raises ImagesetError for a version or a tree that cannot be released."""
    versions.parse_version(version)
    if git("rev-parse", "--show-cdup").strip() or not Path("dvc.yaml").exists():
        raise ImagesetError("run it from the root of the project, which has to be the root of its git repository")
    branch = git("branch", "--show-current").strip()
    if not branch:
        raise ImagesetError("no branch is checked out: `git switch` to the one that is to have the release")
    versions.require_higher(version, git("tag", "--list").split())
    changed = [entry[3:] for entry in git("status", "--porcelain", "-z", "--no-renames", "-uall").split("\0")[:-1]]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        hint = f"; `{UNDO}` undoes a release that was stopped" if changed[0].split("/")[0] in WRITTEN else ""
        raise ImagesetError(f"git does not have {', '.join(changed[:5])}{more} as it is here: commit it first{hint}")
    return branch


def check_data() -> str:
    """Return the md5 of the dataset. Raises ImagesetError unless it is validated, up to date, and as recorded."""
    try:
        passed = json.loads(VALIDATION.read_text())["passed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{VALIDATION} does not say whether the dataset is right ({error}): run `dvc repro`") from None
    if passed is not True:
        raise DataError(f"{VALIDATION} says that the dataset is wrong: see data/validation.json")
    require_up_to_date(json.loads(dvc.run("status", "--json", stdout=subprocess.PIPE)))
    # Read, as dvc status trusts size and time.
    with Path(DATASET).open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != recorded_md5():
        raise DataError(
            f"{DATASET} has md5 {found}, dvc.lock {recorded_md5()}: it was changed or damaged; remove it, "
            "then `dvc checkout` brings it back"
        )
    return found


def recorded_md5() -> str | None:
    """Return the md5 that dvc.lock records of the dataset."""
    records = dvc_files.parse_dvc_lock(Path("dvc.lock").read_text()).values()
    return next((record.outputs[DATASET] for record in records if DATASET in record.outputs), None)


@contextmanager
def undo_named() -> Iterator[None]:
    """Name the command that undoes what the body has written, when the body fails or is stopped."""
    try:
        yield
    except (ImagesetError, OSError) as error:
        raise ImagesetError(f"{error}; `{UNDO}` undoes this release") from None
    except BaseException:
        print(f"release: stopped half-way; `{UNDO}` undoes it", file=sys.stderr)
        raise


def freeze() -> None:
    """Write releases/. Both tables are computed before one is written."""
    split = freeze_split(tables.read(SPLIT, tables.SPLIT), tables.read(Path("data/split.csv"), tables.SPLIT))
    label_map = freeze_label_map(
        tables.read(LABEL_MAP, tables.LABEL_MAP), tables.read(Path("data/label_map.csv"), tables.LABEL_MAP)
    )
    tables.write(SPLIT, tables.SPLIT, split)
    tables.write(LABEL_MAP, tables.LABEL_MAP, label_map)


def release(version: str) -> str:
    """Fix and push the dataset. Return what to type then."""
    branch = check_repository(version)
    md5 = check_data()
    with undo_named():
        freeze()
        dvc.run("repro")
        if recorded_md5() != md5:
            raise DataError(
                f"with subsets and labels fixed, {DATASET} has md5 {recorded_md5()} instead of {md5}: a stage reads "
                "releases/ in another way"
            )
        dvc.run("push")
    has_origin = "origin" in git("remote").split()
    address = versions.without_credentials(git("remote", "get-url", "origin").strip()) if has_origin else "."
    if Path(address).exists():
        address = str(Path(address).resolve())
    to_commit = bool(git("status", "--porcelain", "--", *WRITTEN))
    return versions.instructions(version, md5, address, branch, has_origin, to_commit)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("version", metavar="VERSION", help="such as v1.2.0, above the last one")
    version = parser.parse_args().version
    settings.load()
    with files.lock(Path(".cache/release.lock")):
        print(release(version), end="")


if __name__ == "__main__":
    command.run("release", main)
