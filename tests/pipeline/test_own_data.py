"""The worked sources of docs/own-data.md, taken from its text and run on real servers by dvc."""

import csv
import datetime
import json
import os
import re
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imageset.formats import tables
from imageset.reader import ImageSet
from imageset.storage.bucket import Bucket, list_objects
from tests.conftest import execute, photo_bytes, put
from tests.documents import blocks, section
from tests.faults.trials import ALL
from tests.project import Project, copy_project

PAGE = "docs/own-data.md"
GARMENTS = ("t-shirt", "dress", "pants")
EACH = 6  # listings of a garment


@pytest.fixture
def own(tmp_path: Path, bucket: Bucket, database: str) -> Project:
    """A copy of the project, with no queries, whose settings lead to a bucket and a database of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    project = copy_project(tmp_path / "project", os.environ | {"PATH": path, "IMAGESET_WORKERS": "1"})
    for query in (project.folder / "queries").iterdir():
        query.unlink()
    # Neither is what this is about, and both take time.
    project.set_param("masks.background", "keep")
    project.set_param("embed.enabled", "false")
    return project


def write_files(project: Project, title: str, change: Callable[[str], str] = lambda text: text) -> str:
    """Write the queries and lines of params that a section of the page shows; return the section."""
    text = section(PAGE, title)
    found = re.findall(r"^`([\w./]+)`[^\n]*(?:\n[^\n]+)*\n\n```\w+\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    written = [(name, content) for name, content in found if name != "params.yaml"]

    assert {"queries/classes.sql", "queries/labels.sql", "queries/listings.sql"} <= {name for name, _ in written}
    for name, content in written:
        if name != ".env":
            (project.folder / name).write_text(change(content))
    for block in blocks(text, "yaml"):
        for line in block.splitlines():
            key, value = line.strip().split(": ")
            project.set_param(f"source.{key}", value)
    return text


def run(project: Project, *, whole: bool = True, **environment: str) -> list[str]:
    """Check the project, run its pipeline, and return the names of its classes in order.

    Args:
        project: it.
        whole: run it up to the dataset, else up to the tables that all later stages read: so much differs by source.
        environment: more settings.
    """
    checked = project.run("python", "-m", "tools.check", **environment)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "--  " not in checked.stdout
    project.succeed("dvc", "repro", "--quiet", *(["validate"] if whole else ["labels", "inventory"]), **environment)
    if whole:
        return sorted(ImageSet(project.folder / "data/dataset.h5", subset="train").classes)
    classes = tables.read(project.folder / "data/classes.csv", tables.CLASSES).set_index("catalog_id")["name"]
    labels = tables.read(project.folder / "data/labels.csv", tables.LABELS)
    return sorted(classes[labels["catalog_id"].unique()])


def settings_of(text: str, project: Project) -> dict[str, str]:
    """Return the settings that a section shows, but for the bucket, which is the test's."""
    shown = dict(line.split("=", 1) for block in blocks(text, "sh") for line in block.splitlines())

    assert shown["IMAGE_STORE"].startswith("s3://")
    return shown | {"IMAGE_STORE": project.environment["IMAGE_STORE"]}


def list_garments() -> list[tuple[int, str]]:
    return [(number, garment) for garment in GARMENTS for number in range(EACH)]


