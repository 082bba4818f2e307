"""Show photos of a dataset that are drawn at random, with their labels: `python -m examples.load_random [DATASET_H5]`.

`python -m examples.load_random data/dataset.h5 train 24 7 sample.png` draws 24 training photos with seed 7.
"""

import sys

import torch
from matplotlib.figure import Figure

from imageset.reader import ImageSet, loader

COLUMNS = 6


def main(
    path: str = "data/dataset.h5", subset: str = "train", photos: str = "24", seed: str = "0", png: str = "random.png"
) -> None:
    """Draw photos of a subset, and write them as a picture. The seed decides which."""
    dataset = ImageSet(path, subset, augmented=False)
    if not len(dataset):
        raise SystemExit(f"{path} has no photos in {subset}: name another subset")
    batch = min(int(photos), len(dataset))
    images, labels = next(iter(loader(dataset, batch, shuffle=True, seed=int(seed))))
    rows = -(-batch // COLUMNS)
    figure = Figure(figsize=(2 * COLUMNS, 2.3 * rows), layout="constrained")
    places = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for place in places:
        place.axis("off")
    pixels = images.movedim(1, 3).expand(-1, -1, -1, 3).numpy()  # gray as three equal colours
    for place, image, label in zip(places, pixels, labels.tolist(), strict=False):
        place.imshow(image)
        place.set_title(f"{label}: {dataset.classes[label]}", fontsize=9, parse_math=False)
    figure.savefig(png)
    shown = len(torch.unique(labels))
    print(f"{png}: {batch} of {len(dataset)} photos of {subset}, {shown} of {dataset.num_labels} classes")


if __name__ == "__main__":
    main(*sys.argv[1:])
