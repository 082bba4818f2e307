"""The order of the wings, and what each may import, so that a stranger can rely on ARCHITECTURE.md."""

import ast
import functools
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from imageset import errors
from imageset.curation import corrections
from imageset.runtime import params
from imageset.web import refusals
from stages import catalog, ingest, listings, preprocess
from tests.pipeline.test_graph import direct_imports
from tests.project import ROOT

# A module imports modules of its own wing, and wings of an earlier row.
ORDER = (
    {"errors"},
    {"runtime"},
    {"workers", "formats", "storage"},
    {"photos", "curation", "dataset", "evaluation", "report", "reader"},
    {"web", "audit", "leakage"},
    {"page"},
)
WINGS = set().union(*ORDER) - {"errors"}
LONGEST_FUNCTION = 50  # lines, formatted, without decorators and docstring
NO_DEPS = ("errors.py", "runtime", "workers")  # of no stage: see NO_DEPS in tests/pipeline/test_graph.py
# They stand in tables.
REASONS = (
    refusals.REASONS
    | {ingest.TAKEN_DOWN, refusals.MISSING_OBJECT}
    | catalog.REASONS
    | listings.REASONS
    | preprocess.REASONS
)
THAT_MAKE_BYTES = {"cv2", "h5py", "numpy", "pandas", "PIL", "scipy", "torch"}

modules = sorted(path for path in (ROOT / "imageset").rglob("*.py") if path.name != "__init__.py")
every_module = pytest.mark.parametrize("path", modules, ids=lambda path: str(path.relative_to(ROOT / "imageset")))


