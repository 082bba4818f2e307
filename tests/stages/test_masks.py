"""The stage, on a real bucket with the real network: every object has its own mask, or a reason why it has none."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from imageset.errors import DataError, ImagesetError, ParamsError, ServerError
from imageset.formats import hdf5, tables
from imageset.photos import fact_limits, hardware, mask_worker
from imageset.photos.engines import Network
from imageset.photos.mask_file import scan_masks
from imageset.photos.mask_recipe import identify_masks
from imageset.photos.masks import describe_mask, mask_photos
from imageset.photos.outcomes import PhotoMask
from imageset.photos.photo_file import read_recipe
from imageset.photos.worker import Answer
from imageset.runtime import dvc
from imageset.runtime.sections import MasksParams
from imageset.storage.bucket import Bucket
from sandbox import draw
from stages import masks, preprocess
from tests.conftest import U2NETP_SHA256, jpeg, photo_bytes, plain_image, put, run_stage
from tests.photos.samples import BY_NAME, REFUSED, SHIPPED
from tests.photos.test_cut_outs import cut_out
from tests.photos.test_decode import saved
from tests.photos.test_masks import by_hand, recipe, values_of
from tests.photos.test_preprocess import HTML
from tests.project import ROOT
from tests.stages.asked import BROKEN, GOOD, log_requests
from tests.stages.in_workers import Loaded, SameAnswer, WithLittle
from tests.stages.test_ingest import bomb, lossless_jpeg
from tests.stages.test_preprocess import Edit, fill

INVENTORY, MASKS = Path("data/inventory.csv"), Path("data/masks.h5")
OUTPUTS = (MASKS, Path("data/masks.csv"))
PROCESSED = [
    Path("data", name)
    for name in ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv", "photos.csv", "previews.h5")
]
INT8 = ROOT / "models/u2netp-int8.zip"


@pytest.fixture
def project(
    in_project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> Path:
    """A project with a bucket that removes backgrounds by small masks, small images, one worker."""
    edit_params("  side: null", "  side: 64")
    edit_params("image_side: 128", "image_side: 16")
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    (in_project / "models").mkdir()
    shutil.copy(weights, in_project / "models/background.onnx")
    return in_project


@pytest.fixture
def any_share(edit_params: Edit) -> None:
    """However many photos are rejected, the stage goes on."""
    edit_params("max_rejected_share: 0.2\n\nduplicates:", "max_rejected_share: 1.0\n\nduplicates:")


def set_max_pixels(limit: int) -> None:
    """Set preprocess.max_pixels."""
    path = Path("params.yaml")
    path.write_text(re.sub(r"(preprocess:.*?max_pixels: )\d+", rf"\g<1>{limit}", path.read_text(), flags=re.S))


def run() -> pd.DataFrame:
    masks.main(INVENTORY, Path("models/background.onnx"), INT8, *OUTPUTS)
    return tables.read(OUTPUTS[1], tables.MASKS)


def failure(error: type[ImagesetError] = DataError) -> str:
    """Return what the stage says as it fails, leaving nothing behind."""
    with pytest.raises(error) as caught:
        run()

    assert [path.name for path in Path("data").iterdir()] == ["inventory.csv"]
    return str(caught.value)


def md5s() -> list[str]:
    return [hashlib.md5(path.read_bytes()).hexdigest() for path in OUTPUTS]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return for which photos the workers ask the bucket."""
    return log_requests(monkeypatch, tmp_path, mask_worker, "mask_batch")


