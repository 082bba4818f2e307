"""Do the facts of photos find what is planted, what do limits reject, and what do facts and previews cost?

    python -m benchmarks.facts [PHOTOS] [--photos 713] [--sheets FOLDER]

Prints Markdown. No servers. Copies of the photos are blurred by so many pixels at a longer side of 256 pixels, and
encoded again as JPEGs. --sheets: draws the photos that each limit would reject first.
"""

import io
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.stats import rankdata

from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import circumstances, options, origin, spread, table
from benchmarks.shared.workload import read_photos
from imageset.photos import decode, facts, preprocess, previews
from imageset.photos.decode import PhotoLimits
from imageset.photos.facts import PhotoFacts
from imageset.photos.gray_and_color import decode_gray_and_color
from imageset.photos.pixels import choose_hash_reduction
from imageset.photos.scaled_decodes import ScaledDecodes
from imageset.runtime import params

LIMITS = PhotoLimits(50_000_000)
RADII = (1.0, 1.5, 2.0, 3.0)
NOISE = 6.0  # standard deviation, of 255
GRAYS = (0, 128, 230, 245, 250)  # of plain garments on white
SHARPNESS_LIMITS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
COLUMNS, SHEET = 10, 30

Measure = Callable[[Image.Image], float]


def laplacian(gray: Image.Image) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco et al., 2000)."""
    values = np.pad(np.asarray(gray, np.int64), 1, mode="edge")
    inner = values[1:-1, 1:-1]
    return float((4 * inner - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]).var())


def laplacian_share(gray: Image.Image) -> float:
    """Return the variance of the Laplacian divided by that of the gray values."""
    return laplacian(gray) / (float(np.asarray(gray).var()) + 1)


MEASURES: dict[str, Measure] = {
    "sharpness (the stage's)": facts.measure_sharpness,
    "variance of the Laplacian": laplacian,
    "the same, divided by the variance": laplacian_share,
}


def encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def decode_gray(body: bytes) -> Image.Image:
    return ScaledDecodes(body, LIMITS).decode_reduced(choose_hash_reduction, "L")


def decode_both(body: bytes, decodes: ScaledDecodes | None = None) -> tuple[Image.Image, Image.Image]:
    decodes = decodes or ScaledDecodes(body, LIMITS)
    return decode_gray_and_color(decodes, choose_hash_reduction, previews.choose_preview_reduction)


def reduced(body: bytes) -> Image.Image:
    """Return a photo as it is measured."""
    return facts.reduce_to_measure(decode_gray(body))


def blurred(photo: Image.Image, radius: float) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(radius * max(photo.size) / facts.MEASURING_SIDE))


def noisy(photo: Image.Image, seed: int) -> Image.Image:
    values = np.asarray(photo) + np.random.default_rng(seed).normal(0, NOISE, (photo.height, photo.width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def smaller(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width * 3 // 4, photo.height * 3 // 4), Image.Resampling.LANCZOS)


def plain_garment(gray: int) -> Image.Image:
    """Return a sharp garment of one gray, on white."""
    image = Image.new("RGB", (900, 1200), "white")
    outline = [(300, 200), (600, 200), (860, 500), (620, 480), (600, 1100), (280, 1100)]
    ImageDraw.Draw(image).polygon(outline, (gray, gray, gray))
    return image


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Return how often one of the first is above one of the second."""
    ranks = rankdata([*higher, *lower])[: len(higher)]
    return float((ranks.sum() - len(higher) * (len(higher) + 1) / 2) / (len(higher) * len(lower)))


