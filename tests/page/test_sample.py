"""Which photos the page shows when there are more than it has room for."""

import numpy as np
import pandas as pd

from imageset.formats import tables
from imageset.page.inputs import PageInputs
from imageset.page.photo_list import name_photos
from imageset.page.sample import OF_EACH_CLASS, choose_photos
from tests.page.tables import frame, make_inputs

PHOTOS = pd.DataFrame(
    {
        "product_id": np.arange(2000),
        "position": 0,
        "catalog_id": pd.array([1] * 1500 + [2] * 200 + [3] * 3 + [4] * 297, dtype="Int64"),
        "stage": [""] * 1800 + ["ingest"] * 200,
        "reason": [""] * 1800 + ["not_found"] * 150 + ["gone"] * 50,
    }
)


def inputs_of(suspects: int) -> PageInputs:
    rows = [("label", number + 1, 1700 - number, 0, 1, "0.9", "another_class", 2) for number in range(suspects)]
    return make_inputs(
        suspects=frame(tables.SUSPECTS, *rows),
        near_duplicates=frame(tables.NEAR_DUPLICATES, (3, 0, 4, 0, "0.8")),
        label_changes=frame(tables.LABEL_CHANGES, (5, 0, "corrected", "1", 2)),
    )


def test_up_to_the_bound_all_photos_are_shown() -> None:
    data = make_inputs()
    photos = name_photos(data)
    chosen, sampled = choose_photos(photos, data, len(photos))

    assert chosen.all()
    assert sampled is None


def test_the_sample_has_each_class_by_its_share_and_few_rejects() -> None:
    chosen, sampled = choose_photos(PHOTOS, inputs_of(0), 200)
    base = PHOTOS[chosen]
    kept = base[base["reason"] == ""]
    counts = kept["catalog_id"].value_counts()

    assert len(base) - len(kept) == 20
    assert counts[3] == 3
    assert counts[4] >= OF_EACH_CLASS
    assert 145 <= counts[1] <= 155
    assert {"gone", "not_found"} <= set(base["reason"])
    assert sampled is not None
    assert (sampled["shown"], sampled["of"]) == (chosen.sum(), 2000)
    assert "200 photos, 20 of them left out of the dataset, and 3 more" in sampled["how"]


def test_where_the_dataset_is_small_rejects_fill_the_sample() -> None:
    photos = PHOTOS.assign(stage="ingest", reason="not_found")
    photos.loc[1000:1059, ["stage", "reason"]] = ""
    chosen, sampled = choose_photos(photos, inputs_of(0), 200)

    assert chosen[1000:1060].all()
    assert (photos["reason"][chosen] != "").sum() == 140 + 3  # three of inputs_of come on top
    assert sampled is not None
    assert sampled["shown"] == chosen.sum()
    assert "200 photos, 140 of them left out of the dataset, and 3 more" in sampled["how"]


def test_all_suspects_pairs_and_changed_labels_come_on_top() -> None:
    chosen, _ = choose_photos(PHOTOS, inputs_of(100), 200)

    assert chosen[1601:1701].all()
    assert chosen[[3, 4, 5]].all()
    assert 200 < chosen.sum() <= 303


def test_of_too_many_suspects_the_best_ranked_come() -> None:
    chosen, sampled = choose_photos(PHOTOS, inputs_of(900), 200)

    assert chosen.sum() == 400
    assert chosen[1700 - 150 : 1701].all()
    assert sampled is not None
    assert "the first of " in sampled["how"]


def test_the_same_photos_make_the_same_sample_in_any_order() -> None:
    mixed = PHOTOS.sample(frac=1, random_state=1)
    names = [set(frame["product_id"][choose_photos(frame, inputs_of(50), 200)[0]]) for frame in (PHOTOS, mixed)]

    assert names[0] == names[1]
