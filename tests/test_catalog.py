from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image, ImageOps

from imageset import pixels, tables
from imageset.errors import DataError
from sandbox import draw
from sandbox.garments import GARMENTS
from stages import catalog

FIRST, LAST = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
NO_CLASSES = tables.frame(tables.LABEL_MAP, [])
FAR = 0xAAAA_AAAA_AAAA_AAAA  # differs from 0 in 32 bits


def labels(*rows: tuple[Any, Any, str]) -> pd.DataFrame:
    return tables.frame(tables.LABELS, rows)


def classes(*catalog_ids: int) -> pd.DataFrame:
    return tables.frame(tables.CLASSES, [(catalog_id, f"class {catalog_id}", None) for catalog_id in catalog_ids])


def photo(product_id: int, position: int = 0, phash: int | None = None, mirrored: int | None = None,
          sha256: str | None = None) -> tuple[int, int, int, str, str, str]:
    """A row of processed.csv; hashes that are not given are far from all others."""
    plain = product_id * 0x9E37_79B9_7F4A_7C15 + position * 0xC2B2_AE3D_27D4_EB4F if phash is None else phash
    other = plain ^ FAR if mirrored is None else mirrored
    return (product_id, position, 0, sha256 or f"{product_id}-{position}", f"{plain % 2**64:016x}",
            f"{other % 2**64:016x}")


def photos(*rows: tuple[int, int, int, str, str, str]) -> pd.DataFrame:
    return tables.frame(tables.PROCESSED, rows)


def groups(*rows: tuple[int, int, int, str, str, str], distance: int = 6) -> list[int]:
    return list(catalog.group(photos(*rows), distance))


@pytest.mark.parametrize("rows", [
    [(1, 11, FIRST), (1, 12, LAST)],
    [(1, 12, LAST), (1, 11, FIRST)],
    [(1, 11, "2026-01-01T00:00:00+00:00"), (1, 12, "2026-01-01T00:00:00.500000+00:00")],
    [(1, 13, LAST), (1, 12, LAST)],
    [(1, 12, FIRST), (1, 11, "")],
    [(1, 12, FIRST), (1, None, LAST), (None, 11, LAST)],
])
def test_a_product_has_the_class_of_its_latest_row_of_several_the_lowest(rows: Sequence[tuple[Any, Any, str]]) -> None:
    assert dict(catalog.latest_labels(labels(*rows))) == {1: 12}


def test_catalog_ids_beyond_the_integers_of_a_float_stay_as_they_are() -> None:
    large = 2**53 + 1
    classified = catalog.classify(photos(photo(1), photo(2)), labels((1, large, FIRST)), classes(large), 1)

    assert classified["catalog_id"].tolist() == [large, pd.NA]
    assert classified["reason"].tolist() == ["", "no_label"]


def test_a_placeholder_on_many_listings_is_one_group() -> None:
    assert groups(*(photo(number, phash=0) for number in range(3000, 9000)), photo(1, phash=1)) == [1] * 6001


def test_each_photo_that_goes_says_why() -> None:
    told = labels(*((product_id, 11, FIRST) for product_id in (1, 2)), (3, 12, FIRST), (4, 99, FIRST), (5, None, LAST))
    classified = catalog.classify(photos(*(photo(number) for number in range(1, 7))), told, classes(11, 12), 2)

    assert dict(zip(classified["product_id"], classified["reason"], strict=True)) == {
        1: "", 2: "", 3: "rare_class", 4: "unknown_class", 5: "no_label", 6: "no_label"}


def test_a_class_of_just_enough_photos_stays() -> None:
    rows = photos(photo(1), photo(1, 1), photo(2))
    classified = catalog.classify(rows, labels((1, 11, FIRST), (2, 11, FIRST)), classes(11), 3)

    assert set(classified["reason"]) == {""}


def test_classes_are_numbered_in_the_order_of_their_catalog_ids() -> None:
    numbered = catalog.number_classes({30, 4, 200}, NO_CLASSES, classes(200, 4, 30))

    assert list(numbered.itertuples(index=False, name=None)) == [
        (0, 4, "class 4"), (1, 30, "class 30"), (2, 200, "class 200")]


def test_released_numbers_stay_and_new_classes_follow() -> None:
    released = tables.frame(tables.LABEL_MAP, [(1, 30, "trousers"), (0, 200, "coats")])
    numbered = catalog.number_classes({30, 4, 5}, released, classes(4, 5, 30))

    assert list(numbered.itertuples(index=False, name=None)) == [
        (0, 200, "coats"), (1, 30, "class 30"), (2, 4, "class 4"), (3, 5, "class 5")]


@pytest.mark.parametrize("numbers", [(0, 2), (1, 2), (0, 0)])
def test_released_numbers_with_a_gap_are_refused(numbers: tuple[int, int]) -> None:
    released = tables.frame(tables.LABEL_MAP, list(zip(numbers, (30, 200), ("a", "b"), strict=True)))

    with pytest.raises(DataError, match=r"label_map\.csv.*without a gap"):
        catalog.number_classes({30}, released, classes(30, 200))


def test_photos_without_a_tie_are_groups_of_their_own() -> None:
    assert groups(photo(3), photo(1), photo(2)) == [3, 1, 2]


def test_photos_of_one_product_are_one_group() -> None:
    assert groups(photo(3), photo(3, 1), photo(4)) == [3, 3, 4]


