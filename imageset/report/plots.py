"""Sheets of photos and the plot of class counts, as PNG. The bytes depend on the data alone."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imageset.formats.hdf5 import Pixels

CELL = 128
CAPTION = 30
GAP = 6
NAMED_CLASSES = 60  # with more classes the plot shows ranks in place of names
TRAIN_COLOR, TEST_COLOR, VALIDATION_COLOR = "#3b6ea5", "#e08e45", "#7aa874"


def sheet(images: Sequence[Pixels], captions: Sequence[str], columns: int) -> bytes:
    """Return a grid of images as PNG.

    Args:
        images: uint8 (S, S, C) each.
        captions: the text above each image, up to two lines.
        columns: how many images a row has.
    """
    rows = -(-len(images) // columns) or 1
    picture = Image.new("RGB", (columns * (CELL + GAP) + GAP, rows * (CELL + CAPTION + GAP) + GAP), "#e8e8e8")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = GAP + number % columns * (CELL + GAP)
        top = GAP + number // columns * (CELL + CAPTION + GAP)
        for line, text in enumerate(caption.split("\n")):
            pen.text((left, top + line * 14), shorten(text, font), fill="black", font=font)
        picture.paste(thumbnail(image), (left, top + CAPTION))
    return png(picture)


def shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text, cut to a cell's width."""
    while text and font.getlength(text) > CELL:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    return text


def thumbnail(image: Pixels) -> Image.Image:
    square = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return square.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS)


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def class_counts(names: Sequence[str], counts: dict[str, Sequence[int]]) -> bytes:
    """Return stacked bars of the photos in each class, one colour a subset, as PNG.

    Args:
        names: of the classes, the largest first.
        counts: the photos of each class, by subset.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    named = len(names) <= NAMED_CLASSES
    figure = Figure(figsize=(9, max(3.0, 0.24 * len(names) + 1.2)) if named else (9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colors = {"train": TRAIN_COLOR, "validation": VALIDATION_COLOR, "test": TEST_COLOR}
    places, base = np.arange(len(names)), np.zeros(len(names))
    for subset, values in counts.items():
        if named:
            axes.barh(places, values, left=base, color=colors[subset], label=subset)
        else:
            axes.bar(places, values, bottom=base, color=colors[subset], label=subset, width=1.0)
        base += np.asarray(values)
    if named:
        axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("photos")
        for place, total in zip(places, base, strict=True):
            axes.annotate(f"{total:.0f}", (total, place), (3, 0), textcoords="offset points", va="center")
        axes.margins(x=0.08, y=0.01)
    else:
        axes.set_yscale("log")
        axes.set_xlabel("classes, the largest first")
        axes.set_ylabel("photos")
    axes.set_title(f"{base.sum():.0f} photos in {len(names)} classes")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
