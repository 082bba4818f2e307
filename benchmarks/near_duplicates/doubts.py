"""The pairs most in doubt: named, and drawn for a person to judge."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.near_duplicates.joining import spell_likeness
from benchmarks.near_duplicates.photos import Originals
from benchmarks.near_duplicates.quality import Found, Negatives
from benchmarks.shared.tables import table
from imageset.formats.hdf5 import Pixels
from imageset.photos import pixels
from imageset.report import plots
from imageset.runtime import files

PAIRS_NAMED = 30
COLUMNS = 6


class Doubt(NamedTuple):
    """Two photos, and why they are doubted: what to write above each, and their JPEGs."""

    likeness: float
    captions: tuple[str, str]
    bodies: tuple[bytes, bytes]


def doubtful_originals(originals: Originals, among: Negatives) -> list[Doubt]:
    """Return the pairs of originals that agree most."""
    pairs, likeness = among.candidates
    best = np.argsort(-likeness, kind="stable")[:PAIRS_NAMED]
    doubts = []
    for value, both in zip(likeness[best].tolist(), among.photos.sources[pairs[best]].tolist(), strict=True):
        names, bodies = ([values[number] for number in both] for values in (originals.names, originals.bodies))
        doubts.append(Doubt(value, (names[0], names[1]), (bodies[0], bodies[1])))
    return doubts


def doubtful_copies(originals: Originals, found: Mapping[str, Found]) -> list[Doubt]:
    """Return the copies that are least like their originals: not looked at, or not joined, or hardly."""
    everything = [
        (value, number, kind)
        for kind, (_, sources, likeness) in found.items()
        for value, number in zip(likeness.tolist(), sources.tolist(), strict=True)
    ]
    return [
        Doubt(value, (originals.names[number], kind), (originals.bodies[number], originals.copy(number, kind)))
        for value, number, kind in sorted(everything)[:PAIRS_NAMED]
    ]


def report_doubts(heading: str, doubts: Sequence[Doubt]) -> None:
    table(
        (heading, "photo", "other photo"),
        ((spell_likeness(doubt.likeness), *doubt.captions) for doubt in doubts),
    )


def draw_doubts(sheet: Path, parts: Mapping[str, Sequence[Doubt]]) -> None:
    """Draw the pairs, two photos beside each other."""
    drawn = [
        plots.Part(
            heading,
            [fit(body) for doubt in doubts for body in doubt.bodies],
            [text for doubt in doubts for text in captions(doubt)],
        )
        for heading, doubts in parts.items()
    ]
    files.write_bytes(sheet, plots.sheet_of_parts(drawn, COLUMNS))


def captions(doubt: Doubt) -> tuple[str, str]:
    first, second = (Path(text).name for text in doubt.captions)
    return f"{spell_likeness(doubt.likeness)}\n{first}", f"\n{second}"


def fit(body: bytes) -> Pixels:
    return np.asarray(pixels.fit(Image.open(BytesIO(body)).convert("RGB"), plots.CELL, "pad", (255, 255, 255)))
