"""A decoder that ends or stops a worker process over photos that say so, for the stages that decode."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from imageset.photos import decode

real_open_image = decode.open_image


def open_or_fall(data: bytes, limits: decode.PhotoLimits) -> Image.Image:
    """Do as decode.open_image does, but for photos that say what is to become of their decoder."""
    if data.endswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"hang"):
        time.sleep(600)
    return real_open_image(data, limits)


@contextmanager
def little_room() -> Iterator[None]:
    """In a worker process: little time and memory, and that decoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imageset.photos.scaled_decodes.SECONDS_TO_DECODE", 2.0)
        patch.setattr("imageset.photos.scaled_decodes.BYTES_TO_DECODE", 50_000_000)
        patch.setattr(decode, "open_image", open_or_fall)
        yield
