"""Plant errors in a project: python -m benchmarks.page.plant --truth FILE PROJECT

PROJECT is a folder in which `make demo PHOTOS=<folder>` ran; copy it first. 5 % of the classes are flipped, ten masks
damaged, and five pictures of no garment and three near copies added, each as it would come from its source. Then
`dvc repro` runs. FILE, outside of PROJECT, gets what was planted; benchmarks.page.score reads it. Nothing is printed of
it: whoever works through the page should not know.
"""

import argparse
import os
import secrets
import shutil
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from deflate import crc32
from PIL import Image

from benchmarks.audit import damage
from benchmarks.page.photos import Planned, Random, make_folder
from benchmarks.page.truth import Truth
from imageset.errors import ImagesetError
from imageset.formats import row_checksums, tables
from imageset.formats.mask_rows import MaskRows
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.mask_file import MEASURED
from imageset.photos.masks import MaskRecipe, describe_mask, mask_photos
from imageset.photos.outcomes import PhotoMask
from imageset.runtime import dvc, files, params
from imageset.runtime.sections import PreprocessParams
from sandbox import servers
from sandbox.__main__ import HOME, SOURCE_STAGES, fill_marketplace

FOLDER = HOME / "planted"
MASKS_H5, MASKS_CSV = Path("data/masks.h5"), Path("data/masks.csv")
TRIES = 100  # to damage a mask so that the photo is not rejected


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.page.plant", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="default: any")
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE", help="gets what was planted")
    parser.add_argument("project", type=Path, metavar="PROJECT", help="a project in which `make demo PHOTOS=` ran")
    return parser.parse_args()


def find_products() -> dict[str, int]:
    """Return the product of each photo on the sandbox's photo host, by the sha256 of its bytes."""
    return {files.sha256(path): int(path.stem) for path in (HOME / "photos").iterdir()}


def plant_photos(random: Random) -> Planned:
    """Make a folder of photos with errors from that of the last demo. Photos of a group of their own may change."""
    source = Path((HOME / "photos.txt").read_text(encoding="utf-8"))
    if not source.is_dir() or FOLDER.resolve() == source:
        raise ImagesetError(f"the last demo had no folder of photos, or a planted one ({source}): take another project")
    catalog, products = tables.read(Path("data/catalog.csv"), tables.CATALOG), find_products()
    alone = set(catalog[~catalog["group"].duplicated(keep=False)]["product_id"])
    shipped = params.load()
    network = Network(shipped.model.name, Path("models/background.onnx").resolve(), 320)
    return make_folder(
        source,
        FOLDER,
        lambda path: products[files.sha256(path)] in alone,
        partial(
            has_garment,
            recipe=MaskRecipe(network, PhotoLimits(shipped.preprocess.max_pixels)),
            preprocess=shipped.preprocess,
        ),
        random,
    )


def has_garment(body: bytes, recipe: MaskRecipe, preprocess: PreprocessParams) -> bool:
    """Tell whether the network finds something in a picture, so that stage preprocess keeps it."""
    (masked,) = mask_photos([body], recipe)
    return isinstance(masked, PhotoMask) and is_kept(masked.foreground_share, preprocess)


def is_kept(foreground_share: float, preprocess: PreprocessParams) -> bool:
    """Tell whether stage preprocess keeps a photo with such a mask, whatever is rounded."""
    return preprocess.min_foreground + 0.001 < foreground_share < preprocess.max_foreground - 0.001