@pytest.mark.usefixtures("any_share")
def test_every_object_has_its_own_mask_or_a_reason_whatever_the_number_of_workers(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.setattr(masks, "PHOTOS_AT_ONCE", 2)
    fill(bucket, project, GOOD | BROKEN)
    written = []
    for workers in ("1", "2"):
        monkeypatch.setenv("IMAGESET_WORKERS", workers)
        monkeypatch.setenv("IMAGESET_CACHE", f"cache of {workers}")
        table = run()
        written.append(md5s())
    alone = [mask_photos([body], recipe(weights, 64))[0] for body in GOOD.values()]
    expected = {
        photo: mask
        for photo, mask in zip([(2, 0), (10, 0), (10, 3), (12, 0)], alone, strict=True)
        if isinstance(mask, PhotoMask)
    }

    assert written[0] == written[1]
    assert len(expected) == 4
    assert list(table[["product_id", "position", "reason"]].itertuples(index=False, name=None)) == [
        (1, 0, "not_an_image"),
        (2, 0, ""),
        (3, 0, "too_many_pixels"),
        (10, 0, ""),
        (10, 1, "truncated"),
        (10, 3, ""),
        (11, 0, "empty"),
        (12, 0, ""),
        (13, 0, "undecodable"),
    ]
    assert [(row.product_id, row.position, row.reason) for row in scan_masks(MASKS)] == list(
        table[["product_id", "position", "reason"]].itertuples(index=False, name=None)
    )
    assert {(row.product_id, row.position): row.mask for row in scan_masks(MASKS) if row.mask} == {
        photo: mask.compressed for photo, mask in expected.items()
    }
    for row in table.itertuples(index=False):
        found = tuple(row)[2:7]
        if row.reason:
            assert found == ("", "", pd.NA, "", "")
        else:
            _, _, foreground, border, pieces, uncertainty, _ = expected[row.product_id, row.position]

            assert found == (f"{foreground:.4f}", f"{border:.4f}", pieces, f"{uncertainty:.4f}", "openvino float32")
    with hdf5.open_file(MASKS, hdf5.MASKS) as file:
        assert file["masks"].shape == (9, 64, 64)
        assert (file["masks"][7] == values_of(expected[12, 0])).all()
        assert U2NETP_SHA256 in read_recipe(file)


# Photos that end their workers


@pytest.mark.usefixtures("any_share")
def test_every_reason_of_the_closed_list_comes_from_a_real_object_and_preprocess_repeats_it(
    project: Path,
    bucket: Bucket,
    edit_params: Edit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params("  side: 64", "  side: null")
    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg, png, webp, avif]")
    edit_params("max_foreground: 0.99", "max_foreground: 0.45")
    monkeypatch.setattr(mask_worker, "mask_batch", WithLittle(mask_worker.__name__, "mask_batch"))
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", "0")  # preprocess has to ask the bucket, too
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
        "format_heic": BY_NAME["heic"],
        **{f"format_{name}": body for name, body in REFUSED.items()},
        "format_gif": saved(plain_image(), "GIF"),
        "mask_empty": jpeg(plain_image()),
        "mask_full": jpeg(draw.draw("bag", 2).crop((30, 64, 474, 631))),
        "": photo_bytes(),
    }
    fill(bucket, project, {f"{number}.jpeg": body for number, body in enumerate(bodies.values(), 1)})
    table = run()
    said = capsys.readouterr().out
    preprocess.main(INVENTORY, MASKS, *PROCESSED)
    rejects = tables.read(PROCESSED[3], tables.REJECTS)

    undecoded = list(bodies)[: list(bodies).index("format_gif")]
    assert table["reason"].tolist() == [*undecoded, "", "", "", ""]
    assert rejects["reason"].tolist() == list(bodies)[:-1]
    assert set(rejects["reason"]) == preprocess.REASONS - set(fact_limits.REASONS) - {
        *("format_jpeg", "format_png", "format_webp", "format_avif")
    }
    assert tables.read(PROCESSED[2], tables.PROCESSED)["product_id"].tolist() == [len(bodies)]
    assert "decoder_* may be temporary: `dvc repro --force --single-item masks` tries these photos again" in said
    assert "the bucket was asked for 4;" in capsys.readouterr().out


# What fails the stage


def test_a_cut_out_is_its_own_mask_where_params_say_so_and_the_table_names_it(
    project: Path, bucket: Bucket, edit_params: Edit
) -> None:
    fill(bucket, project, {"10.jpeg": GOOD["10.jpeg"], "12.jpeg": saved(cut_out("dress", (300, 400)), "PNG")})
    edit_params("use_alpha: false", "use_alpha: true")
    first, again = run(), run()  # predicted, and out of the cache

    assert first["engine"].tolist() == again["engine"].tolist() == ["openvino float32", "alpha"]
    with hdf5.open_file(MASKS, hdf5.MASKS) as file:
        assert file["from_alpha"][:].tolist() == [0, 1]
        assert '"use_alpha": true' in read_recipe(file)


