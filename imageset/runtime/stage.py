"""The edge of every stage: paths from the command line, one run at a time, one line for an error."""

import argparse
import gc
import inspect
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from imageset.errors import ImagesetError
from imageset.runtime import files, lifetime, params, settings

LOCKS = Path(".cache")  # here, wherever the cache is: what has one writer are the outputs here


def run(name: str, main: Callable[..., None]) -> None:
    """Call main with the command line's paths, one for each of its parameters, and end the process.

    A keyword-only parameter of main is an option that may be given several times; main gets the tuple of its values.

    A stage ends when its parent does (kill -9 of dvc would otherwise leave it writing) and holds a lock while it
    runs. Exit code 0: done; 1: failed; 2: params or settings are wrong; 130: interrupted.
    """
    lifetime.die_with_parent()
    signal.signal(signal.SIGTERM, lifetime.exit_cleanly)
    signal.signal(signal.SIGINT, lifetime.exit_cleanly)
    paths, options = arguments(name, main)
    try:
        settings.load()
        with files.lock(LOCKS / f"{name}.lock"):
            # What the imports have made stays, and what stages make has few cycles: less for the collector to look at.
            gc.freeze()
            gc.set_threshold(20_000)
            params.load()  # a fault in any section, before this stage does anything
            main(*paths, **options)
    except ImagesetError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (OSError, sqlite3.Error) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)


def arguments(name: str, main: Callable[..., None]) -> tuple[list[Path], dict[str, tuple[str, ...]]]:
    """Return the paths and options on the command line, as main's signature names them; a slip ends the process."""
    parser = argparse.ArgumentParser(f"python -m stages.{name}", description=inspect.getdoc(main))
    paths, options = [], []
    for parameter in inspect.signature(main).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            parser.add_argument(f"--{parameter.name}", action="append", default=[], metavar="VALUE")
            options.append(parameter.name)
        else:
            parser.add_argument(parameter.name, type=Path, metavar=parameter.name.upper())
            paths.append(parameter.name)
    given = vars(parser.parse_args())
    return [given[path] for path in paths], {option: tuple(given[option]) for option in options}
