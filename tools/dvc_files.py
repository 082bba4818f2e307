"""Stages as dvc.yaml defines them, and as dvc.lock records their last run."""

import hashlib
import json
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import yaml

# A file's content, or that of each file of a folder by its path in it; None where there is neither.
Content = bytes | dict[str, bytes] | None
ReadFile = Callable[[str], Content]


class Stage(NamedTuple):
    """What a stage reads and writes, by dvc.yaml and the files beside it or by dvc.lock."""

    command: str
    params: dict[str, dict[str, Any]]  # key as in dvc.yaml -> its leaves
    dependencies: dict[str, str | None]  # path -> md5; None in dvc.yaml if a stage makes the file
    outputs: dict[str, str | None]  # path -> md5; None in dvc.yaml


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by their dotted keys. A list is a leaf.

    >>> flatten({"preprocess": {"image_side": 128}})
    {'preprocess.image_side': 128}
    """
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def select_leaves(key: str, leaves: dict[str, Any]) -> dict[str, Any]:
    """Return the leaves under a key."""
    return {leaf: value for leaf, value in leaves.items() if f"{leaf}.".startswith(f"{key}.")}


def parse_dvc_yaml(text: str, params: dict[str, Any], read: ReadFile) -> dict[str, Stage]:
    """Return the stages of a dvc.yaml, with the params and files that they read now.

    Args:
        text: content of dvc.yaml.
        params: leaves of params.yaml, as `flatten` returns them.
        read: reads the files that stages depend on.
    """
    graph = yaml.safe_load(text)["stages"]
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
            {key: select_leaves(key, params) for key in stage.get("params", [])},
            {path: None if path in made else compute_md5(read(path)) for path in stage.get("deps", [])},
            outputs[name],
        )
        for name, stage in graph.items()
    }


def read_path(path: Path) -> Content:
    """Return the content of a file or a folder of the working tree, without what DVC ignores."""
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        return {
            file.relative_to(path).as_posix(): file.read_bytes() for file in files if not fnmatch(file.name, ".*.tmp")
        }
    return path.read_bytes() if path.is_file() else None


def compute_md5(content: Content) -> str:
    """Return the md5 that DVC records for a file or a folder, "missing" if there is neither."""
    if content is None:
        return "missing"
    if isinstance(content, dict):
        listed = [{"md5": compute_md5(content[path]), "relpath": path} for path in sorted(content)]
        return f"{compute_md5(json.dumps(listed).encode())}.dir"
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def parse_dvc_lock(text: str) -> dict[str, Stage]:
    """Return the stages of a dvc.lock, with the md5 of every file of their last run."""
    stages = {}
    for name, stage in yaml.safe_load(text)["stages"].items():
        params = {key: flatten({key: value}) for key, value in stage.get("params", {}).get("params.yaml", {}).items()}
        dependencies, outputs = (
            {entry["path"]: entry.get("md5") for entry in stage.get(kind, [])} for kind in ("deps", "outs")
        )
        stages[name] = Stage(stage["cmd"], params, dependencies, outputs)
    return stages
