"""The documents against what they describe, so that they cannot part."""

import ast
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from imageset import reader
from imageset.photos import networks
from imageset.web import refusals
from sandbox.__main__ import SOURCE_STAGES
from stages import catalog, listings, preprocess
from tests.documents import DOCUMENTS, PAGES, broken_links, commands, read, section, without_blocks
from tests.project import ROOT
from tools import release

README = read("README.md")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
LINKED = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
# Messages in docs/troubleshooting.md that other programs write: Python, libpq, DVC, Debian's Python.
OF_OTHERS = {
    "No module named 'pandas'",
    "Connection refused",
    "Checkout failed for following targets",
    "Unable to read RWLock-file",
    "is busy, it is being blocked by",
    "Unable to acquire lock",
    "dvc.lock' validation failed",
    "dvc.lock' is invalid",
    "Unable to locate credentials",
    "had been killed. Auto removed it from the lock file",
    "Unsupported value of type 'datetime'",
    "ensurepip is not available",
}


def test_the_readme_is_a_front_door_of_at_most_160_lines_with_a_picture_first() -> None:
    lines = README.splitlines()
    [picture] = re.findall(r"^!\[.+\]\((.+)\)$", "\n".join(lines[:4]), re.MULTILINE)

    assert len(lines) <= 160
    assert (ROOT / picture).stat().st_size < 200_000


def test_the_readme_links_every_page() -> None:
    assert [page for page in PAGES if page != "docs/api.md" and f"]({page})" not in README] == []
    assert "](api.md)" in read("docs/training.md")


