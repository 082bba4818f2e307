"""The pictures of the page are those of its photos, and they keep to the bytes that they may have."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5, row_checksums
from imageset.page import pictures, training_rows
from imageset.page.assemble import assemble
from imageset.page.details import order_details, take_turns
from imageset.page.pictures import PAGE_BYTES, Scripts, add_pictures, advise_on_size
from imageset.page.sheets import draw_sheets, lay_out
from tests.page.drawn_pictures import (
    COLOURS,
    RESULTS,
    SIZES,
    contents,
    decode,
    is_colour,
    more_names,
    pixel,
    write_files,
)

ROOM = 1_000_000
GREEN = (40, 160, 40)


def triples(scripts: Scripts) -> list[list[str]]:
    """Return the larger pictures of all elements, in order."""
    texts = [text for name, (_, text) in scripts.items() if name.startswith("details-")]
    return [triple for text in texts for triple in json.loads(text)]


@pytest.fixture
def made(tmp_path: Path) -> tuple[dict[str, Any], Scripts]:
    return add_pictures(contents(), write_files(tmp_path), ROOM)


def test_every_photo_that_can_be_decoded_has_a_tile_in_the_middle_of_its_square(
    made: tuple[dict[str, Any], Scripts],
) -> None:
    page, scripts = made
    sheet = decode(scripts["tiles-0"][1])

    assert page["photos"]["tile"] == [0, 1, -1, 2, 3]
    assert page["sheets"]["tiles"] == {"side": 128, "columns": 4, "rows": 1, "count": 4}
    assert sheet.size == (4 * 128, 128)
    for place, photo in enumerate((0, 1, 3, 4)):
        square = sheet.crop((place * 128, 0, place * 128 + 128, 128))
        width, height = SIZES[photo]
        left, top = (128 - width) // 2, (128 - height) // 2
        assert is_colour(square, 64, 64, COLOURS[photo])
        assert square.getchannel("A").getbbox() == (left, top, left + width, top + height)


def test_a_detail_is_the_photo_its_mask_and_its_result(made: tuple[dict[str, Any], Scripts]) -> None:
    page, scripts = made
    details = triples(scripts)

    assert page["photos"]["detail"] == [3, 1, -1, 2, 0]
    for photo, place in ((0, 3), (1, 1), (3, 2), (4, 0)):
        original, mask, result = details[place]
        assert decode(original).size == SIZES[photo]
        assert is_colour(decode(original), 5, 5, COLOURS[photo])
        assert bool(mask) == bool(result) == (photo in RESULTS)
        if photo in RESULTS:
            assert is_colour(decode(result), 5, 5, (RESULTS[photo],) * 3)
            assert decode(mask).size == SIZES[photo]
            assert is_colour(decode(mask), 5, 5, (255,) * 3)
            assert is_colour(decode(mask), SIZES[photo][0] - 5, 5, (0,) * 3)


def test_each_class_has_the_mean_of_its_training_photos_without_copies(made: tuple[dict[str, Any], Scripts]) -> None:
    page, scripts = made
    sheet = decode(scripts["means-0"][1])

    assert page["classes"]["mean"] == [1, -1, 0]
    assert is_colour(sheet, 48, 48, (210,) * 3)
    assert is_colour(sheet, 96 + 48, 48, (30,) * 3)


def test_the_mean_is_that_of_all_photos_of_a_class(tmp_path: Path) -> None:
    paths = write_files(tmp_path, copies=0)
    with h5py.File(paths.dataset_h5, "r+") as file:
        file["train_labels"][:] = 1

    page, scripts = add_pictures(contents(), paths, ROOM)

    assert page["classes"]["mean"] == [0, -1, -1]
    assert is_colour(decode(scripts["means-0"][1]), 48, 48, (120,) * 3)
    assert page["augmented"] == []
    assert "augmented-0" not in scripts


def test_no_more_photos_have_their_rows_in_the_page_than_a_person_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_rows, "AUGMENTED_PHOTOS", 1)
    page, _ = add_pictures(contents(), write_files(tmp_path), ROOM)

    assert page["augmented"] == [{"photo": 4, "tiles": [0, 1, 2]}]


def test_augmented_rows_begin_with_the_photo_itself(made: tuple[dict[str, Any], Scripts]) -> None:
    page, scripts = made
    sheet = decode(scripts["augmented-0"][1])
    grays = {place: pixel(sheet, 96 * place + 48, 48)[0] for place in range(6)}

    assert page["augmented"] == [{"photo": 4, "tiles": [0, 1, 2]}, {"photo": 0, "tiles": [3, 4, 5]}]
    assert [round(grays[place], -1) for place in range(6)] == [210, 220, 230, 30, 40, 50]


def test_pictures_are_added_in_the_order_of_doubt_until_the_room_is_spent(tmp_path: Path) -> None:
    paths = write_files(tmp_path)
    _, scripts = add_pictures(contents(), paths, ROOM)
    spent = sum(len(text) for _, text in scripts.values())
    chosen = set()

    for room in range(0, spent + 2000, 50):
        page, scripts = add_pictures(contents(), paths, room)
        order = page["photos"]["detail"]
        chosen.add(tuple(order))
        assert "tiles-0" in scripts
        grown = len(json.dumps(page, separators=(",", ":"))) - len(json.dumps(contents(), separators=(",", ":")))
        elements = sum(
            len(f'<script type="{kind}" id="{name}">{text}</script>\n') for name, (kind, text) in scripts.items()
        )
        assert max(order) < 0 or grown + elements <= room

    assert chosen == {
        (-1, -1, -1, -1, -1),
        (-1, -1, -1, -1, 0),
        (-1, 1, -1, -1, 0),
        (-1, 1, -1, 2, 0),
        (3, 1, -1, 2, 0),
    }


def test_the_page_has_as_many_bytes_as_it_may_and_hardly_fewer(tmp_path: Path) -> None:
    """Of 300 photos: more than an element of larger pictures has."""
    paths, many = write_files(tmp_path, turns=60), contents()
    for name, column in many["photos"].items():
        many["photos"][name] = column * 60
    many["photos"]["product_id"] = [str(product_id) for product_id, _ in more_names(60)]
    templates = tmp_path / "templates"
    templates.mkdir()
    markers = "".join(f"<!-- {name} -->" for name in ("policy", "style", "data", "script"))
    (templates / "page.html").write_text(markers)
    (templates / "page.css").write_text("")
    bare = len(assemble(templates, many, {}))

    for limit in (40_000, 55_000):
        page = assemble(templates, *add_pictures(many, paths, limit - bare))
        assert limit - 1500 < len(page) <= limit


def test_larger_pictures_have_some_room_where_the_others_leave_none(tmp_path: Path) -> None:
    paths = write_files(tmp_path)
    without, _ = add_pictures(contents(), paths, -1_000_000)
    few, scripts = add_pictures(contents(), paths, -1_000_000, 2000)
    all_of_them, _ = add_pictures(contents(), paths, -1_000_000, ROOM)

    assert max(without["photos"]["detail"]) < 0 <= max(few["photos"]["detail"])
    assert len(scripts["details-0"][1]) <= 2000
    assert all_of_them == add_pictures(contents(), paths, ROOM)[0]


@pytest.mark.parametrize(
    ("listed", "total", "advice"),
    [
        (0, 0, "24000"),
        (10_000, 0, "17000"),  # 17,000 and two thirds of the listed ones are 24,000
        (10_000, 300_000, "14000"),
        (50_000, 0, "12000"),  # no more come on top than the sample has
    ],
)
def test_what_to_set_is_said_where_the_page_is_too_large(listed: int, total: int, advice: str) -> None:
    """Without larger pictures, half of the photos are half of the bytes."""
    says = contents() | {"sampled": {"of": total} if total else None}
    says["photos"] = {"product_id": ["1"] * 50_000}
    says["suspects"], says["changes"] = {"photo": list(range(listed))}, {"photo": []}
    says["pairs"] = {"photo": [], "other": []}
    scripts = {"details-0": ("application/json", "x" * 3_000_000), "tiles-0": ("text/plain", "x" * 9_000_000)}

    assert advise_on_size(PAGE_BYTES, says, scripts, 60_000) == ""
    assert advise_on_size(27_000_000, says, scripts, 60_000) == (
        "the page has 27.0 MB, more than 15 MB: it opens slowly. Set report.page_photos to about "
        f"{advice} (now 60000) and run `dvc repro`"
    )


def test_the_same_photos_make_the_same_bytes(tmp_path: Path) -> None:
    """A page that changes by itself would be another output of the same pipeline."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()

    one, two = (add_pictures(contents(), write_files(folder), ROOM) for folder in folders)

    assert one == two


