"""A small project with everything that the page shows, made by the stages themselves on real servers.

Class names are what sellers might write: markup, formulas, scripts without capitals, two classes of one name.
"""

import hashlib
import json
import shlex
import shutil
import sys
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg2
import pytest
import yaml
from PIL import Image, ImageFilter

from benchmarks.audit.off_topic import price_tag
from benchmarks.page.plant import damage_masks
from imageset.dataset.render import open_source
from imageset.runtime import stage
from sandbox import draw, marketplace
from sandbox.listing import FIRST_PRODUCT, Listing
from sandbox.s3 import PHOTO_BUCKET
from sandbox.servers import Servers
from tests import planted
from tests.project import PLANTED, ROOT, Project

GARMENTS = ("dress", "pants", "t-shirt", "hat", "bag", "skirt")
NAMES = ("<script>alert(1)</script>", "連衣裙 ワンピース", "เสื้อยืด", "قبعة 🎩", "=cmd|'/C calc'!A0", "=cmd|'/C calc'!A1")
SAME_NAME = "=cmd|'/C calc'!A0"  # of the last two classes
RARE = "too rare"
OF_EACH = 9
SIDES = (240, 320)
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


class Made(NamedTuple):
    """The project, and the products that have something special."""

    folder: Path
    flipped: list[int]  # their class is another's
    damaged: list[int]  # their masks lost a part of the garment
    off_topic: int
    pair: tuple[int, int]
    blurred: int
    rejected: dict[str, int]  # by reason

    @property
    def page(self) -> Path:
        return self.folder / "data/report.html"


def run_stages(*names: str) -> None:
    """Run stages in the working directory, in this process, with the paths that dvc.yaml names."""
    for name in names:
        module = import_module(f"stages.{name}")
        words = shlex.split(GRAPH[name]["cmd"].replace("exec python -m", ""))
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr(sys, "argv", words)
            warnings.filterwarnings("ignore", message="Glyph")  # plots in PNG lack letters for some class names
            module.main(**stage.arguments(name, module.main))


