"""DVC's run cache: runs of every stage that this machine remembers. A stage whose run is there is restored, not run.

DVC names a folder of the run cache by the command, the params, the md5 of every input and the paths of the outputs.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from imageset.errors import DataError
from tools.dvc_files import Stage
from tools.plan.project import Project, read_yaml

MOST_ENTRIES = 500  # the newest, that are searched where not all inputs are known

Md5s = dict[str, str | None]


def find_run(project: Project, stage: Stage, inputs: Md5s) -> Md5s | None:
    """Return the outputs, path -> md5, of the remembered run that DVC restores for these inputs, None if there is none.

    Args:
        project: the project.
        stage: as dvc.yaml defines it.
        inputs: path -> md5, of every file that the stage reads.
    """
    folder = get_folder(project)
    key = make_key(project, stage, inputs)
    entries = sorted((folder / key[:2] / key).glob("*"), key=lambda path: path.stat().st_mtime)
    found = read_outputs(entries[-1]) if entries else None
    return found if found and project.has_cached(found) else None


def may_have_run(project: Project, stage: Stage, inputs: Md5s) -> bool:
    """Say whether a run is remembered that differs in no input that is known; None is one that is not known."""
    params = {"params.yaml": read_params(project, stage)} if stage.params else {}
    return any(
        entry.get("cmd") == stage.command
        and entry.get("params", {}) == params
        and {dep["path"] for dep in entry.get("deps", [])} == set(inputs)
        and all(inputs[dep["path"]] in (None, dep["md5"]) for dep in entry["deps"])
        and project.has_cached({out["path"]: out.get("md5") for out in entry.get("outs", [])})
        for entry in scan_entries(get_folder(project), stage.command)
    )


def get_folder(project: Project) -> Path:
    return project.cache / "runs"


def make_key(project: Project, stage: Stage, inputs: Md5s) -> str:
    """Return the name of the folder of a run, as DVC makes it."""
    deps = []
    for path in sorted(inputs):
        runnable = Path(path).is_file() and Path(path).stat().st_mode & 0o100
        deps.append({"path": path, "hash": "md5", "md5": inputs[path]} | ({"isexec": True} if runnable else {}))
    run: dict[str, Any] = {"cmd": stage.command, "deps": deps, "outs": sorted(stage.outputs)}
    if stage.params:
        run["params"] = {"params.yaml": read_params(project, stage)}
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()


def read_params(project: Project, stage: Stage) -> dict[str, Any]:
    """Return the values that a stage reads, by the keys of dvc.yaml."""
    found = {}
    for key in stage.params:
        value: Any = project.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[key] = value
    return found


def read_outputs(entry: Path) -> Md5s | None:
    """Return the outputs of a remembered run; None where the file is damaged."""
    try:
        return {out["path"]: out.get("md5") for out in read_yaml(entry)["outs"]}
    except (DataError, KeyError, TypeError):
        return None


def scan_entries(folder: Path, command: str) -> Iterator[dict[str, Any]]:
    """Yield the newest remembered runs whose command begins alike."""
    entries = sorted(folder.glob("*/*/*"), key=lambda path: path.stat().st_mtime, reverse=True)
    beginning = command[:40]
    for entry in entries[:MOST_ENTRIES]:
        try:
            if beginning in entry.read_text(encoding="utf-8"):
                yield read_yaml(entry)
        except (DataError, OSError, ValueError, yaml.YAMLError):
            continue
