"""Recall: what counts as found, by the real search; its interval; and a search that is broken on purpose."""

import functools
import io
import json
from pathlib import Path

import numpy as np
import pytest

from imageset.curation.ties import Ties
from imageset.leakage.copies import KINDS
from imageset.leakage.planting import PlantedPhoto, plant_pair
from imageset.leakage.recall import Recall, count_connected, count_found, describe, describe_recall
from imageset.photos.decode import PhotoLimits
from imageset.photos.outcomes import ChangedObject, Rejected
from imageset.report.least_recall import find_least
from imageset.runtime import params
from imageset.runtime.sections import DuplicatesParams
from sandbox import draw
from tests.forked import run_python
from tests.project import ROOT

SHIPPED = params.load(ROOT / "params.yaml").duplicates
BROKEN = SHIPPED.model_copy(update={"distance": 0, "likeness": 1.0})
LIMITS = PhotoLimits(10**7)
GARMENTS = ("dress", "pants", "t-shirt", "hat", "bag", "skirt")


def encode(garment: str, seed: int) -> bytes:
    file = io.BytesIO()
    draw.draw(garment, seed).resize((300, 400)).save(file, "JPEG", quality=95)
    return file.getvalue()


@functools.cache
def planted() -> list[PlantedPhoto]:
    """Drawn photos with their copies."""
    bodies = [encode(garment, seed) for seed, garment in enumerate(GARMENTS)]
    made = [photo for start in (0, 2, 4) for photo in plant_pair(bodies[start : start + 2], LIMITS)]
    return [photo for photo in made if isinstance(photo, PlantedPhoto)]


def search(kind: str, duplicates: DuplicatesParams = SHIPPED) -> Recall:
    return count_found(planted(), kind, duplicates)


@pytest.mark.parametrize("kind", ["resized", "encoded_again", "mirrored", "turned_180"])
def test_copies_that_keep_all_details_are_found(kind: str) -> None:
    assert search(kind) == Recall(6, 6, 0)


@pytest.mark.parametrize("kind", ["cropped", "sticker", "padded", "turned_90", "collage"])
def test_a_search_that_is_broken_finds_less(kind: str) -> None:
    whole, broken = search(kind), search(kind, BROKEN)

    assert whole.planted == broken.planted == 6
    assert whole.found > broken.found


def test_a_copy_that_is_found_through_another_photo_alone_is_not_found() -> None:
    """Of a collage both photos are there, but never in one search."""
    one, other = planted()[:2]
    # The copy of each shows the other photo alone.
    swapped = [
        one._replace(copies={"collage": other.copies["resized"]}),
        other._replace(copies={"collage": one.copies["resized"]}),
    ]

    assert count_found(swapped, "collage", SHIPPED) == Recall(2, 0, 0)


def test_a_copy_that_is_joined_to_another_original_is_counted() -> None:
    one, other = planted()[:2]
    wrong = [one, other._replace(copies={"resized": one.copies["resized"]})]

    assert count_found(wrong, "resized", SHIPPED).joined_to_others > 0
    assert count_found(wrong, "resized", SHIPPED).found == 1


def test_ties_of_any_form_count_once() -> None:
    # Three originals, 0 to 2, and their copies, 3 to 5: 3 is tied to 0 through 1, 4 to nothing, 5 to 2.
    ties = Ties(np.array([3, 1, 1, 5, 2, 0, 4]), np.array([1, 0, 3, 2, 5, 0, 4]))

    assert count_connected(ties, 3) == Recall(planted=3, found=2, joined_to_others=2)


def test_the_interval_is_that_of_the_textbook() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    intervals = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }

    for (found, of), (low, high) in intervals.items():
        said = describe_recall(Recall(of, found, 0))
        assert (said["recall_low"], said["recall_high"]) == (low, high)


def test_nothing_planted_has_no_recall() -> None:
    recalls = {kind: count_found([], kind, SHIPPED) for kind in KINDS}

    assert set(recalls.values()) == {Recall(0, 0, 0)}
    assert set(describe(recalls, 0)["recall"].values()) == {None}
    assert find_least(describe(recalls, 0)) is None


def test_dvc_shows_the_recall_of_each_kind_and_leaves_out_the_rows(tmp_path: Path) -> None:
    found = describe({"text": Recall(200, 190, 1), "gray": Recall(200, 200, 2), "collage": Recall(0, 0, 0)}, 200)
    (tmp_path / "leakage.json").write_text(json.dumps(found))
    run_python("dvc", "init", "--quiet", "--no-scm", cwd=tmp_path).check_returncode()
    shown = run_python("dvc", "metrics", "show", "--json", "leakage.json", cwd=tmp_path).stdout

    [content] = json.loads(shown)[""]["data"].values()
    assert content["data"] == {"photos": 200, "joined_to_others": 3, "recall": {"text": 0.95, "gray": 1.0}}
    assert [(row["kind"], row["planted"], row["found"], row["joined_to_others"]) for row in found["kinds"]] == [
        ("text", 200, 190, 1),
        ("gray", 200, 200, 2),
        ("collage", 0, 0, 0),
    ]


def test_a_photo_without_another_has_all_copies_but_a_collage() -> None:
    [alone] = plant_pair([encode("dress", 1)], LIMITS)

    assert isinstance(alone, PlantedPhoto)
    assert [*alone.copies, "collage"] == list(KINDS)


def test_a_photo_that_cannot_be_decoded_has_its_reason_and_the_other_one_no_collage() -> None:
    changed = ChangedObject("1.jpeg")
    for body, outcome in ((b"no photo", Rejected("not_an_image")), (changed, changed)):
        first, second = plant_pair([body, encode("dress", 1)], LIMITS)

        assert first == outcome
        assert isinstance(second, PlantedPhoto)
        assert "collage" not in second.copies


def test_a_copy_depends_on_its_photo_and_that_of_the_collage_alone() -> None:
    [again, _] = plant_pair([encode(GARMENTS[0], 0), encode("scarf", 9)], LIMITS)
    first = planted()[0]

    assert isinstance(again, PlantedPhoto)
    differing = [kind for kind in KINDS if again.copies[kind].sha256 != first.copies[kind].sha256]
    assert differing == ["collage"]
