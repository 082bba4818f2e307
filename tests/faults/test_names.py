"""Names that act elsewhere go through the whole pipeline and all tools, and come out as they went in.

All that a command prints is searched for what acts on a terminal or on GitHub's logs.
"""

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import h5py
import markdown_it
import numpy as np
import psycopg2
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser

from imageset.formats import blanks, hand_edited, hdf5
from imageset.reader import ImageSet
from imageset.report.class_counts import cell_of_name, text_of_cell
from sandbox.s3 import PHOTO_BUCKET
from sandbox.servers import Servers
from tests.browser import WIDE, launched, opened
from tests.conftest import run_stage
from tests.faults.hostile_names import NAMES, draw_photos, fill_database, write_queries
from tests.faults.trials import ALL, Trials
from tests.forked import run_python
from tests.page.driving import find_faults, go, views_of
from tests.project import Project, copy_project
from tools.export.format import FORMATS

SAMPLE = 9  # the sample has each ninth name
# What ends a line, acts on a terminal, or turns the text after it round; and what GitHub's logs take for a command.
ACTING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]|^\s*::|##\[", re.M
)
PLOTS_TAGS = {"html", "head", "title", "meta", "script", "style", "body", "div"}  # of the page of `dvc plots show`


@dataclass
class Shop:
    """A project that has run on hostile names.

    Attributes:
        project: it.
        kinds: the names by the ids of their classes.
        said: all that its commands printed, by command.
    """

    project: Project
    kinds: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.project.folder

    @property
    def named(self) -> dict[str, str]:
        """The names as stage catalog takes them: one that nobody can see is the id."""
        return {kind: name if blanks.strip(name) else kind for kind, name in self.kinds.items()}

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command, keep what it prints, and require its exit code."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.project.environment, capture_output=True, check=False, timeout=900
        )
        texts = (done.stdout.decode(), done.stderr.decode())
        return self.keep(subprocess.CompletedProcess(command, done.returncode, *texts), " ".join(command), code)

    def run_stages(self) -> None:
        """Run all stages in one process."""
        self.keep(
            run_python("tests.faults.named_stages", cwd=self.folder, environment=self.project.environment), "stages"
        )

    def keep(
        self, done: subprocess.CompletedProcess[str], command: str, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Keep what a command printed, and require its exit code."""
        name = f"{len(self.said)} {command[:80]}"
        self.said[name] = f"{done.stdout}\n{done.stderr}"

        assert done.returncode == code, self.said[name][-2000:]
        return done

    def require_harmless(self) -> None:
        """Raise AssertionError where a command printed what acts."""
        found = {name: ACTING.findall(text)[:5] for name, text in self.said.items() if ACTING.search(text)}

        assert found == {}


@pytest.fixture(scope="module")
def shop(sandbox: Servers, weights: Path, embedding_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A project that has run. In a sample it keeps backgrounds, and its stages run in one process, without DVC."""
    names = list(NAMES.values())[:: 1 if ALL else SAMPLE]
    database = f"{sandbox.environment['DATABASE_URL'].rpartition('/')[0]}/names_{os.getpid()}"
    connection = psycopg2.connect(sandbox.environment["DATABASE_URL"])
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {database.rpartition('/')[2]}")
    connection.close()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {
        "PATH": path,
        "DATABASE_URL": database,
        "IMAGE_STORE": f"s3://{PHOTO_BUCKET}/names",
        "IMAGESET_WORKERS": "1",
        "IMAGESET_MODEL_FILE": str(weights),
        "IMAGESET_EMBEDDING_FILE": str(embedding_weights),
    }
    kinds = fill_database(database, names, draw_photos(sandbox, "names", len(names)))
    project = copy_project(tmp_path_factory.mktemp("names") / "project", os.environ | sandbox.environment | own)
    write_queries(project)
    shop = Shop(project, kinds)
    if ALL:
        project.set_param("masks.precision", "int8")
        shop.run("dvc", "repro")
        project.commit("a run")
    else:
        project.set_param("masks.background", "keep")
        project.set_param("embed.enabled", "false")
        for empty in ("data", "reports"):
            (shop.folder / empty).mkdir(exist_ok=True)
        shop.run_stages()
    return shop


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table as any strict reader does, and require that all are as long as the header."""
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))

    assert {len(row) for row in rows} == {len(rows[0])}, path
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def names_in(rows: list[dict[str, str]], key: str = "catalog_id", name: str = "name") -> dict[str, str]:
    return {row[key]: row[name] for row in rows}


def as_texts(cells: dict[str, str]) -> dict[str, str]:
    """Return ids and names as they are in cells of a table that was made for people."""
    return {hand_edited.id_of_cell(key): hand_edited.id_of_cell(name) for key, name in cells.items()}


def unique(kinds: dict[str, str]) -> dict[str, str]:
    return dict(zip(kinds, hdf5.unique_names(list(kinds.values()), list(kinds)), strict=True))


def find_places(shop: Shop) -> dict[str, dict[str, str]]:
    """Return the names of the classes by their ids, as each output has them."""
    data = shop.folder / "data"
    with h5py.File(data / "dataset.h5") as file:
        ids, names = (file[name].asstr()[:].tolist() for name in ("class_ids", "class_names"))
    croissant = json.loads((shop.folder / "reports/croissant.json").read_text(encoding="utf-8"))
    records = next(each for each in croissant["recordSet"] if each["name"] == "classes")["data"]
    page = re.findall('id="data">(.*?)</script>', (data / "report.html").read_text(encoding="utf-8"), re.S)[0]
    classes = json.loads(page)["classes"]
    counts = names_in(read_csv(shop.folder / "reports/class_counts.csv"))
    return {
        "classes.csv": names_in(read_csv(data / "classes.csv")),
        "label_map.csv": names_in(read_csv(data / "label_map.csv")),
        "dataset.h5": dict(zip(ids, names, strict=True)),
        "the reader": dict(zip(ids, ImageSet(data / "dataset.h5").classes, strict=True)),
        "croissant.json": {each["classes/class_id"]: each["classes/name"] for each in records},
        "class_counts.csv": {text_of_cell(key): text_of_cell(name) for key, name in counts.items()},
        "report.html": dict(zip(map(str, classes["catalog_id"]), classes["name"], strict=True)),
    }


@pytest.mark.fault("Names", "names of classes that act elsewhere", "a real run; each output read by another reader")
def test_every_name_comes_out_as_it_went_in(shop: Shop, trials: Trials) -> None:
    found, its_unique = find_places(shop), unique(shop.named)
    of_unique = ("the reader", "croissant.json", "class_counts.csv")
    for kind, name in shop.kinds.items():
        expected = {place: its_unique[kind] if place in of_unique else shop.named[kind] for place in found}
        expected |= {"classes.csv": name, "report.html": blanks.strip(shop.named[kind])}
        with trials.trial(name[:40]):
            wrong = {place: names.get(kind) for place, names in found.items() if names.get(kind) != expected[place]}

            assert wrong == {}


def cells_of(line: str) -> int:
    """Return how many cells a row of a Markdown table has."""
    return len(re.findall(r"(?<!\\)\|", line))


def require_tame(text: str, images: int = 0) -> None:
    """Raise AssertionError where Markdown has other images than `images`, any HTML, a link out, or a ragged table."""
    blocks = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    tokens = [token for block in blocks for token in (block, *(block.children or []))]
    folds = re.compile(r"</?(details|summary)>")
    html = [each.content for each in tokens if each.type.startswith("html") and not folds.match(each.content)]
    links = [each.attrs["href"] for each in tokens if each.type == "link_open"]

    assert html == []
    assert [link for link in links if ":" in str(link)] == []
    assert sum(token.type == "image" for token in tokens) == images
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({cells_of(line) for line in table.splitlines()}) == 1, table[:2000]
    assert not ACTING.search(text)


@pytest.mark.fault("Names", "names of classes that act elsewhere", "the card, the pictures and croissant of a real run")
def test_reports_are_whole(shop: Shop, trials: Trials) -> None:
    reports = shop.folder / "reports"
    with trials.trial("the card"):
        head, _, text = (reports / "README.md").read_text(encoding="utf-8").removeprefix("---\n").partition("---\n")

        assert len(head.splitlines()) < 30
        require_tame(text, images=2)
    for path in sorted(reports.glob("*.png")):
        with trials.trial(path.name), Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))

            assert min(pixels.shape) >= 100
            assert max(pixels.shape) <= 20_000
            assert len(np.unique(pixels)) > 10
    with trials.trial("croissant"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        read = mlcroissant.Dataset(jsonld=reports / "croissant.json")

        assert not read.metadata.ctx.issues.errors
        assert [record["classes/name"] for record in read.records("classes")] == list(
            find_places(shop)["the reader"].values()
        )


@pytest.mark.fault("Names", "names in `dvc plots show`", "the script of its page, read by Python's parser of HTML")
def test_dvc_plots_show_every_name(shop: Shop, trials: Trials, tmp_path: Path) -> None:
    with trials.trial("dvc plots show"):
        shop.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"), "reports/class_counts.csv")
        text = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
        tags = Tags()
        tags.feed(text)

        assert tags.found <= PLOTS_TAGS
        for kind, name in unique(shop.named).items():
            shown = re.sub("\r\n?", "\n", cell_of_name(name))  # as DVC reads CSV
            assert json.dumps(shown) in text, kind


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)


@pytest.mark.fault("Names", "names in exports", "each format of tools.export, read by other readers")
def test_exports_stay_in_their_folder(shop: Shop, trials: Trials, tmp_path: Path) -> None:
    its_unique = unique(shop.named)
    for kind in trials.choose(FORMATS, sample=1):
        with trials.trial(kind):
            folder = tmp_path / kind / "export"
            folder.parent.mkdir()
            shop.run(sys.executable, "-m", "tools.export", str(folder), "--to", kind)

            assert list(folder.parent.iterdir()) == [folder]
            classes = names_in(read_csv(folder / "classes.csv"), "class_id")
            assert {
                hand_edited.id_of_cell(key): hand_edited.id_of_cell(name) for key, name in classes.items()
            } == shop.named
            if kind in READERS:
                READERS[kind](folder, shop.named, its_unique)
    with trials.trial("what the tool printed"):
        shop.require_harmless()


def read_imagefolder(folder: Path, kinds: dict[str, str], its_unique: dict[str, str]) -> None:
    rows = read_csv(folder / "photos.csv")
    for row in rows:
        path = folder / row["file_name"]

        assert path.resolve().is_relative_to(folder.resolve())
        assert path.is_file()
        assert re.fullmatch(r"(train|test)/\d+(-[^\s/\\:*?\"<>|]{1,110})?/[0-9]+\.png", row["file_name"])
    for subset in ("train", "test"):
        assert len(list((folder / subset).iterdir())) == len(kinds)


def read_parquet(folder: Path, kinds: dict[str, str], its_unique: dict[str, str]) -> None:
    for path in (folder / "data").glob("*.parquet"):
        table = pq.read_table(path)
        names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        for row in table.select(["label", "class_id", "title"]).to_pylist():
            assert names[row["label"]] == its_unique[row["class_id"]]
            assert row["title"] == "" or row["title"].isprintable() or ACTING.sub("", row["title"])
    require_tame((folder / "README.md").read_text(encoding="utf-8").partition("\n---\n")[2])


def read_webdataset(folder: Path, kinds: dict[str, str], its_unique: dict[str, str]) -> None:
    for path in (folder / "data").glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                assert re.fullmatch(r"[0-9]+\.(png|cls|json)", member.name)
                if member.name.endswith(".json"):
                    file = tar.extractfile(member)
                    assert file is not None
                    said = json.load(file)
                    assert said["class_name"] == kinds[said["class_id"]]


def read_fiftyone(folder: Path, kinds: dict[str, str], its_unique: dict[str, str]) -> None:
    for sample in json.loads((folder / "samples.json").read_text(encoding="utf-8"))["samples"]:
        assert re.fullmatch(r"data/(train|test)/[0-9]+\.png", sample["filepath"])
        assert (folder / sample["filepath"]).is_file()
        assert sample["ground_truth"]["label"] == its_unique[sample["class_id"]]


READERS = {
    "fiftyone": read_fiftyone,
    "imagefolder": read_imagefolder,
    "parquet": read_parquet,
    "webdataset": read_webdataset,
}


@pytest.mark.faults_only
@pytest.mark.fault("Names", "names in the page", "headless Chromium, each view, a wide window and a narrow one")
def test_the_page_runs_no_name(shop: Shop, trials: Trials, browser: Browser) -> None:
    path = shop.folder / "data/report.html"
    boxes: list[str] = []
    for width in trials.choose([WIDE, 420], sample=1):
        with opened(browser, path, width=width) as (page, seen):
            page.on("dialog", lambda box: boxes.append(box.message))
            for view in views_of(page):
                with trials.trial(f"{view}, {width} pixels"):
                    go(page, path, view)

                    assert find_faults(page, width) == []
                    assert page.locator("main img[src=x], main svg[onload], main a[href^=javascript]").count() == 0
                    seen.assert_quiet(path)
    with trials.trial("no script opened a box"):
        assert boxes == []


@pytest.fixture(scope="module")
def browser(shop: Shop) -> Iterator[Browser]:
    """One browser, after the project has run: stages need an event loop of their own."""
    with launched() as browser:
        yield browser


@pytest.mark.faults_only
@pytest.mark.fault("Names", "names of classes, products and sellers", "suspects, verify, plan, compare and forget")
def test_tools_take_every_name(shop: Shop, trials: Trials, tmp_path: Path) -> None:
    python = (sys.executable, "-m")
    with trials.trial("tools.verify"):
        shop.run(*python, "tools.verify", "data/dataset.h5")
    for kind in ("label", "outlier", "photo"):
        with trials.trial(f"tools.suspects, {kind}"):
            rows = tmp_path / f"{kind}.csv"
            shop.run(*python, "tools.suspects", "--kind", kind, "--all", "--out", str(rows))
            printed = shop.run(*python, "tools.suspects", "--kind", kind, "--all").stdout

            assert printed == rows.read_text(encoding="utf-8")
            for row in read_csv(rows):
                assert [cell for cell in row.values() if is_formula(cell)] == []
    with trials.trial("what the tools printed"):
        shop.require_harmless()
    if not ALL:
        return
    with trials.trial("tools.plan"):
        shop.run(*python, "tools.plan")
    with trials.trial("tools.check"):
        shop.run(*python, "tools.check")
    change_classes(shop)
    with trials.trial("dvc repro once more"):
        shop.run("dvc", "repro")
    with trials.trial("tools.compare"):
        markdown = shop.run(*python, "tools.compare", "HEAD", "--html", str(tmp_path / "compared.html")).stdout

        assert "lost all their photos" in markdown
        assert "Relabelled" in markdown
        require_tame(markdown)
    with trials.trial("tools.forget"):
        product = read_csv(shop.folder / "data/split.csv")[0]["product_id"]
        shop.run(*python, "tools.forget", "--yes", "--", product)

        taken_down = read_csv(shop.folder / "corrections/takedowns.csv")
        assert [hand_edited.id_of_cell(row["product_id"]) for row in taken_down] == [product]
        assert not (shop.folder / "data/dataset.h5").exists()
    with trials.trial("what all of them printed"):
        shop.require_harmless()


def is_formula(cell: str) -> bool:
    """Return whether a spreadsheet takes a cell for a formula."""
    return cell.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20") and not hand_edited.NUMBER.fullmatch(cell)


def change_classes(shop: Shop) -> None:
    """Give each product of every second class the class before it: classes are lost, photos have other classes."""
    kinds = list(shop.kinds)
    with psycopg2.connect(shop.project.environment["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        for before, kind in zip(kinds[::2], kinds[1::2], strict=False):
            cursor.execute("UPDATE kinds_of_items SET kind = %s WHERE kind = %s", (before, kind))
    connection.close()
    shop.run("dvc", "repro", "--force", "--single-item", "labels")


class Refused(NamedTuple):
    """A value that a stage refuses: the stage, what its queries return, and what the line has to say."""

    stage: str
    values: dict[str, str | bytes]
    says: tuple[str, ...]


ESCAPE, LONG = "a\x1b[31mb\nc\u202e", "x" * 10_000
REFUSED = {
    "a product with control characters": Refused("labels", {"product": ESCAPE}, ("queries/labels.sql", "no id")),
    "a product of 10,000 letters": Refused("labels", {"product": LONG}, ("queries/labels.sql", "255 bytes", "xxx")),
    "a class with control characters": Refused("labels", {"kind": ESCAPE}, ("queries/labels.sql", "catalog_id")),
    "a class with NUL": Refused("labels", {"kind": "a\0b"}, ("queries/labels.sql", "catalog_id", "\\x00")),
    "a class of 10,000 letters": Refused("labels", {"kind": LONG}, ("queries/labels.sql", "255 bytes", "xxx")),
    "a name with NUL": Refused("labels", {"name": "a\0b"}, ("queries/classes.sql", "catalog_id 'K'", "NUL")),
    "a parent with control characters": Refused("labels", {"parent": ESCAPE}, ("queries/classes.sql", "parent_id")),
    "one class with two long names": Refused("labels", {"name": LONG, "again": ESCAPE}, ("two rows", "K")),
    "a date of 10,000 letters": Refused("labels", {"date": LONG}, ("queries/labels.sql", "product_id P", "date")),
    "a date with control characters": Refused("labels", {"date": ESCAPE}, ("queries/labels.sql", "product_id P")),
    "a date of a long product": Refused("labels", {"product": "y" * 255, "date": "soon"}, ("yyy", "date")),
    "bytes that are no text": Refused("labels", {"name": b"\xff\x1b[31m"}, ("queries/classes.sql",)),
    "a listing with control characters": Refused("listings", {"product": ESCAPE}, ("all 1 rows", "bad_id")),
    "a URL with control characters": Refused("listings", {"image": f"https://a/{ESCAPE}"}, ("all 1 rows", "bad_url")),
    "a title of 10,000 letters": Refused("listings", {"title": LONG}, ("title of product P", "10,000 bytes")),
}


def write_database(path: Path, values: dict[str, str | bytes]) -> str:
    """Write a shop of one product as an SQLite file, which takes any text, and return its URL."""
    row: dict[str, object] = {"product": "P", "kind": "K", "name": "hat", "parent": None, "again": None, "date": 1}
    row |= {"image": "https://a/1.jpg", "title": "", **values}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (id, image, title, seller)")
        connection.execute("CREATE TABLE kinds (id, title, parent)")
        connection.execute("CREATE TABLE kinds_of_items (item, kind, given)")
        connection.execute("INSERT INTO items VALUES (:product, :image, :title, 's')", row)
        connection.execute("INSERT INTO kinds VALUES (:kind, CAST(:name AS text), :parent)", row)
        if row["again"] is not None:
            connection.execute("INSERT INTO kinds VALUES (:kind, :again, :parent)", row)
        connection.execute("INSERT INTO kinds_of_items VALUES (:product, :kind, :date)", row)
    return f"sqlite:///{path}"


@pytest.mark.fault("Names", "values that no stage takes", "SQLite, which has NUL and any bytes; the first stage")
def test_what_is_refused_is_refused_in_one_line(in_project: Path, trials: Trials) -> None:
    write_queries(Project(in_project, {}))
    outputs = {"labels": ("labels", "classes"), "listings": ("listings", "rejects", "attributes", "groups")}
    for number, name in enumerate(trials.choose(list(REFUSED), sample=3)):
        case = REFUSED[name]
        with trials.trial(name):
            url = write_database(in_project / f"{number}.db", case.values)
            folder = in_project / str(number)
            folder.mkdir()
            paths = [folder / f"{output}.csv" for output in outputs[case.stage]]
            queries = ("labels", "classes") if case.stage == "labels" else ("listings",)
            done = run_stage(
                case.stage,
                *(f"queries/{query}.sql" for query in queries),
                *paths,
                cwd=in_project,
                environment={"DATABASE_URL": url},
            )

            assert done.returncode == 1, done.stdout + done.stderr[-2000:]
            assert done.stderr.count("\n") == 1, done.stderr[-2000:]
            assert not ACTING.search(done.stdout + done.stderr)
            assert len(done.stderr) < 2_100, done.stderr[:300]
            assert [text for text in case.says if text not in done.stderr] == [], done.stderr
            if case.stage == "labels":
                assert list(folder.iterdir()) == []
