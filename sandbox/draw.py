"""Draw photos of second-hand garments, to run the pipeline without a folder of real photos."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sandbox.garments import COPIES, GARMENTS, PROPORTIONS, STYLES, Part, Point
from sandbox.surfaces import (
    SURFACES,
    Colour,
    Floats,
    Size,
    compute_slope,
    draw_clouds,
    draw_surface_tone,
    to_centred,
    to_picture,
    to_unit,
)

# Parts with their outlines as complex numbers, x + iy: a multiplication turns and scales them.
Shapes = list[tuple[Part, list[complex]]]

SIZES: tuple[Size, ...] = ((480, 640), (450, 600), (480, 600), (510, 640), (480, 680))
OVERSAMPLING = 2
FLAT_TONE = 128
SEAM_TONE = 78
PATTERNS = ("plain", "plain", "plain", "stripes", "checks", "dots", "print")
PRINTED = ("t-shirt", "longsleeve", "dress", "skirt", "bag")
LEAST_CONTRAST = 75

# What a role paints into the layers alpha, tone, accent and pattern. None: nothing.
INKS: dict[str, tuple[int | None, int | None, int | None, int | None]] = {
    "body": (255, FLAT_TONE, 0, None),
    "inside": (255, 62, 0, 0),
    "trim": (255, FLAT_TONE, 255, 0),
    "hole": (0, None, None, None),
    "seam": (None, SEAM_TONE, None, None),
    "rib": (None, 100, None, None),
    "fringe": (255, FLAT_TONE, 0, None),
    "zip": (None, 190, 255, 0),
    "button": (None, 165, 255, 0),
}
# Widths in thousandths of the garment's height. The other roles are filled.
STROKES = {"seam": 6, "rib": 6, "fringe": 12, "zip": 12, "button": 20}

CLOTHS: tuple[Colour, ...] = (
    (28, 28, 32),
    (240, 238, 232),
    (36, 48, 88),
    (150, 30, 40),
    (60, 92, 60),
    (205, 180, 140),
    (120, 150, 190),
    (230, 170, 180),
    (235, 200, 70),
    (110, 70, 120),
    (95, 95, 100),
    (190, 90, 50),
    (40, 120, 130),
    (90, 60, 45),
)


def draw(garment: str, seed: int) -> Image.Image:
    """Draw a photo of a garment. The same garment and seed give the same photo.

    Raises:
        ValueError: the garment is not one of GARMENTS.
    """
    if garment not in STYLES:
        raise ValueError(f"unknown garment {garment!r}, known: {', '.join(GARMENTS)}")
    # Only plain arithmetic on random numbers (no sines, no normals), so that every machine draws the same bytes.
    rng = np.random.Generator(np.random.PCG64([GARMENTS.index(garment), seed]))
    size = SIZES[rng.integers(len(SIZES))]
    light = complex(-1 if rng.random() < 0.5 else 1, rng.uniform(0.3, 1.0))
    surface = tuple(SURFACES)[rng.integers(len(SURFACES))]
    ground = shift_colour(SURFACES[surface][rng.integers(3)], rng.integers(-6, 7, 3))
    backdrop = np.asarray(ground, np.float32) * (1 + draw_surface_tone(rng, surface, size, light))[..., None]
    alpha, tone, accent, pattern = draw_layers(rng, garment, size)
    base, trim, motif = choose_cloth_colours(rng, ground)
    cloth = Image.new("RGB", size, base)
    cloth.paste(motif, mask=pattern)
    cloth.paste(trim, mask=accent)
    change = (0.55 * to_centred(tone) + 0.9 * shade_folds(rng, alpha, light))[..., None]
    # The added constant keeps seams and folds visible on black cloth.
    lit = np.asarray(cloth) * (1 + change) + 22 * change
    backdrop *= (1 - cast_shadow(rng, alpha, light))[..., None]
    return develop(rng, backdrop + (lit - backdrop) * to_unit(alpha)[..., None], light)


def shift_colour(colour: Colour, steps: npt.ArrayLike) -> Colour:
    red, green, blue = np.clip(np.add(colour, steps), 0, 255).tolist()
    return red, green, blue


def compute_brightness(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def choose_cloth_colours(rng: np.random.Generator, ground: Colour) -> tuple[Colour, Colour, Colour]:
    """Return colours of the cloth, its trim and its pattern. The cloth differs from the ground even in grey."""
    distinct = [
        colour for colour in CLOTHS if abs(compute_brightness(colour) - compute_brightness(ground)) > LEAST_CONTRAST
    ]
    base, motif = (shift_colour(distinct[rng.integers(len(distinct))], rng.integers(-14, 15, 3)) for _ in range(2))
    return base, shift_colour(base, -30 if compute_brightness(base) > 70 else 26), motif


def move_point(point: Point, shares: dict[str, float]) -> complex:
    if len(point) == 2:
        return complex(*point)
    x, y, proportion = point
    stretch, drop = PROPORTIONS[proportion]
    return complex(x * (1 + stretch * shares[proportion]), y + drop * shares[proportion])


def cut_garment(rng: np.random.Generator, garment: str) -> Shapes:
    """Return the parts of one garment, cut and laid out at random."""
    right = {name: float(rng.random()) for name in PROPORTIONS}
    left = {name: share + float(rng.uniform(-0.15, 0.15)) for name, share in right.items()}
    style = STYLES[garment][rng.integers(len(STYLES[garment]))]
    parts = [part for part in style if rng.random() < part.chance]
    shapes: Shapes = []
    for part in parts:
        spots = [move_point(point, right) for point in part.points]
        mirrored = [-move_point(point, left).conjugate() for point in part.points]
        if part.symmetry == "fold":
            shapes.append((part, mirrored[::-1] + spots))
        else:
            shapes += [(part, spots), (part, mirrored)][: 2 if part.symmetry == "twin" else 1]
    lean, width, facing = rng.uniform(-0.06, 0.06), rng.uniform(0.9, 1.12), -1 if rng.random() < 0.5 else 1
    return [
        (part, [complex(facing * width * (spot + copy).real + lean * spot.imag, (spot + copy).imag) for spot in spots])
        for copy in COPIES.get(garment, (0j,))
        for part, spots in shapes
    ]


def interpolate(first: complex, second: complex, share: float) -> complex:
    return first + (second - first) * share


def round_corners(spots: list[complex], radius: float) -> list[complex]:
    """Return the polygon with curves for corners: cloth has no sharp corners."""
    curved: list[complex] = []
    for before, corner, after in zip(spots[-1:] + spots[:-1], spots, spots[1:] + spots[:1], strict=True):
        start, end = (
            interpolate(corner, other, min(0.5, radius / max(abs(other - corner), 1e-6))) for other in (before, after)
        )
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            curved.append(interpolate(interpolate(start, corner, share), interpolate(corner, end, share), share))
    return curved


def list_strokes(part: Part, spots: list[complex]) -> list[list[complex]]:
    """Return the lines or polygons to paint for a part. A repeated one moves from its first half to its second."""
    if part.role not in STROKES:
        return [round_corners(spots, part.radius)]
    half = len(spots) // 2
    return [
        [interpolate(*ends, step / max(1, part.repeats - 1)) for ends in zip(spots[:half], spots[half:], strict=True)]
        for step in range(part.repeats)
    ] or [spots]


def choose_placement(rng: np.random.Generator, shapes: Shapes, size: Size) -> tuple[complex, complex]:
    """Return the factor and the shift that turn the shapes and fit them to most of the photo."""
    sine = float(rng.uniform(-0.25, 0.25))
    turn = complex(float(np.sqrt(1 - sine * sine)), sine)
    across = [(spot * turn).real for _, spots in shapes for spot in spots]
    down = [(spot * turn).imag for _, spots in shapes for spot in spots]
    room = min(size[0] / (max(across) - min(across)), size[1] / (max(down) - min(down)))
    scale = room * float(rng.uniform(0.74, 0.94))
    centre = complex(size[0] * rng.uniform(0.47, 0.53), size[1] * rng.uniform(0.46, 0.54))
    return turn * scale, centre - scale * complex(max(across) + min(across), max(down) + min(down)) / 2


def draw_layers(rng: np.random.Generator, garment: str, size: Size) -> list[Image.Image]:
    """Draw the garment's alpha, tone, accent and pattern, each a grey image."""
    shapes = cut_garment(rng, garment)
    factor, shift = (OVERSAMPLING * number for number in choose_placement(rng, shapes, size))
    large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    canvases = [Image.new("L", large, fill) for fill in (0, FLAT_TONE, 0, 0)]
    pens = [ImageDraw.Draw(canvas) for canvas in canvases]
    for spots, strength in list_pattern_marks(rng, garment):
        paint(pens[3], "body", [spot * factor + shift for spot in spots], strength, abs(factor))
    for part, spots in shapes:
        for line in list_strokes(part, spots):
            marks = [spot * factor + shift for spot in line]
            for pen, value in zip(pens, INKS[part.role], strict=True):
                if value is not None:
                    paint(pen, part.role, marks, value, abs(factor))
            if part.role not in STROKES:
                paint(pens[1], "seam", [*marks, marks[0]], SEAM_TONE, abs(factor))
    return [canvas.reduce(OVERSAMPLING) for canvas in canvases]