def test_an_empty_inventory_is_an_error(project: Path) -> None:
    tables.write(INVENTORY, tables.INVENTORY, tables.frame(tables.INVENTORY, []))

    assert failure().startswith("none of 0 photos is left")


def test_an_inventory_out_of_order_is_refused(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes() for number in (1, 2)})
    header, one, two = INVENTORY.read_text().splitlines(keepends=True)
    INVENTORY.write_text(header + two + one)

    assert re.search(r"inventory\.csv: product_id 1, position 0 comes after product_id 2, position 0", failure())


def test_objects_that_changed_since_the_inventory_fail_the_stage_by_their_keys(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in (1, 2, 3)})
    put(bucket, "1.jpeg", photo_bytes(7))
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}3.jpeg")

    assert re.search(r"2 objects changed .*1\.jpeg, 3\.jpeg: run `make refresh`", failure())


def test_a_bucket_that_refuses_fails_the_stage_and_no_secret_is_printed(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-and-wrong")

    assert re.fullmatch(
        r"s3://\S+ at \S+ answered SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY", failure(ServerError)
    )


def test_more_rejected_photos_than_params_allow_fail_the_stage_by_their_reasons_and_nothing_is_made_again(
    project: Path, bucket: Bucket, asked: Callable[[], list[str]], edit_params: Edit
) -> None:
    photos = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)}
    fill(bucket, project, photos | {"9.jpeg": HTML})

    assert re.fullmatch(
        r"1 of 4 photos are rejected \(1 not_an_image\): more than preprocess\.max_rejected_share = 0\.2; set it to 1 "
        r"to go on and see them in data/masks\.csv",
        failure(),
    )

    edit_params("max_rejected_share: 0.2\n\nduplicates:", "max_rejected_share: 1.0\n\nduplicates:")
    run()

    assert len(asked()) == 4


# Backgrounds that are kept


