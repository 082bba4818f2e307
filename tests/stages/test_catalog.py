"""Stages duplicates and catalog, from files to files: every photo gets a class and a group, or a reason."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy.fft import idctn

from imageset.curation import duplicate_search, groups, released_subsets, ties
from imageset.curation.near_duplicates import measure_likeness
from imageset.curation.stratified_split import assign_subsets
from imageset.errors import DataError, ParamsError
from imageset.formats import hdf5, tables
from imageset.photos import pixels
from imageset.runtime.sections import DuplicatesParams, SplitParams
from sandbox import draw
from sandbox.garments import GARMENTS
from stages import catalog, duplicates, split
from tests.conftest import run_stage
from tools import release

FIRST, LAST = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
LARGE = 2**53 + 1  # a float would make 2**53 of it
SEARCH = (
    "data/processed.csv",
    "data/thumbnails.h5",
    "releases/split.csv",
    "data/groups.csv",
    "data/near_duplicates.csv",
)
INPUTS = ("data/groups.csv", "data/labels.csv", "data/classes.csv", "releases/label_map.csv")
OUTPUTS = {
    "catalog": tables.CATALOG,
    "label_map": tables.LABEL_MAP,
    "label_changes": tables.LABEL_CHANGES,
    "catalog_rejects": tables.CATALOG_REJECTS,
}
FOUND = {"near_duplicates": tables.NEAR_DUPLICATES} | OUTPUTS
PATTERNS = 18  # on a circle: those at most NEAR apart are near-duplicates, all others are not
NEAR = 2
# Not as in params.yaml: between the likeness of two patterns NEAR apart and of two that are one step further apart.
DUPLICATES = DuplicatesParams(distance=6, likeness=0.53, max_products=20, max_rejected_share=1.0)

Edit = Callable[[str, str], None]
Key = tuple[int, int]
LabelRow = tuple[Any, Any, str]


class Found(NamedTuple):
    """The tables that both stages write."""

    near: pd.DataFrame
    catalog: pd.DataFrame
    label_map: pd.DataFrame
    changes: pd.DataFrame
    rejects: pd.DataFrame

    @property
    def groups(self) -> dict[Key, int]:
        return by_photo(self.catalog, "group")

    @property
    def classes(self) -> dict[Key, int]:
        return by_photo(self.catalog, "catalog_id")

    @property
    def reasons(self) -> dict[Key, str]:
        return by_photo(self.rejects, "reason")


def by_photo(table: pd.DataFrame, column: str) -> dict[Key, Any]:
    return dict(zip(zip(table["product_id"], table["position"], strict=True), table[column], strict=True))


def rows(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(table.itertuples(index=False, name=None))


@cache
def photo(garment: str, seed: int = 1) -> Image.Image:
    """The thumbnail of a drawn photo."""
    return thumbnail(draw.draw(garment, seed))


def thumbnail(image: Image.Image) -> Image.Image:
    return pixels.make_thumbnail(image.convert("L"))


@cache
def pattern(number: int) -> Image.Image:
    """A thumbnail whose likeness to others is known: its details mix two noises, at an angle of 20 degrees a number.

    All have nearly the same low frequencies. Along the circle, nine pairs of the 64 bits are swapped one after the
    other. So the hashes differ, and those of near-duplicates differ in at most four bits.
    """
    rng = np.random.default_rng(7)
    signs = rng.permutation(np.tile([1.0, -1.0], 32))
    noises = rng.choice([-1.0, 1.0], (2, 64, 64))
    low = signs * rng.uniform(0.8, 1.2, 64)
    half = PATTERNS // 2
    turned = range(number) if number <= half else range(number - half, half)
    for bit in turned:
        pair = [np.flatnonzero(signs > 0)[1 + bit], np.flatnonzero(signs < 0)[1 + bit]]
        low[pair] = low[pair[::-1]]
    frequencies = np.zeros((64, 64))
    frequencies[:8, :8] = low.reshape(8, 8)
    frequencies[0, 0] = 0
    shape = idctn(frequencies, norm="ortho")
    angle = 2 * np.pi * number / PATTERNS
    values = 128 + 25 * (shape / shape.std() + np.cos(angle) * noises[0] + np.sin(angle) * noises[1])
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def are_alike(one: int, other: int) -> bool:
    return min((one - other) % PATTERNS, (other - one) % PATTERNS) <= NEAR


@cache
def hashes(pixels_of: bytes) -> tuple[str, str]:
    return pixels.hash_thumbnail(Image.frombytes("L", (64, 64), pixels_of))


def write_photos(project: Path, photos: dict[Key, Image.Image], sha256: dict[Key, str] | None = None) -> None:
    """Write processed.csv and thumbnails.h5 as stage preprocess does."""
    keys = sorted(photos)
    content = [photos[key].tobytes() for key in keys]
    (project / "data").mkdir(exist_ok=True)
    with hdf5.create(project / "data/thumbnails.h5", hdf5.THUMBNAILS) as file:
        hdf5.add_images(file, "images", (len(keys), 64, 64, 1))[...] = np.frombuffer(
            b"".join(content), np.uint8
        ).reshape(-1, 64, 64, 1)
        hdf5.add(file, "ids", np.array([product_id for product_id, _ in keys], np.int64))
        hdf5.add(file, "positions", np.array([position for _, position in keys], np.int16))
        hdf5.finish(file)
    processed = [(*key, row, (sha256 or {}).get(key, f"{key}"), *hashes(content[row])) for row, key in enumerate(keys)]
    tables.write(project / "data/processed.csv", tables.PROCESSED, tables.frame(tables.PROCESSED, processed))


def write_labels(project: Path, labels: list[LabelRow], parents: dict[int, int | None]) -> None:
    """Write labels in the order given, and classes with their parents."""
    (project / "data").mkdir(exist_ok=True)
    tables.frame(tables.LABELS, labels).to_csv(project / "data/labels.csv", index=False)
    named = [(catalog_id, f"class {catalog_id}", parent) for catalog_id, parent in parents.items()]
    tables.write(project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, named))


def write_release(project: Path, subsets: dict[Key, str]) -> None:
    tables.write(
        project / "releases/split.csv",
        tables.SPLIT,
        tables.frame(tables.SPLIT, [(*key, subset) for key, subset in subsets.items()]),
    )


def run(project: Path) -> Found:
    """Run the stages and return their tables, which hold every photo once."""
    duplicates.main(*(project / name for name in SEARCH))
    catalog.main(*(project / name for name in INPUTS), *(project / f"data/{name}.csv" for name in OUTPUTS))
    found = Found(*(tables.read(project / f"data/{name}.csv", table) for name, table in FOUND.items()))
    processed = tables.read(project / "data/processed.csv", tables.PROCESSED)

    assert sorted([*found.groups, *found.reasons]) == rows(processed[["product_id", "position"]])
    assert by_photo(found.catalog, "row").items() <= by_photo(processed, "row").items()
    assert set(found.rejects["reason"]) <= catalog.REASONS
    assert rows(found.catalog[["label", "catalog_id"]].drop_duplicates().sort_values("label")) == [
        (label, catalog_id) for label, catalog_id, _ in rows(found.label_map) if catalog_id in found.classes.values()
    ]
    return found


def run_split(project: Path) -> dict[Key, str]:
    paths = [project / name for name in ("data/catalog.csv", "releases/split.csv", "data/split.csv")]
    split.main(*paths)
    return by_photo(tables.read(paths[2], tables.SPLIT), "subset")


def of_one_class(project: Path, photos: dict[Key, Image.Image], sha256: dict[Key, str] | None = None) -> Found:
    """Run both stages on photos that all have class 10."""
    write_photos(project, photos, sha256)
    write_labels(project, [(product_id, 10, FIRST) for product_id, _ in photos], {10: None})
    return run(project)


def written(project: Path) -> dict[str, bytes]:
    return {name: (project / f"data/{name}.csv").read_bytes() for name in FOUND}


@pytest.fixture
def likeness_of_patterns(in_project: Path) -> None:
    path = in_project / "params.yaml"
    text = re.sub(r"likeness: \S+", f"likeness: {DUPLICATES.likeness}", path.read_text())
    path.write_text(re.sub(r"(max_products: 20\n.*\n  max_rejected_share): \S+", r"\1: 1.0", text))


@pytest.fixture
def no_rare_classes(edit_params: Edit, likeness_of_patterns: None) -> None:
    """A class of one photo is not rare."""
    edit_params("min_photos: 5", "min_photos: 1")


# Groups.


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
    thumbnails = np.stack([np.asarray(pattern(number))[..., np.newaxis] for number in range(PATTERNS)])
    pairs = [(one, (one + step) % PATTERNS) for one in range(PATTERNS) for step in range(NEAR + 2)]
    likeness = measure_likeness(thumbnails, *np.array(pairs).T)

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


# Labels.


@pytest.mark.usefixtures("likeness_of_patterns")
def test_each_reason_is_reached_and_label_changes_are_listed(in_project: Path, edit_params: Edit) -> None:
    everywhere = [(product_id, 0) for product_id in (11, 12, 13, 14)]
    edit_params("min_photos: 5", "min_photos: 2")
    edit_params("label_conflict: latest", "label_conflict: drop")
    write_photos(
        in_project,
        {
            (1, 0): pattern(0),
            (2, 0): pattern(3),
            (3, 0): pattern(1),
            (4, 0): photo("bag"),
            (4, 1): photo("bag", 2),
            (5, 0): photo("dress"),
            (6, 0): photo("skirt"),
            (7, 0): photo("skirt"),
            (8, 0): photo("hat"),
            (9, 0): photo("shoes"),
            (10, 0): photo("t-shirt"),
            **dict.fromkeys(everywhere, photo("scarf")),
        },
    )
    edit_params("max_products: 20", "max_products: 3")
    write_release(in_project, {(1, 0): "train", (2, 0): "test"})
    write_labels(
        in_project,
        [
            *((number, 11, FIRST) for number in (1, 2, 3, 4)),
            (5, 11, FIRST),
            (5, 12, LAST),
            (6, 11, FIRST),
            (7, 12, FIRST),
            (8, 99, FIRST),
            (9, None, FIRST),
            (10, 13, FIRST),
        ],
        {11: None, 12: 11, 13: 11},
    )
    found = run(in_project)

    assert found.reasons == {
        (3, 0): "bridges_release",
        (5, 0): "label_conflict",
        (6, 0): "label_conflict",
        (7, 0): "label_conflict",
        (8, 0): "unknown_class",
        (9, 0): "no_label",
        (10, 0): "rare_class",
        **dict.fromkeys(everywhere, "shared_picture"),
    }
    assert set(found.reasons.values()) == catalog.REASONS
    assert rows(found.catalog.drop(columns="row")) == [
        (1, 0, 11, 0, 1),
        (2, 0, 11, 0, 2),
        (4, 0, 11, 0, 4),
        (4, 1, 11, 0, 4),
    ]
    assert rows(found.label_map) == [(0, 11, "class 11")]
    assert [row[:4] for row in rows(found.changes)] == [
        (5, 0, "several_labels", "11 12"),
        (6, 0, "same_photo", "11 12"),
        (7, 0, "same_photo", "11 12"),
    ]
    assert found.changes["catalog_id"].isna().all()
    assert found.rejects["catalog_id"].fillna(0).tolist() == [11, 12, 11, 12, 99, 0, 13, 0, 0, 0, 0]


def test_with_latest_and_merge_each_label_change_is_listed(in_project: Path, edit_params: Edit) -> None:
    edit_params("min_photos: 5", "min_photos: 3")
    edit_params("rare: drop", "rare: merge")
    write_photos(
        in_project,
        {
            (1, 0): photo("bag"),
            (2, 0): photo("dress"),
            (3, 0): photo("skirt"),
            (4, 0): photo("skirt"),
            (5, 0): photo("hat"),
            (6, 0): photo("shoes"),
        },
    )
    write_labels(
        in_project,
        [(1, 12, FIRST), (2, 11, FIRST), (2, 12, LAST), (3, 11, FIRST), (4, 10, LAST), (5, 11, FIRST), (6, 20, FIRST)],
        {10: None, 11: 10, 12: 10, 20: 99},
    )
    found = run(in_project)

    assert found.classes == dict.fromkeys([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)], 10)
    assert found.reasons == {(6, 0): "rare_class"}
    assert rows(found.changes) == [
        (1, 0, "rare_merged", "12", 10),
        (2, 0, "rare_merged", "12", 10),
        (2, 0, "several_labels", "11 12", 10),
        (3, 0, "same_photo", "10 11", 10),
        (4, 0, "same_photo", "10 11", 10),
        (5, 0, "rare_merged", "11", 10),
    ]


def test_ids_beyond_the_integers_of_a_float_stay_as_they_are(in_project: Path, edit_params: Edit) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    write_photos(
        in_project,
        {
            (LARGE, 0): photo("bag"),
            (2, 0): photo("dress"),
            (3, 0): photo("skirt"),
            (4, 0): photo("hat"),
            (LARGE - 1, 0): photo("shoes"),
            (5, 0): photo("t-shirt"),
        },
    )
    write_labels(
        in_project,
        [
            (LARGE, LARGE, FIRST),
            (2, LARGE, FIRST),
            (3, LARGE - 1, FIRST),
            (4, LARGE - 1, FIRST),
            (LARGE - 1, 12, FIRST),
        ],
        {LARGE: None, LARGE - 1: None, 12: None},
    )
    found = run(in_project)

    assert found.classes == {(2, 0): LARGE, (3, 0): LARGE - 1, (4, 0): LARGE - 1, (LARGE, 0): LARGE}
    assert found.groups[LARGE, 0] == LARGE
    assert found.reasons == {(5, 0): "no_label", (LARGE - 1, 0): "rare_class"}
    assert found.changes.empty


@pytest.mark.usefixtures("no_rare_classes")
def test_released_labels_stay_also_of_classes_without_photos(in_project: Path) -> None:
    tables.write(
        in_project / "releases/label_map.csv",
        tables.LABEL_MAP,
        tables.frame(tables.LABEL_MAP, [(0, 30, "coats"), (1, 12, "bags")]),
    )
    write_photos(in_project, {(1, 0): photo("bag"), (2, 0): photo("dress")})
    write_labels(in_project, [(1, 12, FIRST), (2, 11, FIRST)], {11: None, 12: None})
    found = run(in_project)

    assert rows(found.label_map) == [(0, 30, "coats"), (1, 12, "class 12"), (2, 11, "class 11")]
    assert by_photo(found.catalog, "label") == {(1, 0): 1, (2, 0): 2}


@pytest.mark.usefixtures("no_rare_classes")
def test_the_class_of_a_picture_on_several_products_is_not_that_of_their_other_photos(in_project: Path) -> None:
    chart = photo("bag", 9)
    write_photos(
        in_project,
        {
            (1, 0): photo("dress"),
            (1, 1): chart,
            (2, 0): photo("skirt"),
            (2, 1): chart,
            (3, 0): photo("hat"),
            (3, 1): chart,
        },
    )
    write_labels(in_project, [(1, 10, FIRST), (2, 11, LAST), (3, 12, FIRST)], {10: None, 11: None, 12: None})
    found = run(in_project)

    assert found.classes == {(1, 0): 10, (2, 0): 11, (3, 0): 12, (1, 1): 11, (2, 1): 11, (3, 1): 11}
    assert set(found.groups.values()) == {1}
    assert len(set(run_split(in_project).values())) == 1


@pytest.mark.usefixtures("no_rare_classes")
def test_a_product_keeps_its_subset_when_its_photo_is_replaced(in_project: Path) -> None:
    for subset in ("train", "test"):
        write_release(in_project, {(1, 0): subset, (2, 0): "train", (9, 0): "test"})
        of_one_class(
            in_project,
            {
                (1, 1): photo("dress"),
                **{(number, 0): photo(garment) for number, garment in enumerate(GARMENTS[2:6], 2)},
            },
        )

        assert run_split(in_project)[1, 1] == subset


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


def test_parents_in_a_circle_are_one_error_line_with_merge_and_harmless_with_drop(
    in_project: Path, edit_params: Edit
) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    write_photos(in_project, {(1, 0): photo("bag"), (2, 0): photo("dress"), (3, 0): photo("skirt")})
    write_labels(in_project, [(1, 11, FIRST), (2, 11, FIRST), (3, 12, FIRST)], {11: 12, 12: 13, 13: 11})

    assert run(in_project).reasons == {(3, 0): "rare_class"}

    edit_params("rare: drop", "rare: merge")
    outputs = [f"data/{name}.csv" for name in OUTPUTS]
    ended = run_stage("catalog", *INPUTS, *outputs, cwd=in_project)

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()  # and none of progress: the search may take hours
    assert line.startswith("catalog: class ")
    assert "is its own ancestor" in line


# Errors.


def failure(project: Path) -> str:
    """Return the message of the stage that fails. It leaves no output behind."""
    before = {*(project / "data").iterdir(), *(project / name for name in SEARCH[3:])}
    with pytest.raises(DataError) as caught:
        run(project)

    assert {*(project / "data").iterdir()} <= before
    return str(caught.value)


def test_a_catalog_without_a_photo_is_an_error_with_the_counts(in_project: Path) -> None:
    write_photos(in_project, {(number, 0): photo(garment) for number, garment in enumerate(GARMENTS[:3])})
    write_labels(in_project, [(0, 10, FIRST), (1, 10, FIRST)], {10: None})

    assert failure(in_project).startswith("no photo is left (2 rare_class, 1 no_label): see catalog.min_photos")


@pytest.mark.parametrize("labels", [[], [(None, 10, FIRST), (1, None, FIRST)]])
def test_labels_without_a_product_or_a_class_are_an_error_with_the_counts(
    in_project: Path, labels: list[LabelRow]
) -> None:
    write_photos(in_project, {(1, 0): pattern(0), (2, 0): pattern(1)})
    write_labels(in_project, labels, {})

    assert "no photo is left (2 no_label)" in failure(in_project)


def test_no_photos_at_all_are_an_error(in_project: Path) -> None:
    write_photos(in_project, {})
    write_labels(in_project, [(1, 10, FIRST)], {10: None})

    assert "no photo is left (none)" in failure(in_project)


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


@pytest.mark.usefixtures("likeness_of_patterns")
@pytest.mark.parametrize(
    "change",
    [
        ("  distance: 6", "  distance: 17"),
        ("  likeness: 0.53", "  likeness: 1.5"),
        ("label_conflict: latest", "label_conflict: newest"),
        ("min_photos: 5", "min_photos: 0"),
        ("rare: drop", "rare: keep"),
    ],
)
def test_params_out_of_their_range_are_refused_by_name(
    in_project: Path, edit_params: Edit, change: tuple[str, str]
) -> None:
    write_photos(in_project, {(1, 0): pattern(0)})
    edit_params(*change)

    with pytest.raises(ParamsError, match=rf"(duplicates|catalog)\.{change[0].partition(':')[0].strip()}"):
        run(in_project)


# Bytes.


@pytest.mark.usefixtures("likeness_of_patterns")
def test_a_second_run_and_another_order_of_labels_give_the_same_bytes(in_project: Path, edit_params: Edit) -> None:
    edit_params("min_photos: 5", "min_photos: 2")
    edit_params("rare: drop", "rare: merge")
    write_photos(in_project, {(number, number % 2): pattern(number * 5 % PATTERNS) for number in range(1, 13)})
    labels = [
        (number, 10 + number * shift % 5, date)
        for number in range(12)
        for shift in (1, 3)
        for date in (FIRST, LAST, "")
    ]
    bytes_of = []
    for rows_of in (labels, labels, sorted(labels, key=lambda row: row[1:])):
        write_labels(in_project, rows_of, {10: None, 11: 10, 12: 10, 13: 12})
        run(in_project)
        bytes_of.append(written(in_project))

    assert bytes_of[0] == bytes_of[1] == bytes_of[2]
    for name, content in bytes_of[0].items():
        assert content.count(b"\n") > 1, name
        assert b"\r" not in content
        tables.write(in_project / "again.csv", FOUND[name], tables.read(in_project / f"data/{name}.csv", FOUND[name]))
        assert (in_project / "again.csv").read_bytes() == content, "not canonical"


# Releases, with the split.


@pytest.mark.usefixtures("no_rare_classes")
@pytest.mark.parametrize(
    ("new", "left_out"),
    [
        ({(3, 0): 1}, [(3, 0)]),
        ({(3, 0): 1, (4, 0): 2}, [(3, 0), (4, 0)]),
        ({(3, 0): 16, (3, 1): 5}, [(3, 0), (3, 1)]),
        ({(3, 0): 16, (4, 0): 5}, []),
        ({(1, 1): 5}, [(1, 1)]),
        ({(1, 1): 9}, []),
        ({(3, 0): 0}, []),
        ({(3, 0): 0, (3, 1): 3}, [(3, 0), (3, 1)]),
        ({(3, 0): 9}, []),
    ],
    ids=[
        "like both",
        "both like both",
        "product like both",
        "two like one each",
        "of the one like the other",
        "of the one like none",
        "hash of the one",
        "hashes of both",
        "like none",
    ],
)
def test_photos_that_connect_two_released_subsets_are_left_out_and_no_others(
    in_project: Path, new: dict[Key, int], left_out: list[Key]
) -> None:
    released: dict[Key, str] = {(1, 0): "train", (2, 0): "test"}
    write_release(in_project, released)
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(3)} | {key: pattern(new[key]) for key in new})
    subsets = run_split(in_project)

    assert found.reasons == dict.fromkeys(left_out, "bridges_release")
    assert released.items() <= subsets.items()
    for key in new.keys() - set(left_out):
        if are_alike(new[key], 0) or key[0] == 1:
            assert subsets[key] == "train"
        elif are_alike(new[key], 3):
            assert subsets[key] == "test"


@pytest.mark.usefixtures("no_rare_classes")
@pytest.mark.parametrize(
    "new",
    [{}, {(3, 0): pattern(1)}, {(3, 0): pattern(0), (3, 1): pattern(2)}],
    ids=["alone", "with a new photo like both", "with a new product that has the hashes of both"],
)
def test_tied_photos_released_in_different_subsets_fail_the_split_that_lists_them(
    in_project: Path, new: dict[Key, Image.Image]
) -> None:
    """As after a change of params that finds more pairs: a person decides which of the two photos to give up."""
    write_release(in_project, {(1, 0): "train", (2, 0): "test"})
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(2), **new})

    assert found.groups.items() >= {(1, 0): 1, (2, 0): 1}.items()
    with pytest.raises(DataError, match=r"2 photos .* released in different subsets.*: 1/0 \(train.* 2/0 \(test"):
        run_split(in_project)


@pytest.mark.usefixtures("no_rare_classes")
def test_the_last_line_of_each_stage_counts_the_rows_of_its_tables(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(in_project, {(1, 0): "train", (2, 0): "test"})
    found = of_one_class(in_project, {(1, 0): pattern(0), (2, 0): pattern(3), (3, 0): pattern(1)})

    assert len(found.near) == 2
    assert capsys.readouterr().out == (
        "duplicates: 3 photos, 2 groups, 2 near-duplicates, left out: 1 bridges_release\n"
        "catalog: 3 photos, 2 in 1 classes and 2 groups, labels changed: none; 1 rejected (1 bridges_release)\n"
    )


@pytest.mark.usefixtures("no_rare_classes")
def test_released_photos_stay_one_group_when_a_new_photo_between_them_is_left_out(in_project: Path) -> None:
    write_release(in_project, {(2, 0): "train", (3, 0): "train", (4, 0): "test"})
    found = of_one_class(
        in_project,
        {(1, 0): pattern(1), (1, 1): pattern(10), (2, 0): pattern(0), (3, 0): pattern(2), (4, 0): pattern(11)},
    )

    assert found.reasons == {(1, 0): "bridges_release", (1, 1): "bridges_release"}
    assert found.groups == {(2, 0): 2, (3, 0): 2, (4, 0): 4}


def reached(start: Key, pattern_of: dict[Key, int]) -> set[Key]:
    """Return the photos that ties lead to from one, among those given."""
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        news = {key for key in pattern_of.keys() - found if tied(here, key, pattern_of)}
        found |= news
        waiting += news
    return found


def tied(one: Key, other: Key, pattern_of: dict[Key, int]) -> bool:
    return one[0] == other[0] or are_alike(pattern_of[one], pattern_of[other])


def grouped(pattern_of: dict[Key, int], released: pd.DataFrame) -> pd.DataFrame:
    """Return the photos with their group, and the reason of those left out, as the stage's main does without files."""
    keys = sorted(pattern_of)
    images = [pattern(pattern_of[key]) for key in keys]
    rows_of = [(*key, row, str(key), *hashes(images[row].tobytes())) for row, key in enumerate(keys)]
    photos = tables.frame(tables.PROCESSED, rows_of)
    subsets = released_subsets.of_photos(photos, released), released_subsets.of_products(photos, released)
    same_bytes = ties.byte_ties(photos, subsets[0] != "")
    thumbnails = np.stack([np.asarray(image)[..., np.newaxis] for image in images])
    pairs = duplicate_search.search(photos, thumbnails, same_bytes, *subsets, DUPLICATES)
    same_picture = ties.join([same_bytes, duplicate_search.ties_of(pairs)])
    return groups.group_photos(photos, same_picture, *subsets, DUPLICATES.max_products)


