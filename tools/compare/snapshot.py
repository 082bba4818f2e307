"""Read the files of a commit, or of the working tree, that a comparison needs."""

import functools
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from imageset.errors import DataError, ImagesetError
from imageset.formats import source_ids, tables
from imageset.report import class_counts
from imageset.report.markdown import escape
from tools.compare.reruns import SHOWS_ALL, find_current_runs
from tools.dvc_files import Content, ReadFile, Stage, compute_md5, flatten, parse_dvc_lock, parse_dvc_yaml, read_path

METRICS = "reports/metrics.json"
BASELINE = "reports/baseline.json"
CLASS_COUNTS = "reports/class_counts.csv"
IDENTITY = "reports/identity.json"
LEAKAGE = "reports/leakage.json"
VALIDATION = "reports/validation.json"
RELEASED = "releases/split.csv"


class Report(NamedTuple):
    """A file of reports/, parsed, or why what it says is not known."""

    content: Any
    problem: str  # Markdown; "" where the content is that of a run that is up to date


class Snapshot(NamedTuple):
    """The parsed files of a commit or of the working tree; None for a file that it does not have."""

    title: str
    params: dict[str, Any]  # leaves by dotted key
    stages: dict[str, Stage]
    lock: dict[str, Stage] | None
    current: dict[str, Stage]  # the runs of dvc.lock that are up to date
    reports: dict[str, Report]  # by path: those below and no others

    @property
    def outdated(self) -> list[str]:
        """The stages that have not run on these params and files; stage page changes no data."""
        return [name for name in self.stages if name not in self.current and name != SHOWS_ALL]


def open_snapshot(revision: str | None) -> Snapshot:
    """Read a revision, or the working tree for None.

    Raises:
        ImagesetError: git does not know the revision.
        DataError: a file cannot be parsed.
    """
    if revision is None:
        return read_snapshot("the working tree", read_working_tree)
    commit = resolve_commit(revision)
    # Cached, because many stages depend on the same modules.
    return read_snapshot(f"{revision} ({commit[:7]})", functools.cache(functools.partial(read_commit, commit)))


def read_snapshot(title: str, read: ReadFile) -> Snapshot:
    """Read and parse the files. Raises DataError for a file that cannot be parsed."""
    # The files are parsed here: `dvc params diff` and `dvc metrics diff` take a second each, leave out params that no
    # stage reads, and do not know stages and classes.

    def parse_file(path: str, parse: Callable[[str], Any]) -> Any:
        content = read(path)
        try:
            return parse(content.decode()) if isinstance(content, bytes) else None
        except (DataError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} of {title} cannot be read: {' '.join(str(error).split())}") from None

    params = parse_file("params.yaml", lambda text: flatten(yaml.safe_load(text))) or {}
    stages = parse_file("dvc.yaml", lambda text: parse_dvc_yaml(text, params, read)) or {}
    lock = parse_file("dvc.lock", parse_dvc_lock)
    current = find_current_runs(stages, lock or {})
    reports = {}
    for path, parse in PARSERS.items():
        reports[path] = Report(parse_file(path, parse), find_problem(path, read(path), escape(title), stages, current))
    return Snapshot(title, params, stages, lock, current, reports)


def find_problem(path: str, content: Content, title: str, stages: dict[str, Stage], current: dict[str, Stage]) -> str:
    """Return why a report says nothing of these params and files, "" where it does."""
    if content is None:
        return f"{path} is missing in {title}"
    maker = next((name for name, stage in stages.items() if path in stage.outputs), None)
    if maker is None:
        return ""
    if maker not in current:
        return f"`dvc repro` has not run for {title}, or not to its end"
    if current[maker].outputs[path] != compute_md5(content):
        return f"{path} of {title} is not what stage {maker} wrote"
    return ""


def parse_class_counts(text: str) -> pd.DataFrame:
    """Return reports/class_counts.csv indexed by catalog_id: name, a column for each subset, photos."""
    counts = read_texts(text)
    for name in ("catalog_id", "name"):
        counts[name] = counts[name].map(class_counts.text_of_cell)
    counts = counts.set_index(pd.Index(source_ids.numbers(counts.pop("catalog_id")), dtype="int64", name="catalog_id"))
    return counts.astype(dict.fromkeys(counts.columns.drop("name"), int))


def parse_released(text: str) -> pd.DataFrame:
    """Return releases/split.csv: product_id, position, subset."""
    return tables.frame(tables.SPLIT, read_texts(text)[list(tables.SPLIT.columns)])


def read_texts(text: str) -> pd.DataFrame:
    """Return CSV with the cells as texts: an id may be "007" or "NA"."""
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


PARSERS: dict[str, Callable[[str], Any]] = {
    METRICS: lambda text: flatten(json.loads(text)),
    BASELINE: lambda text: flatten(json.loads(text)),
    CLASS_COUNTS: parse_class_counts,
    IDENTITY: json.loads,
    LEAKAGE: json.loads,
    VALIDATION: json.loads,
    RELEASED: parse_released,
}


def resolve_commit(revision: str) -> str:
    """Return the commit of a revision. Raises ImagesetError if git does not know it."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"], capture_output=True, text=True
    )
    if done.returncode:
        raise ImagesetError(
            f"{revision!r} is not a revision of this repository: name a branch, a tag or a commit, such as main (git "
            f"says: {' '.join(done.stderr.split())})"
        )
    return done.stdout.strip()


def read_commit(commit: str, path: str) -> Content:
    done = subprocess.run(["git", "cat-file", "blob", f"{commit}:./{path}"], capture_output=True)
    if not done.returncode:
        return done.stdout
    listed = subprocess.run(
        ["git", "ls-tree", "--full-tree", "-r", "-z", "--name-only", f"{commit}:./{path}"],
        capture_output=True,
        text=True,
    )
    names = [name for name in listed.stdout.split("\0") if name]
    contents = {name: read_commit(commit, f"{path}/{name}") for name in names}
    return {name: content for name, content in contents.items() if isinstance(content, bytes)} or None


def read_working_tree(path: str) -> Content:
    """Read a file or a folder beside dvc.yaml."""
    return read_path(Path(path))