def copy_sources(folder: Path, values: dict[str, object]) -> None:
    """Copy what the stages read beside each other's outputs, with other values of some params."""
    for name in ("queries", "releases", "corrections", "models", "stages/templates"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for key, value in (values | {"leakage.planted": PLANTED}).items():
        Project(folder, {}).set_param(key, value)


def open_market(sandbox: Servers, name: str, listings: list[Listing], classes: dict[str, int]) -> dict[str, str]:
    """Fill a database of its own, and return the settings that lead to it, to the photos and to a bucket's prefix."""
    server = sandbox.environment["DATABASE_URL"]
    connection = psycopg2.connect(server)
    connection.autocommit = True
    connection.cursor().execute(f'CREATE DATABASE "{name}"')
    connection.close()
    url = f"{server.rpartition('/')[0]}/{name}"
    marketplace.fill_database(url, f"{sandbox.photo_url}/{name}", listings, classes)
    with psycopg2.connect(url) as changed, changed.cursor() as cursor:
        cursor.execute("UPDATE catalogs SET title = %s WHERE title = %s", (SAME_NAME, NAMES[-1]))
    changed.close()
    return sandbox.environment | {"DATABASE_URL": url, "IMAGE_STORE": f"s3://{PHOTO_BUCKET}/{name}"}


def encode(photo: Image.Image) -> bytes:
    return planted.encode(photo.resize(SIDES))


def make_photos(folder: Path, classes: dict[str, int]) -> tuple[list[Listing], Made]:
    """Write photos into the photo host's folder. Return their listings, and which of them are special."""
    numbers, listings = count(FIRST_PRODUCT), []

    def add(name: str, *photos: bytes, catalog_ids: tuple[int, ...] = ()) -> int:
        product = next(numbers)
        names = tuple(f"{product}-{position}.jpg" for position in range(len(photos)))
        for file, body in zip(names, photos, strict=True):
            if body:
                (folder / file).write_bytes(body)
        listings.append(Listing(product, name, names, catalog_ids or (classes[name],)))
        return product

    ordinary: list[list[int]] = []
    for place, (garment, name) in enumerate(zip(GARMENTS, NAMES, strict=True)):
        photos = [encode(draw.draw(garment, seed)) for seed in range(OF_EACH + 1)]
        of_class = [add(name, *photos[:2])] + [add(name, body) for body in photos[2:]]
        ordinary.append(of_class)
        if place == 0:
            add(name, encode(draw.draw(garment, 50)), catalog_ids=(classes[NAMES[1]], classes[name]))
    for seed in range(2):
        add(RARE, encode(draw.draw("scarf", seed)))
    copied = draw.draw(GARMENTS[4], 2).resize(SIDES)
    made = Made(
        folder=folder,
        flipped=[add(NAMES[1], encode(draw.draw(GARMENTS[0], 60))), add(NAMES[0], encode(draw.draw(GARMENTS[2], 61)))],
        damaged=[ordinary[1][2], ordinary[3][3]],
        off_topic=add(NAMES[2], encode(price_tag(np.random.default_rng(1)))),
        pair=(ordinary[4][1], add(NAMES[4], planted.plant(copied, "cropped", 1))),
        blurred=add(NAMES[3], encode(draw.draw(GARMENTS[3], 70).filter(ImageFilter.GaussianBlur(12)))),
        rejected={
            "not_found": add(NAMES[0], b""),
            "truncated": add(NAMES[0], encode(draw.draw(GARMENTS[0], 80))[:2000]),
            "off_topic": ordinary[5][4],
        },
    )
    return listings, made


def make_project(folder: Path, sandbox: Servers, weights: Path, embedding_weights: Path) -> None:
    """Make the project in a folder, up to the page."""
    copy_sources(folder, {"masks.precision": "int8", "source.photos_per_listing": 2})
    classes = {each: 1201 + place for place, each in enumerate((*NAMES, RARE))}
    photos = open_photo_folder(sandbox, folder)
    listings, made = make_photos(photos, classes)
    with in_project(folder, open_market(sandbox, photos.name, listings, classes), weights, embedding_weights):
        with Path("corrections/exclusions.csv").open("a") as file:
            file.write(f"{made.rejected['off_topic']},0,off_topic,,,2026-11-28\n")
        run_stages("listings", "labels", "ingest", "inventory", "model", "masks")
        damage_masks(Path("data/masks.h5"), Path("data/masks.csv"), made.damaged, np.random.default_rng(1))
        run_stages("embed", "preprocess", "duplicates", "leakage", "catalog", "split", "build", "validate", "baseline")
        run_stages("audit", "page")
    (folder / "made.json").write_text(json.dumps(made._asdict() | {"folder": ""}))


def read_made(folder: Path) -> Made:
    """Return what `make_project` made in a folder."""
    special = json.loads((folder / "made.json").read_text())
    return Made(**special | {"folder": folder, "pair": tuple(special["pair"])})


def make_plain_project(folder: Path, sandbox: Servers, weights: Path, embedding_weights: Path) -> None:
    """Make a project of one class, with backgrounds and without embeddings, up to the page. No photo is lost."""
    copy_sources(folder, {"masks.background": "keep", "embed.enabled": "false"})
    classes = {"hats": 1201}
    photos = open_photo_folder(sandbox, folder)
    listings = []
    for seed in range(8):
        name = f"{FIRST_PRODUCT + seed}.jpg"
        (photos / name).write_bytes(encode(draw.draw("hat", seed)))
        listings.append(Listing(FIRST_PRODUCT + seed, "a hat", (name,), (1201,)))
    with in_project(folder, open_market(sandbox, photos.name, listings, classes), weights, embedding_weights):
        run_stages(*(name for name in GRAPH if name != "report"))


TEXT_CLASSES = ("dresses", "Kleider / Röcke", "=1+1", "<b>")
LISTINGS_OF_TEXTS = """
SELECT md5(product_id::text)::uuid AS product_id, 0 AS position, image AS image_url FROM products_catalog
"""
LABELS_OF_TEXTS = """
SELECT md5(product_id::text)::uuid AS product_id, title AS class_name, date
FROM tracking_staging JOIN catalogs USING (catalog_id)
"""


def uuid_of(product: int) -> str:
    """Return what the project of texts calls a product."""
    return str(uuid.UUID(hashlib.md5(str(product).encode()).hexdigest()))


def make_text_project(folder: Path, sandbox: Servers, weights: Path, embedding_weights: Path) -> None:
    """Make a project whose queries return UUIDs for products and names alone for classes, up to the page."""
    copy_sources(folder, {"masks.background": "keep", "embed.enabled": "false", "catalog.min_photos": 2})
    (folder / "queries/listings.sql").write_text(LISTINGS_OF_TEXTS)
    (folder / "queries/labels.sql").write_text(LABELS_OF_TEXTS)
    (folder / "queries/classes.sql").unlink()
    classes = {name: 1201 + place for place, name in enumerate(TEXT_CLASSES)}
    photos = open_photo_folder(sandbox, folder)
    listings = []
    for place, (name, garment) in enumerate(zip(TEXT_CLASSES, GARMENTS, strict=False)):
        for seed in range(4):
            product = FIRST_PRODUCT + 10 * place + seed
            (photos / f"{product}.jpg").write_bytes(encode(draw.draw(garment, seed)))
            listings.append(Listing(product, name, (f"{product}.jpg",), (classes[name],)))
    environment = open_market(sandbox, photos.name, listings, classes)
    (folder / "environment.json").write_text(json.dumps(environment))
    with in_project(folder, environment, weights, embedding_weights):
        run_stages(*(name for name in GRAPH if name != "report"))


def open_photo_folder(sandbox: Servers, project: Path) -> Path:
    """Make a folder of the photo host for a project."""
    folder = sandbox.photo_folder / f"page-{project.parent.name}-{project.name}"
    folder.mkdir()
    return folder


@contextmanager
def in_project(
    folder: Path, environment: dict[str, str], weights: Path, embedding_weights: Path, is_new: bool = True
) -> Iterator[None]:
    """Work in a project's folder, with the settings that lead to its sources. A new one has no data yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        models = {"IMAGESET_MODEL_FILE": str(weights), "IMAGESET_EMBEDDING_FILE": str(embedding_weights)}
        for name, value in (environment | models | {"IMAGESET_WORKERS": "1"}).items():
            patch.setenv(name, value)
        open_source.cache_clear()  # of another project, by the same relative path
        for empty in ("data", "reports"):
            Path(empty).mkdir(exist_ok=not is_new)
        yield
