"""Check that the files that earlier stages wrote are as they were written, before a stage reads them.

DVC trusts a file by its inode, size and time, so it does not see a bit that flips on a disk. The md5 of a file that DVC
made or pulled is in dvc.lock. A stage also notes those of its outputs in `.cache/<stage>.md5`, in the format of md5sum,
for stages that are run by hand. HDF5 files are left out: readers check them (imageset/formats/row_checksums.py).
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from imageset.errors import DamagedFile, DataError
from imageset.runtime import files

GRAPH, LOCK = Path("dvc.yaml"), Path("dvc.lock")
NOTES = Path(".cache")  # of this project, wherever the cache is, as the locks are
RESTORED = "`git checkout -- {}` restores the last one"
SELF_CHECKED = ".h5"
MD5_OF_FILE = re.compile("[0-9a-f]{32}")
NOTED = re.compile("([0-9a-f]{32})  (.+)\n")
MD5_OF_FOLDER = re.compile(r"[0-9a-f]{32}\.dir")


class Stage(NamedTuple):
    """What dvc.yaml says of a stage: the paths that it reads and writes."""

    deps: list[Path]
    outputs: dict[Path, bool]  # and whether DVC's cache keeps it


def require_inputs(stage: str, given: Iterable[Path]) -> None:
    """Raise DamagedFile if an input that an earlier stage wrote is not what it wrote.

    Files that nobody knows are accepted: a person may give a stage others than dvc.yaml names.

    Args:
        stage: the stage's name.
        given: the paths of its command line. Inputs in folders among them count as well.

    Raises:
        DamagedFile: an input is not as it was written.
        DataError: so is one that DVC's cache does not keep; or dvc.yaml, dvc.lock or a note cannot be read.
    """
    graph = read_graph()
    inputs = [path for path in list_inputs(graph, stage) if is_checked(path, given)]
    if not inputs:
        return
    locked, noted = read_locked(), read_notes()
    for path in inputs:
        known = {sums[path] for sums in (locked, noted) if path in sums}
        if known and path.is_file() and files.md5(path) not in known:
            raise damage(graph, path)


def note_outputs(stage: str, given: Iterable[Path]) -> None:
    """Note the md5 of a stage's outputs. Raises DataError if dvc.yaml cannot be read."""
    graph = read_graph()
    outputs = [path for path in graph[stage].outputs if is_checked(path, given)] if stage in graph else []
    lines = [f"{files.md5(path)}  {path.as_posix()}\n" for path in outputs if path.is_file()]
    if lines:
        files.write_text(NOTES / f"{stage}.md5", "".join(lines))


def read_graph() -> dict[str, Stage]:
    """Return the stages of dvc.yaml; none where there is no such file. Raises DataError if it cannot be read."""
    with explained(GRAPH, RESTORED.format(GRAPH)):
        return {
            name: Stage([Path(dep) for dep in described.get("deps") or []], dict(list_outputs(described)))
            for name, described in load_stages(GRAPH).items()
        }


def list_inputs(graph: dict[str, Stage], stage: str) -> list[Path]:
    """Return the deps of a stage that are outputs of another one."""
    made = {path for each in graph.values() for path in each.outputs}
    return [path for path in graph[stage].deps if path in made] if stage in graph else []


def list_outputs(described: dict[str, Any]) -> Iterator[tuple[Path, bool]]:
    """Yield the outputs that dvc.yaml names for a stage, and whether DVC's cache keeps them."""
    for each in [output for kind in ("outs", "metrics", "plots") for output in described.get(kind) or []]:
        if isinstance(each, str):
            yield Path(each), True
        else:
            [(path, options)] = each.items()
            yield Path(path), (options or {}).get("cache", True)


def read_locked() -> dict[Path, str]:
    """Return the md5 of every file that dvc.lock names as an output. DVC writes it after every stage.

    An output without a whole md5 is an error, too: else nothing would check its file.

    Raises:
        DataError: it is cut or otherwise damaged.
    """
    with explained(LOCK, RESTORED.format(LOCK)):
        outputs = [each for stage in load_stages(LOCK).values() for each in stage.get("outs", [])]
        # An earlier DVC has an md5 over other line ends, and does not say `hash: md5`. With `files` it is a folder.
        sums = {
            Path(each["path"]): each["md5"] for each in outputs if each.get("hash") == "md5" and "files" not in each
        }
        of_files = {path: md5 for path, md5 in sums.items() if not MD5_OF_FOLDER.fullmatch(md5)}
        ends_early = any(each.keys() <= {"path", "hash"} for each in outputs)
        if ends_early or not all(map(MD5_OF_FILE.fullmatch, of_files.values())):
            raise ValueError
    return of_files


def load_stages(path: Path) -> dict[str, Any]:
    """Return what a dvc.yaml or dvc.lock has under `stages`, nothing where there is no such file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    # The loader in C takes 20 ms. Without libyaml there is none.
    return dict(yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"])


@contextmanager
def explained(path: Path, remedy: str) -> Iterator[None]:
    """Raise DataError with what to do, if the content of a file does not have the form that the block expects."""
    try:
        yield
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path} cannot be read: {remedy}") from None


def read_notes() -> dict[Path, str]:
    """Return the md5 of every output that stages have noted.

    Raises:
        DataError: a note is damaged. Without it nothing would check a file that dvc.lock does not have.
    """
    noted: dict[Path, str] = {}
    for path in sorted(NOTES.glob("*.md5")):
        remedy = f"remove it, and if stage {path.stem} was run without dvc, run it again"
        with explained(path, remedy):
            text = path.read_text(encoding="utf-8")
            if not re.fullmatch(f"({NOTED.pattern})+", text):
                raise ValueError
            noted |= {Path(name): md5 for md5, name in NOTED.findall(text)}
    return noted


def is_checked(path: Path, given: Iterable[Path]) -> bool:
    """Return whether a path, or a folder that it is in, is on the command line, and is to be checked."""
    named = {Path(os.path.relpath(each)) for each in given}
    return path.suffix != SELF_CHECKED and not named.isdisjoint({path, *path.parents})


def damage(graph: dict[str, Stage], path: Path) -> Exception:
    """Return the error that says what to do about an input that is not as it was written."""
    stage, is_kept = next((name, each.outputs[path]) for name, each in graph.items() if path in each.outputs)
    what = f"is not as stage {stage} wrote it"
    if is_kept:
        return DamagedFile(path, what)
    return DataError(f"{path} {what}: remove it, then `dvc repro {stage}` makes it again")
