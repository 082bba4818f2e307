"""The whole pipeline on the real servers: what reruns, same bytes, pulled by a fresh clone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from PIL import Image

from imageset.formats import tables
from imageset.reader import ImageSet
from imageset.runtime import params
from sandbox import draw
from tests.conftest import photo_bytes
from tests.documents import blocks, commands, read, section
from tests.faults import projects
from tests.faults.trials import ALL
from tests.pipeline.test_graph import outputs
from tests.project import KEPT, PHOTOS, ROOT, Project, command_line, copy_project
from tests.samples import sample

# For every row of the table in docs/settings.md a value to change to.
CHANGES: dict[str, object] = {
    "source.limit": 20,
    "ingest.max_bytes": 30_000_000,
    "ingest.formats": "[jpeg, png, webp, gif]",
    "masks.side": 256,
    "embed.enabled": "false",
    "preprocess.image_side": 64,
    "preprocess.fill": [0, 0, 0],
    "preprocess.min_sharpness": 0.01,
    "duplicates.distance": 4,
    "leakage.planted": 1,
    "catalog.min_photos": 2,
    "split.test_share": 0.4,
    "augment.copies": 3,
    "build.seed": 2,
    "report.sample_photos": 12,
    "card.contact": "data@shop.example",
}


@pytest.fixture
def unchanged(project: Project, tmp_path: Path) -> Project:
    """A copy of the project, as committed."""
    return projects.copy(project, tmp_path)


def stages() -> list[str]:
    return list(params.parse(ROOT / "dvc.yaml")["stages"])


def documented() -> dict[str, list[str]]:
    """Return the table of docs/settings.md: for each param, the stages that its change reruns."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| ([\w, ]+) \|", section("docs/settings.md", "Params"), re.MULTILINE)
    return {key: re.findall(r"\w+", names) for key, names in rows}


def test_the_page_documents_one_param_of_every_section() -> None:
    sections = {key.partition(".")[0] for key in documented()}

    assert documented().keys() == CHANGES.keys()
    assert sections | {"model"} == set(params.parse(ROOT / "params.yaml"))


def test_the_page_has_the_stages_that_read_a_param_and_none_that_does_not_follow_from_them() -> None:
    graph = params.parse(ROOT / "dvc.yaml")["stages"]
    for key, named in documented().items():
        whole = key.partition(".")[0]
        readers = [name for name, stage in graph.items() if {key, whole} & {*stage.get("params", ())}]

        assert readers
        assert {*readers} <= {*named} <= {stage for name in readers for stage in after(name)}


# Of the rows of the table each kind once: a stage whose output stays the same, one that ends it, a change of all that
# follows, and a report. `make faults` changes all.
SAMPLE = ("ingest.max_bytes", "preprocess.min_sharpness", "catalog.min_photos", "card.contact")


@pytest.mark.parametrize("key", sample(list(CHANGES), *SAMPLE))
def test_a_changed_param_reruns_the_stages_that_the_page_says(unchanged: Project, key: str) -> None:
    unchanged.set_param(key, CHANGES[key])

    assert unchanged.stages_that_run() == documented()[key]


def test_further_columns_reach_the_dataset_and_another_price_processes_nothing(unchanged: Project) -> None:
    """And the listings of a shop are in one group, so in one subset."""
    query = unchanged.folder / "queries/listings.sql"
    own = query.read_text()
    columns = "'shop ' || product_id % 9 AS shop, product_id % {} AS price"
    query.write_text(f"SELECT listed.*, {columns.format(7)} FROM (\n{own}) AS listed")
    unchanged.set_param("source.columns", "[shop]")
    unchanged.set_param("source.group_by", "shop")
    assert unchanged.stages_that_run("build") == ["listings", "duplicates", "catalog", "split", "build"]

    before = unchanged.md5()
    shops: dict[str, set[tuple[str, int]]] = {}
    for subset in ("train", "test"):
        photos = ImageSet(unchanged.folder / "data/dataset.h5", subset)
        assert photos.groups is not None
        for product_id, shop, group in zip(
            photos.source_ids.tolist(), photos.columns["shop"].tolist(), photos.groups.tolist(), strict=True
        ):
            assert shop == f"shop {product_id % 9}"
            shops.setdefault(shop, set()).add((subset, group))
    assert len(shops) > 5
    assert {len(places) for places in shops.values()} == {1}
    assert {subset for places in shops.values() for subset, _ in places} == {"train", "test"}

    query.write_text(f"SELECT listed.*, {columns.format(5)} FROM (\n{own}) AS listed")
    assert unchanged.stages_that_run("validate") == ["listings", "build", "validate"]
    assert unchanged.md5() == before


NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


def after(name: str) -> list[str]:
    """Return a stage and all that read what it makes, directly or not, in the order of dvc.yaml."""
    graph = params.parse(ROOT / "dvc.yaml")["stages"]
    found = {name}
    for _ in graph:
        made = {path for stage in found for path in outputs(graph[stage])}
        found |= {stage for stage, defined in graph.items() if made & set(defined["deps"])}
    return [stage for stage in graph if stage in found]


