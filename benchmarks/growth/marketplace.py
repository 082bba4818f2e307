"""A marketplace of as many photos as wanted: rows of PostgreSQL, and all photos in one file.

Photos are made and written in blocks, so a million take no more memory than ten thousand.
"""

import datetime
import functools
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg2
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from benchmarks.near_duplicates import synthetic
from imageset.formats.hdf5 import Indices, Pixels
from imageset.runtime import progress
from imageset.workers.local import LocalWorkers
from imageset.workers.ordered_map import Lost, ordered_map
from sandbox.listing import FIRST_DATE, FIRST_PRODUCT
from sandbox.marketplace import FIRST_CATALOG, ROOT_CATALOG, SCHEMA

BLOCK = synthetic.AT_ONCE
RUN = synthetic.COPIES  # photos: the last of each run is a copy
# Photos of each product of a run. The last product has the copy alone.
PRODUCTS = (1, 2, 4, 1, 3, 2, 1, 4, 1, 1)
ORIGINAL = 5  # the product of a run that has the photo which is copied
MOST_PHOTOS = max(PRODUCTS)
CLASS_POWER = 0.4  # 40 classes for 10,000 photos, 251 for a million
COLOR_OF_CLASS, COLOR_OF_PHOTO = 30, 10  # steps of chroma, of 256: the greatest, and the standard deviation
QUALITY = 85

# What is wrong with some photos: the number of the photo modulo EACH.
EACH = 1000
MISSING, CUT, LOGIN, EMPTY, NO_URL, NO_WEB, AGAIN, TWICE = 101, 203, 307, 401, 503, 601, 701, 851
PLACEHOLDERS = 250  # of each so many photos one is the picture "no photo yet"
UNLABELLED, RELABELLED = 200, 10  # of each so many products one has no class, and one had another class first
RARE = 2  # products of a class of their own
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Classes(NamedTuple):
    """The class of each real photo, (R,), and the real photos of each class."""

    of_bases: Indices
    bases: list[Indices]


class Place(NamedTuple):
    """Where the pack has a photo: first byte, bytes, and the suffix of its URL."""

    offset: int
    length: int
    suffix: str

    def url(self, host: str) -> str:
        return f"{host}/{self.offset}-{self.length}.{self.suffix}"


class Block(NamedTuple):
    """The photos of a block as files, with their suffixes, and the class of each of its products, (P,)."""

    photos: list[tuple[bytes, str]]
    classes: Indices


def count_classes(photos: int, bases: int) -> int:
    """Return the number of classes of a marketplace of synthetic photos that resemble so many real ones."""
    return min(bases, round(math.pow(photos, CLASS_POWER)))


def share_classes(bases: int, classes: int) -> Classes:
    """Give each of the real photos that synthetic ones resemble a class; the sizes of classes fall as 1 / rank."""
    weights = 1 / np.arange(1, classes + 1)
    sizes = 1 + np.floor((bases - classes) * weights / weights.sum()).astype(np.int64)
    of_bases = np.repeat(np.arange(classes), sizes)
    of_bases = np.concatenate([of_bases, np.zeros(bases - len(of_bases), np.int64)])
    of_bases = np.random.default_rng(bases).permutation(of_bases)
    return Classes(of_bases, [np.flatnonzero(of_bases == number) for number in range(classes)])


