"""The images of a dataset and their files: of an ImageSet, or of torch's Subset and ConcatDataset of ImageSets."""

import math
import operator
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset

from imageset.formats.hdf5 import Indices, Pixels
from imageset.formats.images import Images
from imageset.reader.image_set import ImageSet

SAME = ("image_shape", "classes", "class_ids", "normalize", "transform", "target_transform")  # attributes of all parts


@dataclass(frozen=True)
class Selection:
    """The rows of a dataset, whatever it is made of.

    Args:
        parts: The ImageSets that it is made of.
        items: Number of each row among the items of all parts, int64 (N,).
        is_whole: Whether it is one ImageSet.
    """

    parts: tuple[ImageSet, ...]
    items: Indices
    is_whole: bool

    def __len__(self) -> int:
        return len(self.items)

    @property
    def first(self) -> ImageSet:
        """An ImageSet with the options of all parts."""
        return self.parts[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of an image."""
        return math.prod(self.first.image_shape)

    @property
    def images(self) -> Images:
        """The images of all parts."""
        return self.first.images if len(self.parts) == 1 else JoinedImages([part.images for part in self.parts])

    @property
    def places(self) -> Indices:
        """The place in `images` of each row, int64 (N,)."""
        if self.is_whole:
            return self.first.file_rows
        starts = np.cumsum([0, *(part.images.shape[0] for part in self.parts)])
        return np.concatenate([part.file_rows + start for part, start in zip(self.parts, starts, strict=False)])[
            self.items
        ]

    @property
    def labels(self) -> torch.Tensor:
        """The label of each row, int64 (N,)."""
        return self.first.labels if self.is_whole else torch.cat([part.labels for part in self.parts])[self.items]

    @property
    def groups(self) -> torch.Tensor:
        """The group of each row, int64 (N,). Raises ValueError if there is none, or the parts are of several files."""
        groups = [part.groups for part in self.parts if part.groups is not None]
        if len(groups) < len(self.parts):
            raise ValueError(f"extras has 'groups', but {self.first.path} has format version 1, which has no groups")
        if len({part.content_digest for part in self.parts}) > 1:
            raise ValueError("extras has 'groups', but the groups of several files are not comparable")
        return torch.cat(groups)[self.items]

    def require_alike(self) -> None:
        """Raise ValueError unless all parts have the same shape, classes and options."""
        for part in self.parts[1:]:
            names = (*SAME, *(("mean", "std") if self.first.normalize else ()))
            for name in names:
                own, other = getattr(self.first, name), getattr(part, name)
                if not (torch.equal(own, other) if isinstance(own, torch.Tensor) else own == other):
                    raise ValueError(f"{self.first!r} and {part!r} differ in {name}: a loader needs the same")

    def describe(self) -> dict[str, Any]:
        """Return what names the data, as plain numbers and strings: part of a loader's state."""
        return {
            "content_digest": "+".join(part.content_digest for part in self.parts),
            "subset": "+".join(part.subset for part in self.parts),
            "selected": None if self.is_whole else zlib.crc32(self.items.tobytes()),
        }


def select(dataset: Any) -> Selection:
    """Find the rows of a dataset.

    Args:
        dataset: An ImageSet, or Subset and ConcatDataset of ImageSets, nested or not.

    Raises:
        TypeError: It is something else, or has a `__getitem__` of its own.
        IndexError: A Subset has an index that is out of range.
        ValueError: The ImageSets differ in shape, classes or options.
    """
    parts: dict[ImageSet, int] = {}
    items = number_items(dataset, parts)
    selection = Selection(tuple(parts), items, isinstance(dataset, ImageSet))
    selection.require_alike()
    return selection


def number_items(dataset: Any, parts: dict[ImageSet, int]) -> Indices:
    """Return the number of each of a dataset's items among the items of all parts, and add its parts to `parts`.

    Args:
        dataset: As `select` takes it.
        parts: The number of the first item of each part.
    """
    if is_plain(dataset, ConcatDataset):
        return np.concatenate([number_items(each, parts) for each in dataset.datasets])
    if is_plain(dataset, Subset):
        items = number_items(dataset.dataset, parts)
        return items[require_indices(dataset.indices, len(items))]
    if not is_plain(dataset, ImageSet):
        raise TypeError(
            f"loader reads the file of an ImageSet and does not call the __getitem__ of {type(dataset).__name__}: "
            "use torch.utils.data.DataLoader"
        )
    start = parts.setdefault(dataset, sum(map(len, parts)))
    return np.arange(start, start + len(dataset))


def is_plain(dataset: Any, kind: type[Any]) -> bool:
    """Return whether a dataset is of this kind, and its items are those of the kind."""
    return isinstance(dataset, kind) and type(dataset).__getitem__ is kind.__getitem__


def require_indices(indices: Any, count: int) -> Indices:
    """Return a Subset's indices, int64, those from the end as those from the start. Raises IndexError, TypeError."""
    found = np.fromiter(map(operator.index, indices), np.int64)
    wrong = found[(found < -count) | (found >= count)]
    if len(wrong):
        raise IndexError(f"index {wrong[0]} is out of range for {count} images")
    return found % count if count else found


class JoinedImages:
    """The images of several files, one file after the other."""

    def __init__(self, parts: list[Images]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *parts[0].shape[1:])
        self.readers = max(part.readers for part in parts)
        self.block_bytes = max(part.block_bytes for part in parts)
        self.first_bytes = max(part.first_bytes for part in parts)

    def gather(self, rows: Indices, out: Pixels) -> None:
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(which).tolist():
            wanted = np.flatnonzero(which == number)
            if len(wanted) == len(rows):
                self._parts[number].gather(rows - self._starts[number], out)
                return
            found = np.empty((len(wanted), *self.shape[1:]), np.uint8)
            self._parts[number].gather(rows[wanted] - self._starts[number], found)
            out[wanted] = found