def damage_masks(masks_h5: Path, masks_csv: Path, products: list[int], random: Random) -> None:
    """Damage the masks of some products in both outputs of stage masks, one kind of damage after the other."""
    table = tables.read(masks_csv, tables.MASKS).set_index("product_id", drop=False)
    with files.atomic(masks_h5) as temporary:
        shutil.copyfile(masks_h5, temporary)
        with h5py.File(temporary, "r+") as file:
            rows = {product: row for row, product in enumerate(file["ids"][:].tolist())}
            for number, product in enumerate(products):
                measured = damage_mask(
                    file, rows[product], list(damage.OF_MASKS)[number % len(damage.OF_MASKS)], random
                )
                table.loc[product, "foreground_share"] = f"{measured.foreground_share:.4f}"
                table.loc[product, "border_share"] = f"{measured.border_share:.4f}"
                table.loc[product, "pieces"] = measured.pieces
                table.loc[product, "uncertainty"] = f"{measured.uncertainty:.4f}"
            file.attrs[row_checksums.OTHERS] = np.uint32(row_checksums.checksum_others(file))
    tables.write(masks_csv, tables.MASKS, table)


def damage_mask(file: h5py.File, row: int, kind: str, random: Random) -> PhotoMask:
    """Write a damaged mask into an open masks.h5, and return it."""
    mask, photo_pixels = MaskRows(file).read(row), int(file["photo_pixels"][row])
    preprocess = params.load().preprocess
    for _ in range(TRIES):
        measured = describe_mask(Image.fromarray(damage.OF_MASKS[kind](mask, random)), photo_pixels)
        if is_kept(measured.foreground_share, preprocess):
            file["masks"].id.write_direct_chunk((row, 0, 0), measured.compressed)
            file[row_checksums.CHECKSUMS][row] = crc32(measured.compressed)
            for name in MEASURED:
                file[name][row] = getattr(measured, name)
            return measured
    raise ImagesetError("a mask cannot be damaged so that its photo is kept: take another seed")


def name_products(planned: Planned, seed: int) -> Truth:
    """Return what was planted by product, as the marketplace has numbered the photos."""
    products = find_products()
    classes = tables.read(Path("data/classes.csv"), tables.CLASSES)
    numbers = dict(zip(classes["name"], classes["catalog_id"].tolist(), strict=True))

    def product(path: Path) -> int:
        return products[files.sha256(path)]

    return Truth(
        seed,
        {product(path): numbers[right] for path, right in planned.flips.items()},
        [product(path) for path in planned.masks],
        [product(path) for path in planned.off_topic],
        [(product(photo), product(copy)) for photo, copy in planned.pairs],
        {product(path): numbers[path.parent.name] for path in FOLDER.glob("*/*")},
    )


def require_planted(truth: Truth, catalog: pd.DataFrame) -> None:
    """Raise ImagesetError where the pipeline left out a photo with an error, or gave it another class."""
    found = dict(zip(catalog["product_id"].tolist(), catalog["catalog_id"].tolist(), strict=True))
    if any(found.get(product) != truth.given[product] for product in truth.planted):
        raise ImagesetError("the pipeline left out some of what was planted: take another seed, and a new copy")


def main() -> None:
    chosen = parse_arguments()
    truth_file = chosen.truth.resolve()
    if truth_file.is_relative_to(chosen.project.resolve()):
        raise SystemExit(f"{chosen.truth} is within {chosen.project}: choose a place outside of it")
    os.chdir(chosen.project)
    random = np.random.default_rng(chosen.seed)
    planned = plant_photos(random)
    with servers.running(HOME) as sandbox:
        environment = os.environ | fill_marketplace(sandbox, FOLDER)
        dvc.run("repro", "--force", "--single-item", *SOURCE_STAGES, environment=environment)
        dvc.run("repro", "masks", environment=environment)
        truth = name_products(planned, chosen.seed)
        damage_masks(MASKS_H5, MASKS_CSV, truth.masks, random)
        dvc.run("commit", "--force", "masks", environment=environment)
        dvc.run("repro", environment=environment)
    require_planted(truth, tables.read(Path("data/catalog.csv"), tables.CATALOG))
    truth.write(truth_file)
    print(f"planted; {truth_file} has what and where, for `python -m benchmarks.page.score`")


if __name__ == "__main__":
    main()
