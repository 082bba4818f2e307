"""dvc.yaml against the code: DVC follows no imports and checks no paths, so this does."""

import ast
import functools
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from imageset.photos.decode_recipe import DECODE_LIBRARIES
from imageset.photos.embedding_recipe import EMBEDDING_CODE, EMBEDDING_LIBRARIES
from imageset.photos.mask_recipe import ENGINE_LIBRARIES, MASK_CODE, MASK_LIBRARIES
from imageset.photos.pixel_cache import PIXEL_CODE, PIXEL_LIBRARIES
from imageset.runtime import params
from imageset.runtime import stage as runner
from imageset.runtime.sections import Params

ROOT = Path(__file__).parents[2]
GRAPH: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, Any] = GRAPH["stages"]
OUTPUTS = ("outs", "metrics", "plots")
# What accepts or refuses, shows progress, or works in parallel in input order. A better message reruns nothing.
NO_DEPS = ("imageset/errors.py", "imageset/runtime/", "imageset/workers/")
SHOWS_PARAMS = "page"  # the stage that shows which params were changed, and makes no data

every_stage = pytest.mark.parametrize("name", STAGES)


def imported_files(path: Path, found: set[str]) -> set[str]:
    """Return the project's own files that a module imports, itself and the imports of imports included.

    Of packages, the `__init__.py` that hold code: a docstring alone changes nothing.
    """
    if str(path.relative_to(ROOT)) in found:
        return found
    found.add(str(path.relative_to(ROOT)))
    for imported in direct_imports(path):
        imported_files(imported, found)
    return found


