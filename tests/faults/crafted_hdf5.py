"""Dataset files as somebody writes them who means harm. Each function changes a good file in one way.

Those of EDITS change it through h5py; those of PATCHES change its bytes, behind which all checksums are right again.
"""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

ROWS = 16  # of train, as tests/faults/dataset_bytes.py writes it
IMAGE = (6, 6, 3)
TEXT_TYPE = bytes.fromhex("19010100 10000000 10000000")  # of any length; behind it is the size of a letter
GZIP, SHUFFLE, FLETCHER, LZF, ZSTANDARD = 1, 2, 3, 32000, 32015

EDITS: list[Callable[[h5py.File], None]] = []
PATCHES: list[Callable[[bytes], bytes]] = []


def edit(function: Callable[[h5py.File], None]) -> Callable[[h5py.File], None]:
    EDITS.append(function)
    return function


def patch(function: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    PATCHES.append(function)
    return function


def put(file: h5py.File, name: str, *arguments: Any, **options: Any) -> h5py.Dataset:
    """Put another array in the place of one."""
    del file[name]
    return file.create_dataset(name, *arguments, **options)


def put_typed(file: h5py.File, name: str, kind: h5t.TypeID, rows: int = ROWS, fill: bytes = b"") -> None:
    """Put an array of a type that NumPy has no name for; fill: the bytes of all values."""
    del file[name]
    array = h5d.create(file.id, name.encode(), kind, h5s.create_simple((rows,)))
    if fill:
        array.write(h5s.ALL, h5s.ALL, np.frombuffer(fill, np.uint8), mtype=kind)


def put_images(file: h5py.File, shape: tuple[int, ...], chunks: tuple[int, ...], filters: list[int]) -> h5d.DatasetID:
    """Put training images behind filters, without any chunk."""
    del file["train_images"]
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(chunks)
    for number in filters:
        if number == GZIP:
            properties.set_deflate(4)
        else:
            properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, None if number < LZF else (4, 0, 2**32 - 1))
    return h5d.create(file.id, b"train_images", h5t.STD_U8LE, h5s.create_simple(shape), properties)


# Values that are somewhere else.


@edit
def labels_in_another_file(file: h5py.File) -> None:
    put(file, "train_labels", (ROWS,), "int64", external=[("/etc/passwd", 0, 8 * ROWS)])


@edit
def images_in_an_endless_file(file: h5py.File) -> None:
    put(file, "train_images", (ROWS, *IMAGE), "uint8", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])


@edit
def names_in_three_files(file: h5py.File) -> None:
    parts = [(f"/etc/{name}", 0, 10) for name in ("passwd", "group", "hostname")]
    put(file, "class_names", (3,), "S10", external=parts)


@edit
def labels_computed_of_another_file(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((ROWS,), "int64")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (ROWS,))
    del file["train_labels"]
    file.create_virtual_dataset("train_labels", layout)


