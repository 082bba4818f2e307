"""Run dvc as a child of a program, so that both end together."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from imageset.errors import ImagesetError


def run(*arguments: str, environment: Mapping[str, str] = os.environ, stdout: int | None = None) -> str:
    """Run a dvc command.

    Its stages call plain `python`, so this interpreter's folder comes first on their PATH.

    Args:
        arguments: of dvc, such as "repro".
        environment: variables of dvc and its stages.
        stdout: subprocess.PIPE to return what dvc prints; None to show it.

    Returns:
        What dvc printed, "" when it was shown.

    Raises:
        ImagesetError: dvc failed.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "dvc", *arguments]
    with subprocess.Popen(command, env={**environment, "PATH": path}, stdout=stdout, text=True) as running:
        try:
            printed, _ = running.communicate()
        except KeyboardInterrupt:  # a terminal sends Ctrl-C to dvc and its stage as well: both end by themselves
            running.wait()
            raise
        except SystemExit:  # SIGTERM reached this process alone
            running.terminate()
            raise
    if running.returncode:
        raise ImagesetError(f"`dvc {' '.join(arguments)}` failed; its own message above says why")
    return printed or ""
