"""Every fault of rows, hosts, photos and labels at once, in a fifth of the listings: each ends with its own reason, and
the others make the dataset that they make alone.
"""

import hashlib
import io
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg2
import pytest
from PIL import Image
from psycopg2.extras import execute_values

from imageset.formats import tables
from imageset.web import fetch_photo, host_limits
from tests.faults.trials import ALL, Trials
from tests.page.project import copy_sources, in_project, run_stages
from tests.photos.samples import REFUSED
from tests.stages.test_ingest import (
    Answer,
    PhotoHost,
    Request,
    body,
    bomb,
    host,
    lossless_jpeg,
    raw,
    redirect,
    status,
)

__all__ = ["host"]  # a fixture

SEED = 20
LISTINGS, SAMPLE = 2000, 200
FAULTY = 0.2
FIRST = 1000
CLASSES = ("bags", "dresses", "hats", "shoes")
RARE, UNKNOWN = 99, 77  # a class that one photo has, and one that the table of classes lacks
SIDES = (96, 128)
STAGES = (
    *("listings", "labels", "ingest", "inventory", "model", "masks", "embed", "preprocess"),
    *("duplicates", "catalog", "split", "build"),
)
# Outputs that say nothing of photos that are left out.
COMPARED = ("data/dataset.h5", "data/split.csv", "data/label_map.csv")
PARAMS = {
    "masks.background": "keep",
    "embed.enabled": "false",
    "ingest.max_rejected_share": 1.0,
    "preprocess.max_rejected_share": 1.0,
    "preprocess.image_side": 16,
    "preprocess.min_side": 48,
    "preprocess.max_aspect_ratio": 4,
    "augment.copies": 1,
}
QUERIES = {
    "listings": "SELECT product_id, position, image_url, key FROM {name}_listings",
    "labels": "SELECT product_id, catalog_id, date FROM {name}_labels",
    "classes": "SELECT catalog_id, name, NULL AS parent_id FROM {name}_classes",
}
SCHEMA = """
CREATE TABLE {name}_listings (product_id text, position text, image_url text, key text);
CREATE TABLE {name}_labels (product_id text, catalog_id bigint, date timestamptz);
CREATE TABLE {name}_classes (catalog_id bigint, name text);
"""

Row = tuple[str | None, str | None, str | None, str | None]  # product_id, position, image_url, key


class Fault(NamedTuple):
    """What is wrong with a listing.

    reason: that it ends with; "" where it is used all the same. row: changes its row. answer: of the host, given the
    photo. catalog_id: of its label; 0 for none. stage: that rejects it.
    """

    reason: str
    stage: str
    row: Callable[[Row], Row] = lambda row: row
    answer: Callable[[bytes], Answer] = body
    catalog_id: int | None = None


def url(value: str | None) -> Callable[[Row], Row]:
    return lambda row: (row[0], row[1], value, row[3])


def always(answer: Answer) -> Callable[[bytes], Answer]:
    return lambda photo: answer


def once(first: Answer) -> Callable[[bytes], Answer]:
    """Give another answer to the first request than to the others."""

    def answers(photo: bytes) -> Answer:
        state = iter([first])
        return lambda request: next(state, body(photo))(request)

    return answers


def cut_off(request: Request) -> None:
    """Declare a body, and close the connection before its end."""
    request.answer(200, b"half", Content_Length="1000")


