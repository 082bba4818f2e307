"""The recipe of embeddings: everything that decides one except the photo. embeddings.h5 and the cache's keys contain
it."""

import json
from functools import cache
from importlib.metadata import PackageNotFoundError

from imageset.errors import ImagesetError
from imageset.photos import checkpoint, efficientnet, embeddings, engines, networks
from imageset.photos.decode_recipe import DECODE_CODE, list_libraries
from imageset.photos.file_formats import FORMATS
from imageset.photos.hardware import name_engine
from imageset.runtime.fingerprint import fingerprint

EMBEDDING_CODE = (*DECODE_CODE, checkpoint, efficientnet, embeddings, engines)
EMBEDDING_LIBRARIES = ("openvino",)  # and those that decode


@cache
def identify_embeddings(formats: tuple[str, ...] = FORMATS) -> list[str]:
    """Return what decides embeddings besides the weights, to compare with another machine's answer.

    Computed once a process: files may change later, but the process goes on running the code that it loaded.

    Args:
        formats: of photos that are decoded.

    Returns:
        The lines of `fingerprint`, then the engine that this machine runs the network with.

    Raises:
        ImagesetError: a library is not installed.
    """
    libraries = (*list_libraries(formats), *EMBEDDING_LIBRARIES)
    try:
        return [*fingerprint(EMBEDDING_CODE, libraries), name_engine("float32", "cpu")]
    except PackageNotFoundError as error:
        raise ImagesetError(
            f"stage embed needs the package {error.name}: `pip install -r requirements.txt`; or set embed.enabled: "
            "false"
        ) from None


def describe_recipe(formats: tuple[str, ...] = FORMATS) -> str:
    """Return everything that decides an embedding except the photo, as JSON.

    Args:
        formats: of photos that are decoded.

    Raises:
        ImagesetError: a library is not installed.
    """
    network, sha256 = networks.EMBEDDING
    recipe = {"network": network, "weights_sha256": sha256, "made_by": identify_embeddings(formats)}
    return json.dumps(recipe, sort_keys=True)
