"""How many damaged masks and photos are listed.

All masks and facts are made by the pipeline's own code. Then the masks of 5 % of the photos, or the photos, are
damaged, and those among the first suspects are counted, for each of some draws.
"""

import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.audit import damage
from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import table
from imageset.audit.mask_measures import OUTLINE_SIDE, MaskMeasures, measure_mask
from imageset.audit.mask_suspects import score_masks
from imageset.audit.photo_suspects import find_photo_suspects
from imageset.audit.suspects import most_suspect
from imageset.formats.hdf5 import Pixels
from imageset.formats.preview_file import decode_square
from imageset.formats.stable_hash import rank
from imageset.photos.decode import PhotoLimits
from imageset.photos.engines import Network
from imageset.photos.facts import PhotoFacts
from imageset.photos.masks import MaskRecipe, describe_mask, mask_photos
from imageset.photos.outcomes import PhotoMask
from imageset.photos.preprocess import DecodedPhoto, preprocess_photo
from imageset.runtime import progress
from imageset.runtime.params import load

PLANTED = 0.05  # of the photos, and of the ranks that count
SIDE = 320
FACTS = ("width", "height", "sharpness", "brightness", "contrast", "aspect_ratio")


def find_mask_suspects(photos: pd.DataFrame, measures: MaskMeasures) -> pd.DataFrame:
    """Return the photos whose masks look wrong, as stage audit lists them."""
    return most_suspect(photos, *score_masks(photos, measures))


class Measured(NamedTuple):
    """A photo: its mask, uint8 (SIDE, SIDE), its preview, its facts, and those it has with each damage."""

    mask: Pixels
    preview: Pixels
    facts: PhotoFacts
    damaged: dict[str, PhotoFacts]


def measure(body: bytes, network: Network) -> Measured:
    """Return what the pipeline measures of a photo."""
    recipe = MaskRecipe(network, PhotoLimits(load(ROOT / "params.yaml").preprocess.max_pixels))
    (masked,) = mask_photos([body], recipe)
    assert isinstance(masked, PhotoMask)
    whole = decode(body)
    damaged = {kind: decode(damage.damage_photo(body, kind)).facts for kind in damage.OF_PHOTOS}
    mask = np.frombuffer(zlib.decompress(masked.compressed), np.uint8).reshape(SIDE, SIDE)
    return Measured(
        mask,
        decode_square(whole.preview, OUTLINE_SIDE),
        whole.facts,
        # Photos are made smaller before they are damaged.
        {kind: facts._replace(width=whole.facts.width, height=whole.facts.height) for kind, facts in damaged.items()},
    )


def decode(body: bytes) -> DecodedPhoto:
    """Return what stage preprocess makes of a photo, with its background."""
    made = preprocess_photo(body, load(ROOT / "params.yaml").preprocess)
    assert isinstance(made, DecodedPhoto)
    return made


def measure_masks(masks: list[Pixels], previews: list[Pixels]) -> MaskMeasures:
    """Return what the audit measures on masks, as `mask_measures.read_measures` does."""
    described = [describe_mask(Image.fromarray(mask), mask.size) for mask in masks]
    shapes, weak_outline = zip(*map(measure_mask, masks, previews), strict=True)
    return MaskMeasures(
        np.stack(shapes),
        np.array([each.foreground_share for each in described]),
        np.array([each.uncertainty for each in described]),
        np.array(weak_outline),
    )


class Recall:
    """How many of the planted photos of each kind were among the first suspects, over all draws."""

    def __init__(self) -> None:
        self.found: dict[str, list[bool]] = {}

    def add(self, planted: dict[int, str], suspects: pd.DataFrame, first: int) -> None:
        """Count a draw."""
        listed = set(suspects["product_id"][:first])
        for photo, kind in planted.items():
            self.found.setdefault(kind, []).append(photo in listed)

    def print(self, head: str) -> None:
        every = [found for of_kind in self.found.values() for found in of_kind]
        rows = [(kind, str(len(found)), f"{np.mean(found):.2f}") for kind, found in self.found.items()]
        table((head, "planted", "recall"), [*rows, ("all", str(len(every)), f"{np.mean(every):.2f}")])


def draw(photos: int, kinds: list[str], seed: int) -> dict[int, str]:
    """Return which photos are damaged, and how: of each kind about as many."""
    chosen = np.random.default_rng(seed).choice(photos, round(photos * PLANTED), replace=False).tolist()
    return {photo: kinds[number % len(kinds)] for number, photo in enumerate(chosen)}


def replace(measures: MaskMeasures, rows: list[int], others: MaskMeasures) -> MaskMeasures:
    """Return measures with some rows replaced by others."""
    copies: list[Any] = [values.copy() for values in measures]
    for values, changed in zip(copies, others, strict=True):
        values[rows] = changed
    return MaskMeasures(*copies)


def plant_masks(photos: pd.DataFrame, measured: list[Measured], draws: int) -> None:
    """Print the recall of damaged masks."""
    previews = [each.preview for each in measured]
    whole = measure_masks([each.mask for each in measured], previews)
    recall, first = Recall(), round(len(photos) * PLANTED)
    for seed in range(draws):
        planted = draw(len(photos), list(damage.OF_MASKS), seed)
        random = np.random.default_rng(seed)
        masks = [damage.OF_MASKS[kind](measured[photo].mask, random) for photo, kind in planted.items()]
        worse = measure_masks(masks, [previews[photo] for photo in planted])
        recall.add(planted, find_mask_suspects(photos, replace(whole, list(planted), worse)), first)
    recall.print("masks")
    print_unplanted(find_mask_suspects(photos, whole))


def plant_photos(photos: pd.DataFrame, measured: list[Measured], draws: int) -> None:
    """Print the recall of damaged photos."""
    recall, first = Recall(), round(len(photos) * PLANTED)

    def find(planted: dict[int, str]) -> pd.DataFrame:
        facts = [
            each.damaged[planted[photo]] if photo in planted else each.facts for photo, each in enumerate(measured)
        ]
        return find_photo_suspects(photos.join(pd.DataFrame(facts)[list(FACTS)]))

    for seed in range(draws):
        planted = draw(len(photos), list(damage.OF_PHOTOS), seed)
        recall.add(planted, find(planted), first)
    recall.print("photos")
    print_unplanted(find({}))


def print_unplanted(suspects: pd.DataFrame) -> None:
    """Print what is listed where nothing was planted."""
    reasons = suspects["why"].value_counts().to_dict()
    print(f"Nothing planted: {len(suspects)} listed, {reasons}\n", flush=True)


def report_damage(folder: Path, draws: int) -> None:
    """Damage masks and photos of a folder that has a folder for each class, and print how many are listed."""
    paths = sorted(folder.glob("*/*.jp*g"), key=lambda path: rank(*path.name.encode()))
    network = Network("u2netp", ROOT / "models/u2netp-int8.zip", SIDE, "int8")
    with ProcessPoolExecutor() as workers:
        results = workers.map(partial(measure, network=network), [path.read_bytes() for path in paths], chunksize=4)
        measured = list(progress.bar(results, "photos", len(paths)))
    numbers = np.arange(len(paths))
    _, classes = np.unique([path.parent.name for path in paths], return_inverse=True)
    photos = pd.DataFrame({"product_id": numbers, "position": 0, "catalog_id": classes, "group": numbers})
    plant_masks(photos, measured, draws)
    plant_photos(photos, measured, draws)
