"""Draws snapshots of second-hand garments, for running the pipeline when there is no folder of real photos."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Floats = npt.NDArray[np.floating]
Size = tuple[int, int]
Colour = tuple[int, int, int]
# A fixed point, or one that the named proportion moves.
Point = tuple[float, float] | tuple[float, float, str]


class Part(NamedTuple):
    """One piece of a garment in units of its height: x runs right from the middle, y runs down from the top."""

    role: str
    points: tuple[Point, ...]
    symmetry: str = "fold"
    radius: float = 0.02
    chance: float = 1.0
    repeats: int = 0


# The parts with their outlines as complex numbers, x + iy: multiplying by one turns and scales.
Shapes = list[tuple[Part, list[complex]]]

SIDES: tuple[Size, ...] = ((480, 640), (450, 600), (480, 600), (510, 640), (480, 680))
OVERSAMPLING = 2
FLAT_TONE = 128
SEAM_TONE = 78
# How far each proportion, at its largest, stretches its points outwards and moves them down.
PROPORTIONS: dict[str, tuple[float, float]] = {
    "sleeve": (0.2, 0.1),
    "spread": (0.38, -0.15),
    "neck": (0.1, 0.08),
    "open": (0.0, 0.2),
    "waist": (0.16, 0.0),
    "flare": (0.2, 0.08),
    "swing": (0.6, 0.06),
    "reach": (0.2, 0.08),
    "crown": (0.0, -0.16),
}
PATTERNS = ("plain", "plain", "plain", "stripes", "checks", "dots", "print")
PRINTED = ("t-shirt", "longsleeve", "dress", "skirt", "bag")
LEAST_CONTRAST = 75

# What a role leaves in the layers alpha, tone, accent and pattern; None leaves the layer as it was.
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
# In thousandths of the garment's height; the other roles are filled.
STROKES = {"seam": 6, "rib": 6, "fringe": 12, "zip": 12, "button": 20}

NECK = (
    Part("trim", ((0, 0), (0.14, 0), (0.11, 0.06, "neck"), (0, 0.09, "neck")), radius=0.04),
    Part("inside", ((0, 0), (0.115, 0), (0.08, 0.05, "neck"), (0, 0.065, "neck")), radius=0.04),
)
SHOULDER: tuple[Point, ...] = ((0, 0), (0.14, 0), (0.37, 0.05))
LONG_SLEEVE: tuple[Point, ...] = ((0.46, 0.3), (0.58, 0.84, "spread"), (0.47, 0.88, "spread"))
TORSO: tuple[Point, ...] = ((0.325, 0.29), (0.3, 0.6, "waist"), (0.31, 0.9, "flare"))
ARMHOLE = Part("seam", ((0.36, 0.05), (0.31, 0.16), (0.32, 0.29)), "twin")
CUFF_ENDS: tuple[Point, ...] = ((0.58, 0.84, "spread"), (0.47, 0.88, "spread"), (0.455, 0.8, "spread"))
CUFF = Part("trim", ((0.565, 0.76, "spread"), *CUFF_ENDS), "twin", 0.01)
# Every garment comes in one or more styles.
STYLES: dict[str, tuple[tuple[Part, ...], ...]] = {
    "t-shirt": ((
        Part("body", (*SHOULDER, (0.55, 0.25, "sleeve"), (0.43, 0.34, "sleeve"), *TORSO, (0, 0.92, "flare"))),
        ARMHOLE, *NECK,
    ),),
    "longsleeve": ((
        Part("body", (*SHOULDER, *LONG_SLEEVE, *TORSO, (0, 0.92, "flare"))),
        ARMHOLE, CUFF._replace(chance=0.5), *NECK,
    ),),
    "shirt": ((
        Part("body", (*SHOULDER, *LONG_SLEEVE, *TORSO, (0.2, 0.97), (0, 1.02))),
        ARMHOLE, CUFF._replace(role="body"),
        Part("seam", ((0.025, 0.1), (0.025, 1.0)), "twin"),
        Part("body", ((0.1, 0.3), (0.24, 0.3), (0.24, 0.44), (0.17, 0.47), (0.1, 0.44)), "once", 0.01, 0.7),
        Part("inside", ((0, -0.02), (0.11, -0.02), (0, 0.12))),
        Part("body", ((0.11, -0.04), (0.17, 0.03), (0.1, 0.15, "neck"), (0, 0.11)), "twin", 0.01),
        Part("button", ((0, 0.18), (0, 0.93)), "once", repeats=7),
    ),),
    "jacket": ((
        Part("body", ((0, -0.2), (0.13, -0.17), (0.2, -0.02), (0.13, 0.06), (0, 0.1)), radius=0.08, chance=0.5),
        Part("body", ((0, 0), (0.16, -0.01), (0.42, 0.06), (0.53, 0.35), *LONG_SLEEVE[1:], (0.37, 0.36),
                      (0.37, 0.86, "flare"), (0, 0.88, "flare")), radius=0.04),
        Part("trim", ((0, 0.82, "flare"), (0.37, 0.8, "flare"), (0.36, 0.9, "flare"), (0, 0.91, "flare"))),
        CUFF, Part("seam", ((0.4, 0.05), (0.35, 0.18), (0.37, 0.36)), "twin"),
        Part("zip", ((0.14, 0.72), (0.28, 0.54)), "twin"),
        Part("inside", ((0, -0.05), (0.12, -0.04), (0.06, 0.09), (0, 0.13, "open")), radius=0.03),
        Part("trim", ((0.12, -0.07), (0.19, 0.02), (0.08, 0.17), (0.02, 0.15)), "twin"),
        Part("zip", ((0, 0.13, "open"), (0, 0.9)), "once"),
    ),),
    "dress": ((
        Part("body", ((0, 0.06), (0.09, 0), (0.19, 0.03), (0.25, 0.13, "sleeve"), (0.17, 0.2), (0.13, 0.36),
                      (0.24, 0.62), (0.28, 0.92, "swing"), (0.14, 0.96, "swing"), (0, 0.97, "swing"))),
        Part("inside", ((0, 0.02), (0.075, 0), (0.05, 0.08, "neck"), (0, 0.11, "neck")), radius=0.03),
        Part("trim", ((0, 0.34), (0.145, 0.33), (0.14, 0.38), (0, 0.39)), chance=0.6),
        Part("rib", ((-0.1, 0.4), (-0.24, 0.9), (0.1, 0.4), (0.24, 0.9)), "once", repeats=6),
    ),),
    "skirt": ((
        Part("body", ((0, 0), (0.22, 0), (0.31, 0.25), (0.34, 0.6, "swing"), (0.2, 0.63, "swing"), (0, 0.64, "swing"))),
        Part("rib", ((-0.16, 0.08), (-0.3, 0.6), (0.16, 0.08), (0.3, 0.6)), "once", repeats=8),
        Part("trim", ((0, -0.01), (0.22, -0.01), (0.235, 0.07), (0, 0.08))),
        Part("button", ((0, 0.14), (0, 0.55)), "once", chance=0.3, repeats=5),
    ),),
    "pants": ((
        Part("body", ((0, 0), (0.18, 0), (0.24, 0.25), (0.24, 0.6), (0.2, 0.98, "swing"), (0.07, 0.98), (0.025, 0.36))),
        Part("inside", ((0, 0.005), (0.15, 0.005), (0, 0.02))),
        Part("seam", ((0, 0.06), (0.185, 0.05))),
        Part("seam", ((0, 0.06), (0, 0.34)), "once"),
        Part("seam", ((0.1, 0.06), (0.13, 0.13), (0.215, 0.15)), "twin"),
        Part("seam", ((0.13, 0.3), (0.14, 0.93)), "twin", chance=0.5),
        Part("button", ((0, 0.035), (0, 0.035)), "once", repeats=1),
    ),),
    "shorts": ((
        Part("body", ((0, 0), (0.25, 0), (0.32, 0.28), (0.34, 0.5, "flare"), (0.06, 0.52, "flare"), (0.015, 0.32))),
        Part("trim", ((0, -0.01), (0.25, -0.01), (0.265, 0.06), (0, 0.07))),
        Part("rib", ((-0.24, 0), (-0.25, 0.06), (0.24, 0), (0.25, 0.06)), "once", chance=0.6, repeats=22),
        Part("seam", ((0, 0.07), (0, 0.31)), "once"),
        Part("seam", ((0.17, 0.07), (0.21, 0.17), (0.3, 0.2)), "twin"),
    ),),
    "hat": ((
        Part("body", ((-0.4, 0.48), (-0.38, 0.2), (-0.2, 0, "crown"), (0.12, 0, "crown"), (0.33, 0.2), (0.36, 0.48)),
             "once", 0.16),
        Part("trim", ((0.05, 0.42), (0.36, 0.38), (0.72, 0.5, "reach"), (0.7, 0.57, "reach"), (0.36, 0.5), (0.05, 0.5)),
             "once", 0.07),
        Part("seam", ((-0.03, 0, "crown"), (0.06, 0.2), (0.08, 0.44)), "once"),
        Part("seam", ((-0.04, 0, "crown"), (-0.2, 0.18), (-0.24, 0.46)), "once"),
        Part("button", ((-0.04, -0.01, "crown"), (-0.04, -0.01, "crown")), "once", repeats=1),
    ), (
        Part("trim", ((0, -0.16), (0.1, -0.14), (0.11, -0.02), (0, 0.04)), radius=0.09, chance=0.6),
        Part("body", ((0, -0.02), (0.22, 0.02), (0.33, 0.25), (0.35, 0.5), (0, 0.52)), radius=0.14),
        Part("rib", ((-0.1, 0.03), (-0.32, 0.45), (0.1, 0.03), (0.32, 0.45)), "once", repeats=13),
        Part("trim", ((0, 0.42), (0.36, 0.4), (0.37, 0.58, "reach"), (0, 0.6, "reach"))),
        Part("rib", ((-0.33, 0.42), (-0.34, 0.59), (0.33, 0.42), (0.34, 0.59)), "once", repeats=20),
    )),
    "shoes": ((
        Part("body", ((-0.47, 0.36), (-0.48, 0.02, "crown"), (-0.36, 0.05, "crown"), (-0.18, 0, "crown"),
                      (-0.08, 0, "crown"), (0.12, 0.15), (0.4, 0.2), (0.52, 0.3), (0.52, 0.36)), "once", 0.06),
        Part("inside", ((-0.45, 0.03, "crown"), (-0.36, 0.09, "crown"), (-0.17, 0.02, "crown")), "once"),
        Part("trim", ((-0.49, 0.33), (0.1, 0.35), (0.53, 0.31), (0.55, 0.38), (0.5, 0.43), (-0.5, 0.43)), "once"),
        Part("trim", ((0.3, 0.19), (0.4, 0.2), (0.52, 0.3), (0.53, 0.34), (0.28, 0.35)), "once", 0.04, 0.5),
        Part("seam", ((-0.3, 0.1), (-0.24, 0.33)), "once"),
        Part("zip", ((-0.1, 0.03), (-0.18, 0.13), (0.14, 0.15), (0.05, 0.24)), "once", repeats=5),
    ),),
    "bag": ((
        Part("trim", ((0, 0, "crown"), (0.15, 0.02, "crown"), (0.23, 0.4), (0, 0.42)), radius=0.1),
        Part("hole", ((0, 0.06, "crown"), (0.115, 0.08, "crown"), (0.175, 0.42), (0, 0.42)), radius=0.09),
        Part("body", ((0, 0.34), (0.33, 0.34), (0.36, 0.88, "flare"), (0, 0.9, "flare")), radius=0.05),
        Part("body", ((0, 0.33), (0.34, 0.33), (0.35, 0.55), (0, 0.63)), radius=0.07, chance=0.6),
        Part("trim", ((0, 0.56), (0.04, 0.56), (0.04, 0.66), (0, 0.66)), radius=0.01, chance=0.8),
    ),),
    "scarf": ((
        Part("body", ((0, -0.02), (0.2, 0.04), (0.29, 0.2), (0.22, 0.38), (0, 0.46)), radius=0.1),
        Part("hole", ((0, 0.09), (0.1, 0.11), (0.14, 0.19), (0.09, 0.26), (0, 0.29)), radius=0.05),
        Part("body", ((-0.12, 0.33), (0.06, 0.33), (-0.08, 0.9, "reach"), (-0.28, 0.86, "reach")), "once"),
        Part("fringe", ((-0.27, 0.85, "reach"), (-0.29, 0.95, "reach"), (-0.09, 0.89, "reach"), (-0.11, 0.99, "reach")),
             "once", repeats=11),
        Part("body", ((-0.06, 0.33), (0.13, 0.32), (0.27, 0.8, "flare"), (0.08, 0.84, "flare")), "once"),
        Part("fringe", ((0.26, 0.79, "flare"), (0.28, 0.89, "flare"), (0.09, 0.83, "flare"), (0.1, 0.93, "flare")),
             "once", repeats=11),
        Part("body", ((-0.14, 0.3), (0.13, 0.27), (0.16, 0.42), (-0.12, 0.47)), "once", 0.06),
    ),),
}

GARMENTS: tuple[str, ...] = tuple(STYLES)
# One pair of shoes is the shoe drawn twice, the far one first.
COPIES: dict[str, tuple[complex, ...]] = {"shoes": (0.16 - 0.42j, 0j)}

CLOTHS: tuple[Colour, ...] = (
    (28, 28, 32), (240, 238, 232), (36, 48, 88), (150, 30, 40), (60, 92, 60), (205, 180, 140), (120, 150, 190),
    (230, 170, 180), (235, 200, 70), (110, 70, 120), (95, 95, 100), (190, 90, 50), (40, 120, 130), (90, 60, 45),
)
# Each surface lies under the photo in one of these colours.
SURFACES: dict[str, tuple[Colour, ...]] = {
    "planks": ((176, 136, 96), (120, 84, 58), (205, 184, 158)),
    "carpet": ((150, 146, 140), (92, 96, 108), (190, 174, 152)),
    "sheet": ((232, 230, 226), (196, 206, 220), (120, 128, 146)),
    "tiles": ((208, 204, 198), (150, 146, 142), (222, 212, 194)),
    "wall": ((226, 222, 214), (180, 190, 196), (214, 200, 186)),
}


def draw(garment: str, seed: int) -> Image.Image:
    """The seed's snapshot of a garment."""
    if garment not in STYLES:
        raise ValueError(f"unknown garment {garment!r}, known: {', '.join(GARMENTS)}")
    # Only plain arithmetic on these draws (no sines, no normals), so that every machine gets the same bytes.
    rng = np.random.Generator(np.random.PCG64([GARMENTS.index(garment), seed]))
    size = SIDES[rng.integers(len(SIDES))]
    light = complex(-1 if rng.random() < 0.5 else 1, rng.uniform(0.3, 1.0))
    surface = tuple(SURFACES)[rng.integers(len(SURFACES))]
    ground = shifted(SURFACES[surface][rng.integers(3)], rng.integers(-6, 7, 3))
    backdrop = np.asarray(ground, np.float32) * (1 + surface_tone(rng, surface, size, light))[..., None]
    alpha, tone, accent, pattern = layers(rng, garment, size)
    base, trim, motif = cloth_colours(rng, ground)
    cloth = Image.new("RGB", size, base)
    cloth.paste(motif, mask=pattern)
    cloth.paste(trim, mask=accent)
    change = (0.55 * centred(tone) + 0.9 * folds(rng, alpha, light))[..., None]
    # The constant keeps seams and folds visible on black cloth.
    lit = np.asarray(cloth) * (1 + change) + 22 * change
    backdrop *= (1 - shadow(rng, alpha, light))[..., None]
    return developed(rng, backdrop + (lit - backdrop) * unit(alpha)[..., None], light)