def split_on_top(pattern_of: dict[Key, int], unlabelled: set[Key], before: dict[Key, str], seed: int) -> dict[Key, str]:
    """Group and split photos on top of a release, check the result, and return their subsets."""
    photos = grouped(pattern_of, split_table(before))
    left_out = {key for key, reason in by_photo(photos, "reason").items() if reason}
    has_label = np.array([key not in unlabelled for key in sorted(pattern_of)])
    kept = photos[(photos["reason"] == "") & has_label].assign(catalog_id=10, label=0)
    subsets = by_photo(
        assign_subsets(kept, split_table(before), SplitParams(test_share=0.5, validation_share=0.1, seed=seed)),
        "subset",
    )

    assert subsets.keys() == pattern_of.keys() - left_out - unlabelled
    assert all(subset == before.get(key, subset) for key, subset in subsets.items()), "a released photo has moved"
    assert not left_out & before.keys()
    for one in subsets:
        for other in subsets:
            assert not tied(one, other, pattern_of) or subsets[one] == subsets[other], f"{one} is like {other}"
    for key in left_out:
        chain = reached(key, {other: pattern_of[other] for other in pattern_of.keys() - before.keys()})
        touched = {
            before[other]
            for other in pattern_of.keys() & before.keys()
            if any(tied(link, other, pattern_of) for link in chain)
        }
        touched |= {subset for other, subset in before.items() if other[0] in {link[0] for link in chain}}

        assert len(touched) > 1, f"{key} touches one subset at most"
    return subsets


