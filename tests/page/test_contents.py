"""What the page gets to read: one JSON value."""

import json
from typing import Any

import pandas as pd
import pytest

from imageset.errors import DataError
from imageset.formats import source_ids, tables
from imageset.page.assemble import encode_json
from imageset.report.figures import StageTables
from tests.page.tables import HUGE, KEPT, contents_of, frame, list_photos, make_inputs, make_photo_tables, make_stages


def test_the_photos_are_columns_of_one_length_that_name_classes_subsets_and_rejects_by_place() -> None:
    data = make_inputs()
    contents = contents_of(data)
    photos = contents["photos"]

    assert {len(column) for column in photos.values()} == {9}
    assert contents["subsets"] == ["train", "test"]
    assert photos["product_id"] == ["100", "100", "101", "102", "103", "900", "901", "903", str(HUGE)]
    assert photos["class"] == [0, 0, 0, 1, 1, 0, 2, -1, 1]
    assert photos["subset"] == [0, 0, 1, 0, 1, -1, -1, -1, -1]
    assert [contents["rejects"][place]["reason"] for place in photos["reject"][5:]] == [
        "mask_empty",
        "rare_class",
        "bad_url",
        "not_found",
    ]
    assert photos["reject"][:5] == [-1] * 5
    assert photos["group"] == [0, 0, 1, 2, 2, -1, 3, -1, -1]
    assert photos["answer"] == [-1, -1, 0 + 1, -1, 1, -1, -1, -1, -1]
    assert photos["probability"][2:5] == [0.75, None, 0.5]
    assert photos["own_probability"] == [0.9, 0.1, 0.01, None, 0.8, None, None, None, None]
    assert photos["other_class"] == [1, 1, 1, -1, 0, -1, -1, -1, -1]
    assert photos["mask_score"][:5] == [1.5, 0.5, 5.0, 2.0, None]
    assert photos["url"][0] == "https://h.example/100.jpg"


def test_the_classes_are_all_that_a_photo_may_be_given() -> None:
    data = make_inputs()

    assert contents_of(data)["classes"] == {
        "catalog_id": [7, 8, 9],
        "label": [0, 1, -1],
        "name": ["dress", "hat", "<script>"],
        "photos": {"train": [2, 1, 0], "test": [1, 1, 0]},
        "asked": [1, 1, 0],
        "right": [0, 1, 0],
    }


def test_suspects_pairs_and_changes_name_photos_by_place() -> None:
    data = make_inputs()
    contents = contents_of(data)

    assert contents["suspects"] == {
        "kind": [0, 0, 1],
        "photo": [2, 1, 2],
        "rank": [1, 2, 1],
        "score": [0.99, 0.9, 5.0],
        "why": ["another_class", "another_class", "unsure"],
        "suggestion": [1, 1, -1],
    }
    assert contents["class_suspects"] == [{"class": 0, "other": 1, "why": "same_class", "score": 0.9}]
    assert contents["pairs"] == {"photo": [1, 0], "other": [2, 4], "likeness": [0.82, 0.91]}
    assert contents["changes"] == {
        "photo": [0, 6],
        "change": ["several_labels", "corrected"],
        "told": [["7", "8"], ["8"]],
        "class": [0, -1],
    }
    assert contents["label_rows"]["100"] == [[8, "2026-01-01T00:00:00+00:00"], [7, "2026-01-02T00:00:00+00:00"]]


def test_rows_of_labels_are_in_the_order_of_their_numbers_and_of_equal_ones_the_lowest_class_counts() -> None:
    rows = [(100, 7, "9"), (100, 8, "10"), (900, 8, "10"), (900, 7, "10.0")]
    data = make_inputs()
    said = make_photo_tables(data.stages, labels=tables.frame(tables.LABELS, rows))
    photos = list_photos(data, said)

    assert contents_of(data, said)["label_rows"]["100"] == [[7, "9"], [8, "10"]]
    assert photos[photos["product_id"] == 900]["catalog_id"].tolist() == [7]


def test_what_concerns_photos_that_the_page_does_not_show_is_left_out() -> None:
    data = make_inputs()
    contents = contents_of(data, most=1)

    assert contents["classes"] == contents_of(data)["classes"]  # counts of all photos
    assert contents["suspects"]["photo"] == contents["pairs"]["photo"] == []
    assert contents["changes"]["photo"] == [0]
    assert list(contents["label_rows"]) == ["100"]


