"""Which stages a change reruns, and why: dvc.yaml and the tree against the runs that dvc.lock records.

`dvc repro --dry` does not tell, and `dvc status` calls missing data a change.
"""

import hashlib
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ABSENT = object()
KINDS = {".py": "code", ".sql": "query"}

Read = Callable[[str], bytes | None]  # the bytes of a file of one side; None where it has no such file


class Stage(NamedTuple):
    """What a stage runs on: by dvc.yaml and the tree, or by dvc.lock's record of a run."""

    command: str
    params: dict[str, dict[str, Any]]  # by the key that dvc.yaml names: the leaves under it
    dependencies: dict[str, str | None]  # path -> md5; None in a tree for what a stage makes: only a run tells
    outputs: dict[str, str | None]


class Verdict(NamedTuple):
    """Why a stage reruns."""

    reasons: dict[str, list[str]]  # kind -> names; empty where all hangs on the conditions
    conditions: list[str]  # inputs of which no run tells whether they change
    changed: list[str] | None  # outputs that a recorded run changed; None: no run is recorded


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts, {"preprocess.image_side": 128}; a list is a leaf."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def leaves_under(key: str, leaves: dict[str, Any]) -> dict[str, Any]:
    return {leaf: value for leaf, value in leaves.items() if f"{leaf}.".startswith(f"{key}.")}


def defined_stages(graph: dict[str, Any], params: dict[str, Any], read: Read) -> dict[str, Stage]:
    """Return the stages of dvc.yaml with the params and the files that the tree has for them now."""
    outputs = {
        name: dict.fromkeys(
            path if isinstance(path, str) else next(iter(path))
            for kind in ("outs", "metrics", "plots")
            for path in stage.get(kind, [])
        )
        for name, stage in graph.items()
    }
    made = set().union(*outputs.values())
    return {
        name: Stage(
            stage["cmd"],
            {key: leaves_under(key, params) for key in stage.get("params", [])},
            {path: None if path in made else md5(read(path)) for path in stage.get("deps", [])},
            outputs[name],
        )
        for name, stage in graph.items()
    }


def md5(content: bytes | None) -> str:
    """Return the md5 that DVC records of a file's bytes, "missing" where there is no file."""
    return "missing" if content is None else hashlib.md5(content, usedforsecurity=False).hexdigest()


def recorded_stages(lock: str) -> dict[str, Stage]:
    """Return the stages as dvc.lock records their last run."""
    stages = {}
    for name, stage in yaml.safe_load(lock)["stages"].items():
        params = {key: flatten({key: value}) for key, value in stage.get("params", {}).get("params.yaml", {}).items()}
        dependencies, outputs = (
            {entry["path"]: entry.get("md5") for entry in stage.get(kind, [])} for kind in ("deps", "outs")
        )
        stages[name] = Stage(stage["cmd"], params, dependencies, outputs)
    return stages


def own_reasons(defined: Stage, recorded: Stage) -> dict[str, list[str]]:
    """Return what a stage itself has other than recorded, as DVC sees it: what it no longer reads is no reason."""
    reasons: dict[str, list[str]] = {}
    if defined.command != recorded.command:
        reasons["command"] = []
    for key, leaves in defined.params.items():
        for leaf in changed_leaves(recorded.params.get(key, {}), leaves):
            reasons.setdefault("params", []).append(leaf)
    for path, found in defined.dependencies.items():
        if path not in recorded.dependencies or found not in (None, recorded.dependencies[path]):
            reasons.setdefault(KINDS.get(Path(path).suffix, "file"), []).append(path)
    for path in defined.outputs:
        if path not in recorded.outputs:
            reasons.setdefault("output", []).append(path)
    return reasons


def changed_leaves(base: dict[str, Any], head: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return base's and head's value, or ABSENT, of every key whose values differ."""
    pairs = {key: (base.get(key, ABSENT), head.get(key, ABSENT)) for key in base | head}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def inputs(stages: dict[str, Stage]) -> dict[str, dict[str, str]]:
    """Return what each stage takes from others, path -> its maker; no stage stands before one that it takes from."""
    makers = {path: name for name, stage in stages.items() for path in stage.outputs}
    taken = {
        name: {path: makers[path] for path in stage.dependencies if path in makers} for name, stage in stages.items()
    }
    order = TopologicalSorter({name: paths.values() for name, paths in taken.items()}).static_order()
    return {name: taken[name] for name in order}


def current_records(stages: dict[str, Stage], lock: dict[str, Stage]) -> dict[str, Stage]:
    """Return the records of a lock that are of this very tree: of stages with nothing to rerun, they or any above."""
    current: dict[str, Stage] = {}
    for name, taken in inputs(stages).items():
        if (
            name in lock
            and not own_reasons(stages[name], lock[name])
            and all(
                maker in current and current[maker].outputs[path] == lock[name].dependencies[path]
                for path, maker in taken.items()
            )
        ):
            current[name] = lock[name]
    return current


def find_reruns(lock: dict[str, Stage], stages: dict[str, Stage], head_lock: dict[str, Stage]) -> dict[str, Verdict]:
    """Return a verdict for each stage of head that reruns, or may, after the runs that lock, the base's, records."""
    current = current_records(stages, head_lock)
    verdicts: dict[str, Verdict] = {}
    for name, taken in inputs(stages).items():
        if name not in lock:
            verdicts[name] = Verdict({"new": []}, [], list(current[name].outputs) if name in current else None)
            continue
        reasons, conditions = own_reasons(stages[name], lock[name]), []
        for path, maker in taken.items():
            if maker in current and current[maker].outputs[path] != lock[name].dependencies.get(path):
                reasons.setdefault("", []).append(f"{path} of {maker}")
            elif maker not in current and maker in verdicts:
                conditions.append(f"{path} of {maker}")
        changed = None
        if name in current:
            changed = [path for path, found in current[name].outputs.items() if found != lock[name].outputs.get(path)]
        if changed and not reasons:
            reasons["run anew on the same inputs, such as by make refresh"] = []
        if reasons or conditions:
            verdicts[name] = Verdict(reasons, conditions, changed)
    return {name: verdicts[name] for name in stages if name in verdicts}
