"""The whole pipeline on a schema unlike the demo's: UUIDs, photos in an array, positions from 1, classes by text ids.

The photos are those of the project of tests/conftest.py, so both datasets have the same pixels and classes.
"""

import csv
import json
import re
import uuid
from collections import Counter
from contextlib import closing
from pathlib import Path

import h5py
import psycopg2
import pytest
from psycopg2.extras import execute_values

from imageset.formats import source_ids
from imageset.reader import ImageSet
from sandbox.s3 import PHOTO_BUCKET
from sandbox.servers import Servers
from tests.faults import projects
from tests.project import KEPT, PHOTOS, Project, copy_project

NAMESPACE = uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")

LISTINGS = """
SELECT item.id AS product_id, photo.place AS position, photo.content ->> 'url' AS image_url
FROM items AS item, jsonb_array_elements(item.photos) WITH ORDINALITY AS photo (content, place)
"""
LABELS = {
    "catalog_id": "SELECT item AS product_id, kind AS catalog_id, given AS date FROM kinds_of_items",
    "class_name": """
        SELECT item AS product_id, kinds.title AS class_name, given AS date
        FROM kinds_of_items JOIN kinds ON kinds.slug = kind
    """,
}
CLASSES = {
    "catalog_id": "SELECT slug AS catalog_id, title AS name, parent AS parent_id FROM kinds",
    "class_name": "-- labels.sql names the classes",
}


def id_of(product_id: str) -> str:
    return str(uuid.uuid5(NAMESPACE, product_id))


def slug_of(name: str) -> str:
    """Return an id as awkward as ids of marketplaces may be."""
    return f'clothing / "{name}", größe'


def copy_marketplace(project: Project, database: str) -> None:
    """Make tables of another schema with the listings and labels of a project that has run.

    Each item has a second photo, which no listing takes.
    """
    listings, labels, classes = (read(project, name) for name in ("listings", "labels", "classes"))
    names = {row["catalog_id"]: row["name"] for row in classes}
    tables = {
        "items (id uuid, photos jsonb)": [
            (id_of(row["product_id"]), json.dumps([{"url": row["image_url"]}, {"url": f"{row['image_url']}?2"}]))
            for row in listings
        ],
        "kinds_of_items (item uuid, kind text, given timestamptz)": [
            (id_of(row["product_id"]), slug_of(names[row["catalog_id"]]), row["date"]) for row in labels
        ],
        "kinds (slug text, title text, parent text)": [
            (slug_of(row["name"]), row["name"], slug_of(names[row["parent_id"]]) if row["parent_id"] else None)
            for row in classes
        ],
    }
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        for table, rows in tables.items():
            cursor.execute(f"CREATE TABLE {table}")
            execute_values(cursor, f"INSERT INTO {table.split()[0]} VALUES %s", rows)


def read(project: Project, name: str) -> list[dict[str, str]]:
    with (project.folder / f"data/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def texts(project: Project, sandbox: Servers, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has run on the same photos under other ids."""
    server = sandbox.environment["DATABASE_URL"]
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE any_ids")
    database = f"{server.rpartition('/')[0]}/any_ids"
    copy_marketplace(project, database)
    changes = {
        "DATABASE_URL": database,
        "IMAGE_STORE": f"s3://{PHOTO_BUCKET}/any-ids",
        "IMAGESET_CACHE": str(project.folder / ".cache"),
    }
    copy = copy_project(tmp_path_factory.mktemp("any-ids") / "project", project.environment | changes)
    write_queries(copy, "catalog_id")
    copy.succeed("dvc", "repro", "baseline", "audit")
    copy.commit("a run")
    return copy


def write_queries(project: Project, column: str) -> None:
    for name, text in (("listings", LISTINGS), ("labels", LABELS[column]), ("classes", CLASSES[column])):
        (project.folder / f"queries/{name}.sql").write_text(text, encoding="utf-8")


def pixels(project: Project) -> dict[str, bytes]:
    """Return the pixels of each product that stage preprocess has done, by its id."""
    with h5py.File(project.folder / "data/processed.h5") as file:
        images = file["images"][:]
    return {row["product_id"]: images[int(row["row"])].tobytes() for row in read(project, "processed")}


def rows(project: Project, subset: str) -> list[tuple[str, str, bytes]]:
    """Return the source's id, the class's name and the pixels of each photo of a subset, without copies."""
    photos = ImageSet(project.folder / "data/dataset.h5", subset, augmented=False)
    names = photos.classes
    return [
        (str(photos.source_ids[row]), names[int(photos.targets[row])], photos[row][0].numpy().tobytes())
        for row in range(len(photos))
    ]


def test_the_pixels_and_classes_are_those_of_the_integers(project: Project, texts: Project) -> None:
    assert pixels(texts) == {id_of(product_id): image for product_id, image in pixels(project).items()}

    of_texts, of_integers = (rows(one, "train") + rows(one, "test") for one in (texts, project))

    assert sorted(of_texts) == sorted((id_of(product_id), *others) for product_id, *others in of_integers)
    for subset in ("train", "test"):
        sizes = [Counter(name for _, name, _ in rows(one, subset)) for one in (texts, project)]

        assert sizes[0] == sizes[1]
    assert json.loads((texts.folder / "data/validation.json").read_text())["passed"]


def test_every_table_has_the_ids_of_the_source_and_none_of_their_numbers(project: Project, texts: Project) -> None:
    products = [id_of(row["product_id"]) for row in read(project, "listings")]
    numbers = "|".join(str(source_ids.number(name)) for name in (*products, *map(slug_of, KEPT)))
    names = [path.stem for path in sorted((texts.folder / "data").glob("*.csv"))]

    for name in names:
        for row in read(texts, name):
            # Objects of the bucket are named by the number, and groups and pictures are numbers.
            shown = {column: cell for column, cell in row.items() if column not in ("group", "picture")}
            assert re.findall(rf"(?:{numbers})(?!-1\.jpeg)", str(shown)) == [], (name, row)
    for name in ("listings", "ingest", "inventory", "masks", "processed", "groups", "catalog", "split", "map"):
        assert {row["product_id"] for row in read(texts, name)} <= {*products}
        assert len(read(texts, name)) >= sum(KEPT.values())
    assert {row["product_id"] for row in read(texts, "predictions")} == {row[0] for row in rows(texts, "test")}
    assert {row["reason"] for row in read(texts, "listings_rejects")} == {"beyond_position"}
    assert {row["catalog_id"] for row in read(texts, "label_map")} == {*map(slug_of, KEPT)}


def test_a_tree_of_texts_takes_rare_classes(texts: Project, tmp_path: Path) -> None:
    copy = projects.copy(texts, tmp_path)
    copy.set_param("catalog.rare", "merge")
    copy.set_param("catalog.min_photos", max(PHOTOS.values()) + 1)
    copy.succeed("dvc", "repro", "catalog")

    merged = [row for row in read(copy, "label_changes") if row["change"] == "rare_merged"]
    assert {row["catalog_id"] for row in merged} == {slug_of("clothing")}
    assert len(merged) == sum(PHOTOS.values())


def test_names_alone_give_the_same_dataset(texts: Project, tmp_path: Path) -> None:
    copy = projects.copy(texts, tmp_path)
    write_queries(copy, "class_name")
    ran = copy.stages_that_run("validate")

    assert "labels" in ran
    assert not {"listings", "masks", "embed", "preprocess"} & {*ran}
    assert {row["catalog_id"] for row in read(copy, "label_map")} == {*KEPT}
    for subset in ("train", "test"):
        assert sorted(rows(copy, subset)) == sorted(rows(texts, subset))
