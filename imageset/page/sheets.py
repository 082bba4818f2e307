"""Many small pictures in few large ones, so that the page shows thousands without thousands of images.

A sheet is a WebP image of equal squares, row by row. The page finds a picture by its place among all of its kind. A
picture is in the middle of its square, and what is around it is transparent: at least a pixel, or a browser that
enlarges a square would mix the edge of the next picture into it.
"""

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import Image

MOST_COLUMNS = 20
MOST_ROWS = 20
QUALITY = 60
METHOD = 4  # of libwebp, 0 to 6: slower methods take up to ten times as long, to save 5 %
CLEAR = (0, 0, 0, 0)
GAP = 2  # pixels of the side of a square that no picture covers


@dataclass(frozen=True)
class Layout:
    """How the pictures of a kind are in sheets: the side of a square in pixels, squares of a sheet, pictures in all."""

    side: int
    columns: int
    rows: int
    count: int


def lay_out(count: int, side: int) -> Layout:
    """Return how to arrange pictures.

    >>> lay_out(1000, 48)
    Layout(side=48, columns=20, rows=20, count=1000)
    >>> lay_out(30, 96)
    Layout(side=96, columns=20, rows=2, count=30)
    """
    columns = min(MOST_COLUMNS, max(count, 1))
    return Layout(side, columns, min(MOST_ROWS, -(-max(count, 1) // columns)), count)


def draw_sheets(pictures: Iterable[Image.Image], layout: Layout) -> Iterator[str]:
    """Yield the sheets, WebP in base64. One of them is decoded at a time.

    Args:
        pictures: as many as the layout counts, each RGB or gray. Larger ones are shrunk.
        layout: from `lay_out`.
    """
    side, columns, rows = layout.side, layout.columns, layout.rows
    sheet = Image.new("RGBA", (columns * side, rows * side), CLEAR)
    for number, original in enumerate(pictures, 1):
        picture = shrink(original, side - GAP)
        row, column = divmod((number - 1) % (columns * rows), columns)
        left, top = column * side + (side - picture.width) // 2, row * side + (side - picture.height) // 2
        sheet.paste(picture, (left, top))
        if number % (columns * rows) == 0 or number == layout.count:
            yield encode_picture(sheet)
            sheet.paste(CLEAR, (0, 0, *sheet.size))


def shrink(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture, RGB or gray, whose longer side is at most `side`."""
    small = picture.convert("L" if picture.mode == "L" else "RGB")
    small.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=None)
    return small


def encode_picture(picture: Image.Image, quality: int = QUALITY) -> str:
    """Return a picture as WebP in base64."""
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality, method=METHOD)
    return base64.b64encode(file.getvalue()).decode("ascii")
