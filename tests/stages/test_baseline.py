import json
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_info

from imageset.errors import DamagedFile, DataError
from imageset.evaluation.feature_blocks import FeatureBlock
from imageset.evaluation.hog_features import CELLS, DIRECTIONS, features
from imageset.evaluation.linear_discriminant import SHRINKAGE, Classifier, ClassSums
from imageset.evaluation.linear_discriminant import fit as fit_classifier
from imageset.evaluation.scores import scores
from imageset.formats import hdf5, source_ids, tables
from imageset.formats.hdf5 import Pixels
from imageset.report import confusion_plot
from stages import baseline
from tests.conftest import run_stage
from tests.project import ROOT
from tests.samples import sample

Labels = NDArray[np.int64]
SIDE = 32
COPIES = 2
NAMES = ("Blusen, Größe L", "<script>coats</script>", "$1 & up")
OUTPUTS = ("baseline.json", "confusion.png", "predictions.csv")
SCORES = ("accuracy", "macro_f1", "top5_accuracy")


def bars(labels: Labels, seed: int, channels: int = 1) -> Pixels:
    """Return noisy images, uint8 (N, 32, 32, C), with a bright bar whose place is the label's."""
    images = np.random.default_rng(seed).integers(0, 120, (len(labels), SIDE, SIDE, channels))
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label + 1 : 3 * label + 4] += 120
    return images.astype(np.uint8)


def noise(labels: Labels, seed: int, channels: int = 1) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (len(labels), SIDE, SIDE, channels)).astype(np.uint8)


def mixed(counts: Sequence[int], seed: int) -> Labels:
    """Return labels, of label l as many as counts say, in a mixed order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def write(path: Path, subsets: dict[str, tuple[Pixels, Labels]], names: Sequence[str], copies: int = COPIES) -> Path:
    """Write a dataset file; every `copies` training rows are one photo."""
    with hdf5.create(path, hdf5.DATASET) as file:
        for subset, (images, labels) in subsets.items():
            hdf5.add(file, f"{subset}_images", images)
            hdf5.add(file, f"{subset}_labels", labels.astype(np.int64))
        hdf5.add(file, "test_ids", 1000 - np.arange(len(subsets["test"][1])) // 2)
        hdf5.add(file, "test_positions", (np.arange(len(subsets["test"][1])) % 2).astype(np.int16))
        hdf5.add(file, "train_copies", (np.arange(len(subsets["train"][1])) % copies).astype(np.int16))
        hdf5.add_text(file, "class_names", list(names))
        hdf5.add_text(file, "label_map", [f"{label},{1000 + label}" for label in range(len(names))])
        hdf5.finish(file, content_digest=hdf5.content_digest(file))
    return path


def make(
    path: Path,
    draw: Any = bars,
    train: Sequence[int] = (30, 20, 14),
    test: Sequence[int] = (20, 10, 10),
    channels: int = 1,
) -> Path:
    """Write a dataset with so many training photos of each class, COPIES rows each, and so many test photos."""
    labels = {"train": np.repeat(mixed(train, 1), COPIES), "test": mixed(test, 2)}
    names = [*NAMES, *(f"class {number}" for number in range(3, len(train)))][: len(train)]
    return write(
        path,
        {subset: (draw(values, seed, channels), values) for seed, (subset, values) in enumerate(labels.items())},
        names,
    )


def valid(folder: Path, passed: bool = True) -> Path:
    """Write what stage validate says of a dataset."""
    path = folder / "validation.json"
    path.write_text(json.dumps({"passed": passed, "checks": {}}))
    return path


def run(dataset: Path) -> dict[str, Any]:
    """Run the stage's main and return the figures."""
    folder = dataset.parent
    baseline.main(dataset, valid(folder), *(folder / name for name in OUTPUTS))
    with Image.open(folder / "confusion.png") as image:
        image.load()
    return dict(json.loads((folder / "baseline.json").read_text()))


