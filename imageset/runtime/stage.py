"""How every stage starts: paths from the command line, a lock, and params that are accepted as a whole."""

import argparse
import gc
import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from imageset.errors import DataError
from imageset.runtime import command, files, lifetime, params, rates, settings, unchanged

LOCKS = Path(".cache")  # of this project, wherever the cache is: the lock guards the outputs here
SUFFIXES = ("_csv", "_h5", "_json", "_onnx", "_png", "_pth", "_html", "_sql")  # of paths, as main names them
MAX_POSITIONAL_PATHS = 6  # nobody who reads dvc.yaml can tell more of them apart


def run(name: str, main: Callable[..., None]) -> None:
    """Call a stage's main with the command line's paths, and end the process as `command.run` does.

    A stage ends when its parent does: kill -9 of dvc would otherwise leave it writing. It holds a lock while it runs.
    It refuses a params.yaml with a fault in any section before it does anything.

    Args:
        name: the stage's name.
        main: the stage. Its parameters are paths, and its docstring describes each: see `arguments`.
    """
    lifetime.die_with_parent()
    command.run(name, partial(run_locked, name, main))


def run_locked(name: str, main: Callable[..., None]) -> None:
    """Parse the command line, check what earlier stages wrote, run main alone, then record how long that took."""
    started = rates.find_start()
    given = arguments(name, main)
    settings.load()
    with files.lock(LOCKS / f"{name}.lock"):
        values = params.load()
        paths = [path for path in given.values() if isinstance(path, Path)]
        unchanged.require_inputs(name, paths)
        # The collector has less to search: imported objects stay anyway, and stages make few cycles.
        gc.freeze()
        gc.set_threshold(20_000)
        try:
            main(**given)
        except FileNotFoundError as error:
            raise explain_missing(error, given) from None
        unchanged.note_outputs(name, paths)
        rates.record(name, started, paths, values)


def explain_missing(error: FileNotFoundError, given: dict[str, Any]) -> Exception:
    """Return what to do about a path of the command line, or in such a folder, that is not there; the error itself for
    any other file."""
    missing = Path(str(error.filename))
    if not {missing, *missing.parents} & {path for path in given.values() if isinstance(path, Path)}:
        return error
    if pid := lifetime.find_dvc_that_writes(missing):
        return DataError(
            f"{missing} is missing: another run is active (pid {pid}) and makes it; wait for it or stop it "
            f"({lifetime.DVC_LOCK})"
        )
    return DataError(
        f"{missing} is missing: run `dvc repro`, which makes it first and gives every stage its paths, or "
        f"`git checkout -- {missing}` if git keeps it"
    )


def arguments(name: str, main: Callable[..., None]) -> dict[str, Any]:
    """Return main's arguments from the command line; a slip ends the process with the usage.

    Each parameter of main is a path. Up to six are given in main's order, more are given by name: `--split
    data/split.csv`. A keyword-only parameter is an option that may be given several times: `--retry gone --retry
    forbidden`. The help is main's docstring: its first part describes the stage, its `Args:` the paths.
    """
    description, helps = describe(main)
    parser = argparse.ArgumentParser(f"python -m stages.{name}", description=description)
    parameters = inspect.signature(main).parameters.values()
    paths = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    for path in paths:
        if len(paths) <= MAX_POSITIONAL_PATHS:
            parser.add_argument(path, type=Path, metavar=path.upper(), help=helps.get(path))
        else:
            flag = option(path, paths)
            parser.add_argument(flag, dest=path, required=True, type=Path, metavar="PATH", help=helps.get(path))
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            flag, what = f"--{parameter.name}", helps.get(parameter.name)
            parser.add_argument(flag, action="append", default=[], metavar="VALUE", help=what)
    given = vars(parser.parse_args())
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def option(path: str, paths: list[str]) -> str:
    """Return the name by which a path is given: main's, without the file's suffix where that is unambiguous.

    >>> option("split_csv", ["split_csv", "processed_csv", "processed_h5"])
    '--split'
    >>> option("processed_csv", ["split_csv", "processed_csv", "processed_h5"])
    '--processed-csv'
    """
    without_suffix = {other: other.rpartition("_")[0] if other.endswith(SUFFIXES) else other for other in paths}
    is_alone = list(without_suffix.values()).count(without_suffix[path]) == 1
    return f"--{(without_suffix[path] if is_alone else path).replace('_', '-')}"


def describe(main: Callable[..., None]) -> tuple[str, dict[str, str]]:
    """Return what main's docstring says of it and of each parameter under `Args:`."""
    text, _, listed = (inspect.getdoc(main) or "").partition("\nArgs:\n")
    arguments = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", listed, re.MULTILINE)
    # argparse formats help with %.
    return text.strip(), {name: " ".join(said.split()).replace("%", "%%") for name, said in arguments}
