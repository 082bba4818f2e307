"""Stage page, from files to one HTML file: what it holds, of which files, and which wrong files it refuses."""

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from imageset.errors import DataError
from imageset.formats import hdf5, photo_places, row_checksums, tables
from imageset.formats.preview_file import writing_previews
from imageset.photos.mask_file import writing_masks
from imageset.photos.masks import describe_mask
from imageset.photos.outcomes import Rejected
from imageset.storage.bucket import StoredObject
from stages import page
from tests.project import ROOT
from tests.stages.test_build import photo_table
from tests.stages.test_report import make_inputs

PATHS = ("data", "corrections", "reports", "stages/templates/page", "pyproject.toml", "data/report.html")
DEPS = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["page"]["deps"]
SIDE = 32
PHOTOS = [(row.product_id, row.position) for row in photo_table(8).itertuples()]
SEEN = [*PHOTOS, (900, 0), (901, 0)]  # test_report.py: 900 is rejected by preprocess, 901 by catalog
FACTS = (400, 600, "JPEG", "0.5", "120.0", "40.0", "1.5", "")


def write(data: Path, name: str, table: tables.Table, rows: list[tuple[Any, ...]]) -> None:
    tables.write(data / f"{name}.csv", table, tables.frame(table, rows))


def write_tables(data: Path) -> None:
    """Write the tables that report does not read."""
    classes = [(1000, "Blusen, Größe L", None), (1001, "<script>coats</script>", None), (1002, "$1 & up", None)]
    write(data, "classes", tables.CLASSES, classes)
    write(data, "labels", tables.LABELS, [(product, 1000, "2026-01-31T00:00:00+00:00") for product, _ in SEEN])
    groups = [(*photo, row, photo[0], row, "") for row, photo in enumerate([*PHOTOS, (901, 0)])]
    write(data, "groups", tables.GROUPS, groups)
    write(data, "photos", tables.PHOTOS, [(*photo, *FACTS) for photo in SEEN])
    write(data, "masks", tables.MASKS, [(*photo, "0.3", "0.01", 1, "0.02", "openvino float32", "") for photo in SEEN])
    suspects = [
        ("label", 1, 100, 0, 1000, "0.9", "another_class", 1001),
        ("class", 1, None, None, 1000, "0.5", "x", 1001),
    ]
    write(data, "suspects", tables.SUSPECTS, suspects)
    write(data, "map", tables.MAP, [(*photo, "0.5", "-1.25") for photo in PHOTOS])
    write(data, "doubts", tables.DOUBTS, [(*photo, "0.25", 1001, "1.5") for photo in PHOTOS])


def write_pictures(data: Path) -> None:
    """Write previews and masks of the photos that can be decoded, and the components of those of the dataset."""
    with (
        writing_masks(data / "masks.h5", len(SEEN), SIDE, "recipe") as add,
        writing_previews(data / "previews.h5") as add_preview,
    ):
        for number, photo in enumerate(SEEN):
            file = io.BytesIO()
            Image.new("RGB", (40, 60), (20 * number, 90, 30)).save(file, "JPEG")
            add_preview(*photo, file.getvalue())
            masked = describe_mask(Image.fromarray(np.full((SIDE, SIDE), 9 * number, np.uint8)), 1)
            add(*photo, StoredObject("k", "etag", 1, ""), Rejected("mask_empty") if photo[0] == 900 else masked)
    with hdf5.create(data / "components.h5", hdf5.COMPONENTS) as file:
        hdf5.add(file, "components", np.arange(3 * len(PHOTOS), dtype=np.int16).reshape(-1, 3))
        hdf5.add(file, "ids", np.array([product for product, _ in PHOTOS], np.int64))
        hdf5.add(file, "positions", np.array([position for _, position in PHOTOS], np.int16))
        row_checksums.finish(file)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has what dvc.yaml says that the stage reads, and no more."""
    folder, project = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("project")
    data = make_inputs(folder)
    write_tables(data)
    write_pictures(data)
    (folder / "reports").mkdir()
    for name in ("baseline.json", "leakage.json"):
        (data / name).rename(folder / "reports" / name)
    for dep in (*DEPS, "params.yaml"):
        source = next(found for found in (folder / dep, ROOT / dep) if found.exists())
        (project / dep).parent.mkdir(parents=True, exist_ok=True)
        if not dep.endswith(".py"):
            shutil.copy(source, project / dep)
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which the test may change; mains run in it."""
    copy = Path(shutil.copytree(made, tmp_path / "project"))
    monkeypatch.chdir(copy)
    return copy


