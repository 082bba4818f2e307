"""dataset.h5 for PyTorch: a Dataset, and a loader that is faster than DataLoader. Needs h5py, numpy and torch alone."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from imageset import layout, rows
from imageset.errors import DataError
from imageset.loading import Loader
from imageset.order import Order, Shuffle

BLOCK_BYTES = 1 << 20


class ImageSet(Dataset[tuple[Any, Any]]):
    """One subset of a dataset file, map-style: item i is (image, label), as in torchvision's datasets.

    An image is a uint8 tensor (C, H, W), or what `transform` makes of it; with `normalize` then float32, each channel
    less its mean, by its standard deviation over the training photos. A label is an int from 0 to num_labels - 1, or
    what `target_transform` makes of it. With `augmented=False` augmented copies are left out.

    classes: the classes' names by label; of names that several classes have, with the catalog_id behind them.
    class_to_idx: labels by name. catalog_ids: the marketplace's number of each class, by label.
    targets: the labels of all images. labels and product_ids: int64 tensors (N,), by image.
    mean, std: float32 tensors (C,), of values from 0 to 255.

    Can be pickled, handed to DataLoader's workers however they are started, and used in several threads. `verify` reads
    the whole file and holds it against the digest that stands in it.

    Raises DataError when the file is not a complete dataset of this format version, or has no such subset.

    Example::

        train = ImageSet("data/dataset.h5", subset="train")
        image, label = train[0]
    """

    def __init__(self, path: str | Path, subset: str = "train", transform: Callable[[torch.Tensor], Any] | None = None,
                 target_transform: Callable[[int], Any] | None = None, *, normalize: bool = False,
                 augmented: bool = True, verify: bool = False) -> None:
        self.path = Path(path)
        self.subset = subset
        self.transform = transform
        self.target_transform = target_transform
        self.normalize = normalize
        with layout.open_file(self.path, layout.DATASET) as file:
            try:
                self._read(file, augmented)
                if verify and layout.content_digest(file) != self.content_digest:
                    raise DataError(f"{path} does not hold what its content_digest says: fetch or build it again")
            except (KeyError, OSError, RuntimeError) as error:  # by where the damage is
                raise DataError(f"{path} is damaged ({error}): fetch or build it again") from None

    def _read(self, file: h5py.File, augmented: bool) -> None:
        """Read all but the images."""
        if self.subset not in layout.subsets(file):
            raise DataError(f"{self.path} has no subset {self.subset!r}; it has {', '.join(layout.subsets(file))}")
        self.content_digest = str(file.attrs["content_digest"])
        self.mean, self.std = (torch.tensor(file.attrs[name], dtype=torch.float32) for name in ("mean", "std"))
        self.catalog_ids = layout.catalog_ids(file)
        self.classes = layout.unique_names(file["class_names"].asstr()[:].tolist(), self.catalog_ids)
        labels, product_ids = file[f"{self.subset}_labels"][:], file[f"{self.subset}_ids"][:]
        self._images: rows.Images | None = rows.open_images(file, f"{self.subset}_images")
        count, *self.image_shape = self._images.shape
        if not len(labels) == len(product_ids) == count or not ((labels >= 0) & (labels < len(self.classes))).all():
            raise DataError(f"{self.path} has not a label of its label map for every image: fetch or build it again")
        self.file_rows: NDArray[np.int64] = np.arange(count)
        if not augmented and f"{self.subset}_copies" in file:
            self.file_rows = np.flatnonzero(file[f"{self.subset}_copies"][:] == 0)
        self.labels, self.product_ids = (torch.from_numpy(values[self.file_rows]) for values in (labels, product_ids))

    @property
    def images(self) -> rows.Images:
        """The images of the subset as they lie in the file, uint8 (N, H, W, C); item i is image file_rows[i]."""
        if self._images is None:  # another process than the one that opened the file
            with layout.open_file(self.path, layout.DATASET) as file:
                if file.attrs["content_digest"] != self.content_digest:
                    raise DataError(f"{self.path} was replaced since this dataset was opened: open it again")
                self._images = rows.open_images(file, f"{self.subset}_images")
        return self._images

    @property
    def num_labels(self) -> int:
        """How many classes the label map has."""
        return len(self.classes)

    @cached_property
    def class_to_idx(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self.classes)}

    @cached_property
    def targets(self) -> list[int]:
        labels: list[int] = self.labels.tolist()
        return labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Iterable[int]) -> list[tuple[Any, Any]]:
        """Return several items, read together: what DataLoader asks for. Raises IndexError when one is out of range."""
        items = np.fromiter(indices, np.int64)
        wrong = items[(items < -len(self)) | (items >= len(self))]
        if len(wrong):
            raise IndexError(f"index {wrong[0]} is out of range for {len(self)} images")
        if not len(items):
            return []
        pixels = np.empty((len(items), *self.image_shape), np.uint8)
        self.images.gather(self.file_rows[items], pixels)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        samples = [self.transformed(image, label)
                   for image, label in zip(images, self.labels[torch.from_numpy(items)].tolist(), strict=True)]
        return [(self.normalized(image), target) for image, target in samples] if self.normalize else samples

    def transformed(self, image: torch.Tensor, label: int) -> tuple[Any, Any]:
        """Return a sample after the transforms, not yet normalised."""
        return (self.transform(image) if self.transform else image,
                self.target_transform(label) if self.target_transform else label)

    def normalized(self, images: Any) -> torch.Tensor:
        """Return uint8 images (..., C, H, W) as float32, normalised, on the device where they are.

        Each value times 1 / std, less mean / std: in float32, the same bits wherever it is computed. Raises TypeError
        for anything else than a uint8 tensor, such as a transform may make.
        """
        if not isinstance(images, torch.Tensor) or images.dtype != torch.uint8:
            found = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
            raise TypeError(f"normalize=True needs images as uint8 tensors, a transform made {found}: leave them "
                            "uint8, or normalise in the transform alone")
        scale, shift = (torch.from_numpy(values)[:, None, None].to(images.device) for values in self.scale_and_shift())
        return images.to(torch.float32).mul_(scale).add_(shift)

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what each channel is multiplied by, then moved by, to be normalised: float32 (C,), (C,)."""
        mean, std = self.mean.double().numpy(), self.std.double().numpy()
        std = np.where(std == 0, 1, std)  # all pixels alike: 0, not a division by zero
        return (1 / std).astype(np.float32), (-mean / std).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "targets"} | {"_images": None}

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.image_shape))
        return (f"ImageSet({str(self.path)!r}, {self.subset!r}): {len(self):,} images of {shape}, "
                f"{self.num_labels} classes")