def test_a_marketplace_in_postgresql(own: Project, database: str, photo_folder: tuple[Path, str]) -> None:
    text = write_files(own, "A marketplace in PostgreSQL")
    execute(database, next(block for block in blocks(text, "sql") if block.startswith("CREATE TABLE")))
    folder, url = photo_folder
    execute(database, "INSERT INTO categories VALUES ('clothes', 'Clothes', NULL)")
    for garment in GARMENTS:
        execute(database, f"INSERT INTO categories VALUES ('clothes/{garment}', 'A {garment}', 'clothes')")
    for number, garment in list_garments():
        names = [f"{garment}-{number}-{part}.jpg" for part in range(3)]
        for part, name in enumerate(names):
            (folder / name).write_bytes(photo_bytes(10 * number + part, garment))
        pictures = json.dumps([{"url": f"{url}/{name}", "alt": "front"} for name in names])
        item = uuid.uuid5(uuid.NAMESPACE_URL, names[0])
        execute(
            database,
            f"INSERT INTO items VALUES ('{item}', '{pictures}', 'clothes/{garment}', 'Brand {number}', "
            f"'seller {garment} {number}', '2026-01-0{number + 1}')",
        )
    classes = run(own)
    photos = ImageSet(own.folder / "data/dataset.h5", subset="train")
    ingested = tables.read(own.folder / "data/ingest.csv", tables.INGEST)
    listed = (own.folder / "data/listings.csv").read_text()

    assert len(ingested) == 2 * EACH * len(GARMENTS)
    assert set(ingested["position"]) == {1, 2}
    assert str(uuid.uuid5(uuid.NAMESPACE_URL, "dress-3-0.jpg")) in listed
    assert classes == sorted(f"A {garment}" for garment in GARMENTS)
    assert {uuid.UUID(str(source_id)).version for source_id in photos.source_ids} == {5}
    assert set(photos.columns["brand"]) <= {f"Brand {number}" for number in range(EACH)}


@pytest.mark.sampled
def test_parquet_files_and_a_bucket_that_is_filled_already(own: Project, bucket: Bucket) -> None:
    text = write_files(own, "Parquet files, and a bucket that is filled already")
    exports = own.folder / "exports"
    exports.mkdir()
    pictures, classified = [], []
    for number, garment in list_garments():
        for part in range(2):
            key = f"2025/{garment} {number}/{part}.JPG"
            put(bucket, key, photo_bytes(10 * number + part, garment))
            pictures.append((f"{garment[0].upper()}-{number:03}", part + 1, key))
        classified.append((pictures[-1][0], f"{garment[:1]}1", datetime.datetime(2026, 1, number + 1)))
    put(bucket, "readme.txt", b"another system's")
    classes = [("top", "Clothes", None), *((f"{garment[:1]}1", garment, "top") for garment in GARMENTS)]
    for name, columns, rows in (
        ("pictures-1", ("sku", "number", "file"), pictures[:9]),
        ("pictures-2", ("sku", "number", "file"), pictures[9:]),
        ("classified", ("sku", "class_id", "since"), classified),
        ("classes", ("id", "title", "parent"), classes),
    ):
        pq.write_table(pa.table(dict(zip(columns, zip(*rows, strict=True), strict=True))), exports / f"{name}.parquet")
    classes_found = run(own, whole=ALL, **settings_of(text, own))
    objects = {stored.key for stored in list_objects(bucket)}

    assert objects == {"readme.txt", *(key for _, _, key in pictures)}
    assert classes_found == sorted(GARMENTS)
    with (own.folder / "data/inventory.csv").open() as file:
        assert {row["product_id"] for row in csv.DictReader(file)} == {sku for sku, _, _ in classified}
    assert tables.read(own.folder / "data/inventory.csv", tables.INVENTORY)["key"].str.endswith(".JPG").all()


@pytest.mark.sampled
def test_a_folder_of_photos_with_a_csv_of_labels(own: Project, bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    text = write_files(
        own, "A folder of photos with a CSV of labels", lambda text: text.replace("/srv/photos", str(folder))
    )
    folder.mkdir()
    lines = ["file,class"]
    for number, garment in list_garments():
        name = f"{garment} {number:02}.jpg"
        (folder / name).write_bytes(photo_bytes(number, garment))
        lines.append(f"{name},A {garment}")
    (folder / "labels.csv").write_text("\n".join([*lines, ""]))
    classes = run(own, whole=ALL, **settings_of(text.replace("/srv/photos", str(folder)), own))

    assert classes == sorted(f"A {garment}" for garment in GARMENTS)
    with (own.folder / "data/inventory.csv").open() as file:
        assert {row["product_id"] for row in csv.DictReader(file)} == {one.name for one in folder.glob("*.jpg")}
    assert len(list(list_objects(bucket))) == EACH * len(GARMENTS)
