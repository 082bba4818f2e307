"""`python -m` in a process that a prepared one forks: it has its imports already, which take most of a short program.

The prepared process (tests/prepared.py) has imported what programs import. A fork of it gets a folder, environment,
arguments and standard streams of its own, and runs the module as `__main__`. The dvc and the workers of such a program
are forks of the prepared process, too (tests/forked_dvc.py, tests/forked_workers.py), which have none of the program's
state. Where a test is about how a program starts or what it imports, or sets what libraries read at their import, it
starts Python itself.
"""

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
GIVEN: list[str] = []  # the address of the prepared process, where another process has started it

# A program that hands its arguments, folder, environment and streams over, and ends as what was run. Stages, and what
# is no module, run in a process of their own.
COMMAND = """\
#!{python} -IS
import json, os, socket, sys
arguments = {arguments} + sys.argv[1:]
if arguments[:1] != ["-m"] or not (arguments[1] == "dvc" or arguments[1].startswith("tools.")):
    os.execv({python!r}, [{python!r}, *arguments])
request = json.dumps([*arguments[1:2], arguments[2:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({address!r})
    socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(request)
    os._exit(int.from_bytes(connection.recv(4), "big") & 255)
"""


def run_python(
    module: str,
    *arguments: object,
    cwd: Path,
    environment: dict[str, str] | None = None,
    text: str = "",
    alone: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module`, and return its exit code and what it wrote.

    Args:
        module: a program: of this project, or a package's such as dvc.
        arguments: its arguments.
        cwd: the folder that it runs in.
        environment: variables beside those of this process.
        text: its standard input.
        alone: whether these are all of its variables.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    variables = ({} if alone else os.environ | {"PYTHONPATH": str(ROOT)}) | (environment or {})
    if not can_fork():
        return subprocess.run(command, cwd=cwd, env=variables, input=text, capture_output=True, text=True, check=False)
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as error,
    ):
        given.write(text)
        given.seek(0)
        streams = [file.fileno() for file in (given, out, error)]
        with ask(module, list(map(str, arguments)), str(cwd), variables, streams) as answer:
            code = read_code(answer)
        said = []
        for file in (out, error):
            file.seek(0)
            said.append(file.read())
    return subprocess.CompletedProcess(command, code, *said)


def can_fork() -> bool:
    return sys.platform == "linux" and not any(name.startswith("COVERAGE_") for name in os.environ)  # measures no forks


def ask(
    module: str, arguments: Sequence[str], folder: str, variables: dict[str, str], streams: Sequence[int]
) -> socket.socket:
    """Have a module run in a fork.

    Args:
        module: a program, or forked_workers.WORKER.
        arguments: its arguments.
        folder: that it runs in.
        variables: its environment.
        streams: its standard input, output and error, and for a worker its end of the pipe.

    Returns:
        A connection that answers with the exit code. The fork is killed when it is closed, or shut down, before.
    """
    request = json.dumps([module, arguments, folder, variables]).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address())
    socket.send_fds(connection, [len(request).to_bytes(4, "big")], streams)
    connection.sendall(request)
    return connection


def read_code(answer: socket.socket) -> int:
    return int.from_bytes(read(answer, 4), "big", signed=True)


def read(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def address() -> str:
    """Return the address of the prepared process, which this one starts unless it was given one."""
    return GIVEN[0] if GIVEN else start_prepared()


@cache
def start_prepared() -> str:
    """Start the prepared process, which ends with this one."""
    name = f"\0imageset tests {os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(128)
    ours, theirs = socket.socketpair()
    given = [listener.fileno(), theirs.fileno()]
    command = [sys.executable, "-m", "tests.prepared", name[1:], *map(str, given)]
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=given)
    for end in (listener, theirs):
        end.close()
    atexit.register(stop, process, ours)
    return name


def stop(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.wait()


@cache
def commands() -> Path:
    """Return a folder for the PATH of a shell's script, with programs `dvc` and `python`.

    dvc and `python -m tools.<name>` are forked, but where coverage is measured: it measures no forks.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    if not can_fork():
        return folder
    for name, arguments in (("dvc", ["-m", "dvc"]), ("python", [])):
        path = folder / name
        path.write_text(COMMAND.format(python=sys.executable, arguments=arguments, address=address()))
        path.chmod(0o755)
    return folder
