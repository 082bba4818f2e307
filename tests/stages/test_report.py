import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from imageset.errors import DataError
from imageset.formats import hdf5, row_checksums, tables
from imageset.leakage.copies import KINDS
from imageset.leakage.recall import Recall, describe
from imageset.report import figures, sheets
from imageset.report.figures import STAGE_TABLES
from imageset.report.identity import identify, identify_test_labels
from stages import baseline, report, validate
from tests.forked import run_python
from tests.project import ROOT
from tests.stages.test_build import build_in, photo_table
from tests.stages.test_validate import make_hashes
from tools.compare.snapshot import parse_class_counts

WRITTEN = [
    "README.md",
    "augmented.png",
    "class_counts.csv",
    "croissant.json",
    "identity.json",
    "metrics.json",
    "near_duplicates.png",
    "samples.png",
]
LEAKAGE = describe({kind: Recall(20, 20 - place, 0) for place, kind in enumerate(KINDS)}, 20)
# The sheets' measures: a cell with its gap, a cell with its caption and gap, a heading, the gap that is left over.
CELL_WIDTH, CELL_HEIGHT, HEADING, GAP = 134, 164, 30, 6


def make_tables(data: Path) -> None:
    """Write the tables of the stages before catalog: beside the dataset's 11 photos, one reject of each stage."""
    photos = [(row.product_id, row.position) for row in photo_table(8).itertuples()]
    fetched = [*photos, (900, 0), (901, 0)]
    rows: dict[str, list[tuple[Any, ...]]] = {
        "listings": [(*photo, "http://h/1.jpg", "") for photo in [*fetched, (902, 0)]],
        "listings_rejects": [("x", "0", "http://h/2.jpg", "", "bad_id"), ("", "0", "http://h/2.jpg", "", "no_id")],
        "ingest": [
            *((f"{a}-{b}.jpeg", a, b, "done", "") for a, b in fetched),
            ("902.jpeg", 902, 0, "rejected", "not_found"),
        ],
        "inventory": [(f"{a}-{b}.jpeg", a, b, "etag", 1, "") for a, b in fetched],
        "rejects": [(900, 0, "mask_empty")],
        "catalog_rejects": [(901, 0, "rare_class", 77)],
        "label_changes": [(100, 0, "several_labels", "7 1000", 1000), (103, 0, "rare_merged", "78", 1001)],
        "near_duplicates": [(100, 0, 100, 1, "0.812"), (100, 0, 103, 0, "0.702")],
    }
    for name, content in rows.items():
        tables.write(data / f"{name}.csv", STAGE_TABLES[name], tables.frame(STAGE_TABLES[name], content))
    facts = (300, 400, "JPEG", "0.5", "120.00", "40.00", "1.3333")
    said = [(*photo, *facts, profile) for photo, profile in zip(fetched, ("", "srgb", "broken", "srgb"), strict=False)]
    tables.write(data / "photos.csv", tables.PHOTOS, tables.frame(tables.PHOTOS, said))


def make_inputs(folder: Path, copies: int = 5) -> Path:
    """Build the dataset in a folder, with all tables and the validation beside it; return where."""
    data = build_in(folder, copies).parent
    make_tables(data)
    make_hashes(data)
    validate.main(
        data / "dataset.h5",
        data / "processed.h5",
        data / "processed.csv",
        data / "catalog.csv",
        data / "label_map.csv",
        data / "split.csv",
        data / "attributes.csv",
        data / "verdict.json",
        data / "validation.json",
    )
    outputs = (data / name for name in ("baseline.json", "confusion.png", "predictions.csv"))
    baseline.main(data / "dataset.h5", data / "verdict.json", *outputs)
    (data / "leakage.json").write_text(json.dumps(LEAKAGE))
    photos = photo_table(8)
    with hdf5.create(data / "thumbnails.h5", hdf5.THUMBNAILS) as file:
        hdf5.add(file, "images", np.full((len(photos), 64, 64, 1), 90, np.uint8))
        hdf5.add(file, "ids", photos["product_id"].to_numpy(np.int64))
        hdf5.add(file, "positions", photos["position"].to_numpy(np.int16))
        row_checksums.finish(file)
    return data


