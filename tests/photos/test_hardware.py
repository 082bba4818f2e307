"""What a machine's processor and GPUs can do, whatever this machine is."""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.photos import hardware
from imageset.photos.hardware import claim_gpu, list_gpus, name_engine
from imageset.runtime.sections import Precision
from tests.project import ROOT


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[str]], None]:
    """Have the processor offer instruction sets: offer(["avx2"])."""
    return lambda names: monkeypatch.setattr(hardware, "read_instructions", lambda: frozenset(names))


@pytest.mark.parametrize(
    ("precision", "instructions", "expected"),
    [
        ("float32", [], "openvino float32"),
        ("float32", ["sse2", "avx2", "avx512_vnni", "amx_bf16"], "openvino float32"),
        ("float32", ["sse2", "avx"], "openvino float32 without avx2"),
        ("int8", [], "openvino int8"),
        ("int8", ["sse2"], "openvino int8 without avx2"),
        ("int8", ["avx2", "avx_vnni"], "openvino int8"),
        ("bfloat16", ["avx512_bf16"], "openvino bfloat16 avx512_bf16"),
        ("bfloat16", ["avx512_bf16", "amx_bf16"], "openvino bfloat16 amx_bf16"),
    ],
)
def test_an_engine_is_named_by_what_decides_its_masks(
    precision: Precision,
    instructions: list[str],
    expected: str,
    offer: Callable[[Iterable[str]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    offer(instructions)

    assert name_engine(precision, "cpu") == expected


@pytest.mark.parametrize("instructions", [[], ["avx2", "avx512f", "avx512_vnni", "amx_int8"]])
def test_bfloat16_is_refused_by_name_where_the_processor_lacks_it(
    instructions: list[str], offer: Callable[[Iterable[str]], None]
) -> None:
    offer(instructions)

    with pytest.raises(
        ImagesetError, match=r"^masks\.precision: bfloat16 needs a processor with amx_bf16 or avx512_bf16, .*dvc pull"
    ):
        name_engine("bfloat16", "cpu")


def test_float32_of_another_kind_of_processor_needs_no_avx2(
    offer: Callable[[Iterable[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    offer(["fp", "asimd"])

    assert name_engine("float32", "cpu") == "openvino float32"


def test_the_documents_name_an_engine_as_the_table_does(offer: Callable[[Iterable[str]], None]) -> None:
    offer(["avx2"])

    assert (
        f"| `engine` | what ran the network, such as `{name_engine('float32', 'cpu')}`"
        in (ROOT / "docs/masks.md").read_text()
    )


def test_a_gpu_is_named_whatever_the_processor_is(offer: Callable[[Iterable[str]], None]) -> None:
    offer([])

    assert name_engine("float32", "cuda") == "onnxruntime cuda float32"


def test_where_the_system_does_not_tell_there_are_no_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, **options: str) -> str:
        raise FileNotFoundError(str(self))

    monkeypatch.setattr(Path, "read_text", fail)

    assert hardware.read_instructions.__wrapped__() == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16 i8mm\nCPU part\t: 0xd40\n",
            "fp asimd bf16 i8mm",
        ),
        ("processor\t: 0\nflags\t\t: sse2 avx2 avx_vnni\nvmx flags\t: ept vpid\nbugs\t\t: mds\n", "sse2 avx2 avx_vnni"),
        ("processor\t: 0\nhart\t\t: 2\nisa\t\t: rv64imafdc\n", ""),
        ("", ""),
    ],
)
def test_instructions_are_read_from_what_linux_writes_for_each_kind_of_processor(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path, **options: text if str(path) == "/proc/cpuinfo" else None)

    assert hardware.read_instructions.__wrapped__() == frozenset(expected.split())


# GPUs


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", ["0"]),
        ("2,3", ["2", "3"]),
        ("3, 1 ,2,0", ["3", "1", "2", "0"]),
        ("GPU-8932f937,", ["GPU-8932f937"]),
    ],
)
def test_the_gpus_that_may_be_used_are_listed_in_their_order(
    visible: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert list_gpus() == expected


@pytest.mark.parametrize("visible", [None, "", " "])
@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (["nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "null"], ["0", "2", "10"]),
        (["nvidiactl", "nvidia-uvm", "null"], ["0"]),
    ],
)
def test_where_none_are_named_all_are_listed_that_the_system_has_and_one_where_it_shows_none(
    visible: str | None, devices: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in devices:
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(hardware, "Path", lambda name: tmp_path if name == "/dev" else Path(name))

    assert list_gpus() == expected


# One process a GPU

CLAIM = """
import sys
from imageset.photos.hardware import claim_gpu
file, place = claim_gpu()
print(place, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, which no process of this machine has claimed."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def claim_elsewhere(visible: str) -> tuple["subprocess.Popen[str]", str]:
    """Start a process that claims one of these GPUs and holds it until its input ends; return its place as well."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": visible},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_gpus_are_claimed_one_a_process_and_free_again_when_it_ends(tmp_path: Path) -> None:
    """In a process of its own: it kills one that it started."""
    done = subprocess.run(
        [sys.executable, "-c", "from tests.photos import test_hardware; test_hardware.claim_and_free()"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "0,1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def claim_and_free() -> None:
    """Assert that three processes claim two GPUs, and that this one gets that of a process that was killed."""
    processes = []
    for expected in ("0", "1", "0"):
        process, place = claim_elsewhere("0,1")
        processes.append(process)

        assert place == expected
    processes[1].kill()
    processes[1].communicate()

    file, number = claim_gpu()

    assert number == 1
    with file, pytest.raises(BlockingIOError), Path(file.name).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for process in (processes[0], processes[2]):
        process.communicate("")


@pytest.mark.usefixtures("claims")
def test_a_claim_is_of_a_gpu_and_not_of_a_place_in_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of one machine may have GPUs of their own."""
    others = [claim_elsewhere("0,1"), claim_elsewhere("0,1")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    file, place = claim_gpu()
    file.close()

    assert [elsewhere for _, elsewhere in others] == ["0", "1"]
    assert place == 0

    others.append(claim_elsewhere("2"))
    file, place = claim_gpu()
    file.close()

    assert place == 1

    for process, _ in others:
        process.communicate("")


@pytest.mark.usefixtures("claims")
@pytest.mark.parametrize("visible", ["GPU-8932f937,GPU-1a2b", "MIG-GPU-8932f937/1/0,MIG-GPU-8932f937/2/0"])
def test_gpus_that_are_named_by_their_identity_are_claimed(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    first, one = claim_gpu()
    with first, claim_gpu()[0] as second:
        assert one == 0
        assert first.name != second.name


@pytest.mark.usefixtures("claims")
def test_a_claim_is_given_up_by_closing_its_file() -> None:
    first, number = claim_gpu()
    with first, claim_gpu()[0]:
        pass
    again, same = claim_gpu()
    again.close()

    assert number == same == 0
