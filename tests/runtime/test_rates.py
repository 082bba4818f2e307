"""What a stage records of its run, and that nothing about it can fail a stage."""

import json
import os
from pathlib import Path
from time import time

import psutil
import pytest

from imageset.runtime import params, rates
from tests.project import ROOT

VALUES = params.load(ROOT / "params.yaml")
HEADER = "product_id,position,row\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rates, "noted", {})
    monkeypatch.setenv("IMAGESET_WORKERS", "3")
    monkeypatch.delenv("IMAGESET_CACHE", raising=False)
    monkeypatch.delenv("IMAGESET_DASK", raising=False)
    return tmp_path


def write_table(path: Path, rows: int, header: str = HEADER) -> Path:
    path.write_text(header + "".join(f"{1000000 + row},0,{row % 10}\n" for row in range(rows)))
    return path


def record(*paths: Path, started: float | None = None) -> rates.StageRun:
    rates.record("split", time() if started is None else started, paths, VALUES)
    return rates.read()[-1]


def test_a_run_has_its_photos_its_outputs_bytes_and_what_decides_its_speed(tmp_path: Path) -> None:
    listing = write_table(tmp_path / "catalog.csv", 40)
    started = time() - 5
    os.utime(listing, (started - 1, started - 1))
    output = tmp_path / "split.csv"
    output.write_text("x" * 123)
    os.utime(output, (started + 1, started + 1))
    run = record(listing, output, started=started)

    assert (run.stage, run.photos, run.made, run.bytes, run.workers) == ("split", 40, 40, 123, 3)
    assert (run.pixels, run.copies) == (128 * 128, 0.2 + 0.8 * 5)


def test_what_a_stage_notes_counts_more_than_its_tables(tmp_path: Path) -> None:
    rates.note(100, 7, "u2netp 320 int8 cpu")
    run = record(write_table(tmp_path / "catalog.csv", 40))

    assert (run.photos, run.made, run.how) == (100, 7, "u2netp 320 int8 cpu")


@pytest.mark.parametrize("rows", [0, 1, 99_999])
def test_the_rows_of_a_table_are_known_from_its_first_ones(tmp_path: Path, rows: int) -> None:
    assert rates.estimate_photos(write_table(tmp_path / "a.csv", rows)) == pytest.approx(rows, rel=0.01)


def test_a_table_without_photos_has_none(tmp_path: Path) -> None:
    assert rates.estimate_photos(write_table(tmp_path / "labels.csv", 9, "product_id,catalog_id,date\n")) == 0


def test_photos_of_a_folder_are_those_of_its_first_table_and_its_new_files_are_outputs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    table = write_table(folder / "catalog.csv", 12)
    run = record(folder, started=0.0)

    assert (run.photos, run.bytes) == (12, table.stat().st_size)


def test_dask_is_another_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_DASK", "tcp://scheduler:8786")

    assert record().workers == 0


@pytest.mark.parametrize("variable", ["IMAGESET_WORKERS", "IMAGESET_CACHE"])
def test_nothing_that_goes_wrong_matters_to_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(variable, "a file")
    rates.record("split", time(), [tmp_path / "missing.csv"], VALUES)

    assert rates.read() == []


def test_a_process_knows_when_it_started() -> None:
    assert rates.find_start() == pytest.approx(psutil.Process().create_time(), abs=1.5)


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    record()
    path = tmp_path / ".cache/rates.jsonl"
    path.write_bytes(b"\xff{\n[]\n{}\n" + path.read_bytes() + path.read_bytes()[:20])

    assert [run.stage for run in rates.read()] == ["split"]


@pytest.mark.parametrize(
    "changed", [{"seconds": "12"}, {"seconds": float("nan")}, {"photos": -1}, {"stage": 7}, {"copies": None}], ids=str
)
def test_lines_with_values_that_no_run_has_are_left_out(tmp_path: Path, changed: dict[str, object]) -> None:
    run = record()
    path = tmp_path / ".cache/rates.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(run._asdict() | changed) + "\n")

    assert rates.read() == [run]


def test_a_long_file_keeps_its_newer_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for photos in range(6):
        rates.note(photos)
        record()
    monkeypatch.setattr(rates, "MOST_BYTES", 10)
    rates.note(6)
    rates.record("split", time(), [], VALUES)

    assert [run.photos for run in rates.read()] == [3, 4, 5, 6]
    assert json.loads((tmp_path / ".cache/rates.jsonl").read_text().splitlines()[0])["stage"] == "split"