@pytest.mark.parametrize("document", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_the_stage_table_has_every_stage() -> None:
    named = re.findall(r"^\| (\w+) \| (?!writes)", section("README.md", "The stages"), re.MULTILINE)

    assert [name for name in named if name != "stage"] == list(STAGES)


def test_the_stage_table_names_every_output_of_the_graph() -> None:
    outputs = [path for stage in STAGES.values() for path in stage.get("outs", []) if isinstance(path, str)]

    assert [path for path in outputs if path.rpartition("/")[2] not in README] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join([*commands(read(document)), *re.findall("`[^`]+`", without_blocks(read(document)))])
    named = set(re.findall(r"(?:`|^|\(|&& )make ([a-z-]+)", text, re.MULTILINE))

    assert named or document not in ("README.md", "CONTRIBUTING.md", "docs/own-data.md")
    assert named <= targets


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("benchmarks/**/README.md"))]
)
def test_no_figure_is_still_to_be_filled_in(document: str) -> None:
    assert re.findall(r"\b[A-Z]+_FIGURES?\b|\b(?:TODO|TBD)\b", read(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str) -> None:
    folders = "access|imageset|stages|sandbox|tools|tests|benchmarks|queries|corrections|releases|docs|examples"
    named = re.findall(rf"`((?:{folders}|\.github)/[\w./]+\w)`", read(document))

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_name_in_a_table_of_contributing_is_in_a_file_that_its_row_names() -> None:
    rows = re.findall(r"^\| .+ \|$", section("CONTRIBUTING.md", "Where to start"), re.MULTILINE)
    named = 0
    for row in rows:
        quoted = re.findall("`([^`]+)`", row)
        words = {
            word
            for name in quoted
            if (ROOT / name).is_file()
            for word in re.findall(r"\w+", (ROOT / name).read_text(encoding="utf-8", errors="replace"))
        }
        names = [
            name
            for name in quoted
            if re.fullmatch(r"[A-Za-z_]+|[A-Z]\w+\.[a-z_]+", name) and not (ROOT / name).exists()
        ]
        named += len(names)

        assert {part for name in names for part in name.split(".")} <= words | {"main"}, row
    assert named > 30


def test_every_setting_is_in_the_code_the_example_and_the_page() -> None:
    code = (ROOT / "imageset/runtime/settings.py").read_text()
    used = set(re.findall(r'"((?:IMAGESET_|DATABASE_|IMAGE_)[A-Z_]+)"', code))
    example = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert used == {name for name in example if not name.startswith("AWS_")}
    page = section("docs/settings.md", "Settings")
    assert used == set(re.findall(r"`((?:IMAGESET_|DATABASE_|IMAGE_)[A-Z_]+)`", page))


def test_the_readme_and_the_page_describe_the_same_arrays() -> None:
    tables = [
        re.findall(r"^\| `.+$", section(*place), re.MULTILINE)
        for place in (("README.md", "The dataset"), ("docs/dataset.md", "Arrays"))
    ]

    assert len(tables[0]) == 7
    assert tables[0] == tables[1]


def test_every_command_of_dvc_and_every_module_of_ours_that_is_named_exists() -> None:
    from dvc.cli.parser import get_main_parser  # here, as its import takes a second

    parser = get_main_parser()
    lines = [re.sub("<[^>]*>", "X", line) for document in DOCUMENTS for line in commands(read(document))]
    steps = [
        re.sub(r"^(?:[A-Z_]+=\S+ |dotenv run -- )+", "", step.strip()) for line in lines for step in line.split("&&")
    ]
    modules = {name for step in steps for name in re.findall(r"python -m ([\w.]+)", step)} - {"venv", "pytest"}

    assert {"tools.export", "tools.verify", "tools.compare", "examples.train"} <= modules
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    for step in steps:
        if step.startswith("dvc "):
            parser.parse_args(shlex.split(step)[1:])  # SystemExit where dvc has no such command or option


def test_the_pages_have_the_line_that_undoes_a_release() -> None:
    assert release.UNDO in commands(read("docs/releases.md"))
    assert f"`{release.UNDO}`" in read("docs/troubleshooting.md")


def test_the_page_names_every_option_of_export() -> None:
    command = [sys.executable, "-m", "tools.export", "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = read("docs/exports.md")

    assert set(re.findall(r"--[a-z][a-z-]+", said)) - {"--help"} == set(re.findall(r"--[a-z][a-z-]+", page))


def test_the_page_names_what_the_reader_takes_and_has() -> None:
    image_set, loads = read("docs/training.md").split("\n## loader\n")
    arguments = {*inspect.signature(reader.ImageSet).parameters} - {"path"}
    not_named = {"images", "transformed", "normalized", "scale_and_shift"}
    attributes = {name for name in vars(reader.ImageSet) if not name.startswith("_")} - not_named

    assert [name for name in arguments | attributes if f"`{name}" not in image_set] == []
    assert [
        name for name in inspect.signature(reader.loader).parameters if not re.search(rf"\b{name}\b", image_set + loads)
    ] == []


def test_make_refresh_forces_the_stages_that_the_demo_forces() -> None:
    forced = re.findall(r"dvc repro --force --single-item (.*)", (ROOT / "Makefile").read_text())

    assert " ".join(forced).split() == list(SOURCE_STAGES)


def test_make_help_describes_the_targets_that_people_use() -> None:
    command = ["make", "--no-print-directory", "help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    for target in ("demo", "test", "lint", "services", "stop", "refresh"):
        assert re.search(rf"^{target} +\w", said.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["mypy"]], ids=["ruff", "mypy"])
def test_the_checks_of_make_lint_pass(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_page_says_of_every_reason_of_listings_what_it_means() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|[^|]+\|$", section("docs/queries.md", "Adapt the queries"), re.MULTILINE)

    assert sorted(re.findall("[a-z_]+", " ".join(rows))) == sorted(listings.REASONS)


def test_the_page_says_of_every_reason_of_ingest_what_it_means_and_whether_it_is_remembered() -> None:
    text = section("docs/photos.md", "Photos from the web")
    rows = re.findall(r"^\| (`[a-z0-9_`, ]+`) \|.*\| ([a-z ]+) \|$", text, re.MULTILINE)
    told = {reason: remembered for reasons, remembered in rows for reason in re.findall("[a-z0-9_]+", reasons)}

    assert told == (
        dict.fromkeys(refusals.DEFINITE, "for good")
        | dict.fromkeys(refusals.BY_PARAMS, "until these change")
        | dict.fromkeys(refusals.TEMPORARY, "no")
    )


def test_the_page_says_of_every_reason_of_preprocess_what_it_means() -> None:
    text = section("docs/photos.md", "From photos to pixels")
    rows = re.findall(r"^\| (`[a-z0-9_`, ]+`) \|[^|]+\|$", text, re.MULTILINE)

    assert sorted(re.findall("[a-z0-9_]+", " ".join(rows))) == sorted(preprocess.REASONS)


def test_the_page_says_of_every_reason_of_catalog_what_it_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|$", read("docs/labels.md"), re.MULTILINE)

    assert sorted(rows) == sorted(catalog.REASONS)


def test_the_page_has_every_network_with_its_licence_and_side() -> None:
    text = section("docs/masks.md", "Background removal")
    rows = re.findall(r"^\| (`[a-z0-9_`, -]+`) \| ([\w.-]+) \| (\d+) \|", text, re.MULTILINE)
    told = {name: (licence, int(side)) for names, licence, side in rows for name in re.findall("`([^`]+)`", names)}

    assert told == {name: (model.licence, model.side) for name, model in networks.NETWORKS.items()}


def test_every_message_in_troubleshooting_is_one_that_a_program_writes() -> None:
    cells = re.findall(r"^\| (.+?) \|", read("docs/troubleshooting.md"), re.MULTILINE)
    quoted = [message for cell in cells for message in re.findall("`([^`]+)`", cell) if not message.startswith("dvc ")]
    texts = literals()

    assert len(quoted) > 10
    assert [
        message
        for message in quoted
        if message not in OF_OTHERS and not all(any(part in text for text in texts) for part in parts(message))
    ] == []
    assert set(quoted) >= OF_OTHERS


def parts(message: str) -> list[str]:
    """Return what is between the "..." of a quoted message.

    >>> parts("... photos are refused (... private_address)")
    ['photos are refused', 'private_address']
    """
    return [part.strip(" :()") for part in message.split("...") if part.strip(" :()")]


def literals() -> set[str]:
    """Return all strings of the code, those written in several pieces joined, a value in an f-string as {}."""
    found = set()
    for folder in ("imageset", "stages", "tools", "sandbox"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    found.add(
                        "".join(str(value.value) if isinstance(value, ast.Constant) else "{}" for value in node.values)
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found
