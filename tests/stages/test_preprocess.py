"""The stage, on a real bucket: every object of the inventory ends as a row of its own pixels or as a reject."""

import hashlib
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from imageset.errors import DataError, ImagesetError, ParamsError, ServerError
from imageset.formats import hdf5, tables
from imageset.photos import decode, worker
from imageset.photos.background import Network
from imageset.photos.preprocess import PhotoResult, PreprocessRecipe
from imageset.photos.worker import ChangedObject, PhotoRequest
from imageset.runtime.sections import ModelParams
from imageset.storage.bucket import Bucket, list_objects
from sandbox import draw
from stages import inventory, preprocess
from stages.preprocess import Outcomes
from tests.conftest import U2NETP_SHA256, jpeg, photo_bytes, plain_image, put
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import GREEN, HTML, RED, is_near, recipe
from tests.stages.test_ingest import bomb, broken_png

BLUE = (20, 20, 220)
OUTPUTS = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv")

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


def run(project: Path, weights: Path = Path("no weights")) -> tuple[pd.DataFrame, pd.DataFrame]:
    outputs = [project / "data" / name for name in OUTPUTS]
    preprocess.main(project / "data/inventory.csv", weights, *outputs)
    return tables.read(outputs[2], tables.PROCESSED), tables.read(outputs[3], tables.REJECTS)


def failure(project: Path, error: type[ImagesetError] = DataError) -> str:
    """Return what the stage says as it fails, leaving nothing behind."""
    with pytest.raises(error) as caught:
        run(project)

    assert [path.name for path in (project / "data").iterdir()] == ["inventory.csv"]
    return str(caught.value)


def md5s(project: Path) -> list[str]:
    return [hashlib.md5((project / "data" / name).read_bytes()).hexdigest() for name in OUTPUTS]


@pytest.mark.usefixtures("any_share")
def test_every_object_is_a_row_of_its_own_pixels_or_a_reject_whatever_the_number_of_workers(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.photos.batches.PHOTOS_TO_FIT", 2)
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


real_decode = decode.decode


def decode_or_fall(data: bytes, *view: Any) -> Image.Image:
    """Do as decode.decode does, but for photos that say what is to become of their decoder."""
    if data.endswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"hang"):
        time.sleep(600)
    return real_decode(data, *view)


