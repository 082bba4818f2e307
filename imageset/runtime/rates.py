"""How long stages take on this machine: each run of a stage adds a line to .cache/rates.jsonl, and tools.plan reads it.

The file is a cache: it may be removed at any time, and a stage that cannot write it goes on without a word.
"""

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from imageset.errors import ImagesetError
from imageset.runtime import files, settings
from imageset.runtime.sections import Params

# The first columns of a table that has a row for each photo. They are in formats/tables.py as well.
PHOTO_TABLES = ("product_id,position,", "key,product_id,position,")
HEAD_BYTES = 1 << 16  # of a table, from which its rows are estimated
MOST_BYTES = 1 << 18  # of the file; the older half of its lines goes when it is larger

noted: dict[str, Any] = {}  # what the stage of this process has said of its work


class StageRun(NamedTuple):
    """A run of a stage that succeeded.

    when: UTC, ISO 8601. seconds: since the process started. photos: that its tables name; 0 where it has no
    such table. made: photos that no earlier run had done. bytes: of its outputs. how: what decides its speed besides
    the photos, such as "u2netp 320 float32 cpu". workers: processes, 0 for a Dask cluster. pixels: of an image of the
    dataset, times its channels. copies: rows of the dataset for each photo.
    """

    stage: str
    when: str
    seconds: float
    photos: int
    made: int
    bytes: int
    how: str
    workers: int
    pixels: int
    copies: float


def note(photos: int, made: int | None = None, how: str = "") -> None:
    """Say what the stage of this process works on. A stage without a note has done all photos of its first table.

    Args:
        photos: how many there are.
        made: how many of them no earlier run had done; None for all.
        how: what decides the speed besides the photos.
    """
    noted.update(photos=photos, made=photos if made is None else made, how=how)


def find_start() -> float:
    """Return when this process started, as `time.time()` has it; now where the system does not say."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - max(age, 0.0)
    return time.time()


def record(stage: str, started: float, paths: Iterable[Path], values: Params) -> None:
    """Add a line for a stage that has just succeeded. Nothing that goes wrong here matters to the stage.

    Args:
        stage: its name.
        started: from `find_start`.
        paths: what it read and wrote; files and folders that changed since its start are its outputs.
        values: the params that it ran with.
    """
    seconds = time.time() - started
    with suppress(ImagesetError, OSError, ValueError):
        found = list(list_files(paths))
        photos = next(filter(None, map(estimate_photos, found)), 0) if "photos" not in noted else noted["photos"]
        changed = [stat.st_size for stat in map(os.stat, found) if stat.st_mtime > started]
        when = datetime.now(UTC).isoformat(timespec="seconds")
        made, how = noted.get("made", photos), noted.get("how", "")
        pixels, copies = measure_rows(values)
        run = StageRun(stage, when, round(seconds, 3), photos, made, sum(changed), how, count_workers(), pixels, copies)
        append(get_path(), json.dumps(run._asdict()) + "\n")


def list_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files among paths, and those directly in the folders among them."""
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        yield from (file for file in inside if file.is_file())


def estimate_photos(path: Path) -> int:
    """Return about how many rows a table of photos has, by the length of its first rows; 0 for any other file."""
    if path.suffix != ".csv":
        return 0
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.decode("utf-8", "replace").startswith(PHOTO_TABLES):
        return 0
    header, _, rows = head.partition(b"\n")
    size = path.stat().st_size - len(header) - 1
    return round(rows.count(b"\n") * size / len(rows)) if rows else 0


def measure_rows(values: Params) -> tuple[int, float]:
    """Return the values of an image of the dataset, and the rows of the dataset for each photo, as params say."""
    channels = 3 if values.preprocess.color == "rgb" else 1
    kept = values.split.test_share + values.split.validation_share
    return channels * values.preprocess.image_side**2, round(kept + (1 - kept) * values.augment.copies, 4)


def count_workers() -> int:
    """Return the number of worker processes, 0 where a Dask cluster does the work."""
    return 0 if settings.dask() else settings.workers()


def get_path() -> Path:
    """Return the file of the rates."""
    return settings.cache_directory() / "rates.jsonl"


def append(path: Path, line: str) -> None:
    """Add a line in one write, so that stages that end together do not mix theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())
        size = file.tell()
    if size > MOST_BYTES:
        lines = path.read_bytes().splitlines(keepends=True)
        files.write_bytes(path, b"".join(lines[len(lines) // 2 :]))


def read() -> list[StageRun]:
    """Return the runs that were recorded, oldest first. Lines that are none are left out."""
    runs = []
    with suppress(OSError):
        for line in get_path().read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                run = StageRun(**json.loads(line))
                if is_sound(run):
                    runs.append(run)
    return runs


def is_sound(run: StageRun) -> bool:
    """Return whether a line has text where text belongs, and numbers that a run can have elsewhere."""
    texts = (run.stage, run.when, run.how)
    numbers = (run.seconds, run.photos, run.made, run.bytes, run.workers, run.pixels, run.copies)
    return all(isinstance(text, str) for text in texts) and all(
        type(number) in (int, float) and 0 <= number < math.inf for number in numbers
    )