def test_a_photo_of_the_dataset_without_a_preview_is_an_error(tmp_path: Path) -> None:
    wrong = contents()
    wrong["photos"]["reject"][2] = -1

    with pytest.raises(DataError, match=r"previews\.h5 lacks product_id 7, position 0: run `dvc repro`"):
        add_pictures(wrong, write_files(tmp_path), ROOM)


def test_a_preview_that_cannot_be_decoded_names_the_file(tmp_path: Path) -> None:
    paths = write_files(tmp_path)
    with h5py.File(paths.previews_h5, "r+") as file:
        file["previews"][:50] = 0

    with pytest.raises(DamagedFile, match=r"previews\.h5 is damaged"):
        add_pictures(contents(), paths, ROOM)


def test_where_backgrounds_are_kept_there_are_no_masks(tmp_path: Path) -> None:
    paths = write_files(tmp_path)
    with hdf5.create(paths.masks_h5, hdf5.MASKS) as file:
        for name, kind in (("ids", "int64"), ("positions", "int16"), ("reasons", "S16"), ("masks", "uint8")):
            hdf5.add(file, name, np.zeros(0, kind))
        row_checksums.finish(file)

    _, scripts = add_pictures(contents(), paths, ROOM)

    assert [(mask, bool(result)) for _, mask, result in triples(scripts)] == [
        ("", True),
        ("", True),
        ("", False),
        ("", True),
    ]


