"""Which classes the baseline confuses, as PNG. The bytes depend on the answers alone."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
MOST_CLASSES = 25
MOST_PAIRS = 25
CLASSES_WITH_FIGURES = 12  # with more, the cells are too small to write in
LONGEST_NAME = 26


def largest_classes(actual: Labels) -> list[int]:
    """Return the labels with the most test photos, up to MOST_CLASSES, the largest first and then by label."""
    labels, counts = np.unique(actual, return_counts=True)
    return [int(label) for label in labels[np.argsort(-counts, kind="stable")][:MOST_CLASSES]]


def matrix(actual: Labels, predicted: Labels, shown: Sequence[int]) -> NDArray[np.float64]:
    """Return the shares of each shown class's photos (a row) that got each shown class, and last any other class."""
    counts = np.zeros((len(shown), len(shown) + 1))
    for row, label in enumerate(shown):
        answers = predicted[actual == label]
        counts[row, :-1] = [(answers == other).sum() for other in shown]
        counts[row, -1] = len(answers) - counts[row].sum()
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def confused_pairs(actual: Labels, predicted: Labels) -> list[tuple[int, int, int, int]]:
    """Return the most frequent errors, up to MOST_PAIRS: class, class in the answer, how often, of how many photos.

    Among errors of equal number, those of the smaller class come first: they are the larger share.

    >>> confused_pairs(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 0, 0]))
    [(1, 0, 2, 2), (0, 1, 2, 3)]
    """
    wrong = actual != predicted
    pairs, counts = np.unique(np.stack([actual[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    photos = dict(zip(*(values.tolist() for values in np.unique(actual, return_counts=True)), strict=True))
    found = [
        (label, other, count, photos[label])
        for (label, other), count in zip(pairs.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(found, key=lambda pair: (-pair[2], pair[3], pair[0], pair[1]))[:MOST_PAIRS]


def short(name: str) -> str:
    """Return a class's name on one line, cut in its middle, and without what matplotlib would read as a formula.

    >>> short("Women's long-sleeved blouses, size 38")
    "Women's long-…ses, size 38"
    """
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:  # in the middle: names of neighbouring classes often begin alike
        name = f"{name[: LONGEST_NAME // 2]}…{name[-LONGEST_NAME // 2 + 1 :]}"
    return name.replace("$", r"\$")


def draw(names: Sequence[str], actual: Labels, predicted: Labels) -> bytes:
    """Return the confusion matrix of the largest classes beside the most frequent errors of all classes, as PNG.

    names: of all classes, by label; lettering.py has names that can be drawn. actual, predicted: int64 (N,), labels of
    the test photos; N may be 0.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown, pairs = largest_classes(actual), confused_pairs(actual, predicted)
    side = max(4.0, 0.3 * max(len(shown), len(pairs)) + 1.5)
    figure = Figure(figsize=(2 * side + 2, side + 1), layout="constrained")
    FigureCanvasAgg(figure)
    right = int((actual == predicted).sum())
    figure.suptitle(
        f"Baseline: {right:,} of {len(actual):,} test photos right" if len(actual) else "Baseline: no test photos"
    )
    squares, bars = figure.subplots(1, 2, width_ratios=(1.35, 1))
    if shown:
        draw_matrix(squares, [short(name) for name in names], actual, predicted, shown)
    else:
        squares.set_axis_off()
    draw_pairs(bars, [short(name) for name in names], pairs)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    return file.getvalue()


def draw_matrix(axes: Any, names: Sequence[str], actual: Labels, predicted: Labels, shown: Sequence[int]) -> None:
    shares = matrix(actual, predicted, shown)
    columns = [names[label] for label in shown]
    if shares[:, -1].any():
        columns.append("any other class")
    else:
        shares = shares[:, :-1]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(shown)), [f"{names[label]} ({(actual == label).sum()})" for label in shown])
    axes.set_xlabel("taken for")
    several = len(shown) < len(np.unique(actual))
    axes.set_title(
        f"The {len(shown)} classes with the most test photos (how many)" if several else "Class (test photos)",
        loc="left",
        fontsize="medium",
    )
    if len(shown) <= CLASSES_WITH_FIGURES:
        for (row, column), share in np.ndenumerate(shares):
            if share:
                axes.text(
                    column,
                    row,
                    f"{100 * share:.0f} %",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share > 0.5 else "black",
                )


def draw_pairs(axes: Any, names: Sequence[str], pairs: Sequence[tuple[int, int, int, int]]) -> None:
    if not pairs:
        axes.set_axis_off()
        return
    places = range(len(pairs))
    axes.barh(places, [count for _, _, count, _ in pairs], color="#3b6ea5")
    axes.set_yticks(places, [f"{names[label]} → {names[other]}" for label, other, _, _ in pairs])
    for place, (_, _, count, photos) in zip(places, pairs, strict=True):
        axes.annotate(f"{count} of {photos}", (count, place), (3, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.15, y=0.01)
    axes.set_xticks([])
    axes.set_title("The most frequent errors", loc="left", fontsize="medium")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
