"""Networks alone: the processes that benchmarks/background starts, which infer on prepared photos.

Run as a program it is one of them: it loads the network, prepares all photos, says so and waits for a line; at the end
it prints when it began and ended, in seconds of CLOCK_MONOTONIC. What the network said goes to a file.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.shared.together import time_together
from imageset.photos import decode, engines
from imageset.photos.decode import PhotoLimits

SIDE = 320
LIMITS = PhotoLimits(50_000_000)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # rembg's for u2netp

Tensor = NDArray[np.float32]
Infer = Callable[[Any], Any]


class Setup(NamedTuple):
    """An engine of LOADERS. isa: oneDNN's name of the best instructions that it may use, "" for all there are."""

    engine: str
    threads: int
    batch: int = 1
    isa: str = ""


def infer(
    setup: Setup, weights: Path, photos: Sequence[Path], processes: int = 1, prefix: Sequence[str] = ()
) -> tuple[float, Tensor]:
    """Return the photos a second of so many processes that share the photos, and what the first one's network said.

    weights: named as rembg names them, for its own loop. prefix: a command that runs python.
    """
    output = weights.with_name("output.npy")
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "U2NET_HOME": str(weights.parent)}
    if setup.isa:
        environment["ONEDNN_MAX_CPU_ISA"] = setup.isa
    commands = [
        [
            *(*prefix, sys.executable, "-m", "benchmarks.background.engines"),
            *(setup.engine, str(setup.threads), str(setup.batch), str(weights)),
            *(str(output) if number == 0 else os.devnull, *map(str, photos[number::processes])),
        ]
        for number in range(processes)
    ]
    stderr = subprocess.DEVNULL if prefix else None  # an emulator warns of each thing it leaves out
    return len(photos) / time_together(commands, environment, stderr), np.load(output)


def levels(outputs: Tensor) -> NDArray[np.uint8]:
    """Return masks, made from the output of u2netp as rembg does."""
    least, most = outputs.min(axis=(1, 2), keepdims=True), outputs.max(axis=(1, 2), keepdims=True)
    masks: NDArray[np.uint8] = ((outputs - least) / (most - least) * 255).astype(np.uint8)
    return masks


def tensor(photo: Path) -> Tensor:
    """Return a photo as u2netp's input, prepared as rembg does, float32 (3, SIDE, SIDE)."""
    image = decode.decode(photo.read_bytes(), LIMITS).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    array = np.asarray(image) / max(np.max(np.asarray(image)), 1e-6)
    normal: Tensor = ((array - MEAN) / DEVIATION).transpose(2, 0, 1).astype(np.float32)
    return normal


def load_openvino(weights: Path, threads: int, batch: int) -> Infer:
    import openvino

    core = openvino.Core()
    model = core.read_model(weights)
    model.reshape([batch, 3, SIDE, SIDE])
    engine = engines.OPENVINO_OPTIONS | {"INFERENCE_PRECISION_HINT": engines.PRECISION_HINTS["float32"]}
    engine |= {"INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", engine).create_infer_request()

    def run(photos: Tensor) -> Tensor:
        request.infer([photos])
        return np.array(request.get_output_tensor(0).data[:, 0])

    return run


def load_onnxruntime(weights: Path, threads: int, batch: int) -> Infer:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    finest = [session.get_outputs()[0].name]
    return lambda photos: session.run(finest, {session.get_inputs()[0].name: photos})[0][:, 0]


def load_rembg(weights: Path, threads: int, batch: int) -> Infer:
    """rembg.remove as one writes it in a loop, reading and decoding included, on all cores, and nothing kept."""
    import rembg

    session = rembg.new_session("u2netp")

    def run(photos: Sequence[Path]) -> Tensor:
        for photo in photos:
            rembg.remove(Image.open(photo), session=session)
        return np.zeros((len(photos), SIDE, SIDE), np.float32)

    return run


LOADERS = {"openvino": load_openvino, "onnxruntime": load_onnxruntime, "rembg": load_rembg}


def main(engine: str, threads: str, size: str, weights: str, output: str, *paths: str) -> None:
    photos, batch = [Path(path) for path in paths], int(size)
    run = LOADERS[engine](Path(weights), int(threads), batch)
    prepared: Any = photos if engine == "rembg" else np.stack([tensor(photo) for photo in photos])
    batches = [prepared[start : start + batch] for start in range(0, len(photos), batch)]
    if len(batches) > 1:
        run(batches[0])  # an engine's first time is not its best
    print('"ready"', flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    outputs = [run(each) for each in batches]
    print(json.dumps([begin, time.monotonic()]), flush=True)
    with Path(output).open("wb") as file:
        np.save(file, np.concatenate(outputs))


if __name__ == "__main__":
    main(*sys.argv[1:])