@edit
def labels_computed_of_themselves(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((ROWS,), "int64")
    layout[:] = h5py.VirtualSource(".", "train_labels", (ROWS,))
    del file["train_labels"]
    file.create_virtual_dataset("train_labels", layout)


@edit
def images_computed_of_nothing(file: h5py.File) -> None:
    del file["train_images"]
    file.create_virtual_dataset("train_images", h5py.VirtualLayout((10**9, *IMAGE), "uint8"), fillvalue=7)


@edit
def images_computed_of_numbered_files(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((ROWS, *IMAGE), "uint8", maxshape=(None, *IMAGE))
    layout[: h5s.UNLIMITED, ...] = h5py.VirtualSource("part-%b.h5", "x", (1, *IMAGE))
    del file["train_images"]
    file.create_virtual_dataset("train_images", layout)


@edit
def soft_link_to_an_array(file: h5py.File) -> None:
    del file["train_ids"]
    file["train_ids"] = h5py.SoftLink("/train_labels")


@edit
def soft_link_to_itself(file: h5py.File) -> None:
    del file["train_ids"]
    file["train_ids"] = h5py.SoftLink("/train_ids")


@edit
def link_to_another_file(file: h5py.File) -> None:
    del file["class_names"]
    file["class_names"] = h5py.ExternalLink("/etc/passwd", "/x")


@edit
def link_to_the_file_itself(file: h5py.File) -> None:
    del file["class_names"]
    file["class_names"] = h5py.ExternalLink(Path(file.filename).name, "/class_names")


# Objects that are no arrays.


@edit
def group_for_an_array(file: h5py.File) -> None:
    del file["train_labels"]
    file.create_group("train_labels")


@edit
def groups_in_groups(file: h5py.File) -> None:
    file.create_group("/".join(["deeper"] * 500))


@edit
def root_in_itself(file: h5py.File) -> None:
    file["train_column_loop"] = file["/"]


@edit
def type_for_an_array(file: h5py.File) -> None:
    file["test_column_kind"] = np.dtype("int64")


@edit
def thousand_names_of_one_array(file: h5py.File) -> None:
    for number in range(1000):
        file[f"train_column_c{number}"] = file["train_images"]


@edit
def array_of_no_name(file: h5py.File) -> None:
    h5d.create(file.id, b"train_column_\xff", h5t.STD_I64LE, h5s.create_simple((ROWS,)))


@edit
def array_of_a_long_name(file: h5py.File) -> None:
    file["train_column_" + "a" * 60_000] = [b"a"] * ROWS


# Arrays that declare more than they store.


@edit
def labels_without_storage(file: h5py.File) -> None:
    put(file, "train_labels", (2**37,), "int64")


@edit
def images_without_storage(file: h5py.File) -> None:
    put(file, "train_images", (2**30, *IMAGE), "uint8", fillvalue=3)


@edit
def compressed_images_without_chunks(file: h5py.File) -> None:
    put_images(file, (2**30, *IMAGE), (1, *IMAGE), [GZIP])


@edit
def one_chunk_of_many(file: h5py.File) -> None:
    images = put_images(file, (10**6, *IMAGE), (1, *IMAGE), [GZIP])
    images.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(108)))


@edit
def image_that_inflates_to_a_gigabyte(file: h5py.File) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(3000)), packer.flush()])
    images = put_images(file, (ROWS, 96, 96, 3), (1, 96, 96, 3), [GZIP])
    for row in range(ROWS):
        images.write_direct_chunk((row, 0, 0, 0), bomb)


@edit
def image_of_a_gigabyte(file: h5py.File) -> None:
    shape = (1, 20_000, 20_000, 3)
    put_images(file, shape, shape, [GZIP]).write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(1 << 20)))


@edit
def image_of_a_gigabyte_that_is_there(file: h5py.File) -> None:
    shape = (1, 20_000, 20_000, 3)
    packer = zlib.compressobj(9)
    whole = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(1145)), packer.flush()])
    put_images(file, shape, shape, [GZIP]).write_direct_chunk((0, 0, 0, 0), whole)


@edit
def images_behind_lzf_that_asks_for_memory(file: h5py.File) -> None:
    images = put_images(file, (ROWS, *IMAGE), (1, *IMAGE), [LZF])
    for row in range(ROWS):
        images.write_direct_chunk((row, 0, 0, 0), bytes(200))


@edit
def chunks_of_all_images(file: h5py.File) -> None:
    put_images(file, (2**20, *IMAGE), (2**20, *IMAGE), [GZIP]).write_direct_chunk(
        (0, 0, 0, 0), zlib.compress(bytes(1 << 26))
    )


@edit
def chunks_of_a_part_of_an_image(file: h5py.File) -> None:
    put(file, "train_images", data=np.zeros((ROWS, *IMAGE), np.uint8), chunks=(1, 2, 2, 1), compression="gzip")


@edit
def chunks_of_labels(file: h5py.File) -> None:
    put(file, "train_labels", (2**37,), "int64", chunks=(2**20,), compression="gzip")


