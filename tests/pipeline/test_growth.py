"""benchmarks/growth: its marketplace, what it sees of a stage, its exponents, and a whole run that is killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from benchmarks.growth import figures, marketplace
from benchmarks.growth.project import StageFigures
from benchmarks.growth.watch import Watch
from benchmarks.near_duplicates import synthetic
from sandbox.listing import FIRST_PRODUCT
from tests.project import ROOT

MEGABYTE = 1_000_000
# A stage with a child: both hold memory, compute and wait; the stage has a file without a name.
STAGE = """
import subprocess, sys, tempfile, time
child = [] if sys.argv[-1] == "child" else [subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1], "child"])]
held, end = b"1" * 60_000_000, time.process_time() + 0.6
file = tempfile.TemporaryFile()
file.write(held[:20_000_000])
file.flush()
while time.process_time() < end:
    pass
time.sleep(2.5)  # folders and open files are looked at every two seconds
[one.wait() for one in child]
"""
DVC = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]], check=True)"


@pytest.fixture(scope="module")
def thumbnails(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures in place of real photos."""
    path = tmp_path_factory.mktemp("thumbnails") / "real.npy"
    np.save(path, np.random.default_rng(1).integers(0, 256, (24, 64, 64), np.uint8))
    return path


@pytest.fixture
def filled(database: str, thumbnails: Path, tmp_path: Path) -> Iterator[tuple[psycopg2.extensions.cursor, bytes]]:
    """The database of a marketplace of 1,000 photos, and the file of the photos."""
    pack = tmp_path / "pack"
    marketplace.fill(database, "http://host", pack, thumbnails, 1000, workers=1)
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        yield cursor, pack.read_bytes()
    connection.close()


def test_a_marketplace_has_products_of_one_to_four_photos_and_dirty_rows(
    filled: tuple[psycopg2.extensions.cursor, bytes],
) -> None:
    cursor, pack = filled
    cursor.execute((ROOT / "queries/listings.sql").read_text().replace(":as_of", "null"))
    rows = sorted(cursor.fetchall(), key=lambda row: (row[0], row[1], str(row[2])))
    urls = [url for _, _, url in rows]
    photos = {product: sum(row[0] == product for row in rows) for product in range(FIRST_PRODUCT, FIRST_PRODUCT + 10)}
    at, length = map(int, urls[0].rpartition("/")[2].partition(".")[0].split("-"))
    cursor.execute("SELECT count(*), count(DISTINCT product_id), count(DISTINCT catalog_id) FROM tracking_staging")
    ((labels, labelled, classes),) = cursor.fetchall()

    assert len(rows) == 1001  # one photo has two rows
    assert len({row[:2] for row in rows}) == 1000
    assert list(photos.values()) == list(marketplace.PRODUCTS)
    assert pack[at : at + length].startswith(b"\xff\xd8")
    assert urls.count(None) == 1
    assert urls.count("http://host/gone.jpg") == 1
    assert len(set(urls)) == 1001 - 1 - 1 - 3  # twice, again, and three more of the picture "no photo yet"
    assert (labels, labelled, classes) == (547, 498, 17)


def test_a_copy_has_the_class_and_the_colour_of_its_photo(thumbnails: Path) -> None:
    block = marketplace.make_block(thumbnails, 5, 0)
    products, positions = marketplace.place_products(marketplace.BLOCK)
    copies = np.arange(marketplace.RUN - 1, marketplace.BLOCK, marketplace.RUN)
    originals = copies - synthetic.BACK

    assert (positions[copies] == 0).all()
    assert (block.classes[products[copies]] == block.classes[products[originals]]).all()
    assert set(products[originals] % 10) == {marketplace.ORIGINAL}
    assert {suffix for _, suffix in block.photos} == {"jpg", "png", "webp", "html"}


def test_the_number_of_classes_grows_slowly() -> None:
    assert [marketplace.count_classes(photos, 713) for photos in (300, 10_000, 1_000_000)] == [10, 40, 251]


def test_a_stage_is_seen_with_its_children_its_memory_and_its_files(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", DVC, STAGE, STAGE, "stages.listings ", "stage"]) as dvc:
        watch = Watch(dvc.pid, "listings", [tmp_path])
        watch.start()
        dvc.wait()
        watch.stopped.set()
        watch.join()

    assert 120 * MEGABYTE < watch.memory.anonymous < 200 * MEGABYTE
    assert watch.memory.pss > watch.memory.anonymous
    assert 40 * MEGABYTE <= watch.disk < 41 * MEGABYTE
    assert 1.1 < watch.cpu < 3
    assert watch.seconds > 1.1


def make_figures(photos: int, power: float, each: int) -> dict[str, StageFigures]:
    cpu = 1 + 0.001 * photos**power
    return {
        "split": StageFigures("split", 2 * cpu, cpu, 1.0, 1.0, 50 * MEGABYTE + each * photos, 0, 0, 0, 0, 0, 0.0, False)
    }


@pytest.mark.parametrize(
    ("power", "each", "expected"),
    [
        (1.0, 0, ["1.00", "1.00", "0", "0", "50", "16.8", "yes", "yes"]),
        (1.5, 1000, ["1.50", "1.50", "1,000", "0", "1050", "no", "no"]),
    ],
)
def test_exponents_are_of_the_time_beyond_the_start(
    power: float, each: int, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The start has next to no photos, so its time is that of a start."""
    figures.print_growth({photos: make_figures(photos, power, each) for photos in (1, 10_000, 100_000)})
    cells = [cell.strip() for cell in capsys.readouterr().out.splitlines()[2].split("|")[2:-1]]

    assert [cell for cell in cells if cell in expected] == expected


@pytest.mark.large
@pytest.mark.timeout(1200)
def test_a_run_that_is_killed_goes_on_at_the_stage_where_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "benchmarks.growth", "--scale", "0.00006", "--start", "40", "--originals", "24"]
    command += ["--home", str(home), "--like", str(tmp_path / "none"), "--plot", str(tmp_path / "growth.png")]
    notes = home / "40/stages.jsonl"
    with subprocess.Popen(command, cwd=ROOT) as first:
        while not (notes.exists() and '"begun": "ingest"' in notes.read_text()):
            assert first.poll() is None
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    noted = [json.loads(line) for line in notes.read_text().splitlines()]
    stages = [note["stage"] for note in noted if "stage" in note]

    assert [note["stage"] for note in noted if note.get("continued")] == ["ingest"]
    assert stages[:3] == ["listings", "labels", "ingest"]
    assert len(stages) == len(set(stages)) == 18
    assert done.count("| report |") == 2
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (home / "60").iterdir()) == [
        "commit",
        "filled",
        "finished",
        "log",
        "port",
        "stages.jsonl",
        "thumbnails.npy",
    ]
