"""Compose the picture at the top of the README: photos of listings, what the dataset holds of them, augmented copies.

Run it on a dataset that `make demo PHOTOS=<folder of class folders>` has made of the same folder:

    python docs/images/make_picture.py <folder of class folders> data/dataset.h5 docs/images/overview.webp
"""

import sys
from pathlib import Path

import h5py
from PIL import Image, ImageDraw, ImageFont, ImageOps

PRODUCTS = (3000033, 3000073, 3000111, 3000202, 3000302, 3000404, 3000594)  # training photos of seven classes
FIRST_PRODUCT = 3000001  # the demo numbers photos in the order of their paths
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

WIDTH, MARGIN, GAP = 1600, 28, 14  # in pixels; the README shows the picture at half its size
TILE = (WIDTH - 2 * MARGIN - (len(PRODUCTS) - 1) * GAP) // len(PRODUCTS)
HALF = (TILE - 6) // 2
CAPTION, NAME = 48, 40
GROUND, INK, FRAME = "#eef0f2", "#1f2328", "#d0d4d9"
CAPTIONS = (
    "Photos of listings, as sellers took them",
    "In the dataset: upright, background removed, square, classified",
    "Augmented copies of the training photos",
)


def photo_of(product_id: int, folder: Path) -> Image.Image:
    """Return the original photo of a product, upright, its middle as a square tile."""
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    with Image.open(paths[product_id - FIRST_PRODUCT]) as photo:
        return ImageOps.fit(ImageOps.exif_transpose(photo).convert("RGB"), (TILE, TILE))


def rows_of(product_id: int, file: h5py.File) -> tuple[list[Image.Image], str]:
    """Return a product's first photo and its augmented copies as the file has them, and its class's name."""
    rows = (file["train_ids"][:] == product_id) & (file["train_positions"][:] == 0)
    order = rows.nonzero()[0][file["train_copies"][:][rows].argsort()]
    images = [Image.fromarray(file["train_images"][row].squeeze()).convert("RGB") for row in order]
    return images, str(file["class_names"].asstr()[file["train_labels"][order[0]]])


def picture(folder: Path, file: h5py.File) -> Image.Image:
    """Return the picture: a column a product, three rows with a caption each."""
    tops = (MARGIN, MARGIN + CAPTION + TILE + 24, MARGIN + 2 * CAPTION + 2 * TILE + NAME + 44)
    sheet = Image.new("RGB", (WIDTH, tops[2] + CAPTION + TILE + MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    for top, caption in zip(tops, CAPTIONS, strict=True):
        draw.text((MARGIN, top), caption, INK, ImageFont.load_default(30))
    for column, product_id in enumerate(PRODUCTS):
        left = MARGIN + column * (TILE + GAP)
        (photo, *copies), name = rows_of(product_id, file)
        sheet.paste(photo_of(product_id, folder), (left, tops[0] + CAPTION))
        sheet.paste(photo.resize((TILE, TILE), Image.Resampling.LANCZOS), (left, tops[1] + CAPTION))
        place = (left + TILE / 2, tops[1] + CAPTION + TILE + 6)
        draw.text(place, name, INK, ImageFont.load_default(28), anchor="ma")
        for number, copy in enumerate(copies[:4]):
            corner = (left + number % 2 * (TILE - HALF), tops[2] + CAPTION + number // 2 * (TILE - HALF))
            sheet.paste(copy.resize((HALF, HALF), Image.Resampling.LANCZOS), corner)
    draw.rectangle((0, 0, sheet.width - 1, sheet.height - 1), outline=FRAME, width=2)
    return sheet


if __name__ == "__main__":
    with h5py.File(sys.argv[2]) as dataset:
        picture(Path(sys.argv[1]), dataset).save(sys.argv[3], quality=80, method=6)
