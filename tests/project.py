"""A copy of the project with a git history of its own, in which tests run dvc."""

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import forked
from tests.forked import run_python
from tests.forked_dvc import read_stage

ROOT = Path(__file__).parent.parent
PHOTOS = {"t-shirt": 6, "dress": 6, "pants": 6, "hat": 4}  # hats are too rare for the shipped catalog.min_photos
PLANTED = 2  # photos that stage leakage copies: each costs 0.15 s of processor time
KEPT = {garment: count for garment, count in PHOTOS.items() if count >= 5}


@dataclass(frozen=True)
class Project:
    """A copy of the project with a git history of its own, and the environment that its commands run in."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command. DVC, stages and tools are forked from a process that has their imports."""
        match command:
            case ("dvc" as module, *arguments):
                pass
            case ("sh", "-c", text) if stage := read_stage(text):
                module, arguments = stage
            case (_, "-m", module, *arguments) if module.startswith(("stages.", "tools.")):
                pass
            case _:
                return self.start(*command, **changes)
        return run_python(module, *arguments, cwd=self.folder, environment=self.environment | changes, alone=True)

    def start(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | changes,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    def succeed(self, *command: str, **changes: str) -> str:
        done = self.run(*command, **changes)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def paste(self, commands: str) -> str:
        """Run commands in a shell, with dvc and tools in forks, and return what they said. They have to succeed."""
        path = os.pathsep.join([str(forked.commands()), self.environment["PATH"]])
        return self.succeed("bash", "-ec", commands, PATH=path)

    def stages_that_run(self, *options: str, **changes: str) -> list[str]:
        """Run dvc repro and return the names of the stages that ran."""
        return re.findall(r"Running stage '(\w+)'", self.succeed("dvc", "repro", "--no-run-cache", *options, **changes))

    def commit(self, message: str) -> None:
        self.succeed("git", "add", "--all")
        author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        self.succeed("git", *author, "commit", "--quiet", "-m", message)

    def set_param(self, key: str, value: object) -> None:
        """Change one value in params.yaml, its comments and all else left as they are."""
        section, name = key.split(".")
        path = self.folder / "params.yaml"
        text = path.read_text()
        changed, count = re.subn(rf"(^{section}:.*?^  {name}: )[^\n]*", rf"\g<1>{value}", text, flags=re.M | re.S)
        assert count == 1
        path.write_text(changed)

    def clone(self, folder: Path) -> "Project":
        """Return a clone with the same branch checked out."""
        self.succeed("git", "clone", "--quiet", str(self.folder), str(folder))
        return Project(folder, self.environment)

    def md5(self, output: str = "data/dataset.h5") -> str:
        return hashlib.md5((self.folder / output).read_bytes()).hexdigest()


def copy_project(folder: Path, environment: dict[str, str], *, all_deps: bool = False) -> Project:
    """Return a copy of the files that git knows or would take, committed to a new repository.

    Args:
        folder: for the copy, where nothing is.
        environment: that its commands run in.
        all_deps: whether its stages depend on all modules and templates that they read, not on their own module alone.
            DVC writes the whole dvc.lock after each stage. With 900 of these deps that takes 0.4 s of processor time,
            as long as the stage. tests/pipeline/test_graph.py compares the deps with what stages import.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    for name in filter(None, listed):
        source = ROOT / name
        if source.exists() and not name.startswith("reports/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    if not all_deps:
        graph = folder / "dvc.yaml"
        graph.write_text(re.sub(r"^      - (imageset|stages/templates)/.*\n", "", graph.read_text(), flags=re.M))
    project = Project(folder, environment)
    project.set_param("leakage.planted", PLANTED)
    project.succeed("git", "init", "--quiet", "--initial-branch=main")
    project.commit("the project")
    return project


def command_line(process: psutil.Process) -> list[str]:
    """Return a process's command line, none when it has just ended."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
