import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imageset import layout, store, tables
from imageset.errors import DataError, ParamsError
from imageset.store import Store
from stages import inventory, preprocess
from stages.preprocess import Prepared, PreprocessParams, Recipe, Rejected
from tests.conftest import jpeg, photo_bytes, plain_image, put
from tests.test_ingest import bomb

RED, GREEN, BLUE = (220, 20, 20), (20, 200, 20), (20, 20, 220)
HTML = b"<!DOCTYPE html><html>Please log in</html>"
OUTPUTS = ("processed.h5", "processed.csv", "rejects.csv")

Edit = Callable[[str, str], None]


def recipe(weights: Path = Path(), **changes: Any) -> Recipe:
    chosen: dict[str, Any] = {"background": "keep", "fill": (0, 255, 0), "fit": "pad", "color": "rgb",
                              "image_side": 32, "min_foreground": 0.01, "max_foreground": 0.99,
                              "max_pixels": 1_000_000, "max_rejected_share": 0.2}
    return Recipe(PreprocessParams(**chosen | changes), "u2netp", weights)


def pixels_of(image: Image.Image, **changes: Any) -> layout.Pixels:
    outcome = preprocess.prepare(jpeg(image), recipe(**changes))

    assert isinstance(outcome, Prepared)
    return outcome.pixels


def is_near(pixels: Any, color: Any) -> bool:
    return bool(np.abs(np.asarray(pixels, np.int64) - color).max() <= 6)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize(("color", "channels"), [("grayscale", 1), ("rgb", 3)])
def test_pixels_are_a_square_of_bytes(fit: str, color: str, channels: int) -> None:
    pixels = pixels_of(plain_image(sides=(1, 300)), fit=fit, color=color, image_side=16)

    assert pixels.shape == (16, 16, channels)
    assert pixels.dtype == np.uint8


def test_grayscale_is_luma() -> None:
    assert is_near(pixels_of(plain_image(RED), fit="crop", color="grayscale"), (80,))


def dark_at_the_top() -> Image.Image:
    """A red photo three times as high as it is wide, the uppermost quarter black."""
    image = plain_image(RED, (80, 240))
    image.paste((0, 0, 0), (0, 0, 80, 60))
    return image


def test_pad_keeps_all_of_the_photo_between_bars_of_the_fill() -> None:
    pixels = pixels_of(dark_at_the_top(), fit="pad", fill=GREEN)

    assert is_near(pixels[:, :9], GREEN)
    assert is_near(pixels[:, -9:], GREEN)
    assert is_near(pixels[2, 16], (0, 0, 0))
    assert is_near(pixels[-2, 16], RED)


def test_crop_takes_the_middle_of_the_photo() -> None:
    assert is_near(pixels_of(dark_at_the_top(), fit="crop", fill=GREEN), RED)


def test_stretch_fills_the_square_with_all_of_the_photo() -> None:
    pixels = pixels_of(dark_at_the_top(), fit="stretch", fill=GREEN)

    assert is_near(pixels[:6], (0, 0, 0))
    assert is_near(pixels[-20:], RED)


def test_a_photo_that_lies_on_its_side_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = pixels_of(dark_at_the_top(), fit="stretch")
    outcome = preprocess.prepare(jpeg(dark_at_the_top().transpose(Image.Transpose.ROTATE_90), exif=exif),
                                 recipe(fit="stretch"))

    assert isinstance(outcome, Prepared)
    assert is_near(outcome.pixels[:6], (0, 0, 0))
    assert is_near(outcome.pixels, upright)


def test_the_garment_stands_alone_on_the_fill(weights: Path) -> None:
    kept, removed = (preprocess.prepare(photo_bytes(), recipe(weights, background=background, fit="stretch"))
                     for background in ("keep", "remove"))

    assert isinstance(kept, Prepared)
    assert isinstance(removed, Prepared)
    corners = np.ix_([0, -1], [0, -1])
    assert is_near(removed.pixels[corners], (0, 255, 0))
    assert not is_near(kept.pixels[corners], (0, 255, 0))
    assert is_near(removed.pixels[16, 16], kept.pixels[16, 16])


