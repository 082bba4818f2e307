"""The recipe of masks: everything that decides a mask except the photo. masks.h5 and the cache's keys contain it."""

import json
from functools import cache
from importlib.metadata import PackageNotFoundError

from imageset.errors import ImagesetError
from imageset.photos import background, cut_outs, engines, gpu, masks
from imageset.photos.decode_recipe import DECODE_CODE, list_libraries
from imageset.photos.engines import Network
from imageset.photos.file_formats import FORMATS
from imageset.photos.hardware import name_engine
from imageset.runtime import files
from imageset.runtime.fingerprint import fingerprint
from imageset.runtime.sections import Device, Precision

MASK_CODE = (*DECODE_CODE, background, cut_outs, engines, masks)
# Not scipy, which counts pieces: whole numbers, whichever version counts.
MASK_LIBRARIES = ("deflate", "rembg")  # and those that decode
ENGINE_LIBRARIES = {"cpu": "openvino", "cuda": "onnxruntime-gpu"}


@cache
def identify_masks(precision: Precision, device: Device, formats: tuple[str, ...] = FORMATS) -> list[str]:
    """Return what decides masks, besides the network and its side, to compare with another machine's answer.

    Computed once a process: files may change later, but the process goes on running the code that it loaded.

    Args:
        precision: masks.precision.
        device: masks.device.
        formats: of photos that are decoded.

    Returns:
        The lines of `fingerprint`, then the engine that this machine runs the network with.

    Raises:
        ImagesetError: this machine's processor cannot run it, or the library is not installed.
    """
    code = (*MASK_CODE, gpu) if device == "cuda" else MASK_CODE
    libraries = (*list_libraries(formats), *MASK_LIBRARIES, ENGINE_LIBRARIES[device])
    try:
        return [*fingerprint(code, libraries), name_engine(precision, device)]
    except PackageNotFoundError as error:
        remedy = "`pip install -r requirements.txt`"
        if device == "cuda" and error.name == ENGINE_LIBRARIES["cuda"]:
            remedy = (
                "`pip uninstall --yes onnxruntime`, then `pip install -r requirements-gpu.txt`; or set masks.device to "
                "cpu"
            )
        raise ImagesetError(f"masks.device: {device} needs the package {error.name}: {remedy}") from None


def describe_recipe(network: Network, formats: tuple[str, ...] = FORMATS, use_alpha: bool = False) -> str:
    """Return everything that decides a mask except the photo, as JSON.

    Args:
        network: the network.
        formats: of photos that are decoded.
        use_alpha: masks.use_alpha.

    Raises:
        ImagesetError: this machine cannot run the network.
    """
    recipe = {
        "network": network.name,
        "side": network.side,
        "weights_sha256": files.sha256(network.weights),
        "made_by": identify_masks(network.precision, network.device, formats),
    }
    return json.dumps(recipe | ({"use_alpha": True} if use_alpha else {}), sort_keys=True)
