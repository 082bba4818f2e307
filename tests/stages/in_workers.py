"""What tests let worker processes do. It imports little, as each worker process of a test imports it anew."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from imageset.photos import decode
from imageset.photos.worker import Answer, PhotoRequest


@dataclass
class Asked:
    """What a worker does with a batch, by module and name; it also says in a file for which photos."""

    log: Path
    module: str
    name: str

    def __call__(self, batch: Sequence[PhotoRequest], *given: Any, **named: Any) -> list[Answer]:
        with self.log.open("a") as file:
            file.writelines(f"{request.stored.key}\n" for request in batch)
        answers: list[Answer] = getattr(import_module(self.module), self.name)(batch, *given, **named)
        return answers


@dataclass
class WithLittle:
    """What a worker does with a batch, by module and name, with little time and memory and a decoder that may crash."""

    module: str
    name: str

    def __call__(self, batch: Sequence[PhotoRequest], *given: Any, **named: Any) -> list[Answer]:
        from tests.falling_decoder import little_room  # here, as it imports pytest

        with little_room():
            answers: list[Answer] = getattr(import_module(self.module), self.name)(batch, *given, **named)
        return answers


@dataclass
class Loaded:
    """A worker of stage masks that says in a file that it is asked to load the network."""

    log: Path

    def __call__(self, items: Sequence[None], network: Any) -> Sequence[None]:
        with self.log.open("a") as file:
            file.write(f"{network.name}\n")
        return items


@dataclass
class SameAnswer:
    """The same answer for every photo, without a network."""

    given: Answer

    def __call__(self, batch: Sequence[PhotoRequest], recipe: Any) -> list[Answer]:
        return [self.given for _ in batch]


def die(batches: Sequence[Any], recipe: Any) -> list[Any]:
    """End as a process does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def check_or_fall(data: bytes, limits: decode.PhotoLimits) -> tuple[str, str]:
    """Do as decode.check, but crash or hang over photos that end with such a word."""
    if data.endswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"hang"):
        time.sleep(600)
    return decode.check(data, limits)


def fall_once(data: bytes, limits: decode.PhotoLimits) -> tuple[str, str]:
    """Be killed over the first photo, as by the kernel when memory is short; decode all others."""
    mark = Path("killed")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return decode.check(data, limits)
