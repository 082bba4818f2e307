"""`python -m tools.platforms`: for which Pythons and platforms do the pins have wheels? Needs a package index."""

import os
import re
import subprocess
import sys
from pathlib import Path

PINS = (Path("constraints.txt"), Path("requirements-train.txt"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {  # as people name them, as uv does; of Linux and macOS the oldest for which all pins have wheels
    "Linux x86-64, glibc 2.28": "x86_64-manylinux_2_28",
    "Linux ARM64, glibc 2.35": "aarch64-manylinux_2_35",
    "macOS 14, ARM64": "aarch64-apple-darwin",
    "macOS 14, x86-64": "x86_64-apple-darwin",
}
NO_WHEEL = re.compile(r"Because ([\w.-]+)==\S+ has no ")


def read_pins() -> dict[str, str]:
    """Return each pinned package's line, such as numpy==2.4.6, by name."""
    lines = [line for path in PINS for line in path.read_text().splitlines()]
    return {line.split("==")[0]: line for line in lines if "==" in line}


def lacking(python: str, platform: str) -> list[str]:
    """Return the pinned packages that have no wheel for a version of Python on a platform, by uv's name of it."""
    pins = read_pins()
    found: list[str] = []
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header"]
    # Our own Python builds nothing here; uv would look for one of the version that is asked for.
    command += ["--only-binary", ":all:", "--python", sys.executable]
    command += ["--python-version", python, "--python-platform", platform]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    while True:  # uv names one at a time
        done = subprocess.run(command, input="\n".join(pins.values()), env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return sorted(found)
        match = NO_WHEEL.search(" ".join(done.stderr.split()))
        if match is None or match[1] not in pins:
            sys.exit(f"platforms: uv says {' '.join(done.stderr.split())}")
        found.append(match[1])
        del pins[match[1]]


def main() -> None:
    lists = {name: [lacking(python, platform) for python in PYTHONS] for name, platform in PLATFORMS.items()}
    nowhere = set.intersection(*(set(names) for row in lists.values() for names in row))
    print(f"No wheel anywhere: {', '.join(sorted(nowhere)) or 'none'}\n")
    print(f"| no wheel for | {' | '.join(PYTHONS)} |\n|---|{'---|' * len(PYTHONS)}")
    for name, row in lists.items():
        cells = [", ".join(package for package in names if package not in nowhere) or "all have one" for names in row]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