def test_the_predictions_have_the_ids_of_the_source(tmp_path: Path) -> None:
    """In a process of its own, as DVC runs the stage: nothing else has told it the texts."""
    path = make(tmp_path / "dataset.h5")
    with h5py.File(path, "r+") as file:
        texts = [f"product-{number}" for number in file["test_ids"][:]]
        file["test_ids"][:] = source_ids.numbers(texts)
        hdf5.add_text(file, "test_source_ids", texts)
        file.attrs["content_digest"] = hdf5.content_digest(file)
    done = run_stage("baseline", path, valid(tmp_path), *(tmp_path / name for name in OUTPUTS), cwd=ROOT)

    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert sorted(row.split(",")[0] for row in rows) == sorted(texts)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_can_be_learned_is_learned(channels: int, tmp_path: Path) -> None:
    assert run(make(tmp_path / "dataset.h5", channels=channels)) == {
        "accuracy": 1.0,
        "macro_f1": 1.0,
        "top5_accuracy": 1.0,
        "accuracy_standard_error": 0.0,
        "floor": {"accuracy": 0.5, "macro_f1": 0.2222, "top5_accuracy": 1.0},
        "photos": {"train": 64, "test": 40},
        "train_rows": 128,
        "classes": {"count": 3, "without_train_photos": 0, "without_test_photos": 0},
    }


def test_noise_gives_no_more_than_the_floor(tmp_path: Path) -> None:
    found = run(make(tmp_path / "dataset.h5", noise, train=[20] * 10, test=[20] * 10))

    assert found["floor"] == {"accuracy": 0.1, "macro_f1": 0.0182, "top5_accuracy": 0.5}
    assert found["accuracy"] == pytest.approx(0.1, abs=0.07)
    assert found["top5_accuracy"] == pytest.approx(0.5, abs=0.12)
    assert found["accuracy_standard_error"] == pytest.approx(
        (found["accuracy"] * (1 - found["accuracy"]) / 200) ** 0.5, abs=1e-4
    )


def test_colour_alone_tells_classes_apart(tmp_path: Path) -> None:
    """The two colours are the same gray, and without an edge."""

    def plain(labels: Labels, seed: int, channels: int) -> Pixels:
        colors = np.array([[150, 60, 60], [20, 122, 88]], np.uint8)
        return np.broadcast_to(colors[labels][:, None, None], (len(labels), SIDE, SIDE, 3)).copy()

    found = run(make(tmp_path / "dataset.h5", plain, train=[10, 10], test=[10, 10], channels=3))

    assert (found["accuracy"], found["floor"]["accuracy"]) == (1.0, 0.5)


def test_scores_are_those_of_a_hand_count() -> None:
    actual = np.array([0, 0, 0, 1, 1, 3])
    best = np.array([[0, 1], [0, 1], [1, 0], [1, 0], [2, 1], [2, 0]])

    # F1: class 0 has 2 right, 3 photos, 2 answers: 4 / 5; class 1 has 1, 2, 2: 1 / 2; class 3 none; class 2 no photos.
    assert scores(actual, best) == {
        "accuracy": 0.5,
        "macro_f1": round((0.8 + 0.5 + 0) / 3, 4),
        "top5_accuracy": round(5 / 6, 4),
    }


def test_scores_agree_with_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score  # a second of each collection

    random = np.random.default_rng(0)
    actual = random.integers(0, 9, 300)
    best = random.permuted(np.tile(np.arange(9), (300, 1)), axis=1)[:, :5]
    counts = confusion_matrix(actual, best[:, 0])
    found = scores(actual, best)

    assert found["accuracy"] == round(float(np.trace(counts) / 300), 4)
    assert found["macro_f1"] == round(float(f1_score(actual, best[:, 0], average="macro")), 4)
    assert found["top5_accuracy"] == round(
        float(np.mean([label in row for label, row in zip(actual, best, strict=True)])), 4
    )
    assert np.diag(confusion_plot.matrix(actual, best[:, 0], range(9))).mean() == pytest.approx(
        balanced_accuracy_score(actual, best[:, 0])
    )


def summed(values: NDArray[np.uint8], labels: Labels, classes: int, step: int = 1000) -> ClassSums:
    sums = ClassSums(classes)
    for start in range(0, len(values), step):
        which = slice(start, start + step)
        sums.add(FeatureBlock(values[which], labels[which], np.ones(len(labels[which]), bool)))
    return sums