@pytest.mark.parametrize(("bounds", "reason"), [
    ({"min_foreground": 1.0, "max_foreground": 1.0}, "mask_empty"),
    ({"min_foreground": 0.0, "max_foreground": 0.0}, "mask_full")])
def test_a_mask_that_found_nothing_rejects_the_photo(bounds: dict[str, float], reason: str, weights: Path) -> None:
    assert preprocess.prepare(photo_bytes(), recipe(weights, background="remove", **bounds)) == Rejected(reason)


@pytest.mark.parametrize(("body", "reason"), [(b"", "empty"), (HTML, "not_an_image"), (bomb(), "too_many_pixels"),
                                              (photo_bytes()[:1500], "truncated")])
def test_bytes_that_are_no_photo_are_rejected(body: bytes, reason: str) -> None:
    assert preprocess.prepare(body, recipe()) == Rejected(reason)


@pytest.mark.parametrize("changes", [{"image_side": 8}, {"fill": RED}, {"color": "grayscale"}, {"fit": "crop"}])
def test_what_identifies_a_photo_does_not_depend_on_its_pixels(changes: dict[str, Any]) -> None:
    body = photo_bytes()
    one, other = preprocess.prepare(body, recipe()), preprocess.prepare(body, recipe(**changes))

    assert isinstance(one, Prepared)
    assert isinstance(other, Prepared)
    assert one.sha256 == hashlib.sha256(body).hexdigest()
    assert one[1:] == other[1:]


