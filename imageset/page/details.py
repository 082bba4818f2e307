"""The larger pictures: of some photos, what the photo was, its mask, and what became of it. The most doubtful first."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from PIL import Image

from imageset.formats import source_ids, stable_hash
from imageset.page.picture_files import PictureFiles
from imageset.page.sheets import encode_picture, shrink

DETAIL_SIDE = 128
DETAILS_A_SCRIPT = 100
# Of the mask: an outline is to be judged, not a texture.
MASK_QUALITY = 30
SCRIPT_BYTES = 80  # around the details of an element, at most

Triple = list[str]  # original, mask, result: WebP in base64, "" where there is none


def order_details(contents: Mapping[str, Any]) -> list[int]:
    """Return the photos of the page in the order in which they should get larger pictures.

    First suspects by rank, then photos that were left out, photos that the baseline takes for another class, both
    photos of near-duplicates, photos whose label was changed; then all others, one of each class in turn.

    Args:
        contents: what the page says, from `make_contents`.
    """
    photos = contents["photos"]
    suspects = zip(
        contents["suspects"]["rank"], contents["suspects"]["kind"], contents["suspects"]["photo"], strict=True
    )
    columns = list(zip(photos["class"], photos["answer"], photos["reject"], strict=True))
    pairs = zip(contents["pairs"]["photo"], contents["pairs"]["other"], strict=True)
    wanted = [
        *(photo for _, _, photo in sorted(suspects)),
        *(photo for photo, (_, _, reject) in enumerate(columns) if reject >= 0),
        *(photo for photo, (own, answer, _) in enumerate(columns) if answer >= 0 and answer != own),
        *(photo for pair in pairs for photo in pair),
        *contents["changes"]["photo"],
        *take_turns(photos),
    ]
    return list(dict.fromkeys(wanted))


def take_turns(photos: Mapping[str, Any]) -> list[int]:
    """Return all photos: one of each class, then another of each class, and so on, at random within a class."""
    seen: dict[int, int] = {}
    turns = []
    names = zip(photos["product_id"], photos["position"], strict=True)
    ranks = [stable_hash.rank(source_ids.number(product_id), position) for product_id, position in names]
    for photo in sorted(range(len(ranks)), key=ranks.__getitem__):
        own = photos["class"][photo]
        seen[own] = seen.get(own, 0) + 1
        turns.append((seen[own], own, photo))
    return [photo for *_, photo in sorted(turns)]


def make_details(files: PictureFiles, order: Iterable[int], room: int) -> tuple[list[int], dict[str, tuple[str, str]]]:
    """Return which photos have larger pictures, the first of `order`, and the elements with these pictures.

    Args:
        files: the pictures of the page's photos.
        order: photos, from `order_details`. Those without a preview are left out.
        room: for how many bytes of the page there is room. It ends where the next photo's do not fit.
    """
    chosen: list[int] = []
    triples: list[str] = []
    for photo, triple in encode_details(files, order):
        text = json.dumps(triple, separators=(",", ":"))
        room -= len(text) + 1 + len(str(len(chosen)))  # a comma, and the place in the photo's column
        room -= 0 if len(chosen) % DETAILS_A_SCRIPT else SCRIPT_BYTES
        if room < 0:
            break
        chosen.append(photo)
        triples.append(text)
    starts = range(0, len(triples), DETAILS_A_SCRIPT)
    return chosen, {
        f"details-{number}": ("application/json", f"[{','.join(triples[start : start + DETAILS_A_SCRIPT])}]")
        for number, start in enumerate(starts)
    }


def encode_details(files: PictureFiles, order: Iterable[int]) -> Iterator[tuple[int, Triple]]:
    """Yield photos that have a preview, each with its original, mask and result."""
    for photo in order:
        if files.preview_rows[photo] >= 0:
            original = shrink(files.original(photo), DETAIL_SIDE)
            mask, result = files.mask(photo), files.result(photo)
            yield (
                photo,
                [
                    encode_picture(original),
                    # As the photo was: a mask is a square that was stretched.
                    encode_picture(mask.resize(original.size, Image.Resampling.BOX), MASK_QUALITY) if mask else "",
                    encode_picture(shrink(result, DETAIL_SIDE)) if result else "",
                ],
            )
