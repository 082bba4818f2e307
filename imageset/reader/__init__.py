"""Read dataset.h5 in PyTorch: a Dataset, and a loader. All that `pip install` brings. Start with image_set.py."""

from imageset.reader.augment import Augment
from imageset.reader.data_loader import loader
from imageset.reader.dvc_remote import remote
from imageset.reader.image_set import ImageSet
from imageset.reader.lineage import provenance

__all__ = ["Augment", "ImageSet", "loader", "provenance", "remote"]
