"""The stage, on a real bucket with the real network: every object has its own embedding or a reason for having none."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imageset.errors import DataError, ImagesetError, ServerError
from imageset.formats import hdf5, tables
from imageset.photos import embedding_worker, embeddings
from imageset.photos.decode import PhotoLimits
from imageset.photos.embedding_recipe import describe_recipe, identify_embeddings
from imageset.photos.embeddings import EmbeddingRecipe, embed_photos
from imageset.photos.outcomes import PhotoEmbedding
from imageset.photos.photo_file import read_recipe
from imageset.runtime import dvc
from imageset.storage.bucket import Bucket
from sandbox import draw
from stages import embed
from tests.conftest import photo_bytes, put, run_stage
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import HTML
from tests.stages.asked import BROKEN, GOOD, log_requests
from tests.stages.in_workers import WithLittle
from tests.stages.test_preprocess import Edit, fill

INVENTORY, WEIGHTS, EMBEDDINGS = (
    Path("data/inventory.csv"),
    Path("models/efficientnet-lite0.pth"),
    Path("data/embeddings.h5"),
)


@pytest.fixture
def project(in_project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, embedding_weights: Path) -> Path:
    """A project with a bucket and the weights, one worker."""
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    (in_project / "models").mkdir()
    shutil.copy(embedding_weights, in_project / WEIGHTS)
    return in_project


@pytest.fixture
def any_share(edit_params: Edit) -> None:
    """However many photos are rejected, the stage goes on."""
    edit_params("max_rejected_share: 0.2\n\nduplicates:", "max_rejected_share: 1.0\n\nduplicates:")


class Written(NamedTuple):
    """What embeddings.h5 holds."""

    photos: list[tuple[int, int]]
    reasons: list[str]
    embeddings: NDArray[np.float32]
    recipe: str


def run() -> Written:
    embed.main(INVENTORY, WEIGHTS, EMBEDDINGS)
    with hdf5.open_file(EMBEDDINGS, hdf5.EMBEDDINGS) as file:
        photos = list(zip(file["ids"][:].tolist(), file["positions"][:].tolist(), strict=True))
        reasons = [reason.decode() for reason in file["reasons"][:].tolist()]
        return Written(photos, reasons, file["embeddings"][:], read_recipe(file))


def failure(error: type[ImagesetError] = DataError) -> str:
    """Return what the stage says as it fails, leaving nothing behind."""
    with pytest.raises(error) as caught:
        run()

    assert [path.name for path in Path("data").iterdir()] == ["inventory.csv"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def md5() -> str:
    return hashlib.md5(EMBEDDINGS.read_bytes()).hexdigest()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return for which photos the workers ask the bucket."""
    return log_requests(monkeypatch, tmp_path, embedding_worker, "embed_batch")


@pytest.mark.usefixtures("any_share")
def test_every_object_has_its_own_embedding_or_a_reason_whatever_the_number_of_workers(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "PHOTOS_AT_ONCE", 2)
    fill(bucket, project, GOOD | BROKEN)
    sums = []
    for workers in ("1", "2"):
        monkeypatch.setenv("IMAGESET_WORKERS", workers)
        monkeypatch.setenv("IMAGESET_CACHE", f"cache of {workers}")
        written = run()
        sums.append(md5())
    alone = embed_photos(list(GOOD.values()), EmbeddingRecipe(WEIGHTS, PhotoLimits(10**7)))

    assert sums[0] == sums[1]
    assert list(zip(written.photos, written.reasons, strict=True)) == [
        ((1, 0), "not_an_image"),
        ((2, 0), ""),
        ((3, 0), "too_many_pixels"),
        ((10, 0), ""),
        ((10, 1), "truncated"),
        ((10, 3), ""),
        ((11, 0), "empty"),
        ((12, 0), ""),
        ((13, 0), "undecodable"),
    ]
    made = [row.astype("<f4").tobytes() for row, reason in zip(*written[2:0:-1], strict=True) if not reason]
    assert made == [each.values for each in alone if isinstance(each, PhotoEmbedding)]
    assert not written.embeddings[[bool(reason) for reason in written.reasons]].any()
    assert written.recipe == describe_recipe()


