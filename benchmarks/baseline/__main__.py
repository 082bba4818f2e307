"""Time, memory and scores of stage baseline: python -m benchmarks.baseline [DATASET.h5] [--help]

On the dataset as it is, and on larger ones made of it: a class is a crop of one of its training photos, a photo of that
class the crop moved a little, a row the photo with noise. They say what the stage takes, not how good it is.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.shared.measure import ROOT, Run, measure
from benchmarks.shared.tables import circumstances, options, table
from imageset.formats import hdf5
from imageset.formats.hdf5 import Pixels

TEST_SHARE = 0.2
CROP_SHARE = (0.3, 0.7)  # of the image's side
MOVED_SHARE = 0.05
NOISE = 24  # of 255


def class_sizes(photos: int, classes: int) -> NDArray[np.int64]:
    """Return the label of each photo: every class has one, the rest fall off with the class's rank."""
    weights = 1 / np.arange(1, classes + 1)
    more = np.random.default_rng(1).choice(classes, photos - classes, p=weights / weights.sum())
    return np.concatenate([np.arange(classes), more])


def rows(sources: Pixels, labels: NDArray[np.int64], copies: int) -> Iterator[Pixels]:
    """Yield the rows of photos with these labels, each uint8 (S, S, C)."""
    side, channels = sources.shape[1], sources.shape[3]
    for number, label in enumerate(labels.tolist()):
        of_class, of_photo = np.random.default_rng([label, 1]), np.random.default_rng([number, len(labels), 2])
        source = sources[of_class.integers(len(sources))]
        crop = of_class.uniform(*CROP_SHARE) * side
        corner = of_class.uniform(0, side - crop, 2) + of_photo.uniform(-1, 1, 2) * MOVED_SHARE * side
        box = (*np.clip(corner, 0, side - crop), *(np.clip(corner, 0, side - crop) + crop))
        photo = Image.fromarray(source.squeeze(-1) if channels == 1 else source)
        pixels = np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR, box)).reshape(side, side, channels)
        for _ in range(copies):
            noise = of_photo.integers(-NOISE, NOISE + 1, pixels.shape, np.int16)
            yield np.clip(pixels + noise, 0, 255).astype(np.uint8)


def make_dataset(path: Path, sources: Pixels, photos: int, copies: int, classes: int) -> None:
    """Write a dataset file of so many photos, a fifth of them for testing."""
    mixed = np.random.default_rng(0).permutation(class_sizes(photos, classes))
    held_out = int(TEST_SHARE * photos)
    subsets = {"test": (mixed[:held_out], 1), "train": (mixed[held_out:], copies)}
    with hdf5.create(path, hdf5.DATASET) as file:
        for subset, (labels, of_each) in subsets.items():
            images = hdf5.add_images(file, f"{subset}_images", (len(labels) * of_each, *sources.shape[1:]))
            for row, pixels in enumerate(rows(sources, labels, of_each)):
                images[row] = pixels
            hdf5.add(file, f"{subset}_labels", np.repeat(labels, of_each))
        hdf5.add(file, "test_ids", np.arange(held_out))
        hdf5.add(file, "test_positions", np.zeros(held_out, np.int16))
        hdf5.add(file, "train_copies", np.tile(np.arange(copies, dtype=np.int16), photos - held_out))
        hdf5.add_text(file, "class_names", [f"class {label}" for label in range(classes)])
        hdf5.add_text(file, "label_map", [f"{label},{label}" for label in range(classes)])
        hdf5.finish(file)


def line(name: str, path: Path, run: Run, folder: Path) -> tuple[str, ...]:
    found = json.loads((folder / "baseline.json").read_text())
    with h5py.File(path) as file:
        shape = " x ".join(map(str, file["train_images"].shape))
    return (
        name,
        shape,
        str(found["photos"]["test"]),
        f"{run.wall:.1f}",
        f"{run.cpu:.1f}",
        f"{run.main.rss / 1e6:.0f}",
        f"{run.main.anonymous / 1e6:.0f}",
        *(f"{found[score]} ({found['floor'][score]})" for score in ("accuracy", "macro_f1", "top5_accuracy")),
    )


def middle_line(name: str, path: Path, folder: Path, turns: int) -> tuple[str, ...]:
    """Run the stage `turns` times and return the line of the median run."""
    outputs = ["baseline.json", f"{path.stem}.png", f"{path.stem}.csv"]
    command = [sys.executable, "-m", "stages.baseline", str(path), "validation.json", *outputs]
    runs = sorted((measure(command, folder, {}) for _ in range(turns)), key=lambda run: run.wall)
    return line(name, path, runs[turns // 2], folder)


def main() -> None:
    parser = options("baseline", __doc__, turns=1)
    parser.add_argument("dataset", type=Path, nargs="?", default=ROOT / "data/dataset.h5", metavar="DATASET.h5")
    parser.add_argument("--photos", type=int, default=5000, metavar="N", help="of the larger datasets (5000)")
    parser.add_argument("--copies", type=int, default=5, metavar="N", help="rows a training photo (5)")
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 700], metavar="N", help="(10 700)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the datasets and what the stage wrote here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with hdf5.open_file(chosen.dataset, hdf5.DATASET) as file:
            sources = hdf5.mapped(file, "train_images")[file["train_copies"][:] == 0]
        datasets = {"as it is": chosen.dataset.absolute()}
        for classes in chosen.classes:
            datasets[f"{classes} classes"] = folder / f"{classes}.h5"
            make_dataset(folder / f"{classes}.h5", sources, chosen.photos, chosen.copies, classes)
        circumstances(chosen, str(chosen.dataset), "numpy", "scipy")
        (folder / "validation.json").write_text('{"passed": true}')
        lines = [middle_line(name, path, folder, chosen.turns) for name, path in datasets.items()]
        table(
            (
                "dataset",
                "training rows",
                "test photos",
                "wall s",
                "processor s",
                "resident MB",
                "anonymous MB",
                "accuracy (floor)",
                "macro F1 (floor)",
                "top 5 (floor)",
            ),
            lines,
        )


if __name__ == "__main__":
    main()
