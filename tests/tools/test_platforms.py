"""tools.platforms: which pins have no wheels, by a real uv and a folder of packages in place of the index."""

import zipfile
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from tests.project import ROOT
from tools import platforms


def add_wheel(folder: Path, name: str, tag: str) -> None:
    """Write a wheel of version 1.0 with nothing but the metadata that installers read."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, the only one that uv reads, and pins of four of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    Path("constraints.txt").write_text("plain==1.0\ncompiled==1.0\nnever-built==1.0\n")
    Path("requirements-train.txt").write_text("# a comment\n-c constraints.txt\ntrained==1.0\n")
    add_wheel(tmp_path, "plain", "py3-none-any")
    add_wheel(tmp_path, "compiled", "cp311-cp311-manylinux_2_28_x86_64")
    add_wheel(tmp_path, "trained", "cp312-cp312-manylinux_2_28_x86_64")
    (tmp_path / "never_built-1.0.tar.gz").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("python", "platform", "packages"),
    [
        ("3.11", "x86_64-manylinux_2_28", ["never-built", "trained"]),
        ("3.12", "x86_64-manylinux_2_28", ["compiled", "never-built"]),
        ("3.11", "aarch64-apple-darwin", ["compiled", "never-built", "trained"]),
    ],
)
def test_every_pin_without_a_wheel_is_named(index: Path, python: str, platform: str, packages: list[str]) -> None:
    assert platforms.find_missing_wheels(python, platform) == packages


def test_other_failures_of_uv_are_shown(index: Path) -> None:
    Path("constraints.txt").write_text("plain==2.0\n")

    with pytest.raises(ImagesetError, match=r"^uv failed: .*plain==2\.0"):
        platforms.find_missing_wheels("3.11", "x86_64-manylinux_2_28")


def test_the_pins_are_all_that_make_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    assert {"numpy", "openvino", "dvc", "pytest", "torch"} <= platforms.read_pins().keys()
