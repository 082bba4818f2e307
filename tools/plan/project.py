"""Read dvc.yaml, dvc.lock and params.yaml, and look into DVC's cache."""

import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from imageset.errors import DataError
from imageset.runtime import dvc, files, params
from tools.dvc_files import Stage, compute_md5, flatten, parse_dvc_lock, parse_dvc_yaml, read_path

LOCK = Path("dvc.lock")
SETTLED_SECONDS = 0.2
FULL_CHECK_BYTES = 16_000_000  # a larger output is the recorded one if it has the recorded size


class Project:
    """The working tree, and DVC's cache, which is looked for when it is first needed: that takes a second."""

    def __init__(self) -> None:
        """Read the files of the working directory.

        Raises:
            ParamsError: params.yaml is missing or has a fault.
            DataError: dvc.yaml or dvc.lock cannot be read.
        """
        self.params = params.load()
        self.values = params.parse(params.PARAMS)
        self.graph = read_yaml(Path("dvc.yaml"))
        leaves = flatten(self.values)
        self.stages = parse(
            Path("dvc.yaml"), lambda text: parse_dvc_yaml(text, leaves, lambda path: read_path(Path(path)))
        )
        self.has_lock = LOCK.is_file()
        if self.has_lock:
            wait_until_written(LOCK)
        self.lock = parse(LOCK, parse_dvc_lock) if self.has_lock else {}
        self.sizes = parse(LOCK, parse_sizes) if self.has_lock else {}

    @cached_property
    def cache(self) -> Path:
        """DVC's cache on this machine."""
        return Path(dvc.capture(sys.executable, "-m", "dvc", "cache", "dir").strip() or ".dvc/cache")

    def has_cached(self, outputs: dict[str, str | None]) -> bool:
        """Say whether DVC's cache has all these outputs, path -> md5."""
        return all(md5 and (self.cache / "files" / "md5" / md5[:2] / md5[2:]).is_file() for md5 in outputs.values())

    def list_missing(self, stage: Stage) -> list[str]:
        """Return the outputs of a recorded run that the working tree lacks, or has otherwise."""
        return [path for path, md5 in stage.outputs.items() if not self.is_recorded(Path(path), md5)]

    def is_recorded(self, path: Path, md5: str | None) -> bool:
        """Say whether the working tree has an output as it was recorded; of a large one, by its size."""
        if not path.is_file():
            return path.is_dir() and compute_md5(read_path(path)) == md5
        size = path.stat().st_size
        return size == self.sizes.get(str(path), size) and (size > FULL_CHECK_BYTES or files.md5(path) == md5)

    def is_frozen(self, name: str) -> bool:
        """Say whether dvc.yaml keeps a stage from running."""
        return bool(self.graph["stages"][name].get("frozen"))


def wait_until_written(path: Path) -> None:
    """Wait until a file has not changed for a moment, at most for two seconds: DVC writes dvc.lock in place."""
    for _ in range(20):
        if time.time() - path.stat().st_mtime > SETTLED_SECONDS:
            return
        time.sleep(0.1)


def parse_sizes(text: str) -> dict[str, int | None]:
    """Return the size of each output of a dvc.lock, by its path."""
    stages = load_yaml(text)["stages"].values()
    return {out["path"]: out.get("size") for stage in stages for out in stage.get("outs", [])}


def parse(path: Path, function: Any) -> Any:
    """Return what `function` makes of a file's text. Raises DataError, in one line."""
    try:
        return function(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run from the project's root") from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file. Raises DataError, in one line."""
    return parse(path, load_yaml)


def load_yaml(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
