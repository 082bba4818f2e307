"""The stage, on a real bucket: every object of the inventory ends as a row of its own pixels or as a reject."""

import hashlib
import io
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import deflate
import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imageset.errors import DataError, ImagesetError, ParamsError, ServerError
from imageset.formats import hdf5, tables
from imageset.formats.preview_file import PreviewRows
from imageset.photos import fact_limits, pixel_worker
from imageset.photos.batches import scan_inventory
from imageset.photos.file_formats import FORMATS
from imageset.photos.mask_file import writing_masks
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.photos.pixel_cache import PixelCache
from imageset.runtime import params, settings
from imageset.storage.bucket import Bucket, list_objects
from stages import inventory, preprocess
from tests.conftest import jpeg, photo_bytes, plain_image, put
from tests.photos.samples import BY_NAME, SHIPPED
from tests.photos.test_cache import OBJECT
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import GREEN, HTML, RED, is_near
from tests.profiles import SRGB, rgb_profile
from tests.stages.in_workers import Asked, WithLittle
from tests.stages.test_ingest import bomb, lossless_jpeg

BLUE = (20, 20, 220)
OUTPUTS = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv", "photos.csv", "previews.h5")

Edit = Callable[[str, str], None]


@pytest.fixture
def project(in_project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a bucket that keeps backgrounds, small images, in colour, one worker."""
    edit_params("background: remove", "background: keep")
    edit_params("image_side: 128", "image_side: 16")
    edit_params("color: grayscale", "color: rgb")
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    return in_project


@pytest.fixture
def any_share(edit_params: Edit) -> None:
    """However many photos are rejected, the stage goes on."""
    edit_params("max_rejected_share: 0.2\n\nduplicates:", "max_rejected_share: 1.0\n\nduplicates:")


def fill(bucket: Bucket, project: Path, photos: dict[str, bytes]) -> None:
    """Put photos by key into the bucket and take the inventory."""
    for key, body in photos.items():
        put(bucket, key, body)
    table, _ = inventory.choose_objects(list_objects(bucket), None)
    tables.write(project / "data/inventory.csv", tables.INVENTORY, table)


def run(project: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    outputs = [project / "data" / name for name in OUTPUTS]
    preprocess.main(project / "data/inventory.csv", project / "data/masks.h5", *outputs)
    return tables.read(outputs[2], tables.PROCESSED), tables.read(outputs[3], tables.REJECTS)


def failure(project: Path, error: type[ImagesetError] = DataError) -> str:
    """Return what the stage says as it fails, leaving nothing behind."""
    with pytest.raises(error) as caught:
        run(project)

    assert {path.name for path in (project / "data").iterdir()} <= {"inventory.csv", "masks.h5"}
    return str(caught.value)


def md5s(project: Path) -> list[str]:
    return [hashlib.md5((project / "data" / name).read_bytes()).hexdigest() for name in OUTPUTS]


@pytest.mark.usefixtures("any_share")
def test_every_object_is_a_row_of_its_own_pixels_or_a_reject_whatever_the_number_of_workers(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "PHOTOS_AT_ONCE", 2)
    colors = {(2, 0): RED, (10, 0): GREEN, (10, 3): BLUE}
    fill(
        bucket,
        project,
        {
            "10.jpeg": jpeg(plain_image(GREEN)),
            "10-3.jpeg": jpeg(plain_image(BLUE)),
            "1.jpeg": HTML,
            "2.jpeg": jpeg(plain_image(RED)),
            "3.jpeg": bomb(),
            "10-1.jpeg": photo_bytes()[:1500],
            "11.jpeg": b"",
        },
    )
    written = []
    for workers in ("1", "2"):
        monkeypatch.setenv("IMAGESET_WORKERS", workers)
        monkeypatch.setenv("IMAGESET_CACHE", f"cache of {workers}")
        processed, rejects = run(project)
        written.append(md5s(project))

    assert written[0] == written[1]
    assert list(rejects.itertuples(index=False, name=None)) == [
        (1, 0, "not_an_image"),
        (3, 0, "too_many_pixels"),
        (10, 1, "truncated"),
        (11, 0, "empty"),
    ]
    assert list(processed[["product_id", "position", "row"]].itertuples(index=False, name=None)) == [
        (2, 0, 0),
        (10, 0, 1),
        (10, 3, 2),
    ]
    with hdf5.open_file(project / "data/processed.h5", hdf5.PROCESSED) as file:
        assert list(zip(file["ids"][:], file["positions"][:], strict=True)) == list(colors)
        assert file["images"].shape == (3, 16, 16, 3)
        assert file.attrs["fill"].tolist() == [255, 255, 255]
        for row, color in enumerate(colors.values()):
            assert is_near(file["images"][row, 8, 8], color)


@pytest.mark.usefixtures("any_share")
def test_where_backgrounds_are_kept_this_stage_itself_finds_every_reason_but_those_of_masks(
    project: Path,
    bucket: Bucket,
    edit_params: Edit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg, png]")
    monkeypatch.setattr(pixel_worker, "preprocess_batch", WithLittle(pixel_worker.__name__, "preprocess_batch"))
    bodies = {
        "decoder_crash": photo_bytes() + b"crash",
        "decoder_timeout": photo_bytes() + b"hang",
        "decoder_memory": saved(Image.new("1", (7000, 7000)), "PNG"),
        "empty": b"",
        "not_an_image": HTML,
        "too_many_pixels": bomb(),
        "truncated": photo_bytes()[:1500],
        "damaged": photo_bytes()[:1500] + b"\xff\xd9",
        "undecodable": lossless_jpeg(),
        **{f"format_{name}": body for name, body in BY_NAME.items() if name not in ("jpeg", "png")},
        "": photo_bytes(),
    }
    fill(bucket, project, {f"{number}.jpeg": body for number, body in enumerate(bodies.values(), 1)})
    processed, rejects = run(project)

    assert rejects["reason"].tolist() == list(bodies)[:-1]
    assert set(rejects["reason"]) == preprocess.REASONS - {
        *("mask_empty", "mask_full", "format_jpeg", "format_png"),
        *fact_limits.REASONS,
    }
    assert processed["product_id"].tolist() == [len(bodies)]
    assert "`dvc repro --force --single-item masks preprocess` tries these photos again" in capsys.readouterr().out


def test_an_empty_inventory_is_an_error(project: Path) -> None:
    tables.write(project / "data/inventory.csv", tables.INVENTORY, tables.frame(tables.INVENTORY, []))

    assert failure(project).startswith("none of 0 photos is left")


def test_an_inventory_out_of_order_is_refused(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": jpeg(plain_image()) for number in (1, 2)})
    path = project / "data/inventory.csv"
    header, one, two = path.read_text().splitlines(keepends=True)
    path.write_text(header + two + one)

    assert re.search(r"inventory\.csv: product_id 1, position 0 comes after product_id 2, position 0", failure(project))


def test_objects_that_changed_since_the_inventory_fail_the_stage_by_their_keys(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": jpeg(plain_image((number, 0, 0))) for number in (1, 2, 3)})
    put(bucket, "1.jpeg", jpeg(plain_image(BLUE)))
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}3.jpeg")

    assert re.search(r"2 objects changed .*1\.jpeg, 3\.jpeg: run `make refresh`", failure(project))


def test_a_bucket_that_refuses_fails_the_stage_and_no_secret_is_printed(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, project, {"1.jpeg": jpeg(plain_image())})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-and-wrong")

    assert re.fullmatch(
        r"s3://\S+ at \S+ answered SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY", failure(project, ServerError)
    )


def test_other_pixels_leave_thumbnails_and_tables_unchanged(project: Path, bucket: Bucket, edit_params: Edit) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(2)})
    run(project)
    before = md5s(project)
    edit_params("image_side: 16", "image_side: 24")
    edit_params("fill: [255, 255, 255]", "fill: [0, 0, 0]")
    edit_params("color: rgb", "color: grayscale")
    run(project)
    after = md5s(project)

    assert before[0] != after[0]
    assert before[1:] == after[1:]


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        (
            {"min_foreground: 0.01": "min_foreground: 0.995"},
            "min_foreground has to be max_foreground at the most; they are 0.995",
        ),
        (
            {"min_brightness: null": "min_brightness: 201", "max_brightness: null": "max_brightness: 200"},
            "min_brightness has to be max_brightness at the most",
        ),
        ({"min_sharpness: null": "min_sharpness: 1.5"}, r"preprocess\.min_sharpness = 1\.5"),
        ({"max_aspect_ratio: null": "max_aspect_ratio: 0.5"}, r"preprocess\.max_aspect_ratio = 0\.5"),
        ({"min_side: null": "min_side: 99.5"}, r"preprocess\.min_side = 99\.5"),
        ({"  side: null": "  side: 100"}, r"masks\.side = 100"),
        ({"  fill: [255": "  background: keep\n  fill: [255"}, r"preprocess\.background is masks\.background now"),
    ],
)
def test_params_that_do_not_fit_are_refused_before_anything_is_read(
    edits: dict[str, str], problem: str, project: Path, edit_params: Edit
) -> None:
    for old, new in edits.items():
        edit_params(old, new)

    with pytest.raises(ParamsError, match=problem):
        run(project)


# Masks


@pytest.fixture
def removing(project: Path, edit_params: Edit) -> Path:
    """The project, with backgrounds removed by the masks of a file."""
    edit_params("background: keep", "background: remove")
    edit_params("fill: [255, 255, 255]", "fill: [0, 255, 0]")
    return project


def half(share: float = 0.5, side: int = 64) -> PhotoMask:
    """A mask that keeps this share of a photo at its left."""
    values = np.zeros((side, side), np.uint8)
    values[:, : round(share * side)] = 255
    return PhotoMask(bytes(deflate.zlib_compress(values.tobytes(), 6)), 2400, share, 0.5, 1, 0.0)


def write_masks(project: Path, outcomes: dict[tuple[int, int], PhotoMask | Rejected]) -> Path:
    """Write masks of the inventory's objects, and of another object where it lacks a photo."""
    objects = {
        (product_id, position): stored
        for product_id, position, stored in scan_inventory(project / "data/inventory.csv")
    }
    path = project / "data/masks.h5"
    with writing_masks(path, len(outcomes), 64, "a recipe") as add:
        for photo, outcome in outcomes.items():
            add(*photo, objects.get(photo, OBJECT), outcome)
    return path


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return for which photos the workers ask the bucket."""
    log = tmp_path / "asked.txt"
    log.touch()
    monkeypatch.setattr(pixel_worker, "preprocess_batch", Asked(log, pixel_worker.__name__, "preprocess_batch"))
    return lambda: log.read_text().splitlines()


@pytest.mark.usefixtures("any_share")
def test_each_photo_is_put_on_the_fill_by_its_own_mask_and_what_masks_rejected_is_not_asked_for(
    removing: Path,
    bucket: Bucket,
    asked: Callable[[], list[str]],
    edit_params: Edit,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params("fit: pad", "fit: stretch")
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image(BLUE)) for number in range(1, 8)})
    write_masks(
        removing,
        {
            (1, 0): half(0.25),
            (2, 0): Rejected("truncated"),
            (3, 0): half(0.75),
            (4, 0): half(0.0),
            (5, 0): Rejected("decoder_crash"),
            (6, 0): half(1.0),
            (7, 0): half(0.5),
        },
    )
    processed, rejects = run(removing)

    assert list(rejects.itertuples(index=False, name=None)) == [
        (2, 0, "truncated"),
        (4, 0, "mask_empty"),
        (5, 0, "decoder_crash"),
        (6, 0, "mask_full"),
    ]
    assert processed["product_id"].tolist() == [1, 3, 7]
    with hdf5.open_file(removing / "data/processed.h5", hdf5.PROCESSED) as file:
        middle = file["images"][:, 8, :]
    assert [[is_near(row[column], BLUE) for column in (1, 6, 10, 14)] for row in middle] == [
        [True, False, False, False],
        [True, True, True, False],
        [True, True, False, False],
    ]
    assert all(is_near(row[15], (0, 255, 0)) for row in middle)
    assert asked() == [f"{number}.jpeg" for number in (1, 3, 4, 6, 7)]
    assert capsys.readouterr().out == (
        "preprocess: 7 photos, 3 done, 4 rejected (1 truncated, 1 mask_empty, 1 decoder_crash, 1 mask_full); the "
        "bucket was asked for 5; decoder_* may be temporary: `dvc repro --force --single-item masks preprocess` tries "
        "these photos again\n"
    )


def test_a_second_run_asks_for_nothing_and_another_mask_for_its_own_photo_alone(
    removing: Path, bucket: Bucket, asked: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image((9 * number, 0, 0))) for number in range(1, 7)})
    masks: dict[tuple[int, int], PhotoMask | Rejected] = {(number, 0): half() for number in range(1, 7)}
    write_masks(removing, masks)
    run(removing)
    first = md5s(removing)
    run(removing)

    assert md5s(removing) == first
    assert len(asked()) == 6
    assert capsys.readouterr().out.splitlines()[-1].endswith("(none); the bucket was asked for 0")

    write_masks(removing, masks | {(4, 0): half(0.25)})
    run(removing)

    assert md5s(removing)[0] != first[0]
    assert md5s(removing)[1:] == first[1:]
    assert asked()[6:] == ["4.jpeg"]


def test_transparency_that_is_the_mask_is_applied_once_and_known_by_that(removing: Path, bucket: Bucket) -> None:
    transparent = Image.new("RGBA", (48, 48), (0, 0, 0, 128))
    fill(bucket, removing, {"1.jpeg": saved(transparent, "PNG")})
    mask = half()._replace(compressed=bytes(deflate.zlib_compress(bytes([128]) * 64**2, 6)))
    made = []
    for from_alpha in (1, 0, 1):
        write_masks(removing, {(1, 0): mask._replace(from_alpha=from_alpha)})
        run(removing)
        with hdf5.open_file(removing / "data/processed.h5", hdf5.PROCESSED) as file:
            made.append(np.unique(file["images"][:], axis=None).tolist())

    assert made == [[0, 127], [0, 191], [0, 127]]


def test_no_mask_is_held_of_a_photo_that_is_known(removing: Path, bucket: Bucket) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image((9 * number, 0, 0))) for number in range(1, 4)})
    masks: dict[tuple[int, int], PhotoMask | Rejected] = {(number, 0): half(number / 4) for number in range(1, 4)}
    masks_h5 = write_masks(removing, masks)

    def held() -> list[bytes | None]:
        inventory_csv, section = removing / "data/inventory.csv", params.load().preprocess
        with closing(PixelCache(settings.pixel_cache(), bucket, section)) as cache:
            return [row.request.mask for row in preprocess.look_up(inventory_csv, masks_h5, cache)]

    assert held() == [half(number / 4).compressed for number in range(1, 4)]

    run(removing)

    assert held() == [None, None, None]

    write_masks(removing, masks | {(2, 0): half(0.3), (3, 0): Rejected("truncated")})

    assert held() == [None, half(0.3).compressed, None]


def test_a_mask_of_a_wrong_length_fails_the_stage_by_the_name_of_its_photo(removing: Path, bucket: Bucket) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image()) for number in (1, 2)})
    short = half()._replace(compressed=bytes(deflate.zlib_compress(bytes(64 * 64 - 1), 6)))
    write_masks(removing, {(1, 0): half(), (2, 0): short})

    assert re.search(r"^the mask of 2\.jpeg is damaged \(4095 pixels are no square\)", failure(removing))


@pytest.mark.parametrize("photos", [[1, 2], [1, 2, 3, 4], [1, 2, 4], [0, 1, 2], [2, 1, 3], []])
def test_masks_of_other_photos_are_refused(photos: list[int], removing: Path, bucket: Bucket) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image()) for number in (1, 2, 3)})
    write_masks(removing, {(number, 0): half() for number in photos})

    assert re.fullmatch(r"\S+masks\.h5 has other photos than \S+inventory\.csv: run `dvc repro`", failure(removing))


def test_a_mask_of_the_object_that_a_photo_was_before_is_refused(removing: Path, bucket: Bucket) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image()) for number in (1, 2, 3)})
    write_masks(removing, {(number, 0): half() for number in (1, 2, 3)})
    fill(bucket, removing, {"2.jpeg": jpeg(plain_image(BLUE))})

    assert re.fullmatch(r"\S+masks\.h5 has other photos than \S+inventory\.csv: run `dvc repro`", failure(removing))


def test_missing_masks_are_refused(removing: Path, bucket: Bucket) -> None:
    fill(bucket, removing, {"1.jpeg": jpeg(plain_image())})

    assert re.search(r"masks\.h5 is missing: run `dvc repro` or `dvc pull ", failure(removing))


def test_a_damaged_mask_fails_the_stage_by_the_names_of_row_and_file(removing: Path, bucket: Bucket) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image()) for number in (1, 2, 3)})
    path = write_masks(removing, {(number, 0): half(number / 4) for number in (1, 2, 3)})
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        chunk = file["masks"].id.get_chunk_info_by_coord((1, 0, 0))
    content[chunk.byte_offset + chunk.size // 2] ^= 4
    path.write_bytes(content)

    assert re.search(r"masks\.h5 is damaged at row 1: remove it, then `dvc checkout ", failure(removing))


def test_where_backgrounds_are_kept_the_masks_are_not_looked_at(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(2)})
    run(project)
    before = md5s(project)
    (project / "data/masks.h5").write_bytes(b"no masks")
    run(project)

    assert md5s(project) == before


def test_kept_backgrounds_and_a_mask_of_everything_but_the_least_are_other_pixels(
    removing: Path, bucket: Bucket, edit_params: Edit
) -> None:
    """What the cache knows of a photo without a mask is not taken for what it is with one."""
    fill(bucket, removing, {"1.jpeg": photo_bytes(1)})
    write_masks(removing, {(1, 0): half(0.5)})
    run(removing)
    removed = md5s(removing)
    edit_params("background: remove", "background: keep")
    run(removing)

    assert md5s(removing)[0] != removed[0]
    assert md5s(removing)[1:] == removed[1:]


# Facts, previews and limits


LIMITS = ("min_sharpness", "min_brightness", "max_brightness", "min_side", "max_aspect_ratio")


def read_photos(project: Path) -> list[tuple[Any, ...]]:
    return list(tables.read(project / "data/photos.csv", tables.PHOTOS).itertuples(index=False, name=None))


def test_what_files_say_of_their_colours_is_a_fact_and_counted(
    removing: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = rgb_profile()
    profiles = {"converted": whole, "srgb": rgb_profile(SRGB), "broken": whole[:150]}
    photos = {
        f"{number}.jpeg": saved(plain_image(BLUE), "JPEG", icc_profile=profile)
        for number, profile in enumerate((*profiles.values(), profiles["broken"], None), 1)
    }
    fill(bucket, removing, photos)
    write_masks(removing, {(number, 0): half() for number in range(1, 6)})
    run(removing)

    assert [row[-1] for row in read_photos(removing)] == [*profiles, "broken", ""]
    assert "colour profiles: broken 2, converted 1, srgb 1" in capsys.readouterr().out


@pytest.mark.usefixtures("any_share")
def test_facts_and_previews_are_of_every_photo_that_can_be_decoded(removing: Path, bucket: Bucket) -> None:
    photos = {
        "1.jpeg": jpeg(plain_image(BLUE, (300, 200))),
        "2.jpeg": photo_bytes()[:1500],
        "3.jpeg": saved(plain_image(RED, (40, 50)), "PNG"),
        "4.jpeg": jpeg(plain_image(GREEN)),
        "5.jpeg": HTML,
        "6.jpeg": jpeg(plain_image(GREEN)),
    }
    fill(bucket, removing, photos)
    found: dict[int, PhotoMask | Rejected] = {1: half(), 3: half(0.0), 4: half(1.0), 6: half()}
    found |= {2: Rejected("truncated"), 5: Rejected("not_an_image")}
    write_masks(removing, {(number, 0): found[number] for number in range(1, 7)})
    _, rejects = run(removing)

    assert rejects["reason"].tolist() == ["truncated", "mask_empty", "mask_full", "not_an_image"]
    # Of one colour: no sharpness, no contrast. 43 and 80 are the luma of BLUE and RED.
    assert [row[:-2] for row in read_photos(removing)][:2] == [
        (1, 0, 300, 200, "JPEG", "0.0000", "43.00", "0.00"),
        (3, 0, 40, 50, "PNG", "0.0000", "80.00", "0.00"),
    ]
    assert [row[0] for row in read_photos(removing)] == [1, 3, 4, 6]
    assert [row[-2] for row in read_photos(removing)[:2]] == ["1.5000", "1.2500"]
    with hdf5.open_file(removing / "data/previews.h5", hdf5.PREVIEWS) as file:
        assert file["ids"][:].tolist() == [1, 3, 4, 6]
        assert file["positions"][:].tolist() == [0] * 4
        previews = PreviewRows(file)
        shown = [Image.open(io.BytesIO(previews.read(row))) for row in range(4)]
    assert [(each.format, each.mode, each.size) for each in shown[:2]] == [
        ("JPEG", "RGB", (128, 85)),
        ("JPEG", "RGB", (40, 50)),
    ]
    assert all(
        is_near(each.getpixel((9, 9)), color) for each, color in zip(shown, (BLUE, RED, GREEN, GREEN), strict=True)
    )


@pytest.mark.usefixtures("any_share")
def test_another_limit_asks_for_nothing_and_leaves_the_others_as_they_were(
    removing: Path, bucket: Bucket, asked: Callable[[], list[str]], edit_params: Edit
) -> None:
    sharp = photo_bytes()
    photos = {
        "1.jpeg": sharp,
        "2.jpeg": jpeg(plain_image((9, 9, 9))),  # dark, and blurred as all of one colour
        "3.jpeg": jpeg(plain_image((250, 250, 250))),
        "4.jpeg": jpeg(plain_image((120, 120, 120))),
        "5.jpeg": jpeg(plain_image((120, 120, 120), (300, 50))),
        "6.jpeg": jpeg(plain_image((120, 120, 120), (30, 40))),
        "7.jpeg": jpeg(plain_image((9, 9, 9), (41, 41))),
    }
    fill(bucket, removing, photos)
    masks: dict[tuple[int, int], PhotoMask | Rejected] = {(number, 0): half() for number in range(1, 7)}
    write_masks(removing, masks | {(7, 0): half(0.0)})
    _, rejects = run(removing)

    assert rejects["reason"].tolist() == ["mask_empty"]

    before, facts = asked(), (removing / "data/photos.csv").read_bytes()
    previews = (removing / "data/previews.h5").read_bytes()
    for name, value in zip(LIMITS, (0.1, 50, 200.0, 31, 2), strict=True):
        edit_params(f"\n  {name}: null", f"\n  {name}: {value}")
    processed, rejects = run(removing)

    assert list(rejects.itertuples(index=False, name=None)) == [
        (2, 0, "too_dark"),
        (3, 0, "too_light"),
        (4, 0, "too_blurred"),
        (5, 0, "extreme_aspect"),
        (6, 0, "too_small"),
        (7, 0, "too_dark"),
    ]
    assert processed["product_id"].tolist() == [1]
    assert asked() == before
    assert (removing / "data/photos.csv").read_bytes() == facts
    assert (removing / "data/previews.h5").read_bytes() == previews


@pytest.mark.usefixtures("any_share")
def test_another_list_of_formats_asks_for_nothing_and_leaves_the_others_as_they_were(
    removing: Path, bucket: Bucket, asked: Callable[[], list[str]], edit_params: Edit
) -> None:
    fill(bucket, removing, {f"{number}.jpeg": BY_NAME[name] for number, name in enumerate(FORMATS, 1)})
    write_masks(removing, {(number, 0): half() for number in range(1, 6)})
    processed, rejects = run(removing)
    before, facts = asked(), (removing / "data/photos.csv").read_bytes()

    assert rejects.empty
    assert [row[4] for row in read_photos(removing)] == ["JPEG", "PNG", "WEBP", "GIF", "AVIF"]

    edit_params(f"  formats: {SHIPPED}", "  formats: [webp, jpeg]")
    fewer, rejects = run(removing)

    assert rejects["reason"].tolist() == ["format_png", "format_gif", "format_avif"]
    assert fewer["phash"].tolist() == processed["phash"][[0, 2]].tolist()
    assert asked() == before
    assert (removing / "data/photos.csv").read_bytes() == facts


def test_limits_that_reject_too_much_fail_the_stage(removing: Path, bucket: Bucket, edit_params: Edit) -> None:
    fill(bucket, removing, {f"{number}.jpeg": jpeg(plain_image((9, 9, 9 * number))) for number in (1, 2)})
    write_masks(removing, {(1, 0): half(), (2, 0): half()})
    edit_params("\n  min_brightness: null", "\n  min_brightness: 100")

    assert failure(removing).startswith("none of 2 photos is left (2 too_dark)")