def test_corrections_rerun_catalog_and_what_follows_and_ask_no_server(unchanged: Project) -> None:
    photos = tables.read(unchanged.folder / "data/catalog.csv", tables.CATALOG)
    first, last = photos.iloc[0], photos.iloc[-1]
    for name, value in (("labels", last.catalog_id), ("exclusions", "off_topic")):
        with (unchanged.folder / f"corrections/{name}.csv").open("a") as file:
            file.write(f"{(first if name == 'labels' else last).product_id},0,{value},,,\n")

    assert sorted(unchanged.stages_that_run(**NOWHERE)) == sorted(after("catalog"))

    corrected = tables.read(unchanged.folder / "data/catalog.csv", tables.CATALOG)
    counts = json.loads((unchanged.folder / "reports/metrics.json").read_text())
    compared = unchanged.succeed("python", "-m", "tools.compare", "HEAD")
    assert corrected["catalog_id"].iloc[0] == last.catalog_id
    assert len(corrected) == len(photos) - 1
    assert counts["labels_changed"]["corrected"] == counts["rejected"]["catalog"]["off_topic"] == 1
    assert "labels_changed.corrected" in compared
    assert "rejected.catalog.off_topic" in compared
    assert "corrections/labels.csv" in compared


def test_with_nothing_changed_nothing_runs_though_all_servers_are_down(unchanged: Project) -> None:
    assert unchanged.stages_that_run(**NOWHERE) == []


def test_a_fresh_clone_pulls_the_dataset(unchanged: Project, tmp_path: Path) -> None:
    clone = unchanged.clone(tmp_path / "clone")

    clone.succeed("dvc", "pull", "data/dataset.h5")

    assert clone.md5() == unchanged.md5()
    assert clone.stages_that_run("--pull", "--allow-missing") == []


def test_the_dataset_holds_every_photo_once_or_five_times(project: Project) -> None:
    photos = sum(KEPT.values())
    with h5py.File(project.folder / "data/dataset.h5") as file:
        copies = file["train_copies"][:]
        test = len(file["test_images"])

        assert file["train_images"].shape[1:] == (128, 128, 1)
        assert np.bincount(copies).tolist() == [photos - test] * 5
        assert set(file["train_ids"][:]).isdisjoint(file["test_ids"][:])
        assert file["class_names"].asstr()[:].tolist() == sorted(KEPT)


@pytest.mark.parametrize(("document", "count"), [("README.md", 2), ("docs/dataset.md", 1), ("docs/training.md", 9)])
def test_the_python_of_a_page_runs_from_its_top_to_its_end(project: Project, document: str, count: int) -> None:
    # tests/reader/test_provenance.py has those for trackers of experiments.
    found = [block for block in blocks(read(document), "python") if not re.search("import (Live|mlflow|wandb)", block)]

    assert len(found) == count
    project.succeed(sys.executable, "-W", "error", "-c", "\n".join(found))


def test_the_command_that_checks_a_file_runs(project: Project) -> None:
    [command] = commands(section("docs/dataset.md", "Is a file undamaged?"))

    assert command.startswith("python -m tools.verify ")
    project.succeed(sys.executable, *command.split()[1:])


def test_the_exports_are_read_as_the_page_says(project: Project, tmp_path: Path) -> None:
    text = read("docs/exports.md")
    exports = [command.split()[1:] for command in commands(text)]
    found = blocks(text, "python")

    assert (len(exports), len(found)) == (5, 4)
    for arguments in exports:
        project.succeed(sys.executable, *arguments)
    for block in found:
        if block.startswith("import fiftyone"):
            continue  # it needs MongoDB, which the Python index does not have
        project.succeed(sys.executable, "-c", block, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert project.succeed("git", "status", "--porcelain") == ""


@pytest.mark.sampled
def test_the_example_gives_the_same_number_twice_and_after_it_was_stopped(project: Project, tmp_path: Path) -> None:
    script = """
import os
import torch
from examples import train

os.chdir(FOLDER)
train.IMAGES, train.EPOCHS_PER_SAVE = (6000, 10) if ALL else (100, 1)
train.main(DATASET, "first.pt")
train.main(DATASET, "second.pt")
save, saved = torch.save, []
def save_or_stop(state, path):
    if len(saved) == 2:
        raise KeyboardInterrupt
    saved.append(path)
    save(state, path)
torch.save = save_or_stop
try:
    train.main(DATASET, "stopped.pt")
except KeyboardInterrupt:
    print("stopped")
torch.save = save
train.main(DATASET, "stopped.pt")
weights = [torch.load(name)["model"] for name in ("first.pt", "second.pt", "stopped.pt")]
assert all(torch.equal(one, other) for other in weights[1:] for one, other in zip(weights[0].values(), other.values()))
    """
    names = {"ALL": ALL, "FOLDER": str(tmp_path), "DATASET": str(project.folder / "data/dataset.h5")}
    script = "\n".join([*(f"{name} = {value!r}" for name, value in names.items()), script])
    said = project.succeed(sys.executable, "-W", "error", "-c", script)

    first, second, stopped = re.split(r"(?:first|second|stopped)\.pt has the weights\n", said)[:3]
    pattern = r"""class, the worst first +train +test +right
(.+ +\d+ +\d+ +\d+\n){3}accuracy [01]\.\d{4} on \d+ test photos, 3 classes
         [01]\.\d{4} on the \d+ training photos
         [01]\.\d{4} on the test photos by stage baseline
         [01]\.\d{4} on them where each answer is the commonest class
"""
    assert re.fullmatch(pattern, first)
    assert first == second
    assert stopped == "stopped\n" + first


def test_the_random_photos_are_shown_with_their_labels(project: Project, tmp_path: Path) -> None:
    png = tmp_path / "random.png"
    arguments = ("data/dataset.h5", "train", "7", "1", str(png))
    said = project.succeed(sys.executable, "-W", "error", "-m", "examples.load_random", *arguments)

    assert re.fullmatch(r".*random\.png: 7 of \d+ photos of train, [1-3] of 3 classes\n", said)
    with Image.open(png) as picture:
        gray = np.asarray(picture.convert("L"))
    places = [place for row in np.array_split(gray, 2) for place in np.array_split(row, 6, axis=1)]
    assert [bool((place < 128).mean() > 0.01) for place in places] == [True] * 7 + [False] * 5


def test_garments_stand_on_a_clean_background(project: Project) -> None:
    with h5py.File(project.folder / "data/processed.h5") as file:
        images = file["images"][:]
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1], 0]

    assert np.mean(corners > 250) > 0.95
    assert images.std(axis=(1, 2, 3)).min() > 10


