"""What decides how a photo's bytes are decoded: a part of the recipes of masks, embeddings and pixels."""

from collections.abc import Collection

from imageset.photos import (
    boxes,
    colors,
    decode,
    file_formats,
    jpeg_damage,
    jpeg_markers,
    png_chunks,
    png_colors,
    scaled_decodes,
    stray_text,
    webp_chunks,
    wholeness,
)

DECODE_CODE = (
    boxes,
    colors,
    decode,
    file_formats,
    jpeg_damage,
    jpeg_markers,
    png_chunks,
    png_colors,
    scaled_decodes,
    stray_text,
    webp_chunks,
    wholeness,
)
DECODE_LIBRARIES = ("numpy", "pillow", "simplejpeg")


def list_libraries(formats: Collection[str]) -> tuple[str, ...]:
    """Return the libraries that decide how photos of these formats are decoded.

    Raises:
        ParamsError: one of them is not installed.
    """
    file_formats.require_decoders(formats)
    return (*DECODE_LIBRARIES, "pi-heif") if "heic" in formats else DECODE_LIBRARIES
