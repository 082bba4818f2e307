"""Every fault of rows, hosts, photos and labels at once, in a fifth of the listings: each ends with its own reason, and
the others make the dataset that they make alone.
"""

import hashlib
import os
import random
import re
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

from imageset.curation.corrections import REASONS_OF_STAGES
from imageset.errors import ServerError
from imageset.formats import tables
from imageset.photos import decode
from imageset.storage.bucket import open_bucket
from imageset.web import fetch_photo, host_limits
from imageset.web.refusals import REASONS
from stages import catalog
from stages import listings as stage_listings
from tests.conftest import put, saved
from tests.faults.trials import ALL, Trials
from tests.page.project import copy_sources, in_project, run_stages
from tests.photos.samples import BY_NAME, REFUSED
from tests.project import ROOT, Project
from tests.stages.in_workers import check_or_fall
from tests.stages.test_ingest import (
    Answer,
    PhotoHost,
    Request,
    body,
    bomb,
    dead_host,
    host,
    large_png,
    lossless_jpeg,
    raw,
    redirect,
    status,
)

__all__ = ["dead_host", "host"]  # fixtures

SEED = 20
LISTINGS, SAMPLE = 2000, 200
FAULTY = 0.2
FIRST = 1000
GOOD = str(FIRST + LISTINGS)  # a product that has no fault
DEAD = "http://dead"  # a host that is down
ROBOTS = b"User-agent: *\nDisallow: /disallowed/\n"
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
    "ingest.formats": "[jpeg, png]",
    "ingest.max_rejected_share": 1.0,
    "ingest.robots": "obey",
    "ingest.unreachable": "reject",
    "preprocess.max_rejected_share": 1.0,
    "preprocess.image_side": 16,
    "preprocess.min_side": 48,
    "preprocess.max_aspect_ratio": 4,
    "preprocess.min_sharpness": 0.02,
    "preprocess.min_brightness": 30,
    "preprocess.max_brightness": 235,
    "source.photos_per_listing": 1,
    "duplicates.max_products": 3,
    "catalog.label_conflict": "drop",
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
    photo. classes: of its labels. stage: that rejects it. stored: the object that another system put under its key.
    """

    reason: str
    stage: str
    row: Callable[[Row], Row] = lambda row: row
    answer: Callable[[bytes], Answer] = body
    classes: tuple[int, ...] | None = None
    stored: bytes | None = None


def url(value: str | None) -> Callable[[Row], Row]:
    return lambda row: (row[0], row[1], value, row[3])


def within(folder: str) -> Callable[[Row], Row]:
    """Move the photo into a folder of its host."""
    return lambda row: (row[0], row[1], re.sub(r"(:\d+)/", rf"\1/{folder}/", row[2] or ""), row[3])


def key(row: Row) -> Row:
    """Name an object of the bucket instead of a URL."""
    return (row[0], row[1], None, f"others/{row[0]}.jpeg")


def beside(position: Callable[[int], int], address: str) -> Callable[[Row], Row]:
    """Make it a row of a good product, at a position that its own number decides."""
    return lambda row: (GOOD, str(position(int(row[0] or 0))), address, None)


def stored(content: bytes, reason: str) -> Fault:
    return Fault(reason, "preprocess", key, stored=content)


def shown(reason: str, content: bytes) -> Fault:
    return Fault(reason, "preprocess", answer=always(body(content)))


def circle(request: Request) -> None:
    request.answer(302, b"", Location=request.path)


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
    return saved(Image.fromarray(blocks).resize(sides, Image.Resampling.BICUBIC), "JPEG", quality=90)


def plain(level: int) -> bytes:
    return saved(Image.new("RGB", SIDES, (level, level, level)), "JPEG")


WHOLE = picture(SIDES, 2**31)
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
    "position of another row": Fault(
        "repeated", "listings", beside(lambda number: 0, "https://shop.example/again.jpg")
    ),
    "second photo of a product": Fault(
        "beyond_position", "listings", beside(lambda number: number, "https://shop.example/2.jpg")
    ),
    # Urls
    "another scheme": Fault("bad_url", "ingest", url("gopher://shop.example/1.jpg")),
    "metadata of the cloud": Fault("private_address", "ingest", url("http://169.254.169.254/latest/meta-data/")),
    "private address": Fault("private_address", "ingest", url("http://10.0.0.1/1.jpg")),
    "another bucket": Fault("bucket_not_allowed", "ingest", url("s3://other/1.jpg")),
    "address in brackets": Fault("bad_url", "ingest", url("http://[203.0.113.1:22]/1.jpg")),
    "file of the machine": Fault("folder_not_allowed", "ingest", url("file:///etc/passwd")),
    "key without an object": Fault("missing_object", "ingest", key),
    "product that is taken down": Fault("taken_down", "ingest"),
    # Hosts
    "nothing listens": Fault("unreachable", "ingest", url(f"{DEAD}/1.jpg")),
    "not for robots": Fault("robots_txt", "ingest", within("disallowed")),
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
    "redirect in a circle": Fault("too_many_redirects", "ingest", answer=always(circle)),
    "redirect to a file": Fault("bad_url", "ingest", answer=always(redirect("file:///etc/passwd"))),
    "redirect to the network": Fault("private_address", "ingest", answer=always(redirect("http://192.168.0.1/"))),
    "500 always": Fault("server_error", "ingest", answer=always(status(500))),
    "breaks off always": Fault("server_error", "ingest", answer=always(cut_off)),
    "500 once": Fault("", "", answer=once(status(500))),
    "503 once": Fault("", "", answer=once(status(503))),
    "breaks off once": Fault("", "", answer=once(cut_off)),
    # Photos
    "cut": Fault("truncated", "ingest", answer=lambda photo: body(photo[: len(photo) // 2])),
    "cut, with an end": Fault("damaged", "ingest", answer=lambda photo: body(photo[: len(photo) // 2] + b"\xff\xd9")),
    "pixel bomb": Fault("too_many_pixels", "ingest", answer=always(body(bomb()))),
    "lossless JPEG": Fault("undecodable", "ingest", answer=always(body(lossless_jpeg()))),
    "TIFF that is called JPEG": Fault(
        "format_tiff", "ingest", answer=always(body(REFUSED["tiff"], Content_Type="image/jpeg"))
    ),
    **{
        f"format {name}": Fault(f"format_{name}", "ingest", answer=always(body(content)))
        for name, content in BY_NAME.items()
        if name not in ("jpeg", "png")
    },
    "too small": shown("too_small", picture((40, 47), -1 % 2**32)),
    "a strip": shown("extreme_aspect", picture((48, 480), -2 % 2**32)),
    "black": shown("too_dark", plain(5)),
    "white": shown("too_light", plain(250)),
    "gray": shown("too_blurred", plain(128)),
    "crashes its decoder": Fault("decoder_crash", "ingest", answer=lambda photo: body(photo + b"crash")),
    "hangs": Fault("decoder_timeout", "ingest", answer=lambda photo: body(photo + b"hang")),
    "needs much memory": Fault("decoder_memory", "ingest", answer=always(body(large_png()))),
    # Objects of another system
    "empty object": stored(b"", "empty"),
    "page in the bucket": stored(b"<!DOCTYPE html><html>sold</html>", "not_an_image"),
    "object is cut": stored(WHOLE[: len(WHOLE) // 2], "truncated"),
    "object is cut, with an end": stored(WHOLE[: len(WHOLE) // 2] + b"\xff\xd9", "damaged"),
    "TIFF in the bucket": stored(REFUSED["tiff"], "format_tiff"),
    "bomb in the bucket": stored(bomb(), "too_many_pixels"),
    "lossless JPEG in the bucket": stored(lossless_jpeg(), "undecodable"),
    # Labels
    "no label": Fault("no_label", "catalog", classes=()),
    "two labels": Fault("label_conflict", "catalog", classes=(1, 2)),
    "class that nobody knows": Fault("unknown_class", "catalog", classes=(UNKNOWN,)),
    "class of one photo": Fault("rare_class", "catalog", classes=(RARE,)),
    "picture of many products": Fault("shared_picture", "catalog", answer=always(body(picture(SIDES, 2**31 + 1)))),
}
# So many of each. Five photos of a class are enough for it; a picture of three products is no placeholder yet.
SLOW = {"crashes its decoder": 1, "hangs": 1, "needs much memory": 1}  # `make faults` alone has them
NUMBERS = {"class of one photo": 1, "picture of many products": 4} | (SLOW if ALL else {})
# Reasons that no listing here ends with, and where they are tested.
ELSEWHERE = {
    **dict.fromkeys(["format_jpeg", "format_png"], "the formats of good photos here: tests/stages/test_preprocess.py"),
    **dict.fromkeys(["mask_empty", "mask_full"], "there is no network here: tests/stages/test_masks.py"),
    "beyond_limit": "a param chooses among good listings: tests/stages/test_listings.py",
    "bridges_release": "there is no release here: tests/stages/test_catalog.py",
    "duplicate": "catalog.keep is all, and the best photo stays: tests/stages/test_catalog.py",
}


class Listing(NamedTuple):
    """A listing of the marketplace: the rows of its tables, what is wrong with it, and its photo."""

    number: int
    fault: str | None
    row: Row
    classes: tuple[int, ...]

    @property
    def expected(self) -> tuple[str, str]:
        """The stage that rejects it and the reason, ("", "") where it is used."""
        return ("", "") if self.fault is None else (FAULTS[self.fault].stage, FAULTS[self.fault].reason)


def draw_listings(count: int, host: PhotoHost, dead_host: str) -> list[Listing]:
    """Draw which listings have which fault, and let the hosts answer for them.

    Of `make faults`, each fault is there; of a sample, faults of each kind.
    """
    drawn = random.Random(SEED)
    faulty = drawn.sample(range(count), round(count * FAULTY))
    exact = [name for name, number in NUMBERS.items() for _ in range(number)]
    common = [name for name in FAULTS if name not in NUMBERS | SLOW]
    others = len(faulty) - len(exact)
    step = max(1, len(common) // others)
    names = [*exact, *(common[place * step % len(common)] for place in range(others))]
    kinds: dict[int, str] = dict(zip(faulty, names, strict=True))
    host.at("/robots.txt", body(ROBOTS))
    listings = []
    for place in range(count):
        number, name = FIRST + place, kinds.get(place)
        fault = Fault("", "") if name is None else FAULTS[name]
        address = host.at(f"/{number}.jpg", fault.answer(picture(SIDES, number)))
        product, position, leads_to, named = fault.row((str(number), "0", address, None))
        row = product, position, leads_to and leads_to.replace(DEAD, dead_host), named
        classes = (1 + place % len(CLASSES),) if fault.classes is None else fault.classes
        listings.append(Listing(number, name, row, classes))
    address = host.at(f"/{GOOD}.jpg", body(picture(SIDES, int(GOOD))))
    return [*listings, Listing(int(GOOD), None, (GOOD, "0", address, None), (1,))]


def fill_tables(database: str, name: str, listings: list[Listing]) -> None:
    """Write the listings into tables of their own."""
    labels = [(str(each.number), catalog_id, "2026-01-01") for each in listings for catalog_id in each.classes]
    classes = [*enumerate(CLASSES, 1), (RARE, "rare")]
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA.format(name=name))
        execute_values(cursor, f"INSERT INTO {name}_listings VALUES %s", [each.row for each in listings])
        execute_values(cursor, f"INSERT INTO {name}_labels VALUES %s", labels)
        execute_values(cursor, f"INSERT INTO {name}_classes VALUES %s", classes)


@contextmanager
def run(folder: Path, name: str, listings: list[Listing]) -> Iterator[None]:
    """Run all stages on the tables of this name, in a project of its own; work in its folder then.

    A host is down: with ingest.unreachable fail its photos are pending, and their number is exact.
    """
    copy_sources(folder, PARAMS)
    for query, text in QUERIES.items():
        (folder / f"queries/{query}.sql").write_text(text.format(name=name))
    environment = dict(os.environ) | {
        "IMAGE_STORE": f"{os.environ['IMAGE_STORE']}-{name}",
        "IMAGESET_CACHE": str(folder / ".cache"),
    }
    with in_project(folder, environment, folder / "no weights", folder / "no weights"):
        takedowns = [f"{each.number},2026-01-02\n" for each in listings if each.expected[1] == "taken_down"]
        Path("corrections/takedowns.csv").write_text("".join(["product_id,date\n", *takedowns]))
        for each in listings:
            if each.fault and (content := FAULTS[each.fault].stored) is not None:
                put(open_bucket(), str(each.row[3]), content)
        run_stages(*STAGES[:2])
        if pending := sum(each.expected[1] == "unreachable" for each in listings):
            Project(folder, {}).set_param("ingest.unreachable", "fail")
            with pytest.raises(ServerError, match=f"^{pending} photos are pending"):
                run_stages("ingest")
            Project(folder, {}).set_param("ingest.unreachable", "reject")
        run_stages(*STAGES[2:])
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


def test_every_reason_of_every_stage_is_expected_here_or_tested_elsewhere() -> None:
    expected = {stage: {fault.reason for fault in FAULTS.values() if fault.stage == stage} for stage in STAGES}
    reasons = set().union(*expected.values())
    tests = {reason: (ROOT / why.rpartition(": ")[2]).read_text() for reason, why in ELSEWHERE.items()}

    assert reasons | set(ELSEWHERE) == REASONS_OF_STAGES
    assert not reasons & set(ELSEWHERE)
    assert [reason for reason, text in tests.items() if reason not in text] == []
    assert expected["listings"] == stage_listings.REASONS - set(ELSEWHERE)
    assert expected["ingest"] == (REASONS | {"missing_object", "taken_down"}) - set(ELSEWHERE)
    assert expected["catalog"] == catalog.REASONS - set(ELSEWHERE)


@pytest.mark.fault("Mixed", "rows, urls, answers, photos and labels that are wrong", "a fifth of the listings, drawn")
@pytest.mark.usefixtures("bucket")
def test_each_listing_ends_with_its_own_reason_and_the_others_as_without_them(
    trials: Trials, host: PhotoHost, dead_host: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_photo, "SECONDS_BEFORE_RETRY", 0.001)
    monkeypatch.setattr(host_limits, "FIRST_PAUSE", 0.001)
    if ALL:  # the faults of SLOW
        monkeypatch.setattr(decode, "check", check_or_fall)
        monkeypatch.setattr(fetch_photo, "SECONDS_TO_DECODE", 3.0)
        monkeypatch.setattr(fetch_photo, "BYTES_TO_DECODE", 100_000_000)
    listings = draw_listings(LISTINGS if ALL else SAMPLE, host, dead_host)
    used = [each for each in listings if each.expected == ("", "")]
    fill_tables(database, "mixed", listings)
    fill_tables(database, "clean", used)
    assert {each.fault for each in listings} >= set(FAULTS) if ALL else len(used) < len(listings)

    with run(tmp_path / "mixed", "mixed", listings):
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

    with run(tmp_path / "clean", "clean", used), trials.trial("the same dataset as without them"):
        assert md5s() == made
        assert not Path("data/rejects.csv").read_text().splitlines()[1:]
