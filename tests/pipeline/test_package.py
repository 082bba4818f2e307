"""What `pip install` of this repository brings: the reader, and nothing of the pipeline."""

import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest

from tests.dataset_files import write
from tests.pipeline.test_graph import imported_files
from tests.project import ROOT, copy_project

# Reads a batch where neither this project nor what it is not said to need can be imported.
READ = """
import sys
sys.path.append(sys.argv[1])
sys.modules.update(dict.fromkeys(sys.argv[3:]))
from imageset.reader import ImageSet, loader
images, labels = next(iter(loader(ImageSet(sys.argv[2], normalize=True), 4, shuffle="blocks")))
assert images.shape == (4, 3, 6, 6)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed a copy of the repository, without its dependencies."""
    folder = tmp_path_factory.mktemp("package")
    copy = copy_project(folder / "project", {"PATH": "/usr/bin:/bin"})
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(folder / "installed"), str(copy.folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "installed"


def test_it_holds_what_the_reader_imports(installed: Path) -> None:
    paths = [path for path in (installed / "imageset").rglob("*") if path.suffix in (".py", ".typed")]
    files = {str(path.relative_to(installed)) for path in paths}
    imported = imported_files(ROOT / "imageset/reader/__init__.py", set())
    doors = {f"{Path(file).parent}/__init__.py" for file in imported}

    assert files == imported | doors | {"imageset/__init__.py", "imageset/py.typed"}


def test_it_reads_a_dataset_with_h5py_numpy_and_torch_alone(installed: Path, tmp_path: Path) -> None:
    write(tmp_path / "dataset.h5")
    allowed = brought_by(["h5py", "numpy", "torch"])
    barred = [
        module for module, owners in packages_distributions().items() if not allowed & set(map(canonical, owners))
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ, str(installed), str(tmp_path / "dataset.h5"), *barred],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert {"pandas", "pydantic", "tqdm", "PIL", "dvc"} <= set(barred)
    assert done.returncode == 0, done.stderr


def brought_by(names: list[str]) -> set[str]:
    """Return the names of installed distributions that some need, themselves included."""
    found: set[str] = set()
    waiting = [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # for another system
            continue
        waiting += [canonical(re.split(r"[^\w.-]", need)[0]) for need in needs if "extra ==" not in need]
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_asks_for_no_more_than_these(installed: Path) -> None:
    metadata = Distribution.at(next(installed.glob("*.dist-info"))).metadata
    needs = metadata.get_all("Requires-Dist", [])
    of_the_bucket = [need for need in needs if need.endswith("; extra == 's3'")]

    assert [re.split(r"\W", need)[0] for need in needs if need not in of_the_bucket] == ["h5py", "numpy", "torch"]
    assert [re.split(r"\W", need)[0] for need in of_the_bucket] == ["obstore", "pyyaml"]


def test_it_brings_its_licence_and_the_readme(installed: Path) -> None:
    info = next(installed.glob("*.dist-info"))
    metadata = Distribution.at(info).metadata

    assert metadata["License-Expression"] == "Apache-2.0"
    assert {path.name for path in (info / "licenses").iterdir()} == {"LICENSE", "NOTICE"}
    assert metadata["Description"] == (ROOT / "README.md").read_text()
    assert f"version: {metadata['Version']}\n" in (ROOT / "CITATION.cff").read_text()