def run(data: Path, reports: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data.parent)
        paths = [
            *(data / f"{name}.csv" for name in STAGE_TABLES),
            data / "photos.csv",
            data / "thumbnails.h5",
            data / "dataset.h5",
            data / "baseline.json",
            data / "leakage.json",
            ROOT / "stages/templates",
            reports,
        ]
        report.main(*paths)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def reports(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage wrote of a good dataset."""
    folder = tmp_path_factory.mktemp("reports")
    run(data, folder)
    return folder


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_all_that_the_graph_names_is_written(reports: Path) -> None:
    assert sorted(path.name for path in reports.iterdir()) == sorted(WRITTEN)


def test_every_photo_that_came_is_accounted_for(data: Path, reports: Path) -> None:
    metrics = json.loads((reports / "metrics.json").read_text())

    assert metrics["photos"] == {"listed": 16, "used": 11}
    assert metrics["rejected"] == {
        "listings": {"bad_id": 1, "no_id": 1},
        "ingest": {"not_found": 1},
        "preprocess": {"mask_empty": 1},
        "catalog": {"rare_class": 1},
    }
    assert figures.photo_flow(read_tables(data)) == {
        "listings": {"in": 16, "out": 14, "rejected": {"bad_id": 1, "no_id": 1}},
        "ingest": {"in": 14, "out": 13, "rejected": {"not_found": 1}},
        "preprocess": {"in": 13, "out": 12, "rejected": {"mask_empty": 1}},
        "catalog": {"in": 12, "out": 11, "rejected": {"rare_class": 1}},
        "split": {"in": 11, "out": 11, "rejected": {}},
    }


def test_the_figures_are_those_of_the_dataset(reports: Path) -> None:
    metrics = json.loads((reports / "metrics.json").read_text())

    assert metrics["rows"] == {"train": 40, "test": 3}
    assert metrics["classes"] == {"count": 3, "largest": 6, "smallest": 2, "without_test_photos": 1}
    assert metrics["test_share"] == 0.2727
    assert metrics["groups"] == {"of_several_products": 0, "pairs_found_to_look_alike": 2}
    assert metrics["labels_changed"] == {"rare_merged": 1, "several_labels": 1}
    assert metrics["colour_profiles"] == {"broken": 1, "srgb": 2}
    assert metrics["copies"] == {"most": 5, "classes_with_more": 0, "largest_to_smallest_class": 2.0}
    assert len(metrics["pixels"]["mean"]) == len(metrics["pixels"]["std"]) == 1
    assert len(metrics["content_digest"]) == 12


def test_the_identity_is_of_the_photos_of_each_subset_and_of_the_classes(data: Path, reports: Path) -> None:
    split, label_map = (tables.read(data / f"{name}.csv", STAGE_TABLES[name]) for name in ("split", "label_map"))
    written = json.loads((reports / "identity.json").read_text())
    moved = split.assign(subset=split["subset"].mask(split.index == split.index[split["subset"] == "test"][0], "train"))

    catalog = tables.read(data / "catalog.csv", tables.CATALOG)
    labels = {"test_labels": written.pop("test_labels")}
    relabelled = catalog.assign(catalog_id=catalog["catalog_id"].max())

    assert labels == identify_test_labels(split[::-1], catalog[::-1]) != identify_test_labels(split, relabelled)
    assert written == identify(split, label_map) == identify(split[::-1], label_map[::-1])
    assert {name: found["photos"] for name, found in written.items() if name != "classes"} == {"train": 8, "test": 3}
    assert written["classes"]["count"] == 3
    assert identify(moved, label_map)["classes"] == written["classes"]
    assert all(identify(moved, label_map)[subset] != written[subset] for subset in ("train", "test"))
    assert identify(split, label_map[:2])["classes"] != written["classes"]


def test_what_people_corrected_and_excluded_counts_in_the_figures_and_on_the_card(data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    shutil.copy(data.parent / "params.yaml", tmp_path)
    rejects = tables.frame(tables.CATALOG_REJECTS, [(901, 0, "off_topic", 77)])
    tables.write(copy / "catalog_rejects.csv", tables.CATALOG_REJECTS, rejects)
    changes = tables.frame(tables.LABEL_CHANGES, [(100, 0, "corrected", "7", 1000), (103, 0, "corrected", "78", 1001)])
    tables.write(copy / "label_changes.csv", tables.LABEL_CHANGES, changes)
    run(copy, tmp_path / "reports")
    metrics = json.loads((tmp_path / "reports/metrics.json").read_text())

    assert metrics["rejected"]["catalog"] == {"off_topic": 1}
    assert metrics["labels_changed"] == {"corrected": 2}
    assert "| catalog | 12 | 11 | off_topic 1 |" in (tmp_path / "reports/README.md").read_text()
    assert "corrected 2" in (tmp_path / "reports/README.md").read_text()


def test_classes_are_counted_by_subset_the_largest_first(reports: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((reports / "class_counts.csv").read_text())))

    assert rows == [
        {"catalog_id": "1000", "name": "Blusen, Größe L", "train": "4", "test": "2", "photos": "6"},
        {"catalog_id": "1001", "name": "<\u2060script>coats<\u2060/script>", "train": "2", "test": "1", "photos": "3"},
        {"catalog_id": "1002", "name": "$1 & up", "train": "2", "test": "0", "photos": "2"},
    ]


def test_no_cell_of_the_table_of_classes_is_a_formula_and_compare_reads_it_back(data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data.parent, tmp_path / "project") / data.name
    label_map = tables.read(folder / "label_map.csv", tables.LABEL_MAP)
    names = ["=cmd|'/C calc'!A0", "'@coats", "-1"]
    tables.write(folder / "label_map.csv", tables.LABEL_MAP, label_map.assign(name=names))
    run(folder, folder / "reports")
    text = (folder / "reports/class_counts.csv").read_text()

    assert [row["name"] for row in csv.DictReader(io.StringIO(text))] == ["'=cmd|'/C calc'!A0", "''@coats", "-1"]
    assert sorted(parse_class_counts(text)["name"]) == sorted(names)


def test_the_sheets_have_a_cell_for_every_photo_and_copy(reports: Path) -> None:
    assert size_of(reports / "samples.png") == (10 * CELL_WIDTH + GAP, 2 * (HEADING + CELL_HEIGHT) + GAP)
    assert size_of(reports / "augmented.png") == (5 * CELL_WIDTH + GAP, 8 * CELL_HEIGHT + GAP)
    assert size_of(reports / "near_duplicates.png") == (10 * CELL_WIDTH + GAP, HEADING + CELL_HEIGHT + GAP)


def test_the_card_tells_the_same_figures(reports: Path) -> None:
    card = (reports / "README.md").read_text()
    assert "of the kind that the search finds least, `collage`, it found 40.0 % (95 % interval: 21.9 to 61.3 %)" in card

    assert "40 training rows and 3 test rows of 16 x 16 x 1 pixels in 3 classes." in card
    assert "| listings | 16 | 14 | bad_id 1, no_id 1 |" in card
    assert "| split | 11 | 11 | none |" in card
    assert "| Blusen, Größe L | 1000 | 4 | 2 | 6 |\n| `<script>coats</script>` | 1001 | 2 | 1 | 3 |" in card


def test_a_second_run_writes_the_same_bytes(data: Path, reports: Path, tmp_path: Path) -> None:
    run(data, tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in reports.iterdir()
    }


def test_a_dataset_without_augmented_copies_has_its_report_too(tmp_path: Path) -> None:
    data = make_inputs(tmp_path, copies=1)
    run(data, tmp_path / "reports")

    assert size_of(tmp_path / "reports/augmented.png") == (CELL_WIDTH + GAP, 8 * CELL_HEIGHT + GAP)
    assert json.loads((tmp_path / "reports/metrics.json").read_text())["rows"]["train"] == 8


def read_tables(data: Path) -> figures.StageTables:
    return figures.StageTables(*(tables.read(data / f"{name}.csv", table) for name, table in STAGE_TABLES.items()))


@pytest.mark.parametrize(
    ("name", "stage"), [("inventory", "preprocess"), ("rejects", "preprocess"), ("split", "split")]
)
def test_a_sum_that_does_not_close_is_an_error(name: str, stage: str, data: Path) -> None:
    whole = read_tables(data)

    with pytest.raises(DataError, match=rf"{stage}: \d+ photos came in, \d+ went out and \d+ were rejected"):
        figures.photo_flow(whole._replace(**{name: getattr(whole, name)[1:]}))


def test_a_class_of_the_release_without_photos_is_counted_with_none(data: Path) -> None:
    whole = read_tables(data)
    more = pd.concat([whole.label_map, tables.frame(tables.LABEL_MAP, [(3, 1003, "gone")])])
    classes = figures.class_table(whole._replace(label_map=more))

    assert classes.iloc[-1].to_dict() == {"catalog_id": 1003, "name": "gone", "train": 0, "test": 0, "photos": 0}


def test_dvc_plots_show_draws_the_photos_per_class(reports: Path, tmp_path: Path) -> None:
    """As dvc.yaml and the template of .dvc/plots say: a bar for each class, a title and axes."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    [(path, options)] = [
        pair for entry in graph["stages"]["report"]["plots"] for pair in entry.items() if pair[0].endswith(".csv")
    ]
    run_python("dvc", "init", "--no-scm", "--quiet", cwd=tmp_path).check_returncode()
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots", dirs_exist_ok=True)
    (tmp_path / "reports").mkdir()
    shutil.copy(reports / "class_counts.csv", tmp_path / path)
    stage = {"cmd": "true", "plots": [{path: options}]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": stage}}))
    done = run_python("dvc", "plots", "show", "--show-vega", path, cwd=tmp_path)
    drawn = json.loads(done.stdout)

    assert drawn["title"]["text"] == "Photos per class"
    assert [drawn["encoding"][axis]["title"] for axis in "xy"] == ["photos of all subsets", "class"]
    assert [drawn["encoding"][axis]["field"] for axis in "xy"] == ["photos", "name"]
    names = ["Blusen, Größe L", "<\u2060script>coats<\u2060/script>", "$1 & up"]
    assert [row["name"] for row in drawn["data"]["values"]] == names
    assert "DVC_METRIC" not in done.stdout


def test_samples_show_every_class_before_a_class_a_second_time() -> None:
    labels = np.array([1, 0, 2, 0, 0, 1, 0])

    assert labels[sheets.sample_rows(labels, 3)].tolist() == [0, 1, 2]
    assert labels[sheets.sample_rows(labels, 5)].tolist() == [0, 0, 1, 1, 2]
    assert sorted(sheets.sample_rows(labels, 100)) == list(range(7))


def test_a_value_that_a_template_asks_for_in_vain_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("{{ metrics.rows.trian }}")

    with pytest.raises(jinja2.UndefinedError, match="trian"):
        report.render(tmp_path / "card.md", metrics={"rows": {"train": 1}})
