"""The edge of every stage: paths from the command line, one run at a time, one line for an error."""

import inspect
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from imageset import files, process, settings
from imageset.errors import ImagesetError


def run(name: str, main: Callable[..., None]) -> None:
    """Call main with the command line's paths, one for each of its parameters, and end the process.

    A stage ends when its parent does (kill -9 of dvc would otherwise leave it writing) and holds a lock while it
    runs. Exit code 0: done; 1: failed; 2: params or settings are wrong; 130: interrupted.
    """
    process.die_with_parent()
    signal.signal(signal.SIGTERM, exit_cleanly)
    signal.signal(signal.SIGINT, exit_cleanly)
    names = list(inspect.signature(main).parameters)
    if len(sys.argv) - 1 != len(names):
        sys.exit(f"usage: python -m stages.{name} {' '.join(names).upper()}")
    try:
        settings.load()
        with files.lock(settings.cache_directory() / f"{name}.lock"):
            main(*(Path(argument) for argument in sys.argv[1:]))
    except ImagesetError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (OSError, sqlite3.Error) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)


def exit_cleanly(signal_number: int, frame: FrameType | None) -> None:
    """End by way of the finally blocks, which remove what is half-written; a second signal does not disturb them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signal_number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + signal_number)
