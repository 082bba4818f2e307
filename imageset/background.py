"""Background removal by rembg: an image -> a mask of its foreground."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image


def predict_mask(image: Image.Image, name: str, weights: Path) -> Image.Image:
    """Return a mask (mode L, the image's sides), 255 where the foreground is.

    The pre- and post-processing are rembg's own for the model of that name; the weights are the given file.
    """
    mask: Image.Image = session(name, weights).predict(image)[0]
    return mask


@lru_cache(maxsize=1)
def session(name: str, weights: Path) -> Any:
    """Return rembg's session for the weights, one a process.

    One thread on the CPU: processes share the cores, and another execution provider would mean other bytes.
    """
    # rembg imports pymatting, which compiles its matting code on the first import of an environment: 48 s for what
    # is not used here.
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    import onnxruntime
    from rembg.sessions import sessions

    class PinnedSession(sessions[name]):  # type: ignore[misc]  # rembg's classes are not typed
        """The model's class, reading the weights that params.yaml pins in place of a download."""

        @classmethod
        def download_models(cls, *args: Any, **kwargs: Any) -> str:
            return str(weights)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return PinnedSession(name, options, providers=["CPUExecutionProvider"])


def known_models() -> list[str]:
    """Return the names of rembg's models that take no more than an image."""
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    from rembg.sessions import sessions

    return sorted(name for name in sessions if not name.endswith("_custom") and name != "sam")
