"""Let others draw from torch's own generators as a function of a seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_torch(seed: int, *key: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's generator of the CPU, and that of a CUDA device; give both their state back at the end.

    Use it in the thread of the training loop alone: torch has one generator for all threads.

    Args:
        seed: With `key`, decides what is drawn.
        key: Each key gives an independent stream.
        device: The device that is drawn on.
    """
    number = int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0]) >> 1
    cuda = [device.index] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(number)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(number)
        yield
