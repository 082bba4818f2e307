"""Refuse an HDF5 file that has more than the plain arrays of our formats, before any array of it is read.

HDF5 can do more than a dataset needs: an array may be in other files, be computed from other arrays, or say that it is
a thousand times larger than what is stored of it. A stranger's file could use that to read other files of the machine,
or to fill its memory. So a file may have only what formats/hdf5.py writes: arrays of numbers and of fixed-width text in
its root, contiguous, or images with one chunk each. Together they store no more than the file's length.
"""

import math
import re
import zlib
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5o, h5s, h5t
from numpy.typing import NDArray

from imageset.errors import DamagedFile, DataError

GZIP, LZF = 1, 32000  # filters, by their numbers in HDF5's registry
SKIPPED = 1  # bit of a chunk's filter mask: it is stored uncompressed, because compression would have made it longer
INFLATED = 1032  # zlib makes at most so many bytes of one (zlib, "Technical Details")
MOST_ROW_BYTES = 4096 * 4096 * 3  # the largest image that params.yaml may ask for
MOST_ATTRIBUTES = 64
MOST_ATTRIBUTE_BYTES = 64 << 10
NAME = re.compile(rb"[A-Za-z0-9_]{1,300}")
NUMBERS = (
    *(h5t.STD_I8LE, h5t.STD_I16LE, h5t.STD_I32LE, h5t.STD_I64LE),
    *(h5t.STD_U8LE, h5t.STD_U16LE, h5t.STD_U32LE, h5t.STD_U64LE),
    *(h5t.IEEE_F32LE, h5t.IEEE_F64LE),
)
VERSION_3 = b"\x89HDF\r\n\x1a\n\x03"
# The first bytes of a file: HDF5's superblock, version 3, without user block and without extension.
SUPERBLOCK = re.compile(VERSION_3 + rb"\x08\x08.\x00{8}\xff{8}.{8}", re.DOTALL)


def require_our_superblock(path: Path, kind: str) -> None:
    """Raise DataError for HDF5 that does not begin as a file of formats/hdf5.py does."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(VERSION_3) and not SUPERBLOCK.match(start):
        raise DamagedFile(path, "cannot be read as HDF5 (its superblock is not one that imageset writes)")
    if not start.startswith(VERSION_3) and h5py.is_hdf5(path):
        raise DataError(f"{path} is not a file of format {kind}, but another HDF5 file")


def require_our_superblock_in(file: IO[bytes], name: object, kind: str) -> None:
    """Raise DataError for an open file that does not begin as a file of formats/hdf5.py does. name: for messages."""
    file.seek(0)
    if not SUPERBLOCK.match(file.read(64)):
        raise DataError(f"{name} is not a file of format {kind}, or it is damaged")


def require_plain_arrays(file: h5py.File, length: int) -> None:
    """Raise DamagedFile if a file has anything that no format of ours has, or one of HDF5's errors if it is damaged.

    It opens each array, and reads none.

    Args:
        file: an open file.
        length: bytes of the file.
    """
    stored = 0
    shapes: dict[str, tuple[int, ...]] = {}
    partial: list[str] = []
    for name in array_names(file):
        array = h5d.open(file.id, name)
        problem = problem_of_layout(array) or problem_of_shape(array)
        stored += array.get_storage_size() if not problem else 0
        if problem or stored > length:
            what = problem or "is longer than the file"
            raise DamagedFile(file.filename, f"is refused: its array {name.decode()} {what}")
        shapes[name.decode()] = array.shape
        if is_chunked(array) and array.get_num_chunks() < array.shape[0]:
            partial.append(name.decode())
    for lacking in partial:  # masks.h5 stores no chunk for a photo without a mask, but an id
        if lacking != "masks" or shapes.get("ids") != shapes[lacking][:1]:
            raise DamagedFile(file.filename, f"is refused: its array {lacking} lacks chunks")


def array_names(file: h5py.File) -> list[bytes]:
    """Return the names in a file's root. A link to elsewhere, a group or a type is refused."""
    names: list[bytes] = []
    linked: list[bytes] = []

    def note(name: bytes, info: Any) -> None:
        (names if info.type == h5l.TYPE_HARD and NAME.fullmatch(name) else linked).append(name)

    file.id.links.iterate(note, info=True)
    wrong = linked or [name for name in names if h5o.get_info(file.id, name).type != h5o.TYPE_DATASET]
    if wrong:
        raise DamagedFile(file.filename, f"is refused: {wrong[0][:100]!r} in it is no array of its own")
    return names


def is_chunked(array: h5d.DatasetID) -> bool:
    return bool(array.get_create_plist().get_layout() == h5d.CHUNKED)


def problem_of_layout(array: h5d.DatasetID) -> str:
    """Return what is wrong with where an array is stored, and with its type; "" for nothing."""
    properties = array.get_create_plist()
    layout = properties.get_layout()
    if layout not in (h5d.CONTIGUOUS, h5d.CHUNKED) or properties.get_external_count():
        return "is not stored in the file itself, as contiguous or chunked"
    kind = array.get_type()
    group = kind.get_class()
    if group == h5t.STRING:
        fits = not kind.is_variable_str()
    elif group == h5t.OPAQUE:  # h5py takes a tag for the name of a dtype, such as object: pointers from a file
        fits = kind.get_tag() == b""
    else:
        fits = any(kind.equal(number) for number in NUMBERS)
    if not fits or kind.committed():
        return "has neither numbers nor fixed-width text"
    filters = [properties.get_filter(place)[0] for place in range(properties.get_nfilters())]
    if filters not in ([[]] if layout == h5d.CONTIGUOUS else [[GZIP], [LZF]]):
        return f"has the filters {filters}"
    return ""


