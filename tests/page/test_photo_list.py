"""Which photos the page has, and what it says of each."""

import pandas as pd
import pytest

from imageset.curation.corrections import Decision
from imageset.formats import tables
from imageset.page.photo_list import CLASS_DECIDED, EXCLUDED, PRODUCT_DECIDED, UNDECIDED
from imageset.page.public_url import public_url
from tests.page.tables import HUGE, KEPT, frame, list_photos, make_inputs, make_photo_tables, make_stages


def by_name(photos: pd.DataFrame) -> dict[tuple[int, int], dict[str, object]]:
    return {(row["product_id"], row["position"]): row for row in photos.to_dict("records")}


def test_every_photo_is_there_once_with_the_stage_and_the_reason_that_left_it_out() -> None:
    photos = list_photos(make_inputs())
    left_out = photos[photos["reason"] != ""]

    assert list(photos[["product_id", "position"]].itertuples(index=False, name=None)) == [
        *KEPT,
        (900, 0),
        (901, 0),
        (903, 0),
        (HUGE, 0),
    ]
    assert left_out[["product_id", "stage", "reason"]].to_numpy().tolist() == [
        [900, "preprocess", "mask_empty"],
        [901, "catalog", "rare_class"],
        [903, "listings", "bad_url"],
        [HUGE, "ingest", "not_found"],
    ]


def test_a_photo_without_a_class_has_the_class_that_the_catalog_or_the_labels_name() -> None:
    photos = by_name(list_photos(make_inputs()))

    assert photos[901, 0]["catalog_id"] == 9  # of the catalog's rejects
    assert photos[900, 0]["catalog_id"] == 7  # the latest of its rows
    assert pd.isna(photos[903, 0]["catalog_id"])


def test_a_photo_has_what_is_known_of_it_and_nothing_where_its_bytes_never_came() -> None:
    photos = by_name(list_photos(make_inputs()))
    here, gone = photos[103, 0], photos[HUGE, 0]

    assert (here["key"], here["width"], here["brightness"], here["uncertainty"]) == ("103-0.jpeg", 400, 120.0, 0.02)
    assert (here["answer"], here["probability"], here["x"], here["y"]) == (1, 0.5, 0.5, -1.25)
    assert (here["group"], here["group_size"], here["subset"]) == (102, 2, "test")
    assert (gone["key"], gone["format"], gone["group_size"], gone["subset"]) == (f"{HUGE}.jpeg", "", 0, "")
    assert all(pd.isna(gone[name]) for name in ("width", "sharpness", "pieces", "answer", "group", "x"))


def test_without_ingest_the_bucket_decides_which_photos_there_are() -> None:
    stages = make_stages()
    photos = list_photos(make_inputs(ingest=frame(tables.INGEST)))

    assert len(photos) == len(stages.inventory)
    assert by_name(photos)[100, 0]["image_url"] == "https://seller:secret@h.example/100.jpg?sig=1#x"


def test_no_photo_of_a_product_that_was_taken_down_is_there() -> None:
    assert set(list_photos(make_inputs(taken_down=frozenset({HUGE, 903})))["product_id"]) == {
        *(product_id for product_id, _ in KEPT),
        900,
        901,
    }


def test_what_people_decided_is_known_the_exclusion_before_the_class() -> None:
    labels = [
        Decision("corrections/labels.csv", 2, 100, None, 7, ""),
        Decision("corrections/labels.csv", 3, 100, 1, 7, ""),
        Decision("corrections/labels.csv", 4, 901, 0, 8, ""),
    ]
    exclusions = [Decision("corrections/exclusions.csv", 2, 901, 0, "off_topic", "")]
    photos = by_name(list_photos(make_inputs(label_decisions=labels, exclusions=exclusions)))

    assert [photos[name]["decided"] for name in ((100, 0), (100, 1), (901, 0), (101, 0))] == [
        PRODUCT_DECIDED,
        CLASS_DECIDED,
        EXCLUDED,
        UNDECIDED,
    ]


def test_where_backgrounds_are_kept_nothing_is_known_of_masks() -> None:
    data = make_inputs()
    photos = list_photos(data, make_photo_tables(data.stages, masks=frame(tables.MASKS)))

    assert photos["uncertainty"].isna().all()
    assert photos["pieces"].isna().all()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass@shop.example:8443/a/b.jpg?X-Amz-Signature=1", "https://shop.example:8443/a/b.jpg"),
        ("http://shop.example", "http://shop.example"),
        ("http://shop.example/a;jsessionid=8/b.jpg;v=2#top", "http://shop.example/a/b.jpg"),
        ("http://shop.example/a%2Fb@c.jpg", "http://shop.example/a%2Fb@c.jpg"),
        ("http://me@evil.example@shop.example/a.jpg", "http://shop.example/a.jpg"),
        ("javascript:alert(1)", ""),
        ("data:image/png;base64,AAAA", ""),
        ("not a url", ""),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown
