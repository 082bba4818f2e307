"""What happens to a batch between reading and the training loop: transforms, the device, normalisation."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import default_collate

from imageset.reader.image_set import ImageSet
from imageset.reader.torch_seed import seeded_torch

TransformBatch = Callable[[torch.Tensor], Any]
TRANSFORMS = 1  # ends the key of their random numbers: windows of "blocks" have keys of three numbers


def transform_items(dataset: ImageSet, images: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
    """Apply a dataset's transforms to each image, uint8 (B, C, H, W), and label, int64 (B,); collate the results."""
    samples = zip(images.contiguous(), labels.tolist(), strict=True)
    found, targets = default_collate([dataset.transformed(*sample) for sample in samples])
    return found, targets


def transform_batch(transform: TransformBatch, images: Any, device: torch.device, seed: int, *key: int) -> Any:
    """Call a transform of batches, for which torch's generators are seeded. They get their state back.

    Args:
        transform: Called with the images.
        images: A batch on its device.
        device: The device.
        seed: The loader's seed.
        key: Epoch, rank and number of the batch.
    """
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
