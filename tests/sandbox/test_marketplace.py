"""The marketplace: from folders of photos, and dirty listings."""

from pathlib import Path

import pytest

from imageset.errors import DataError, Undecodable
from imageset.formats import tables
from imageset.photos import decode
from imageset.photos.decode import PhotoLimits
from sandbox import dirty_listings, marketplace
from sandbox.listing import FIRST_PRODUCT, Listing
from sandbox.marketplace import FIRST_CATALOG
from stages import labels, listings
from tests.conftest import photo_bytes
from tests.sandbox.test_servers import query


def test_another_set_of_photos_has_another_prefix_in_the_bucket(tmp_path: Path) -> None:
    names = []
    for content in (b"a", b"b", b"a"):
        (tmp_path / "3000001.jpg").write_bytes(content)
        names.append(marketplace.name_photos(tmp_path))

    assert names[0] == names[2] != names[1]


def test_folders_become_a_marketplace_that_the_stages_can_read(
    database: str, photo_folder: tuple[Path, str], photos: Path, in_project: Path
) -> None:
    folder, url = photo_folder
    (folder / "of_last_time.jpg").write_bytes(b"")

    assert marketplace.open_marketplace(database, url, folder, photos)[0] == 12

    data, queries = in_project / "data", in_project / "queries"
    names = ("listings", "listings_rejects", "attributes", "listing_groups")
    listings.main(queries / "listings.sql", *(data / f"{name}.csv" for name in names))
    labels.main(queries / "labels.sql", queries / "classes.sql", data / "labels.csv", data / "classes.csv")
    listed = tables.read(data / "listings.csv", tables.LISTINGS)
    classes = tables.read(data / "classes.csv", tables.CLASSES)

    assert listed["product_id"].tolist() == list(range(FIRST_PRODUCT, FIRST_PRODUCT + 12))
    assert sorted(path.name for path in folder.iterdir()) == [f"{number}.jpg" for number in listed["product_id"]]
    assert listed["image_url"].tolist() == [f"{url}/{number}.jpg" for number in listed["product_id"]]
    assert classes["name"].tolist() == ["clothing", "Blusen, Größe L", "skirt"]
    assert query(database, "SELECT title, count(*) FROM products_catalog GROUP BY title ORDER BY title") == [
        ("Blusen, Größe L", 9),
        ("skirt", 3),
    ]


def test_a_product_that_was_moved_has_its_own_class_last(
    database: str, photo_folder: tuple[Path, str], photos: Path
) -> None:
    folder, url = photo_folder
    marketplace.open_marketplace(database, url, folder, photos)
    tracked = query(database, "SELECT catalog_id FROM tracking_staging WHERE product_id = 3000010 ORDER BY date")

    assert tracked == [(FIRST_CATALOG,), (FIRST_CATALOG + 1,)]
    assert query(database, "SELECT count(*) FROM tracking_staging") == [(13,)]


def test_a_folder_without_photos_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "skirt").mkdir()

    with pytest.raises(DataError, match="expected a folder for each class"):
        marketplace.copy_folders(tmp_path, tmp_path)


def outcome(photo: bytes) -> str:
    try:
        decode.decode(photo, PhotoLimits(1_000_000))
    except Undecodable as error:
        return error.reason
    return "a photo"


def test_each_dirty_listing_is_wrong_in_the_way_that_its_name_says(tmp_path: Path) -> None:
    clean = []
    for number, title in enumerate(("bag", "jacket", "dress")):
        (tmp_path / f"{number}.jpg").write_bytes(photo_bytes(number, title))
        clean.append(Listing(number, title, (f"{number}.jpg",), (10 + number,)))
    dirty = list(dirty_listings.make_dirty_listings(clean, tmp_path))
    outcomes = {
        listing.photos[0].partition("-")[2]: outcome((tmp_path / listing.photos[0]).read_bytes())
        for listing in dirty[:9]
    }

    assert outcomes == {
        "again.jpg": "a photo",
        "smaller.jpg": "a photo",
        "mirrored.jpg": "a photo",
        "sideways.jpg": "a photo",
        "cmyk.jpg": "a photo",
        "picture.png": "a photo",
        "truncated.jpg": "truncated",
        "login.jpg": "not_an_image",
        "empty.jpg": "empty",
    }
    assert [(len(listing.photos), len(listing.catalog_ids)) for listing in dirty[9:]] == [(1, 1), (1, 0), (3, 1)]
