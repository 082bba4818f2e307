"""Stage duplicates, from files to files: groups, near-duplicates, and what fails the stage."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from imageset.curation.near_duplicates import measure_likeness
from imageset.formats import hdf5
from sandbox import draw
from sandbox.garments import GARMENTS
from tests.curated import (
    DUPLICATES,
    FIRST,
    NEAR,
    PATTERNS,
    SEARCH,
    Edit,
    Key,
    are_alike,
    failure,
    hashes,
    of_one_class,
    pattern,
    photo,
    rows,
    run,
    thumbnail,
    write_labels,
    write_listing_groups,
    write_photos,
    write_release,
)


@pytest.mark.usefixtures("no_rare_classes")
def test_copies_join_their_photo_and_other_garments_do_not(in_project: Path) -> None:
    shirt = draw.draw("t-shirt", 1)
    width, height = shirt.size
    copies = [
        shirt,
        shirt.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
        ImageOps.mirror(shirt),
        shirt.crop((width // 25, height // 25, width, height)),
    ]
    photos = {(number, 0): thumbnail(image) for number, image in enumerate(copies, 101)}
    others = {(number, 0): photo(garment, number) for number, garment in enumerate(GARMENTS)}
    found = of_one_class(in_project, photos | others)

    assert found.groups == {key: 101 if key in photos else key[0] for key in photos | others}
    assert rows(found.catalog[["product_id", "position"]]) == sorted(photos | others)


@pytest.mark.usefixtures("no_rare_classes")
def test_listings_of_one_seller_are_one_group_and_their_photos_are_still_compared(in_project: Path) -> None:
    photos = {(50, 0): pattern(0), (40, 0): pattern(1), (30, 0): pattern(6), (20, 0): pattern(12)}
    write_photos(in_project, photos)
    write_labels(in_project, [(product_id, 10, FIRST) for product_id, _ in photos], {10: None})
    alone = run(in_project)
    write_listing_groups(in_project, [(50, "anna"), (40, "anna"), (20, "anna"), (30, "ben"), (7, "ben")])
    found = run(in_project)

    assert alone.groups == {(50, 0): 40, (40, 0): 40, (30, 0): 30, (20, 0): 20}
    assert found.groups == {(50, 0): 20, (40, 0): 20, (30, 0): 30, (20, 0): 20}
    assert rows(found.near) == rows(alone.near)


@pytest.mark.usefixtures("no_rare_classes")
def test_products_bytes_and_likeness_connect_photos_in_a_chain(in_project: Path) -> None:
    photos = {
        (50, 0): pattern(0),
        (40, 0): pattern(1),
        (40, 1): pattern(6),
        (30, 0): pattern(10),
        (30, 1): pattern(14),
        (20, 0): pattern(15),
        (60, 0): photo("bag"),
    }
    found = of_one_class(in_project, photos, {(40, 1): "same", (30, 0): "same"})

    assert set(found.groups.items()) == {(key, 60 if key == (60, 0) else 20) for key in photos}


def test_the_patterns_are_as_alike_as_are_alike_says() -> None:
    thumbnails = np.stack([np.asarray(pattern(number)) for number in range(PATTERNS)])
    pairs = [(one, (one + step) % PATTERNS) for one in range(PATTERNS) for step in range(NEAR + 2)]
    likeness = measure_likeness(*(thumbnails[places] for places in np.array(pairs).T))

    assert [value >= DUPLICATES.likeness for value in likeness] == [are_alike(*pair) for pair in pairs]
    assert len({hashes(pattern(number).tobytes()) for number in range(PATTERNS)}) == PATTERNS


@pytest.mark.usefixtures("no_rare_classes")
def test_near_duplicates_are_listed_with_their_likeness(in_project: Path) -> None:
    photos = {(9, 1): pattern(0), (2, 0): pattern(1), (3, 0): pattern(9), (4, 0): pattern(9), (5, 0): pattern(13)}
    found = of_one_class(in_project, photos)
    pair, equal = rows(found.near)

    assert pair[:4] == (2, 0, 9, 1)
    assert DUPLICATES.likeness < float(pair[4]) < 1
    assert equal == (3, 0, 4, 0, "1.000")
    assert found.groups == {(9, 1): 2, (2, 0): 2, (3, 0): 3, (4, 0): 3, (5, 0): 5}


@pytest.mark.usefixtures("no_rare_classes")
def test_at_distance_0_equal_hashes_alone_are_one_group(in_project: Path, edit_params: Edit) -> None:
    edit_params("  distance: 6", "  distance: 0")
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(2), (3, 0): pattern(0)})

    assert found.groups == {(1, 0): 1, (2, 0): 2, (3, 0): 1}


def test_a_release_with_a_product_in_two_subsets_is_refused(in_project: Path) -> None:
    write_release(in_project, {(1, 0): "train", (1, 1): "test"})
    write_photos(in_project, {(1, 0): photo("dress")})

    assert failure(in_project).startswith("releases/split.csv has product 1 in two subsets: ")


def test_too_many_photos_left_out_fail_the_stage(in_project: Path, edit_params: Edit) -> None:
    edit_params("max_products: 20", "max_products: 1")
    write_photos(
        in_project,
        {(1, 0): photo("dress"), (2, 0): photo("dress"), (3, 0): photo("hat")},
        sha256=dict.fromkeys([(1, 0), (2, 0)], "same"),
    )

    assert failure(in_project).startswith("2 of 3 photos are left out (2 shared_picture): more than duplicates.max_re")


def outputs(project: Path) -> list[bytes]:
    return [(project / name).read_bytes() for name in SEARCH[-2:]]


@pytest.mark.usefixtures("no_rare_classes")
def test_one_listing_more_costs_the_hashes_and_the_pairs_of_one(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {
        (number, 0): photo(garment, seed) for seed in (1, 2, 3) for number, garment in enumerate(GARMENTS, 10 * seed)
    }
    photos = listed | {(50, 0): mock_up(0), (51, 0): mock_up(1), (60, 0): pattern(0), (61, 0): pattern(1)}
    more = photos | {(5, 0): mock_up(2)}
    said = []
    for listing in (photos, photos, more):
        of_one_class(in_project, listing)
        said.append(capsys.readouterr().out.splitlines()[0].rpartition("; ")[2])
    warm = outputs(in_project)
    shutil.rmtree(in_project / ".cache/near_duplicates")
    of_one_class(in_project, more)

    assert outputs(in_project) == warm
    first, same, second = (tuple(map(int, re.findall(r"\d+", line))) for line in said)
    assert (first[0], same, second[0]) == (len(photos), (0, 0), 1)
    # Details of the new mock-up and of the others, then its colours.
    assert 2 <= second[1] <= 6 < first[1]


def mock_up(number: int) -> Image.Image:
    """A shirt with another print for each number, 64 x 64, in colour."""
    shirt = draw.draw("t-shirt", 1).resize((64, 64), Image.Resampling.LANCZOS)
    color = ("#e02020", "#20a040", "#2040e0", "#f0c010")[number % 4]
    ImageDraw.Draw(shirt).rectangle((24 + number // 4 % 4 * 2, 28, 33 + number // 4 % 4 * 2, 37), color)
    return shirt


@pytest.mark.usefixtures("no_rare_classes")
def test_a_mock_up_with_many_prints_is_one_group_and_stays(in_project: Path, edit_params: Edit) -> None:
    edit_params("max_products: 20", "max_products: 3")
    found = of_one_class(in_project, {(number, 0): mock_up(number) for number in range(1, 13)})

    assert set(found.groups.values()) == {1}
    assert len(found.groups) == 12


@pytest.mark.usefixtures("no_rare_classes")
def test_a_mock_up_on_many_products_is_left_out_with_each_print_by_itself(in_project: Path, edit_params: Edit) -> None:
    edit_params("max_products: 20", "max_products: 3")
    photos = {(number, 0): mock_up(0 if number < 5 else number) for number in range(1, 9)}
    found = of_one_class(in_project, photos, {(number, 0): f"{number}" for number in range(1, 9)})

    assert found.reasons == dict.fromkeys([(1, 0), (2, 0), (3, 0), (4, 0)], "shared_picture")
    assert set(found.groups.items()) == {((number, 0), 5) for number in range(5, 9)}


@pytest.mark.usefixtures("no_rare_classes")
def test_one_garment_in_many_colours_is_one_group_and_stays(in_project: Path, edit_params: Edit) -> None:
    """Its thumbnails, which are grey, are the same."""
    edit_params("max_products: 20", "max_products: 3")
    grey = draw.draw("dress", 2).convert("L").resize((64, 64), Image.Resampling.LANCZOS)
    tints = [(number * 20 - 100, number % 3 * 40 - 40) for number in range(1, 11)]
    photos = {
        (number, 0): Image.merge("YCbCr", (grey, *(Image.new("L", (64, 64), 128 + shift) for shift in tint)))
        for number, tint in enumerate(tints, 1)
    }
    found = of_one_class(in_project, photos)

    assert set(found.groups.items()) == {(key, 1) for key in photos}


@pytest.mark.parametrize("others", [[(1, 0), (3, 0)], [(1, 0), (2, 1)], [(1, 0)]])
def test_thumbnails_of_other_photos_are_refused(in_project: Path, others: list[Key]) -> None:
    write_photos(in_project, {(1, 0): pattern(0), (2, 0): pattern(9)})
    processed = (in_project / "data/processed.csv").read_bytes()
    write_photos(in_project, {key: pattern(0) for key in others})
    (in_project / "data/processed.csv").write_bytes(processed)
    write_labels(in_project, [(1, 10, FIRST)], {10: None})

    assert "thumbnails.h5 has other photos than the tables" in failure(in_project)


def test_a_file_that_holds_no_thumbnails_is_refused(in_project: Path) -> None:
    write_photos(in_project, {(1, 0): pattern(0)})
    write_labels(in_project, [(1, 10, FIRST)], {10: None})
    with hdf5.create(in_project / "data/thumbnails.h5", hdf5.PROCESSED) as file:
        hdf5.finish(file)

    assert "is not a file of format imageset-thumbnails" in failure(in_project)


def test_a_damaged_preview_of_a_near_duplicate_is_named(in_project: Path) -> None:
    write_photos(in_project, {(2, 0): pattern(0), (9, 1): pattern(1), (3, 0): pattern(9)})
    path = in_project / "data/previews.h5"
    with h5py.File(path, "r+") as file:
        file["previews"][int(file["ends"][0]) - 1] ^= 1

    assert re.search(r"previews\.h5 is damaged at row 0: remove it, then `dvc checkout", failure(in_project))
