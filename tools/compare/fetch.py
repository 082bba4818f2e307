"""Bring what a comparison reads of a side from the DVC remote into DVC's cache."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imageset.errors import ImagesetError
from imageset.runtime import dvc
from tools.compare.html_page import PROCESSED
from tools.compare.outputs import find_cache, find_output
from tools.compare.photos import TABLES
from tools.dvc_files import Stage

PREDICTIONS = "data/predictions.csv"


def fetch(revision: str | None, runs: Mapping[str, Stage], with_pixels: bool) -> None:
    """Fetch the tables of a side that DVC's cache lacks. What the remote lacks as well stays unknown.

    Args:
        revision: of git; None for the working tree.
        runs: its recorded runs.
        with_pixels: whether to fetch processed.h5, too.
    """
    wanted = [*TABLES, PREDICTIONS, *([PROCESSED] if with_pixels else [])]
    recorded = {path for run in runs.values() for path in run.outputs}
    lacking = [path for path in wanted if path in recorded and find_output(runs, path) is None]
    if not lacking:
        return
    with checked_out(revision) as project:
        try:
            dvc.run("--cd", str(project), "fetch", *lacking, stdout=subprocess.DEVNULL)
        except ImagesetError as error:
            print(f"compare: {error}; what it would have brought is not known", file=sys.stderr)


@contextmanager
def checked_out(revision: str | None) -> Iterator[Path]:
    """Yield a project folder at a revision, with this project's DVC cache and local settings."""
    if revision is None:
        yield Path.cwd()
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", f"{folder}/side", revision], check=True)
        project = Path(folder) / "side" / dvc.find_folder()
        try:
            local = Path(".dvc/config.local")
            if local.exists():
                shutil.copy(local, project / local)
            dvc.run(
                "--cd", str(project), "config", "--local", "cache.dir", str(Path(find_cache(Path.cwd())).absolute())
            )
            yield project
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", f"{folder}/side"], check=True)
