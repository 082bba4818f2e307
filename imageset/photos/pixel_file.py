"""Write processed.h5 and thumbnails.h5: images of one shape, each at its place as it comes."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from imageset.formats import hdf5, row_checksums
from imageset.formats.hdf5 import Pixels
from imageset.formats.row_appender import appending

AddImage = Callable[[int, int, Pixels], None]


@contextmanager
def writing_images(path: Path, kind: str, image_shape: tuple[int, int, int], **attributes: Any) -> Iterator[AddImage]:
    """Yield a function that adds one image at a time: product id, position, image. All are written atomically.

    Args:
        path: the file.
        kind: its format, `hdf5.PROCESSED` or `hdf5.THUMBNAILS`.
        image_shape: of each image, uint8 (S, S, C).
        attributes: the file's attributes.
    """
    ids, positions = array("q"), array("h")
    with appending(path, kind, image_shape) as (file, rows):

        def add(product_id: int, position: int, image: Pixels) -> None:
            rows.append(image.tobytes())
            ids.append(product_id)
            positions.append(position)

        yield add
        rows.make_array(file, (len(ids), *image_shape))
        hdf5.add(file, "ids", np.array(ids, np.int64))
        hdf5.add(file, "positions", np.array(positions, np.int16))
        row_checksums.finish(file, rows.checksums, **attributes)
