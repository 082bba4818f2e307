"""Checkpoints are read as torch wrote them, and a file that would run something, or is damaged, is refused."""

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imageset.errors import DataError
from imageset.photos import checkpoint
from imageset.photos.checkpoint import read_checkpoint


def save(path: Path, tensors: Any) -> Path:
    """Write a file as torch did before 1.6."""
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    return path


def make_tensors() -> "OrderedDict[str, torch.Tensor]":
    """Tensors of several shapes; some share their numbers, some skip some of theirs."""
    numbers = torch.arange(24, dtype=torch.float32)
    return OrderedDict(
        plain=numbers.reshape(2, 3, 4),
        turned=numbers.reshape(4, 6).t(),
        part=numbers[5:17:3],
        repeated=torch.tensor([1.5, -2.5]).expand(3, 2)[:1],
        count=torch.tensor(7),
        counts=torch.tensor([-(2**62), 2**62]),
        none=torch.zeros(0, 3),
        special=torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
    )


def refusal(path: Path) -> str:
    """Return why a file is refused, in one line."""
    with pytest.raises(DataError) as caught:
        read_checkpoint(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{path} is no checkpoint of PyTorch that can be read: ")
    return said.partition("read: ")[2]


def test_the_tensors_are_those_that_torch_wrote(tmp_path: Path) -> None:
    expected = make_tensors()
    found = read_checkpoint(save(tmp_path / "some.pth", expected))

    assert list(found) == list(expected)
    for name, tensor in expected.items():
        values = tensor.numpy()

        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        assert found[name].tobytes() == values.tobytes()
        assert found[name].flags.c_contiguous


def test_the_real_weights_are_those_that_torch_reads(embedding_weights: Path) -> None:
    found = read_checkpoint(embedding_weights)
    expected = torch.load(embedding_weights, weights_only=True)

    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name].numpy()).all() for name in found)


def test_the_zip_format_is_named(tmp_path: Path) -> None:
    torch.save(make_tensors(), tmp_path / "new.pth")

    assert refusal(tmp_path / "new.pth") == "it is in the zip format of torch 1.6 and later, which is not read here"


# What would take all memory


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\xff", b"p4294967295\n"])
def test_a_pickle_that_numbers_objects_it_does_not_have_is_refused(put: bytes, tmp_path: Path) -> None:
    """Python would make room for twice 2**32 objects: 64 GiB."""
    bomb = b"\x80\x02N" + put + b"."
    for content in (bomb, legacy(bomb), legacy(rebuild(SIX), bomb, numbers=NUMBERS)):
        (tmp_path / "bad.pth").write_bytes(content)

        assert refusal(tmp_path / "bad.pth") == "it has fewer objects than the 4294967295 that it numbers"


@pytest.mark.parametrize("opcode", [b"\x8e", b"\x96", b"\x8d", b"\x95"])
def test_a_pickle_that_names_more_bytes_than_it_has_is_refused(opcode: bytes, tmp_path: Path) -> None:
    """Bytes, an array of bytes, a text, a frame: of 1 TiB."""
    (tmp_path / "bad.pth").write_bytes(b"\x80\x05" + opcode + (1 << 40).to_bytes(8, "little") + b"x.")

    refusal(tmp_path / "bad.pth")


def test_pickles_that_are_too_long_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dictionary in a byte each, a file of 1 GiB would make 64 GiB."""
    (tmp_path / "bad.pth").write_bytes(legacy(b"\x80\x02(" + b"}" * checkpoint.MOST_PICKLED + b"t.", KEYS))
    refusal(tmp_path / "bad.pth")

    path = write(tmp_path / "good.pth", rebuild(SIX))
    pickled = path.stat().st_size - len(NUMBERS)
    monkeypatch.setattr(checkpoint, "MOST_PICKLED", pickled)
    assert read_checkpoint(path)["x"].shape == (2, 3)
    monkeypatch.setattr(checkpoint, "MOST_PICKLED", pickled - 1)
    refusal(path)


def test_tensors_that_share_numbers_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = torch.arange(1 << 16, dtype=torch.float32).reshape(256, 256)
    path = save(tmp_path / "bad.pth", OrderedDict((f"x{number}", numbers.t()) for number in range(20)))
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 20 * numbers.nbytes)
    assert len(read_checkpoint(path)) == 20
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 20 * numbers.nbytes - 1)

    assert refusal(path) == "its tensors have more than 0 GiB together"


# What must not be unpickled


class Call:
    """Pickles as a call: whoever unpickles it calls the function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(marker: Path) -> dict[str, Any]:
    """Return objects whose unpickling makes a file, by what they name, as Python 2 called it."""
    touch = f"touch {marker}"
    return {
        "posix.system": Call(os.system, touch),
        "__builtin__.eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "__builtin__.exec": Call(exec, f"open({str(marker)!r}, 'w')"),
        "__builtin__.getattr": Call(getattr, OrderedDict, "__init__"),
        "__builtin__.__import__": Call(__import__, "os"),
        "torch._utils._rebuild_parameter": Call(torch._utils._rebuild_parameter, torch.zeros(1), False, OrderedDict()),
        "torch.serialization.load": Call(torch.load, str(marker)),
        "torch.DoubleStorage": torch.zeros(1, dtype=torch.float64),
    }


