"""Make the sandbox's marketplace: listings, their photos and their classes, drawn or from folders of photos.

The tables: products_catalog (a listing and its first photo), products_photos (further photos of a listing),
tracking_staging (dated classes of a product) and catalogs (names of the classes).
"""

import datetime
import hashlib
import shutil
from pathlib import Path

import psycopg2
from psycopg2.extras import execute_values

from imageset.errors import DataError
from imageset.runtime import files, progress, settings
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import ordered_map
from sandbox import draw
from sandbox.dirty_listings import make_dirty_listings
from sandbox.garments import GARMENTS
from sandbox.listing import FIRST_PRODUCT, Listing

SCHEMA = """
DROP TABLE IF EXISTS products_catalog, products_photos, tracking_staging, catalogs;
CREATE TABLE products_catalog (product_id bigint, title text, image text, date timestamptz);
CREATE TABLE products_photos (product_id bigint, position int, image text);
CREATE TABLE tracking_staging (product_id bigint, catalog_id bigint, date timestamptz);
CREATE TABLE catalogs (catalog_id bigint PRIMARY KEY, title text NOT NULL, parent_id bigint);
"""
FIRST_CATALOG = 1201
ROOT_CATALOG = 1200
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
# Listings of each drawn class: uneven, as on real marketplaces. The last class is too rare to keep.
DRAWN = (40, 32, 26, 21, 17, 14, 12, 10, 8, 7, 6, 3)


def number_classes(names: list[str]) -> dict[str, int]:
    """Return a catalog_id for each class name."""
    return {name: FIRST_CATALOG + number for number, name in enumerate(sorted(names))}


def copy_folders(source: Path, photo_folder: Path) -> tuple[list[Listing], dict[str, int]]:
    """Copy photos from a folder for each class. Return a listing for each photo, and catalog_id by class name."""
    paths = sorted(path for path in source.glob("*/*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise DataError(
            f"{source} has no photos: expected a folder for each class, with .jpg, .png or .webp files in it"
        )
    classes = number_classes(list({path.parent.name for path in paths}))
    listings = []
    for product_id, path in enumerate(paths, FIRST_PRODUCT):
        name = f"{product_id}{path.suffix.lower()}"
        shutil.copyfile(path, photo_folder / name)
        listings.append(
            Listing(product_id, path.parent.name, (name,), choose_labels(product_id, path.parent.name, classes))
        )
    return listings, classes


def choose_labels(product_id: int, name: str, classes: dict[str, int]) -> tuple[int, ...]:
    """Return the classes of a product over time. One product in ten was first in another class."""
    right = classes[name]
    others = [catalog_id for catalog_id in classes.values() if catalog_id != right]
    return (others[product_id % len(others)], right) if product_id % 10 == 0 and others else (right,)


def draw_listings(photo_folder: Path) -> tuple[list[Listing], dict[str, int]]:
    """Draw about 200 listings, some dirty as on real marketplaces. Return them, and catalog_id by class name."""
    classes = number_classes(list(GARMENTS))
    garments = [name for name, count in zip(GARMENTS, DRAWN, strict=True) for _ in range(count)]
    tasks = [(garment, seed, photo_folder / f"{FIRST_PRODUCT + seed}.jpg") for seed, garment in enumerate(garments)]
    with LocalWorkers(settings.workers()) as workers:
        for _ in progress.bar(ordered_map(workers, draw_files, ([task] for task in tasks)), "draw", len(tasks)):
            pass
    listings = [
        Listing(FIRST_PRODUCT + seed, garment, (path.name,), choose_labels(FIRST_PRODUCT + seed, garment, classes))
        for garment, seed, path in tasks
    ]
    return [*listings, *make_dirty_listings(listings, photo_folder)], classes


def draw_files(tasks: list[tuple[str, int, Path]]) -> list[None]:
    """Draw photos in a worker: garment, seed and path of each."""
    for garment, seed, path in tasks:
        draw.draw(garment, seed).save(path, "JPEG", quality=90)
    return [None] * len(tasks)


def fill_database(url: str, photo_url: str, listings: list[Listing], classes: dict[str, int]) -> None:
    """Write the listings to new tables, in one transaction."""
    products = [(item.product_id, item.title, f"{photo_url}/{item.photos[0]}", item.date) for item in listings]
    photos = [
        (item.product_id, position, f"{photo_url}/{name}")
        for item in listings
        for position, name in enumerate(item.photos)
        if position
    ]
    tracked = [
        (item.product_id, catalog_id, item.date + datetime.timedelta(days=day))
        for item in listings
        for day, catalog_id in enumerate(item.catalog_ids)
    ]
    catalogs = [(ROOT_CATALOG, "clothing", None), *((number, name, ROOT_CATALOG) for name, number in classes.items())]
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        execute_values(cursor, "INSERT INTO products_catalog VALUES %s", products)
        if photos:
            execute_values(cursor, "INSERT INTO products_photos VALUES %s", photos)
        execute_values(cursor, "INSERT INTO tracking_staging VALUES %s", tracked)
        execute_values(cursor, "INSERT INTO catalogs VALUES %s", catalogs)
    connection.close()


def open_marketplace(url: str, photo_url: str, photo_folder: Path, source: Path | None) -> tuple[int, str]:
    """Fill the database and the photo host's folder.

    Args:
        url: of the database.
        photo_url: where the photo host serves its folder.
        photo_folder: the photo host's folder.
        source: folder with a folder of photos for each class; None to draw photos.

    Returns:
        The number of listings, and a name for this set of photos. Another set of photos has the same ids, so it needs
        another prefix in the bucket: ingest fetches no photo whose key exists.
    """
    shutil.rmtree(photo_folder)
    photo_folder.mkdir()
    listings, classes = copy_folders(source, photo_folder) if source else draw_listings(photo_folder)
    fill_database(url, photo_url, listings, classes)
    return len(listings), name_photos(photo_folder)


def name_photos(photo_folder: Path) -> str:
    """Return a short name made of the file names and bytes of the photos."""
    sums = [f"{path.name} {files.sha256(path)}" for path in sorted(photo_folder.iterdir())]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:12]