@edit
def images_that_may_grow(file: h5py.File) -> None:
    images = np.zeros((ROWS, *IMAGE), np.uint8)
    put(file, "train_images", data=images, maxshape=(None, *IMAGE), chunks=(1, *IMAGE), compression="gzip")


@edit
def sparse_labels_of_a_terabyte(file: h5py.File) -> None:
    del file["train_labels"]
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    h5d.create(file.id, b"train_labels", h5t.STD_I64LE, h5s.create_simple((2**37,)), properties)


@edit
def sparse_text_of_a_gigabyte(file: h5py.File) -> None:
    del file["class_names"]
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    kind = h5t.C_S1.copy()
    kind.set_size(1 << 30)
    h5d.create(file.id, b"class_names", kind, h5s.create_simple((3,)), properties)


@edit
def text_of_a_gigabyte_without_storage(file: h5py.File) -> None:
    put(file, "train_source_ids", (ROWS,), f"S{1 << 30}")


# Filters.


@edit
def filter_of_a_plugin(file: h5py.File) -> None:
    images = put_images(file, (ROWS, *IMAGE), (1, *IMAGE), [ZSTANDARD])
    for row in range(ROWS):
        images.write_direct_chunk((row, 0, 0, 0), bytes(100))


@edit
def filters_in_a_row(file: h5py.File) -> None:
    put_images(file, (ROWS, *IMAGE), (1, *IMAGE), [GZIP] * 20)


@edit
def filter_shuffle(file: h5py.File) -> None:
    images = np.zeros((ROWS, *IMAGE), np.uint8)
    put(file, "train_images", data=images, chunks=(1, *IMAGE), compression="gzip", shuffle=True)


@edit
def filter_scaleoffset(file: h5py.File) -> None:
    put(file, "train_images", data=np.zeros((ROWS, *IMAGE), np.uint8), chunks=(1, *IMAGE), scaleoffset=3)


@edit
def labels_in_the_header(file: h5py.File) -> None:
    del file["train_labels"]
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.COMPACT)
    h5d.create(file.id, b"train_labels", h5t.STD_I64LE, h5s.create_simple((ROWS,)), properties)


# Types.


@edit
def names_of_any_length(file: h5py.File) -> None:
    put(file, "class_names", data=["a", "b", "c"])


@edit
def source_ids_of_any_length(file: h5py.File) -> None:
    put(file, "train_source_ids", data=["a"] * ROWS)


@edit
def labels_of_any_length(file: h5py.File) -> None:
    put(file, "train_labels", (ROWS,), h5py.vlen_dtype("int64"))[0] = [1, 2, 3]


@edit
def labels_of_references(file: h5py.File) -> None:
    put(file, "train_labels", (ROWS,), h5py.ref_dtype)[:] = file["class_names"].ref


@edit
def labels_of_regions(file: h5py.File) -> None:
    put(file, "train_labels", (ROWS,), h5py.regionref_dtype)[:] = file["class_names"].regionref[0:2]


@edit
def labels_of_compounds(file: h5py.File) -> None:
    put(file, "train_labels", data=np.zeros(ROWS, [("a", "i4"), ("b", "f4")]))


@edit
def labels_of_words(file: h5py.File) -> None:
    put(file, "train_labels", (ROWS,), h5py.enum_dtype({"hat": 0, "bag": 1}, "int64"))


@edit
def labels_of_arrays(file: h5py.File) -> None:
    put(file, "train_labels", (ROWS,), np.dtype(("int64", (2**20,))))


@edit
def labels_of_complex_numbers(file: h5py.File) -> None:
    put(file, "train_labels", data=np.zeros(ROWS, "complex128"))