HOSTILE = list(hostile(Path("marker")))


def legacy(*pickled: bytes, numbers: bytes = b"") -> bytes:
    """Return the bytes of a file: the head that torch writes, the pickles, the numbers."""
    head = [checkpoint.MAGIC, checkpoint.PROTOCOL, {"little_endian": True}]
    return b"".join([*(pickle.dumps(each, 2) for each in head), *pickled, numbers])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["alone", "among tensors", "nested", "first"])
def test_a_file_that_names_something_else_is_refused_and_nothing_runs(name: str, place: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "bad.pth"
    thing = hostile(marker)[name]
    if place == "first":
        save(path, thing)
        path.write_bytes(pickle.dumps(thing, 2) + path.read_bytes())
    else:
        nested = Call(OrderedDict, [("a", thing)])
        save(path, {"alone": thing, "among tensors": make_tensors() | {"x": thing}, "nested": nested}[place])
    # Before the head a tensor is written in a way that no checkpoint has.
    first = "torch.storage._load_from_bytes" if (name, place) == ("torch.DoubleStorage", "first") else name

    assert refusal(path) == f"it names {first}, which no checkpoint needs"
    assert not marker.exists()


def pickle_storage(numbers: str, key: str, count: int) -> bytes:
    """Return the pickle of a persistent id as torch writes it."""
    return (
        b"(X\x07\x00\x00\x00storage"
        + f"ctorch\n{numbers}\n".encode()
        + b"".join(pickle.dumps(each, 2)[2:-1] for each in (key, "cpu", count, None))
        + b"tQ"
    )


def rebuild(
    storage: bytes,
    offset: Any = 0,
    shape: Any = (2, 3),
    strides: Any = (3, 1),
    extra: bytes = b"",
    setting: bytes = b"",
) -> bytes:
    """Return the pickle of a dictionary with one tensor, x."""
    arguments = b"".join(pickle.dumps(each, 2)[2:-1] for each in (offset, shape, strides, False))
    hooks = b"ccollections\nOrderedDict\n)R"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + arguments + hooks + extra + b"tR" + setting
    return b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00x" + rebuilt + b"u."


SIX = pickle_storage("FloatStorage", "1", 6)
NUMBERS = struct.pack("<q6f", 6, *range(6))
KEYS = pickle.dumps(["1"], 2)


def write(path: Path, tensor: bytes, keys: bytes = KEYS, numbers: bytes = NUMBERS) -> Path:
    path.write_bytes(legacy(tensor, keys, numbers=numbers))
    return path


def test_what_is_written_by_hand_is_read(tmp_path: Path) -> None:
    found = read_checkpoint(write(tmp_path / "good.pth", rebuild(SIX)))

    assert found["x"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (rebuild(SIX, offset=1), "a tensor reaches beyond its numbers"),
        (rebuild(SIX, shape=(3, 3)), "a tensor reaches beyond its numbers"),
        (rebuild(SIX, strides=(1 << 60, 1)), "a tensor reaches beyond its numbers"),
        (rebuild(SIX, shape=(1 << 40, 1), strides=(0, 0)), "a tensor reaches beyond its numbers"),
        (rebuild(SIX, shape=(2, 3), strides=(-3, 1)), "a tensor is made of something else than numbers"),
        (rebuild(SIX, offset=-1), "a tensor is made of something else than numbers"),
        (rebuild(SIX, offset="0"), "a tensor is made of something else than numbers"),
        (rebuild(SIX, shape=6), "a tensor is made of something else than numbers"),
        (rebuild(SIX, shape=(6,)), "a tensor's shape and strides do not fit"),
        (rebuild(SIX, shape=(1,) * 9, strides=(1,) * 9), "a tensor's shape and strides do not fit"),
        (rebuild(b"K\x07"), "a tensor is made of something else than numbers"),
        (rebuild(pickle_storage("LongStorage", "1", 6)), "it ends too early"),
        (rebuild(pickle_storage("FloatStorage", "1", 7)), "storage 1 does not have 7 numbers"),
        (rebuild(pickle_storage("FloatStorage", "1", 1 << 40)), "storage 1 does not have 1099511627776 numbers"),
        (rebuild(pickle_storage("FloatStorage", "1", 1 << 200)), f"storage 1 does not have {1 << 200} numbers"),
        (rebuild(pickle_storage("FloatStorage", "2", 6)), "its tensors refer to other numbers than it has"),
        (rebuild(pickle_storage("FloatStorage", "1", -6)), "a tensor refers to something else than numbers"),
        (rebuild(SIX.replace(b"storage", b"module_")), "a tensor refers to something else than numbers"),
        (pickle.dumps({"x": 1}, 2), "it holds something else than named tensors"),
        (b"\x80\x02ccollections\nOrderedDict\n)R(K\x01K\x02u.", "it holds something else than named tensors"),
        (pickle.dumps([1, 2], 2), "it holds something else than named tensors"),
    ],
)
def test_a_tensor_that_its_numbers_do_not_hold_is_refused(tensor: bytes, said: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "bad.pth", tensor)) == said


