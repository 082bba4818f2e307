"""The documents against what they describe, so that they cannot part."""

import re
import subprocess
import sys

import pytest
import yaml

from imageset.photos import networks as models
from sandbox.__main__ import SOURCE_STAGES
from stages import catalog, ingest, preprocess
from tests.project import ROOT

README = (ROOT / "README.md").read_text()
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")


def section(title: str) -> str:
    """Return a section of the README."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_stage_table_has_every_stage() -> None:
    named = re.findall(r"^\| (\w+) \| (?!writes)", section("The stages"), re.MULTILINE)

    assert [name for name in named if name != "stage"] == list(STAGES)


def test_the_stage_table_names_every_output_of_the_graph() -> None:
    outputs = [path for stage in STAGES.values() for path in stage.get("outs", []) if isinstance(path, str)]

    assert [path for path in outputs if path.rpartition("/")[2] not in README] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", (ROOT / document).read_text(), re.MULTILINE))

    assert named
    assert named <= targets


@pytest.mark.parametrize("document", [*DOCUMENTS, "benchmarks/README.md"])
def test_no_figure_is_still_to_be_filled_in(document: str) -> None:
    assert re.findall(r"\b[A-Z]+_FIGURES?\b|\b(?:TODO|TBD)\b", (ROOT / document).read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str) -> None:
    named = re.findall(
        r"`((?:imageset|stages|sandbox|tools|tests|benchmarks|queries|releases|\.github)/[\w./]+\w)`",
        (ROOT / document).read_text(),
    )

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_setting_stands_in_code_example_and_readme() -> None:
    code = (ROOT / "imageset/runtime/settings.py").read_text()
    read = set(re.findall(r'"((?:IMAGESET_|DATABASE_|IMAGE_)[A-Z_]+)"', code))
    example = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert read == {name for name in example if not name.startswith("AWS_")}
    assert read == set(re.findall(r"`((?:IMAGESET_|DATABASE_|IMAGE_)[A-Z_]+)`", section("Settings")))


def test_make_refresh_forces_the_stages_that_the_demo_forces() -> None:
    forced = re.findall(r"dvc repro --force --single-item (.*)", (ROOT / "Makefile").read_text())

    assert " ".join(forced).split() == list(SOURCE_STAGES)


def test_make_help_describes_the_targets_that_people_use() -> None:
    command = ["make", "--no-print-directory", "help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    for target in ("demo", "test", "lint", "services", "stop", "refresh"):
        assert re.search(rf"^{target} +\w", said.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=["ruff", "format", "mypy"]
)
def test_the_checks_of_make_lint_pass(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_readme_says_of_every_reason_of_ingest_what_it_means_and_whether_it_is_remembered() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|.*\| ([a-z ]+) \|$", section("Photos from the web"), re.MULTILINE)
    told = {reason: remembered for reasons, remembered in rows for reason in re.findall("[a-z_]+", reasons)}

    assert told == (
        dict.fromkeys(ingest.DEFINITE, "for good")
        | dict.fromkeys(ingest.BY_PARAMS, "until these change")
        | dict.fromkeys(ingest.PASSING, "no")
    )


def test_the_readme_says_of_every_reason_of_preprocess_what_it_means() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|[^|]+\|$", section("From photos to pixels"), re.MULTILINE)

    assert sorted(re.findall("[a-z_]+", " ".join(rows))) == sorted(preprocess.REASONS)


def test_the_readme_says_of_every_reason_of_catalog_what_it_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|$", section("Why the test set can be trusted"), re.MULTILINE)

    assert sorted(rows) == sorted(catalog.REASONS)


def test_the_readme_has_every_network_with_its_licence_and_side() -> None:
    text = section("From photos to pixels")
    rows = re.findall(r"^\| (`[a-z0-9_`, -]+`) \| ([\w.-]+) \| (\d+) \|", text, re.MULTILINE)
    told = {name: (licence, int(side)) for names, licence, side in rows for name in re.findall("`([^`]+)`", names)}

    assert told == {name: (model.licence, model.side) for name, model in models.MODELS.items()}