def test_the_classifier_is_scikit_learns_discriminant_analysis() -> None:
    """Uneven classes, one of them (3) without a row."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # a second of each collection

    labels = np.repeat([0, 1, 2, 4], [60, 30, 20, 10])
    random = np.random.default_rng(0)
    centres, mixing = random.uniform(90, 160, (5, 12)), random.normal(0, 12, (12, 12))
    values = np.clip(centres[labels] + random.normal(size=(120, 12)) @ mixing, 0, 255).astype(np.uint8)
    classifier = fit_classifier(summed(values, labels, 5))
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(values, labels)
    expected = theirs.decision_function(values)
    found = values @ classifier.weights + classifier.bias

    assert found - found[:, :1] == pytest.approx(expected - expected[:, :1], rel=1e-3, abs=1e-2)
    answers = classifier.answer(values)

    assert np.array_equal(answers.best[:, 0], theirs.predict(values))
    assert answers.probabilities == pytest.approx(theirs.predict_proba(values).max(axis=1), abs=1e-2)
    assert answers.probabilities.min() < 0.6
    assert 0.5 < (answers.best[:, 0] == labels).mean() < 1


def test_sums_are_the_same_to_the_last_bit_whatever_the_blocks() -> None:
    values, labels = features(noise(np.zeros(90, np.int64), 5)), mixed([50, 30, 10], 3)
    whole = summed(values, labels, 3)
    for step in (1, 7, 64):
        parts = summed(values, labels, 3, step)

        assert np.array_equal(parts.products, whole.products)
        assert np.array_equal(parts.features, whole.features)
        assert parts.rows.tolist() == whole.rows.tolist() == [50, 30, 10]


def test_scores_that_are_equal_rank_by_label() -> None:
    """Two classes that are each other's mirror image, and photos that are their own: equal but for the last bits."""
    random = np.random.default_rng(0)
    left, right = random.integers(0, 256, (2, 30, 40), np.uint8)
    rows = np.concatenate([np.hstack([left, right]), np.hstack([right, left])])
    classifier = fit_classifier(summed(rows, np.repeat([0, 1], 30), 2))
    middle = random.integers(0, 256, (200, 40), np.uint8)
    answers = classifier.answer(np.hstack([middle, middle]))

    assert answers.best.tolist() == [[0, 1]] * 200
    assert answers.probabilities == pytest.approx(0.5)