def place_products(photos: int) -> tuple[Indices, Indices]:
    """Return the product of each photo, from 0, and its position, both (photos,)."""
    one_run = np.repeat(np.arange(len(PRODUCTS)), PRODUCTS)
    positions = np.concatenate([np.arange(count) for count in PRODUCTS])
    runs = -(-photos // RUN)
    products = (np.arange(runs)[:, np.newaxis] * len(PRODUCTS) + one_run).reshape(-1)[:photos]
    return products, np.tile(positions, runs)[:photos]


def choose_bases(classes: Classes, draw: np.random.Generator) -> tuple[Indices, Indices]:
    """Return the class of each product of a block, and the real photo that each of its photos resembles."""
    products, _ = place_products(BLOCK)
    firsts = draw.integers(0, len(classes.of_bases), products[-1] + 1)
    firsts[len(PRODUCTS) - 1 :: len(PRODUCTS)] = firsts[ORIGINAL :: len(PRODUCTS)]
    of_products = classes.of_bases[firsts]
    dice = draw.random(BLOCK)
    sizes = np.array([len(bases) for bases in classes.bases])
    starts = np.cumsum(sizes) - sizes
    of_photos = of_products[products]
    bases = np.concatenate(classes.bases)[starts[of_photos] + np.floor(dice * sizes[of_photos]).astype(np.int64)]
    return of_products, bases


@functools.cache
def read_frequencies(path: Path) -> NDArray[np.float64]:
    """Return the cosine transforms of real thumbnails, (R, 64, 64)."""
    return np.asarray(dctn(np.load(path).astype(np.float64), axes=(1, 2), norm="ortho"))


def make_blocks(tasks: list[tuple[Path, int, int]]) -> list[Block]:
    """Make blocks in a worker: the thumbnails' file, the classes and the block's number of each."""
    return [make_block(*task) for task in tasks]


def make_block(thumbnails: Path, classes: int, number: int) -> Block:
    """Return BLOCK photos of 64 x 64 pixels."""
    frequencies = read_frequencies(thumbnails)
    draw = np.random.default_rng([number, 22])
    of_products, bases = choose_bases(share_classes(len(frequencies), classes), draw)
    grays = synthetic.make_photos(frequencies, np.random.default_rng(number * BLOCK), bases)
    products, _ = place_products(BLOCK)
    colors = choose_colors(of_products[products], draw)
    files = [encode(place + number * BLOCK, gray, colors[place]) for place, gray in enumerate(grays)]
    return Block(files, of_products)


def choose_colors(classes: Indices, draw: np.random.Generator) -> NDArray[np.uint8]:
    """Return the chroma of each photo, (N, 2): that of its class and some of its own. A copy has that of its photo."""
    turns = classes * (np.sqrt(5) - 1) * np.pi
    center = COLOR_OF_CLASS * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    colors = 128 + center + draw.normal(0, COLOR_OF_PHOTO, center.shape)
    copies = np.arange(RUN - 1, len(colors), RUN)
    colors[copies] = colors[copies - synthetic.BACK]
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


def encode(number: int, gray: Pixels, color: NDArray[np.uint8]) -> tuple[bytes, str]:
    """Return a photo as a file, and its suffix. Some are cut off, empty, or no photo at all."""
    planes = [Image.fromarray(gray), *(Image.new("L", gray.shape, int(value)) for value in color)]
    image, file = Image.merge("YCbCr", planes), io.BytesIO()
    kind = {3: "PNG", 13: "WEBP"}.get(number % 50, "JPEG")
    (image.convert("RGB") if kind == "PNG" else image).save(file, kind, quality=QUALITY)
    body, suffix = file.getvalue(), {"JPEG": "jpg"}.get(kind, kind.lower())
    wrong = {CUT: (body[: len(body) // 2], suffix), LOGIN: (PAGE, "html"), EMPTY: (b"", suffix)}
    return wrong.get(number % EACH, (body, suffix))


def fill(url: str, host: str, pack: Path, thumbnails: Path, photos: int, workers: int) -> None:
    """Make a marketplace of some photos: new tables, in one transaction, and the pack that the photo host serves.

    Args:
        url: of the database.
        host: URL of the photo host.
        pack: file for all photos.
        thumbnails: .npy of the real photos that the synthetic ones resemble, uint8 (R, 64, 64).
        photos: how many.
        workers: processes that make them.
    """
    classes = count_classes(photos, len(np.load(thumbnails, mmap_mode="r")))
    blocks = -(-photos // BLOCK)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor, pack.open("wb") as file:
        cursor.execute(SCHEMA)
        placeholder = write_photo(file, *encode(0, np.full((64, 64), 200, np.uint8), np.full(2, 128, np.uint8)))
        with LocalWorkers(workers) as pool:
            tasks = ([(thumbnails, classes, number)] for number in range(blocks))
            made = ordered_map(pool, make_blocks, tasks)
            for number, (block,) in enumerate(progress.bar(made, "marketplace", blocks, "block")):
                assert not isinstance(block, Lost), block
                count = min(BLOCK, photos - number * BLOCK)
                places = [write_photo(file, *photo) for photo in block.photos[:count]]
                urls = choose_urls(number * BLOCK, places, placeholder, host)
                copy_block(cursor, number * BLOCK, block.classes, classes, urls)
        copy_rows(cursor, "catalogs", name_classes(classes))
    connection.close()


def name_classes(classes: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the classes: the root, the classes, and one that is rare."""
    yield ROOT_CATALOG, "clothing", r"\N"
    for number in range(classes + 1):
        yield FIRST_CATALOG + number, f"class {number}", ROOT_CATALOG


def write_photo(file: io.BufferedWriter, body: bytes, suffix: str) -> Place:
    offset = file.tell()
    file.write(body)
    return Place(offset, len(body), suffix)


def choose_urls(first: int, places: list[Place], placeholder: Place, host: str) -> list[str]:
    """Return the URL of each photo of a block as PostgreSQL's COPY has it. first: the number of its first photo."""
    urls = []
    for at, place in enumerate(places):
        wrong = {MISSING: f"{host}/gone.jpg", NO_URL: r"\N", NO_WEB: "javascript:void(0)"}
        if (first + at) % EACH == AGAIN:
            place = places[at - RUN]
        if (first + at) % PLACEHOLDERS == PLACEHOLDERS - 1:
            place = placeholder
        urls.append(wrong.get((first + at) % EACH, place.url(host)))
    return urls


def copy_block(
    cursor: psycopg2.extensions.cursor, first: int, of_products: Indices, classes: int, urls: list[str]
) -> None:
    """Write the rows of a block.

    Args:
        cursor: of the database.
        first: the number of the block's first photo.
        of_products: the class of each of its products, (P,).
        classes: how many classes there are, without the rare one.
        urls: of its photos.
    """
    products, positions = (each.tolist() for each in place_products(len(urls)))
    first_product = first // RUN * len(PRODUCTS)
    names = [FIRST_PRODUCT + first_product + product for product in range(products[-1] + 1)]
    dates = [FIRST_DATE + datetime.timedelta(minutes=name - FIRST_PRODUCT) for name in names]
    rows = [(names[product], position, url) for product, position, url in zip(products, positions, urls, strict=True)]
    listed = [url for _, position, url in rows if position == 0]
    copy_rows(
        cursor,
        "products_catalog",
        ((name, f"product {name}", url, date) for name, url, date in zip(names, listed, dates, strict=True)),
    )
    twice = [row for number, row in enumerate(rows, first) if number % EACH == TWICE]
    copy_rows(cursor, "products_photos", [*(row for row in rows if row[1]), *twice])
    labels = (choose_labels(first_product + at, int(of_products[at]), classes) for at in range(len(names)))
    tracked = (
        (name, FIRST_CATALOG + label, date + datetime.timedelta(days=day))
        for name, date, given in zip(names, dates, labels, strict=True)
        for day, label in enumerate(given)
    )
    copy_rows(cursor, "tracking_staging", tracked)


def choose_labels(number: int, right: int, classes: int) -> tuple[int, ...]:
    """Return the classes of a product over time, the latest last. number: the product's, from 0."""
    if number < RARE:
        return (classes,)
    if number % UNLABELLED == UNLABELLED - 1:
        return ()
    return ((right + 1) % classes, right) if number % RELABELLED == 0 else (right,)


def copy_rows(cursor: psycopg2.extensions.cursor, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Append rows to a table. Texts have no tabs, line ends or backslashes, but for the null."""
    text = io.StringIO("".join("\t".join(map(str, row)) + "\n" for row in rows))
    cursor.copy_expert(f"COPY {table} FROM STDIN", text)