@pytest.mark.usefixtures("any_share")
def test_photos_that_end_their_workers_have_a_reason_and_are_not_remembered(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = {
        "decoder_crash": photo_bytes() + b"crash",
        "decoder_timeout": photo_bytes() + b"hang",
        "decoder_memory": saved(Image.new("1", (7000, 7000)), "PNG"),
        "": photo_bytes(),
    }
    fill(bucket, project, {f"{number}.jpeg": body for number, body in enumerate(bodies.values(), 1)})
    with monkeypatch.context() as little:
        little.setattr(embedding_worker, "embed_batch", WithLittle(embedding_worker.__name__, "embed_batch"))
        written = run()

    assert written.reasons == list(bodies)
    assert not written.embeddings[:3].any()
    assert (
        "decoder_* may be temporary: `dvc repro --force --single-item embed` tries these photos again"
        in capsys.readouterr().out
    )

    assert run().reasons == ["", "", "", ""]
    assert "4 embeddings, 1 known before, 0 rejected" in capsys.readouterr().out


# What fails the stage


def test_more_rejected_photos_than_params_allow_fail_the_stage_by_their_reasons(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)} | {"9.jpeg": HTML})

    assert re.fullmatch(
        r"1 of 4 photos are rejected \(1 not_an_image\): more than preprocess\.max_rejected_share = 0\.2; set it to 1 "
        r"to go on and see them in data/embeddings\.h5",
        failure(),
    )


def test_an_empty_inventory_is_an_error(project: Path) -> None:
    tables.write(INVENTORY, tables.INVENTORY, tables.frame(tables.INVENTORY, []))

    assert failure().startswith("none of 0 photos is left")


def test_objects_that_changed_since_the_inventory_fail_the_stage_by_their_keys(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in (1, 2, 3)})
    put(bucket, "1.jpeg", photo_bytes(7))
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}3.jpeg")

    assert re.search(r"2 objects changed .*1\.jpeg, 3\.jpeg: run `make refresh`", failure())