def work_with_little(batched: list[PhotoRequest], recipe: PreprocessRecipe) -> list[PhotoResult | ChangedObject]:
    """Call worker.preprocess_batch in a worker process, with little time and memory and a decoder that may crash."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imageset.photos.preprocess.SECONDS_TO_DECODE", 2.0)
        patch.setattr("imageset.photos.preprocess.BYTES_TO_DECODE", 50_000_000)
        patch.setattr(decode, "decode", decode_or_fall)
        return worker.preprocess_batch(batched, recipe)


@pytest.mark.usefixtures("any_share")
def test_every_reason_of_the_closed_list_comes_from_a_real_object(
    project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    edit_params("  background: keep", "  background: remove")
    edit_params("max_foreground: 0.99", "max_foreground: 0.45")
    monkeypatch.setattr(worker, "preprocess_batch", work_with_little)
    bodies = {
        "decoder_crash": photo_bytes() + b"crash",
        "decoder_timeout": photo_bytes() + b"hang",
        "decoder_memory": saved(Image.new("1", (7000, 7000)), "PNG"),
        "empty": b"",
        "not_an_image": HTML,
        "too_many_pixels": bomb(),
        "truncated": photo_bytes()[:1500],
        "undecodable": broken_png(),
        "mask_empty": jpeg(plain_image()),
        "mask_full": jpeg(draw.draw("bag", 2).crop((30, 64, 474, 631))),
        "": photo_bytes(),
    }
    fill(bucket, project, {f"{number}.jpeg": body for number, body in enumerate(bodies.values(), 1)})
    processed, rejects = run(project, weights)

    assert rejects["reason"].tolist() == list(bodies)[:-1]
    assert set(rejects["reason"]) == preprocess.REASONS
    assert processed["product_id"].tolist() == [len(bodies)]


def test_an_empty_inventory_is_an_error(project: Path) -> None:
    tables.write(project / "data/inventory.csv", tables.INVENTORY, tables.frame(tables.INVENTORY, []))

    assert failure(project).startswith("none of 0 photos is left")


def test_an_inventory_out_of_order_is_refused(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": jpeg(plain_image()) for number in (1, 2)})
    path = project / "data/inventory.csv"
    header, one, two = path.read_text().splitlines(keepends=True)
    path.write_text(header + two + one)

    assert re.search(r"inventory\.csv: \(1, 0\) comes after \(2, 0\)", failure(project))


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


def collected(done: int, rejected: int, changed: int) -> Outcomes:
    """Return what came of so many photos."""
    result = Outcomes()
    result.product_ids.extend(range(done))
    result.reasons.update({"empty": rejected} if rejected else {})
    result.changed = changed
    result.changed_keys = [f"{number}.jpeg" for number in range(changed)][:5]
    return result


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((4, 1, 0), ""),
        ((7, 2, 0), r"2 of 9 photos are rejected \(2 empty\)"),
        ((5, 0, 1), "1 objects changed .*0.jpeg:"),
        ((0, 3, 0), r"none of 3 photos is left \(3 empty\)"),
        (
            (0, 0, 9),
            r"9 objects changed .*0\.jpeg, .*, 4\.jpeg \(all of them: does IMAGE_STORE name its bucket\?\)",
        ),
    ],
)
def test_up_to_the_share_allowed_may_be_rejected_and_nothing_may_be_changed(
    counts: tuple[int, int, int], problem: str
) -> None:
    with pytest.raises(DataError, match=problem) if problem else nullcontext():
        collected(*counts).check(sum(counts), 0.2)


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


# Before the first photo


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        ({"min_foreground: 0.01": "min_foreground: 0.995"}, "min_foreground has to be max_foreground at the most"),
        ({"name: u2netp": "name: u2netpp"}, r"model\.name = 'u2netpp': expected one of .*u2netp$"),
        ({"name: u2netp": "name: bria-rmbg"}, "licence CC-BY-NC"),
        ({"mask_side: null": "mask_side: 100"}, "mask_side = 100"),
        (
            {
                "mask_side: null": "mask_side: 320",
                "name: u2netp": "name: birefnet-general",
                "  background: keep": "  background: remove",
            },
            "mask_side = 320: birefnet-general takes 1024 only",
        ),
    ],
)
def test_params_that_do_not_fit_are_refused_before_anything_is_read(
    edits: dict[str, str], problem: str, project: Path, edit_params: Edit
) -> None:
    for old, new in edits.items():
        edit_params(old, new)

    with pytest.raises(ParamsError, match=problem):
        run(project)


@pytest.mark.parametrize(
    ("name", "mask_side", "side"),
    [
        ("u2netp", None, 320),
        ("u2netp", 192, 192),
        ("isnet-general-use", None, 1024),
        ("isnet-general-use", 512, 512),
        ("birefnet-general", None, 1024),
        ("birefnet-general", 1024, 1024),
    ],
)
def test_the_network_takes_the_side_that_params_name_or_its_own(
    name: str, mask_side: int | None, side: int, weights: Path
) -> None:
    model = ModelParams(name=name, sha256=U2NETP_SHA256, allow_non_commercial=False)
    section = recipe(weights, mask_side=mask_side).preprocess

    assert preprocess.choose_network(section, model, weights) == Network(name, weights, side)
    assert preprocess.choose_network(recipe().preprocess, model, weights) is None


def test_weights_that_are_not_the_ones_named_are_refused(project: Path, edit_params: Edit) -> None:
    edit_params("  background: keep", "  background: remove")
    (project / "no weights").write_bytes(b"<html>not found</html>")

    with pytest.raises(DataError, match=r"no weights does not have the sha256 that params\.yaml names"):
        run(project)
