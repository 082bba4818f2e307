"""`python -m` in a process that a prepared one forks: it has its imports already, which take most of a short program.

The prepared process has imported what programs import, and has read S3's models. A fork of it gets a folder,
environment, arguments and standard streams of its own, and runs the module as `__main__`. Such a dvc forks the stages
that it runs, and parses each text of YAML once. Where such a tool or stage runs dvc, a second prepared process forks
that, which has none of the tool's state. Where a test is about how a program starts or what it imports, or sets what
libraries read at their import, it starts Python itself.
"""

import atexit
import gc
import json
import os
import pickle
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session

from tests.forked_workers import WORKER, fork_workers, guard

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "boto3.s3.inject",
    "configobj",
    "dulwich.ignore",
    "dulwich.worktree",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.dirs",
    "dvc.lock",
    "dvc.repo.artifacts",
    "dvc.repo.brancher",
    "dvc.repo.datasets",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.metrics",
    "dvc.repo.open_repo",
    "dvc.repo.params",
    "dvc.repo.plots",
    "dvc.repo.reproduce",
    "dvc.repo.stage",
    "dvc.repo.trie",
    "dvc.rwlock",
    "dvc.stage.run",
    "dvc.utils.strictyaml",
    "dvc_data.hashfile.db.local",
    "dvc_data.index.checkout",
    "dvc_data.index.push",
    "dvc_s3",
    "fsspec.implementations.memory",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "networkx",
    "pandas",
    "PIL.BmpImagePlugin",
    "PIL.PpmImagePlugin",
    "psutil",
    "psycopg2.extras",
    "pyarrow.pandas_compat",
    "ruamel.yaml.cyaml",
    "s3fs",
    "scipy.stats",
    "scmrepo.git",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "imageset.runtime.stage",
    "tools.check.command",
    "tools.compare.command",
    "tools.forget.remaining",
    "tools.plan.command",
    "tools.suspects.files",
    *(f"stages.{path.stem}" for path in sorted(ROOT.glob("stages/[a-z]*.py"))),
)
IMPORTED_FIRST = {"sphinx": ("furo", "myst_parser.sphinx_ext.main", "sphinx.builders.epub3", "sphinx.ext.napoleon")}
LOCK, LOCK_OF_WORKERS = threading.Lock(), threading.Lock()  # one request at a time
FOR_DVC: list[socket.socket] = []  # the second prepared process, where this one is a fork

# A program that hands its arguments, folder, environment and streams over, and ends as what was run. Stages, and what
# is no module, run in a process of their own: a forked program may start them, and its request still goes on.
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
    """Run `python -m module`, and return its exit code and what it wrote. Programs of several threads run one by one.

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
        LOCK,
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as error,
    ):
        given.write(text)
        given.seek(0)
        request = json.dumps([module, list(map(str, arguments)), str(cwd), dict(variables)]).encode()
        code = ask(request, [given.fileno(), out.fileno(), error.fileno()])
        said = []
        for file in (out, error):
            file.seek(0)
            said.append(file.read())
    return subprocess.CompletedProcess(command, code, *said)


def ask(request: bytes, streams: list[int]) -> int:
    """Have the prepared process run a module, and return its exit code."""
    return ask_on(FOR_DVC[0] if FOR_DVC else servers()[0], request, streams)


def ask_on(connection: socket.socket, request: bytes, streams: list[int]) -> int:
    socket.send_fds(connection, [len(request).to_bytes(4, "big")], streams)
    connection.sendall(request)
    return int.from_bytes(read(connection, 4), "big", signed=True)


def ask_for_worker(request: bytes, streams: list[int]) -> int:
    """Have a worker forked, whether or not a program runs that this process started."""
    if FOR_DVC:
        with LOCK:
            return ask_on(FOR_DVC[0], request, streams)
    with LOCK_OF_WORKERS:
        return ask_on(servers()[1], request, streams)


@cache
def commands() -> Path:
    """Return a folder for the PATH of a shell's script, with programs `dvc` and `python`.

    dvc and `python -m tools.<name>` are forked, but where coverage is measured: it measures no forks.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    if not can_fork():
        return folder
    address = f"\0imageset tests {os.getpid()}"
    for name, arguments in (("dvc", ["-m", "dvc"]), ("python", [])):
        path = folder / name
        path.write_text(COMMAND.format(python=sys.executable, arguments=arguments, address=address))
        path.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    threading.Thread(target=answer_commands, args=(listener,), daemon=True).start()
    return folder