def compare_measures(bodies: Sequence[bytes]) -> list[list[float]]:
    """Print how well each measure finds blur. Return the stage's sharpness of the copies of each radius."""
    kinds: dict[str, list[Image.Image]] = {"sharp": [], **{f"{radius} px": [] for radius in RADII}}
    kinds |= {"2 px, noisy": [], "3/4": []}
    for number, body in enumerate(bodies):
        photo = decode.decode(body, LIMITS)
        made = [photo, *(blurred(photo, radius) for radius in RADII)]
        made += [noisy(blurred(photo, 2), number), smaller(photo)]
        for name, image in zip(kinds, made, strict=True):
            kinds[name].append(reduced(body if image is photo else encode(image)))
    garments = [reduced(encode(plain_garment(gray))) for gray in GRAYS]
    rows, of_copies = [], []
    for name, measure in MEASURES.items():
        values = {kind: [measure(image) for image in images] for kind, images in kinds.items()}
        below = [np.mean([measure(garment) <= value for value in values["2.0 px"]]) for garment in garments]
        ratios = np.divide(values["3/4"], values["sharp"])
        found = [f"{auroc(values['sharp'], values[kind]):.4f}" for kind in list(kinds)[1:-1]]
        low, middle, high = np.percentile(ratios, [5, 50, 95])
        rows.append(
            [name, *found, " / ".join(f"{each:.0%}" for each in below), f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        )
        of_copies.append([values[f"{radius} px"] for radius in RADII])
    table(["measure", *list(kinds)[1:-1], f"blurred copies sharper than a garment of {GRAYS} on white", "at 3/4"], rows)
    return of_copies[0]


def print_limits(found: Sequence[PhotoFacts], copies: Sequence[Sequence[float]]) -> None:
    """Print which share each limit would reject of the photos, and that of sharpness of their blurred copies."""
    groups = [[each.sharpness for each in found], *copies]
    shares = [[f"{np.mean(np.array(group) < limit):.1%}" for group in groups] for limit in SHARPNESS_LIMITS]
    names = ["min_sharpness", "photos", *(f"blurred by {radius} px" for radius in RADII)]
    table(names, ([str(limit), *row] for limit, row in zip(SHARPNESS_LIMITS, shares, strict=True)))
    limits: list[tuple[str, Sequence[float], Callable[[PhotoFacts, float], bool]]] = [
        ("min_brightness", (60, 70, 80, 90), lambda each, limit: each.brightness < limit),
        ("max_brightness", (200, 190, 180), lambda each, limit: each.brightness > limit),
        ("min_side", (400, 401), lambda each, limit: min(each.width, each.height) < limit),
        ("max_aspect_ratio", (2.2, 2, 1.78, 1.75, 1.5), lambda each, limit: each.aspect_ratio > limit),
    ]
    table(
        ["param", "share of the photos that a value rejects"],
        (
            [name, ", ".join(f"{value}: {np.mean([test(each, value) for each in found]):.1%}" for value in values)]
            for name, values, test in limits
        ),
    )


def print_costs(bodies: Sequence[bytes], turns: int) -> None:
    """Print the processor time of a photo: of all that preprocess does with it, and of its parts."""
    section = params.load(ROOT / "params.yaml").preprocess
    opened = [ScaledDecodes(body, LIMITS) for body in bodies]
    decoded = [decode_both(body, decodes) for body, decodes in zip(bodies, opened, strict=True)]
    steps: dict[str, Callable[[int], object]] = {
        "all of a photo, its background kept": lambda number: preprocess.preprocess_photo(bodies[number], section),
        "its decode to gray": lambda number: decode_gray(bodies[number]),
        "its decode to gray and colour": lambda number: decode_both(bodies[number]),
        "its facts": lambda number: facts.measure_photo(bodies[number], decoded[number][0], opened[number]),
        "its preview": lambda number: previews.make_preview(decoded[number][1]),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(turns):
        for name, step in steps.items():
            begin = time.process_time()
            for number in range(len(bodies)):
                step(number)
            times[name].append(1000 * (time.process_time() - begin) / len(bodies))
    table(["processor ms a photo", "median (least to most)"], ([name, spread(each, 2)] for name, each in times.items()))


def draw_sheets(folder: Path, found: Sequence[PhotoFacts], shown: Sequence[bytes]) -> None:
    """Draw the photos that each limit would reject first."""
    folder.mkdir(parents=True, exist_ok=True)
    orders: dict[str, Callable[[int], float]] = {
        "too_blurred": lambda row: found[row].sharpness,
        "too_dark": lambda row: found[row].brightness,
        "too_light": lambda row: -found[row].brightness,
        "extreme_aspect": lambda row: -found[row].aspect_ratio,
    }
    for name, order in orders.items():
        sheet = Image.new("RGB", (COLUMNS * 100, SHEET // COLUMNS * 100), "gray")
        for place, row in enumerate(sorted(range(len(found)), key=order)[:SHEET]):
            sheet.paste(Image.open(io.BytesIO(shown[row])), (place % COLUMNS * 100 + 2, place // COLUMNS * 100 + 2))
        sheet.save(folder / f"{name}.png")


def parse() -> Namespace:
    parser = options("facts", __doc__, turns=3, photos=713)
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="draw what limits would reject first there")
    return parser.parse_args()


def main() -> None:
    chosen = parse()
    bodies = read_photos(chosen.folder)[: chosen.photos]
    circumstances(chosen, f"{len(bodies)} {origin(chosen.folder)}", "pillow", "numpy")
    found, shown = [], []
    for body in bodies:
        decodes = ScaledDecodes(body, LIMITS)
        gray, color = decode_both(body, decodes)
        found.append(facts.measure_photo(body, gray, decodes))
        shown.append(previews.make_preview(color))
    print_limits(found, compare_measures(bodies))
    print(f"A preview has {statistics.mean(map(len, shown)):.0f} bytes, {max(map(len, shown))} at most.\n")
    print_costs(bodies[::2], chosen.turns)
    if chosen.sheets:
        draw_sheets(chosen.sheets, found, shown)


if __name__ == "__main__":
    main()