def test_where_backgrounds_are_kept_the_outputs_are_empty_at_once(
    in_project: Path, edit_params: Edit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a bucket, nor an inventory, nor weights are there to be asked."""
    edit_params("background: remove", "background: keep")
    monkeypatch.delenv("IMAGE_STORE", raising=False)
    table = run()

    assert len(table) == 0
    assert list(scan_masks(MASKS)) == []
    assert capsys.readouterr().out == "masks: none, as masks.background is keep\n"
    assert sorted(path.name for path in in_project.iterdir()) == [
        *("corrections", "data", "params.yaml", "queries", "releases")
    ]


def test_the_empty_outputs_are_the_same_bytes_whatever_the_other_params_are(
    in_project: Path, edit_params: Edit
) -> None:
    edit_params("background: remove", "background: keep")
    run()
    before = md5s()
    edit_params("  side: null", "  side: 192")
    edit_params("precision: float32", "precision: int8")
    run()

    assert md5s() == before


# Networks


def section(**changes: Any) -> MasksParams:
    values = {"background": "remove", "side": None, "precision": "float32", "device": "cpu", "use_alpha": False}
    return MasksParams(**values | changes)


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
    chosen = masks.choose_network(section(side=mask_side), name, U2NETP_SHA256, weights, INT8)

    assert chosen == Network(name, weights, side, "float32", "cpu")


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"device": "cuda"}])
def test_precision_and_device_are_those_of_params(changes: dict[str, Any], weights: Path) -> None:
    chosen = masks.choose_network(section(**changes), "u2netp", U2NETP_SHA256, weights, INT8)

    assert chosen == Network("u2netp", weights, 320)._replace(**changes)


@pytest.mark.parametrize("side", [None, 320])
def test_int8_takes_the_weights_that_were_made_of_the_shipped_ones(side: int | None, weights: Path) -> None:
    chosen = masks.choose_network(section(precision="int8", side=side), "u2netp", U2NETP_SHA256, weights, INT8)

    assert chosen == Network("u2netp", INT8, 320, "int8", "cpu")


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("birefnet-general", {"side": 320}, r"masks\.side = 320: birefnet-general takes 1024 only: expected null"),
        ("u2netpp", {}, r"model\.name = 'u2netpp': expected one of .*u2netp$"),
        ("silueta", {"precision": "int8"}, "for u2netp as it is shipped, with side null, only: this is silueta"),
        ("u2netp", {"precision": "int8", "side": 256}, "this is u2netp with sha256 309c8469... and side 256"),
    ],
)
def test_a_network_side_or_precision_that_does_not_fit_is_refused(
    name: str, changes: dict[str, Any], problem: str, weights: Path
) -> None:
    with pytest.raises(ParamsError, match=problem):
        masks.choose_network(section(**changes), name, U2NETP_SHA256, weights, INT8)


def test_int8_is_refused_for_other_weights_of_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"trained further")
    sha256 = hashlib.sha256(b"trained further").hexdigest()

    with pytest.raises(ParamsError, match=f"this is u2netp with sha256 {sha256[:8]}"):
        masks.choose_network(section(precision="int8"), "u2netp", sha256, path, INT8)


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        ({"  side: 64": "  side: 100"}, r"masks\.side = 100"),
        ({"  side: 64": "  side: 32"}, r"masks\.side = 32"),
        ({"precision: float32": "precision: float16"}, r"masks\.precision = 'float16'"),
        ({"precision: float32": "precision: int8", "device: cpu": "device: cuda"}, "precision int8 is for device cpu"),
        ({"  image_side": "  mask_side: null\n  image_side"}, r"preprocess\.mask_side is masks\.side now"),
        ({"name: u2netp": "name: u2netpp"}, r"model\.name = 'u2netpp'"),
    ],
)
def test_params_that_do_not_fit_are_refused_before_anything_is_read(
    edits: dict[str, str], problem: str, project: Path, edit_params: Edit
) -> None:
    for old, new in edits.items():
        edit_params(old, new)

    with pytest.raises(ParamsError, match=problem):
        run()
    assert not Path("data").exists()


@pytest.mark.parametrize("content", [b"<html>not found</html>", b""])
def test_weights_that_are_not_the_ones_named_are_refused(content: bytes, project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    Path("models/background.onnx").write_bytes(content)

    assert failure() == (
        "models/background.onnx does not have the sha256 that params.yaml names: remove it and run `dvc repro`"
    )


@pytest.fixture
def old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor of this stage and of its workers has AVX2 and no more."""
    monkeypatch.setattr(hardware, "read_instructions", lambda: frozenset({"avx2"}))
    monkeypatch.setattr("imageset.photos.mask_recipe.identify_masks", identify_masks.__wrapped__)


@pytest.mark.usefixtures("old_processor")
def test_bfloat16_is_refused_where_the_processor_lacks_it(project: Path, bucket: Bucket, edit_params: Edit) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    edit_params("precision: float32", "precision: bfloat16")

    assert failure(ImagesetError).startswith("masks.precision: bfloat16 needs a processor with ")


def test_int8_makes_masks_that_cover_what_those_of_float32_cover(
    project: Path, bucket: Bucket, edit_params: Edit
) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)})
    edit_params("  side: 64", "  side: null")
    of_floats, rows = run(), list(scan_masks(MASKS))
    edit_params("precision: float32", "precision: int8")
    of_integers, others = run(), list(scan_masks(MASKS))

    assert of_integers["engine"].tolist() == ["openvino int8"] * 3
    assert {row.mask for row in rows}.isdisjoint({row.mask for row in others})
    apart = of_integers["foreground_share"].astype(float) - of_floats["foreground_share"].astype(float)
    assert apart.abs().max() < 0.02


def test_a_gpu_without_its_library_is_refused_with_what_to_install(
    project: Path, bucket: Bucket, edit_params: Edit
) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    edit_params("device: cpu", "device: cuda")

    assert re.match(
        r"masks\.device: cuda needs the package onnxruntime-gpu: .*`pip install -r requirements-gpu\.txt`",
        failure(ImagesetError),
    )


