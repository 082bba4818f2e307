"""`python -m tools.compare BASE [HEAD]`: what a change does, or did, to the dataset, as Markdown on stdout.

Both sides are read as git has them (HEAD: the working tree, unless a revision is named): params.yaml, dvc.yaml, the
files that stages depend on, dvc.lock and reports/. Data, cache, remote and database are never asked.
"""

import argparse
import functools
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from imageset.errors import DataError, ImagesetError
from imageset.runtime import command
from tools import reruns
from tools.reruns import ABSENT, Read, Stage, Verdict, changed_leaves, flatten

METRICS = "reports/metrics.json"
BASELINE = "reports/baseline.json"
CLASS_COUNTS = "reports/class_counts.csv"
MOST_CLASSES = 10


class Side(NamedTuple):
    """All that is compared of one side; None for a file that it lacks."""

    title: str
    params: dict[str, Any]
    stages: dict[str, Stage]
    lock: dict[str, Stage] | None
    metrics: dict[str, Any] | None
    classes: pd.DataFrame | None  # name, photos by subset and altogether; by catalog_id


# Reading one side. Plain YAML, JSON and CSV: `dvc params diff` and `dvc metrics diff` take a second each, pass over
# params that no stage reads, and say nothing of stages and classes, for which the files have to be parsed anyway.


def read_side(title: str, read: Read) -> Side:
    """Return a side's files, parsed. Raises DataError for one that cannot be."""

    def parsed(path: str, parse: Callable[[str], Any]) -> Any:
        content = read(path)
        try:
            return None if content is None else parse(content.decode())
        except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} of {title} cannot be read: {' '.join(str(error).split())}") from None

    metrics, baseline = (parsed(path, lambda text: flatten(json.loads(text))) for path in (METRICS, BASELINE))
    if metrics is not None:
        metrics |= {f"baseline.{name}": value for name, value in (baseline or {}).items()}
    params = parsed("params.yaml", lambda text: flatten(yaml.safe_load(text))) or {}
    stages = parsed("dvc.yaml", lambda text: reruns.defined_stages(yaml.safe_load(text)["stages"], params, read)) or {}
    return Side(
        title, params, stages, parsed("dvc.lock", reruns.recorded_stages), metrics, parsed(CLASS_COUNTS, class_counts)
    )


def class_counts(text: str) -> pd.DataFrame:
    """Return reports/class_counts.csv by catalog_id: name, a column a subset, photos."""
    counts = pd.read_csv(io.StringIO(text), index_col="catalog_id", dtype={"name": str}, keep_default_na=False)
    return counts.astype(dict.fromkeys(counts.columns.drop("name"), int))


