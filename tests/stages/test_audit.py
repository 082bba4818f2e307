"""Stage audit, from files to files: what looks wrong is listed, nothing is left out, and the map has every photo."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imageset.audit import labels, outliers
from imageset.errors import DataError
from imageset.formats import tables
from stages import audit
from tests.conftest import run_stage
from tests.curated import photo, write_photos
from tests.project import ROOT

GARMENTS = ("bag", "dress", "pants")
OF_EACH = 16
INPUTS = ("data/catalog.csv", "data/thumbnails.h5")
OUTPUTS = ("data/suspects.csv", "data/map.csv")
Key = tuple[int, int]


def write_project(project: Path, photos: dict[Key, tuple[Image.Image, int]]) -> None:
    """Write thumbnails.h5, and catalog.csv with the class of each photo; a product is a group."""
    write_photos(project, {key: picture for key, (picture, _) in photos.items()})
    classes = sorted({catalog_id for _, catalog_id in photos.values()})
    rows = [
        (*key, row, photos[key][1], classes.index(photos[key][1]), key[0]) for row, key in enumerate(sorted(photos))
    ]
    tables.write(project / "data/catalog.csv", tables.CATALOG, tables.frame(tables.CATALOG, rows))


def drawn(of_each: int = OF_EACH) -> dict[Key, tuple[Image.Image, int]]:
    """Return drawn garments: bags have class 10, dresses 11, pants 12."""
    return {
        (100 * number + copy, 0): (photo(garment, copy), 10 + number)
        for number, garment in enumerate(GARMENTS)
        for copy in range(of_each)
    }


def run(project: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    audit.main(*(project / name for name in (*INPUTS, *OUTPUTS)))
    return tables.read(project / OUTPUTS[0], tables.SUSPECTS), tables.read(project / OUTPUTS[1], tables.MAP)


def test_a_wrong_label_and_a_blank_picture_are_listed(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = drawn()
    photos[105, 0] = (photos[105, 0][0], 12)  # a dress among the pants
    photos[300, 1] = (Image.new("L", (64, 64), 200), 10)
    write_project(in_project, photos)
    suspects, places = run(in_project)
    of_kind = {kind: rows.set_index("rank") for kind, rows in suspects.groupby("kind")}
    label, outlier = of_kind["label"].set_index("product_id").loc[105], of_kind["outlier"].loc[1]

    assert (label["catalog_id"], label["suggestion"], label["why"]) == (12, 11, labels.WHY)
    assert (outlier["product_id"], outlier["position"], outlier["why"]) == (300, 1, outliers.PLAIN)
    assert outlier["score"] == "1.0000"
    assert list(zip(places["product_id"], places["position"], strict=True)) == sorted(photos)
    assert capsys.readouterr().out.startswith(f"audit: {len(photos)} photos, suspects: ")


def test_ranks_begin_at_1_in_each_kind_and_scores_fall(in_project: Path) -> None:
    photos = drawn()
    for number in (1, 102, 203):
        photos[number, 0] = (photos[number, 0][0], 10 + (number // 100 + 1) % 3)
    photos |= {(300 + number, 0): (Image.new("L", (64, 64), number), 10) for number in range(3)}
    write_project(in_project, photos)
    suspects, _ = run(in_project)
    for kind, rows in suspects.groupby("kind"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1)), kind
        assert rows["score"].astype(float).is_monotonic_decreasing
    assert {1, 102, 203} <= set(suspects[suspects["kind"] == "label"]["product_id"])


def test_threads_hash_seeds_and_a_second_run_change_no_byte(in_project: Path) -> None:
    write_project(in_project, drawn())
    found = set()
    for threads, seed in (("1", "0"), ("2", "1"), ("8", "2")):
        folder = in_project / threads
        (folder / "data").mkdir(parents=True)
        for name in INPUTS:
            shutil.copy(in_project / name, folder / name)
        shutil.copy(ROOT / "params.yaml", folder)
        done = run_stage(
            "audit",
            *INPUTS,
            *OUTPUTS,
            cwd=folder,
            environment={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed},
        )

        assert done.returncode == 0, done.stderr
        found.add(tuple((folder / name).read_bytes() for name in OUTPUTS))

    assert len(found) == 1


@pytest.mark.parametrize("photos", [1, 2, 5])
def test_few_photos_are_placed_and_no_suspects(in_project: Path, photos: int) -> None:
    write_project(in_project, dict(list(drawn().items())[:photos]))
    suspects, places = run(in_project)

    assert suspects.empty
    assert len(places) == photos


def test_thumbnails_of_other_photos_are_refused(in_project: Path) -> None:
    write_project(in_project, drawn(2))
    catalog = (in_project / INPUTS[0]).read_bytes()
    write_project(in_project, {(key[0] + 1000, 0): value for key, value in drawn(2).items()})
    (in_project / INPUTS[0]).write_bytes(catalog)

    with pytest.raises(DataError, match=r"thumbnails\.h5 has other photos than the tables"):
        run(in_project)


def test_places_are_written_without_minus_zero(in_project: Path) -> None:
    write_project(in_project, drawn(1))
    _, places = run(in_project)

    assert not {"-0.00"} & {*places["x"], *places["y"]}
    assert all(np.isfinite(places[axis].astype(float)).all() for axis in ("x", "y"))