@functools.cache
def direct_imports(path: Path) -> list[Path]:
    """Return the project's own files that a module itself imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [file for name in names for file in module_files(name)]


@functools.cache
def module_files(name: str) -> list[Path]:
    """Return the project's own files that run when a module, or a package, is imported by itself."""
    parts = name.split(".")
    packages = [ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    module = ROOT.joinpath(*parts).with_suffix(".py")
    return [*filter(holds_code, packages), *([module] if module.exists() else [])]


def holds_code(path: Path) -> bool:
    """Return whether a module exists and has more than a docstring."""
    body = ast.parse(path.read_text()).body if path.exists() else []
    return bool(body) and not (len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is not None)


def outputs(stage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a stage's outputs of all kinds, each with its options."""
    listed: dict[str, dict[str, Any]] = {}
    for kind in OUTPUTS:
        for entry in stage.get(kind, []):
            listed |= entry if isinstance(entry, dict) else {entry: {}}
    return listed


def loaded_params(path: Path) -> set[str]:
    """Return what a stage takes of params.yaml: its own section, `params.load().<section>`, and keys of others.

    Stage page takes all values as one, `params.load().model_dump`: it shows which ones a project changed.
    """
    attributes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    keys = {ast.unparse(node).removeprefix("params.load().") for node in attributes if is_key(node)}
    of_keys = [node.value for node in attributes if is_key(node)]
    wholes = {node.attr for node in attributes if ast.unparse(node.value) == "params.load()" and node not in of_keys}
    return set(Params.model_fields) if wholes == {"model_dump"} else keys | wholes


def is_key(node: ast.Attribute) -> bool:
    """Tell whether a node is `params.load().<section>.<key>`."""
    return isinstance(node.value, ast.Attribute) and ast.unparse(node.value.value) == "params.load()"


def paths_in_command(stage: dict[str, Any]) -> list[str]:
    """Return the paths of a stage's command, with or without their names."""
    return [word for word in words_in_command(stage) if not word.startswith("--")]


def words_in_command(stage: dict[str, Any]) -> list[str]:
    return str(stage["cmd"]).split()[4:]


def code_deps(name: str) -> set[str]:
    """Return the local modules that a stage has to list: all that it imports but what by contract changes no byte.

    tests/pipeline/test_house.py and the tests that compare bytes hold that contract.
    """
    imported = imported_files(ROOT / "stages" / f"{name}.py", set())
    return {path for path in imported if not path.startswith(NO_DEPS)}


@every_stage
def test_every_local_module_that_can_change_a_byte_is_a_dep_of_the_stages_that_import_it(name: str) -> None:
    code = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}

    assert code == code_deps(name)


@every_stage
def test_params_are_the_sections_and_the_keys_of_others_that_the_stage_loads(name: str) -> None:
    assert STAGES[name].get("params", []) == sorted(loaded_params(ROOT / "stages" / f"{name}.py"))


@pytest.mark.parametrize("name", [name for name in STAGES if name != SHOWS_PARAMS])
def test_a_stage_takes_only_keys_of_a_section_that_is_another_stages(name: str) -> None:
    listed = STAGES[name].get("params", [])
    others = [stage for stage in STAGES if stage != SHOWS_PARAMS]
    users = {section: [stage for stage in others if section in STAGES[stage].get("params", [])] for section in listed}

    # Both see to the same bucket; leakage measures the search of duplicates as it is set.
    shared = {"ingest": ["ingest", "inventory"], "duplicates": ["duplicates", "leakage"]}
    assert [section for section in listed if "." not in section and users[section] != shared.get(section, [name])] == []
    assert not [key for key in listed if key.partition(".")[0] in set(listed) - {key}]


@every_stage
def test_the_command_names_just_the_deps_and_outputs(name: str) -> None:
    stage = STAGES[name]
    data = [dep for dep in stage["deps"] if not dep.endswith(".py") and not dep.startswith("requirements-")]
    graph_paths = {*data, *outputs(stage)}
    command_paths = paths_in_command(stage)
    folders = [path for path in command_paths if (ROOT / path).is_dir() or "." not in Path(path).name]
    named = {path for path in graph_paths if any(path.startswith(f"{folder}/") for folder in folders)}

    assert set(command_paths) - set(folders) <= graph_paths
    assert graph_paths <= set(command_paths) | named


@every_stage
def test_the_command_gives_main_a_path_for_each_parameter(name: str) -> None:
    parameters = [
        name
        for name, parameter in inspect.signature(import_module(f"stages.{name}").main).parameters.items()
        if parameter.kind is not parameter.KEYWORD_ONLY
    ]
    words = words_in_command(STAGES[name])
    named = len(parameters) > runner.MAX_POSITIONAL_PATHS
    options = [runner.option(parameter, parameters) for parameter in parameters]

    assert str(STAGES[name]["cmd"]).split()[:4] == ["exec", "python", "-m", f"stages.{name}"]
    assert words[0::2] == options if named else not any(word.startswith("--") for word in words)
    for parameter, path in zip(parameters, words[1::2] if named else words, strict=True):
        own = re.sub(r"\W", "_", Path(path).name)
        folder = "released" if path.startswith("releases/") else Path(path).parent.name  # where two paths have one name
        assert parameter in (own, f"{folder}_{own}"), path


@every_stage
def test_the_help_of_a_stage_says_what_each_path_is(name: str) -> None:
    main = import_module(f"stages.{name}").main
    description, helps = runner.describe(main)

    assert description.rstrip(".") == STAGES[name]["desc"]
    assert list(helps) == list(inspect.signature(main).parameters)


@every_stage
def test_every_stage_says_what_it_does_and_lists_its_deps_in_order(name: str) -> None:
    stage = STAGES[name]

    assert len(stage["desc"]) > 20
    assert stage["deps"] == sorted(stage["deps"])
    assert set(stage) <= {"desc", "cmd", "deps", "params", *OUTPUTS}


@every_stage
def test_what_git_keeps_is_not_cached_and_the_rest_is(name: str) -> None:
    for path, options in outputs(STAGES[name]).items():
        assert options.get("cache", True) is (not path.startswith("reports/"))
        assert "persist" not in options


def test_every_dep_stands_in_the_project_or_is_an_output() -> None:
    made = {path for stage in STAGES.values() for path in outputs(stage)}
    missing = [
        dep for stage in STAGES.values() for dep in stage["deps"] if dep not in made and not (ROOT / dep).is_file()
    ]

    assert missing == []


def test_every_file_that_the_page_is_made_of_is_a_dep_of_it() -> None:
    templates = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "stages/templates/page").iterdir())

    assert [dep for dep in STAGES["page"]["deps"] if dep.startswith("stages/templates/")] == templates


