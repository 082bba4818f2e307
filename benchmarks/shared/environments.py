"""Virtual environments for what the project is measured against, which it never installs itself."""

import shutil
import subprocess
import sys
from pathlib import Path


def install(requirements: Path, environment: Path) -> None:
    """Make an environment of a requirements file where it is missing or out of date.

    Raises subprocess.CalledProcessError when the packages cannot be installed.
    """
    stamp = environment / "installed.txt"
    if stamp.exists() and stamp.read_bytes() == requirements.read_bytes():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    uv, python = Path(sys.executable).with_name("uv"), environment / "bin/python"
    options = ["--quiet", "--compile-bytecode", "--python", str(python), "-r", str(requirements)]
    subprocess.run([str(uv), "pip", "install", *options], check=True)
    shutil.copy(requirements, stamp)
