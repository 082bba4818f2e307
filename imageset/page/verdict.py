"""Whether the dataset is fit to train on, in five lines. Pure."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imageset.formats import hdf5
from imageset.page.inputs import PageInputs
from imageset.page.photo_list import UNDECIDED, find_decided
from imageset.report.figures import class_table, photo_flow

# A few photos are always broken. More than one in twenty points at a cause: a host, a limit, a query.
MOST_LOST = 0.05
# Suspects are no errors: audit lists at least 5 % of all labels. But if all that nobody has looked at were errors, they
# should be no more than one photo in a hundred.
MOST_UNDECIDED = 0.01
# A score that is less above the floor may be chance.
ERRORS_ABOVE_FLOOR = 2
NAMED_REASONS = 4
# Params or people chose to leave these out. A repeated row names a photo that another row names.
CHOSEN = frozenset({"beyond_limit", "beyond_position", "repeated", "taken_down"})
KIND_NAMES = {
    "label": ("label", "labels"),
    "mask": ("mask", "masks"),
    "outlier": ("outlier", "outliers"),
    "photo": ("photo with unusual facts", "photos with unusual facts"),
}


class Lost(NamedTuple):
    """How many photos came, how many were lost by stage and reason, and how many params or people left out."""

    came: int
    by_reason: Counter[str]
    chosen: int


class Suspects(NamedTuple):
    """How many photos are listed, by kind and in all; how many of all people decided on; pairs of classes."""

    by_kind: dict[str, int]
    photos: int
    decided: int
    classes: int


def judge(data: PageInputs, rows: dict[str, int]) -> dict[str, Any]:
    """Return the verdict: fit ("yes", "reservations" or "no") and five lines, each a name, a text and a link.

    Args:
        data: the tables.
        rows: the rows of each subset of the dataset.
    """
    classes = class_table(data.stages)
    lost, suspects = count_lost(data), count_suspects(data)
    failures = find_failures(data, classes)
    reservations = find_reservations(classes, lost, suspects)
    fit = "no" if failures else "reservations" if reservations else "yes"
    said = {
        "yes": "Yes: all checks passed, and the baseline has learned something.",
        "reservations": f"With reservations: {'; '.join(reservations)}.",
        "no": f"No: {'; '.join(failures + reservations)}.",
    }
    lines = [
        ("Fit to train on", said[fit], ""),
        ("Rows and classes", describe_rows(classes, rows), "classes"),
        ("Lost", describe_lost(lost), "photos?reject=any" if lost.by_reason else ""),
        ("Suspect", describe_suspects(suspects), "photos?kind=any" if suspects.photos else ""),
        ("Baseline", describe_baseline(data.baseline), "confusion"),
    ]
    return {"fit": fit, "lines": [dict(zip(("name", "text", "link"), line, strict=True)) for line in lines]}


def find_failures(data: PageInputs, classes: pd.DataFrame) -> list[str]:
    """Return why nobody should train on the dataset, [] where nothing says so."""
    failed = [name for name, check in data.checks.items() if not check["passed"]]
    floor = explain_floor(data.baseline)
    found = {
        f"{len(failed)} of {len(data.checks)} checks failed ({', '.join(failed)})": bool(failed),
        "fewer than two classes have training photos": int((classes["train"] > 0).sum()) < 2,
        "there are no test photos": not classes["test"].sum(),
        floor: bool(floor),
    }
    return [text for text, holds in found.items() if holds]


def explain_floor(baseline: dict[str, Any]) -> str:
    """Return why the baseline is no better than its floor, "" where it is, or where there is nothing to measure.

    The error is the larger one of score and floor: a score of 1 has none by itself, however few photos there are.
    """
    score, photos = baseline["accuracy"], baseline["photos"]["test"]
    if score is None or not photos:
        return ""
    floor = baseline["floor"]["accuracy"]
    error = max(baseline["accuracy_standard_error"], math.sqrt(floor * (1 - floor) / photos))
    if score - floor > ERRORS_ABOVE_FLOOR * error:
        return ""
    return (
        f"the baseline ({percent(score)}) is less than {ERRORS_ABOVE_FLOOR} standard errors above its floor "
        f"({percent(floor)})"
    )


def find_reservations(classes: pd.DataFrame, lost: Lost, suspects: Suspects) -> list[str]:
    """Return what a person should know before training, [] where there is nothing."""
    untested = classes.loc[(classes["test"] == 0) & (classes["photos"] > 0), "name"].tolist()
    missing = lost.by_reason.total()
    undecided = suspects.photos - suspects.decided
    photos = int(classes["photos"].sum())
    found = {
        f"{plural(len(untested), 'class has', 'classes have')} no test photos ({name_some(untested)})": bool(untested),
        f"{percent(missing / max(lost.came, 1))} of the photos were lost": missing > MOST_LOST * lost.came,
        f"nobody has decided on {name_part(undecided, suspects.photos)} suspects": undecided > MOST_UNDECIDED * photos,
    }
    return [text for text, holds in found.items() if holds]


def count_lost(data: PageInputs) -> Lost:
    """Return which photos are not in the dataset that nobody chose to leave out."""
    flow = photo_flow(data.stages)
    stages = list(flow) if len(data.stages.ingest) else list(flow)[2:]  # else the bucket decides which photos there are
    by_people = {str(exclusion.value) for exclusion in data.exclusions}
    counted: Counter[str] = Counter()
    chosen = 0
    for stage in stages:
        for reason, count in flow[stage]["rejected"].items():
            if reason in CHOSEN | by_people:
                chosen += count
            else:
                counted[reason] += count
    return Lost(flow[stages[0]]["in"] - chosen, counted, chosen)


def count_suspects(data: PageInputs) -> Suspects:
    """Return how many photos are listed, and how many of them people have decided on."""
    suspects = data.suspects
    photos = suspects[suspects["kind"].isin(KIND_NAMES)]
    named = photos[["product_id", "position"]].drop_duplicates().astype("int64")
    decided = find_decided(named, data) != UNDECIDED
    by_kind = {kind: int((photos["kind"] == kind).sum()) for kind in KIND_NAMES}
    return Suspects(by_kind, len(named), int(np.count_nonzero(decided)), int((suspects["kind"] == "class").sum()))


def describe_rows(classes: pd.DataFrame, rows: dict[str, int]) -> str:
    held = classes[classes["photos"] > 0]
    of_subsets = ", ".join(f"{rows[subset]:,} {subset}" for subset in hdf5.SUBSETS if subset in rows)
    return (
        f"{sum(rows.values()):,} rows of {int(held['photos'].sum()):,} photos ({of_subsets}) in "
        f"{plural(len(held), 'class', 'classes')}, from {int(held['photos'].min()):,} to "
        f"{int(held['photos'].max()):,} photos each."
    )


def describe_lost(lost: Lost) -> str:
    missing = lost.by_reason.total()
    chosen = f" Params or people left out {lost.chosen:,} more." if lost.chosen else ""
    if not missing:
        return f"None of {lost.came:,} photos.{chosen}"
    named = [f"{count:,} {reason}" for reason, count in lost.by_reason.most_common(NAMED_REASONS)]
    others = missing - sum(count for _, count in lost.by_reason.most_common(NAMED_REASONS))
    reasons = ", ".join([*named, *([f"{others:,} for other reasons"] if others else [])])
    return f"{missing:,} of {lost.came:,} photos ({percent(missing / lost.came)}): {reasons}.{chosen}"


def describe_suspects(suspects: Suspects) -> str:
    if not suspects.photos and not suspects.classes:
        return "Nothing is listed."
    kinds = ", ".join(plural(count, *KIND_NAMES[kind]) for kind, count in suspects.by_kind.items() if count)
    pairs = f" {plural(suspects.classes, 'suspect', 'suspects')} among the classes." if suspects.classes else ""
    return (
        f"{plural(suspects.photos, 'photo', 'photos')} ({kinds or 'none'}), most of them in order; people decided on "
        f"{suspects.decided:,}.{pairs}"
    )


def describe_baseline(baseline: dict[str, Any]) -> str:
    if baseline["accuracy"] is None:
        return "Nothing was measured: there are no test photos."
    return (
        f"A simple classifier names the right class for {percent(baseline['accuracy'])} of "
        f"{baseline['photos']['test']:,} test photos (standard error "
        f"{100 * baseline['accuracy_standard_error']:.1f} points). "
        f"Always naming the commonest class gives {percent(baseline['floor']['accuracy'])}."
    )


def percent(share: float) -> str:
    """Return a share as text.

    >>> percent(0.7465)
    '74.7 %'
    """
    return f"{100 * share:.1f} %"


def plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def name_part(count: int, of: int) -> str:
    """Return a part of a number.

    >>> name_part(3, 5), name_part(1200, 1200)
    ('3 of 5', 'any of 1,200')
    """
    return f"any of {of:,}" if count == of else f"{count:,} of {of:,}"


def name_some(names: Iterable[str]) -> str:
    """Return the first three names.

    >>> name_some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    known = list(names)
    return ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
