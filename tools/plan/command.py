"""`python -m tools.plan [--photos N]`: say what `dvc repro` is about to do, and how long that takes."""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from imageset.errors import ImagesetError
from imageset.formats import tables
from imageset.runtime import dvc, rates, settings
from tools.plan.estimate import Estimate, Task, estimate
from tools.plan.outlook import Outlook, find_outlooks
from tools.plan.photo_work import PhotoWork, count_requests, count_work, describe_network
from tools.plan.project import Project
from tools.plan.shipped import DVC_RESTORE, DVC_STAGE
from tools.plan.text import Line, write_text

INVENTORY = Path("data/inventory.csv")
LISTINGS = Path("data/listings.csv")
INGEST = Path("data/ingest.csv")
METRICS = Path("reports/metrics.json")
WORKING = ("runs", "perhaps")
READING_SOURCES = ("listings", "labels", "ingest", "inventory")
MADE = {"ingest": "requests", "masks": "masks", "embed": "embeddings"}  # what these stages make of a photo


class Size(NamedTuple):
    """How many photos the dataset has now, None if nobody knows, and how many the plan is for."""

    now: int | None
    planned: int | None


def main() -> None:
    """Say what `dvc repro` is about to do: stages and why, photos, requests, time and bytes. It changes nothing, and
    asks neither the database, the bucket nor the web."""
    parser = argparse.ArgumentParser("python -m tools.plan", description=main.__doc__)
    parser.add_argument("--photos", type=parse_photos, metavar="N", help="plan for a dataset of N photos")
    wanted = parser.parse_args().photos
    settings.load()
    print(plan(wanted))


def parse_photos(text: str) -> int:
    """Return a number of photos. Raises argparse.ArgumentTypeError unless it is 1 to 10**9."""
    number = text.replace(",", "").replace("_", "")
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of photos, such as 100000")
    return int(number)


def plan(wanted: int | None) -> str:
    """Return the plan as text.

    Args:
        wanted: photos of the dataset that it is for; None for as many as there are.
    """
    project = Project()
    now = count_photos()
    size = Size(now, now if wanted is None else wanted)
    grown = "" if wanted in (None, now) else f"{wanted:,} photos" + ("" if now is None else f", not {now:,}")
    outlooks = find_outlooks(project, grown)
    may_run = {name for name, outlook in outlooks.items() if outlook.status in WORKING}
    work = find_work(project, may_run, size)
    lines, sources = [], {}
    for name, outlook in outlooks.items():
        found = estimate_stage(project, name, size, work)
        lines.append(make_line(name, outlook, size, work, found))
        if outlook.status in WORKING:
            sources[name] = found.source
    notes = [*describe_rates(sources), *describe_unknown(project, outlooks, size, work)]
    return write_text(write_title(project, size), lines, notes)


def count_photos() -> int | None:
    """Return how many photos the last run used, None if nobody knows."""
    if INVENTORY.is_file():
        return tables.count(INVENTORY)
    try:
        return int(json.loads(METRICS.read_text(encoding="utf-8"))["photos"]["listed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_work(project: Project, may_run: set[str], size: Size) -> PhotoWork:
    """Return the photos that are to be made by the stages that keep caches, for the planned size."""
    work = PhotoWork({}, [])
    earlier = dvc.find_earlier_output(INVENTORY) if not INVENTORY.is_file() else None
    inventory = earlier.path if earlier else INVENTORY
    if inventory.is_file():
        work = count_work(project.params, inventory, may_run)
    elif may_run & {"masks", "embed", "preprocess"} and size.now:
        work.unknown.append(f"how many photos the caches know, as {INVENTORY} is not here; all count as new")
    if "ingest" in may_run and LISTINGS.is_file():
        try:
            work.made["ingest"] = count_requests(project.params, LISTINGS, INGEST)
        except ImagesetError as error:
            work.unknown.append(f"the requests: {error}")
    if size.now and size.planned is not None:
        scale, more = min(size.planned / size.now, 1.0), max(size.planned - size.now, 0)
        for name, made in work.made.items():
            work.made[name] = round(made * scale) + (more if is_made(project, name) else 0)
    return work


def is_made(project: Project, name: str) -> bool:
    """Say whether a new photo is work for a stage at all."""
    values = project.params
    idle = {
        "ingest": not values.ingest.enabled,
        "masks": values.masks.background == "keep",
        "embed": not values.embed.enabled,
    }
    return not idle.get(name, False)


def estimate_stage(project: Project, name: str, size: Size, work: PhotoWork) -> Estimate:
    """Return what a stage takes if it runs."""
    photos = size.planned or 0
    made = work.made.get(name, photos if is_made(project, name) else 0)
    how = describe_network(project.params) if name == "masks" else ""
    pixels, copies = rates.measure_rows(project.params)
    task = Task(name, photos if is_made(project, name) else 0, made, how, rates.count_workers(), pixels, copies)
    found = estimate(task, rates.read())
    return found._replace(seconds=None if found.seconds is None else found.seconds + DVC_STAGE)


def make_line(name: str, outlook: Outlook, size: Size, work: PhotoWork, found: Estimate) -> Line:
    """Return a stage's line."""
    if outlook.status == "restored":
        return Line(name, outlook, "", DVC_RESTORE, 0)
    if outlook.status == "unchanged":
        return Line(name, outlook, "", 0, 0)
    if size.planned is None:
        return Line(name, outlook, "", None, 0)
    made = f"{work.made[name]:,} {MADE.get(name, 'photos')}" if name in work.made else ""
    return Line(name, outlook, made or (f"{size.planned:,}" if name != "model" else ""), found.seconds, found.bytes)


def write_title(project: Project, size: Size) -> str:
    """Return the first line."""
    photos = "a number of photos that is not known yet" if size.planned is None else f"{size.planned:,} photos"
    workers = rates.count_workers()
    first = "" if project.has_lock else " It is the first run: there is no dvc.lock."
    return f"`dvc repro`, {photos}, {f'{workers} workers' if workers else 'a Dask cluster'}.{first}"


def describe_rates(sources: dict[str, str]) -> list[str]:
    """Return where the rates are from."""
    shipped = [name for name, source in sources.items() if source == "shipped"]
    if not sources:
        return []
    if not shipped:
        return ["Rates: of earlier runs on this machine."]
    if len(shipped) == len(sources):
        return ["Rates: shipped ones, of another machine (two cores). Runs on this one will replace them."]
    return [f"Rates: of earlier runs on this machine; shipped ones, of another machine, for {', '.join(shipped)}."]


def describe_unknown(project: Project, outlooks: dict[str, Outlook], size: Size, work: PhotoWork) -> list[str]:
    """Return what cannot be known before the run, without asking database, bucket or web."""
    may_run = {name for name, outlook in outlooks.items() if outlook.status in WORKING}
    unknown = [f"Not known: {text}." for text in work.unknown]
    if size.planned is None:
        unknown.append("Not known: the number of photos, so no time either. Give it: --photos N.")
    if "listings" in may_run:
        unknown.append("Not known: which listings the database has by now.")
    if "ingest" in may_run and project.params.ingest.enabled:
        unknown.append("Not known: what the bucket has by now, and how fast hosts answer. Requests may be fewer.")
    if may_run & {"preprocess", "masks"} and not may_run & set(READING_SOURCES):
        unknown.append("Not known: how fast the bucket sends photos that .cache/objects lacks.")
    if not may_run & set(READING_SOURCES):
        unknown.append("Database and web are not asked again: `make refresh` does that.")
    return unknown