@edit
def labels_of_pointers(file: h5py.File) -> None:
    """h5py takes the tag of an opaque type for a dtype: "O" makes Python objects of the file's bytes."""
    kind = h5t.create(h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:|O")
    put_typed(file, "train_labels", kind, fill=b"AAAAAAAA" * ROWS)


@edit
def labels_of_a_dtype_that_is_none(file: h5py.File) -> None:
    kind = h5t.create(h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:|V8,(1000000000000,)f8")
    put_typed(file, "train_labels", kind)


@edit
def labels_of_twelve_bits(file: h5py.File) -> None:
    kind = h5t.STD_I64LE.copy()
    kind.set_precision(12)
    kind.set_offset(30)
    put_typed(file, "train_labels", kind)


@edit
def labels_of_bits(file: h5py.File) -> None:
    put_typed(file, "train_labels", h5t.STD_B64LE)


@edit
def labels_of_wide_floats(file: h5py.File) -> None:
    put(file, "train_labels", data=np.zeros(ROWS, np.longdouble))


@edit
def labels_with_the_first_byte_last(file: h5py.File) -> None:
    put(file, "train_labels", data=np.zeros(ROWS, ">i8"))


@edit
def labels_of_a_type_in_the_file(file: h5py.File) -> None:
    file["test_column_kind"] = np.dtype("int64")
    put(file, "train_labels", (ROWS,), file["test_column_kind"])[:] = 0


@edit
def labels_of_nothing(file: h5py.File) -> None:
    put(file, "train_labels", data=h5py.Empty("int64"))


@edit
def one_label_for_all(file: h5py.File) -> None:
    put(file, "train_labels", data=np.int64(0))


@edit
def images_of_32_dimensions(file: h5py.File) -> None:
    put(file, "train_images", data=np.zeros((ROWS,) + (1,) * 31, np.uint8))


# Attributes.


@edit
def mean_of_a_million_channels(file: h5py.File) -> None:
    del file.attrs["mean"]
    file.attrs.create("mean", np.zeros(10**6))


@edit
def mean_beyond_all_numbers(file: h5py.File) -> None:
    file.attrs["mean"] = np.array([1e300, np.inf, np.nan])


@edit
def deviation_below_zero(file: h5py.File) -> None:
    file.attrs["std"] = -file.attrs["std"]


@edit
def format_of_references(file: h5py.File) -> None:
    del file.attrs["format"]
    file.attrs["format"] = file["class_names"].ref


@edit
def version_of_compounds(file: h5py.File) -> None:
    del file.attrs["format_version"]
    file.attrs.create("format_version", np.zeros(1, [("a", "i4"), ("b", "S9")]))


@edit
def version_of_lists(file: h5py.File) -> None:
    del file.attrs["format_version"]
    lists = np.empty(1, object)
    lists[0] = np.arange(2)
    file.attrs.create("format_version", lists, dtype=h5py.vlen_dtype("int64"))


@edit
def five_thousand_attributes(file: h5py.File) -> None:
    for number in range(5000):
        file.attrs[f"more{number}"] = number


@edit
def params_in_params(file: h5py.File) -> None:
    file.attrs["params"] = '{"augment": ' + "[" * 200_000


@edit
def copies_beyond_all_numbers(file: h5py.File) -> None:
    params = json.loads(file.attrs["params"])
    params["augment"]["copies"] = 10**40
    file.attrs["params"] = json.dumps(params)


# Values that do not fit each other.


@edit
def class_twice(file: h5py.File) -> None:
    """Two classes of one name and one id: no id makes the name unique."""
    file["label_map"][2] = file["label_map"][0].replace(b"0,", b"2,")
    file["class_ids"][2] = file["class_ids"][0]


@edit
def labels_of_no_class(file: h5py.File) -> None:
    file["train_labels"][:] = 2**62


@edit
def names_of_no_text(file: h5py.File) -> None:
    file["class_names"][:] = b"\xff\xfe"


@edit
def catalog_id_of_9000_digits(file: h5py.File) -> None:
    put(file, "label_map", data=np.array([b"0," + b"9" * 9000, b"1,7", b"2,9"]))


@edit
def images_of_no_pixels(file: h5py.File) -> None:
    put(file, "train_images", data=np.zeros((ROWS, 0, 0, 3), np.uint8))


@edit
def text_on_top_of_the_images(file: h5py.File) -> None:
    file["train_column_same"] = file["class_names"]


# Bytes.


def places(content: bytes, wanted: bytes) -> list[int]:
    """Return where some bytes are. There is at least one such place."""
    found = [place for place in range(len(content)) if content.startswith(wanted, place)]
    assert found, wanted
    return found


def replaced(content: bytes, wanted: bytes, by: bytes) -> bytes:
    assert wanted in content, wanted
    return content.replace(wanted, by)


def rows(count: int) -> bytes:
    """Return the extent of an array of one dimension as it is in a header."""
    return struct.pack("<BBBB2Q", 2, 1, 1, 1, count, count)


@patch
def user_block(content: bytes) -> bytes:
    return bytes(512) + content


@patch
def base_address(content: bytes) -> bytes:
    return content[:12] + struct.pack("<Q", 512) + content[20:]


@patch
def superblock_extension(content: bytes) -> bytes:
    return content[:20] + struct.pack("<Q", 48) + content[28:]


@patch
def end_beyond_the_file(content: bytes) -> bytes:
    return content[:28] + struct.pack("<Q", 2**62) + content[36:]


@patch
def root_in_the_middle(content: bytes) -> bytes:
    return content[:36] + struct.pack("<Q", 2048) + content[44:]


@patch
def more_rows_than_stored(content: bytes) -> bytes:
    return replaced(content, rows(ROWS), rows(2**50))


@patch
def rows_beyond_all_numbers(content: bytes) -> bytes:
    return replaced(content, rows(ROWS), rows(2**64 - 2))


@patch
def text_of_a_lying_length(content: bytes) -> bytes:
    """The length of a text of any length, before the address of its heap and its number there."""
    heap = places(content, b"GCOL")[0]
    changed = bytearray(content)
    for place in places(content, struct.pack("<Q", heap)):
        struct.pack_into("<I", changed, place - 4, 2**32 - 2)
    return bytes(changed)


@patch
def letters_of_half_a_gigabyte(content: bytes) -> bytes:
    """The size of a letter, in the type of the texts: HDF5 asks for so many bytes for each."""
    return replaced(content, TEXT_TYPE + struct.pack("<I", 1), TEXT_TYPE + struct.pack("<I", 0x28000001))


@patch
def heap_of_a_lying_length(content: bytes) -> bytes:
    heap = places(content, b"GCOL")[0]
    return content[: heap + 8] + struct.pack("<Q", 2**40) + content[heap + 16 :]


@patch
def text_of_a_lying_length_in_the_heap(content: bytes) -> bytes:
    heap = places(content, b"GCOL")[0]
    return content[: heap + 24] + struct.pack("<Q", 2**40) + content[heap + 32 :]


@patch
def heap_that_is_elsewhere(content: bytes) -> bytes:
    heap = places(content, b"GCOL")[0]
    return replaced(content, struct.pack("<Q", heap), struct.pack("<Q", 48))


@patch
def header_that_continues_in_itself(content: bytes) -> bytes:
    for place in places(content, b"OCHK"):
        content = content.replace(struct.pack("<Q", place), struct.pack("<Q", 48))
    return content


@patch
def links_in_a_loop(content: bytes) -> bytes:
    tree, leaf = content.index(b"BTHD"), content.index(b"BTLF")
    return replaced(content, struct.pack("<Q", leaf), struct.pack("<Q", tree))


@patch
def thousand_levels_of_links(content: bytes) -> bytes:
    tree = content.index(b"BTHD")
    return content[: tree + 12] + struct.pack("<H", 1000) + content[tree + 14 :]


@patch
def million_links(content: bytes) -> bytes:
    tree = content.index(b"BTHD")
    return content[: tree + 24] + struct.pack("<HQ", 65535, 2**40) + content[tree + 34 :]