def answer_commands(listener: socket.socket) -> None:
    """Pass on what these programs ask for, one after the other."""
    while True:
        connection, _ = listener.accept()
        with connection, LOCK:
            head, streams, _, _ = socket.recv_fds(connection, 4, 3)
            code = ask(read(connection, int.from_bytes(head, "big")), streams)
            for stream in streams:
                os.close(stream)
            connection.sendall((code & 255).to_bytes(4, "big"))


def can_fork() -> bool:
    return sys.platform == "linux" and not any(name.startswith("COVERAGE_") for name in os.environ)  # measures no forks


@cache
def servers() -> tuple[socket.socket, socket.socket]:
    """Start the prepared process, which ends with this one, and its fork that forks workers while a program runs."""
    pairs = socket.socketpair(), socket.socketpair()
    theirs = [pair[1].fileno() for pair in pairs]
    process = subprocess.Popen([sys.executable, "-m", "tests.forked", *map(str, theirs)], cwd=ROOT, pass_fds=theirs)
    for _, end in pairs:
        end.close()
    atexit.register(stop, process, pairs[0][0], pairs[1][0])
    return pairs[0][0], pairs[1][0]


def stop(process: subprocess.Popen[bytes], *connections: socket.socket) -> None:
    for connection in connections:
        connection.close()
    process.wait()