# What is known before


def test_what_is_known_is_neither_asked_for_nor_predicted_and_new_photos_are(
    project: Path,
    bucket: Bucket,
    asked: Callable[[], list[str]],
    edit_params: Edit,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params("max_rejected_share: 0.2\n\nduplicates:", "max_rejected_share: 0.5\n\nduplicates:")
    photos = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)} | {"9.jpeg": HTML}
    fill(bucket, project, photos)
    run()
    first, before = capsys.readouterr(), md5s()

    assert first.out.splitlines() == [
        "masks: loading u2netp",
        "masks: 4 photos, 3 masks, 0 known before, 1 rejected (1 not_an_image); the bucket was asked for 4",
    ]
    assert first.err.rstrip().splitlines()[-1].startswith("masks: 4 of 4, ")

    Path("models/background.onnx").touch()
    run()
    second = capsys.readouterr()

    assert md5s() == before
    assert second.out.splitlines() == [
        "masks: 4 photos, 3 masks, 4 known before, 1 rejected (1 not_an_image); the bucket was asked for 0"
    ]
    assert second.err.rstrip().splitlines()[-1].startswith("masks: 4 of 4, ")

    fill(bucket, project, {"5.jpeg": photo_bytes(5)})
    run()
    third = capsys.readouterr()

    assert third.out.splitlines()[-1] == (
        "masks: 5 photos, 4 masks, 4 known before, 1 rejected (1 not_an_image); the bucket was asked for 1"
    )
    assert third.err.splitlines()[0].startswith("masks: 4 of 5, ")
    assert third.err.rstrip().splitlines()[-1].startswith("masks: 5 of 5, ")
    assert asked() == [*photos, "5.jpeg"]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how often the workers were asked to load the network."""
    log = tmp_path / "loaded.txt"
    log.touch()
    monkeypatch.setattr(mask_worker, "load_network", Loaded(log))
    return lambda: len(log.read_text().splitlines())


def test_no_more_workers_load_the_network_than_get_photos(
    project: Path, bucket: Bucket, loaded: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    garment = describe_mask(by_hand((0, 0, 64, 64), side=64), 1)
    monkeypatch.setattr(mask_worker, "mask_batch", SameAnswer(Answer(garment, True)))
    monkeypatch.setenv("IMAGESET_WORKERS", "3")
    monkeypatch.setattr(masks, "PHOTOS_AT_ONCE", 2)
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)})
    run()

    assert loaded() == 2

    fill(bucket, project, {"4.jpeg": photo_bytes(4)})
    run()

    assert loaded() == 2 + 1

    run()

    assert loaded() == 2 + 1


@pytest.mark.usefixtures("any_share")
def test_a_photo_that_is_too_large_is_not_asked_for_again(
    project: Path,
    bucket: Bucket,
    edit_params: Edit,
    asked: Callable[[], list[str]],
    loaded: Callable[[], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_max_pixels(20_000)
    fill(bucket, project, {"1.jpeg": photo_bytes(1), "2.jpeg": saved(draw.draw("bag", 3), "PNG")})
    first = run()
    capsys.readouterr()
    second = run()

    assert first["reason"].tolist() == second["reason"].tolist() == ["", "too_many_pixels"]
    assert (asked(), loaded()) == (["1.jpeg", "2.jpeg"], 1)
    assert capsys.readouterr().out == (
        "masks: 2 photos, 1 masks, 2 known before, 1 rejected (1 too_many_pixels); the bucket was asked for 0\n"
    )


def test_the_bucket_is_asked_once_for_what_both_stages_read(
    project: Path,
    bucket: Bucket,
    edit_params: Edit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)})
    written = []
    for megabytes, more in (("2000", 0), ("0", 3)):
        monkeypatch.setenv("IMAGESET_OBJECTS_MB", megabytes)
        monkeypatch.setenv("IMAGESET_CACHE", f"cache of {megabytes} MB")
        run()
        preprocess.main(INVENTORY, MASKS, *PROCESSED)
        written.append([*md5s(), *(hashlib.md5(path.read_bytes()).hexdigest() for path in PROCESSED)])
        asked = [int(number) for number in re.findall(r"the bucket was asked for (\d+)", capsys.readouterr().out)]

        assert asked == [3, more]
    assert written[0] == written[1]

    # A mask of another side needs the photos again. The bucket does not have them any more.
    for number in range(1, 4):
        bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}{number}.jpeg")
    edit_params("  side: 64", "  side: 96")
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", "2000")
    monkeypatch.setenv("IMAGESET_CACHE", "cache of 2000 MB")
    run()

    assert "3 masks, 0 known before, 0 rejected (none); the bucket was asked for 0" in capsys.readouterr().out


def test_params_of_preprocess_ask_for_no_mask_again(
    project: Path, bucket: Bucket, asked: Callable[[], list[str]], edit_params: Edit
) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 3)})
    run()
    before = md5s()
    edit_params("fill: [255, 255, 255]", "fill: [0, 0, 0]")
    edit_params("fit: pad", "fit: crop")
    edit_params("max_foreground: 0.99", "max_foreground: 0.5")
    run()

    assert md5s() == before
    assert len(asked()) == 2

    edit_params("  side: 64", "  side: 96")
    run()

    assert md5s() != before
    assert len(asked()) == 4


@pytest.mark.usefixtures("any_share")
def test_another_max_pixels_is_the_same_file_with_a_warm_and_a_cold_cache(
    project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = saved(draw.draw("bag", 3), "PNG")
    fill(
        bucket,
        project,
        {
            "1.jpeg": photo_bytes(1),
            "2.jpeg": large,
            "3.jpeg": large[:-4000],  # broken, and too large for the smaller max_pixels
            "4.jpeg": photo_bytes()[:1500],
            "5.jpeg": HTML,
        },
    )
    written = {}
    # Each cache is cold for its first limit and warm for its second.
    for cache, limits in {"a": (50_000_000, 20_000), "b": (20_000, 50_000_000)}.items():
        for limit in limits:
            set_max_pixels(limit)
            monkeypatch.setenv("IMAGESET_CACHE", f"cache {cache}")
            table = run()
            written[cache, limit] = (md5s(), table["reason"].tolist())

    assert written["a", 20_000] == written["b", 20_000]
    assert written["a", 50_000_000] == written["b", 50_000_000]
    assert written["a", 20_000][1] == ["", "too_many_pixels", "too_many_pixels", "truncated", "not_an_image"]
    assert written["a", 50_000_000][1] == ["", "", "truncated", "truncated", "not_an_image"]


@pytest.mark.usefixtures("any_share")
def test_another_list_of_formats_is_the_same_file_but_for_heic(
    project: Path, bucket: Bucket, edit_params: Edit, asked: Callable[[], list[str]]
) -> None:
    bodies = photo_bytes(), BY_NAME["png"], BY_NAME["avif"], BY_NAME["heic"], REFUSED["tiff"]
    fill(bucket, project, {f"{number}.jpeg": body for number, body in enumerate(bodies, 1)})
    reasons, before = run()["reason"].tolist(), md5s()

    assert reasons == ["", "", "", "format_heic", "format_tiff"]

    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg]")
    run()

    assert md5s() == before
    assert len(asked()) == 5

    edit_params("  formats: [jpeg]", "  formats: [jpeg, heic]")

    assert run()["reason"].tolist() == ["", "", "", "", "format_tiff"]
    assert len(asked()) == 10


# An earlier masks.h5 of this or another machine


@pytest.fixture
def in_dvc(project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the project one of DVC, and return what puts the outputs into its cache as DVC does, and removes them."""
    dvc.run("init", "--no-scm", "--quiet")

    def keep() -> None:
        md5, _ = md5s()
        kept = Path(".dvc/cache/files/md5", md5[:2], md5[2:])
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MASKS, kept)
        Path("dvc.lock").write_text(f"stages:\n  masks:\n    outs:\n    - path: {MASKS}\n      md5: {md5}\n")
        for path in OUTPUTS:
            path.unlink()

    return keep


