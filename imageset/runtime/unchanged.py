"""Check that the files that earlier stages wrote are as they were written, before a stage reads them.

DVC trusts a file by its inode, size and time, so it does not see a bit that flips on a disk. The md5 of a file that DVC
made or pulled is in dvc.lock. A stage also notes those of its outputs in `.cache/<stage>.md5`, in the format of md5sum,
for stages that are run by hand. HDF5 files are left out: readers check them (imageset/formats/row_checksums.py).
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from imageset.errors import DamagedFile, DataError
from imageset.runtime import files

GRAPH, LOCK = Path("dvc.yaml"), Path("dvc.lock")
NOTES = Path(".cache")  # of this project, wherever the cache is, as the locks are
SELF_CHECKED = ".h5"
MD5 = re.compile("[0-9a-f]{32}")


def require_inputs(stage: str, given: Iterable[Path]) -> None:
    """Raise DamagedFile if an input that an earlier stage wrote is not what it wrote.

    Files that nobody knows are accepted: a person may give a stage others than dvc.yaml names.

    Args:
        stage: the stage's name.
        given: the paths of its command line. Inputs in folders among them count as well.
    """
    graph = read_stages(GRAPH)
    inputs = [path for path in list_inputs(graph, stage) if is_checked(path, given)]
    if not inputs:
        return
    locked, noted = read_locked(), dict(read_notes())
    for path in inputs:
        known = {sums[path] for sums in (locked, noted) if path in sums}
        if known and path.is_file() and files.md5(path) not in known:
            raise damage(graph, path)


def note_outputs(stage: str, given: Iterable[Path]) -> None:
    """Note the md5 of a stage's outputs."""
    outputs = [path for path, _ in list_outputs(read_stages(GRAPH).get(stage)) if is_checked(path, given)]
    lines = [f"{files.md5(path)}  {path.as_posix()}\n" for path in outputs if path.is_file()]
    if lines:
        files.write_text(NOTES / f"{stage}.md5", "".join(lines))


def read_stages(path: Path) -> dict[str, Any]:
    """Return the stages of a dvc.yaml or dvc.lock; none where there is no such file.

    Raises:
        DataError: it is no such file.
    """
    try:
        # The loader in C takes 20 ms. Without libyaml there is none.
        found = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return dict(found["stages"])
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path} cannot be read: `git checkout -- {path}` restores the last one") from None


def list_inputs(graph: dict[str, Any], stage: str) -> Iterator[Path]:
    """Yield the deps of a stage that are outputs of another one."""
    made = {path for description in graph.values() for path, _ in list_outputs(description)}
    described = graph.get(stage) or {}
    yield from (path for each in described.get("deps") or [] if (path := Path(each)) in made)


def list_outputs(stage: Any) -> Iterator[tuple[Path, bool]]:
    """Yield the outputs that a dvc.yaml or dvc.lock names for a stage, and whether DVC's cache keeps them."""
    stage = stage or {}
    for each in [output for kind in ("outs", "metrics", "plots") for output in stage.get(kind) or []]:
        if isinstance(each, str):
            yield Path(each), True
        else:
            [(path, options)] = each.items()
            yield Path(path), (options or {}).get("cache", True)


def read_locked() -> dict[Path, str]:
    """Return the md5 of every output that dvc.lock names. DVC writes it after every stage."""
    outputs = [each for stage in read_stages(LOCK).values() for each in stage.get("outs", [])]
    return {
        Path(each["path"]): each["md5"]
        for each in outputs
        if each.get("hash") == "md5" and MD5.fullmatch(each.get("md5", ""))
    }


def read_notes() -> Iterator[tuple[Path, str]]:
    """Yield the outputs that stages have noted, with their md5."""
    for path in sorted(NOTES.glob("*.md5")):
        for line in path.read_text(encoding="utf-8").splitlines():
            md5, _, name = line.partition("  ")
            yield Path(name), md5


def is_checked(path: Path, given: Iterable[Path]) -> bool:
    """Return whether a path, or a folder that it is in, is on the command line, and is to be checked."""
    named = {Path(os.path.relpath(each)) for each in given}
    return path.suffix != SELF_CHECKED and not named.isdisjoint({path, *path.parents})


def damage(graph: dict[str, Any], path: Path) -> Exception:
    """Return the error that says what to do about an input that is not as it was written."""
    found = ((stage, kept) for stage, its in graph.items() for output, kept in list_outputs(its) if output == path)
    stage, is_kept = next(found)
    what = f"is not as stage {stage} wrote it"
    if is_kept:
        return DamagedFile(path, what)
    return DataError(f"{path} {what}: remove it, then `dvc repro {stage}` makes it again")