@functools.cache
def imported_names(path: Path) -> set[str]:
    """Return the dotted names of what a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def wing(path: Path) -> str:
    return path.relative_to(ROOT / "imageset").parts[0].removesuffix(".py")


def level(name: str) -> int:
    return next(number for number, row in enumerate(ORDER) if name in row)


def function_lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and the lines of each function of a module, nested ones too, without decorators and docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            yield node.name, lines


def test_every_folder_of_imageset_is_a_wing() -> None:
    folders = {path.name for path in (ROOT / "imageset").iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert folders == WINGS


@every_module
def test_a_module_imports_its_own_wing_and_earlier_ones(path: Path) -> None:
    imported = {name.split(".")[1] for name in imported_names(path) if name.startswith("imageset.")}

    assert {name for name in imported - {wing(path)} if level(name) >= level(wing(path))} == set()


@pytest.mark.parametrize("name", ["", *sorted(WINGS - {"reader"})])
def test_the_door_of_a_wing_is_a_docstring_that_says_which_file_to_open_first(name: str) -> None:
    path = ROOT / "imageset" / name / "__init__.py"
    (docstring,) = ast.parse(path.read_text()).body
    text = ast.get_docstring(ast.Module([docstring], [])) or ""
    first = re.findall(r"Start with (\w+\.(?:py|md))", text)

    assert len(path.read_text().splitlines()) <= 3
    assert len(first) == 1 or not name
    assert all((path.parent / file).exists() for file in first)


def test_architecture_names_every_wing_and_the_file_that_its_door_says_to_open_first() -> None:
    rows = re.findall(
        r"^\| `imageset/(\w+)/` \|.*?\| `imageset/([\w/.]+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.M
    )
    doors = {name: (ROOT / "imageset" / name / "__init__.py").read_text() for name in WINGS}

    assert dict(rows) == {name: f"{name}/{re.findall('Start with ([a-z_0-9]+.py)', doors[name])[0]}" for name in WINGS}


def test_the_door_of_the_reader_hands_out_what_training_scripts_import() -> None:
    from imageset import reader

    assert reader.__all__ == ["Augment", "ImageSet", "loader", "provenance", "remote"]


@pytest.mark.parametrize("path", [path for path in modules if wing(path) + ".py" in NO_DEPS or wing(path) in NO_DEPS])
def test_what_is_no_dep_of_a_stage_makes_no_bytes(path: Path) -> None:
    """Of these modules a change reruns nothing, so nothing in them may change a byte of an output.

    That results come in input order whatever the engine is shown by the tests that compare bytes: of 1 and 2 workers
    (tests/pipeline/test_end_to_end.py) and of Dask (tests/workers/test_dask_cluster.py).
    """
    imported = {name.split(".")[0] for name in imported_names(path)}
    constants = re.findall(r"^[A-Z_]+(?=:? ?.*= )", path.read_text(), re.MULTILINE)
    literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}

    assert imported & THAT_MAKE_BYTES == set()
    assert literals & REASONS == set()
    assert [name for name in constants if re.search("REJECT|REASON|PIXELS|SIDE|TO_DECODE|TO_MASK", name)] == []


def test_no_exclusion_can_have_a_reason_that_a_stage_gives() -> None:
    assert REASONS == corrections.REASONS_OF_STAGES
    assert set(corrections.RECOMMENDED) & REASONS == set()


def test_a_section_holds_what_params_yaml_says_and_nothing_of_its_own() -> None:
    """build writes its sections into dataset.h5: a default or a converted value would be another byte there."""
    loaded = params.load(ROOT / "params.yaml")

    assert json.loads(loaded.model_dump_json()) == params.parse(ROOT / "params.yaml")
    for name, section in loaded:
        assert [key for key, field in type(section).model_fields.items() if not field.is_required()] == [], name


def test_every_program_has_the_same_edge() -> None:
    """Of stages, tools and the sandbox: exit codes, Ctrl-C and one-line errors are those of runtime/command.py."""
    texts = [path.read_text() for folder in ("stages", "tools", "sandbox") for path in (ROOT / folder).rglob("*.py")]
    edges = [re.split(r'^if __name__ == "__main__":\n', text, flags=re.MULTILINE)[1:] for text in texts]
    programs = [edge[0] for edge in edges if edge]

    assert len(programs) > 20
    assert [edge for edge in programs if not re.fullmatch(r'    (stage|command)\.run\("\w+", main\)\n', edge)] == []


def test_no_program_imports_upwards() -> None:
    """Stages import imageset, never each other; imageset imports neither stages nor tools nor the sandbox.

    Each module's own imports are enough, as all modules that it might import are looked at, too.
    """
    for folder in ("imageset", "stages"):
        for path in (ROOT / folder).rglob("*.py"):
            assert {file.relative_to(ROOT).parts[0] for file in direct_imports(path)} <= {"imageset"}, path


def test_only_the_reader_imports_torch() -> None:
    paths = [path for folder in ("imageset", "stages", "tools", "sandbox") for path in (ROOT / folder).rglob("*.py")]
    importers = {path.parent for path in paths if any(name.split(".")[0] == "torch" for name in imported_names(path))}

    assert importers == {ROOT / "imageset/reader"}


def test_requirements_pin_all_that_stages_and_shared_modules_import() -> None:
    files = [f"requirements{kind}.txt" for kind in ("", "-pixels", "-train", "-gpu", "-heif")]
    pinned = {name.lower() for file in files for name in re.findall(r"^([\w-]+)==", (ROOT / file).read_text(), re.M)}
    paths = [path for folder in ("stages", "imageset", "tools") for path in (ROOT / folder).rglob("*.py")]
    imported = {name.split(".")[0] for path in paths for name in imported_names(path)}
    third_party = imported - set(sys.stdlib_module_names) - {"imageset", "stages", "tools"}
    packages = {
        name: {package.lower().replace("_", "-") for package in found}
        for name, found in packages_distributions().items()
    }

    assert {name for name in third_party if not packages[name] & pinned} == set()


def test_every_exception_of_the_project_is_in_errors_and_in_its_list() -> None:
    paths = [path for folder in ("imageset", "stages", "tools", "sandbox") for path in (ROOT / folder).rglob("*.py")]
    elsewhere = {
        f"{path.name}: {node.name}"
        for path in paths
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(re.search("Error|Exception", ast.unparse(base)) for base in node.bases)
    }
    defined = [name for name, value in vars(errors).items() if isinstance(value, type)]
    listed = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")

    assert elsewhere == set()
    assert sorted(listed) == sorted(set(defined) - {"ImagesetError"})
    assert all(issubclass(getattr(errors, name), errors.ImagesetError) for name in defined)


def test_no_function_is_longer_than_a_reader_can_follow() -> None:
    folders = ("imageset", "stages", "tools", "sandbox", "benchmarks", "examples")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))

    assert len(paths) > 100
    assert [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in paths
        for name, lines in function_lengths(path)
        if lines > LONGEST_FUNCTION
    ] == []


def test_the_docstring_and_decorators_of_a_function_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('@cache\ndef outer():\n    """One.\n\n    Two.\n    """\n    def inner():\n        return 1\n')

    assert dict(function_lengths(path)) == {"outer": 3, "inner": 2}