@pytest.mark.parametrize(
    "setting",
    [
        b"}X\x04\x00\x00\x00evilK\x01sb",  # the state of what was rebuilt
        b"N}X\x08\x00\x00\x00__call__K\x01s\x86b",
    ],
)
def test_no_pickle_sets_an_attribute(setting: bytes, tmp_path: Path) -> None:
    refusal(write(tmp_path / "bad.pth", rebuild(SIX, setting=setting)))
    # Of what is named itself, before it is called.
    for named in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"):
        refusal(write(tmp_path / "worse.pth", b"\x80\x02" + named + setting + b"."))
    assert read_checkpoint(write(tmp_path / "good.pth", rebuild(SIX)))["x"].shape == (2, 3)


@pytest.mark.parametrize("keys", [pickle.dumps(each, 2) for each in ([], ["1", "1"], ["2"], [1], "1", {"1": 1}, 7)])
def test_other_keys_than_the_tensors_refer_to_are_refused(keys: bytes, tmp_path: Path) -> None:
    refusal(write(tmp_path / "bad.pth", rebuild(SIX), keys=keys))


def test_one_key_with_two_sizes_is_refused(tmp_path: Path) -> None:
    two = rebuild(SIX)[:-2] + b"X\x01\x00\x00\x00y" + rebuild(pickle_storage("FloatStorage", "1", 5))[31:]

    refusal(write(tmp_path / "bad.pth", two))


@pytest.mark.parametrize("numbers", [b"", NUMBERS[:-1], NUMBERS + b"\0", struct.pack("<q6f", 1 << 40, *range(6))])
def test_too_few_and_too_many_numbers_are_refused(numbers: bytes, tmp_path: Path) -> None:
    refusal(write(tmp_path / "bad.pth", rebuild(SIX), numbers=numbers))


@pytest.mark.parametrize("content", [b"", b"\x80", b"<html>not found</html>", b"\x80\x02K\x01." * 5, b"." * 100])
def test_what_is_no_checkpoint_at_all_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(content)

    refusal(tmp_path / "bad.pth")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = save(tmp_path / "some.pth", make_tensors()).read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut.pth").write_bytes(content[:length])

        refusal(tmp_path / "cut.pth")


def test_a_flipped_bit_gives_tensors_or_a_refusal_and_nothing_else(tmp_path: Path) -> None:
    content = save(tmp_path / "some.pth", make_tensors()).read_bytes()
    random = np.random.default_rng(5)
    refused = 0
    for place in random.integers(0, len(content), 400).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(0, 8))
        (tmp_path / "flipped.pth").write_bytes(damaged)
        try:
            read_checkpoint(tmp_path / "flipped.pth")
        except DataError:
            refused += 1

    assert 100 < refused < 400


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "some.pth", make_tensors())
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 0)

    assert refusal(path) == "it has more than 0 GiB"
