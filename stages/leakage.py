"""Plant copies of photos, and ask the search for duplicates for them: reports/leakage.json has the recall by kind."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from imageset.errors import DataError
from imageset.formats import tables
from imageset.leakage.copies import KINDS
from imageset.leakage.originals import PHOTO, choose_originals
from imageset.leakage.planting import Outcome, Pair, PlantedPhoto, identify_copies, plant_batch
from imageset.leakage.recall import Recall, count_found, describe
from imageset.photos.decode import PhotoLimits
from imageset.photos.file_formats import list_decodable
from imageset.photos.outcomes import ChangedObject, Outcomes, Rejected
from imageset.photos.worker import PhotoRequest
from imageset.report.least_recall import find_least
from imageset.runtime import files, params, progress, rates, settings, stage
from imageset.runtime.sections import DuplicatesParams
from imageset.storage.bucket import StoredObject
from imageset.workers.ordered_map import Lost, ordered_map
from imageset.workers.pools import open_workers

PAIRS_AT_ONCE = 2  # that a worker takes: 13 copies of each of their photos, a second


def read_parts(processed_csv: Path, groups_csv: Path) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the rows of both tables, some at a time. Raises DataError where they are of other photos."""
    both = zip_longest(
        tables.parts(processed_csv, tables.PROCESSED, ["sha256"]),
        tables.parts(groups_csv, tables.GROUPS, ["group", "reason"]),
    )
    for photos, groups in both:
        if photos is None or groups is None or not photos[PHOTO].equals(groups[PHOTO]):
            raise DataError(f"{groups_csv} has other photos than {processed_csv}: run `dvc repro`")
        yield photos, groups


def list_requests(originals: pd.DataFrame, inventory_csv: Path) -> list[PhotoRequest]:
    """Return the objects of the photos, in their order."""
    stored = tables.read(inventory_csv, tables.INVENTORY, photos=originals)
    found = originals.merge(stored, on=PHOTO, validate="one_to_one")
    rows = found[["key", "etag", "bytes", "version_id"]].itertuples(index=False, name=None)
    return [PhotoRequest(StoredObject(*row)) for row in rows]


def make_pairs(requests: list[PhotoRequest]) -> list[Pair]:
    """Put the photos together two and two. The last of an odd number is alone."""
    return [tuple(requests[start : start + 2]) for start in range(0, len(requests), 2)]


def plant(pairs: list[Pair], limits: PhotoLimits) -> Iterator[Outcome]:
    """Yield what the workers make of each photo, in order."""
    if not pairs:
        return
    batches = [pairs[start : start + PAIRS_AT_ONCE] for start in range(0, len(pairs), PAIRS_AT_ONCE)]
    function = partial(plant_batch, limits=limits)
    with open_workers(settings.dask(), settings.workers(), partial(identify_copies, limits.formats)) as pool:
        for batch, results in zip(batches, ordered_map(pool, function, iter(batches)), strict=True):
            for pair, result in zip(batch, results, strict=True):
                yield from [Rejected(f"decoder_{result.reason}")] * len(pair) if isinstance(result, Lost) else result


def collect(made: Iterable[Outcome], photos: int) -> tuple[list[PlantedPhoto], Outcomes]:
    """Return the photos that have copies, and what the others became. Raises DataError when an object changed."""
    planted, outcomes = [], Outcomes()
    for outcome in progress.bar(made, "leakage: copies", photos):
        if isinstance(outcome, ChangedObject):
            outcomes.add_changed(outcome)
        elif isinstance(outcome, Rejected):
            outcomes.reasons[outcome.reason] += 1
        else:
            planted.append(outcome)
            outcomes.done += 1
    if photos:
        outcomes.check(1.0, "")
    return planted, outcomes


def search(planted: list[PlantedPhoto], duplicates: DuplicatesParams) -> dict[str, Recall]:
    """Return how many copies of each kind the search finds."""
    found = {}
    for kind in progress.bar(KINDS, "leakage: searches", len(KINDS), unit="kind"):
        with progress.hiding():
            found[kind] = count_found(planted, kind, duplicates)
    return found


def summarize(found: dict[str, Any]) -> str:
    """Return the lowest recall of reports/leakage.json in words."""
    least = find_least(found)
    if least is None:
        return "none planted"
    return (
        f"found least: {least['kind']}, {least['found']} of {least['planted']}; "
        f"{found['joined_to_others']} pairs of different photos joined"
    )


def main(groups_csv: Path, inventory_csv: Path, processed_csv: Path, leakage_json: Path) -> None:
    """Plant copies of photos, and count how many of each kind the search for duplicates finds.

    Args:
        groups_csv: the group of each photo.
        inventory_csv: the objects of the bucket that the dataset is made of.
        processed_csv: the sha256 of each photo.
        leakage_json: how many copies of each kind were found.
    """
    duplicates, leakage = params.load().duplicates, params.load().leakage
    limits = PhotoLimits(params.load().preprocess.max_pixels, list_decodable(params.load().ingest.formats))
    settings.object_cache_bytes()  # workers read it; a wrong one is refused before any work
    originals = choose_originals(read_parts(processed_csv, groups_csv), leakage.planted)
    requests = list_requests(originals, inventory_csv)
    planted, outcomes = collect(plant(make_pairs(requests), limits), len(requests))
    found = describe(search(planted, duplicates), len(planted))
    files.write_text(leakage_json, json.dumps(found, indent=2) + "\n")
    rates.note(len(requests))
    rejected = f", {outcomes.reasons.total()} of them not ({outcomes.tally()})" if outcomes.reasons else ""
    print(
        f"leakage: copies of {len(requests)} photos in {len(KINDS)} kinds{rejected}; {summarize(found)}; "
        f"see {leakage_json}{outcomes.suggest_retry('leakage')}"
    )


if __name__ == "__main__":
    stage.run("leakage", main)
