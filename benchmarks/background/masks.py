"""How much masks differ: those of other sides of the network's input, engines, instructions and threads."""

import multiprocessing
import os
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.background.engines import LIMITS, SIDE, Setup, Tensor, infer, levels
from benchmarks.shared.tables import table
from imageset.photos import background, decode
from imageset.photos.engines import Network

RESULT_SIDE = 128  # of the dataset's images, by default
THRESHOLD = 127
EMULATOR = ("qemu-x86_64", "-cpu", "Haswell")  # AVX2, no AVX-512
INSTRUCTIONS = ("", "AVX512_CORE", "AVX2")

Mask = NDArray[np.uint8]


def mask(body: bytes, network: Network) -> Mask:
    """Return a photo's mask as the stage makes it."""
    factor = background.choose_reduction(*decode.read_sides(body, LIMITS))
    return np.asarray(background.predict_mask(decode.decode(body, LIMITS, factor), network))


def masks(photos: Sequence[bytes], networks: Sequence[Network]) -> dict[Network, list[Mask]]:
    """Return the photos' masks by each network."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        return {
            network: list(processes.map(partial(mask, network=network), photos, chunksize=4)) for network in networks
        }


def agreement(ours: Mask, reference: Mask, side: int) -> tuple[float, float]:
    """Return the mean difference of two masks, of 255, and the IoU of what they keep, both resized to side x side."""
    one, other = (
        np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.LANCZOS), float)
        for each in (ours, reference)
    )
    union = ((one > THRESHOLD) | (other > THRESHOLD)).sum()
    common = ((one > THRESHOLD) & (other > THRESHOLD)).sum()
    return float(np.abs(one - other).mean()), float(common / union) if union else 1.0


def variants_table(photos: Sequence[bytes], speeds: dict[Network, tuple[str, ...]]) -> None:
    """Print the price of each side and precision beside its speed, held against the first of them."""
    predicted = masks(photos, list(speeds))
    reference = next(iter(predicted.values()))

    def lines() -> Iterator[tuple[str, ...]]:
        for network, speed in speeds.items():
            cells = []
            for compared_at in (RESULT_SIDE, SIDE):
                differences, shares = zip(
                    *map(partial(agreement, side=compared_at), predicted[network], reference), strict=True
                )
                cells += [f"{statistics.fmean(differences):.2f}", f"{statistics.fmean(shares):.3f}"]
            worst = sorted(shares)[: max(1, len(shares) // 10)]
            cells += [f"{statistics.fmean(worst):.3f}", f"{sum(share < 0.9 for share in shares)}"]
            yield (str(network.side), network.precision, *speed, *cells)

    print(f"Masks of {len(photos)} photos against those of the first line, at {RESULT_SIDE} and at {SIDE} pixels:")
    table(
        (
            "masks.side",
            "masks.precision",
            "photos/s",
            "times rembg.remove",
            "times the first line",
            f"mean difference, {RESULT_SIDE}",
            f"IoU, {RESULT_SIDE}",
            f"mean difference, {SIDE}",
            f"IoU, {SIDE}",
            f"worst tenth, {SIDE}",
            "IoU under 0.9",
        ),
        lines(),
    )


def processors_table(photos: Sequence[Path], weights: Path, emulate: bool) -> None:
    """Print how much of the masks changes with instructions, threads, batches and engines."""

    def lines() -> Iterator[tuple[str, ...]]:
        first: dict[str, Tensor] = {}
        setups = [
            Setup("openvino", threads, batch, isa) for isa in INSTRUCTIONS for threads in (1, 2) for batch in (1, 2)
        ]
        for setup in [*setups, *(Setup("onnxruntime", threads) for threads in (1, 2))]:
            rate, outputs = infer(setup, weights, photos)
            reference = first.setdefault(setup.engine, outputs)
            yield (
                setup.engine,
                setup.isa or "all",
                str(setup.threads),
                str(setup.batch),
                f"{rate:.1f}",
                *changes(outputs, reference),
            )
        if emulate:
            for engine in first:
                rate, outputs = infer(Setup(engine, 1), weights, photos[:1], prefix=EMULATOR)
                yield (engine, "Haswell, emulated", "1", "1", f"{rate:.3f}", *changes(outputs, first[engine][:1]))
        yield ("onnxruntime against openvino", "all", "1", "1", "", *changes(*first.values()))

    print(f"Masks of {len(photos)} photos, {SIDE} x {SIDE}, against the first line of the same engine:")
    table(
        (
            "engine",
            "instructions",
            "threads",
            "batch",
            "photos/s",
            "photos changed",
            "mask pixels changed",
            "by at most (of 255)",
            "floats changed",
        ),
        lines(),
    )


def changes(outputs: Tensor, reference: Tensor) -> tuple[str, ...]:
    """Return how many photos and pixels of the masks differ, by how much, and which share of the network's numbers."""
    differences = np.abs(levels(outputs).astype(int) - levels(reference))
    return (
        f"{np.count_nonzero(differences.any(axis=(1, 2)))} of {len(outputs)}",
        f"{np.count_nonzero(differences):,} of {differences.size:,}",
        f"{differences.max()}",
        f"{100 * np.mean(outputs != reference):.1f} %",
    )
