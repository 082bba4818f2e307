"""Tables and the plot of what stages took at growing numbers of photos."""

import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.growth.project import StageFigures
from benchmarks.shared.memory import megabytes
from benchmarks.shared.tables import table

MILLION = 1_000_000
LINEAR = 1.1  # the largest exponent that is called so
FLAT = 600e6  # bytes
TOO_SHORT = 0.5  # seconds beyond the start, below which an exponent says nothing
NAMED = 9  # stages of a panel that get a colour
GRAYS = (14, 15)  # of the colours of tab20
TICKS = [digit * 10.0**power for power in range(-2, 7) for digit in (1, 3)]

Sizes = Mapping[int, Mapping[str, StageFigures]]  # by photos and by stage


def print_size(figures: Mapping[str, StageFigures]) -> None:
    """Print what each stage took at one number of photos."""
    table(
        (
            "stage",
            "seconds",
            "processor s",
            "of the servers, processor s",
            "of DVC, seconds",
            "PSS MB",
            "no file backs, MB",
            "outputs MB",
            "caches MB",
            "DVC's cache MB",
            "temporary MB",
            "load before",
        ),
        (
            (
                each.stage + (" (continued)" if each.continued else ""),
                f"{each.seconds:.1f}",
                f"{each.cpu:.1f}",
                f"{sum(each.servers.values()):.1f}",
                f"{each.dvc_seconds:.1f}",
                *map(megabytes, (each.pss, each.anonymous)),
                *(f"{size / 1e6:.1f}" for size in (each.outputs, each.cached, each.dvc_cached, each.temporary)),
                f"{each.load:.1f}",
            )
            for each in figures.values()
        ),
    )


def print_growth(sizes: Sizes) -> None:
    """Print exponents and what a million would take. The least number of photos is what a start costs."""
    start, *measured = sizes
    if len(measured) < 2:
        return
    steps = list(itertools.pairwise(measured))
    names = [f"{one:,} to {other:,}" for one, other in steps]

    def lines() -> Iterator[tuple[str, ...]]:
        for stage in sizes[start]:
            yield (
                stage,
                *(exponent(sizes, stage, "cpu", *step) for step in steps),
                *(exponent(sizes, stage, "seconds", *step) for step in steps),
                *extrapolate(sizes, stage, *measured[-2:]),
            )

    table(
        (
            "stage",
            *(f"exponent of processor time, {name}" for name in names),
            *(f"exponent of seconds, {name}" for name in names),
            "PSS, bytes a photo",
            "no file backs, bytes a photo",
            "PSS at a million, extrapolated, MB",
            "processor minutes at a million, extrapolated",
            "flat",
            "linear",
        ),
        lines(),
    )


def exponent(sizes: Sizes, stage: str, field: str, one: int, other: int) -> str:
    """Return by which power of the number of photos a time beyond the start grows, "-" where it is too short."""
    value = find_exponent(sizes, stage, field, one, other)
    return "-" if value is None else f"{value:.2f}"


def find_exponent(sizes: Sizes, stage: str, field: str, one: int, other: int) -> float | None:
    start = getattr(sizes[min(sizes)][stage], field)
    less, more = (getattr(sizes[size][stage], field) - start for size in (one, other))
    return math.log(more / less) / math.log(other / one) if min(less, more) >= TOO_SHORT else None


def extrapolate(sizes: Sizes, stage: str, one: int, other: int) -> tuple[str, ...]:
    """Return what a million takes by the growth between the two largest numbers of photos, and the verdicts."""
    less, more = sizes[one][stage], sizes[other][stage]
    slope, anonymous = (
        max(0.0, (getattr(more, field) - getattr(less, field)) / (other - one)) for field in ("pss", "anonymous")
    )
    memory = more.pss + slope * (MILLION - other)
    power = find_exponent(sizes, stage, "cpu", one, other)
    cpu = more.cpu * (MILLION / other) ** (1 if power is None else power)
    return (
        f"{slope:,.0f}",
        f"{anonymous:,.0f}",
        megabytes(memory),
        f"{cpu / 60:.1f}",
        "yes" if memory <= FLAT else "no",
        "yes" if power is None or power <= LINEAR else "no",
    )


def count_disk(figures: StageFigures) -> int:
    return figures.outputs + figures.cached + figures.dvc_cached + figures.temporary


PANELS: dict[str, Callable[[StageFigures], float]] = {
    "processor seconds": lambda figures: figures.cpu,
    "peak memory of all processes, PSS, MB": lambda figures: figures.pss / 1e6,
    "outputs, caches and temporary files, MB": lambda figures: max(1e-2, count_disk(figures) / 1e6),
}


def draw_plot(sizes: Sizes) -> bytes:
    """Return seconds, memory and bytes on disk of each stage over the number of photos, as PNG."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    largest = sizes[max(sizes)]
    palette = [colormaps["tab20"](number) for number in range(20) if number not in GRAYS]
    colors = {stage: palette[number % len(palette)] for number, stage in enumerate(largest)}
    for axes, (title, read) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        ranked = sorted(largest, key=lambda stage: -read(largest[stage]))
        for place, stage in enumerate(ranked):
            style = {"color": colors[stage], "label": stage} if place < NAMED else {"color": "#d8d8d8", "zorder": 1}
            axes.plot(list(sizes), [read(sizes[size][stage]) for size in sizes], "o-", markersize=4, **style)
        finish_axes(axes, title, list(sizes))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    return file.getvalue()


def finish_axes(axes: Any, title: str, sizes: Sequence[int]) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("photos")
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
