"""The background-removal networks that may be used: rembg's names, their checksums and licences. And the one network
that makes embeddings.

Left out of rembg's list are the sessions that send photos to a server (atlascloud, withoutbg), need more than a photo
(sam, *_custom), predict kinds of clothes in place of one mask (u2net_cloth_seg), or convert their weights themselves
(birefnet-general-fp16).
"""

from typing import NamedTuple

from imageset.errors import ParamsError
from imageset.runtime.sections import ModelParams


class NetworkSpec(NamedTuple):
    """What is known of a network.

    checksum is of its .onnx file, as rembg writes it. licence is of its weights. side is of its input, in pixels.
    any_side says that it takes other sides as well, because it is convolutional throughout.
    """

    checksum: str
    licence: str
    side: int
    any_side: bool
    commercial: bool = True


NETWORKS = {
    "u2netp": NetworkSpec("md5:8e83ca70e441ab06c318d82300c84806", "Apache-2.0", 320, True),
    "u2net": NetworkSpec("md5:60024c5c889badc19c04ad937298a77b", "Apache-2.0", 320, True),
    "u2net_human_seg": NetworkSpec("md5:c09ddc2e0104f800e3e1bb4652583d1f", "Apache-2.0", 320, True),
    "silueta": NetworkSpec("md5:55e59e0d8062d2f5d013f4725ee84782", "Apache-2.0", 320, True),
    "isnet-general-use": NetworkSpec("md5:fc16ebd8b0c10d971d3513d564d01e29", "Apache-2.0", 1024, True),
    "isnet-anime": NetworkSpec("md5:6f184e756bb3bd901c8849220a83e38e", "Apache-2.0", 1024, True),
    "birefnet-general": NetworkSpec("md5:7a35a0141cbbc80de11d9c9a28f52697", "MIT", 1024, False),
    "birefnet-general-lite": NetworkSpec("md5:4fab47adc4ff364be1713e97b7e66334", "MIT", 1024, False),
    "birefnet-portrait": NetworkSpec("md5:c3a64a6abf20250d090cd055f12a3b67", "MIT", 1024, False),
    "birefnet-dis": NetworkSpec("md5:2d4d44102b446f33a4ebb2e56c051f2b", "MIT", 1024, False),
    "birefnet-hrsod": NetworkSpec("md5:c017ade5de8a50ff0fd74d790d268dda", "MIT", 1024, False),
    "birefnet-cod": NetworkSpec("md5:f6d0d21ca89d287f17e7afe9f5fd3b45", "MIT", 1024, False),
    "birefnet-massive": NetworkSpec("md5:33e726a2136a3d59eb0fdf613e31e3e9", "MIT", 1024, False),
    "bria-rmbg": NetworkSpec(
        "sha256:5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",
        "CC-BY-NC-4.0",
        1024,
        False,
        commercial=False,
    ),
}


# The name and the sha256 of the weights that models/u2netp-int8.zip was made of.
QUANTIZED = ("u2netp", "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8")

# The network that makes embeddings, and the sha256 of its weights. They are no params: another network has another
# size and other classes, so the audit would have to be measured anew. Licence: Apache-2.0.
EMBEDDING = ("efficientnet-lite0", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")


def find_spec(name: str) -> NetworkSpec:
    """Return the row of NETWORKS that model.name names. Raises ParamsError when there is none."""
    spec = NETWORKS.get(name)
    if spec is None:
        raise ParamsError(f"params.yaml: model.name = {name!r}: expected one of {', '.join(sorted(NETWORKS))}")
    return spec


def require_licence(model: ModelParams) -> None:
    """Raise ParamsError when section `model` names an unknown network, or does not allow its licence."""
    spec = find_spec(model.name)
    if not spec.commercial and not model.allow_non_commercial:
        raise ParamsError(
            f"params.yaml: model.name = {model.name!r} has the licence {spec.licence}, which forbids "
            "commercial use: choose another, or set model.allow_non_commercial: true"
        )
