"""Read a PyTorch checkpoint (.pth) without PyTorch, and without running what a stranger may have put into it.

A .pth file is a pickle, and unpickling runs code that the file chooses. Here a file may name four things only: an
ordered dictionary, torch's function that makes a tensor, and the two kinds of numbers. The format is that of torch
before 1.6, which most published weights of that time have: five pickles, then the numbers of each storage.
"""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from imageset.errors import DataError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MOST_BYTES = 1 << 30  # of a file, and of all tensors together: they are in memory
# Of the five pickles together; those of EfficientNet-Lite0 have 47 kB. An object may take 70 times as much memory as
# its bytes in a pickle.
MOST_PICKLED = 1 << 20
MOST_DIMENSIONS = 8

NUMBERS: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

# What pickle, and the few functions that it may call, raise on a file that is no checkpoint.
PICKLE_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class Storage(NamedTuple):
    """Numbers that tensors share: their key in the file, their type, and how many there are."""

    key: str
    numbers: str
    total: int


class StridedTensor(NamedTuple):
    """Which numbers of a storage a tensor has, as torch writes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class RebuildTensor:
    """What stands for torch._utils._rebuild_tensor_v2. It has no attributes that a pickle could set."""

    __slots__ = ()

    def __call__(
        self, storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any
    ) -> StridedTensor:
        """Return which numbers a tensor has. Raises UnpicklingError when the arguments are none of a tensor."""
        if not isinstance(storage, Storage) or not all(is_counts(each) for each in ((offset,), shape, strides)):
            raise pickle.UnpicklingError("a tensor is made of something else than numbers")
        if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
            raise pickle.UnpicklingError("a tensor's shape and strides do not fit")
        return StridedTensor(storage, offset, shape, strides)


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): RebuildTensor(),
    **{("torch", name): name for name in NUMBERS},
}


class AllowListUnpickler(pickle.Unpickler):
    """Unpickles what ALLOWED names and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the file stands for. Raises UnpicklingError when it is not allowed."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module[:60]}.{name[:60]}, which no checkpoint needs")
        return ALLOWED[module, name]

    def persistent_load(self, identity: Any) -> Storage:
        """Return the storage that a tensor refers to. Raises UnpicklingError when it is none."""
        match identity:
            case ("storage", str(numbers), str(key), str(), int(count), None) if numbers in NUMBERS and count >= 0:
                return Storage(key, numbers, count)
        raise pickle.UnpicklingError("a tensor refers to something else than numbers")


def is_counts(values: Any) -> bool:
    """Return whether a value is a tuple of whole numbers that are not negative."""
    return isinstance(values, tuple) and all(type(value) is int and value >= 0 for value in values)


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a checkpoint.

    Args:
        path: the file, untrusted.

    Returns:
        From each tensor's name to its numbers, float32 or int64, in C order.

    Raises:
        DataError: the file is no such checkpoint, or names what it should not.
    """
    if path.stat().st_size > MOST_BYTES:
        refuse(path, f"it has more than {MOST_BYTES >> 30} GiB")
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            refuse(path, "it is in the zip format of torch 1.6 and later, which is not read here")
        file.seek(0)
        try:
            magic, protocol, _, tensors, keys = unpickle(file, 5)
            if (magic, protocol) != (MAGIC, PROTOCOL):
                raise pickle.UnpicklingError("it does not begin as torch's files do")
            if type(tensors) is not OrderedDict or not all(map(is_named_tensor, tensors.items())):
                raise pickle.UnpicklingError("it holds something else than named tensors")
            storages = read_storages(file, keys, {tensor.storage for tensor in tensors.values()})
            return take_all(tensors, storages)
        except PICKLE_ERRORS as error:
            refuse(path, str(error) or type(error).__name__)


def unpickle(file: BinaryIO, count: int) -> list[Any]:
    """Return the objects that a file begins with, and leave it behind them. Raises what PICKLE_ERRORS has."""
    pickled = io.BytesIO(file.read(MOST_PICKLED))
    found = []
    for _ in range(count):
        start = pickled.tell()
        check_places(pickled)
        pickled.seek(start)
        found.append(AllowListUnpickler(pickled).load())
    file.seek(pickled.tell())
    return found


def check_places(pickled: io.BytesIO) -> None:
    """Read a pickle without making its objects. Raises UnpicklingError when it puts one into too high a place.

    Python makes room for all places below. So five bytes could take 64 GB.
    """
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > MOST_PICKLED:
            raise pickle.UnpicklingError(f"it has fewer objects than the {argument} that it numbers")


def refuse(path: Path, problem: str) -> NoReturn:
    """Raise DataError in one line."""
    raise DataError(f"{path} is no checkpoint of PyTorch that can be read: {' '.join(problem.split())[:200]}")


def is_named_tensor(item: tuple[Any, Any]) -> bool:
    """Return whether an item of the dictionary is a tensor with a name."""
    return isinstance(item[0], str) and isinstance(item[1], StridedTensor)


def read_storages(file: BinaryIO, keys: Any, expected: set[Storage]) -> dict[str, NDArray[Any]]:
    """Read the numbers behind the pickles: for each key their count, then themselves.

    Raises:
        UnpicklingError: they are not those that the tensors refer to, or the file ends too early or too late.
    """
    by_key = {storage.key: storage for storage in expected}
    if len(by_key) != len(expected) or not isinstance(keys, list) or sorted(by_key) != sorted(keys):
        raise pickle.UnpicklingError("its tensors refer to other numbers than it has")
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        storage = by_key[key]
        dtype: np.dtype[Any] = NUMBERS[storage.numbers]
        if storage.total * dtype.itemsize > MOST_BYTES or file.read(8) != storage.total.to_bytes(8, "little"):
            raise pickle.UnpicklingError(f"storage {key[:20]} does not have {storage.total} numbers")
        body = file.read(storage.total * dtype.itemsize)
        if len(body) != storage.total * dtype.itemsize:
            raise pickle.UnpicklingError("it ends too early")
        storages[key] = np.frombuffer(body, dtype)
    if file.read(1):
        raise pickle.UnpicklingError("it goes on behind its last number")
    return storages


def take_all(tensors: Mapping[str, StridedTensor], storages: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the numbers of all tensors. Raises UnpicklingError when they are too many: tensors may share numbers."""
    taken: dict[str, NDArray[Any]] = {}
    left = MOST_BYTES
    for name, tensor in tensors.items():
        taken[name] = take(tensor, storages)
        left -= taken[name].nbytes
        if left < 0:
            raise pickle.UnpicklingError(f"its tensors have more than {MOST_BYTES >> 30} GiB together")
    return taken


def take(tensor: StridedTensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return a tensor's numbers. Raises UnpicklingError when they are not all in its storage."""
    storage = storages[tensor.storage.key]
    if 0 in tensor.shape:
        return np.empty(tensor.shape, storage.dtype)
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    size = np.prod(tensor.shape, dtype=object)
    if last >= len(storage) or size > len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.ascontiguousarray(as_strided(storage[tensor.offset :], tensor.shape, strides)).reshape(tensor.shape)