def test_the_packages_that_decide_bytes_are_deps_of_the_stages_that_make_pixels() -> None:
    users = [name for name, stage in STAGES.items() if "requirements-pixels.txt" in stage["deps"]]

    assert users == ["masks", "embed", "preprocess", "duplicates", "leakage", "build"]


@pytest.mark.parametrize(
    ("module", "code"), [("masks", MASK_CODE), ("preprocess", PIXEL_CODE), ("embeddings", EMBEDDING_CODE)]
)
def test_the_keys_of_the_caches_name_all_code_that_shapes_what_they_hold(module: str, code: tuple[ModuleType]) -> None:
    # Messages, a type, checks of params, limits, what a machine can do, how a photo ended, which networks there are.
    shapeless = {"errors", "hdf5", "sections", "limits", "hardware", "outcomes", "tables", "files", "networks"}
    shapeless |= {"plain_hdf5", "text_heaps", "name_tree", "source_ids", "blanks"}  # refuse files, or shape tables
    shapeless |= {"gpu"}  # shapes masks that are made on a GPU: test_mask_recipe.py
    imported = {Path(name).stem for name in imported_files(ROOT / f"imageset/photos/{module}.py", set())}

    assert {each.__name__.rpartition(".")[2] for each in code} == imported - shapeless


def test_the_keys_of_the_caches_name_all_pinned_libraries_but_those_of_the_files_and_of_build() -> None:
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements-pixels.txt").read_text(), re.MULTILINE))
    named = {*DECODE_LIBRARIES, *MASK_LIBRARIES, *PIXEL_LIBRARIES, *EMBEDDING_LIBRARIES, ENGINE_LIBRARIES["cpu"]}

    assert named == pinned - {"h5py", "opencv-python-headless"}


def test_the_graph_uses_no_templating() -> None:
    text = (ROOT / "dvc.yaml").read_text()

    assert "${" not in text
    assert not re.search(r"^\s*(foreach|matrix|vars|always_changed|frozen):", text, re.MULTILINE)
    assert all("\n" not in stage["cmd"].strip() for stage in STAGES.values())


def all_keys(values: Any) -> list[str]:
    if not isinstance(values, dict):
        return []
    return [key for name, value in values.items() for key in (name, *all_keys(value))]


def test_no_param_has_a_name_that_dvc_drops_from_its_run_cache() -> None:
    assert not {"size", "nfiles"} & set(all_keys(params.parse(ROOT / "params.yaml")))


def test_every_section_of_params_belongs_to_a_stage() -> None:
    takers = [stage for name, stage in STAGES.items() if name != SHOWS_PARAMS]
    listed = {key.partition(".")[0] for stage in takers for key in stage.get("params", [])}

    assert listed == set(Params.model_fields)


def test_the_shipped_params_have_every_section_and_key_in_the_order_of_their_models() -> None:
    written = params.parse(ROOT / "params.yaml")

    assert list(written) == list(Params.model_fields)
    for name, section in params.load(ROOT / "params.yaml"):
        assert list(written[name]) == list(type(section).model_fields), name


@every_stage
def test_no_stage_takes_params_whole(name: str) -> None:
    text = (ROOT / f"stages/{name}.py").read_text()

    assert text.count("params.load()") == text.count("params.load().")


def test_the_dataset_is_an_artifact() -> None:
    assert GRAPH["artifacts"]["dataset"]["path"] in outputs(STAGES["build"])


def test_no_stage_depends_on_what_audit_finds_but_page() -> None:
    """A suspect stays in the dataset until a person decides: what leaves the data leaves it by a fact."""
    found = outputs(STAGES["audit"])
    users = [name for name, stage in STAGES.items() if set(found) & set(stage["deps"])]

    assert set(users) <= {"page"}


def test_what_leakage_measures_is_shown_and_changes_nothing() -> None:
    users = [name for name, stage in STAGES.items() if set(outputs(STAGES["leakage"])) & set(stage["deps"])]

    assert set(users) <= {"report", "page"}


def test_git_ignores_the_outputs_in_the_order_in_which_dvc_writes_their_names() -> None:
    made = [path for stage in STAGES.values() for path in outputs(stage) if path.startswith("data/")]

    assert (ROOT / "data/.gitignore").read_text().split() == [path.removeprefix("data") for path in made]
