"""Batches on a GPU: their bits, their pace, and beside computing. Tables: python -m benchmarks.loader.device [--help]

It ends with an error where a batch on the device differs from the CPU's by a bit. `--device cpu` runs all of it without
a GPU.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from benchmarks.loader.files import set_up
from benchmarks.loader.workload import PLAIN, Epochs, Settings, imageset
from benchmarks.shared.tables import circumstances, options, origin, ratio, rounds, spread, table

# By name: whether mypy sees it and its types depends on the environment that it runs in.
torch: Any = import_module("torch")

ALONE = "training alone"
WAYS: dict[str, Settings] = {
    "imageset, loader": {},
    "torch's DataLoader, no workers": {"workers": 0},
    "torch's DataLoader, 4 workers, pinned memory": {"workers": 4},
}


def require_same_bits(folder: Path, device: str) -> None:
    """End with an error unless an epoch on the device has the CPU's bits, as uint8 and as normalised floats."""
    for floats in (False, True):
        here, there = (loaded(folder, place, {}, floats) for place in ("cpu", device))
        for number, ((images, labels), (moved, its_labels)) in enumerate(zip(here, there, strict=True)):
            found = moved.cpu()
            if found.dtype != images.dtype or not torch.equal(found.view(torch.uint8), images.view(torch.uint8)):
                raise SystemExit(f"batch {number}, {images.dtype}: {device} has other bits than the CPU")
            if not torch.equal(its_labels.cpu(), labels):
                raise SystemExit(f"batch {number}: {device} has other labels than the CPU")


def loaded(folder: Path, device: str, settings: Settings, floats: bool) -> Iterable[Any]:
    """Return the batches on the device, epoch after epoch: of imageset's loader, or of torch's with workers."""
    made = imageset(folder, {"file": PLAIN, "floats": floats, **settings}, **({} if settings else {"device": device}))
    if not settings:
        return made
    pinned = device != "cpu" and settings["workers"] > 0
    if pinned:
        made.pin_memory = True  # type: ignore[attr-defined]
    return Epochs(lambda: ([part.to(device, non_blocking=pinned) for part in batch] for batch in made))


def pace(make: Callable[[], Iterable[Any]], step: Callable[[Any, Any], None], device: str, steps: int) -> float:
    """Return images/s over so many batches, after a tenth as many, epoch after epoch of a loader that it makes."""
    begin, first, count = 0.0, steps // 10, 0
    for number, (images, labels) in enumerate(chain.from_iterable(repeat(make()))):
        if number == first:
            wait(device)
            begin, count = time.perf_counter(), 0
        elif number == first + steps:
            break
        step(images, labels)
        count += len(labels)  # the last batch of an epoch is shorter
    wait(device)
    return count / (time.perf_counter() - begin)


def wait(device: str) -> None:
    """Wait until the device has computed all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def nothing(images: Any, labels: Any) -> None:
    """Take a batch and do nothing with it."""


def trainer(device: str) -> Callable[[Any, Any], None]:
    """Return a step of training: a small CNN on gray images of any size."""
    layers = torch.nn
    model = layers.Sequential(
        layers.Conv2d(1, 32, 3, stride=2),
        layers.ReLU(),
        layers.Conv2d(32, 64, 3, stride=2),
        layers.ReLU(),
        layers.AdaptiveAvgPool2d(1),
        layers.Flatten(),
        layers.Linear(64, 700),
    ).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step(images: Any, labels: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        layers.functional.cross_entropy(model(images), labels % 700).backward()
        optimizer.step()

    return step


def compare(folder: Path, device: str, turns: int, steps: int) -> None:
    """Print images/s as they come, and with a step of training beside them."""
    step = trainer(device)
    batch = next(iter(loaded(folder, device, {}, True)))
    runs = {ALONE: partial(pace, lambda: [batch], step, device, steps)}
    for name, settings in WAYS.items():
        for kind, floats, work in (("uint8", False, nothing), ("float32", True, nothing), ("training", True, step)):
            batches = partial(loaded, folder, device, settings, floats)
            runs[f"{name}: {kind}"] = partial(pace, batches, work, device, steps)
    rates = rounds(runs, turns)
    alone = rates.pop(ALONE)
    print(f"{ALONE}, the same batch again and again: {spread(alone, 0)} images/s\n")
    table(
        ("batches of", "uint8, images/s", "float32, images/s", "training, images/s", "of training alone"),
        (
            (
                name,
                *(spread(rates[f"{name}: {kind}"], 0) for kind in ("uint8", "float32", "training")),
                ratio(rates[f"{name}: training"], alone),
            )
            for name in WAYS
        ),
    )


def parse_arguments() -> Namespace:
    parser = options("loader.device", __doc__, turns=3, photos=20_000)
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="batches of a measurement (100)")
    return parser.parse_args()


def main() -> None:
    chosen = parse_arguments()
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} finds no GPU: install its CUDA build, or give --device cpu")
    with set_up(chosen.folder, chosen.photos, files=1) as here:
        name = torch.cuda.get_device_name(chosen.device) if chosen.device.startswith("cuda") else chosen.device
        circumstances(chosen, f"{chosen.photos:,} photos ({origin(chosen.folder)}), {name}", "h5py", "numpy", "torch")
        require_same_bits(here.folder, chosen.device)
        print("uint8, floats and labels have the CPU's bits\n")
        compare(here.folder, chosen.device, chosen.turns, chosen.steps)


if __name__ == "__main__":
    main()
