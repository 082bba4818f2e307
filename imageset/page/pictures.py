"""All pictures of the page, as far as its bytes allow.

Every photo has a tile, every class its mean, a few photos their augmented copies. What is left of the page is for
larger pictures, of the most doubtful photos first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from imageset.formats import hdf5, source_ids
from imageset.page.assemble import encode_json
from imageset.page.details import SCRIPT_BYTES, make_details, order_details
from imageset.page.picture_files import PictureFiles, PicturePaths, open_pictures, require_previews, tabulate
from imageset.page.sheets import Layout, draw_sheets, lay_out
from imageset.page.training_rows import augmented_rows, labels_with_photos, mean_pictures, row_pictures
from imageset.runtime import progress

PAGE_BYTES = 15_000_000
CERTAIN_SHARE = 0.97  # of PAGE_BYTES, for fewer photos: the script and the means of classes stay as large
LEAST_DETAIL_BYTES = 3_000_000  # of larger pictures: without them, nobody can judge a mask
# The side of a tile in pixels, by how many photos at most have such tiles.
TILE_SIDES = ((1000, 128), (2500, 96), (5000, 64), (12_000, 48))
LEAST_TILE_SIDE = 32
ROW_SIDE = 96  # of means and augmented rows

Contents = Mapping[str, Any]
Scripts = dict[str, tuple[str, str]]  # type and text of elements, by id, for `assemble`
Names = list[tuple[int, int]]  # product_id and position


def add_pictures(
    contents: Contents, paths: PicturePaths, room: int, least_details: int = 0
) -> tuple[dict[str, Any], Scripts]:
    """Add pictures to the page.

    Args:
        contents: what the page says, from `make_contents`.
        paths: of the files with the pictures.
        room: PAGE_BYTES less the page without pictures. Tiles, means and augmented rows are made in any case.
        least_details: for how many bytes of larger pictures there is room in any case, such as LEAST_DETAIL_BYTES.

    Returns:
        The contents with `sheets`, `augmented`, `tile` and `detail` of photos and `mean` of classes, each added or
        replaced; and the elements with the pictures.

    Raises:
        DataError: a file is missing or damaged, or lacks the preview of a photo of the dataset.
    """
    numbers = map(source_ids.number, contents["photos"]["product_id"])
    names = list(zip(numbers, contents["photos"]["position"], strict=True))
    with open_pictures(paths, names) as files:
        require_previews(files, np.array(contents["photos"]["reject"]) < 0, names)
        with_rows, scripts = add_training_rows(contents, paths, names)
        shown, tiles = add_tiles(with_rows, files)
        shown = with_column(shown, "photos", "detail", [-1] * len(names))
        scripts |= tiles
        room -= len(encode_json(shown)) - len(encode_json(contents))
        room -= sum(len(text) + SCRIPT_BYTES for _, text in scripts.values())
        bar = progress.bar(order_details(shown), "page: larger pictures", None)
        chosen, details = make_details(files, bar, max(room, least_details))
    return with_column(shown, "photos", "detail", places_of(chosen, len(names))), scripts | details


def advise_on_size(size: int, contents: Contents, scripts: Scripts, page_photos: int) -> str:
    """Return what to set where the page is too large, as one line; "" where it is not.

    All but the larger pictures grows with the number of photos. Those that are listed for something, such as suspects,
    come on top of a sample, unless they are in it.

    Args:
        size: of the page, in bytes.
        contents: what the page says.
        scripts: the elements with the pictures.
        page_photos: the param of that name.
    """
    if size <= PAGE_BYTES:
        return ""
    shown = len(contents["photos"]["product_id"])
    total = contents["sampled"]["of"] if contents["sampled"] else shown
    found = [contents["suspects"]["photo"], contents["pairs"]["photo"], contents["pairs"]["other"]]
    listed = len(set().union(*found, contents["changes"]["photo"]))
    details = sum(len(text) for name, (_, text) in scripts.items() if name.startswith("details-"))
    fitting = shown * (CERTAIN_SHARE * PAGE_BYTES - details) / (size - details)
    sample = (fitting - listed) / (1 - listed / total) if listed < total else 0
    wanted = int(max(sample, fitting / 2))  # as many again come on top at most
    return (
        f"the page has {size / 1e6:.1f} MB, more than {PAGE_BYTES / 1e6:.0f} MB: it opens slowly. Set "
        f"report.page_photos to about {wanted // 1000 * 1000 or wanted} (now {page_photos}) and run `dvc repro`"
    )


def add_training_rows(contents: Contents, paths: PicturePaths, names: Names) -> tuple[dict[str, Any], Scripts]:
    """Return the contents with the places of means and augmented rows, and the elements with their sheets."""
    with hdf5.open_file(paths.dataset_h5, hdf5.DATASET) as dataset:
        labels = labels_with_photos(dataset)
        means = lay_out(len(labels), ROW_SIDE)
        bar = progress.bar(mean_pictures(dataset, labels), "page: means", len(labels), "class")
        scripts = draw_scripts("means", bar, means)
        augmented = augmented_rows(dataset, tabulate(names))
        rows = [row for _, found in augmented for row in found]
        copies = lay_out(len(rows), ROW_SIDE)
        scripts |= draw_scripts("augmented", row_pictures(dataset, rows), copies)
    places = {label: place for place, label in enumerate(labels)}
    mean = [places.get(label, -1) for label in contents["classes"]["label"]]
    ends = np.cumsum([len(found) for _, found in augmented]).tolist()
    changed = with_column(contents, "classes", "mean", mean)
    changed["augmented"] = [
        {"photo": photo, "tiles": list(range(end - len(found), end))}
        for (photo, found), end in zip(augmented, ends, strict=True)
    ]
    changed["sheets"] = {"means": asdict(means), "augmented": asdict(copies)}
    return changed, scripts


def add_tiles(contents: Contents, files: PictureFiles) -> tuple[dict[str, Any], Scripts]:
    """Return the contents with the places of tiles, and the elements with their sheets."""
    shown = np.flatnonzero(files.preview_rows >= 0).tolist()
    layout = lay_out(len(shown), tile_side(len(shown)))
    bar = progress.bar(shown, "page: tiles", len(shown))
    scripts = draw_scripts("tiles", (files.original(photo) for photo in bar), layout)
    changed = with_column(contents, "photos", "tile", places_of(shown, len(files.preview_rows)))
    changed["sheets"] = {**contents["sheets"], "tiles": asdict(layout)}
    return changed, scripts


def tile_side(photos: int) -> int:
    """Return the side of a tile in pixels: smaller where there are more of them."""
    return next((side for most, side in TILE_SIDES if photos <= most), LEAST_TILE_SIDE)


def draw_scripts(name: str, pictures: Iterable[Image.Image], layout: Layout) -> Scripts:
    """Return the elements with the sheets of pictures of a kind."""
    return {f"{name}-{number}": ("text/plain", sheet) for number, sheet in enumerate(draw_sheets(pictures, layout))}


def places_of(chosen: list[int], photos: int) -> list[int]:
    """Return the place that each photo has among the chosen ones, -1 for the others.

    >>> places_of([2, 0], 3)
    [1, -1, 0]
    """
    places = np.full(photos, -1)
    places[chosen] = np.arange(len(chosen))
    return places.tolist()


def with_column(contents: Contents, table: str, name: str, column: list[int]) -> dict[str, Any]:
    """Return the contents with a column of one of its tables added or replaced."""
    return {**contents, table: {**contents[table], name: column}}
