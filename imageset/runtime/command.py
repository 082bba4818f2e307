"""How every program of this project ends: signals, one line for an error, exit codes."""

import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from imageset.errors import DiskError, ImagesetError
from imageset.runtime import files, lifetime, streams
from imageset.runtime.secret_text import hide_urls

FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
NO_READER = 128 + signal.SIGPIPE
LONGEST = 2000  # characters of a message: the value of a row may have any number
# What would end the line, act on the terminal, or turn the text after it round; and `##[`, which GitHub's logs take for
# a command wherever it is.
ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]|#(?=#\[)")


def run(name: str, main: Callable[[], None]) -> None:
    """Call a program's main; end the process with one line when it fails.

    Exit codes: 0, done; 1, failed; 2, the command line, params or settings are wrong; 130, interrupted (Ctrl-C); 141,
    nobody reads the output any more, as with `| head`; 143, terminated (SIGTERM). Either signal runs the finally
    blocks, so that nothing is left half-written.

    Args:
        name: the program as its messages name it, such as "split".
        main: parses the command line and does the work. It may call sys.exit with a code of its own.
    """
    streams.prepare()
    signal.signal(signal.SIGTERM, lifetime.exit_cleanly)
    signal.signal(signal.SIGINT, lifetime.exit_cleanly)
    try:
        try:
            main()
        finally:
            lost = streams.flush()
        end_without_output(name, lost)
    except DiskError as error:
        end_at_once(name, str(error), error.exit_code)
    except ImagesetError as error:
        end(name, str(error), error.exit_code)
    except (OSError, sqlite3.Error) as error:
        # Without a buffer, the print that stdout does not take raises.
        end_without_output(name, lost or (error if streams.is_of_stdout(error) else None))
        end(name, describe(error), FAILED)
    except KeyboardInterrupt:
        end(name, "interrupted", INTERRUPTED)


def end_without_output(name: str, lost: Exception | None) -> None:
    """End the process if stdout did not take what was printed; without a line where its reader has gone."""
    if isinstance(lost, BrokenPipeError):
        sys.exit(NO_READER)
    if isinstance(lost, OSError):
        end(name, f"the output cannot be written: {lost.strerror}", FAILED)


def describe(error: Exception) -> str:
    """Return one line for an error that no module has explained."""
    if files.lacks_space(error):
        folders = " or ".join(sorted({str(Path.cwd()), tempfile.gettempdir()}))
        return f"a disk is full: make room on that of {folders}, then run this again"
    return " ".join(str(error).split())


def end(name: str, message: str, code: int) -> None:
    """End the process with one line on stderr."""
    say(name, message)
    sys.exit(code)


def say(name: str, message: str) -> None:
    """Print a message as one line on stderr, without what may be secret in its URLs."""
    print(f"{name}: {show_line(hide_urls(message))}", file=sys.stderr, flush=True)


def show_line(message: str) -> str:
    """Return a message as one line, its control characters and right-to-left marks as their numbers.

    Names in it are texts of other people. A long message loses its middle: what to do is at its end.

    >>> show_line("class red\\x1b[31m\\nblue")
    'class red\\\\u001b[31m\\\\u000ablue'
    """
    if len(message) > LONGEST:
        message = f"{message[: LONGEST // 2]}...{message[-LONGEST // 2 :]}"
    return ACTING.sub(lambda acting: f"\\u{ord(acting[0]):04x}", message)


def end_at_once(name: str, message: str, code: int) -> None:
    """End the process with one line on stderr, and free nothing.

    HDF5 crashes the process when it frees a file that it could not write (h5py, issue 914). Finally blocks have run.
    """
    say(name, message)
    sys.stdout.flush()
    os._exit(code)
