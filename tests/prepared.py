"""`python -m tests.prepared ADDRESS LISTENER STARTER`: fork programs and workers, with all their imports, on request.

Args:
    ADDRESS: of the listener, for what the forks ask for, without its first byte, which is 0.
    LISTENER: a file descriptor; see tests.forked.ask for the requests.
    STARTER: a file descriptor of a connection to the process that started this one, which ends with it.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import boto3
import botocore.session

from imageset.runtime import fingerprint
from tests import forked, forked_dvc, forked_workers
from tests.forked import ROOT

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


def read_models() -> None:
    """Read what boto3 and DVC read for each new client of S3, 1.5 MB of JSON: forks find it in memory."""
    botocore.session.create_loader = cache(botocore.session.create_loader)
    boto3.session.Session("none", "none", region_name="us-east-1").client("s3")


def hash_sources() -> None:
    """Hash the code that decides pixels and masks: forks find it in memory."""
    for path in ROOT.glob("imageset/photos/*.py"):
        fingerprint.hash_code(path.read_bytes())


def serve(listener: socket.socket, starter: socket.socket) -> None:
    """Fork for each request and answer with the exit code, until the other end of `starter` is closed."""
    running: dict[int, tuple[int, socket.socket]] = {}  # by their pidfd
    watched: dict[socket.socket, int] = {}  # the pid of what is killed when the other end is closed
    while True:
        awaited: list[Any] = [listener, starter, *running, *watched]
        ready = select.select(awaited, [], [])[0]
        if starter in ready:
            return
        for ended in running.keys() & {*ready}:
            pid, connection = running.pop(ended)
            os.close(ended)
            watched.pop(connection, None)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with connection, suppress(OSError):  # nobody waits for it
                connection.sendall(code.to_bytes(4, "big", signed=True))
        for connection in watched.keys() & {*ready}:
            os.kill(watched.pop(connection), signal.SIGKILL)
        if listener in ready:
            connection, _ = listener.accept()
            pid = fork(connection, [listener, starter])
            running[os.pidfd_open(pid)] = pid, connection
            watched[connection] = pid


def fork(connection: socket.socket, others: Sequence[socket.socket]) -> int:
    """Read a request and run what it asks for in a fork. Return its pid."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 4)
    module, arguments, folder, variables = json.loads(forked.read(connection, int.from_bytes(head, "big")))
    for each in IMPORTED_FIRST.pop(module, ()):  # what few tests run
        __import__(each)
    pid = os.fork()
    if pid == 0:
        for end in (connection, *others):
            end.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for target, stream in enumerate(streams[:3]):
            os.dup2(stream, target)
            os.close(stream)
        if module == forked_workers.WORKER:
            move(folder, variables)
            sys.path[:] = arguments
            forked_workers.work(streams[3])
            os._exit(0)
        os._exit(run(module, arguments, folder, variables))
    for stream in streams:
        os.close(stream)
    return pid


def move(folder: str, variables: dict[str, str]) -> None:
    """Give this process a folder and an environment."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None  # TMPDIR may be another


def run(module: str, arguments: Sequence[str], folder: str, variables: dict[str, str]) -> int:
    """Run a module as `python -m` does, and return the exit code."""
    forked_dvc.fork_dvc()
    forked_workers.fork_workers()
    move(folder, variables)
    sys.path[:1] = [folder, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    if module.startswith("stages."):
        sys.modules.pop(module, None)  # it runs anew, as __main__
    sys.argv = [module, *arguments]
    if module == "dvc":
        forked_dvc.fork_stages(run)
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


def main(name: str, *connections: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forked.GIVEN.append(f"\0{name}")
    for each in IMPORTED:
        __import__(each)
    read_models()
    hash_sources()
    forked_dvc.parse_once()
    gc.collect()
    gc.freeze()  # a fork does not look through what was imported, which would copy its pages
    serve(*(socket.socket(fileno=int(number)) for number in connections))


if __name__ == "__main__":
    main(*sys.argv[1:])
