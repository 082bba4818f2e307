"""Pictures that are no garments, drawn: what sellers upload by mistake."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WORDS = ["size", "chart", "price", "delivery", "return", "cotton", "wash", "order", "total", "shop", "care", "sale"]

Random = np.random.Generator
Picture = Image.Image


def colour(random: Random, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    red, green, blue = random.integers(low, high, 3).tolist()
    return red, green, blue


def screenshot(random: Random) -> Picture:
    """A page of text on a phone."""
    picture = Image.new("RGB", (360, 640), colour(random, 225))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 360, 50), colour(random))
    for top in range(70, 600, int(random.integers(18, 34))):
        line = " ".join(random.choice(WORDS, int(random.integers(2, 8))))
        draw.text((20, top), line, colour(random, 0, 90), ImageFont.load_default(int(random.integers(12, 20))))
    return picture


def price_tag(random: Random) -> Picture:
    """A label with a price and a bar code, on cloth of one colour."""
    picture = Image.new("RGB", (400, 533), colour(random, 40, 220))
    draw = ImageDraw.Draw(picture)
    left, top = random.integers(20, 120, 2).tolist()
    draw.rounded_rectangle((left, top, left + 240, top + 360), 18, colour(random, 215))
    draw.ellipse((left + 105, top + 15, left + 135, top + 45), colour(random, 0, 120))
    price = f"{random.integers(1, 99)}.{random.integers(10, 99)}"
    draw.text((left + 40, top + 90), price, (20, 20, 20), ImageFont.load_default(56))
    for bar in range(left + 30, left + 210, 4):
        draw.rectangle((bar, top + 220, bar + int(random.integers(0, 4)), top + 320), (10, 10, 10))
    return picture.rotate(float(random.uniform(-12, 12)), Image.Resampling.BICUBIC)


def size_chart(random: Random) -> Picture:
    """A table of numbers."""
    picture = Image.new("RGB", (600, 450), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    columns, rows = random.integers(4, 8, 2).tolist()
    for row in range(rows):
        for column in range(columns):
            box = (30 + column * 540 // columns, 40 + row * 370 // rows)
            draw.rectangle((*box, box[0] + 540 // columns, box[1] + 370 // rows), None, (90, 90, 90), 2)
            draw.text((box[0] + 10, box[1] + 10), str(random.integers(20, 130)), (0, 0, 0), ImageFont.load_default(24))
    return picture


def sky(random: Random) -> Picture:
    """A gradient with clouds."""
    down = np.linspace(0, 1, 400)[:, None, None]
    base = (1 - down) * np.array(colour(random, 60, 200)) + down * np.array(colour(random, 120, 255))
    clouds = Image.fromarray(random.integers(0, 256, (24, 18), np.uint8)).resize((300, 400), Image.Resampling.BICUBIC)
    light = np.asarray(clouds.filter(ImageFilter.GaussianBlur(9)), np.float64)[..., None] - 128
    return Image.fromarray(np.clip(base + 0.5 * light, 0, 255).astype(np.uint8))


def noise(random: Random) -> Picture:
    """A transfer that went wrong: noise of some grain."""
    grain = int(random.choice([1, 2, 4, 8]))
    pixels = random.integers(0, 256, (400 // grain, 300 // grain, 3), np.uint8)
    return Image.fromarray(pixels).resize((300, 400), Image.Resampling.NEAREST)


def plain(random: Random) -> Picture:
    """One colour, with the sensor's noise: a lens cap, a blank page."""
    pixels = np.array(colour(random)) + random.normal(0, 1.5, (400, 300, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


KINDS: tuple[Callable[[Random], Picture], ...] = (screenshot, price_tag, size_chart, sky, noise, plain)


def draw_off_topic(seed: int, each: int) -> list[tuple[str, bytes]]:
    """Return the kind and the JPEG of `each` pictures of every kind."""
    found = []
    for number, kind in enumerate(KINDS):
        for copy in range(each):
            file = io.BytesIO()
            kind(np.random.default_rng([seed, number, copy])).save(file, "JPEG", quality=85)
            found.append((kind.__name__, file.getvalue()))
    return found