def unit(layer: Image.Image) -> Floats:
    return np.asarray(layer, np.float32) / np.float32(255)


def centred(layer: Image.Image) -> Floats:
    return unit(layer) * 2 - 1


def picture(values: Floats) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def shifted(colour: Colour, steps: npt.ArrayLike) -> Colour:
    red, green, blue = np.clip(np.add(colour, steps), 0, 255).tolist()
    return red, green, blue


def brightness(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def cloth_colours(rng: np.random.Generator, ground: Colour) -> tuple[Colour, Colour, Colour]:
    """Colours of the cloth, its trim and its pattern; the cloth stands out from the ground even in grey."""
    distinct = [colour for colour in CLOTHS if abs(brightness(colour) - brightness(ground)) > LEAST_CONTRAST]
    base, motif = (shifted(distinct[rng.integers(len(distinct))], rng.integers(-14, 15, 3)) for _ in range(2))
    return base, shifted(base, -30 if brightness(base) > 70 else 26), motif


def moved(point: Point, shares: dict[str, float]) -> complex:
    if len(point) == 2:
        return complex(*point)
    x, y, proportion = point
    stretch, drop = PROPORTIONS[proportion]
    return complex(x * (1 + stretch * shares[proportion]), y + drop * shares[proportion])


def garment_shapes(rng: np.random.Generator, garment: str) -> Shapes:
    """The parts of one garment of that kind, as it happens to be cut and laid out."""
    right = {name: float(rng.random()) for name in PROPORTIONS}
    left = {name: share + float(rng.uniform(-0.15, 0.15)) for name, share in right.items()}
    style = STYLES[garment][rng.integers(len(STYLES[garment]))]
    parts = [part for part in style if rng.random() < part.chance]
    shapes: Shapes = []
    for part in parts:
        spots = [moved(point, right) for point in part.points]
        mirrored = [-moved(point, left).conjugate() for point in part.points]
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


def between(first: complex, second: complex, share: float) -> complex:
    return first + (second - first) * share


def rounded(spots: list[complex], radius: float) -> list[complex]:
    """The polygon with its corners cut to curves, as cloth has no sharp ones."""
    curved: list[complex] = []
    for before, corner, after in zip(spots[-1:] + spots[:-1], spots, spots[1:] + spots[:1], strict=True):
        start, end = (
            between(corner, other, min(0.5, radius / max(abs(other - corner), 1e-6))) for other in (before, after)
        )
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            curved.append(between(between(start, corner, share), between(corner, end, share), share))
    return curved


def strokes(part: Part, spots: list[complex]) -> list[list[complex]]:
    """The lines or polygons to paint for a part; a repeated one goes from its first half to its second in steps."""
    if part.role not in STROKES:
        return [rounded(spots, part.radius)]
    half = len(spots) // 2
    return [
        [between(*ends, step / max(1, part.repeats - 1)) for ends in zip(spots[:half], spots[half:], strict=True)]
        for step in range(part.repeats)
    ] or [spots]


def placement(rng: np.random.Generator, shapes: Shapes, size: Size) -> tuple[complex, complex]:
    """What to multiply by and then to add so that the shapes lie turned in the photo and fill most of it."""
    sine = float(rng.uniform(-0.25, 0.25))
    turn = complex(float(np.sqrt(1 - sine * sine)), sine)
    across = [(spot * turn).real for _, spots in shapes for spot in spots]
    down = [(spot * turn).imag for _, spots in shapes for spot in spots]
    room = min(size[0] / (max(across) - min(across)), size[1] / (max(down) - min(down)))
    scale = room * float(rng.uniform(0.74, 0.94))
    centre = complex(size[0] * rng.uniform(0.47, 0.53), size[1] * rng.uniform(0.46, 0.54))
    return turn * scale, centre - scale * complex(max(across) + min(across), max(down) + min(down)) / 2


def layers(rng: np.random.Generator, garment: str, size: Size) -> list[Image.Image]:
    """The garment's alpha, tone, accent and pattern, each a grey image."""
    shapes = garment_shapes(rng, garment)
    factor, shift = (OVERSAMPLING * number for number in placement(rng, shapes, size))
    large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    canvases = [Image.new("L", large, fill) for fill in (0, FLAT_TONE, 0, 0)]
    pens = [ImageDraw.Draw(canvas) for canvas in canvases]
    for spots, strength in pattern_marks(rng, garment):
        paint(pens[3], "body", [spot * factor + shift for spot in spots], strength, abs(factor))
    for part, spots in shapes:
        for line in strokes(part, spots):
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


def pattern_marks(rng: np.random.Generator, garment: str) -> list[tuple[list[complex], int]]:
    """The outline of each mark of the cloth's pattern and how strongly it covers the cloth."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    step = float(rng.uniform(0.05, 0.11))
    thick = step * float(rng.uniform(0.25, 0.5))
    rows = [step * number - 1.2 for number in range(int(2.6 / step))]
    marks: list[tuple[list[complex], int]] = []
    if pattern in ("stripes", "checks"):
        marks += [(box(-1.2, row, 2.4, thick), 200) for row in rows]
    if pattern == "checks":
        marks += [(box(row, -1.2, thick / 2, 2.6), 255) for row in rows]
    if pattern == "dots":
        marks += [(rounded(box(x, y, thick, thick), thick / 2), 220) for x in rows for y in rows]
    if pattern == "print" and garment in PRINTED:
        for left, top, wide, tall in rng.uniform((-0.15, 0.2, 0.08, 0.05), (0, 0.4, 0.16, 0.14), (3, 4)).tolist():
            marks.append((rounded(box(left, top, wide, tall), 0.05), 230))
    return marks


def box(left: float, top: float, wide: float, tall: float) -> list[complex]:
    corner = complex(left, top)
    return [corner, corner + wide, corner + complex(wide, tall), corner + complex(0, tall)]


def clouds(rng: np.random.Generator, size: Size, across: int, down: int) -> Floats:
    """Smooth noise from -1 to 1 with about that many blobs across and down."""
    grid = Image.fromarray(rng.integers(0, 256, (down, across), np.uint8))
    return centred(grid.resize(size, Image.Resampling.BICUBIC))


def slope(height: Floats, light: complex) -> Floats:
    """How much each place of a height map faces the light."""
    across = np.diff(height, axis=1, append=height[:, -1:])
    down = np.diff(height, axis=0, append=height[-1:])
    return across * np.float32(light.real) + down * np.float32(light.imag)


def surface_tone(rng: np.random.Generator, surface: str, size: Size, light: complex) -> Floats:
    """Lightness of what the garment lies on, around 0, turned a little as photos are."""
    width, height = large = (size[0] * 5 // 4, size[1] * 5 // 4)
    if surface == "planks":
        tone = joints(rng, large, int(rng.integers(300, 420)), int(rng.integers(60, 100)), staggered=True)
        tone = tone + 0.07 * clouds(rng, large, 7, height // 3)
    elif surface == "tiles":
        side = int(rng.integers(130, 220))
        tone = joints(rng, large, side, side, staggered=False) + 0.02 * clouds(rng, large, 30, 40)
    elif surface == "carpet":
        tone = 0.14 * clouds(rng, large, width // 3, height // 3) + 0.05 * clouds(rng, large, 9, 12)
    elif surface == "sheet":
        tone = 4 * slope(clouds(rng, large, 5, 6) + 0.3 * clouds(rng, large, 11, 14), light)
    else:
        tone = 0.03 * clouds(rng, large, 4, 5) + 0.02 * clouds(rng, large, width // 4, height // 4)
    turn = float(rng.uniform(-0.12, 0.12))
    matrix = (1.0, turn, (width - size[0] - turn * size[1]) / 2, -turn, 1.0, (height - size[1] + turn * size[0]) / 2)
    flat = picture(tone * 127 + 128).transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return centred(flat)


def joints(rng: np.random.Generator, size: Size, width: int, height: int, staggered: bool) -> Floats:
    """Planks or tiles: pieces that differ a little in lightness, with dark joints between them."""
    image = Image.new("L", size)
    pen = ImageDraw.Draw(image)
    for top in range(0, size[1], height):
        for left in range(-int(rng.integers(width)) if staggered else 0, size[0], width):
            pen.rectangle((left, top, left + width, top + height), int(rng.integers(118, 139)), outline=92, width=2)
    return centred(image)


def folds(rng: np.random.Generator, alpha: Image.Image, light: complex) -> Floats:
    """Shading of the cloth: thicker in the middle than at the edge, and creased."""
    small = alpha.reduce(4)
    body = unit(small.filter(ImageFilter.GaussianBlur(3)))
    creases = 0.5 * clouds(rng, small.size, 7, 6) + 0.25 * clouds(rng, small.size, 15, 11)
    relief = slope(0.9 * body + float(rng.uniform(0.5, 1.0)) * creases, light)
    return centred(picture(relief * 255 + 128).resize(alpha.size, Image.Resampling.BICUBIC))


def shadow(rng: np.random.Generator, alpha: Image.Image, light: complex) -> Floats:
    small = alpha.reduce(4).filter(ImageFilter.GaussianBlur(float(rng.uniform(1.5, 3))))
    reach = light * float(rng.uniform(1, 3))
    cast = ImageChops.offset(small, round(reach.real), round(reach.imag))
    return float(rng.uniform(0.25, 0.5)) * unit(cast.resize(alpha.size, Image.Resampling.BICUBIC))


def developed(rng: np.random.Generator, photo: Floats, light: complex) -> Image.Image:
    """The photo as a phone would take it: uneven light, darker corners, a little noise and blur."""
    across = np.linspace(-1, 1, photo.shape[1], dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, photo.shape[0], dtype=np.float32)[:, None]
    uneven = float(rng.uniform(0, 0.1)) * (across * np.float32(light.real) + down * np.float32(light.imag))
    exposure = float(rng.uniform(0.92, 1.06)) - uneven - float(rng.uniform(0.02, 0.1)) * (across**2 + down**2)
    noise = rng.integers(-7, 8, photo.shape, np.int8)
    return picture(photo * exposure[..., None] + noise).filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 0.8))))
