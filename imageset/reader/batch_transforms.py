"""What happens to a batch between reading and the training loop: transforms, the device, normalisation."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import default_collate

from imageset.reader.augment import Augment
from imageset.reader.image_set import ImageSet
from imageset.reader.row_order import seeded_generator
from imageset.reader.torch_seed import seeded_torch

TransformBatch = Callable[[torch.Tensor], Any]
TRANSFORMS = 1  # ends the key of their random numbers: windows of "blocks" have keys of three numbers


def transform_items(dataset: ImageSet, images: torch.Tensor, columns: list[torch.Tensor]) -> tuple[Any, list[Any]]:
    """Apply a dataset's transforms to each image and label of a batch, and collate the results.

    Args:
        dataset: Has the transforms.
        images: uint8 (B, C, H, W).
        columns: Labels, and what else a batch has, int64 (B,) each.

    Returns:
        The images, and the columns with the labels changed.
    """
    labels, *others = columns
    samples = zip(images.contiguous(), labels.tolist(), strict=True)
    found, targets = default_collate([dataset.transformed(*sample) for sample in samples])
    return found, [targets, *others]


def transform_images(transform: TransformBatch | None, images: Any, device: torch.device, seed: int, *key: int) -> Any:
    """Apply a transform of batches, with random numbers that depend on seed and key, and move images to the device.

    An Augment comes first, on the CPU. All others are called on the device, with torch's generators seeded.

    Args:
        transform: Called with the images, or None.
        images: A batch.
        device: The device.
        seed: The loader's seed.
        key: Epoch, rank and number of the batch.
    """
    if isinstance(transform, Augment):
        return move_tensors(transform.apply(images, seeded_generator(seed, *key, TRANSFORMS)), device)
    images = move_tensors(images, device)
    if transform is None:
        return images
    with seeded_torch(seed, *key, TRANSFORMS, device=device):
        return transform(images)


def move_tensors(value: Any, device: torch.device) -> Any:
    """Return the tensors of a nested batch on a device, everything else as it is."""
    if device.type == "cpu":
        return value
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        parts = [move_tensors(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {name: move_tensors(part, device) for name, part in value.items()}
    return value
