"""Stage audit, from files to files: what looks wrong is listed, nothing is left out, and the map has every photo."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from imageset.audit import labels, mask_suspects, outliers
from imageset.errors import DataError
from imageset.formats import hdf5, tables
from imageset.formats.hdf5 import Pixels
from imageset.formats.preview_file import writing_previews
from imageset.photos.efficientnet import SIZE
from imageset.photos.embedding_file import writing_embeddings
from imageset.photos.mask_file import writing_masks
from imageset.photos.masks import describe_mask
from imageset.photos.outcomes import PhotoEmbedding, Rejected
from imageset.storage.bucket import StoredObject
from stages import audit
from tests.audit.drawn_masks import SIDE as MASK_SIDE
from tests.audit.drawn_masks import half, photo_of, trousers
from tests.conftest import run_stage
from tests.curated import photo, write_photos
from tests.project import ROOT
from tests.samples import sample

GARMENTS = ("bag", "dress", "pants")
OF_EACH = 16
INPUTS = (
    "data/catalog.csv",
    "data/classes.csv",
    "data/embeddings.h5",
    "data/thumbnails.h5",
    "data/masks.h5",
    "data/previews.h5",
    "data/photos.csv",
)
FACTS = (600, 800, "JPEG", "0.6", "140.0", "50.0", "1.3333", "")  # of every photo, in the order of photos.csv
BLURRED = (600, 800, "JPEG", "0.05", "140.0", "50.0", "1.3333", "")
OUTPUTS = ("data/suspects.csv", "data/map.csv", "data/components.h5", "data/doubts.csv")
Key = tuple[int, int]
Embedding = NDArray[np.float32]


def write_project(project: Path, photos: dict[Key, tuple[Image.Image, int]]) -> None:
    """Write the inputs: the class of each photo is given, a product is a group. Masks and facts have no fault."""
    write_photos(project, {key: picture for key, (picture, _) in photos.items()})
    classes = sorted({catalog_id for _, catalog_id in photos.values()})
    rows = [
        (*key, row, photos[key][1], classes.index(photos[key][1]), key[0]) for row, key in enumerate(sorted(photos))
    ]
    tables.write(project / "data/catalog.csv", tables.CATALOG, tables.frame(tables.CATALOG, rows))
    named = [(catalog_id, GARMENTS[catalog_id - 10], None) for catalog_id in classes]
    tables.write(project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, named))
    write_embeddings(project, {})
    write_facts(project, dict.fromkeys(photos, FACTS))
    rng = np.random.default_rng(1)
    write_masks(project, {key: trousers(rng) for key in sorted(photos)})


def write_embeddings(project: Path, embeddings: dict[Key, Embedding | None]) -> None:
    """Write embeddings.h5: None for a photo that cannot be decoded."""
    with writing_embeddings(project / "data/embeddings.h5", len(embeddings), "made") as add:
        for key, values in sorted(embeddings.items()):
            outcome = Rejected("truncated") if values is None else PhotoEmbedding(values.astype("<f4").tobytes(), 1)
            add(*key, StoredObject(f"photos/{key}", "etag", 1, ""), outcome)


def embed(classes: dict[Key, int], seed: int = 0) -> dict[Key, Embedding | None]:
    """Return embeddings that are near each other for photos of one class."""
    centres = np.random.default_rng(seed).gamma(0.5, 0.4, (max(classes.values()) + 1, SIZE))
    return {
        key: np.minimum(centres[label] * np.random.default_rng(key).uniform(0.3, 1.7, SIZE), 6).astype(np.float32)
        for key, label in classes.items()
    }


def write_facts(project: Path, facts: dict[Key, tuple[Any, ...]]) -> None:
    rows = [(*key, *facts[key]) for key in sorted(facts)]
    tables.write(project / "data/photos.csv", tables.PHOTOS, tables.frame(tables.PHOTOS, rows))


def write_masks(project: Path, masks: dict[Key, Pixels]) -> None:
    """Write masks.h5, and previews.h5 of photos of trousers, whatever the masks are."""
    rng = np.random.default_rng(1)
    with (
        writing_masks(project / "data/masks.h5", len(masks), MASK_SIDE, "") as add,
        writing_previews(project / "data/previews.h5") as add_preview,
    ):
        for key in sorted(masks):
            add(*key, StoredObject(f"photos/{key}", "etag", 1, ""), describe_mask(Image.fromarray(masks[key]), 1))
            file = io.BytesIO()
            Image.fromarray(photo_of(trousers(rng), rng)).save(file, "JPEG", quality=90)
            add_preview(*key, file.getvalue())


def drawn(of_each: int = OF_EACH) -> dict[Key, tuple[Image.Image, int]]:
    """Return drawn garments: bags have class 10, dresses 11, pants 12."""
    return {
        (100 * number + copy, 0): (photo(garment, copy), 10 + number)
        for number, garment in enumerate(GARMENTS)
        for copy in range(of_each)
    }


def run(project: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    audit.main(*(project / name for name in (*INPUTS, *OUTPUTS)))
    return tables.read(project / OUTPUTS[0], tables.SUSPECTS), tables.read(project / OUTPUTS[1], tables.MAP)


def test_a_wrong_label_and_a_blank_picture_are_listed_and_doubts_are_known_of_every_photo(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = drawn()
    photos[105, 0] = (photos[105, 0][0], 12)  # a dress among the pants
    photos[300, 1] = (Image.new("L", (64, 64), 200), 10)
    write_project(in_project, photos)
    suspects, places = run(in_project)
    of_kind = {kind: rows.set_index("rank") for kind, rows in suspects.groupby("kind")}
    label, outlier = of_kind["label"].set_index("product_id").loc[105], of_kind["outlier"].loc[1]

    assert (label["catalog_id"], label["suggestion"], label["why"]) == (12, 11, labels.REASONS[0])
    assert 300 not in set(of_kind["label"]["product_id"])  # a blank picture says nothing of its class
    assert (outlier["product_id"], outlier["position"], outlier["why"]) == (300, 1, outliers.PLAIN)
    assert outlier["score"] == "1.0000"
    assert list(zip(places["product_id"], places["position"], strict=True)) == sorted(photos)
    assert capsys.readouterr().out.startswith(f"audit: {len(photos)} photos, suspects: ")

    doubts = tables.read(in_project / OUTPUTS[3], tables.DOUBTS).set_index(["product_id", "position"])

    assert list(doubts.index) == sorted(photos)
    assert doubts.loc[105, 0]["other_class"] == 11
    assert doubts["probability"].replace("", "1").astype(float).idxmin() == (105, 0)
    assert abs(float(doubts.loc[105, 0]["probability"]) + float(label["score"]) - 1) < 1e-4
    assert doubts.loc[300, 1]["probability"] == ""
    assert pd.isna(doubts.loc[300, 1]["other_class"])
    assert (doubts["mask_score"].astype(float) >= 0).all()


def test_with_embeddings_they_alone_say_what_a_photo_shows(in_project: Path) -> None:
    """All thumbnails are equal. embeddings.h5 has photos that the catalog lacks, before and between."""
    bag = photo("bag", 1)
    true = {(number, 0): number % 3 for number in range(10, 70)}
    given = {**true, (20, 0): (true[20, 0] + 1) % 3}
    write_project(in_project, {key: (bag, 10 + label) for key, label in given.items()})
    embeddings = embed({**true, (70, 1): 3})
    write_embeddings(in_project, {**embeddings, (1, 0): None, (20, 1): embeddings[70, 1], (70, 1): None})
    suspects, places = run(in_project)
    label = suspects[suspects["kind"] == "label"]

    assert label["product_id"].tolist() == [20]
    assert label["suggestion"].tolist() == [10 + true[20, 0]]
    assert len(places) == 60


def test_an_embedding_like_no_other_is_an_outlier_and_a_photo_without_one_is_no_suspect_and_has_a_place(
    in_project: Path,
) -> None:
    """Stage embed may have lost it to a crash that stage preprocess did not have."""
    labels_of = {(number, 0): number % 2 for number in range(40)}
    write_project(in_project, {key: (photo("bag", 1), 10 + label) for key, label in labels_of.items()})
    write_embeddings(in_project, {**embed(labels_of), **embed({(7, 0): 0}, seed=5), (12, 0): None})
    suspects, places = run(in_project)
    outlier = suspects[suspects["kind"] == "outlier"].iloc[0]

    assert (outlier["product_id"], outlier["why"]) == (7, outliers.FAR)
    assert pd.isna(outlier["suggestion"])
    assert 12 not in set(suspects[suspects["kind"].isin(["label", "outlier"])]["product_id"].dropna())
    assert 12 in set(places["product_id"])


def test_embeddings_that_lack_a_photo_are_refused(in_project: Path) -> None:
    write_project(in_project, drawn(2))
    write_embeddings(in_project, embed(dict.fromkeys(list(drawn(2))[1:], 0)))

    with pytest.raises(DataError, match=r"embeddings\.h5 lacks product_id 0, position 0: run `dvc repro`"):
        run(in_project)


def test_ranks_begin_at_1_in_each_kind_and_scores_fall(in_project: Path) -> None:
    photos = drawn()
    for number in (1, 102, 203):
        photos[number, 0] = (photos[number, 0][0], 10 + (number // 100 + 1) % 3)
    photos |= {(300 + number, 0): (Image.new("L", (64, 64), number), 10) for number in range(3)}
    write_project(in_project, photos)
    suspects, _ = run(in_project)
    for kind, rows in suspects.groupby("kind"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1)), kind
        assert rows["score"].astype(float).is_monotonic_decreasing
    assert {1, 102, 203} <= set(suspects[suspects["kind"] == "label"]["product_id"])


@pytest.mark.parametrize("other", sample(["2", "8"], "8"))
def test_threads_hash_seeds_and_a_second_run_change_no_byte(other: str, in_project: Path) -> None:
    write_project(in_project, drawn())
    found = set()
    for threads, seed in (("1", "0"), (other, "2")):
        folder = in_project / threads
        (folder / "data").mkdir(parents=True)
        for name in INPUTS:
            shutil.copy(in_project / name, folder / name)
        shutil.copy(ROOT / "params.yaml", folder)
        done = run_stage(
            "audit",
            *INPUTS,
            *OUTPUTS,
            cwd=folder,
            environment={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed},
        )

        assert done.returncode == 0, done.stderr
        found.add(tuple((folder / name).read_bytes() for name in OUTPUTS))

    assert len(found) == 1


@pytest.mark.parametrize("photos", [1, 2, 5])
def test_few_photos_are_placed_and_no_suspects(in_project: Path, photos: int) -> None:
    write_project(in_project, dict(list(drawn().items())[:photos]))
    suspects, places = run(in_project)

    assert suspects.empty
    assert len(places) == photos


def test_thumbnails_of_other_photos_are_refused(in_project: Path) -> None:
    write_project(in_project, drawn(2))
    catalog = (in_project / INPUTS[0]).read_bytes()
    write_project(in_project, {(key[0] + 1000, 0): value for key, value in drawn(2).items()})
    (in_project / INPUTS[0]).write_bytes(catalog)

    with pytest.raises(DataError, match=r"thumbnails\.h5 has other photos than the tables"):
        run(in_project)


def test_photos_that_look_alike_have_components_that_are_near(in_project: Path) -> None:
    labels_of = {(number, number % 2): number % 3 for number in range(5, 65)}
    write_project(in_project, {key: (photo("bag", 1), 10 + label) for key, label in labels_of.items()})
    write_embeddings(in_project, embed(labels_of))
    run(in_project)
    with hdf5.open_file(in_project / OUTPUTS[2], hdf5.COMPONENTS) as file:
        components = file["components"][:].astype(np.int64)
        found = list(zip(file["ids"][:].tolist(), file["positions"][:].tolist(), strict=True))
        assert file["components"].dtype == np.int16
    distances = ((components[:, None] - components) ** 2).sum(axis=2) + np.diag([np.iinfo(np.int64).max] * 60) // 2
    own = np.array([labels_of[key] for key in found])

    assert found == sorted(labels_of)
    assert components.shape == (60, 50)
    assert (own[distances.argmin(axis=1)] == own).all()


def test_places_are_written_without_minus_zero(in_project: Path) -> None:
    write_project(in_project, drawn(1))
    _, places = run(in_project)

    assert not {"-0.00"} & {*places["x"], *places["y"]}
    assert all(np.isfinite(places[axis].astype(float)).all() for axis in ("x", "y"))


def test_a_damaged_mask_a_blurred_photo_and_near_equal_names_are_listed_and_large_ids_exactly(in_project: Path) -> None:
    first = 2**53 + 1  # no float is
    photos = {(first + number, 0): value for (number, _), value in drawn().items()}
    write_project(in_project, photos)
    rng = np.random.default_rng(1)
    masks = {key: trousers(rng) for key in sorted(photos)}
    write_masks(in_project, masks | {(first + 205, 0): half(masks[first + 205, 0])})
    write_facts(in_project, dict.fromkeys(photos, FACTS) | {(first + 107, 0): BLURRED})
    named = [(10, "Bags", 1), (11, "dress", 1), (12, "bag", 1), (13, "shop bags", 1)]
    tables.write(in_project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, named))

    suspects, _ = run(in_project)

    of_kind = {kind: rows.drop(columns=["kind", "score"]) for kind, rows in suspects.groupby("kind")}
    mask, *other_masks = of_kind["mask"].to_numpy().tolist()
    assert mask[:4] == [1, first + 205, 0, 12]
    assert mask[4] in mask_suspects.REASONS
    assert other_masks == []
    assert of_kind["photo"].to_numpy().tolist() == [[1, first + 107, 0, 11, "blurred", pd.NA]]
    assert of_kind["class"].to_numpy().tolist() == [[1, pd.NA, pd.NA, 10, "similar_name", 12]]


def test_where_backgrounds_are_kept_no_mask_is_suspect(in_project: Path) -> None:
    write_project(in_project, drawn(4))
    with writing_masks(in_project / "data/masks.h5", 0, 1, ""):
        pass

    suspects, places = run(in_project)
    doubts = tables.read(in_project / OUTPUTS[3], tables.DOUBTS)

    assert set(doubts["mask_score"]) == {""}
    assert "mask" not in set(suspects["kind"])
    assert len(places) == 12


def test_facts_of_other_photos_are_refused(in_project: Path) -> None:
    photos = drawn(2)
    write_project(in_project, photos)
    write_facts(in_project, dict.fromkeys(list(photos)[1:], FACTS))

    with pytest.raises(DataError, match=r"photos\.csv has other photos than the tables: run `dvc repro`"):
        run(in_project)