def problem_of_shape(array: h5d.DatasetID) -> str:
    """Return what is wrong with an array's shape and with how much it stores; "" for nothing."""
    space = array.get_space()
    if space.get_simple_extent_type() != h5s.SIMPLE or not 1 <= space.get_simple_extent_ndims() <= 4:
        return "has no rows"
    shape, most = space.get_simple_extent_dims(), space.get_simple_extent_dims(True)
    row = math.prod(shape[1:]) * array.get_type().get_size()
    declared = shape[0] * row
    if shape != most or row > MOST_ROW_BYTES:
        return f"has the shape {shape}, up to {most}"
    stored = array.get_storage_size()
    if not is_chunked(array):
        is_whole = stored == declared and (array.get_offset() is not None or not declared)
        return "" if is_whole else f"declares {declared:,} bytes and stores {stored:,}"
    properties = array.get_create_plist()
    if len(shape) < 3 or properties.get_chunk() != (1, *shape[1:]) or not array.get_type().equal(h5t.STD_U8LE):
        return "is not stored one image a chunk"
    chunks = array.get_num_chunks()
    if chunks > shape[0] or chunks * row > stored * INFLATED:
        return f"declares {declared:,} bytes and stores {stored:,} in {chunks:,} chunks"
    return problem_of_lzf(array, row) if properties.get_filter(0)[0] == LZF else ""


def problem_of_lzf(array: h5d.DatasetID, row: int) -> str:
    """Return whether h5py's filter lzf could need much memory for an array of older files: it finds the size itself."""
    sizes: list[int] = []
    array.chunk_iter(lambda chunk: sizes.append(chunk.size))
    buffer = array.get_create_plist().get_filter(0)[2][2:]
    return "" if max(sizes, default=0) <= row and buffer == (row,) else "has chunks of another size than its images"


def require_plain_attributes(file: h5py.File) -> None:
    """Raise DamagedFile if an attribute of a file is no number, no text, and no short list of these."""
    count = h5a.get_num_attrs(file.id)
    if count > MOST_ATTRIBUTES:
        raise DamagedFile(file.filename, f"is refused: it has {count:,} attributes")
    for number in range(count):
        attribute = h5a.open(file.id, index=number)
        kind, values = attribute.get_type(), attribute.get_space().get_simple_extent_npoints()
        is_plain = kind.get_class() in (h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.STRING)
        if not is_plain or values * kind.get_size() > MOST_ATTRIBUTE_BYTES:
            raise DamagedFile(file.filename, f"is refused: attribute {number} is neither numbers nor text")


def read_block(dataset: h5py.Dataset, block: slice) -> NDArray[Any]:
    """Return some rows of an array, never with more memory than they need.

    Read by HDF5, a compressed image of one kilobyte could become a megabyte that nobody asked for, or one of a gigabyte
    a terabyte: its filter makes whatever the chunk says.

    Raises:
        ValueError: a chunk is damaged.
    """
    if not has_images_in_gzip(dataset):
        return np.asarray(dataset[block])
    rows = range(*block.indices(len(dataset)))
    out = np.empty((len(rows), *dataset.shape[1:]), np.uint8)
    for row, image in zip(rows, out, strict=True):
        place = (row, *(0,) * (dataset.ndim - 1))
        try:
            mask, packed = dataset.id.read_direct_chunk(place)
        except RuntimeError:
            if dataset.id.get_chunk_info_by_coord(place).byte_offset is not None:
                raise
            image[...] = 0  # of masks.h5, for a photo without a mask
            continue
        if not unpack(np.frombuffer(packed, np.uint8), image, mask):
            raise ValueError(f"{dataset.name} at row {row}")
    return out


def has_images_in_gzip(dataset: h5py.Dataset) -> bool:
    """Return whether each image is one chunk, behind the filter gzip alone."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return dataset.chunks == (1, *dataset.shape[1:]) and filters == [GZIP]


def unpack(packed: NDArray[np.uint8], image: NDArray[np.uint8], mask: int) -> bool:
    """Fill an image with what its chunk has; return whether it was complete. mask: the chunk's filter mask."""
    if not mask & SKIPPED:
        return inflate(packed, image)
    if len(packed) != image.nbytes:
        return False
    image[...] = packed.reshape(image.shape)
    return True


def inflate(packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> bool:
    """Decompress zlib's format (RFC 1950); return whether it gave exactly what `out` has room for."""
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(packed.data, out.nbytes + 1)  # no more, however much the stream would give
    except zlib.error:
        return False
    if len(unpacked) != out.nbytes or not stream.eof:
        return False
    out[...] = np.frombuffer(unpacked, np.uint8).reshape(out.shape)
    return True
