"""Sheets of photos, as PNG. The bytes depend on the data alone."""

import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from imageset.formats.hdf5 import Pixels
from imageset.report import lettering

CELL = 128
CAPTION = 30
HEADING = 30
GAP = 6
CAPTION_SIZE, HEADING_SIZE = 10, 15  # of letters


class Part(NamedTuple):
    """A part of a sheet: a heading above it, "" for none; images, uint8 (S, S, C) each; up to two lines above each."""

    heading: str
    images: Sequence[Pixels]
    captions: Sequence[str]


def sheet(images: Sequence[Pixels], captions: Sequence[str], columns: int) -> bytes:
    """Return a grid of images as PNG.

    Args:
        images: uint8 (S, S, C) each.
        captions: the text above each image, up to two lines.
        columns: how many images a row has.
    """
    return sheet_of_parts([Part("", images, captions)], columns)


def sheet_of_parts(parts: Sequence[Part], columns: int) -> bytes:
    """Return grids of images below each other, as PNG.

    Args:
        parts: the grids.
        columns: how many images a row has.
    """
    rows = [-(-len(part.images) // columns) for part in parts]
    headings = [HEADING if part.heading else 0 for part in parts]
    height = sum(headings) + (sum(rows) or 1) * (CELL + CAPTION + GAP) + GAP
    picture = Image.new("RGB", (columns * (CELL + GAP) + GAP, height), "#e8e8e8")
    pen = ImageDraw.Draw(picture)
    font, heading_font = (open_font(size) for size in (CAPTION_SIZE, HEADING_SIZE))
    start = GAP
    for part, part_rows, heading in zip(parts, rows, headings, strict=True):
        if part.heading:
            pen.text((GAP, start + 2), part.heading, fill="black", font=heading_font)
        start += heading
        for number, (image, caption) in enumerate(zip(part.images, part.captions, strict=True)):
            left = GAP + number % columns * (CELL + GAP)
            top = start + number // columns * (CELL + CAPTION + GAP)
            for line, text in enumerate(caption.split("\n")):
                pen.text((left, top + line * 14), shorten(text, font), fill="black", font=font)
            picture.paste(thumbnail(image), (left, top + CAPTION))
        start += part_rows * (CELL + CAPTION + GAP)
    return png(picture)


def open_font(size: int) -> ImageFont.FreeTypeFont:
    # The basic layout: whether a machine has another one must not change the picture.
    return ImageFont.truetype(str(lettering.font_file()), size, layout_engine=ImageFont.Layout.BASIC)


def shorten(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Return the text, cut to a cell's width."""
    text = text[: 2 * CELL]  # a letter has a pixel at least; to measure all of a long name takes minutes
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
