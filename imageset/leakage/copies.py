"""Make the copies that sellers upload again: cropped, mirrored, framed, written on, turned, in a collage. Pure.

Stage leakage plants them and asks the search for each: reports/leakage.json counts those that it finds.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from imageset.report.lettering import font_file

# How much a copy differs, drawn uniformly from each range. Shares are of the photo's sides, or of its shorter side.
RESIZED = (0.3, 0.8)
LOW_QUALITY = (20, 60)  # of a JPEG
CROPPED = 0.9
FRAME = (0.03, 0.08)
LETTERS = (0.06, 0.12)  # the height of letters
STICKER = (0.2, 0.3)  # the side
SHARPENED = (150, 300)  # percent, of a radius of SHARPENED_PIXELS
SHARPENED_PIXELS = 2

QUALITY = 90  # of the JPEGs of all other copies
FLAT = ("white", "black", "#d9d9d9", "#b3202a", "#1f4e9c", "#f2c230")  # colours of frames and stickers
PADDING = ("white", "black", "#d9d9d9")
WORDS = ("NEW WITH TAGS", "Vintage 90s", "size M / 38", "FREE SHIPPING", "shop-anna.example", "-50 %  TODAY")
STICKERS = ("SALE", "NEW", "-30%", "TOP")

Image_ = Image.Image
Draw = np.random.Generator


def resize(photo: Image_, other: Image_, draw: Draw) -> Image_:
    share = draw.uniform(*RESIZED)
    return photo.resize((at_least_1(photo.width * share), at_least_1(photo.height * share)), Image.Resampling.LANCZOS)


def keep(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return photo


def crop(photo: Image_, other: Image_, draw: Draw) -> Image_:
    """Keep CROPPED of each side, anywhere."""
    width, height = at_least_1(photo.width * CROPPED), at_least_1(photo.height * CROPPED)
    left, top = (round(draw.uniform(0, room)) for room in (photo.width - width, photo.height - height))
    return photo.crop((left, top, left + width, top + height))


def mirror(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return ImageOps.mirror(photo)


def pad(photo: Image_, other: Image_, draw: Draw) -> Image_:
    """Add bars of one colour until the photo is square. A square photo is made a quarter wider."""
    side = max(photo.size)
    size = (round(side * 1.25), side) if photo.width == photo.height else (side, side)
    return ImageOps.pad(photo, size, Image.Resampling.LANCZOS, color=str(draw.choice(PADDING)))


def frame(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return ImageOps.expand(photo, at_least_1(min(photo.size) * draw.uniform(*FRAME)), str(draw.choice(FLAT)))


def write(photo: Image_, other: Image_, draw: Draw) -> Image_:
    """Write a line on the photo, at any height."""
    copy = photo.copy()
    pen, text = ImageDraw.Draw(copy), str(draw.choice(WORDS))
    size = at_least_1(min(photo.size) * draw.uniform(*LETTERS))
    font = ImageFont.truetype(str(font_file()), size)
    width, height = measure_text(font, text)
    place = draw.uniform(0, max(0, photo.width - width)), draw.uniform(0, max(0, photo.height - height))
    ink, outline = draw.permutation(["white", "black"]).tolist()
    pen.text(place, text, ink, font, anchor="lt", stroke_width=max(1, size // 16), stroke_fill=outline)
    return copy


def stick(photo: Image_, other: Image_, draw: Draw) -> Image_:
    """Put a round sticker with a word anywhere on the photo."""
    copy = photo.copy()
    pen, side = ImageDraw.Draw(copy), at_least_1(min(photo.size) * draw.uniform(*STICKER))
    left, top = draw.uniform(0, photo.width - side), draw.uniform(0, photo.height - side)
    ground = str(draw.choice(FLAT))
    pen.ellipse((left, top, left + side, top + side), ground)
    font = ImageFont.truetype(str(font_file()), at_least_1(side / 4))
    ink = "black" if ground in ("white", "#d9d9d9", "#f2c230") else "white"
    pen.text((left + side / 2, top + side / 2), str(draw.choice(STICKERS)), ink, font, anchor="mm")
    return copy


def sharpen(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return photo.filter(ImageFilter.UnsharpMask(SHARPENED_PIXELS, round(draw.uniform(*SHARPENED)), 0))


def remove_color(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return ImageOps.grayscale(photo)


def turn_90(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return photo.transpose(Image.Transpose.ROTATE_90 if draw.random() < 0.5 else Image.Transpose.ROTATE_270)


def turn_180(photo: Image_, other: Image_, draw: Draw) -> Image_:
    return photo.transpose(Image.Transpose.ROTATE_180)


def make_collage(photo: Image_, other: Image_, draw: Draw) -> Image_:
    """Put the photo beside another one, or below or above it, in equal parts."""
    pair = [photo, ImageOps.fit(other, photo.size, Image.Resampling.LANCZOS)]
    if draw.random() < 0.5:
        pair.reverse()
    beside = draw.random() < 0.5
    width, height = photo.size
    collage = Image.new("RGB", (2 * width, height) if beside else (width, 2 * height))
    for number, each in enumerate(pair):
        collage.paste(each, (number * width, 0) if beside else (0, number * height))
    return collage


# By the names that reports/leakage.json has.
KINDS: dict[str, Callable[[Image_, Image_, Draw], Image_]] = {
    "resized": resize,
    "encoded_again": keep,
    "cropped": crop,
    "mirrored": mirror,
    "padded": pad,
    "bordered": frame,
    "text": write,
    "sticker": stick,
    "sharpened": sharpen,
    "gray": remove_color,
    "turned_90": turn_90,
    "turned_180": turn_180,
    "collage": make_collage,
}


def make_copy(photo: Image_, other: Image_, kind: str, seed: int) -> bytes:
    """Return a copy of a photo as a JPEG. The same photo, kind and seed give the same bytes.

    Args:
        photo: mode RGB, upright.
        other: what a collage shows beside it, mode RGB.
        kind: one of KINDS.
        seed: not negative; another one gives another copy, unless the kind is exact.
    """
    draw = np.random.Generator(np.random.PCG64([list(KINDS).index(kind), seed]))
    copy = KINDS[kind](photo, other, draw)
    quality = int(draw.integers(*LOW_QUALITY, endpoint=True)) if kind == "encoded_again" else QUALITY
    file = io.BytesIO()
    copy.save(file, "JPEG", quality=quality)
    return file.getvalue()


def measure_text(font: ImageFont.FreeTypeFont, text: str) -> tuple[float, float]:
    left, top, right, bottom = font.getbbox(text)
    return right - left, bottom - top


def at_least_1(value: float) -> int:
    return max(1, round(value))
