"""Small tables of all stages, as the page reads them: five photos of the dataset, and rejects of each stage."""

from typing import Any

import pandas as pd

from imageset.formats import tables
from imageset.leakage.recall import Recall, describe
from imageset.page.contents import make_contents
from imageset.page.inputs import PageInputs, PhotoTables
from imageset.page.photo_list import describe_photos, group_sizes, name_photos
from imageset.report.figures import StageTables

KEPT = [(100, 0), (100, 1), (101, 0), (102, 0), (103, 0)]
FACTS = (400, 600, "JPEG", "0.5", "120.0", "40.0", "1.5", "")
BASELINE: dict[str, Any] = {
    "accuracy": 0.9,
    "accuracy_standard_error": 0.03,
    "floor": {"accuracy": 0.5},
    "photos": {"train": 3, "test": 100},
}
LEAKAGE = describe({"resized": Recall(20, 20, 0), "text": Recall(20, 17, 1), "collage": Recall(0, 0, 0)}, 20)
PREDICTIONS = [(101, 0, 0, 1, "0.75"), (103, 0, 1, 1, "0.5")]
HUGE = 2**63 - 1  # a product_id that JavaScript's numbers cannot hold


def frame(table: tables.Table, *rows: tuple[Any, ...]) -> pd.DataFrame:
    return tables.frame(table, list(rows))


def make_stages() -> StageTables:
    return StageTables(
        listings=frame(
            tables.LISTINGS,
            *((*photo, f"https://seller:secret@h.example/{photo[0]}.jpg?sig=1#x", "") for photo in KEPT),
            *((product, 0, f"https://h.example/{product}.jpg", "") for product in (900, 901, HUGE)),
        ),
        listing_rejects=frame(
            tables.LISTING_REJECTS,
            ("903", "0", "ftp://h.example/903.jpg", "", "bad_url"),
            ("100", "0", "https://h.example/again.jpg", "", "repeated"),
            ("x1", "0", "https://h.example/x.jpg", "", "bad_id"),
            ("99999999999999999999", "0", "https://h.example/y.jpg", "", "bad_id"),
        ),
        ingest=frame(
            tables.INGEST,
            *((f"{product}-{position}.jpeg", product, position, "done", "") for product, position in KEPT),
            *((f"{product}.jpeg", product, 0, "done", "") for product in (900, 901)),
            (f"{HUGE}.jpeg", HUGE, 0, "rejected", "not_found"),
        ),
        inventory=frame(
            tables.INVENTORY,
            *((f"{product}-{position}.jpeg", product, position, "etag", 9, "") for product, position in KEPT),
            *((f"{product}.jpeg", product, 0, "etag", 9, "") for product in (900, 901)),
        ),
        rejects=frame(tables.REJECTS, (900, 0, "mask_empty")),
        catalog=frame(
            tables.CATALOG,
            (100, 0, 0, 7, 0, 100),
            (100, 1, 1, 7, 0, 100),
            (101, 0, 2, 7, 0, 101),
            (102, 0, 3, 8, 1, 102),
            (103, 0, 4, 8, 1, 102),
        ),
        catalog_rejects=frame(tables.CATALOG_REJECTS, (901, 0, "rare_class", 9)),
        label_changes=frame(
            tables.LABEL_CHANGES, (100, 0, "several_labels", "7 8", 7), (901, 0, "corrected", "8", None)
        ),
        near_duplicates=frame(tables.NEAR_DUPLICATES, (100, 0, 103, 0, "0.91"), (100, 1, 101, 0, "0.82")),
        label_map=frame(tables.LABEL_MAP, (0, 7, "dress"), (1, 8, "hat")),
        split=frame(
            tables.SPLIT,
            (100, 0, "train"),
            (100, 1, "train"),
            (101, 0, "test"),
            (102, 0, "train"),
            (103, 0, "test"),
        ),
    )


def make_inputs(**changes: Any) -> PageInputs:
    """Return the tables; some of them, or of `StageTables`, as the caller has them."""
    of_stages = {name: changes.pop(name) for name in list(changes) if name in StageTables._fields}
    return PageInputs(
        stages=make_stages()._replace(**of_stages),
        classes=frame(tables.CLASSES, (7, "dress", None), (8, "hat", None), (9, "<script>", 7)),
        suspects=frame(
            tables.SUSPECTS,
            ("class", 1, None, None, 7, "0.9", "same_class", 8),
            ("label", 1, 101, 0, 7, "0.99", "another_class", 8),
            ("label", 2, 100, 1, 7, "0.9", "another_class", 8),
            ("mask", 1, 101, 0, 7, "5.0", "unsure", None),
        ),
        predictions=frame(tables.PREDICTIONS, *PREDICTIONS),
        label_decisions=[],
        exclusions=[],
        taken_down=frozenset(),
        checks={"mean_and_std": {"passed": True, "examined": 7, "violations": 0, "examples": []}},
        baseline=BASELINE,
        leakage=LEAKAGE,
    )._replace(**changes)


def make_photo_tables(stages: StageTables, **changes: Any) -> PhotoTables:
    """Return what tables say of all photos; some of them as the caller has them."""
    seen = [*KEPT, (900, 0), (901, 0)]
    kept = frame(
        tables.GROUPS,
        (100, 0, 0, 100, 0, ""),
        (100, 1, 1, 100, 1, ""),
        (101, 0, 2, 101, 2, ""),
        (102, 0, 3, 102, 3, ""),
        (103, 0, 4, 102, 4, ""),
        (901, 0, 5, 901, 5, ""),
    )[["product_id", "position", "group"]]
    return PhotoTables(
        listings=stages.listings,
        listing_rejects=stages.listing_rejects,
        ingest=stages.ingest,
        inventory=stages.inventory,
        split=stages.split,
        groups=group_sizes(kept, kept["group"].to_numpy()),
        photos=frame(tables.PHOTOS, *((*photo, *FACTS) for photo in seen)),
        masks=frame(tables.MASKS, *((*photo, "0.3", "0.01", 1, "0.02", "openvino float32", "") for photo in seen)),
        map=frame(tables.MAP, *((*photo, "0.5", "-1.25") for photo in KEPT)),
        doubts=frame(
            tables.DOUBTS,
            (100, 0, "0.9", 8, "1.5"),
            (100, 1, "0.1", 8, "0.5"),
            (101, 0, "0.01", 8, "5.0"),
            (102, 0, "", None, "2.0"),
            (103, 0, "0.8", 7, ""),
        ),
        predictions=frame(tables.PREDICTIONS, *PREDICTIONS),
        labels=frame(
            tables.LABELS,
            *((product, 7, "2026-01-02T00:00:00+00:00") for product in (100, 101, 900)),
            *((product, 8, "2026-01-01T00:00:00+00:00") for product in (100, 102, 103, 900, HUGE)),
        ),
    )._replace(**changes)


def list_photos(data: PageInputs, said: PhotoTables | None = None) -> pd.DataFrame:
    """Return what is known of every photo."""
    return describe_photos(name_photos(data), data, said or make_photo_tables(data.stages))


def contents_of(data: PageInputs, said: PhotoTables | None = None, most: int | None = None) -> dict[str, Any]:
    """Return what the page says of all photos, or of the first ones."""
    said = said or make_photo_tables(data.stages)
    return make_contents(data, list_photos(data, said)[:most], said.labels)
