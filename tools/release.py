"""`python -m tools.release v1.2.0`: fix the sides and numbers of this tree's dataset, push it, say how to commit it.

releases/ gets the side of every photo and the number of every class, which later runs keep; that changes no byte of the
dataset. Commit and tag are left to whoever releases. What fails leaves all as it was, and is run again; what was
killed is put back with --undo.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from imageset.errors import DataError, ImagesetError
from imageset.formats import tables
from imageset.runtime import files, lifetime, settings
from tools import reruns, versions
from tools.versions import DATASET, WRITTEN

VALIDATION = Path("reports/validation.json")
SPLIT, LABEL_MAP = Path("releases/split.csv"), Path("releases/label_map.csv")
PARTIAL = SPLIT.parent / ".partial.tmp"
LOST = {"deleted", "not in cache"}  # what `dvc status` says of data that only is not here


def freeze_split(released: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return the side of each photo of the data, and of those that earlier releases had and the data has no more.

    So a photo that comes back keeps its side. Raises DataError where a released photo stands on another side now.
    """
    both = released.merge(current, on=list(tables.SPLIT.key), how="left", suffixes=("", "_now"))
    moved = both[both["subset_now"].notna() & (both["subset_now"] != both["subset"])]
    if len(moved):
        raise DataError(
            f"{len(moved)} photos stand on another side than {SPLIT} has them, such as "
            f"{tables.describe_key(tables.SPLIT, moved)}: run `dvc repro`"
        )
    return tables.frame(tables.SPLIT, pd.concat([current, both[both["subset_now"].isna()]])[list(current.columns)])


def freeze_label_map(released: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return the data's label map. Raises DataError where it has not every released number as it was."""
    numbers = dict(zip(current["catalog_id"], current["label"], strict=True))
    for label, catalog_id in zip(released["label"], released["catalog_id"], strict=True):
        if numbers.get(catalog_id) != label:
            raise DataError(f"class {catalog_id} is not number {label}, as {LABEL_MAP} has it: run `dvc repro`")
    return current


def require_up_to_date(status: dict[str, list[Any]]) -> None:
    """Raise ImagesetError when `dvc status --json` names a stage that would run, or data that is not here."""
    if not status:
        return
    # Of a stage, "changed command" or {"changed deps": {path: word}} and the like; the words of params stand deeper.
    changes = [change for changes in status.values() for change in changes]
    words = {
        word
        for change in changes
        for word in (reruns.flatten(change).values() if isinstance(change, dict) else [change])
    }
    names = ", ".join(status)
    if words <= LOST:
        raise ImagesetError(f"data of {names} is not here: bring it with `dvc pull`, or make it with `dvc repro`")
    raise ImagesetError(
        f"the data is not what this tree makes ({names} changed): run `dvc repro` first, and look at reports/"
    )


def git(*arguments: str) -> str:
    """Run git and return what it said. Raises ImagesetError."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ImagesetError(f"`git {arguments[0]}` says {' '.join(done.stderr.split()) or 'no'}")
    return done.stdout


def dvc(*arguments: str, stdout: int | None = None) -> str:
    """Run dvc, what it says going where ours goes, or its stdout being returned. Raises ImagesetError."""
    # Its stages call plain `python`.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments], env=os.environ | {"PATH": path}, stdout=stdout, text=True
    ) as running:
        try:
            said, _ = running.communicate()
        except KeyboardInterrupt:  # dvc and its stage have had it from the terminal too, and end by themselves
            running.wait()
            raise
        except SystemExit:  # we were told to stop; dvc was not
            running.terminate()
            raise
    if running.returncode:
        raise ImagesetError(f"`dvc {arguments[0]}` failed, and says above why")
    return said or ""


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
    others = [path for path in changed if path.split("/")[0] not in WRITTEN]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise ImagesetError(
            f"git does not have {', '.join(others[:5])}{more} as it is here: commit it, then run `dvc repro`"
        )
    return branch


def check_data() -> str:
    """Return the md5 of the dataset. Raises ImagesetError unless it is validated, up to date, and as recorded."""
    try:
        passed = json.loads(VALIDATION.read_text())["passed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{VALIDATION} does not say whether the dataset is right ({error}): run `dvc repro`") from None
    if passed is not True:
        raise DataError(f"{VALIDATION} says that the dataset is wrong: see data/validation.json")
    require_up_to_date(json.loads(dvc("status", "--json", stdout=subprocess.PIPE)))
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
    records = reruns.recorded_stages(Path("dvc.lock").read_text()).values()
    return next((record.outputs[DATASET] for record in records if DATASET in record.outputs), None)


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Put back what WRITTEN names, and the outputs of dvc.lock, when the body fails, however it does.

    A body that is killed leaves the copy behind, for undo.
    """
    copy = SPLIT.parent / f".before-{git('rev-parse', 'HEAD').strip()}.tmp"  # git and dvc ignore .*.tmp
    shutil.rmtree(PARTIAL, ignore_errors=True)
    for path in [Path("dvc.lock"), SPLIT, LABEL_MAP, *(path for path in Path("reports").rglob("*") if path.is_file())]:
        files.write_bytes(PARTIAL / path, path.read_bytes())
    PARTIAL.rename(copy)
    try:
        yield
    except (ImagesetError, OSError) as error:
        put_back(copy)
        raise ImagesetError(f"{error}; {', '.join(WRITTEN)} are as they were") from None
    except BaseException:
        put_back(copy)
        raise
    discard(copy)


def put_back(copy: Path) -> None:
    """Make the copied files, and the outputs of dvc.lock, what they were. The copy goes last: it can be done over."""
    for path in [path for path in Path("reports").rglob("*") if path.is_file() and not (copy / path).exists()]:
        path.unlink()
    for saved in [path for path in copy.rglob("*") if path.is_file()]:
        path = saved.relative_to(copy)
        if not path.exists() or path.read_bytes() != saved.read_bytes():
            files.write_bytes(path, saved.read_bytes())
    dvc("checkout", "--quiet", "--force")
    discard(copy)


def discard(copy: Path) -> None:
    """Remove a copy, at no moment leaving half of it under its name."""
    shutil.rmtree(PARTIAL, ignore_errors=True)
    copy.rename(PARTIAL)
    shutil.rmtree(PARTIAL)


def killed() -> list[Path]:
    """Return the copies that a killed release has left of this commit; others are removed, git has what is later."""
    head = git("rev-parse", "HEAD").strip()
    copies = list(SPLIT.parent.glob(".before-*.tmp"))
    for copy in copies:
        if copy.name != f".before-{head}.tmp":
            discard(copy)
    return [copy for copy in copies if copy.exists()]


def undo() -> str:
    """Put back what a killed release had found, and say so."""
    copies = killed()
    for copy in copies:
        put_back(copy)
    return f"release: {', '.join(WRITTEN)} are as they were before it\n" if copies else "release: none was killed\n"


def freeze() -> None:
    """Write releases/ anew. Both tables are known before one is written."""
    split = freeze_split(tables.read(SPLIT, tables.SPLIT), tables.read(Path("data/split.csv"), tables.SPLIT))
    label_map = freeze_label_map(
        tables.read(LABEL_MAP, tables.LABEL_MAP), tables.read(Path("data/label_map.csv"), tables.LABEL_MAP)
    )
    tables.write(SPLIT, tables.SPLIT, split)
    tables.write(LABEL_MAP, tables.LABEL_MAP, label_map)


def release(version: str) -> str:
    """Do all of it and return the instructions."""
    branch = check_repository(version)
    # Not undone unasked: reports and data may have been made anew since.
    if copies := killed():
        raise ImagesetError(
            f"one was killed half-way: `python -m tools.release --undo` puts {', '.join(WRITTEN)} and "
            f"the data back; or remove {copies[0]}, `git checkout releases` and run `dvc repro`"
        )
    if git("status", "--porcelain", "--", "releases"):
        raise ImagesetError(
            "releases/ is not as git has it, and it is what this release would be held against: commit "
            "it, or `git checkout releases`"
        )
    md5 = check_data()
    with all_or_nothing():
        freeze()
        dvc("repro")
        if recorded_md5() != md5:
            raise DataError(
                f"with its sides and numbers fixed, {DATASET} has md5 {recorded_md5()} in place of {md5}: "
                "a stage makes something else of releases/"
            )
        dvc("push")
    has_origin = "origin" in git("remote").split()
    address = versions.without_credentials(git("remote", "get-url", "origin").strip()) if has_origin else "."
    if Path(address).exists():
        address = str(Path(address).resolve())
    to_commit = bool(git("status", "--porcelain", "--", *WRITTEN))
    return versions.instructions(version, md5, address, branch, has_origin, to_commit)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", metavar="VERSION", nargs="?", help="such as v1.2.0, above the last one")
    what.add_argument("--undo", action="store_true", help="put back what a release that was killed had found")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lifetime.exit_cleanly)
    signal.signal(signal.SIGINT, lifetime.exit_cleanly)
    try:
        settings.load()
        with files.lock(Path(".cache/release.lock")):
            print(undo() if chosen.undo else release(chosen.version), end="")
    except (ImagesetError, OSError) as error:
        sys.exit(f"release: {error}")
    except KeyboardInterrupt:
        print("release: interrupted, all is as it was", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