@pytest.mark.usefixtures("any_share")
def test_a_machine_with_an_earlier_file_makes_only_what_is_new_and_the_same_bytes(
    project: Path,
    bucket: Bucket,
    in_dvc: Callable[[], None],
    asked: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 5)} | {"9.jpeg": HTML}
    fill(bucket, project, photos)
    run()
    before = md5s()
    in_dvc()
    monkeypatch.setenv("IMAGESET_CACHE", "another machine")
    run()
    said = capsys.readouterr().out.splitlines()[-2:]

    assert md5s() == before
    assert asked() == list(photos)
    assert said == [
        "masks: 5 are taken from the data/masks.h5 that dvc.lock names",
        "masks: 5 photos, 4 masks, 5 known before, 1 rejected (1 not_an_image); the bucket was asked for 0",
    ]

    in_dvc()
    fill(bucket, project, {"6.jpeg": photo_bytes(6), "3.jpeg": photo_bytes(7)})
    monkeypatch.setenv("IMAGESET_CACHE", "a third machine")
    run()

    assert asked()[5:] == ["3.jpeg", "6.jpeg"]
    assert "masks: 4 are taken from" in capsys.readouterr().out

    warm = md5s()
    monkeypatch.setenv("IMAGESET_CACHE", "a fourth machine")
    shutil.rmtree(".dvc")
    run()

    assert md5s() == warm
    assert len(asked()) == 5 + 2 + 6