def test_a_failed_stage_says_so_in_one_line_and_keeps_the_password(unchanged: Project) -> None:
    unchanged.set_param("source.limit", 10)

    done = unchanged.run("dvc", "repro", DATABASE_URL="postgresql://nobody:secret-word@127.0.0.1:9/none")

    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "listings: PostgreSQL at 127.0.0.1:9" in said
    assert "Traceback" not in said
    assert "secret-word" not in said


# What has addresses of the photo host.
WITH_ADDRESSES = {"data/listings.csv", "data/report.html"}


def test_the_demo_runs_in_place_gives_the_bytes_of_the_project_and_leaves_no_server(
    project: Project, server_folder: Path
) -> None:
    """Another machine with the same photos: its own servers, two workers, empty caches, and all deps of dvc.yaml."""
    source = server_folder / "photos"
    for garment, count in PHOTOS.items():
        (source / garment).mkdir(parents=True)
        for number in range(count):
            (source / garment / f"{number}.jpeg").write_bytes(photo_bytes(number, garment))
    copy = copy_project(server_folder / "project", bare(project), all_deps=True)

    other = {"IMAGESET_WORKERS": "2", "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    other["AWS_ENDPOINT_URL_S3"] = NOWHERE["AWS_ENDPOINT_URL"]
    said = copy.succeed(sys.executable, "-m", "sandbox", "demo", "--photos", str(source), **other)

    assert str(copy.folder / "data/dataset.h5") in said
    assert str(copy.folder / "data/report.html") in said
    assert not servers_of(copy.folder)
    assert set(re.findall(r"Running stage '(\w+)'", said)) == set(stages())
    expected = projects.md5_of_outputs(project)
    assert len(expected) > 40
    assert set(projects.find_changed(copy, expected)) <= WITH_ADDRESSES
    assert len(copy.stages_that_run()) == 0


@pytest.mark.faults_only
def test_ctrl_c_ends_a_demo_and_all_that_it_started(project: Project, server_folder: Path) -> None:
    source = drawn_photos(server_folder)
    copy = copy_project(server_folder / "project", bare(project))
    demo = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "demo", "--photos", str(source)],
        cwd=copy.folder,
        env=copy.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started = psutil.Process(demo.pid)
    while not any("stages.masks" in command_line(process) for process in started.children(recursive=True)):
        assert demo.poll() is None
        time.sleep(0.2)
    time.sleep(3)  # its workers are up, or just coming up: both have to end
    children = started.children(recursive=True)
    os.killpg(demo.pid, signal.SIGINT)
    _, said = demo.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, 10)

    assert (demo.returncode, said.splitlines()[-1]) == (130, "sandbox: interrupted")
    assert "Exception ignored" not in said
    assert alive == []


def drawn_photos(folder: Path) -> Path:
    """Return a folder of two classes with photos in them."""
    source = folder / "photos"
    for garment in list(KEPT)[:2]:
        (source / garment).mkdir(parents=True)
        for number in range(5):
            draw.draw(garment, number).save(source / garment / f"{number}.jpg")
    return source


def bare(project: Project) -> dict[str, str]:
    """Return the environment as on a bare machine: nothing tells where servers are."""
    return {
        name: value
        for name, value in project.environment.items()
        if name not in {"DATABASE_URL", "IMAGE_STORE"} and not name.startswith("AWS_")
    }


def servers_of(folder: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in line:
            found.append(line)
    return found
