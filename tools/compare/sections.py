"""The sections of a comparison: params, stages that rerun, metrics."""

from collections.abc import Callable
from typing import Any

from imageset.report.markdown import escape
from tools.compare.markdown import format_difference, format_first_rows, format_table, format_value
from tools.compare.reruns import SHOWS_ALL, Rerun, find_changes, find_own_reasons, find_reruns
from tools.compare.snapshot import Snapshot
from tools.dvc_files import Stage


def format_params(base: Snapshot, head: Snapshot) -> str:
    changes = find_changes(base.params, head.params)
    rows = [(key, *map(format_value, pair)) for key, pair in changes.items()]
    return format_first_rows(["key", "base", "head"], rows) if rows else "None."


def format_stages(base: Snapshot, base_lock: dict[str, Stage], head: Snapshot) -> str:
    """Return which stages of head rerun after the runs that base_lock records, and why; stage page is left out."""
    found = find_reruns(base_lock, head.stages, head.lock or {})
    reruns = {name: rerun for name, rerun in found.items() if name != SHOWS_ALL}
    rows = [
        (name, "yes" if rerun.reasons else "perhaps", format_reasons(rerun), format_outputs(rerun))
        for name, rerun in reruns.items()
    ]
    rows += [(name, "removed", "", "") for name in base_lock if name not in head.stages]
    parts = [format_table(["stage", "reruns", "why", "outputs"], rows) if rows else "None."]
    if any(rerun.changed_outputs is None for rerun in reruns.values()):
        parts.append("Stages with no run recorded have not run yet: run `dvc repro`.")
    outdated = [
        name
        for name, stage in base.stages.items()
        if name != SHOWS_ALL and name in base_lock and find_own_reasons(stage, base_lock[name])
    ]
    if outdated:
        parts.append(
            f"dvc.lock of {escape(base.title)} is older than its own params or files ({escape(', '.join(outdated))}). "
            "Some of these reasons are older than this change."
        )
    return "\n\n".join(parts)


def format_reasons(rerun: Rerun) -> str:
    """Return why a stage reruns; its conditions only if it has no reasons."""
    if not rerun.reasons:
        return f"if {' or '.join(rerun.conditions)} changes"
    return "; ".join(f"{kind} {', '.join(names)}".strip() for kind, names in rerun.reasons.items())


def format_outputs(rerun: Rerun) -> str:
    """Return which outputs the recorded run changed."""
    if rerun.changed_outputs is None:
        return "no run recorded"
    return f"changed: {', '.join(rerun.changed_outputs)}" if rerun.changed_outputs else "unchanged"


def format_metrics(base: dict[str, Any], head: dict[str, Any]) -> str:
    rows = [(key, *map(format_value, pair), format_difference(*pair)) for key, pair in find_changes(base, head).items()]
    return format_first_rows(["metric", "base", "head", "delta"], rows, numbers=3) if rows else "Unchanged."


def format_report(path: str, base: Snapshot, head: Snapshot, section: Callable[[Any, Any], str]) -> str:
    """Return the section about a report of base and of head, or why it is not known."""
    before, after = base.reports[path], head.reports[path]
    if after.problem:
        return f"Not known: {after.problem}."
    if before.content is None:
        return f"Not known: {before.problem}."
    return section(before.content, after.content)
