"""dataset.h5 as a PyTorch Dataset. Needs only h5py, numpy and torch."""

import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, default_collate

from imageset.errors import DamagedFile, DataError
from imageset.formats import hdf5
from imageset.formats.channel_stats import ChannelStats
from imageset.formats.hdf5 import Indices
from imageset.formats.images import Images
from imageset.reader.bucket_file import Place
from imageset.reader.class_weights import Scheme, weigh_classes
from imageset.reader.folds import deal_groups
from imageset.reader.sources import open_source

CACHE_BYTES = 16 << 30


class ImageSet(Dataset[tuple[Any, Any]]):
    """One subset of dataset.h5 as a map-style dataset. Item i is (image, label), as in torchvision's datasets.

    An image is a uint8 tensor (C, H, W); C is 1 for grayscale and 3 for RGB. A label is an int from 0 to
    num_labels - 1. Several indices at once give a batch, as `torch.utils.data.default_collate` makes it of the items:
    images uint8 (B, C, H, W), labels int64 (B,). They may be a list, a tuple, a range, a slice, an array or a tensor,
    of numbers or of one bool for each item.

    An ImageSet can be pickled, used in several threads, and passed to DataLoader's workers, whatever their start
    method.

    Args:
        path: The dataset file; or "s3://bucket/key" for one in a bucket, which must have no compression; or what
            `remote` returns.
        subset: "train", "validation" or "test".
        transform: Called with each image, uint8 (C, H, W). Its result takes the image's place in the item.
        target_transform: Called with each label, an int. Its result takes the label's place in the item.
        normalize: Make images float32, less the mean and divided by the standard deviation of the training photos,
            channel by channel. This runs after `transform`, which must then return uint8.
        augmented: False leaves out augmented copies.
        verify: Read the whole file and compare it with its digest, and `mean` and `std` with its photos.
        cache_dir: Folder that keeps what was read from a bucket, for later epochs and other processes. None:
            `imageset` in $XDG_CACHE_HOME or ~/.cache.
        cache_bytes: The most bytes in this folder. 0 keeps nothing.

    Attributes:
        path (pathlib.Path or str): The absolute path of the file, or its URL.
        classes (list[str]): Class names, by label. A name that several classes share is followed by the class id.
        catalog_ids (list[int]): The number of each class, by label. Where the marketplace's own id is text, it is the
            first 63 bits of the text's sha256.
        class_ids (list[int] or list[str]): The marketplace's own id of each class, by label.
        labels (torch.Tensor): The label of each item, int64 (N,).
        product_ids (torch.Tensor): The number of each item's product, int64 (N,), as catalog_ids.
        groups (torch.Tensor or None): The group of each item, int64 (N,). Items that show one picture or one product
            are in one group, and a group is in one subset. None in files of format version 1, which lack it.
        copies (torch.Tensor): Which copy of its photo each item is, int16 (N,): 0 for the photo itself.
        mean (torch.Tensor): The mean of each channel over the training photos, 0 to 255, float32 (C,).
        std (torch.Tensor): The standard deviation of each channel over the training photos, float32 (C,).
        image_shape (list[int]): The shape of an image in the file, (H, W, C).
        content_digest (str): A sha256 of the file's content.
        file_rows (numpy.ndarray): The row of each item in the file's arrays, int64 (N,).
        source (Source): Where the file is; `provenance` asks it.

    Raises:
        DataError: The file is not a complete dataset of format version 1 or 2, it is damaged, or it lacks the subset.
            FetchFailed, a kind of DataError: a bucket cannot be reached, or refuses.
        ImportError: The path is a URL, and obstore is not installed.

    Example::

        train = ImageSet("data/dataset.h5", subset="train")
        image, label = train[0]
    """

    def __init__(
        self,
        path: str | Path | Place,
        subset: str = "train",
        transform: Callable[[torch.Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        normalize: bool = False,
        augmented: bool = True,
        verify: bool = False,
        cache_dir: str | Path | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.source = open_source(path, cache_dir, cache_bytes)
        self.path = self.source.path
        self.subset = subset
        self.transform = transform
        self.target_transform = target_transform
        self.normalize = normalize
        self._targets: list[int] | None = None
        self._source_ids: NDArray[Any] | None = None
        self._columns: dict[str, NDArray[Any]] | None = None
        with self.source.open() as file:
            if subset not in hdf5.subsets(file):
                raise DataError(f"{path} has no subset {subset!r}; it has {', '.join(hdf5.subsets(file))}")
            self._read(file)
            if not augmented:
                self._keep_rows(np.flatnonzero(self.copies.numpy() == 0))
            if verify:
                self._verify(file)

    def _read(self, file: h5py.File) -> None:
        """Read all but the images. Raises DamagedFile, or one of HDF5_ERRORS, if the file breaks the format."""
        self._images: Images | None = self.source.open_images(file, f"{self.subset}_images")
        count, *self.image_shape = self._images.shape
        self.content_digest = str(file.attrs["content_digest"])
        self.catalog_ids = hdf5.catalog_ids(file)
        self.class_ids = hdf5.class_ids(file) if "class_ids" in file else list(self.catalog_ids)
        names = file["class_names"].asstr()[:].tolist()
        self.classes = hdf5.unique_names(names, self.class_ids)
        dtypes = {"labels": "int64", "ids": "int64", "copies": "int16", "groups": "int64"}
        columns = {
            name: file[f"{self.subset}_{name}"]
            for name in dtypes
            if f"{self.subset}_{name}" in file or name in ("labels", "ids")
        }
        statistics = [np.asarray(file.attrs[name], np.float64) for name in ("mean", "std")]
        if any(values.shape != (count,) or values.dtype != dtypes[name] for name, values in columns.items()):
            raise DamagedFile(self.path, "lacks a label, an id, a group or a copy number for some image")
        arrays = {name: values[:] for name, values in columns.items()}
        if (
            not len(names) == len(self.catalog_ids) == len(self.class_ids)
            or ((arrays["labels"] < 0) | (arrays["labels"] >= len(names))).any()
        ):
            raise DamagedFile(self.path, "has labels or class names that its label map lacks")
        if any(
            values.shape != (self.image_shape[-1],) or not ((values >= 0) & (values <= 255)).all()
            for values in statistics
        ):
            raise DamagedFile(self.path, "lacks a mean or a standard deviation for some channel")
        self.labels, self.product_ids = torch.from_numpy(arrays["labels"]), torch.from_numpy(arrays["ids"])
        self.groups = torch.from_numpy(arrays["groups"]) if "groups" in arrays else None
        self.copies = torch.from_numpy(arrays.get("copies", np.zeros(count, np.int16)))
        self.mean, self.std = (torch.from_numpy(values.astype(np.float32)) for values in statistics)
        self.file_rows: Indices = np.arange(count)

    def _verify(self, file: h5py.File) -> None:
        """Raise DamagedFile unless digest, mean and standard deviation are those of the content."""
        hdf5.require_equal_lengths(file)
        digest, stats = hashlib.sha256(), ChannelStats(file["train_images"].shape[-1])
        plain = file["train_copies"][:] == 0
        for name, block, values in hdf5.digested(file, digest):
            if name == "train_images":
                stats.add(values[plain[block]])
        if digest.hexdigest() != self.content_digest:
            raise DamagedFile(self.path, "does not hold what its content_digest says")
        if stats.count and any(
            file.attrs[name].tolist() != found for name, found in (("mean", stats.mean()), ("std", stats.std()))
        ):
            raise DamagedFile(self.path, "has another mean or standard deviation than its training photos")

    def _keep_rows(self, rows: Indices) -> None:
        """Leave out all other rows."""
        self.file_rows = rows
        self.labels, self.product_ids, self.copies = self.labels[rows], self.product_ids[rows], self.copies[rows]
        self.groups = None if self.groups is None else self.groups[rows]

    @contextmanager
    def _opened_again(self) -> Iterator[h5py.File]:
        """Yield the file, open. Raises DataError if another dataset has its place by now."""
        with self.source.open() as file:
            if file.attrs["content_digest"] != self.content_digest:
                raise DataError(f"{self.path} was replaced since this dataset was opened: open it again")
            yield file

    @property
    def images(self) -> Images:
        """All images of the subset in the file, uint8 (N, H, W, C). Item i is image file_rows[i]."""
        if self._images is None:  # in another process than the one that opened the file
            with self._opened_again() as file:
                self._images = self.source.open_images(file, f"{self.subset}_images")
        return self._images

    @property
    def source_ids(self) -> NDArray[Any]:
        """The marketplace's own id of each item's product, (N,): int64 where all ids of the file are whole numbers,
        else str (dtype object). Read when first used."""
        if self._source_ids is None:
            with self._opened_again() as file:
                name = f"{self.subset}_source_ids"
                self._source_ids = self._read_text(file, name) if name in file else self.product_ids.numpy()
        return self._source_ids

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The further columns of each item by name, such as columns["brand"]: str (dtype object), (N,) each; "" where
        the marketplace has no value. Read when first used. A file of format version 1 has none."""
        if self._columns is None:
            with self._opened_again() as file:
                self._columns = {
                    name: self._read_text(file, f"{self.subset}{hdf5.COLUMN}{name}") for name in hdf5.column_names(file)
                }
        return self._columns

    def _read_text(self, file: h5py.File, name: str) -> NDArray[Any]:
        """Return the texts of all items. Raises DamagedFile if the file has none for some image."""
        if file[name].shape != self.images.shape[:1]:
            raise DamagedFile(self.path, f"lacks a value of {name} for some image")
        return hdf5.read_text(file, name)[self.file_rows]

    @property
    def num_labels(self) -> int:
        """Number of classes in the label map."""
        return len(self.classes)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Label of each class, by its name in `classes`."""
        return {name: label for label, name in enumerate(self.classes)}

    @property
    def targets(self) -> list[int]:
        """Labels of all items, as a list."""
        if self._targets is None:
            self._targets = self.labels.tolist()
        return self._targets

    @property
    def class_counts(self) -> torch.Tensor:
        """Number of items of each class, int64 (num_labels,)."""
        return torch.bincount(self.labels, minlength=self.num_labels)

    def class_weights(self, scheme: Scheme, *, beta: float = 0.999) -> torch.Tensor:
        """Return a weight for each class, as `torch.nn.functional.cross_entropy(weight=...)` takes them.

        The mean of the weights over all items is 1, so a learning rate need not change. (Cui et al. normalise the sum
        over the classes instead.)

        Args:
            scheme: "inverse": all classes count the same, however many items they have. "effective": between that and
                no weights, by the effective number of Cui et al., Class-Balanced Loss Based on Effective Number of
                Samples, CVPR 2019: (1 - beta^n) / (1 - beta) for a class of n items.
            beta: For "effective": from 0, where all weights are 1, to below 1. Classes of many more than 1 / (1 - beta)
                items all weigh about the same.

        Returns:
            float32 (num_labels,). Classes without items have 0.

        Raises:
            ValueError: The scheme is unknown, or `beta` is out of range.
        """
        return torch.from_numpy(weigh_classes(self.class_counts.numpy(), scheme, beta).astype(np.float32))

    def folds(self, k: int) -> list[tuple[Indices, Indices]]:
        """Divide the items into k folds for cross-validation: no group is in two, classes are spread evenly.

        The folds are the same each time, and the same photos with and without augmented copies. Copies are in training
        parts only. A class of fewer than k groups is missing in some folds.

        Args:
            k: Number of folds, from 2 to the number of groups.

        Returns:
            A pair for each fold: the items to train on, and the items to evaluate on, int64, ascending. Each photo is
            in one of the second arrays.

        Raises:
            DataError: The file has no groups, as those of format version 1.
            ValueError: `k` is out of range.

        Example::

            for training, held_out in photos.folds(5):
                training_photos = torch.utils.data.Subset(photos, training)
        """
        if self.groups is None:
            raise DataError(f"{self.path} has format version 1, which has no groups: build it again for folds")
        labels, groups, photo = self.labels.numpy(), self.groups.numpy(), self.copies.numpy() == 0
        # Photos alone are dealt: classes may have different numbers of copies, and these follow their photos.
        names, first = np.unique(groups[photo], return_index=True)
        if not np.isin(groups, names).all():
            raise DamagedFile(self.path, "has copies whose photo is missing")
        of_group = deal_groups(labels[photo], groups[photo], k)[first]
        fold_of = of_group[np.searchsorted(names, groups)]
        return [(np.flatnonzero(fold_of != fold), np.flatnonzero((fold_of == fold) & photo)) for fold in range(k)]

    def __len__(self) -> int:
        return len(self.labels)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__getitem__" in vars(cls) and "__getitems__" not in vars(cls):
            cls.__getitems__ = None  # type: ignore[assignment]  # else DataLoader would not call its __getitem__

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        items = select_items(index, len(self))
        if items is None:
            return self._samples(*self._read_items(np.array([operator.index(index)])))[0]
        images, labels = self._read_items(items)
        if not len(items) and (self.transform or self.target_transform):
            raise IndexError("no items were chosen: what a transform makes of none is not known")
        if self.transform is None and self.target_transform is None:
            return self.normalized(images) if self.normalize else images, labels
        images, labels = default_collate(self._samples(images, labels))
        return images, labels

    def __getitems__(self, indices: Iterable[int]) -> list[tuple[Any, Any]]:
        """Return several items, read together. DataLoader calls this. Raises IndexError when one is out of range."""
        return self._samples(*self._read_items(np.fromiter(map(operator.index, indices), np.int64)))

    def _read_items(self, items: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images as they are in the file, uint8 (B, C, H, W), and their labels, int64 (B,)."""
        wrong = items[(items < -len(self)) | (items >= len(self))]
        if len(wrong):
            raise IndexError(f"index {wrong[0]} is out of range for {len(self)} images")
        pixels = np.empty((len(items), *self.image_shape), np.uint8)
        if len(items):
            self.images.gather(self.file_rows[items], pixels)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), self.labels[torch.from_numpy(items)]

    def _samples(self, images: torch.Tensor, labels: torch.Tensor) -> list[tuple[Any, Any]]:
        """Return the items of these images: transformed, then normalised."""
        samples = [self.transformed(image, label) for image, label in zip(images, labels.tolist(), strict=True)]
        return [(self.normalized(image), target) for image, target in samples] if self.normalize else samples

    def transformed(self, image: torch.Tensor, label: int) -> tuple[Any, Any]:
        """Apply `transform` to an image, uint8 (C, H, W), and `target_transform` to its label."""
        return (
            self.transform(image) if self.transform else image,
            self.target_transform(label) if self.target_transform else label,
        )

    def normalized(self, images: Any) -> torch.Tensor:
        """Normalise images on their device.

        A value becomes value * (1 / std) - mean / std, computed in float32. The bits are the same on every device.

        Args:
            images: uint8 tensor (..., C, H, W).

        Returns:
            The normalised images, float32, same shape.

        Raises:
            TypeError: `images` is not a uint8 tensor. A transform may have made it something else.
        """
        if not isinstance(images, torch.Tensor) or images.dtype != torch.uint8:
            found = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
            raise TypeError(
                f"normalize=True needs images as uint8 tensors, a transform made {found}: return uint8 from the "
                "transform, or leave out normalize and normalise in the transform"
            )
        scale, shift = (torch.from_numpy(values)[:, None, None].to(images.device) for values in self.scale_and_shift())
        return images.to(torch.float32).mul_(scale).add_(shift)

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the factor and the summand that normalise each channel, float32 (C,) each: 1 / std, -mean / std."""
        mean, std = self.mean.double().numpy(), self.std.double().numpy()
        std = np.where(std == 0, 1, std)  # all pixels are equal: avoid a division by zero
        return (1 / std).astype(np.float32), (-mean / std).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_images": None, "_targets": None, "_source_ids": None, "_columns": None}

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.image_shape))
        return (
            f"ImageSet({str(self.path)!r}, {self.subset!r}): {len(self):,} images of {shape}, {self.num_labels} classes"
        )


def select_items(index: Any, count: int) -> Indices | None:
    """Return the numbers of the items that an index selects; None if it is the number of one item.

    >>> select_items(slice(-2, None), 10), select_items([3, 1], 10), select_items(np.int64(7), 10)
    (array([8, 9]), array([3, 1]), None)
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(count))
    if not isinstance(index, list | tuple | range) and getattr(index, "ndim", 0) == 0:
        operator.index(index)  # which raises TypeError for what is no number
        return None
    items = np.asarray(index)
    if items.dtype == bool and items.shape == (count,):
        return np.flatnonzero(items)
    if items.ndim != 1 or (items.dtype.kind not in "iu" and len(items)):
        raise IndexError(
            f"{items.dtype} {items.shape} selects no images: an index is a whole number, a slice, whole numbers (B,), "
            f"or one bool for each of the {count} images"
        )
    return items.astype(np.int64)
