"""Decode a photo once, both to gray and to colour. No files, no network.

A JPEG holds its luma, which is its gray version, as a channel of its own beside two of colour differences (YCbCr).
libjpeg gives out the three as they are. The first is then the same, to the last bit, as what it gives out as gray. So
one decode serves both. Most of a decode's time is that of the compressed bits, whatever is made of them.
"""

from collections.abc import Callable
from typing import cast

from PIL import Image

from imageset.errors import Undecodable
from imageset.photos import decode
from imageset.photos.scaled_decodes import ScaledDecodes

# Modes of decode.decode are Pillow's. Its type names the two that other modules use.
YCBCR = cast(decode.Mode, "YCbCr")

ChooseReduction = Callable[[int, int], int]


def decode_gray_and_color(
    decodes: ScaledDecodes, choose_gray: ChooseReduction, choose_color: ChooseReduction
) -> tuple[Image.Image, Image.Image]:
    """Decode a photo to gray and to colour.

    Args:
        decodes: of the photo. Later uses of the gray photo find it there.
        choose_gray: from width and height to the number that divides the sides of the gray photo.
        choose_color: the same of the photo in colour. A JPEG in colour is divided as choose_gray says, in both.

    Returns:
        The photo in mode L, and in mode YCbCr or RGB.

    Raises:
        Undecodable: the bytes are no photo, or too large a one.
    """
    if not decodes.colors.is_plain:  # one decode, for its colours have to be converted before they become gray
        return decodes.decode_reduced(choose_gray, "L"), decodes.decode_reduced(choose_gray, "RGB")
    if decodes.is_color_jpeg:
        try:
            both = decodes.decode_reduced(choose_gray, YCBCR)
        except Undecodable as error:
            # A JPEG may hold red, green and blue, from which libjpeg makes gray but not YCbCr. Any other fault is found
            # again below.
            if error.reason.startswith("decoder_"):
                raise
        else:
            gray = both.getchannel("Y")
            decodes.decoded[choose_gray(*decodes.sides), "L"] = gray
            return gray, both
    return decodes.decode_reduced(choose_gray, "L"), decodes.decode_reduced(choose_color, "RGB")