@pytest.mark.parametrize("block_bytes", [1, 100_000])
def test_blocks_change_no_byte(block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make(tmp_path / "dataset.h5", noise)
    outputs = [tmp_path / name for name in OUTPUTS]
    run(dataset)
    before = [path.read_bytes() for path in outputs]
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", block_bytes)
    run(dataset)

    assert [path.read_bytes() for path in outputs] == before


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A file of 300 MB, nearly all of it never written."""
    rows, side = 1500, 256
    path = write(
        tmp_path / "dataset.h5",
        {
            "train": (np.zeros((0, 1, 1, 1), np.uint8), np.arange(rows) % 3),
            "test": (noise(np.arange(3), 0), np.arange(3)),
        },
        NAMES,
    )
    with h5py.File(path, "r+") as file:
        del file["train_images"]
        hdf5.add_images(file, "train_images", (rows, side, side, 3))
    with h5py.File(path) as file:
        tracemalloc.start()
        sums = baseline.learn(file, 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert sums.rows.tolist() == [500] * 3
    assert peak < 80e6


@pytest.mark.parametrize("other", sample(["2", "8"], "8"))
def test_threads_and_hash_seeds_change_no_byte(other: str, tmp_path: Path) -> None:
    """On noise, where many answers are near to a tie."""
    dataset = make(tmp_path / "dataset.h5", noise, train=[12] * 8, test=[25] * 8)
    found = set()
    for threads, seed in (("1", "0"), (other, "2")):
        folder = tmp_path / threads
        folder.mkdir()
        shutil.copy(ROOT / "params.yaml", folder)  # which every stage checks
        done = run_stage(
            "baseline",
            dataset,
            valid(folder),
            *OUTPUTS,
            cwd=folder,
            environment={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed},
        )

        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("baseline: accuracy 0.")
        found.add(tuple((folder / name).read_bytes() for name in OUTPUTS))

    assert len(found) == 1


def test_floats_are_worked_on_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def fit(sums: ClassSums) -> Classifier:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return original(sums)

    original = fit_classifier
    monkeypatch.setattr(baseline, "fit", fit)
    run(make(tmp_path / "dataset.h5"))

    assert seen
    assert set(seen) == {1}


def test_augmented_copies_are_learned_from_and_are_no_photos(tmp_path: Path) -> None:
    """Only the second copy of each photo shows its label; the commonest class is that of most photos."""
    labels = np.repeat(mixed([30, 20, 14], 1), COPIES)
    images = np.where((np.arange(len(labels)) % COPIES == 0)[:, None, None, None], noise(labels, 0), bars(labels, 1))
    tested = mixed([20, 10, 10], 2)
    found = run(write(tmp_path / "dataset.h5", {"train": (images, labels), "test": (bars(tested, 3), tested)}, NAMES))

    assert found["accuracy"] > 0.9
    assert found["photos"]["train"] == 64
    assert found["train_rows"] == 128


def test_the_floor_is_of_photos_whatever_the_copies_of_a_class(tmp_path: Path) -> None:
    """Class 1 has more rows, class 0 more photos: as augment.balance makes it."""
    labels = np.repeat([0, 1], [10, 30])
    tested = np.array([0, 0, 0, 1])
    path = write(
        tmp_path / "dataset.h5", {"train": (bars(labels, 0), labels), "test": (bars(tested, 1), tested)}, NAMES[:2]
    )
    with h5py.File(path, "r+") as file:
        file["train_copies"][:] = [*[0] * 10, *[0, 1, 2, 3, 4, 5] * 5]
        file.attrs["content_digest"] = hdf5.content_digest(file)
    found = run(path)

    assert found["photos"] == {"train": 15, "test": 4}
    assert found["floor"]["accuracy"] == 0.75


def test_classes_without_photos_of_a_subset_are_counted(tmp_path: Path) -> None:
    """Of six classes 3 has no test photos, 4 no training photos, 5 neither."""
    found = run(make(tmp_path / "dataset.h5", train=[20, 10, 8, 6, 0, 0], test=[8, 4, 2, 0, 2, 0]))

    assert found["classes"] == {"count": 6, "without_train_photos": 2, "without_test_photos": 2}
    assert found["accuracy"] == found["top5_accuracy"] == 14 / 16
    assert found["floor"]["top5_accuracy"] == 14 / 16
    # F1 over the four classes with test photos: 0 for class 4, and 1 for the others, or less where they got its photos.
    assert 0.6 < found["macro_f1"] <= 0.75


def test_every_test_photo_has_a_prediction(tmp_path: Path) -> None:
    """Sorted by product and position, whatever the order of the rows."""
    dataset = make(tmp_path / "dataset.h5", noise, train=[20] * 3, test=[4] * 3)
    found = run(dataset)
    predictions = tables.read(tmp_path / "predictions.csv", tables.PREDICTIONS)
    with h5py.File(dataset) as file:
        rows = zip(file["test_ids"][:], file["test_positions"][:], file["test_labels"][:], strict=True)

        assert predictions[["product_id", "position", "label"]].to_numpy().tolist() == sorted(map(list, rows))
    assert found["accuracy"] == round((predictions["label"] == predictions["answer"]).mean(), 4)
    assert predictions["probability"].str.fullmatch(r"[01]\.\d{4}").all()
    assert (predictions["probability"].astype(float) >= 0.3333).all()


def test_without_test_photos_the_table_of_predictions_is_empty(tmp_path: Path) -> None:
    run(make(tmp_path / "dataset.h5", test=[0, 0, 0]))

    assert tables.read(tmp_path / "predictions.csv", tables.PREDICTIONS).empty


def test_the_validation_subset_is_left_alone(tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset.h5")
    before = run(dataset)
    with h5py.File(dataset, "r+") as file:
        hdf5.add(file, "validation_images", noise(np.arange(9), 9))
        hdf5.add(file, "validation_labels", np.arange(9) % 3)
        file.attrs["content_digest"] = hdf5.content_digest(file)

    assert run(dataset) == before


def test_without_test_photos_there_are_no_scores_and_it_is_said(tmp_path: Path) -> None:
    found = run(make(tmp_path / "dataset.h5", test=[0, 0, 0]))

    assert found["note"] == "no test photos: nothing to measure"
    assert {found[score] for score in SCORES} == {found["floor"][score] for score in SCORES} == {None}
    assert found["accuracy_standard_error"] is None
    assert found["photos"] == {"train": 64, "test": 0}
    assert found["classes"]["without_test_photos"] == 3


def test_one_class_is_always_right_and_it_is_said(tmp_path: Path) -> None:
    found = run(make(tmp_path / "dataset.h5", train=[9], test=[3]))

    assert found["note"] == "one class only: every answer is the same"
    assert found["accuracy"] == found["floor"]["macro_f1"] == found["floor"]["top5_accuracy"] == 1.0


def test_a_dataset_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"validation\.json says that .*dataset\.h5 is wrong"):
        baseline.main(
            make(tmp_path / "dataset.h5"), valid(tmp_path, passed=False), *(tmp_path / name for name in OUTPUTS)
        )


def test_an_incomplete_or_foreign_file_is_refused(tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset.h5")
    for name, value, message in (("complete", False, "is incomplete"), ("format", hdf5.PROCESSED, "is not a file")):
        with h5py.File(dataset, "r+") as file:
            file.attrs[name] = value
        with pytest.raises(DataError, match=message):
            run(dataset)

    assert not (tmp_path / "baseline.json").exists()


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_of_no_class_is_refused(label: int, tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset.h5")
    with h5py.File(dataset, "r+") as file:
        file["test_labels"][5] = label

    with pytest.raises(DataError, match=r"dataset\.h5 is damaged .test_labels does not give each row one of 3 classes"):
        run(dataset)


@pytest.mark.parametrize("name", ["train_copies", "test_labels", "test_ids", "class_names"])
def test_a_file_that_lacks_an_array_is_refused(name: str, tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset.h5")
    with h5py.File(dataset, "r+") as file:
        del file[name]

    with pytest.raises(DataError, match=rf"is damaged .*{name}"):
        run(dataset)


def test_a_file_that_changed_after_it_was_validated_is_refused(tmp_path: Path) -> None:
    dataset = make(tmp_path / "dataset.h5")
    with h5py.File(dataset, "r+") as file:
        file["train_images"][3, 4, 4] ^= 1

    with pytest.raises(DamagedFile, match=r"dataset\.h5 does not hold what its content_digest says: remove it, then"):
        run(dataset)
    assert not (tmp_path / "baseline.json").exists()


def test_a_file_without_training_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no row to train on"):
        run(make(tmp_path / "dataset.h5", train=[0, 0, 0]))


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (100, 3), (128, 1), (200, 3)])
def test_features_are_of_one_number_and_of_each_photo_alone(side: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, side, side, channels)).astype(np.uint8)
    found = features(images)

    assert found.shape == (5, CELLS**2 * DIRECTIONS + 64 * channels)
    assert found.dtype.str == "|u1"
    assert np.array_equal(found[3:4], features(images[3:4]))


@pytest.mark.parametrize(("turns", "direction"), [(0, 0), (1, 9), (2, 6), (3, 3)])
def test_an_edge_counts_for_its_direction_where_it_is(turns: int, direction: int) -> None:
    """Dark to bright, a quarter of the way in; y grows downwards, and so do angles."""
    image = np.zeros((64, 64, 1), np.uint8)
    image[:, 20:] = 200
    found = features(np.rot90(image, turns)[None])[0, : CELLS**2 * DIRECTIONS].reshape(CELLS, CELLS, DIRECTIONS)
    along = (found[:, 2], found[5], found[:, 5], found[2])[turns]

    assert (along[:, direction] > 100).all()
    assert np.count_nonzero(found) == np.count_nonzero(found[..., direction]) == CELLS


def test_a_plain_photo_has_no_edges_and_a_thumbnail() -> None:
    found = features(np.full((1, 40, 40, 3), (10, 20, 30), np.uint8))[0]

    assert not found[: CELLS**2 * DIRECTIONS].any()
    assert found[CELLS**2 * DIRECTIONS :].reshape(8, 8, 3).tolist() == [[[10, 20, 30]] * 8] * 8


def test_the_matrix_is_of_the_largest_classes_and_each_row_of_all_answers() -> None:
    actual, predicted = np.array([2, 2, 2, 2, 5, 5, 7]), np.array([2, 2, 5, 9, 5, 7, 7])

    assert confusion_plot.largest_classes(actual) == [2, 5, 7]
    assert confusion_plot.matrix(actual, predicted, [2, 5]).tolist() == [[0.5, 0.25, 0.25], [0, 0.5, 0.5]]
    assert confusion_plot.confused_pairs(actual, predicted) == [(5, 7, 1, 2), (2, 5, 1, 4), (2, 9, 1, 4)]


def test_a_class_whose_name_cannot_be_drawn_has_its_catalog_id_on_the_plot(tmp_path: Path) -> None:
    """A letter without a glyph would be a warning of matplotlib, and so an error here."""
    pictures = []
    for names in (["ワンピース", "เสื้อ", "👗"], ["catalog 1000", "catalog 1001", "catalog 1002"]):
        dataset = make(tmp_path / "dataset.h5", noise)
        with h5py.File(dataset, "r+") as file:
            del file["class_names"]
            hdf5.add_text(file, "class_names", names)
            file.attrs["content_digest"] = hdf5.content_digest(file)
        run(dataset)
        pictures.append((tmp_path / "confusion.png").read_bytes())

    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("classes", [2, 12, 700])
def test_the_plot_stays_of_a_size_to_look_at(classes: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    actual, predicted = random.integers(0, classes, (2, 500))
    names = [f"{number} $ a name\nthat goes on and on {'and on' * 20}" for number in range(classes)]
    (tmp_path / "plot.png").write_bytes(confusion_plot.draw(names, actual, predicted))
    with Image.open(tmp_path / "plot.png") as plot:
        assert max(plot.size) <= 1800