def test_all_of_it_is_json_without_a_number_that_a_browser_would_round() -> None:
    classes = frame(tables.CLASSES, (7, " ", None), (8, "hat", None), (2**53, "far", None))
    data = make_inputs(classes=classes)
    contents = json.loads(json.dumps(contents_of(data), allow_nan=False))

    assert contents["classes"]["catalog_id"] == [7, 8, str(2**53)]
    assert contents["classes"]["name"] == ["dress", "hat", "far"]
    assert contents["flow"][0] == {
        "stage": "listings",
        "in": 12,
        "out": 8,
        "rejected": {"bad_id": 2, "bad_url": 1, "repeated": 1},
    }
    assert contents["checks"] == [{"name": "mean_and_std", "examined": 7, "passed": True}]


def test_a_photo_that_is_lost_between_two_stages_is_an_error() -> None:
    stages = make_stages()
    data = make_inputs(inventory=stages.inventory[1:])

    with pytest.raises(DataError, match="preprocess"):
        contents_of(data)


def test_a_dataset_of_one_class_without_predictions_suspects_and_rejects_has_a_page() -> None:
    stages = make_stages()
    kept = frame(tables.CATALOG, *((*photo, row, 7, 0, photo[0]) for row, photo in enumerate(KEPT)))
    data = make_inputs(
        listings=stages.listings[:5],
        listing_rejects=frame(tables.LISTING_REJECTS),
        ingest=stages.ingest[:5],
        inventory=stages.inventory[:5],
        rejects=frame(tables.REJECTS),
        catalog=kept,
        catalog_rejects=frame(tables.CATALOG_REJECTS),
        label_changes=frame(tables.LABEL_CHANGES),
        near_duplicates=frame(tables.NEAR_DUPLICATES),
        label_map=frame(tables.LABEL_MAP, (0, 7, "dress")),
        split=stages.split.assign(subset="train"),
        suspects=frame(tables.SUSPECTS),
        predictions=frame(tables.PREDICTIONS),
    )
    contents = contents_of(data, make_photo_tables(data.stages, predictions=frame(tables.PREDICTIONS)))

    assert contents["rejects"] == []
    assert contents["photos"]["reject"] == contents["photos"]["answer"] == [-1] * 5
    assert contents["classes"]["photos"] == {"train": [5, 0, 0], "test": [0, 0, 0]}
    assert contents["classes"]["asked"] == [0, 0, 0]


def classes_of(contents: dict[str, Any], column: str) -> list[str | None]:
    """Return the catalog_ids that a column of the photos names by place."""
    ids = contents["classes"]["catalog_id"]
    return [ids[place] if place >= 0 else None for place in contents["photos"][column]]


def test_ids_are_those_of_the_source_in_the_order_of_numbers_and_texts() -> None:
    names = {100: "b-10", 101: "9", 102: "</script>", 103: "a 7", 900: "10", 901: "constructor"}
    classes = {7: "dresses", 8: "Kleider / Röcke", 9: "=1+1"}

    def renamed(rows: pd.DataFrame) -> pd.DataFrame:
        columns = {column: names for column in ("product_id", "other_product_id") if column in rows}
        columns |= {column: classes for column in ("catalog_id", "parent_id", "suggestion") if column in rows}
        numbers = {column: {old: source_ids.number(new) for old, new in of.items()} for column, of in columns.items()}
        return rows.replace(numbers)

    data = make_inputs()
    changes = frame(tables.LABEL_CHANGES, ("b-10", 0, "several_labels", 'dresses "Kleider / Röcke"', "dresses"))
    stages = StageTables(*(renamed(rows) for rows in data.stages))._replace(
        label_changes=changes, listing_rejects=data.stages.listing_rejects.replace({"product_id": {"100": "b-10"}})
    )
    data = data._replace(stages=stages, classes=renamed(data.classes), suspects=renamed(data.suspects))
    names_of_photos = ("labels", "groups", "photos", "masks", "map", "predictions")
    said = make_photo_tables(stages)
    said = said._replace(**{name: renamed(getattr(said, name)) for name in names_of_photos})
    contents = json.loads(encode_json(contents_of(data, said)))

    assert contents["photos"]["product_id"] == [
        "9", "10", "903", str(HUGE), "</script>", "a 7", "b-10", "b-10", "constructor"
    ]  # fmt: skip
    assert sorted(contents["classes"]["catalog_id"]) == sorted(classes.values())
    assert classes_of(contents, "class") == [
        "dresses", "dresses", None, *["Kleider / Röcke"] * 3, "dresses", "dresses", "=1+1"
    ]  # fmt: skip
    assert classes_of(contents, "answer") == [
        "Kleider / Röcke", *[None] * 4, "Kleider / Röcke", *[None] * 3
    ]  # fmt: skip
    assert contents["changes"]["told"] == [["dresses", "Kleider / Röcke"]]
    assert contents["label_rows"]["b-10"] == [
        ["Kleider / Röcke", "2026-01-01T00:00:00+00:00"],
        ["dresses", "2026-01-02T00:00:00+00:00"],
    ]
    assert contents["photos"]["key"][6] == "100-0.jpeg"
