"""Room on the disk, against what `tools.plan` estimates."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from imageset.runtime import settings
from tools.check.findings import Findings
from tools.check.line import Line, ok, untried, wrong
from tools.plan.command import WORKING, Size, count_photos, estimate_stage, find_work
from tools.plan.outlook import find_outlooks
from tools.plan.project import Project
from tools.plan.text import format_bytes

# The outputs are in the project and in DVC's cache, and most of them in the stages' own caches.
COPIES = 3


def check_disk(found: Findings) -> Iterator[Line]:
    """Compare the room with the bytes of all stages that run."""
    if found.params is None:
        yield untried("disk", "params.yaml has a fault, see above")
        return
    listed = len(found.chosen) if found.chosen is not None else None
    complete = found.listings is not None and found.listings.complete
    photos = listed if complete else max(filter(None, (listed, count_photos())), default=None)
    if photos is None:
        yield untried("disk", "the number of photos is not known: `make plan N=100000` estimates for so many")
        return
    outputs = COPIES * estimate_bytes(photos)
    needed = outputs + settings.object_cache_bytes()
    free = shutil.disk_usage(Path()).free
    least = "" if complete else "at least "
    kept = format_bytes(settings.object_cache_bytes())
    text = (
        f"disk: {format_bytes(free)} free, about {format_bytes(needed)} needed for {least}{photos:,} photos, of which "
    )
    text += f"up to {kept} are photos that stages keep (IMAGESET_OBJECTS_MB)"
    yield ok(text) if free >= needed else wrong(f"{text}: make room, or lower IMAGESET_OBJECTS_MB or source.limit")


def estimate_bytes(photos: int) -> float:
    """Return the bytes of the outputs of all stages that run or perhaps run, for so many photos."""
    project, size = Project(), Size(count_photos(), photos)
    outlooks = find_outlooks(project, "")
    working = {name for name, outlook in outlooks.items() if outlook.status in WORKING}
    work = find_work(project, working, size)
    return sum(estimate_stage(project, name, size, work).bytes for name in working)
