"""The tables and files of a side, in DVC's cache: those that git does not hold."""

import functools
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from imageset.formats import tables
from imageset.runtime import dvc
from tools.dvc_files import Stage


def find_output(runs: Mapping[str, Stage], path: str) -> Path | None:
    """Return where DVC's cache has an output of recorded runs; None where it does not.

    Args:
        runs: of base or of head.
        path: the output, as dvc.yaml names it.
    """
    md5 = next((run.outputs[path] for run in runs.values() if path in run.outputs), None)
    folder = find_cache(Path.cwd()) if md5 else ""
    found = Path(folder) / "files" / "md5" / md5[:2] / md5[2:] if md5 and folder else None
    return found if found is not None and found.is_file() else None


@functools.cache
def find_cache(project: Path) -> str:
    """Return the folder of the cache of the DVC project in the working directory, "" where there is none.

    Asking DVC takes a second.
    """
    return dvc.capture(sys.executable, "-m", "dvc", "cache", "dir").strip()


def read_output(runs: Mapping[str, Stage], path: str, table: tables.Table) -> pd.DataFrame | None:
    """Return a table that DVC's cache has; None where it does not. Raises DataError for another file."""
    found = find_output(runs, path)
    return None if found is None else tables.read(found, table)
