"""Draw the surfaces that garments are photographed on, from noise and light. Lightness is around 0."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Floats = npt.NDArray[np.floating]
Size = tuple[int, int]
Colour = tuple[int, int, int]

# The colours of each surface.
SURFACES: dict[str, tuple[Colour, ...]] = {
    "planks": ((176, 136, 96), (120, 84, 58), (205, 184, 158)),
    "carpet": ((150, 146, 140), (92, 96, 108), (190, 174, 152)),
    "sheet": ((232, 230, 226), (196, 206, 220), (120, 128, 146)),
    "tiles": ((208, 204, 198), (150, 146, 142), (222, 212, 194)),
    "wall": ((226, 222, 214), (180, 190, 196), (214, 200, 186)),
}


def to_unit(layer: Image.Image) -> Floats:
    return np.asarray(layer, np.float32) / np.float32(255)


def to_centred(layer: Image.Image) -> Floats:
    return to_unit(layer) * 2 - 1


def to_picture(values: Floats) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def draw_clouds(rng: np.random.Generator, size: Size, across: int, down: int) -> Floats:
    """Return smooth noise from -1 to 1 with about `across` times `down` blobs."""
    grid = Image.fromarray(rng.integers(0, 256, (down, across), np.uint8))
    return to_centred(grid.resize(size, Image.Resampling.BICUBIC))


def compute_slope(height: Floats, light: complex) -> Floats:
    """Return how much each place of a height map faces the light."""
    across = np.diff(height, axis=1, append=height[:, -1:])
    down = np.diff(height, axis=0, append=height[-1:])
    return across * np.float32(light.real) + down * np.float32(light.imag)


def draw_surface_tone(rng: np.random.Generator, surface: str, size: Size, light: complex) -> Floats:
    """Return the lightness of a surface, around 0, turned a little as in photos."""
    width, height = large = (size[0] * 5 // 4, size[1] * 5 // 4)
    if surface == "planks":
        tone = draw_joints(rng, large, int(rng.integers(300, 420)), int(rng.integers(60, 100)), staggered=True)
        tone = tone + 0.07 * draw_clouds(rng, large, 7, height // 3)
    elif surface == "tiles":
        side = int(rng.integers(130, 220))
        tone = draw_joints(rng, large, side, side, staggered=False) + 0.02 * draw_clouds(rng, large, 30, 40)
    elif surface == "carpet":
        tone = 0.14 * draw_clouds(rng, large, width // 3, height // 3) + 0.05 * draw_clouds(rng, large, 9, 12)
    elif surface == "sheet":
        tone = 4 * compute_slope(draw_clouds(rng, large, 5, 6) + 0.3 * draw_clouds(rng, large, 11, 14), light)
    else:
        tone = 0.03 * draw_clouds(rng, large, 4, 5) + 0.02 * draw_clouds(rng, large, width // 4, height // 4)
    turn = float(rng.uniform(-0.12, 0.12))
    matrix = (1.0, turn, (width - size[0] - turn * size[1]) / 2, -turn, 1.0, (height - size[1] + turn * size[0]) / 2)
    flat = to_picture(tone * 127 + 128).transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return to_centred(flat)


def draw_joints(rng: np.random.Generator, size: Size, width: int, height: int, staggered: bool) -> Floats:
    """Draw planks or tiles: pieces that differ a little in lightness, with dark joints between them."""
    image = Image.new("L", size)
    pen = ImageDraw.Draw(image)
    for top in range(0, size[1], height):
        for left in range(-int(rng.integers(width)) if staggered else 0, size[0], width):
            pen.rectangle((left, top, left + width, top + height), int(rng.integers(118, 139)), outline=92, width=2)
    return to_centred(image)
