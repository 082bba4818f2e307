"""The stage, on a real bucket: copies of drawn photos, the real search, and a search that is broken on purpose."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imageset.errors import DataError
from imageset.leakage import recall
from imageset.leakage.copies import KINDS
from imageset.leakage.planting import PlantedPhoto
from imageset.leakage.recall import Recall
from imageset.runtime.sections import DuplicatesParams
from imageset.storage.bucket import Bucket
from stages import duplicates, leakage, preprocess
from tests.conftest import jpeg, plain_image, put
from tests.leakage.test_recall import GARMENTS, encode
from tests.photos.test_preprocess import RED
from tests.stages.test_preprocess import OUTPUTS, Edit, fill

INPUTS = (Path("data/groups.csv"), Path("data/inventory.csv"), Path("data/processed.csv"))
LEAKAGE = Path("reports/leakage.json")
GROUPED = (Path("data/groups.csv"), Path("data/near_duplicates.csv"))
PHOTOS = {f"{number}.jpeg": encode(garment, number) for number, garment in enumerate(GARMENTS[:3], 1)}


@pytest.fixture
def project(in_project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that keeps backgrounds, with three drawn photos in groups of their own, one worker."""
    edit_params("background: remove", "background: keep")
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    (in_project / "reports").mkdir()
    fill(bucket, in_project, PHOTOS)
    group()
    return in_project


def group() -> None:
    """Run the stages between the inventory and this one."""
    data = Path("data")
    paths = [data / name for name in ("inventory.csv", "masks.h5", *OUTPUTS)]
    preprocess.main(*paths)
    (data / "listing_groups.csv").write_text("product_id,value\n")
    inputs = [data / name for name in ("processed.csv", "thumbnails.h5", "previews.h5", "listing_groups.csv")]
    duplicates.main(*[*inputs, Path("releases/split.csv"), *GROUPED])


def run() -> dict[str, Any]:
    leakage.main(*INPUTS, LEAKAGE)
    found: dict[str, Any] = json.loads(LEAKAGE.read_text())
    return found


def by_kind(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["kind"]: row for row in found["kinds"]}


def test_copies_of_every_photo_are_planted_and_found_whatever_the_number_of_workers(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = run()
    written, (out, err) = LEAKAGE.read_bytes(), capsys.readouterr()
    monkeypatch.setenv("IMAGESET_WORKERS", "2")
    monkeypatch.setattr(leakage, "PAIRS_AT_ONCE", 1)
    monkeypatch.setenv("IMAGESET_CACHE", "another cache")
    run()

    assert LEAKAGE.read_bytes() == written
    assert found["photos"] == 3
    kinds = by_kind(found)
    assert list(found["recall"]) == list(kinds) == list(KINDS)
    planted = {kind: counts["planted"] for kind, counts in kinds.items()}
    assert planted == dict.fromkeys(KINDS, 3) | {"collage": 2}  # the third has no other photo
    for kind in ("resized", "encoded_again", "mirrored", "turned_90", "turned_180"):
        assert found["recall"][kind] == 1.0
        assert kinds[kind] == {
            "kind": kind,
            "planted": 3,
            "found": 3,
            "recall": 1.0,
            "recall_low": 0.4385,
            "recall_high": 1.0,
            "joined_to_others": 0,
        }
    assert re.search(r"^leakage: copies of 3 photos in 13 kinds; found least: \w+, \d of \d; ", out)
    assert "leakage: copies: 3 of 3" in err
    assert "leakage: searches: 13 of 13" in err
    assert "near-duplicates" not in err


def test_a_search_that_is_broken_has_a_lower_recall(project: Path, edit_params: Edit) -> None:
    whole = by_kind(run())
    edit_params("  distance: 6", "  distance: 0")
    edit_params("  likeness: 0.86", "  likeness: 1.0")
    broken = by_kind(run())

    assert sum(counts["found"] for counts in broken.values()) < 0.5 * sum(counts["found"] for counts in whole.values())
    assert broken["cropped"]["recall"] < whole["cropped"]["recall"]


def count_found_of_others(photos: list[PlantedPhoto], kind: str, given: DuplicatesParams) -> Recall:
    """Count as the stage does, but each photo has the copies of the next one."""
    copies = [photo.copies for photo in photos]
    moved = [photo._replace(copies=other) for photo, other in zip(photos, copies[1:] + copies[:1], strict=True)]
    return recall.count_found(moved, kind, given)


def test_a_copy_of_another_photo_is_no_copy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "count_found", count_found_of_others)
    found = by_kind(run())["resized"]

    assert found["found"] == 0
    assert found["joined_to_others"] == 3


def test_no_more_photos_are_copied_than_the_params_say(project: Path, edit_params: Edit) -> None:
    edit_params("  planted: 200", "  planted: 2")
    found = run()

    assert found["photos"] == 2
    assert {counts["planted"] for counts in found["kinds"]} == {2}


def test_none_is_planted(project: Path, edit_params: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    edit_params("  planted: 200", "  planted: 0")
    found = run()

    assert found["photos"] == 0
    assert found["recall"] == dict.fromkeys(KINDS)
    assert list(by_kind(found)) == list(KINDS)
    assert capsys.readouterr().out.splitlines()[-1].startswith("leakage: copies of 0 photos in 13 kinds; none planted")


def test_photos_of_one_group_are_copied_once(project: Path, bucket: Bucket) -> None:
    again = Image.open(io.BytesIO(PHOTOS["1.jpeg"])).convert("RGB")
    fill(bucket, project, {"4.jpeg": jpeg(again)})
    group()

    assert run()["photos"] == 3


def test_an_object_that_changed_since_the_inventory_fails_the_stage(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "3.jpeg", jpeg(plain_image(RED)))
    monkeypatch.setenv("IMAGESET_CACHE", "a cache that lacks it")

    with pytest.raises(DataError, match=r"1 objects changed since the inventory, such as 3\.jpeg"):
        run()
    assert not LEAKAGE.exists()