# Markdown.


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Return a Markdown table, its last `numbers` columns set flush right; no text of a cell can break it."""
    rule = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    return "\n".join(f"| {' | '.join(map(escape, row))} |" for row in [header, rule, *rows])


def escape(text: str) -> str:
    """Return text on one line, with nothing in it that ends a cell or begins markup."""
    return re.sub(r"([\\|`*<])", r"\\\1", " ".join(text.split()))


def show(value: Any) -> str:
    """Return a value as params.yaml would hold it, a digest shortened, and a dash for an absent one."""
    if value is ABSENT:
        return "—"
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value):
        return f"{value[:12]}…"
    return yaml.safe_dump([value], default_flow_style=True, width=sys.maxsize, allow_unicode=True).strip()[1:-1]


def difference(base: Any, head: Any) -> str:
    """Return head - base with its sign, of lists element by element; "" for what is not numbers."""
    if isinstance(base, list) and isinstance(head, list) and len(base) == len(head):
        return ", ".join(difference(*pair) for pair in zip(base, head, strict=True))
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (base, head)):
        return ""
    return f"{head - base:+.6g}" if base != head else "0"


def params_section(base: Side, head: Side) -> str:
    changed = changed_leaves(base.params, head.params)
    rows = [(key, *map(show, pair)) for key, pair in changed.items()]
    return table(["key", "base", "head"], rows) if rows else "None."


def explain(verdict: Verdict) -> str:
    """Return why a stage reruns; what else may come in makes no difference where a reason holds."""
    if not verdict.reasons:
        return f"if {' or '.join(verdict.conditions)} changes"
    return "; ".join(f"{kind} {', '.join(names)}".strip() for kind, names in verdict.reasons.items())


def outcome(verdict: Verdict) -> str:
    if verdict.changed is None:
        return "no run recorded"
    return f"changed: {', '.join(verdict.changed)}" if verdict.changed else "unchanged"


def stages_section(base: Side, lock: dict[str, Stage], head: Side) -> str:
    verdicts = reruns.find_reruns(lock, head.stages, head.lock or {})
    rows = [
        (name, "yes" if verdict.reasons else "perhaps", explain(verdict), outcome(verdict))
        for name, verdict in verdicts.items()
    ]
    rows += [(name, "removed", "", "") for name in lock if name not in head.stages]
    parts = [table(["stage", "reruns", "why", "outputs"], rows) if rows else "None."]
    if any(verdict.changed is None for verdict in verdicts.values()):
        parts.append("Where no run is recorded, `dvc repro` is still to come: the reports below know nothing of it.")
    overdue = [name for name, stage in base.stages.items() if name in lock and reruns.own_reasons(stage, lock[name])]
    if overdue:
        parts.append(
            f"dvc.lock of {base.title} is older than its own params or files ({', '.join(overdue)}): some of "
            "these reasons are older than this change."
        )
    return "\n\n".join(parts)


def metrics_section(base: dict[str, Any], head: dict[str, Any]) -> str:
    rows = [(key, *map(show, pair), difference(*pair)) for key, pair in changed_leaves(base, head).items()]
    return table(["metric", "base", "head", "delta"], rows, numbers=3) if rows else "Unchanged."


def classes_section(base: pd.DataFrame, head: pd.DataFrame) -> str:
    if base.equals(head):
        return "Unchanged."
    photos = pd.DataFrame({"base": base["photos"], "head": head["photos"]}).fillna(0).astype(int)
    shares = (photos / photos.sum()).fillna(0)
    distance = (shares["head"] - shares["base"]).abs().sum() / 2
    subsets = [column for column in dict.fromkeys([*head, *base]) if column != "name"]
    totals = [[int(side[subset].sum()) if subset in side else 0 for side in (base, head)] for subset in subsets]
    return "\n\n".join(
        [
            f"{len(base)} classes in base, {len(head)} in head.\n"
            f"Appeared: {listed(head, base)}. Vanished: {listed(base, head)}.\n"
            f"Total variation distance between the class shares: {distance:.4f} (0: the same, 1: no class in common).",
            table(
                ["subset", "base", "head", "delta"],
                [(subset, *map(str, pair), difference(*pair)) for subset, pair in zip(subsets, totals, strict=True)],
                3,
            ),
            largest_changes(head["name"].combine_first(base["name"]), photos, shares),
        ]
    )


def listed(classes: pd.DataFrame, others: pd.DataFrame) -> str:
    """Return the names of the classes that others lack, the first ten of them."""
    names = classes.loc[classes.index.difference(others.index), "name"]
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    return (", ".join(map(escape, names[:MOST_CLASSES])) or "none") + more


def largest_changes(names: pd.Series, photos: pd.DataFrame, shares: pd.DataFrame) -> str:
    """Return the classes whose photos, then whose share of them, changed most; the tables have columns base, head."""
    moves = pd.DataFrame({"photos": photos["head"] - photos["base"], "share": shares["head"] - shares["base"]}).abs()
    moved = moves[(moves != 0).any(axis=1)].sort_values(["photos", "share"], ascending=False, kind="stable")
    if moved.empty:
        return "No class gained or lost photos."
    rows = [
        (
            f"{names[key]} ({key})",
            *map(str, photos.loc[key]),
            difference(*photos.loc[key].tolist()),
            *(f"{share:.2%}" for share in shares.loc[key]),
        )
        for key in moved.index[:MOST_CLASSES]
    ]
    heading = f"The {len(rows)} largest of {len(moved)} changes of a class:"
    return f"{heading}\n\n{table(['class', 'base', 'head', 'delta', 'base share', 'head share'], rows, numbers=5)}"


def reports_section(
    path: str, base: Side, head: Side, contents: tuple[Any, Any], section: Callable[[Any, Any], str]
) -> str:
    """Return the section, or which side has no such report."""
    missing = [side.title for side, content in zip((base, head), contents, strict=True) if content is None]
    return f"{path} is missing in {' and in '.join(missing)}." if missing else section(*contents)


def compare(base: Side, head: Side) -> str:
    """Return the whole comparison as Markdown; without a record at the base its params only.

    Raises DataError when head has no stages.
    """
    if not head.stages:
        raise DataError(f"{head.title} has no dvc.yaml: run from the root of the project")
    sections = {"Params changed": params_section(base, head)}
    if base.lock is None:
        sections["Stages that rerun, and why"] = (
            f"Not known: {base.title} has no dvc.lock, the record of what its stages ran on. To have one, run "
            "`dvc repro` there and commit dvc.lock together with reports/."
        )
    else:
        sections["Stages that rerun, and why"] = stages_section(base, base.lock, head)
        sections["Metrics"] = reports_section(METRICS, base, head, (base.metrics, head.metrics), metrics_section)
        sections["Class balance"] = reports_section(
            CLASS_COUNTS, base, head, (base.classes, head.classes), classes_section
        )
    text = "\n\n".join(f"## {title}\n\n{section}" for title, section in sections.items())
    return f"# From {base.title} to {head.title}\n\n{text}\n"


# The edge: git, the working tree, the command line.


def resolve(revision: str) -> str:
    """Return the commit of a revision. Raises ImagesetError when git knows none."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"], capture_output=True, text=True
    )
    if found.returncode:
        raise ImagesetError(f"{revision!r} is no revision here: git says {' '.join(found.stderr.split())}")
    return found.stdout.strip()


def read_commit(commit: str, path: str) -> bytes | None:
    found = subprocess.run(["git", "cat-file", "blob", f"{commit}:./{path}"], capture_output=True)
    return None if found.returncode else found.stdout


def read_working_tree(path: str) -> bytes | None:
    return Path(path).read_bytes() if Path(path).is_file() else None


def open_side(revision: str | None) -> Side:
    if revision is None:
        return read_side("the working tree", read_working_tree)
    commit = resolve(revision)
    # Cached, as many stages depend on the same modules.
    return read_side(f"{revision} ({commit[:7]})", functools.cache(functools.partial(read_commit, commit)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.compare", description=__doc__)
    parser.add_argument("base", metavar="BASE", help="revision whose dvc.lock and reports are the record, such as main")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="revision to compare with it; the working tree if none")
    arguments = parser.parse_args()
    text = compare(open_side(arguments.base), open_side(arguments.head))
    # Bytes, as a locale that is not UTF-8 lacks the dash.
    sys.stdout.buffer.write(text.encode())


if __name__ == "__main__":
    command.run("compare", main)
