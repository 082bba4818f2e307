"""Which dataset a model was trained on, for the tracker of experiments."""

import json
from pathlib import Path
from typing import Any

from imageset.errors import DamagedFile
from imageset.reader.bucket_file import Place
from imageset.reader.image_set import ImageSet
from imageset.reader.sources import open_source


def provenance(dataset: str | Path | Place | ImageSet) -> dict[str, Any]:
    """Return what a dataset file says of itself, to be logged with a training run.

    Args:
        dataset: An `ImageSet`, or the path, URL or place that it takes.

    Returns:
        Plain values alone: "content_digest" (str, the sha256 of the content), "format_version" (int) and "params" (the
        sections `augment` and `build` of params.yaml).

    Raises:
        DataError: As `ImageSet`.

    Example::

        provenance("data/dataset.h5")["content_digest"]
    """
    source = dataset.source if isinstance(dataset, ImageSet) else open_source(dataset, cache_dir=None, cache_bytes=0)
    with source.open() as file:
        params = json.loads(file.attrs["params"])
        if not isinstance(params, dict):
            raise DamagedFile(source.path, "has params that are no sections")
        return {
            "content_digest": str(file.attrs["content_digest"]),
            "format_version": int(file.attrs["format_version"]),
            "params": params,
        }