def read(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def read_models() -> None:
    """Read what boto3 and DVC read for each new client of S3, 1.5 MB of JSON: forks find it in memory."""
    botocore.session.create_loader = cache(botocore.session.create_loader)
    boto3.session.Session("none", "none", region_name="us-east-1").client("s3")


def parse_once() -> None:
    """Let dvc parse and check each text of YAML once: it reads dvc.yaml and dvc.lock several times for each stage."""
    from dvc.utils import serialize, strictyaml
    from dvc.utils.serialize import _yaml

    parse, validate = _yaml.parse_yaml, strictyaml.validate
    parsed: dict[str, bytes] = {}
    valid: set[tuple[str, int]] = set()

    def parse_text(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return parse(text, path, typ)
        if text not in parsed:
            parsed[text] = pickle.dumps(parse(text, path))
        return pickle.loads(parsed[text])

    def validate_text(data: Any, schema: Any, text: str | None = None, **where: Any) -> Any:
        if text is None:
            return validate(data, schema, **where)
        if (text, id(schema)) not in valid:
            validate(data, schema, text=text, **where)
            valid.add((text, id(schema)))
        return data

    _yaml.parse_yaml = serialize.parse_yaml = strictyaml.parse_yaml = parse_text
    strictyaml.validate = validate_text


def serve(connection: socket.socket) -> None:
    """Fork for each request, until the other end is closed."""
    guards: list[int] = []
    while True:
        head, streams, _, _ = socket.recv_fds(connection, 4, 5)
        if not head:
            return
        module, arguments, folder, variables = json.loads(read(connection, int.from_bytes(head, "big")))
        for each in IMPORTED_FIRST.pop(module, ()):  # what few tests run
            __import__(each)
        pid = os.fork()
        if pid == 0:
            connection.close()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for target, stream in enumerate(streams[:3]):
                os.dup2(stream, target)
                os.close(stream)
            if module == WORKER:
                guard(arguments, folder, variables, *streams[3:])
                os._exit(0)
            os._exit(run(module, arguments, folder, variables))
        for stream in streams:
            os.close(stream)
        if module == WORKER:
            guards = [each for each in guards if os.waitpid(each, os.WNOHANG) == (0, 0)] + [pid]
            code = 0  # the program goes on while its worker works
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(code.to_bytes(4, "big", signed=True))


def run(module: str, arguments: Sequence[str], folder: str, variables: dict[str, str]) -> int:
    """Run a module as `python -m` does, and return the exit code."""
    prepare_for_dvc()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:1] = [folder, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    tempfile.tempdir = None  # TMPDIR may be another
    if module.startswith("stages."):
        sys.modules.pop(module, None)  # it runs anew, as __main__
    sys.argv = [module, *arguments]
    fork_workers(ask_for_worker)
    if module == "dvc":
        import dvc.stage.run

        dvc.stage.run.subprocess = SimpleNamespace(Popen=start_stage)
        read_locks_fast()
    code: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:  # at a process's edge, as Python does
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the end of Python does
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def prepare_for_dvc() -> None:
    """Fork a second prepared process, before anything has run here, for the dvc that the program or its stages run."""
    if FOR_DVC:
        return
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        serve(theirs)
        os._exit(0)
    theirs.close()
    FOR_DVC.append(ours)
    fork_dvc()


def fork_dvc() -> None:
    """Have imageset.runtime.dvc run dvc in forks."""
    if can_fork():
        from imageset.runtime import dvc

        replaced = vars(subprocess) | {"Popen": ForkedDvc, "run": run_dvc}
        dvc.subprocess = SimpleNamespace(**replaced)  # type: ignore[assignment, attr-defined]


def run_dvc(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run dvc in a fork, and return what it wrote; any other command as subprocess.run does."""
    if command[:3] != [sys.executable, "-m", "dvc"] or options != {"check": True, "capture_output": True, "text": True}:
        return subprocess.run(command, **options)
    with ForkedDvc(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        printed, _ = running.communicate()
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return subprocess.CompletedProcess(command, 0, printed, "")


class ForkedDvc:
    """A dvc that a prepared process forks, in the place of its subprocess.Popen."""

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        text: bool = True,
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        variables = dict(os.environ if env is None else env)
        self.printed = None
        with tempfile.TemporaryFile("w+") as out, Path(os.devnull).open("r+") as nothing:
            places = {None: None, subprocess.PIPE: out.fileno(), subprocess.DEVNULL: nothing.fileno()}
            streams = [0, places[stdout] or 1, places[stderr] or 2]
            with LOCK:
                self.returncode = ask(json.dumps(["dvc", command[3:], str(Path.cwd()), variables]).encode(), streams)
            if stdout == subprocess.PIPE:
                out.seek(0)
                self.printed = out.read()

    def __enter__(self) -> "ForkedDvc":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def communicate(self) -> tuple[str | None, None]:
        return self.printed, None


def read_locks_fast() -> None:
    """Have dvc read dvc.lock, before it changes an entry, as it reads all else: with the parser in C.

    DVC writes dvc.lock after each stage, and reads it before with a parser that keeps comments. That takes 0.1 s of
    processor time, as long as a short stage. No dvc.lock has comments, and what DVC writes has the same bytes.
    """
    from dvc.utils.serialize import _yaml

    keeping_comments = _yaml.parse_yaml_for_update

    def parse(text: str, path: str) -> Any:
        return (_yaml.parse_yaml if Path(path).name == "dvc.lock" else keeping_comments)(text, path)

    _yaml.parse_yaml_for_update = parse


class ForkedStage:
    """A stage's process that dvc has forked, in the place of its subprocess.Popen."""

    def __init__(self, module: str, arguments: Sequence[str], folder: str, variables: dict[str, str]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.returncode = 0
        self.pid = os.fork()
        if self.pid == 0:
            atexit._clear()  # what dvc does at its end
            os._exit(run(module, arguments, folder, variables))

    def communicate(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start_stage(command: list[str], *, cwd: str, env: dict[str, str], **rest: Any) -> Any:
    """Fork if dvc's command is that of a stage, and start any other as dvc does."""
    words = read_stage(command[-1])  # after the shell and its options
    return ForkedStage(*words, cwd, env) if words else subprocess.Popen(command, cwd=cwd, env=env, **rest)


def read_stage(command: str) -> tuple[str, list[str]] | None:
    """Return module and arguments of a plain `exec python -m stages.name`, None for another command of the shell."""
    words = shlex.split(command)
    if words[:3] != ["exec", "python", "-m"] or set(command) & set("$`<>|;&*?\\"):
        return None
    return words[3], words[4:]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in IMPORTED:
        __import__(name)
    read_models()
    parse_once()
    gc.collect()
    gc.freeze()  # a fork does not look through what was imported, which would copy its pages
    given = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
    given.pop(1 if os.fork() else 0).close()
    serve(given[0])