def picture(sides: tuple[int, int], seed: int) -> bytes:
    """A JPEG unlike that of any other seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize(sides, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


FAULTS = {
    # Rows
    "id is null": Fault("no_id", "listings", lambda row: (None, *row[1:])),
    "id is blank": Fault("no_id", "listings", lambda row: ("  ", *row[1:])),
    "id turns the text": Fault("bad_id", "listings", lambda row: (f"{row[0]}\u202e", *row[1:])),
    "id is too long": Fault("bad_id", "listings", lambda row: (f"{row[0]}" * 100, *row[1:])),
    "position is negative": Fault("bad_position", "listings", lambda row: (row[0], "-1", *row[2:])),
    "position is a fraction": Fault("bad_position", "listings", lambda row: (row[0], "0.5", *row[2:])),
    "url is null": Fault("no_url", "listings", url(None)),
    "url is blank": Fault("no_url", "listings", url(" \t")),
    "url has a line break": Fault("bad_url", "listings", url("http://shop.example/1\r\nHost: x")),
    "key leaves the prefix": Fault("bad_key", "listings", lambda row: (row[0], row[1], None, "../../etc/passwd")),
    "url and key": Fault("url_and_key", "listings", lambda row: (*row[:3], "1.jpeg")),
    # Urls
    "another scheme": Fault("bad_url", "ingest", url("gopher://shop.example/1.jpg")),
    "metadata of the cloud": Fault("private_address", "ingest", url("http://169.254.169.254/latest/meta-data/")),
    "private address": Fault("private_address", "ingest", url("http://10.0.0.1/1.jpg")),
    "another bucket": Fault("bucket_not_allowed", "ingest", url("s3://other/1.jpg")),
    "file of the machine": Fault("folder_not_allowed", "ingest", url("file:///etc/passwd")),
    # Answers
    "401": Fault("forbidden", "ingest", answer=always(status(401))),
    "402": Fault("refused", "ingest", answer=always(status(402))),
    "403": Fault("forbidden", "ingest", answer=always(status(403))),
    "404": Fault("not_found", "ingest", answer=always(status(404))),
    "410": Fault("gone", "ingest", answer=always(status(410))),
    "empty": Fault("empty", "ingest", answer=always(body(b""))),
    "html": Fault("not_an_image", "ingest", answer=always(body(b"<!DOCTYPE html><html>sold</html>"))),
    "json": Fault("not_an_image", "ingest", answer=always(body(b'{"error": "no such photo"}'))),
    "nonsense": Fault("bad_response", "ingest", answer=always(raw(b"nonsense\r\n\r\n"))),
    "compressed": Fault("encoded", "ingest", answer=always(body(b"\x1f\x8b\x08", Content_Encoding="gzip"))),
    "says that it is large": Fault("too_large", "ingest", answer=always(body(b"", Content_Length="20000001"))),
    "not for machines": Fault("robots_tag", "ingest", answer=lambda photo: body(photo, X_Robots_Tag="noai")),
    "redirect to a file": Fault("bad_url", "ingest", answer=always(redirect("file:///etc/passwd"))),
    "redirect to the network": Fault("private_address", "ingest", answer=always(redirect("http://192.168.0.1/"))),
    "500 once": Fault("", "", answer=once(status(500))),
    "503 once": Fault("", "", answer=once(status(503))),
    "breaks off once": Fault("", "", answer=once(cut_off)),
    # Photos
    "cut": Fault("truncated", "ingest", answer=lambda photo: body(photo[: len(photo) // 2])),
    "cut, with an end": Fault("damaged", "ingest", answer=lambda photo: body(photo[: len(photo) // 2] + b"\xff\xd9")),
    "pixel bomb": Fault("too_many_pixels", "ingest", answer=always(body(bomb()))),
    "lossless JPEG": Fault("undecodable", "ingest", answer=always(body(lossless_jpeg()))),
    "TIFF": Fault("format_tiff", "ingest", answer=always(body(REFUSED["tiff"], Content_Type="image/jpeg"))),
    "PDF": Fault("format_pdf", "ingest", answer=always(body(REFUSED["pdf"]))),
    "too small": Fault("too_small", "preprocess", answer=always(body(picture((40, 47), -1 % 2**32)))),
    "a strip": Fault("extreme_aspect", "preprocess", answer=always(body(picture((48, 480), -2 % 2**32)))),
    # Labels
    "no label": Fault("no_label", "catalog", catalog_id=0),
    "class that nobody knows": Fault("unknown_class", "catalog", catalog_id=UNKNOWN),
    "class of one photo": Fault("rare_class", "catalog", catalog_id=RARE),
}
# One at most: five photos of a class are enough for it.
ALONE = {"class of one photo"}


class Listing(NamedTuple):
    """A listing of the marketplace: the rows of its tables, what is wrong with it, and its photo."""

    number: int
    fault: str | None
    row: Row
    catalog_id: int

    @property
    def expected(self) -> tuple[str, str]:
        """The stage that rejects it and the reason, ("", "") where it is used."""
        return ("", "") if self.fault is None else (FAULTS[self.fault].stage, FAULTS[self.fault].reason)


def draw_listings(count: int, host: PhotoHost) -> list[Listing]:
    """Draw which listings have which fault, and let the host answer for them. Each fault is there."""
    drawn = random.Random(SEED)
    faulty = drawn.sample(range(count), round(count * FAULTY))
    common = [name for name in FAULTS if name not in ALONE]
    names = [*ALONE, *(common[place % len(common)] for place in range(len(faulty) - len(ALONE)))]
    kinds: dict[int, str] = dict(zip(faulty, names, strict=True))
    listings = []
    for place in range(count):
        number, name = FIRST + place, kinds.get(place)
        fault = Fault("", "") if name is None else FAULTS[name]
        address = host.at(f"/{number}.jpg", fault.answer(picture(SIDES, number)))
        class_of = 1 + place % len(CLASSES) if fault.catalog_id is None else fault.catalog_id
        listings.append(Listing(number, name, fault.row((str(number), "0", address, None)), class_of))
    return listings


def fill_tables(database: str, name: str, listings: list[Listing]) -> None:
    """Write the listings into tables of their own."""
    labels = [(str(each.number), each.catalog_id, "2026-01-01") for each in listings if each.catalog_id]
    classes = [*enumerate(CLASSES, 1), (RARE, "rare")]
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA.format(name=name))
        execute_values(cursor, f"INSERT INTO {name}_listings VALUES %s", [each.row for each in listings])
        execute_values(cursor, f"INSERT INTO {name}_labels VALUES %s", labels)
        execute_values(cursor, f"INSERT INTO {name}_classes VALUES %s", classes)


@contextmanager
def run(folder: Path, name: str) -> Iterator[None]:
    """Run all stages on the tables of this name, in a project of its own; work in its folder then."""
    copy_sources(folder, PARAMS)
    for query, text in QUERIES.items():
        (folder / f"queries/{query}.sql").write_text(text.format(name=name))
    environment = dict(os.environ) | {
        "IMAGE_STORE": f"{os.environ['IMAGE_STORE']}-{name}",
        "IMAGESET_CACHE": str(folder / ".cache"),
    }
    with in_project(folder, environment, folder / "no weights", folder / "no weights"):
        run_stages(*STAGES)
        yield


def fates() -> dict[int, tuple[str, str]]:
    """Return the stage and the reason of each listing that a stage rejected. Each is rejected once."""
    found = [
        *(("ingest", row) for row in tables.read(Path("data/ingest.csv"), tables.INGEST).itertuples() if row.reason),
        *(("preprocess", row) for row in tables.read(Path("data/rejects.csv"), tables.REJECTS).itertuples()),
        *(
            ("catalog", row)
            for row in tables.read(Path("data/catalog_rejects.csv"), tables.CATALOG_REJECTS).itertuples()
        ),
    ]
    assert max(Counter(row.product_id for _, row in found).values()) == 1
    return {int(row.product_id): (stage, row.reason) for stage, row in found}


def count_rows() -> dict[str, int]:
    """Return how many rows each table has."""
    kinds = {
        "listings": tables.LISTINGS,
        "listings_rejects": tables.LISTING_REJECTS,
        "ingest": tables.INGEST,
        "inventory": tables.INVENTORY,
        "processed": tables.PROCESSED,
        "rejects": tables.REJECTS,
        "catalog": tables.CATALOG,
        "catalog_rejects": tables.CATALOG_REJECTS,
        "split": tables.SPLIT,
    }
    return {name: len(tables.read(Path(f"data/{name}.csv"), kind)) for name, kind in kinds.items()}


def md5s() -> list[str]:
    return [hashlib.md5(Path(name).read_bytes()).hexdigest() for name in COMPARED]


@pytest.mark.fault("Mixed", "rows, urls, answers, photos and labels that are wrong", "a fifth of the listings, drawn")
@pytest.mark.usefixtures("bucket")
def test_each_listing_ends_with_its_own_reason_and_the_others_as_without_them(
    trials: Trials, host: PhotoHost, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_photo, "SECONDS_BEFORE_RETRY", 0.001)
    monkeypatch.setattr(host_limits, "FIRST_PAUSE", 0.001)
    listings = draw_listings(LISTINGS if ALL else SAMPLE, host)
    used = [each for each in listings if each.expected == ("", "")]
    fill_tables(database, "mixed", listings)
    fill_tables(database, "clean", used)
    assert {each.fault for each in listings} >= set(FAULTS) if ALL else len(used) < len(listings)

    with run(tmp_path / "mixed", "mixed"):
        found, rows, made = fates(), count_rows(), md5s()
        in_dataset = set(tables.read(Path("data/split.csv"), tables.SPLIT)["product_id"])
        unnamed = Counter(tables.read(Path("data/listings_rejects.csv"), tables.LISTING_REJECTS)["reason"])
    for each in listings:
        if each.fault is not None and each.expected[0] != "listings":
            with trials.trial(f"{each.fault} ({each.number})"):
                assert found.get(each.number, ("", "")) == each.expected
                assert (each.number in in_dataset) == (each.expected == ("", ""))
    # These rows have no id to be found by.
    expected = Counter(each.expected[1] for each in listings if each.expected[0] == "listings")
    for reason, count in expected.items():
        for number in range(count):
            with trials.trial(f"{reason} {number}"):
                assert number < unnamed[reason]
    assert unnamed == expected

    assert rows["listings"] + rows["listings_rejects"] == len(listings)
    assert rows["ingest"] == rows["listings"]
    assert rows["processed"] + rows["rejects"] == rows["inventory"]
    assert rows["catalog"] + rows["catalog_rejects"] == rows["processed"]
    assert rows["split"] == rows["catalog"] == len(used)
    assert in_dataset == {each.number for each in used}

    with run(tmp_path / "clean", "clean"), trials.trial("the same dataset as without them"):
        assert md5s() == made
        assert not Path("data/rejects.csv").read_text().splitlines()[1:]