def test_a_bucket_that_refuses_fails_the_stage(project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-and-wrong")

    assert "answered SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY" in failure(ServerError)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", None])
def test_weights_that_are_not_the_ones_named_are_refused(content: bytes | None, project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    WEIGHTS.unlink()
    if content is not None:
        WEIGHTS.write_bytes(content)

    assert failure() == (
        "models/efficientnet-lite0.pth does not have the sha256 of efficientnet-lite0: remove it and run `dvc repro`"
    )


# Where it is off


def test_where_it_is_off_the_output_is_empty_at_once(
    in_project: Path, edit_params: Edit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a bucket, nor an inventory, nor weights are there to be asked."""
    edit_params("  enabled: true\n\npreprocess:", "  enabled: false\n\npreprocess:")
    monkeypatch.delenv("IMAGE_STORE", raising=False)
    written = run()

    assert (written.photos, written.embeddings.shape, written.recipe) == ([], (0, 1280), "")
    assert capsys.readouterr().out == "embed: none, as embed.enabled is false\n"
    assert not list(in_project.rglob("*.sqlite"))


# What is known before


@pytest.mark.usefixtures("any_share")
def test_what_is_known_is_neither_asked_for_nor_computed_and_new_photos_are(
    project: Path, bucket: Bucket, asked: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)} | {"9.jpeg": HTML}
    fill(bucket, project, photos)
    run()
    first, before = capsys.readouterr(), md5()

    assert first.out.splitlines() == [
        "embed: loading efficientnet-lite0",
        "embed: 4 photos, 3 embeddings, 0 known before, 1 rejected (1 not_an_image); the bucket was asked for 4",
    ]
    assert first.err.rstrip().splitlines()[-1].startswith("embed: 4 of 4, ")

    WEIGHTS.unlink()  # not needed any more
    run()
    second = capsys.readouterr()

    assert md5() == before
    assert second.out.splitlines() == [
        "embed: 4 photos, 3 embeddings, 4 known before, 1 rejected (1 not_an_image); the bucket was asked for 0"
    ]


def test_a_new_photo_costs_its_own_work_alone(
    project: Path,
    bucket: Bucket,
    asked: Callable[[], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(bucket, project, {f"{number}.jpeg": photo_bytes(number) for number in range(1, 4)})
    run()
    fill(bucket, project, {"5.jpeg": photo_bytes(5), "6.jpeg": photo_bytes(1)})
    capsys.readouterr()
    run()

    assert asked() == ["1.jpeg", "2.jpeg", "3.jpeg", "5.jpeg"]
    assert capsys.readouterr().out.splitlines()[-1] == (
        "embed: 5 photos, 5 embeddings, 4 known before, 0 rejected (none); the bucket was asked for 1"
    )


def test_embeddings_of_other_code_are_not_used(
    project: Path,
    bucket: Bucket,
    asked: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes()})
    before = run()
    changed = project / "embeddings.py"
    changed.write_text(Path(embeddings.__file__).read_text() + "\nCHANGED = 1\n")
    with monkeypatch.context() as other:
        other.setattr(embeddings, "__file__", str(changed))
        identify_embeddings.cache_clear()
        of_other_code = run()
    identify_embeddings.cache_clear()

    assert of_other_code.recipe != before.recipe
    assert (of_other_code.embeddings == before.embeddings).all()
    assert len(asked()) == 2


# An earlier embeddings.h5 of this or another machine


@pytest.mark.usefixtures("any_share")
def test_a_machine_with_an_earlier_file_computes_only_what_is_new_and_the_same_bytes(
    project: Path,
    bucket: Bucket,
    asked: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = {f"{number}.jpeg": photo_bytes(number) for number in range(1, 5)} | {"9.jpeg": HTML}
    fill(bucket, project, photos)
    run()
    before = md5()
    dvc.run("init", "--no-scm", "--quiet")
    kept = Path(".dvc/cache/files/md5", before[:2], before[2:])
    kept.parent.mkdir(parents=True)
    EMBEDDINGS.rename(kept)
    Path("dvc.lock").write_text(f"stages:\n  embed:\n    outs:\n    - path: {EMBEDDINGS}\n      md5: {before}\n")
    monkeypatch.setenv("IMAGESET_CACHE", "another machine")
    weights = WEIGHTS.rename("elsewhere")
    capsys.readouterr()
    run()

    assert md5() == before
    assert asked() == list(photos)
    assert capsys.readouterr().out.splitlines() == [
        "embed: 5 are taken from the data/embeddings.h5 that dvc.lock names",
        "embed: 5 photos, 4 embeddings, 5 known before, 1 rejected (1 not_an_image); the bucket was asked for 0",
    ]

    weights.rename(WEIGHTS)
    fill(bucket, project, {"6.jpeg": photo_bytes(6), "3.jpeg": photo_bytes(7)})
    monkeypatch.setenv("IMAGESET_CACHE", "a third machine")
    run()

    assert asked()[5:] == ["3.jpeg", "6.jpeg"]
    assert "embed: 4 are taken from" in capsys.readouterr().out


# As DVC runs it


def test_the_stage_runs_from_the_command_line(project: Path, bucket: Bucket) -> None:
    fill(bucket, project, {"1.jpeg": photo_bytes(1), "2.jpeg": jpeg_of_a_large_photo()})
    done = run_stage("embed", INVENTORY, WEIGHTS, EMBEDDINGS, cwd=project)

    assert done.returncode == 0, done.stderr
    assert "embed: 2 photos, 2 embeddings, 0 known before, 0 rejected (none); the bucket was asked for 2" in done.stdout
    with hdf5.open_file(EMBEDDINGS, hdf5.EMBEDDINGS) as file:
        assert file["ids"][:].tolist() == [1, 2]
        assert file["embeddings"][:].any(axis=1).all()


def jpeg_of_a_large_photo() -> bytes:
    return saved(draw.draw("bag", 3).resize((1500, 2000)), "JPEG")