def run(project: Path) -> str:
    page.main(*(project / path for path in PATHS))
    return (project / "data/report.html").read_text(encoding="utf-8")


def read_data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_a_page_that_is_too_large_says_what_to_set(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    assert "warning" not in capsys.readouterr().out
    monkeypatch.setattr("imageset.page.pictures.PAGE_BYTES", 300_000)
    run(project)

    assert re.search(
        r"\npage: warning: the page has 0\.\d MB, more than 0 MB: .* \(now 10000\)", capsys.readouterr().out
    )


def test_the_page_holds_every_photo_of_every_stage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = read_data(run(project))
    photos = data["photos"]
    rejects = [data["rejects"][place] for place in photos["reject"] if place >= 0]

    assert list(zip(map(int, photos["product_id"]), photos["position"], strict=True)) == sorted([*SEEN, (902, 0)])
    assert [(reject["stage"], reject["reason"]) for reject in rejects] == [
        ("preprocess", "mask_empty"),
        ("catalog", "rare_class"),
        ("ingest", "not_found"),
    ]
    assert photos["tile"][:13] == list(range(13))
    assert photos["tile"][13] == -1
    assert data["components"]["photos"] == list(range(len(PHOTOS)))
    assert sum(answer >= 0 for answer in photos["answer"]) == photos["subset"].count(data["subsets"].index("test"))
    assert re.fullmatch(
        r"page: 14 photos, fit to train on: no, [\d.]+ MB; see .*/data/report.html\n",
        capsys.readouterr().out.split("\r")[-1],
    )


def test_the_page_says_where_it_comes_from(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("sample_photos: 60", "sample_photos: 61"))
    data = read_data(run(project))

    assert re.fullmatch("[0-9a-f]{64}", data["digest"])
    assert data["version"] == re.findall('^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    assert data["source"] == {"as_of": None, "newest_row": "2026-01-31T00:00:00+00:00"}
    assert {"name": "report.sample_photos", "value": "61", "shipped": "60"} in data["params"]
    assert data["augment"] == {"copies": 5}
    assert data["verdict"]["lines"][0]["name"] == "Fit to train on"


def test_the_newest_of_dates_that_are_numbers_is_the_largest_number_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 1)
    rows = [(1, 12, "999999999"), (2, 12, "1788418800"), (3, 12, "1788418800.0"), (4, 12, "")]
    tables.write(tmp_path / "labels.csv", tables.LABELS, tables.frame(tables.LABELS, rows))
    tables.write(tmp_path / "none.csv", tables.LABELS, tables.frame(tables.LABELS, []))
    photos = pd.DataFrame({"product_id": [3], "position": [0]})
    found, newest = page.read_labels(tmp_path / "labels.csv", photos)

    assert (found["product_id"].tolist(), newest) == ([3], "1788418800")
    assert page.read_labels(tmp_path / "none.csv", photos)[1] == ""


def test_the_components_are_bytes_of_the_photos_in_the_order_that_the_page_says(project: Path) -> None:
    text = run(project)
    found = re.search(r'<script type="text/plain" id="components">(.*?)</script>', text)
    layout = read_data(text)["components"]

    assert found is not None
    values = np.frombuffer(base64.b64decode(found[1]), np.int8).reshape(-1, layout["dimensions"])
    assert len(values) == len(layout["photos"])
    assert np.abs(values * layout["scale"] - np.arange(values.size).reshape(values.shape)).max() < layout["scale"]


def test_a_second_run_writes_the_same_bytes(project: Path) -> None:
    assert run(project) == run(project)


def test_a_class_name_is_no_html_and_no_url_keeps_its_query(project: Path) -> None:
    listings = tables.read(project / "data/listings.csv", tables.LISTINGS)
    listings["image_url"] = "https://me:secret-word@h.example/1.jpg?key=secret-word#secret-word"
    tables.write(project / "data/listings.csv", tables.LISTINGS, listings)
    text = run(project)

    assert "<script>coats" not in text
    assert "secret-word" not in text
    assert read_data(text)["photos"]["url"][0] == "https://h.example/1.jpg"


def test_of_too_many_photos_the_page_shows_a_sample_and_says_so(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("page_photos: 10000", "page_photos: 5"))
    data = read_data(run(project))

    assert data["sampled"]["of"] == 14
    assert data["sampled"]["shown"] == len(data["photos"]["product_id"]) < 14
    assert "100" in data["photos"]["product_id"]  # a suspect


def name_values(data: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what a page says of each photo, but for its places among the photos of the page."""
    photos = {name: column for name, column in data["photos"].items() if name not in ("group", "tile", "detail")}
    photos["reject"] = [data["rejects"][place] if place >= 0 else None for place in photos["reject"]]
    photos["labels"] = [data["label_rows"].get(product_id) for product_id in photos["product_id"]]
    rows = [dict(zip(photos, values, strict=True)) for values in zip(*photos.values(), strict=True)]
    return {(row["product_id"], row["position"]): row for row in rows}


def test_a_sample_says_of_its_photos_what_the_page_of_all_photos_says(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_data(run(project))
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("page_photos: 10000", "page_photos: 11"))
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(photo_places, "ROWS_AT_ONCE", 3)
    sample = read_data(run(project))
    found, expected = name_values(sample), name_values(whole)

    assert 11 <= len(found) < len(expected)
    assert found == {name: expected[name] for name in found}
    assert any(row["reject"] for row in found.values())
    same = ("classes", "flow", "verdict", "source", "subsets")
    assert [sample[name] for name in same] == [whole[name] for name in same]


def test_a_product_that_was_taken_down_is_nowhere(project: Path) -> None:
    (project / "corrections/takedowns.csv").write_text("product_id,date\n902,2026-01-31\n")

    assert '"902"' not in run(project)


def test_what_people_decided_is_in_the_page(project: Path) -> None:
    (project / "corrections/labels.csv").write_text("product_id,position,catalog_id,note,by,date\n103,,1001,,,\n")
    data = read_data(run(project))
    decided = dict(zip(data["photos"]["product_id"], data["photos"]["decided"], strict=True))

    assert decided == dict.fromkeys(decided, 0) | {"103": 3}


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda data: (data / "components.h5").unlink(), "components.h5 is missing: run `dvc repro`"),
        (lambda data: (data / "previews.h5").write_bytes(b"no"), "previews.h5 cannot be read as HDF5"),
        (lambda data: (data / "map.csv").write_text("x\n"), "map.csv has columns x; expected product_id"),
        (lambda data: shutil.copy(data / "masks.h5", data / "dataset.h5"), "dataset.h5 is not a file of format"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(project: Path, harm: Callable[[Path], object], message: str) -> None:
    harm(project / "data")

    with pytest.raises(DataError, match=re.escape(message)) as raised:
        run(project)
    assert "\n" not in str(raised.value)
    assert not (project / "data/report.html").exists()


def test_without_masks_without_ingest_and_without_suspects_there_is_a_page(project: Path) -> None:
    data = project / "data"
    with writing_masks(data / "masks.h5", 0, SIDE, ""):
        pass
    for name, table in (("masks", tables.MASKS), ("ingest", tables.INGEST), ("suspects", tables.SUSPECTS)):
        tables.write(data / f"{name}.csv", table, tables.frame(table, []))
    made = read_data(run(project))

    assert len(made["photos"]["product_id"]) == len(SEEN)
    assert made["suspects"]["photo"] == []
    assert set(made["photos"]["uncertainty"]) == {None}