@pytest.fixture
def project(in_project: Path, bucket: Store, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a bucket that keeps backgrounds, small images, in colour, one worker."""
    edit_params("background: remove", "background: keep")
    edit_params("image_side: 128", "image_side: 16")
    edit_params("color: grayscale", "color: rgb")
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    return in_project


@pytest.fixture
def any_share(edit_params: Edit) -> None:
    """However many photos are rejected, the stage goes on."""
    edit_params("max_rejected_share: 0.2\n\ncatalog:", "max_rejected_share: 1.0\n\ncatalog:")


def fill(bucket: Store, project: Path, photos: dict[str, bytes]) -> None:
    """Put photos by key into the bucket and take the inventory."""
    for key, body in photos.items():
        put(bucket, key, body)
    table, _ = inventory.choose(store.list_objects(bucket), None)
    tables.write(project / "data/inventory.csv", tables.INVENTORY, table)


def run(project: Path, weights: Path = Path("no weights")) -> tuple[pd.DataFrame, pd.DataFrame]:
    outputs = [project / "data" / name for name in OUTPUTS]
    preprocess.main(project / "data/inventory.csv", weights, *outputs)
    return tables.read(outputs[1], tables.PROCESSED), tables.read(outputs[2], tables.REJECTS)


def md5s(project: Path) -> list[str]:
    return [hashlib.md5((project / "data" / name).read_bytes()).hexdigest() for name in OUTPUTS]


@pytest.mark.usefixtures("any_share")
def test_every_object_is_a_row_of_its_own_pixels_or_a_reject(project: Path, bucket: Store) -> None:
    colors = {(2, 0): RED, (10, 0): GREEN, (10, 3): BLUE}
    fill(bucket, project, {"10.jpeg": jpeg(plain_image(GREEN)), "10-3.jpeg": jpeg(plain_image(BLUE)), "1.jpeg": HTML,
                           "2.jpeg": jpeg(plain_image(RED)), "3.jpeg": bomb(), "10-1.jpeg": photo_bytes()[:1500],
                           "11.jpeg": b""})
    processed, rejects = run(project)

    assert list(rejects.itertuples(index=False, name=None)) == [
        (1, 0, "not_an_image"), (3, 0, "too_many_pixels"), (10, 1, "truncated"), (11, 0, "empty")]
    assert processed["row"].tolist() == [0, 1, 2]
    with layout.open_file(project / "data/processed.h5", layout.PROCESSED) as file:
        assert list(zip(file["ids"][:], file["positions"][:], strict=True)) == list(colors)
        assert file["images"].shape == (3, 16, 16, 3)
        assert file.attrs["fill"].tolist() == [255, 255, 255]
        for row, color in enumerate(colors.values()):
            assert is_near(file["images"][row, 8, 8], color)


def test_more_rejects_than_allowed_fail_the_stage_with_their_counts(project: Path, bucket: Store) -> None:
    fill(bucket, project, {"1.jpeg": HTML, "2.jpeg": jpeg(plain_image()), "3.jpeg": jpeg(plain_image())})

    with pytest.raises(DataError, match=r"1 of 3 photos are rejected \(1 not_an_image\)"):
        run(project)

    assert [path.name for path in (project / "data").iterdir()] == ["inventory.csv"]


@pytest.mark.usefixtures("any_share")
def test_weights_that_are_not_the_ones_named_are_refused(project: Path, bucket: Store, edit_params: Edit) -> None:
    edit_params("  background: keep", "  background: remove")
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    (project / "no weights").write_bytes(b"<html>not found</html>")

    with pytest.raises(DataError, match=r"no weights has not the sha256 that params\.yaml names"):
        run(project)


def test_bounds_of_the_foreground_that_cross_are_refused(project: Path, edit_params: Edit) -> None:
    edit_params("min_foreground: 0.01", "min_foreground: 0.995")

    with pytest.raises(ParamsError, match="min_foreground has to be"):
        run(project)


def test_large_images_keep_the_photos_detail() -> None:
    checkers = np.indices((1024, 1024)).sum(axis=0) // 2 % 2 * 255
    body = jpeg(Image.fromarray(checkers.astype(np.uint8)))
    prepared = preprocess.prepare(body, recipe(image_side=1024, color="grayscale", max_pixels=1024 * 1024))

    assert isinstance(prepared, Prepared)
    assert prepared.pixels.std() > 100


def test_a_dataset_of_no_photo_is_an_error(project: Path, bucket: Store) -> None:
    fill(bucket, project, {"1.jpeg": HTML})

    with pytest.raises(DataError, match=r"none of 1 photos is left .*not_an_image"):
        run(project)


def test_objects_that_changed_since_the_inventory_fail_the_stage_by_their_keys(project: Path, bucket: Store) -> None:
    fill(bucket, project, {f"{number}.jpeg": jpeg(plain_image((number, 0, 0))) for number in (1, 2, 3)})
    bucket.client.put_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}1.jpeg", Body=jpeg(plain_image(BLUE)))
    bucket.client.delete_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}3.jpeg")

    with pytest.raises(DataError, match=r"2 objects changed .*1\.jpeg, 3\.jpeg: run `make refresh`"):
        run(project)

    assert [path.name for path in (project / "data").iterdir()] == ["inventory.csv"]


def test_the_number_of_workers_changes_no_byte(project: Path, bucket: Store, edit_params: Edit, weights: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    edit_params("background: keep", "background: remove")
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(4)})
    written = []
    for workers in ("1", "2"):
        monkeypatch.setenv("IMAGESET_WORKERS", workers)
        processed, rejects = run(project, weights)
        written.append(md5s(project))

    assert (len(processed), len(rejects)) == (4, 0)
    assert written[0] == written[1]


def test_other_pixels_leave_the_table_as_it_was(project: Path, bucket: Store, edit_params: Edit) -> None:
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


def test_a_model_that_rembg_does_not_know_is_refused_before_the_first_photo(project: Path, edit_params: Edit) -> None:
    edit_params("name: u2netp", "name: u2netpp")

    with pytest.raises(ParamsError, match=r"model\.name = 'u2netpp': rembg knows .*u2netp"):
        run(project)