def split_table(subsets: dict[Key, str]) -> pd.DataFrame:
    return tables.frame(tables.SPLIT, [(*key, subset) for key, subset in subsets.items()])


histories = st.dictionaries(
    st.tuples(st.integers(1, 8), st.integers(0, 1)),
    st.tuples(st.integers(0, 11), st.sampled_from(["goes", "stays", "stays, labelled later", "comes", "comes"])),
    min_size=3,
    max_size=11,
)


@settings(deadline=None, max_examples=30)
@given(history=histories, seed=st.integers(0, 3))
@example(
    history={
        (1, 0): (2, "stays, labelled later"),
        (2, 0): (3, "stays, labelled later"),
        (3, 0): (2, "stays"),
        (6, 0): (6, "stays"),
        (6, 1): (0, "comes"),
        (7, 0): (1, "stays, labelled later"),
    },
    seed=0,
)
def test_on_top_of_any_release_no_photo_is_like_one_in_another_subset(
    history: dict[Key, tuple[int, str]], seed: int
) -> None:
    first = {key: number for key, (number, fate) in history.items() if fate != "comes"}
    later = {key: number for key, (number, fate) in history.items() if fate != "goes"}
    unlabelled = {key for key, (_, fate) in history.items() if fate == "stays, labelled later"}
    assume(later and first.keys() - unlabelled)
    before = split_on_top(first, unlabelled, {}, seed)
    now = split_on_top(later, set(), before, seed)
    frozen = release.freeze_split(split_table(before), split_table(now))
    columns = ["product_id", "position", "group", "reason"]

    assert rows(grouped(later, frozen)[columns]) == rows(grouped(later, split_table(before))[columns]), (
        "a release changed the groups"
    )
