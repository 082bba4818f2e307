"""Read dataset.h5 in PyTorch: a Dataset, and a loader. All that `pip install` brings. Start with image_set.py."""

from imageset.reader.image_set import ImageSet, loader

__all__ = ["ImageSet", "loader"]
