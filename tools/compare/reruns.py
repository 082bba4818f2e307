"""Which stages a change reruns, and why: dvc.yaml and the files beside it against the runs that dvc.lock records.

`dvc repro --dry` does not say why, and `dvc status` calls missing data a change.
"""

from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

from tools.dvc_files import Stage

ABSENT = object()
SHOWS_ALL = "page"  # the stage that any change reruns, as it shows everything, and that changes no data
KINDS = {".py": "code", ".sql": "query"}


class Rerun(NamedTuple):
    """Why a stage reruns."""

    reasons: dict[str, list[str]]  # kind -> names; empty if the stage reruns only under the conditions
    conditions: list[str]  # inputs that may change: no recorded run says whether they do
    changed_outputs: list[str] | None  # outputs that a recorded run changed; None if no run is recorded


def find_changes(base: dict[str, Any], head: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return base's and head's value of each key whose values differ; ABSENT for a value that is missing."""
    pairs = {key: (base.get(key, ABSENT), head.get(key, ABSENT)) for key in base | head}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def find_own_reasons(defined: Stage, recorded: Stage) -> dict[str, list[str]]:
    """Return how a stage itself differs from its recorded run, kind -> names.

    As in DVC, a param or a file that the stage no longer reads is no reason.
    """
    reasons: dict[str, list[str]] = {}
    if defined.command != recorded.command:
        reasons["command"] = []
    for key, leaves in defined.params.items():
        for leaf in find_changes(recorded.params.get(key, {}), leaves):
            reasons.setdefault("params", []).append(leaf)
    for path, md5 in defined.dependencies.items():
        if path not in recorded.dependencies or md5 not in (None, recorded.dependencies[path]):
            reasons.setdefault(KINDS.get(Path(path).suffix, "file"), []).append(path)
    for path in defined.outputs:
        if path not in recorded.outputs:
            reasons.setdefault("output", []).append(path)
    return reasons


def find_inputs(stages: dict[str, Stage]) -> dict[str, dict[str, str]]:
    """Return for each stage its inputs from other stages, path -> the stage that makes it. Makers come first."""
    makers = {path: name for name, stage in stages.items() for path in stage.outputs}
    inputs = {
        name: {path: makers[path] for path in stage.dependencies if path in makers} for name, stage in stages.items()
    }
    order = TopologicalSorter({name: paths.values() for name, paths in inputs.items()}).static_order()
    return {name: inputs[name] for name in order}


def find_current_runs(stages: dict[str, Stage], lock: dict[str, Stage]) -> dict[str, Stage]:
    """Return the recorded runs that are up to date: neither the stage nor a stage before it has to rerun."""
    current: dict[str, Stage] = {}
    for name, inputs in find_inputs(stages).items():
        if (
            name in lock
            and not find_own_reasons(stages[name], lock[name])
            and all(
                maker in current and current[maker].outputs[path] == lock[name].dependencies[path]
                for path, maker in inputs.items()
            )
        ):
            current[name] = lock[name]
    return current


def find_reruns(base_lock: dict[str, Stage], stages: dict[str, Stage], head_lock: dict[str, Stage]) -> dict[str, Rerun]:
    """Return the stages of head that rerun, or may rerun, after the runs that base_lock records.

    Args:
        base_lock: recorded runs of base.
        stages: stages of head as its dvc.yaml defines them.
        head_lock: recorded runs of head; empty if there are none.
    """
    current = find_current_runs(stages, head_lock)
    reruns: dict[str, Rerun] = {}
    for name, inputs in find_inputs(stages).items():
        if name not in base_lock:
            reruns[name] = Rerun({"new": []}, [], list(current[name].outputs) if name in current else None)
            continue
        recorded = base_lock[name]
        reasons, conditions = find_own_reasons(stages[name], recorded), []
        for path, maker in inputs.items():
            if maker in current and current[maker].outputs[path] != recorded.dependencies.get(path):
                reasons.setdefault("", []).append(f"{path} of {maker}")
            elif maker not in current and maker in reruns:
                conditions.append(f"{path} of {maker}")
        changed = None
        if name in current:
            changed = [path for path, md5 in current[name].outputs.items() if md5 != recorded.outputs.get(path)]
        if changed and not reasons:
            reasons["run again on the same inputs, for example by make refresh"] = []
        if reasons or conditions:
            reruns[name] = Rerun(reasons, conditions, changed)
    return {name: reruns[name] for name in stages if name in reruns}
