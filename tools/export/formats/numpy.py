"""Plain arrays: <subset>_images.npy, uint8 (N, S, S, C), and a column each of labels, ids, positions, copies, (N,)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from imageset.formats import hdf5
from imageset.runtime import files
from tools.export.parts import Part, Photo
from tools.export.source import Classes, Source, Subset

ENCODED = False
EXTRA_BYTES = sum(np.dtype(name).itemsize for name in hdf5.ROW_DTYPES.values())
VERSIONS = {"numpy": np.__version__}


def array_path(folder: Path, subset: Subset, name: str) -> Path:
    return folder / f"{subset.name}_{name}.npy"


def arrays(subset: Subset) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return each array's dtype and the shape of one row."""
    return {"images": ("uint8", subset.image_shape), **{name: (dtype, ()) for name, dtype in hdf5.ROW_DTYPES.items()}}


def prepare(folder: Path, source: Source) -> None:
    """Write the arrays' headers, to the disk: a part's rows come after them."""
    for subset in source.subsets:
        for name, (dtype, shape) in arrays(subset).items():
            header: dict[str, Any] = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                "fortran_order": False,
                "shape": (len(subset.rows), *shape),
            }
            path = array_path(folder, subset, name)
            with path.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
            files.sync(path)
    files.sync(folder)


def write_part(folder: Path, part: Part, classes: Classes, photos: Iterator[Photo], encoding: str) -> None:
    """Write the part's rows of each array. Written, not mapped: on a full disk mapped memory ends the process."""
    columns = {name: part.subset.column(name)[part.start : part.stop] for name in hdf5.ROW_DTYPES}
    contents = {
        "images": (photo.content for photo in photos),
        **{name: iter([values.tobytes()]) for name, values in columns.items()},
    }
    for name, (dtype, shape) in arrays(part.subset).items():
        path = array_path(folder, part.subset, name)
        with path.open("r+b") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            file.seek(part.start * int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)
            file.writelines(contents[name])
        files.sync(path)
