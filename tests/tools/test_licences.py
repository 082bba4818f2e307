"""The lock of all packages, their licences and the bill of materials, of the packages that are really installed."""

import json
import re
import subprocess
import sys
from importlib.metadata import PathDistribution, distributions
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from tests.documents import section
from tests.project import ROOT
from tools import licences

LOCK = ROOT / "requirements.lock"
OF_THE_LOCK = "requirements-pixels requirements requirements-heif requirements-dev requirements-docs"
COMPONENTS = 40  # of the bill of materials that are validated: all of them take 15 seconds


def read_lock() -> dict[str, str]:
    """Return each entry of the lock by its package: version, marker and hashes."""
    entries = re.split(r"\n(?=\S)", LOCK.read_text())
    return {entry.split("==")[0]: entry for entry in entries}


def make_package(folder: Path, name: str, *lines: str) -> PathDistribution:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines]))
    return PathDistribution(info)


def test_the_lock_has_every_pin_with_hashes_of_all_its_files() -> None:
    lock = read_lock()
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    for name in OF_THE_LOCK.split():
        pins += re.findall(r"^[\w-]+==\S+$", (ROOT / f"{name}.txt").read_text(), re.MULTILINE)

    assert len(pins) > 250
    for pin in pins:
        package, version = pin.split("==")
        entry = lock[licences.normalize(package)]
        assert entry.startswith(f"{licences.normalize(package)}=={version} "), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), pin


def test_make_installs_what_the_lock_has_and_requires_hashes() -> None:
    make = (ROOT / "Makefile").read_text()
    installs = re.findall(r"pip install .*-r (\S+)$", make, re.MULTILINE)
    hashed = re.findall(r"pip install .*--require-hashes -r (\S+)$", make, re.MULTILINE)

    assert installs == ["requirements-uv.txt", "requirements.lock", "requirements-train.txt"]
    assert hashed == installs[:2]  # docs/security.md says why torch has no hash


def test_a_changed_hash_is_refused(tmp_path: Path) -> None:
    """uv itself says so, of a package that it has in its cache or finds at the index."""
    entry = read_lock()["tqdm"]
    changed = re.sub("sha256:(.)", lambda match: "sha256:" + ("0" if match[1] != "0" else "1"), entry)
    (tmp_path / "lock").write_text(changed)
    command: list[object] = [Path(sys.executable).with_name("uv"), "pip", "install", "--no-deps", "--require-hashes"]
    command += ["--target", tmp_path / "packages", "--python", sys.executable, "-r", tmp_path / "lock"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if "Hash mismatch" not in done.stderr and done.returncode != 0:
        pytest.skip("no package index")

    assert done.returncode != 0
    assert not (tmp_path / "packages/tqdm").exists()


def test_every_installed_package_has_its_licence_in_the_table() -> None:
    table = section("docs/libraries.md", "Licences of all that is installed")
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| ([^|]+) \|$", table, re.MULTILINE)
    told = {name: licence for licence, _, names in rows for name in names.split(", ")}
    pinned = licences.read_pinned()
    installed = licences.read_licences(
        package for package in distributions() if licences.normalize(package.metadata["Name"]) in pinned
    )

    assert [int(count) for _, count, _ in rows] == [len(names.split(", ")) for *_, names in rows]
    assert installed.items() <= told.items(), "run `make licences`"
    assert told.keys() == pinned, "run `make licences`"


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: MIT AND PSF-2.0", "License: other"], "MIT AND PSF-2.0"),
        (["License: Apache License 2.0"], "Apache-2.0"),
        (["License: see LICENSE", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["License: Copyright", " 2026 by somebody", "Classifier: License :: OSI Approved :: BSD License"], "BSD"),
    ],
)
def test_a_licence_is_read_from_what_a_package_says(lines: list[str], licence: str, tmp_path: Path) -> None:
    assert licences.read_licences([make_package(tmp_path, "Some.Package", *lines)]) == {"some-package": licence}


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], "none"),
        (["License-Expression: GPL-3.0-only"], "GPL-3.0-only"),
        (["License-Expression: MIT AND AGPL-3.0-only"], "MIT AND AGPL-3.0-only"),
        (["License: Proprietary (ask us, please)"], "Proprietary (ask us, please)"),
    ],
)
def test_an_unknown_licence_is_refused_with_its_package(lines: list[str], shown: str, tmp_path: Path) -> None:
    with pytest.raises(ImagesetError, match=rf"not allowed: strange \({re.escape(shown)}\): read them, then add"):
        licences.read_licences([make_package(tmp_path, "strange", *lines)])


def test_the_bill_of_materials_has_every_package_and_its_form_is_cyclonedx_s(tmp_path: Path) -> None:
    [recipe] = re.findall(r"^\t(\$\(BIN\)/python -m cyclonedx_py .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = recipe.replace("$(BIN)/python", sys.executable).replace("sbom.json", str(tmp_path / "sbom.json")).split()
    # Imported here: it takes three seconds, in each process of pytest-xdist.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    subprocess.run([*words, "--no-validate"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((tmp_path / "sbom.json").read_text())
    names = {licences.normalize(component["name"]) for component in bill["components"]}
    installed = {licences.normalize(package.metadata["Name"]) for package in distributions()}

    assert bill["metadata"]["component"]["name"] == "imageset"
    assert names == installed - {"imageset"}
    assert str(ROOT) not in json.dumps(bill)

    some = bill["components"][:: len(names) // COMPONENTS]
    kept = {component["bom-ref"] for component in some} | {bill["metadata"]["component"]["bom-ref"]}
    bill["components"] = some
    bill["dependencies"] = [
        {"ref": one["ref"], "dependsOn": [ref for ref in one.get("dependsOn", []) if ref in kept]}
        for one in bill["dependencies"]
        if one["ref"] in kept
    ]
    validator = JsonStrictValidator(SchemaVersion.V1_6)

    assert validator.validate_str(json.dumps(bill)) is None
    del some[0]["name"]
    assert validator.validate_str(json.dumps(bill)) is not None
