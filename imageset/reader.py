"""dataset.h5 for PyTorch: the only module that imports torch."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import Dataset

from imageset import layout
from imageset.errors import DataError


class ImageSet(Dataset[tuple[Any, int]]):
    """One subset of a dataset file, map-style: item i is (image, label).

    An image is a uint8 tensor (C, H, W), or what `transform` makes of it; a label is an int from 0 to num_labels - 1.
    `classes[label]` is the class's name. The file is opened in each process that reads, on first use, so a dataset
    can be pickled and handed to workers, forked or spawned.

    Raises DataError when the file is not a complete dataset of this format version, or has no such subset.

    Example::

        train = ImageSet("data/dataset.h5", subset="train")
        image, label = train[0]
    """

    def __init__(self, path: str | Path, subset: str = "train",
                 transform: Callable[[torch.Tensor], Any] | None = None) -> None:
        self.path = Path(path)
        self.subset = subset
        self.transform = transform
        with layout.open_file(self.path, layout.DATASET) as file:
            if subset not in layout.subsets(file):
                raise DataError(f"{path} has no subset {subset!r}; it has {', '.join(layout.subsets(file))}")
            self.labels = torch.from_numpy(file[f"{subset}_labels"][:])
            self.classes: list[str] = file["class_names"].asstr()[:].tolist()
            self._digest = str(file.attrs["content_digest"])
        self._file: h5py.File | None = None
        self._opened_by = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        pixels: np.ndarray[Any, Any] = self._images()[index % len(self)]
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return (self.transform(image) if self.transform else image), int(self.labels[index])

    @property
    def num_labels(self) -> int:
        """How many classes the label map has."""
        return len(self.classes)

    def _images(self) -> Any:
        if self._file is None or self._opened_by != os.getpid():  # an HDF5 handle must not cross a fork
            self._file, self._opened_by = layout.open_file(self.path, layout.DATASET), os.getpid()
            if self._file.attrs["content_digest"] != self._digest:
                raise DataError(f"{self.path} was replaced since this dataset was opened: open it again")
        return self._file[f"{self.subset}_images"]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}