def loader(dataset: ImageSet, batch_size: int, shuffle: Shuffle = False, *, seed: int = 0, epoch: int = 0,
           rank: int = 0, world_size: int = 1, drop_last: bool = False, device: torch.device | str = "cpu",
           threads: int = 0, buffer_bytes: int = 128 << 20) -> Loader:
    """Return a dataset's batches: (images, labels), images uint8 (B, C, H, W), or float32 where it has `normalize`.

    Every loop is one epoch and the next loop the next; the order is a function of `seed` and `epoch` alone. Batches
    are made in `threads` (by default two, for a compressed file as many as torch has) while the training loop computes,
    and moved to `device`: uint8 travels, floats are made there. Their memory format is torch.channels_last. A batch may
    be kept: its memory is used again only when nothing refers to it.

    shuffle: False, in the file's order; True, all rows mixed, for a file that memory can hold; "blocks", blocks of 1 MB
    in mixed order, mixed again among `buffer_bytes` of images, for one that it cannot: three times `buffer_bytes` is
    what that takes.
    rank, world_size: of `world_size` processes each gets as many rows, in batches of the same lengths; for that up to
    world_size - 1 rows come twice, unless `drop_last` drops the rows that do not fill a batch on every rank.

    A transform of the dataset is called in the training loop's thread, an image at a time, so that torch.manual_seed
    decides what it draws; one that takes long is better off in DataLoader's workers.

    Raises ValueError for an argument that cannot be.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("world_size", world_size, 1), ("rank", rank, 0),
                               ("seed", seed, 0), ("epoch", epoch, 0), ("threads", threads, 0),
                               ("buffer_bytes", buffer_bytes, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}, it has to be {least} or more")
    if rank >= world_size:
        raise ValueError(f"rank is {rank}, it has to be below world_size, {world_size}")
    if shuffle not in (True, False, "blocks"):
        raise ValueError(f"shuffle is {shuffle!r}, it has to be True, False or 'blocks'")
    row_bytes = math.prod(dataset.image_shape)
    order = Order(len(dataset), batch_size, shuffle, seed, rank, world_size, drop_last,
                  block_rows=max(1, BLOCK_BYTES // row_bytes), window_rows=max(1, buffer_bytes // row_bytes))
    threads = threads or (2 if isinstance(dataset.images, rows.Contiguous) else torch.get_num_threads())
    return Loader(dataset, order, epoch=epoch, device=torch.empty(0, device=device).device, threads=threads)
