"""DVC in forks of the prepared process: it forks its stages, and parses each text of YAML once."""

import atexit
import os
import pickle
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.forked import ask, can_fork, read_code

Run = Callable[[str, Sequence[str], str, dict[str, str]], int]


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


def fork_dvc() -> None:
    """Have imageset.runtime.dvc run dvc in forks."""
    if can_fork():
        from imageset.runtime import dvc

        replaced = vars(subprocess) | {"Popen": ForkedDvc, "run": run_dvc}
        dvc.subprocess = SimpleNamespace(**replaced)  # type: ignore[assignment, attr-defined]


def run_dvc(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run dvc in a fork, and return what it wrote; any other command as subprocess.run does."""
    captured = options == {"check": True, "capture_output": True, "text": True}
    if [*command[:3]] != [sys.executable, "-m", "dvc"] or not captured:
        return subprocess.run(command, **options)
    with ForkedDvc([*command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
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
            with ask("dvc", command[3:], str(Path.cwd()), variables, streams) as answer:
                self.returncode = read_code(answer)
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

    def __init__(self, run: Run, module: str, arguments: Sequence[str], folder: str, variables: dict[str, str]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.returncode = 0
        self.pid = os.fork()
        if self.pid == 0:
            atexit._clear()  # what dvc does at its end
            os._exit(run(module, arguments, folder, variables))

    def communicate(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_stages(run: Run) -> None:
    """Have dvc, in this process, fork its stages, and read dvc.lock fast.

    run: runs a module, with arguments, a folder and an environment, and returns the exit code.
    """
    import dvc.stage.run

    dvc.stage.run.subprocess = SimpleNamespace(Popen=partial(start_stage, run))
    read_locks_fast()


def start_stage(run: Run, command: list[str], *, cwd: str, env: dict[str, str], **rest: Any) -> Any:
    """Fork if dvc's command is that of a stage, and start any other as dvc does."""
    words = read_stage(command[-1])  # after the shell and its options
    return ForkedStage(run, *words, cwd, env) if words else subprocess.Popen(command, cwd=cwd, env=env, **rest)


def read_stage(command: str) -> tuple[str, list[str]] | None:
    """Return module and arguments of a plain `exec python -m stages.name`, None for another command of the shell."""
    words = shlex.split(command)
    if words[:3] != ["exec", "python", "-m"] or set(command) & set("$`<>|;&*?\\"):
        return None
    return words[3], words[4:]
