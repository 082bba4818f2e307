"""Which stages `dvc repro` runs, perhaps runs, restores or leaves as they are, and why."""

from typing import Literal, NamedTuple

from tools.compare.reruns import find_inputs, find_own_reasons
from tools.dvc_files import Stage
from tools.plan.project import Project
from tools.plan.run_cache import Md5s, find_run, may_have_run

Status = Literal["runs", "perhaps", "restored", "unchanged"]

NAMES_SHOWN = 2


class Outlook(NamedTuple):
    """What becomes of a stage, why, and the md5 of its outputs after that; None where nobody knows it yet."""

    status: Status
    why: str
    outputs: Md5s | None


def find_outlooks(project: Project, grown: str) -> dict[str, Outlook]:
    """Return the outlook of each stage, in the order of dvc.yaml.

    Args:
        project: the project.
        grown: why the stages that read the database find other rows than before; "" if they do not.
    """
    outlooks: dict[str, Outlook] = {}
    for name, makers in find_inputs(project.stages).items():
        inputs: Md5s = dict(project.stages[name].dependencies)
        for path, maker in makers.items():
            made = outlooks[maker].outputs
            inputs[path] = made.get(path) if made else None
        reads_rows = not makers and any(key.split(".")[0] == "source" for key in project.stages[name].params)
        if grown and (reads_rows or any(outlooks[maker].why == grown for maker in makers.values())):
            outlooks[name] = Outlook("runs", grown, None)
        else:
            outlooks[name] = find_outlook(project, name, inputs)
    return {name: outlooks[name] for name in project.stages}


def find_outlook(project: Project, name: str, inputs: Md5s) -> Outlook:
    """Return the outlook of a stage.

    Args:
        project: the project.
        name: of the stage.
        inputs: path -> md5, of every file that it reads; None where that is not known before another stage has run.
    """
    stage, recorded = project.stages[name], project.lock.get(name)
    if recorded is not None and project.is_frozen(name):
        return Outlook("unchanged", "frozen in dvc.yaml", recorded.outputs)
    conditions = [path for path, md5 in inputs.items() if md5 is None]
    why = "it has not run yet"
    if recorded is not None:
        reasons = find_own_reasons(stage, recorded)
        changed = [
            path
            for path, md5 in inputs.items()
            if stage.dependencies[path] is None and md5 is not None and md5 != recorded.dependencies.get(path)
        ]
        why = describe_reasons(reasons, changed)
        if not why and not conditions:
            return keep(project, recorded)
        if not why:
            return Outlook("perhaps", f"if {list_names(conditions, 'or')} changes", None)
    if conditions:
        if may_have_run(project, stage, inputs):
            return Outlook("perhaps", f"{why}; an earlier run may be restored", None)
        return Outlook("runs", why, None)
    restored = find_run(project, stage, inputs)
    return Outlook("restored", f"{why}; as in an earlier run", restored) if restored else Outlook("runs", why, None)


def keep(project: Project, recorded: Stage) -> Outlook:
    """Return the outlook of a stage of which nothing has changed, but perhaps what it wrote."""
    missing = project.list_missing(recorded)
    if not missing:
        return Outlook("unchanged", "", recorded.outputs)
    if project.has_cached(recorded.outputs):
        return Outlook("restored", f"not here as it was: {list_names(missing)}", recorded.outputs)
    return Outlook("runs", f"neither here nor in DVC's cache (`dvc pull`?): {list_names(missing)}", None)


def describe_reasons(reasons: dict[str, list[str]], changed: list[str]) -> str:
    """Return why a stage runs, in a few words; "" if nothing has changed."""
    parts = [f"{kind} {list_names(names)}".strip() for kind, names in reasons.items()]
    return "; ".join(parts + ([f"changed {list_names(changed)}"] if changed else []))


def list_names(names: list[str], word: str = "and") -> str:
    """Return the first names and how many more there are.

    >>> list_names(["a", "b", "c", "d"])
    'a, b and 2 more'
    """
    more = f" {word} {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (f" {word} " if not more else ", ").join(names[:NAMES_SHOWN]) + more