def test_photos_of_equal_bytes_are_one_group_of_the_lowest_product() -> None:
    assert groups(photo(9, sha256="same"), photo(5), photo(4, sha256="same")) == [4, 5, 4]


@pytest.mark.parametrize(("bits", "together"), [(0b111111, True), (0b1111111, False)])
def test_hashes_within_the_distance_are_one_group(bits: int, together: bool) -> None:
    assert groups(photo(1, phash=0), photo(2, phash=bits)) == ([1, 1] if together else [1, 2])


def test_at_distance_0_equal_hashes_alone_are_one_group() -> None:
    assert groups(photo(1, phash=0), photo(2, phash=1), photo(3, phash=0), distance=0) == [1, 2, 1]


def test_a_photo_and_a_mirror_image_of_it_are_one_group() -> None:
    assert groups(photo(1, phash=0, mirrored=FAR), photo(2, phash=FAR, mirrored=0)) == [1, 1]


def test_ties_chain_through_hashes_bytes_and_products() -> None:
    rows = [photo(50, phash=0), photo(40, phash=0b1111), photo(40, 1, sha256="same"), photo(30, sha256="same"),
            photo(30, 1, phash=0xFFFF << 32), photo(20, phash=0xFFFE << 32), photo(60)]

    assert groups(*rows) == [20] * 6 + [60]


def test_pairs_are_found_across_the_blocks_they_are_compared_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "PAIRS_AT_ONCE", 10)

    assert groups(photo(1, phash=0), photo(2), photo(3), photo(4), photo(5, phash=1)) == [1, 2, 3, 4, 1]


def drawn(product_id: int, image: Image.Image) -> tuple[int, int, int, str, str, str]:
    return (product_id, 0, 0, str(product_id), *pixels.perceptual_hashes(image))


def test_resized_and_mirrored_copies_join_their_photo_and_other_garments_do_not() -> None:
    shirt, bag = draw.draw("t-shirt", 1), draw.draw("bag", 2)
    smaller = shirt.resize((shirt.width // 2, shirt.height // 2), Image.Resampling.LANCZOS)

    assert groups(drawn(1, shirt), drawn(2, smaller), drawn(3, ImageOps.mirror(shirt)), drawn(4, bag),
                  drawn(5, ImageOps.mirror(bag))) == [1, 1, 1, 4, 4]


def test_drawn_garments_are_all_different() -> None:
    rows = [drawn(number, draw.draw(garment, number)) for number, garment in enumerate(GARMENTS)]

    assert groups(*rows) == list(range(len(GARMENTS)))


def run(project: Path, processed: pd.DataFrame, told: pd.DataFrame, named: pd.DataFrame) -> list[pd.DataFrame]:
    """Run the stage and return catalog, label map and rejects."""
    data = project / "data"
    inputs = {"processed": (tables.PROCESSED, processed), "labels": (tables.LABELS, told),
              "classes": (tables.CLASSES, named)}
    for name, (table, rows) in inputs.items():
        tables.write(data / f"{name}.csv", table, rows)
    outputs = {"catalog": tables.CATALOG, "label_map": tables.LABEL_MAP, "catalog_rejects": tables.CATALOG_REJECTS}
    catalog.main(data / "processed.csv", data / "labels.csv", data / "classes.csv", project / "releases/label_map.csv",
                 data / "catalog.csv", data / "label_map.csv", data / "catalog_rejects.csv")
    return [tables.read(data / f"{name}.csv", table) for name, table in outputs.items()]


def test_every_photo_stands_in_the_catalog_or_among_the_rejects(in_project: Path,
                                                                edit_params: Callable[[str, str], None]) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    processed = photos(photo(1), photo(2, sha256="same"), photo(2, 1), photo(3), photo(4, sha256="same"), photo(5))
    processed["row"] = range(6)
    told = labels((1, 20, FIRST), (2, 20, FIRST), (4, 10, FIRST), (4, 20, LAST), (5, 30, FIRST))
    found, label_map, rejects = run(in_project, processed, told, classes(10, 20, 30))

    assert list(found.itertuples(index=False, name=None)) == [
        (1, 0, 0, 20, 0, 1), (2, 0, 1, 20, 0, 2), (2, 1, 2, 20, 0, 2), (4, 0, 4, 20, 0, 2)]
    assert list(label_map.itertuples(index=False, name=None)) == [(0, 20, "class 20")]
    assert rejects[["product_id", "reason"]].to_numpy().tolist() == [[3, "no_label"], [5, "rare_class"]]


def test_a_catalog_without_a_photo_is_an_error_with_the_counts(in_project: Path) -> None:
    with pytest.raises(DataError, match=r"no photo is left \(4 rare_class\).*min_photos"):
        run(in_project, photos(*(photo(number) for number in range(4))),
            labels(*((number, 10, FIRST) for number in range(4))), classes(10))


def test_the_order_of_rows_changes_no_byte(in_project: Path) -> None:
    processed = photos(*(photo(number, sha256=str(number % 7)) for number in range(20)))
    told = labels(*((number, 10 + number % 2, date) for number in range(20) for date in (FIRST, LAST)))
    written = []
    for rows in (processed, processed[::-1]):
        run(in_project, rows, told[::-1], classes(10, 11))
        written.append((in_project / "data/catalog.csv").read_bytes())

    assert written[0] == written[1]
