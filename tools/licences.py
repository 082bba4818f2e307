"""`python -m tools.licences`: write the licences of all that `make` installs into docs/libraries.md."""

import re
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from imageset.errors import ImagesetError
from imageset.runtime import command, files

PINS = (Path("constraints.txt"), Path("requirements-train.txt"), Path("requirements-uv.txt"))
PAGE = Path("docs/libraries.md")
BEGIN, END = "<!-- begin of the licences -->", "<!-- end of the licences -->"
# What may be installed. Add a licence only after you read it. GPL alone is not among them.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0"),
    *("MIT-CMU", "PSF-2.0", "Python-2.0", "Zlib", "ZPL-2.1", "public-domain", "Apache-2.0 WITH LLVM-exception"),
    *("EPL-1.0", "EPL-2.0", "LGPL-3.0-only", "LGPL-3.0-or-later", "MPL-2.0", "GPL-2.0-only WITH linking-exception"),
}
# Of these we choose the first.
CHOICES = {"Apache-2.0 OR GPL-2.0-or-later", "EPL-1.0 OR GPL-2.0-only", "EPL-2.0 OR GPL-2.0-or-later"}
# What packages write that name their licence in other words than SPDX's. "BSD" is one of its two usual forms.
OTHER_WORDS = {
    "2-clause BSD License": "BSD-2-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Zope Public License": "ZPL-2.1",
}
# Read in the package or its repository, as the metadata say nothing, or less than the licence does.
AS_READ = {
    "asyncssh": "EPL-2.0 OR GPL-2.0-or-later",
    "axe-playwright-python": "MIT AND MPL-2.0",
    "docutils": "public-domain AND BSD-2-Clause AND BSD-3-Clause",
    "grandalf": "EPL-1.0 OR GPL-2.0-only",
    "mlcroissant": "Apache-2.0",
    "pi-heif": "BSD-3-Clause AND LGPL-3.0-only",
    "psycopg2-binary": "LGPL-3.0-or-later",
    "pygit2": "GPL-2.0-only WITH linking-exception",
    "pytest-timeout": "MIT",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
}


def normalize(name: str) -> str:
    """Return a package's name as pins have it.

    >>> normalize("ruamel.yaml")
    'ruamel-yaml'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pinned() -> set[str]:
    """Return the names of all packages that `make` installs."""
    lines = [line for path in PINS for line in path.read_text(encoding="utf-8").splitlines()]
    return {normalize(line.split("==")[0]) for line in lines if "==" in line}


def read_licence(package: Distribution) -> str:
    """Return the licence of a package as an expression of SPDX, or what the package writes; "" where it names none."""
    metadata = package.metadata
    [expression, field] = [str(metadata.get_all(name, [""])[0]).strip() for name in ("License-Expression", "License")]
    if expression:
        return expression
    if read := AS_READ.get(normalize(metadata["Name"])):
        return read
    field = "" if "\n" in field else field  # the licence's whole text
    classifiers = [
        text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", []) if text.startswith("License ::")
    ]
    named = [OTHER_WORDS.get(name, name) for name in (field, *classifiers) if name]
    return next((name for name in named if name in ALLOWED or "AND" in name), named[0] if named else "")


def is_allowed(licence: str) -> bool:
    """Return whether each part of a licence is allowed, or the whole as a choice.

    >>> is_allowed("MPL-2.0 AND (Apache-2.0 OR MIT)"), is_allowed("MIT AND GPL-3.0-only")
    (True, False)
    """
    return licence in CHOICES or set(re.split(r" AND | OR ", re.sub("[()]", "", licence))) <= ALLOWED


def read_licences(packages: Iterable[Distribution]) -> dict[str, str]:
    """Return the licence of each package by its name.

    Raises:
        ImagesetError: a package names no licence, or one that is not allowed.
    """
    found = {normalize(package.metadata["Name"]): read_licence(package) for package in packages}
    refused = [f"{name} ({licence or 'none'})" for name, licence in sorted(found.items()) if not is_allowed(licence)]
    if refused:
        raise ImagesetError(
            f"the licences of these packages are unknown or not allowed: {', '.join(refused)}: read them, then add "
            "them to AS_READ, CHOICES or ALLOWED in tools/licences.py, or take another package"
        )
    return found


def format_table(licences: dict[str, str]) -> str:
    """Return a row for each licence, that of most packages first.

    >>> print(format_table({"numpy": "BSD-3-Clause", "tqdm": "MPL-2.0 AND MIT", "scipy": "BSD-3-Clause"}))
    | licence | packages | which |
    |---|---|---|
    | BSD-3-Clause | 2 | numpy, scipy |
    | MPL-2.0 AND MIT | 1 | tqdm |
    """
    packages = defaultdict(list)
    for name, licence in sorted(licences.items()):
        packages[licence].append(name)
    rows = [
        f"| {licence} | {len(names)} | {', '.join(names)} |"
        for licence, names in sorted(packages.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return "\n".join(["| licence | packages | which |", "|---|---|---|", *rows])


def main() -> None:
    pinned = read_pinned()
    licences = read_licences(package for package in distributions() if normalize(package.metadata["Name"]) in pinned)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    files.write_text(PAGE, f"{before}{BEGIN}\n\n{format_table(licences)}\n\n{END}{after}")
    print(f"licences: {len(licences)} packages, {len(set(licences.values()))} licences: {PAGE}")


if __name__ == "__main__":
    command.run("licences", main)