@pytest.mark.usefixtures("any_share")
def test_masks_are_imported_whatever_max_pixels_is_and_rejected_by_it(
    project: Path,
    bucket: Bucket,
    in_dvc: Callable[[], None],
    asked: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes(1), "2.jpeg": saved(draw.draw("bag", 3), "PNG"), "3.jpeg": HTML})
    run()
    before = md5s()
    in_dvc()
    monkeypatch.setenv("IMAGESET_CACHE", "another machine")
    set_max_pixels(20_000)
    capsys.readouterr()
    table = run()

    assert table["reason"].tolist() == ["", "too_many_pixels", "not_an_image"]
    assert capsys.readouterr().out.splitlines() == [
        "masks: 3 are taken from the data/masks.h5 that dvc.lock names",
        "masks: 3 photos, 1 masks, 3 known before, 2 rejected (1 too_many_pixels, 1 not_an_image); the bucket was "
        "asked for 0",
    ]

    # The mask itself is in the cache. What is broken might be too large for another max_pixels.
    shutil.rmtree(".dvc")
    set_max_pixels(50_000_000)
    run()

    assert md5s() == before
    assert asked() == ["1.jpeg", "2.jpeg", "3.jpeg", "3.jpeg"]


def test_an_earlier_file_of_another_recipe_or_that_is_damaged_is_not_used_and_it_says_why(
    project: Path,
    bucket: Bucket,
    in_dvc: Callable[[], None],
    asked: Callable[[], list[str]],
    edit_params: Edit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 3)})
    run()
    before = md5s()
    in_dvc()
    edit_params("  side: 64", "  side: 96")
    capsys.readouterr()
    run()
    said = "masks: the data/masks.h5 that dvc.lock names "

    assert len(asked()) == 4
    assert capsys.readouterr().out.splitlines()[0] == f"{said}has masks of another recipe (side 64, not 96)"

    edit_params("  side: 96", "  side: 64")
    (kept,) = Path(".dvc/cache/files/md5").glob("*/*")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    monkeypatch.setenv("IMAGESET_CACHE", "another machine")
    run()

    assert md5s() == before
    assert len(asked()) == 6
    assert capsys.readouterr().out.splitlines()[0] == f"{said}is damaged in DVC's cache"


# As DVC runs it


def test_the_stage_runs_from_the_command_line(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 3)})
    done = run_stage("masks", INVENTORY, "models/background.onnx", INT8, *OUTPUTS, cwd=project)

    assert done.returncode == 0, done.stderr
    assert "masks: 2 photos, 2 masks, 0 known before, 0 rejected (none); the bucket was asked for 2" in done.stdout
    assert [row.product_id for row in scan_masks(MASKS)] == [1, 2]
