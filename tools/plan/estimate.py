"""Seconds and bytes of a stage, by the runs that this machine has recorded, else by the shipped rates."""

from typing import NamedTuple

from imageset.runtime.rates import StageRun
from tools.plan.shipped import IDLE, OTHER, PIXELS, SHIPPED, WORKERS, Shipped, compare_speed

RUNS = 5  # the newest, that are taken together
LEAST_PHOTOS = 100  # that a run has made whose time says something of a photo's, where more are to be made
FAR = 4.0  # a run says little of one that makes so many times its photos: it is mostly start
# Bytes of preprocess for each photo beside the pixels: thumbnail, preview, tables.
BESIDE_PIXELS = 6_560


class Task(NamedTuple):
    """What a stage will do; as StageRun."""

    stage: str
    photos: int
    made: int
    how: str
    workers: int
    pixels: int
    copies: float


class Estimate(NamedTuple):
    """Seconds, bytes, and where they are from: "recorded" or "shipped". None: nobody has measured it."""

    seconds: float | None
    bytes: float
    source: str


def estimate(task: Task, runs: list[StageRun]) -> Estimate:
    """Return what a stage takes.

    Args:
        task: what it will do.
        runs: that this machine has recorded, oldest first.
    """
    own = [run for run in runs if run.stage == task.stage]
    similar = choose_similar(task, own)
    seconds = estimate_seconds(task, similar)
    shipped = SHIPPED.get(task.stage, OTHER)
    sized = [run for run in own if run.photos or not task.photos][-1:] or own[-1:]
    if not sized:
        size = shipped.bytes * measure_bytes(task, shipped)
    elif sized[0].photos:
        size = sized[0].bytes * measure_bytes(task, shipped) / measure_bytes(sized[0], shipped)
    else:
        size = sized[0].bytes
    return Estimate(seconds, size, "recorded" if similar else "shipped")


def choose_similar(task: Task, runs: list[StageRun]) -> list[StageRun]:
    """Return the newest runs of a stage that say something of the task: with the same workers, as many photos."""
    if not task.made:
        return [run for run in runs if not run.made and run.workers == task.workers][-RUNS:]
    telling = [run for run in runs if run.made >= min(task.made, LEAST_PHOTOS) / 2]
    same = [run for run in telling if (run.how, run.workers) == (task.how, task.workers)]
    known = [run for run in telling if compare_speed(run.how) and compare_speed(task.how)]
    return (same or [run for run in known if run.workers == task.workers])[-RUNS:]


def estimate_seconds(task: Task, runs: list[StageRun]) -> float | None:
    """Return the seconds of a task, None where nobody has measured it.

    The runs say how many times as long as the shipped rates this machine takes. Of a start they say nothing else.
    """
    shipped = SHIPPED.get(task.stage, OTHER)
    if not task.made:
        return sum(run.seconds for run in runs) / len(runs) if runs else min(shipped.start, IDLE)
    if not runs:
        each = compare_speed(task.how)
        return None if each is None else shipped.start + each * measure_work(task, shipped)
    start = min([shipped.start, *(run.seconds for run in runs)])
    # The same `how`, of which nobody has measured the speed, is as fast as it was.
    speeds = {run.how: compare_speed(run.how) or 1.0 for run in runs} | {task.how: compare_speed(task.how) or 1.0}
    beyond = sum(run.seconds - start for run in runs)
    expected = sum(speeds[run.how] * measure_work(run, shipped) for run in runs)
    work = speeds[task.how] * measure_work(task, shipped)
    ratio = beyond / expected if expected else 1.0
    if expected and work > FAR * expected / len(runs):
        ratio = min(max(ratio, 1 / FAR), FAR)
    return start + ratio * work if expected else sum(run.seconds for run in runs) / len(runs)


def measure_work(task: Task | StageRun, shipped: Shipped) -> float:
    """Return the seconds for what is made, at the shipped rate and with masks of u2netp, 320, float32."""
    photos = min(task.made, shipped.most or task.made)
    rows = task.copies * task.pixels / PIXELS if shipped.per_row else 1.0
    processes = WORKERS / task.workers if shipped.parallel and task.workers else 1.0
    return shipped.each * photos * rows * processes


def measure_bytes(task: Task | StageRun, shipped: Shipped) -> float:
    """Return for how many photos, or rows of 128 x 128 gray pixels, outputs have bytes."""
    photos = float(min(task.photos, shipped.most or task.photos))
    if shipped.per_row:
        return photos * task.copies * task.pixels / PIXELS
    if task.stage == "preprocess":
        return photos * (task.pixels + BESIDE_PIXELS) / (PIXELS + BESIDE_PIXELS)
    if task.stage == "masks" and task.how:
        return photos * (int(task.how.split()[1]) / 320) ** 2
    return photos
