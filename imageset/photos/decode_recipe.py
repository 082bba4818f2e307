"""What decides how a photo's bytes are decoded: a part of the recipes of masks, embeddings and pixels."""

from imageset.photos import colors, decode, file_formats, png_colors, scaled_decodes

DECODE_CODE = (colors, decode, file_formats, png_colors, scaled_decodes)
DECODE_LIBRARIES = ("numpy", "pillow")
