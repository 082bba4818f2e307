"""What benchmarks/page plants in a project, and how it scores what a person found of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.page import plant, score
from benchmarks.page.photos import FLIPPED, OFF_TOPIC, PAIRS, Planned, make_folder
from benchmarks.page.truth import Truth, read_truth
from imageset.formats import tables
from imageset.photos.mask_file import scan_masks, writing_masks
from imageset.photos.masks import describe_mask
from imageset.storage.bucket import StoredObject
from tests.audit.drawn_masks import SIDE, shirt
from tests.conftest import photo_bytes

EACH = 30  # photos of each class
CLASSES = ("dress", "hat")
TRUTH = Truth(
    seed=1,
    flips={1: 20, 2: 20, 3: 20, 4: 20},
    masks=[5],
    off_topic=[6, 7],
    pairs=[(8, 9), (10, 11)],
    given=dict.fromkeys(range(1, 20), 10),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 photos in two classes."""
    folder = tmp_path_factory.mktemp("source")
    for garment in CLASSES:
        (folder / garment).mkdir()
        for number in range(EACH):
            (folder / garment / f"{garment}-{number}.jpg").write_bytes(photo_bytes(number, garment))
    return folder


def make(source: Path, folder: Path, seed: int = 1) -> Planned:
    return make_folder(
        source, folder, lambda path: path.stem != "hat-0", lambda body: len(body) % 2 == 0, np.random.default_rng(seed)
    )


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*")}


def test_a_folder_of_photos_gets_errors_and_keeps_the_others_as_they_were(source: Path, tmp_path: Path) -> None:
    planned = make(source, tmp_path)
    before, after = content(source), content(tmp_path)
    moved = {str(path.relative_to(tmp_path)) for path in planned.flips}
    added = {str(path.relative_to(tmp_path)) for path in [*planned.off_topic, *(copy for _, copy in planned.pairs)]}

    assert len(moved) == round(FLIPPED * 2 * EACH)
    assert len(added) == OFF_TOPIC + PAIRS
    assert after.keys() - before.keys() == moved | added
    assert sorted(body for name, body in after.items() if name not in added) == sorted(before.values())


def test_what_is_planted_is_of_different_photos_that_may_change(source: Path, tmp_path: Path) -> None:
    planned = make(source, tmp_path)
    touched = [*planned.flips, *planned.masks, *(photo for photo, _ in planned.pairs)]

    assert len(set(touched)) == len(touched)
    assert "hat-0" not in {path.stem for path in touched}
    assert all(right != path.parent.name for path, right in planned.flips.items())
    assert all(path.stem.startswith(right) for path, right in planned.flips.items())
    assert all(path.is_file() for path in [*touched, *planned.off_topic])
    assert all(len(path.read_bytes()) % 2 == 0 for path in planned.off_topic)


def test_the_seed_decides_all(source: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        make(source, tmp_path / name, seed)

    assert content(tmp_path / "one") == content(tmp_path / "again")
    assert content(tmp_path / "one") != content(tmp_path / "other")


def test_a_folder_with_too_few_photos_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 photos may change, 16 are needed"):
        make_folder(source, tmp_path, lambda path: False, lambda body: True, np.random.default_rng(1))


def test_masks_are_damaged_in_both_files_and_only_those_asked_for(in_project: Path) -> None:
    masks_h5, masks_csv = in_project / "masks.h5", in_project / "masks.csv"
    random = np.random.default_rng(1)
    whole = [describe_mask(Image.fromarray(shirt(random)), 1000) for _ in range(8)]
    with writing_masks(masks_h5, len(whole), SIDE, "a recipe") as add:
        for product, mask in enumerate(whole):
            add(product, 0, StoredObject(f"{product}", f"{product}", 1, ""), mask)
    shares = [f"{mask.foreground_share:.4f}" for mask in whole]
    rows = [(product, 0, share, "0.0000", 1, "0.0100", "", "") for product, share in enumerate(shares)]
    tables.write(masks_csv, tables.MASKS, tables.frame(tables.MASKS, rows))
    plant.damage_masks(masks_h5, masks_csv, [1, 3, 4, 6, 7], random)
    stored = [row.mask for row in scan_masks(masks_h5)]
    written = tables.read(masks_csv, tables.MASKS)["foreground_share"].tolist()
    damaged = [product for product, mask in enumerate(whole) if stored[product] != mask.compressed]

    assert damaged == [1, 3, 4, 6, 7]
    assert [product for product, share in enumerate(shares) if written[product] != share] == damaged


def test_the_truth_is_read_as_it_was_written(tmp_path: Path) -> None:
    TRUTH.write(tmp_path / "truth.json")

    assert read_truth(tmp_path / "truth.json") == TRUTH


def test_what_is_excluded_or_given_the_right_class_is_found() -> None:
    decided = score.Decided({1: 20, 2: 10, 3: 30, 8: 10, 10: 10}, {4: "off_topic", 5: "bad_mask", 7: "off_topic"})

    assert score.find(TRUTH, decided) == {
        "class flipped": [True, False, False, True],
        "mask damaged": [True],
        "off topic": [False, True],
        "near copy": [True, True],
    }


def test_every_wrong_mark_is_named_by_how_it_is_wrong() -> None:
    decided = score.Decided(
        {1: 20, 2: 10, 3: 30, 6: 10, 15: 20, 16: 10}, {8: "bad_photo", 9: "bad_photo", 10: "bad_photo", 17: "bad_mask"}
    )

    assert score.find_wrong(TRUTH, decided) == {
        "wrong class called right": [2],
        "wrong class for another": [3],
        "off topic, given a class": [6],
        "right class replaced": [15],
        "both of a pair excluded": [8],
    }
    assert score.find_bad_masks(TRUTH, decided) == [17]


def test_the_score_is_of_the_corrections_that_the_project_has(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_project / "data").mkdir()
    classes = [(10, "dress", None), (20, "hat", None)]
    tables.write(in_project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, classes))
    labels, exclusions = in_project / "corrections/labels.csv", in_project / "corrections/exclusions.csv"
    labels.write_text(labels.read_text() + "1,0,20,,,2026-11-28\n2,,20,,,2026-11-28\n15,0,20,,,2026-11-28\n")
    exclusions.write_text(exclusions.read_text() + "5,0,bad_mask,,,2026-11-28\n")
    score.report(TRUTH, score.read_decided(), list_wrong=True)
    said = capsys.readouterr().out

    assert "| class flipped | 4 | 2 |" in said
    assert "33% found, less than 90%" in said
    assert "right class replaced: 15" in said