def test_a_full_sheet_is_followed_by_another_without_what_it_showed() -> None:
    layout = lay_out(401, 16)
    photos = [Image.new("RGB", (90, 90), GREEN)] * 400 + [Image.new("RGB", (14, 8), GREEN)]

    first, second = map(decode, draw_sheets(photos, layout))

    assert asdict(layout) == {"side": 16, "columns": 20, "rows": 20, "count": 401}
    assert first.size == second.size == (320, 320)
    assert first.getchannel("A").getbbox() == (1, 1, 319, 319)
    assert second.getchannel("A").getbbox() == (1, 4, 15, 12)


def test_no_picture_touches_the_next_one() -> None:
    """A browser that enlarges a square would mix the edge of the next picture into it."""
    sheet = decode(next(draw_sheets([Image.new("RGB", (90, 90), GREEN)] * 9, lay_out(9, 16))))
    covered = np.asarray(sheet.getchannel("A"))[8] > 0

    assert covered.tolist() == [place % 16 not in (0, 15) for place in range(9 * 16)]


@pytest.mark.parametrize(
    ("photos", "side"),
    [(1, 128), (1000, 128), (1001, 96), (2501, 64), (5000, 64), (5001, 48), (12_000, 48), (12_001, 32)],
)
def test_more_photos_have_smaller_tiles(photos: int, side: int) -> None:
    assert pictures.tile_side(photos) == side


def test_the_most_doubtful_photos_come_first() -> None:
    page: dict[str, Any] = {
        "photos": {
            "product_id": [str(number) for number in range(12)],
            "position": [0] * 12,
            "class": [0] * 6 + [1] * 6,
            "reject": [-1, -1, 2, *[-1] * 9],
            "answer": [1, 0, -1, *[-1] * 9],
        },
        "suspects": {"kind": [0, 0, 1], "photo": [5, 11, 7], "rank": [1, 2, 1]},
        "pairs": {"photo": [3], "other": [9]},
        "changes": {"photo": [8, 7]},
    }

    order = order_details(page)

    assert order[:8] == [5, 7, 11, 2, 0, 3, 9, 8]
    assert sorted(order) == list(range(12))
    assert [page["photos"]["class"][photo] for photo in order[8:]] in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_classes_take_turns_and_photos_within_a_class_come_at_random() -> None:
    photos: dict[str, Any] = {
        "product_id": [str(number) for number in range(100)],
        "position": [0] * 100,
        "class": [0] * 90 + [1] * 10,
    }

    turns = take_turns(photos)

    assert [photos["class"][photo] for photo in turns] == [0, 1] * 10 + [0] * 80
    assert sorted(turns) == list(range(100))
    assert turns[::2][:10] != sorted(turns[::2][:10])