def paint(pen: ImageDraw.ImageDraw, role: str, spots: list[complex], value: int, scale: float) -> None:
    ends = [(round(spot.real), round(spot.imag)) for spot in spots]
    width = round(scale * STROKES.get(role, 0) / 1000)
    if role not in STROKES:
        pen.polygon(ends, fill=value)
    elif len(ends) == 1:
        pen.ellipse([(x + side, y + side) for x, y in ends for side in (-width // 2, width // 2)], fill=value)
    else:
        pen.line(ends, fill=value, width=width, joint="curve")


def list_pattern_marks(rng: np.random.Generator, garment: str) -> list[tuple[list[complex], int]]:
    """Return the outline of each mark of the cloth's pattern, and how strongly it covers the cloth."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    step = float(rng.uniform(0.05, 0.11))
    thick = step * float(rng.uniform(0.25, 0.5))
    rows = [step * number - 1.2 for number in range(int(2.6 / step))]
    marks: list[tuple[list[complex], int]] = []
    if pattern in ("stripes", "checks"):
        marks += [(outline_box(-1.2, row, 2.4, thick), 200) for row in rows]
    if pattern == "checks":
        marks += [(outline_box(row, -1.2, thick / 2, 2.6), 255) for row in rows]
    if pattern == "dots":
        marks += [(round_corners(outline_box(x, y, thick, thick), thick / 2), 220) for x in rows for y in rows]
    if pattern == "print" and garment in PRINTED:
        for left, top, wide, tall in rng.uniform((-0.15, 0.2, 0.08, 0.05), (0, 0.4, 0.16, 0.14), (3, 4)).tolist():
            marks.append((round_corners(outline_box(left, top, wide, tall), 0.05), 230))
    return marks


def outline_box(left: float, top: float, wide: float, tall: float) -> list[complex]:
    corner = complex(left, top)
    return [corner, corner + wide, corner + complex(wide, tall), corner + complex(0, tall)]


def shade_folds(rng: np.random.Generator, alpha: Image.Image, light: complex) -> Floats:
    """Return the shading of the cloth, which is creased and thicker in the middle than at the edge."""
    small = alpha.reduce(4)
    body = to_unit(small.filter(ImageFilter.GaussianBlur(3)))
    creases = 0.5 * draw_clouds(rng, small.size, 7, 6) + 0.25 * draw_clouds(rng, small.size, 15, 11)
    relief = compute_slope(0.9 * body + float(rng.uniform(0.5, 1.0)) * creases, light)
    return to_centred(to_picture(relief * 255 + 128).resize(alpha.size, Image.Resampling.BICUBIC))


def cast_shadow(rng: np.random.Generator, alpha: Image.Image, light: complex) -> Floats:
    small = alpha.reduce(4).filter(ImageFilter.GaussianBlur(float(rng.uniform(1.5, 3))))
    reach = light * float(rng.uniform(1, 3))
    cast = ImageChops.offset(small, round(reach.real), round(reach.imag))
    return float(rng.uniform(0.25, 0.5)) * to_unit(cast.resize(alpha.size, Image.Resampling.BICUBIC))


def develop(rng: np.random.Generator, photo: Floats, light: complex) -> Image.Image:
    """Return the photo as a phone takes it: uneven light, darker corners, a little noise and blur."""
    across = np.linspace(-1, 1, photo.shape[1], dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, photo.shape[0], dtype=np.float32)[:, None]
    uneven = float(rng.uniform(0, 0.1)) * (across * np.float32(light.real) + down * np.float32(light.imag))
    exposure = float(rng.uniform(0.92, 1.06)) - uneven - float(rng.uniform(0.02, 0.1)) * (across**2 + down**2)
    noise = rng.integers(-7, 8, photo.shape, np.int8)
    return to_picture(photo * exposure[..., None] + noise).filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 0.8))))
