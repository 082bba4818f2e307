"""`python -m tools.platforms`: print for which Pythons and platforms the pins have wheels. Needs a package index."""

import os
import re
import subprocess
import sys
from pathlib import Path

from imageset.errors import ImagesetError
from imageset.runtime import command

PINS = (Path("constraints.txt"), Path("requirements-train.txt"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {  # name -> uv's name; of Linux and macOS the oldest versions for which all pins have wheels
    "Linux x86-64, glibc 2.28": "x86_64-manylinux_2_28",
    "Linux ARM64, glibc 2.35": "aarch64-manylinux_2_35",
    "macOS 14, ARM64": "aarch64-apple-darwin",
    "macOS 14, x86-64": "x86_64-apple-darwin",
}
NO_WHEEL = re.compile(r"Because ([\w.-]+)==\S+ has no ")


def read_pins() -> dict[str, str]:
    """Return each pin, such as numpy==2.4.6, by the name of its package."""
    lines = [line for path in PINS for line in path.read_text().splitlines()]
    return {line.split("==")[0]: line for line in lines if "==" in line}


def find_missing_wheels(python: str, platform: str) -> list[str]:
    """Return the pinned packages that have no wheel for a version of Python on a platform (uv's name for it).

    Raises:
        ImagesetError: uv failed for another reason.
    """
    pins = read_pins()
    missing: list[str] = []
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header"]
    # Nothing is built, so our own Python will do. By default uv looks for a Python of the version that it resolves for.
    uv += ["--only-binary", ":all:", "--python", sys.executable]
    uv += ["--python-version", python, "--python-platform", platform]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    while True:  # uv names one package at a time
        done = subprocess.run(uv, input="\n".join(pins.values()), env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return sorted(missing)
        match = NO_WHEEL.search(" ".join(done.stderr.split()))
        if match is None or match[1] not in pins:
            raise ImagesetError(f"uv failed: {' '.join(done.stderr.split())}")
        missing.append(match[1])
        del pins[match[1]]


def main() -> None:
    table = {name: [find_missing_wheels(python, uv_name) for python in PYTHONS] for name, uv_name in PLATFORMS.items()}
    nowhere = set.intersection(*(set(missing) for row in table.values() for missing in row))
    print(f"No wheel anywhere: {', '.join(sorted(nowhere)) or 'none'}\n")
    print(f"| no wheel for | {' | '.join(PYTHONS)} |\n|---|{'---|' * len(PYTHONS)}")
    for name, row in table.items():
        cells = [
            ", ".join(package for package in missing if package not in nowhere) or "all have one" for missing in row
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    command.run("platforms", main)
