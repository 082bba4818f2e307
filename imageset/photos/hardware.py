"""What this machine's processor and GPUs can do, and what masks are called that they make."""

import fcntl
import os
import platform
import re
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from imageset.errors import ImagesetError
from imageset.runtime.sections import Device, Precision

# A processor needs one of these, by Linux's names.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


def name_engine(precision: Precision, device: Device) -> str:
    """Return what runs a network, such as "openvino float32": masks of two engines are never mixed.

    The name tells what the masks' bits depend on, as far as that is known: bfloat16's on the instructions, those of
    float32 and int8 on AVX2.

    Raises:
        ImagesetError: this machine's processor has no bfloat16.
    """
    if device == "cuda":
        return f"onnxruntime cuda {precision}"
    instructions = read_instructions()
    if precision == "bfloat16":
        available = [name for name in BFLOAT16_INSTRUCTIONS if name in instructions]
        if not available:
            raise ImagesetError(
                f"masks.precision: bfloat16 needs a processor with {' or '.join(BFLOAT16_INSTRUCTIONS)}, which this "
                "one lacks: set it to int8 or float32, or make the masks on another machine and `dvc pull` them"
            )
        return f"openvino bfloat16 {available[0]}"
    lacks_avx2 = platform.machine() == "x86_64" and instructions and "avx2" not in instructions
    return f"openvino {precision}{' without avx2' if lacks_avx2 else ''}"


@cache
def read_instructions() -> frozenset[str]:
    """Return the names of this processor's instruction sets; none where the system does not tell, as on macOS."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def list_gpus() -> list[str]:
    """Return the GPUs that this process may use: what CUDA_VISIBLE_DEVICES lists, else the numbers of all there are."""
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES", "").strip():
        return [name.strip() for name in visible.split(",") if name.strip()]
    numbers = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return sorted(numbers, key=int) or ["0"]


def claim_gpu() -> tuple[IO[str], int]:
    """Choose a GPU that no other process of this machine has claimed; the first where all are.

    Returns:
        An open file, which holds the claim until it is closed or this process ends, and the GPU's place in the list.
    """
    folder = Path(tempfile.gettempdir())
    names = [name.replace("/", "-") for name in list_gpus()]  # of a part of a GPU some drivers write with slashes
    files = [(folder / f"imageset-{os.getuid()}-gpu-{name}.lock").open("a") for name in names]
    chosen = 0
    for place, file in enumerate(files):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            chosen = place
            break
    for place, file in enumerate(files):
        if place != chosen:
            file.close()
    return files[chosen], chosen
