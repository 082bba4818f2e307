"""Plain arrays, one file each: <subset>_images.npy, uint8 (N, S, S, C); labels, ids, positions and copies, (N,).

And source_ids, text, groups, int64, and column_<name>, text, (N,).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageset.formats import hdf5
from tools.export.format import Photo
from tools.export.source import Classes, Subset

ENCODED = False
HAS_CARD = False
EXTRA_BYTES = sum(np.dtype(name).itemsize for name in hdf5.ROW_DTYPES.values())
VERSIONS = {"numpy": np.__version__}
VALUES_AT_ONCE = 1000
FILES = {"source_id": "source_ids", "group": "groups"}


def write_subset(folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write the images and one array per column."""
    shape = (subset.rows.total, *subset.image_shape)
    write_array(folder / f"{subset.name}_images.npy", "uint8", shape, (photo.content for photo in photos))
    for name, dtype in hdf5.ROW_DTYPES.items():
        write_array(folder / f"{subset.name}_{name}.npy", dtype, shape[:1], [subset.column(name).tobytes()])
    for name, values in subset.further.items():
        dtype = f"<U{max(map(len, values), default=1) or 1}" if values.dtype == object else values.dtype.str
        path = folder / f"{subset.name}_{FILES.get(name, f'column_{name}')}.npy"
        write_array(path, dtype, shape[:1], pieces(values, dtype))


def pieces(values: NDArray[Any], dtype: str) -> Iterator[bytes]:
    """Yield the bytes of an array in pieces: as text, each value takes the width of the longest, 4 bytes a letter."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE].astype(dtype).tobytes()


def write_array(path: Path, dtype: str, shape: tuple[int, ...], contents: Iterable[bytes]) -> None:
    """Write an array piece by piece. It is not mapped: on a full disk, mapped memory kills the process."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.writelines(contents)
