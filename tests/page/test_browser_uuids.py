"""A marketplace with UUIDs and named classes: decisions in the page reach the catalog, a takedown its products."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from imageset.formats import source_ids
from imageset.report import class_counts
from sandbox.listing import FIRST_PRODUCT
from tests.browser import opened
from tests.forked import run_python
from tests.page.driving import tiles
from tests.page.project import GRAPH, TEXT_CLASSES, in_project, run_stages, uuid_of
from tests.project import ROOT

RELABELLED, EXCLUDED, RIGHT, GONE = (uuid_of(FIRST_PRODUCT + number) for number in (0, 1, 2, 10))


@pytest.fixture
def page(browser: Browser, text_project: Path) -> Iterator[Page]:
    with opened(browser, text_project / "data/report.html", "photos") as (page, seen):
        expect(tiles(page)).to_have_count(16)
        yield page
    seen.assert_quiet(text_project / "data/report.html")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(project: Path, *command: str, code: int = 0) -> str:
    """Run a module in a project with the settings that lead to its sources, and return what it prints.

    Nobody answers what it asks.
    """
    environment = json.loads((project / "environment.json").read_text())
    done = run_python(*command, cwd=project, environment=environment)

    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def press(page: Page, product: str, *keys: str) -> None:
    page.locator(f".photo-grid [aria-label^='product {product},']").focus()
    for key in keys:
        page.keyboard.press(key)


def test_the_photos_are_in_the_order_of_their_ids(page: Page) -> None:
    labels = tiles(page).evaluate_all("(all) => all.map((one) => one.getAttribute('aria-label'))")
    shown = [label.removeprefix("product ").partition(",")[0] for label in labels]

    assert shown == sorted(uuid_of(FIRST_PRODUCT + 10 * place + seed) for place in range(4) for seed in range(4))


def test_what_is_decided_in_the_page_reaches_the_catalog(
    page: Page, text_project: Path, weights: Path, embedding_weights: Path, tmp_path: Path
) -> None:
    press(page, RELABELLED, "c")
    page.get_by_role("combobox", name="Class").fill("=1+")
    page.keyboard.press("Enter")
    expect(page.locator("#marks-link")).to_have_text("1 mark")
    press(page, EXCLUDED, "x")
    page.get_by_role("dialog").get_by_role("button", name="off topic").click()
    press(page, RIGHT, "y")
    expect(page.locator("#marks-link")).to_have_text("3 marks")
    page.get_by_role("link", name="Marks").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections").click()
    download.value.save_as(tmp_path / "saved.csv")
    project = Path(shutil.copytree(text_project, tmp_path / "project"))
    run(project, "tools.suspects", "--apply", str(tmp_path / "saved.csv"))

    labels, exclusions = (read_rows(project / f"corrections/{name}.csv") for name in ("labels", "exclusions"))
    assert {(row["product_id"], row["catalog_id"]) for row in labels} == {(RELABELLED, "'=1+1"), (RIGHT, "dresses")}
    assert [(row["product_id"], row["reason"]) for row in exclusions] == [(EXCLUDED, "off_topic")]

    environment = json.loads((project / "environment.json").read_text())
    shutil.rmtree(project / "reports")
    with in_project(project, environment, weights, embedding_weights, is_new=False):
        run_stages("leakage", "catalog", "split", "build", "validate", "baseline", "report")
    classes = {row["product_id"]: row["catalog_id"] for row in read_rows(project / "data/catalog.csv")}
    changes = read_rows(project / "data/label_changes.csv")

    groups = {row["group"] for row in read_rows(project / "data/catalog.csv")}

    assert groups <= set(classes)  # a group is named after a product
    assert classes[RELABELLED] == "=1+1"
    assert classes[RIGHT] == "dresses"
    assert EXCLUDED not in classes
    assert len(classes) == 15
    assert set(classes.values()) == set(TEXT_CLASSES)
    assert [(row["product_id"], row["told"], row["catalog_id"]) for row in changes] == [(RELABELLED, "dresses", "=1+1")]
    assert {row["product_id"] for row in read_rows(project / "data/predictions.csv")} <= set(classes)
    counted = {row["catalog_id"] for row in read_rows(project / "reports/class_counts.csv")}
    assert counted == {class_counts.cell_of_name(text) for text in TEXT_CLASSES}
    for name in ("README.md", "class_counts.csv"):
        text = (project / "reports" / name).read_text(encoding="utf-8")

        assert not [its_id for its_id in TEXT_CLASSES if str(source_ids.number(its_id)) in text], name


@pytest.mark.faults_only
def test_a_product_is_taken_down_by_its_uuid_and_proven_absent(
    text_project: Path, weights: Path, embedding_weights: Path, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(text_project, tmp_path / "project"))
    shutil.copy(ROOT / "dvc.yaml", project)
    before = Path(shutil.copy(project / "data/dataset.h5", tmp_path / "before.h5"))
    for command in (("git", "init", "--quiet"), (sys.executable, "-m", "dvc", "init", "--quiet")):
        subprocess.run(command, cwd=project, check=True)
    other = uuid_of(FIRST_PRODUCT + 20)
    (project / "corrections/labels.csv").write_text(
        f"product_id,position,catalog_id,note,by,date\n{other},,dresses,,,\n{GONE},0,dresses,,,\n"
    )
    mistaken = run(project, "tools.forget", GONE.upper(), code=1)
    assert f"nothing here knows product {GONE.upper()}: did you mean {GONE}?\n" in mistaken
    assert "forget: nothing was removed" in mistaken
    said = run(project, "tools.forget", GONE, "--yes")

    assert f"forget: products {GONE}\nThis will be removed:\n  1 photos" in said
    assert "Edit them by hand: git keeps them.\n  corrections/labels.csv line 3\n" in said
    assert "data/report.html" in said
    assert [row["product_id"] for row in read_rows(project / "corrections/takedowns.csv")] == [GONE]
    assert "warning: nothing here knows product" not in said

    (project / "corrections/labels.csv").write_text("product_id,position,catalog_id,note,by,date\n")
    environment = json.loads((project / "environment.json").read_text())
    with in_project(project, environment, weights, embedding_weights, is_new=False):
        run_stages(*(name for name in GRAPH if name not in ("listings", "labels", "report")))
    rejected = {row["product_id"]: row["reason"] for row in read_rows(project / "data/ingest.csv") if row["reason"]}

    assert rejected == {GONE: "taken_down"}
    assert GONE not in (project / "data/report.html").read_text(encoding="utf-8")
    proven = run(project, "tools.verify", "data/dataset.h5", "--absent", GONE, "--reference", str(before))
    assert "absent_by_id            passed" in proven
    assert "absent_by_pixels        passed" in proven
    for its_id in (GONE, GONE.upper()):
        found = run(project, "tools.verify", str(before), "--absent", its_id, code=1)

        assert re.search(rf"WRONG: absent_by_id: \d+, such as \w+ {GONE} 0", found)
