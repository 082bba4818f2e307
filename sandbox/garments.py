"""How garments are cut: lists of parts, whose outlines are points that named proportions move."""

from typing import NamedTuple

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
# The styles of each garment.
STYLES: dict[str, tuple[tuple[Part, ...], ...]] = {
    "t-shirt": (
        (
            Part("body", (*SHOULDER, (0.55, 0.25, "sleeve"), (0.43, 0.34, "sleeve"), *TORSO, (0, 0.92, "flare"))),
            ARMHOLE,
            *NECK,
        ),
    ),
    "longsleeve": (
        (
            Part("body", (*SHOULDER, *LONG_SLEEVE, *TORSO, (0, 0.92, "flare"))),
            ARMHOLE,
            CUFF._replace(chance=0.5),
            *NECK,
        ),
    ),
    "shirt": (
        (
            Part("body", (*SHOULDER, *LONG_SLEEVE, *TORSO, (0.2, 0.97), (0, 1.02))),
            ARMHOLE,
            CUFF._replace(role="body"),
            Part("seam", ((0.025, 0.1), (0.025, 1.0)), "twin"),
            Part("body", ((0.1, 0.3), (0.24, 0.3), (0.24, 0.44), (0.17, 0.47), (0.1, 0.44)), "once", 0.01, 0.7),
            Part("inside", ((0, -0.02), (0.11, -0.02), (0, 0.12))),
            Part("body", ((0.11, -0.04), (0.17, 0.03), (0.1, 0.15, "neck"), (0, 0.11)), "twin", 0.01),
            Part("button", ((0, 0.18), (0, 0.93)), "once", repeats=7),
        ),
    ),
    "jacket": (
        (
            Part("body", ((0, -0.2), (0.13, -0.17), (0.2, -0.02), (0.13, 0.06), (0, 0.1)), radius=0.08, chance=0.5),
            Part(
                "body",
                (
                    (0, 0),
                    (0.16, -0.01),
                    (0.42, 0.06),
                    (0.53, 0.35),
                    *LONG_SLEEVE[1:],
                    (0.37, 0.36),
                    (0.37, 0.86, "flare"),
                    (0, 0.88, "flare"),
                ),
                radius=0.04,
            ),
            Part("trim", ((0, 0.82, "flare"), (0.37, 0.8, "flare"), (0.36, 0.9, "flare"), (0, 0.91, "flare"))),
            CUFF,
            Part("seam", ((0.4, 0.05), (0.35, 0.18), (0.37, 0.36)), "twin"),
            Part("zip", ((0.14, 0.72), (0.28, 0.54)), "twin"),
            Part("inside", ((0, -0.05), (0.12, -0.04), (0.06, 0.09), (0, 0.13, "open")), radius=0.03),
            Part("trim", ((0.12, -0.07), (0.19, 0.02), (0.08, 0.17), (0.02, 0.15)), "twin"),
            Part("zip", ((0, 0.13, "open"), (0, 0.9)), "once"),
        ),
    ),
    "dress": (
        (
            Part(
                "body",
                (
                    (0, 0.06),
                    (0.09, 0),
                    (0.19, 0.03),
                    (0.25, 0.13, "sleeve"),
                    (0.17, 0.2),
                    (0.13, 0.36),
                    (0.24, 0.62),
                    (0.28, 0.92, "swing"),
                    (0.14, 0.96, "swing"),
                    (0, 0.97, "swing"),
                ),
            ),
            Part("inside", ((0, 0.02), (0.075, 0), (0.05, 0.08, "neck"), (0, 0.11, "neck")), radius=0.03),
            Part("trim", ((0, 0.34), (0.145, 0.33), (0.14, 0.38), (0, 0.39)), chance=0.6),
            Part("rib", ((-0.1, 0.4), (-0.24, 0.9), (0.1, 0.4), (0.24, 0.9)), "once", repeats=6),
        ),
    ),
    "skirt": (
        (
            Part(
                "body",
                ((0, 0), (0.22, 0), (0.31, 0.25), (0.34, 0.6, "swing"), (0.2, 0.63, "swing"), (0, 0.64, "swing")),
            ),
            Part("rib", ((-0.16, 0.08), (-0.3, 0.6), (0.16, 0.08), (0.3, 0.6)), "once", repeats=8),
            Part("trim", ((0, -0.01), (0.22, -0.01), (0.235, 0.07), (0, 0.08))),
            Part("button", ((0, 0.14), (0, 0.55)), "once", chance=0.3, repeats=5),
        ),
    ),
    "pants": (
        (
            Part(
                "body",
                ((0, 0), (0.18, 0), (0.24, 0.25), (0.24, 0.6), (0.2, 0.98, "swing"), (0.07, 0.98), (0.025, 0.36)),
            ),
            Part("inside", ((0, 0.005), (0.15, 0.005), (0, 0.02))),
            Part("seam", ((0, 0.06), (0.185, 0.05))),
            Part("seam", ((0, 0.06), (0, 0.34)), "once"),
            Part("seam", ((0.1, 0.06), (0.13, 0.13), (0.215, 0.15)), "twin"),
            Part("seam", ((0.13, 0.3), (0.14, 0.93)), "twin", chance=0.5),
            Part("button", ((0, 0.035), (0, 0.035)), "once", repeats=1),
        ),
    ),
    "shorts": (
        (
            Part("body", ((0, 0), (0.25, 0), (0.32, 0.28), (0.34, 0.5, "flare"), (0.06, 0.52, "flare"), (0.015, 0.32))),
            Part("trim", ((0, -0.01), (0.25, -0.01), (0.265, 0.06), (0, 0.07))),
            Part("rib", ((-0.24, 0), (-0.25, 0.06), (0.24, 0), (0.25, 0.06)), "once", chance=0.6, repeats=22),
            Part("seam", ((0, 0.07), (0, 0.31)), "once"),
            Part("seam", ((0.17, 0.07), (0.21, 0.17), (0.3, 0.2)), "twin"),
        ),
    ),
    "hat": (
        (
            Part(
                "body",
                ((-0.4, 0.48), (-0.38, 0.2), (-0.2, 0, "crown"), (0.12, 0, "crown"), (0.33, 0.2), (0.36, 0.48)),
                "once",
                0.16,
            ),
            Part(
                "trim",
                ((0.05, 0.42), (0.36, 0.38), (0.72, 0.5, "reach"), (0.7, 0.57, "reach"), (0.36, 0.5), (0.05, 0.5)),
                "once",
                0.07,
            ),
            Part("seam", ((-0.03, 0, "crown"), (0.06, 0.2), (0.08, 0.44)), "once"),
            Part("seam", ((-0.04, 0, "crown"), (-0.2, 0.18), (-0.24, 0.46)), "once"),
            Part("button", ((-0.04, -0.01, "crown"), (-0.04, -0.01, "crown")), "once", repeats=1),
        ),
        (
            Part("trim", ((0, -0.16), (0.1, -0.14), (0.11, -0.02), (0, 0.04)), radius=0.09, chance=0.6),
            Part("body", ((0, -0.02), (0.22, 0.02), (0.33, 0.25), (0.35, 0.5), (0, 0.52)), radius=0.14),
            Part("rib", ((-0.1, 0.03), (-0.32, 0.45), (0.1, 0.03), (0.32, 0.45)), "once", repeats=13),
            Part("trim", ((0, 0.42), (0.36, 0.4), (0.37, 0.58, "reach"), (0, 0.6, "reach"))),
            Part("rib", ((-0.33, 0.42), (-0.34, 0.59), (0.33, 0.42), (0.34, 0.59)), "once", repeats=20),
        ),
    ),
    "shoes": (
        (
            Part(
                "body",
                (
                    (-0.47, 0.36),
                    (-0.48, 0.02, "crown"),
                    (-0.36, 0.05, "crown"),
                    (-0.18, 0, "crown"),
                    (-0.08, 0, "crown"),
                    (0.12, 0.15),
                    (0.4, 0.2),
                    (0.52, 0.3),
                    (0.52, 0.36),
                ),
                "once",
                0.06,
            ),
            Part("inside", ((-0.45, 0.03, "crown"), (-0.36, 0.09, "crown"), (-0.17, 0.02, "crown")), "once"),
            Part("trim", ((-0.49, 0.33), (0.1, 0.35), (0.53, 0.31), (0.55, 0.38), (0.5, 0.43), (-0.5, 0.43)), "once"),
            Part("trim", ((0.3, 0.19), (0.4, 0.2), (0.52, 0.3), (0.53, 0.34), (0.28, 0.35)), "once", 0.04, 0.5),
            Part("seam", ((-0.3, 0.1), (-0.24, 0.33)), "once"),
            Part("zip", ((-0.1, 0.03), (-0.18, 0.13), (0.14, 0.15), (0.05, 0.24)), "once", repeats=5),
        ),
    ),
    "bag": (
        (
            Part("trim", ((0, 0, "crown"), (0.15, 0.02, "crown"), (0.23, 0.4), (0, 0.42)), radius=0.1),
            Part("hole", ((0, 0.06, "crown"), (0.115, 0.08, "crown"), (0.175, 0.42), (0, 0.42)), radius=0.09),
            Part("body", ((0, 0.34), (0.33, 0.34), (0.36, 0.88, "flare"), (0, 0.9, "flare")), radius=0.05),
            Part("body", ((0, 0.33), (0.34, 0.33), (0.35, 0.55), (0, 0.63)), radius=0.07, chance=0.6),
            Part("trim", ((0, 0.56), (0.04, 0.56), (0.04, 0.66), (0, 0.66)), radius=0.01, chance=0.8),
        ),
    ),
    "scarf": (
        (
            Part("body", ((0, -0.02), (0.2, 0.04), (0.29, 0.2), (0.22, 0.38), (0, 0.46)), radius=0.1),
            Part("hole", ((0, 0.09), (0.1, 0.11), (0.14, 0.19), (0.09, 0.26), (0, 0.29)), radius=0.05),
            Part("body", ((-0.12, 0.33), (0.06, 0.33), (-0.08, 0.9, "reach"), (-0.28, 0.86, "reach")), "once"),
            Part(
                "fringe",
                ((-0.27, 0.85, "reach"), (-0.29, 0.95, "reach"), (-0.09, 0.89, "reach"), (-0.11, 0.99, "reach")),
                "once",
                repeats=11,
            ),
            Part("body", ((-0.06, 0.33), (0.13, 0.32), (0.27, 0.8, "flare"), (0.08, 0.84, "flare")), "once"),
            Part(
                "fringe",
                ((0.26, 0.79, "flare"), (0.28, 0.89, "flare"), (0.09, 0.83, "flare"), (0.1, 0.93, "flare")),
                "once",
                repeats=11,
            ),
            Part("body", ((-0.14, 0.3), (0.13, 0.27), (0.16, 0.42), (-0.12, 0.47)), "once", 0.06),
        ),
    ),
}

GARMENTS: tuple[str, ...] = tuple(STYLES)
# One pair of shoes is the shoe drawn twice, the far one first.
COPIES: dict[str, tuple[complex, ...]] = {"shoes": (0.16 - 0.42j, 0j)}
