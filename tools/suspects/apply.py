"""Edited rows -> rows of corrections/, all of them or none."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imageset.curation import corrections
from imageset.errors import DataError
from imageset.formats import hand_edited
from imageset.runtime.params import suggestion
from tools.suspects.files import ACTIONS, COLUMNS, EXCLUSIONS, LABELS, REQUIRED, Corrections

Key = tuple[int, int | None]


class Added(NamedTuple):
    """What a file with edited rows adds: the rows for both files, and how many rows add nothing, and why."""

    labels: list[hand_edited.Row]
    exclusions: list[hand_edited.Row]
    without_action: int
    there_already: int


def read_edited(path: Path) -> list[hand_edited.Row]:
    """Return the rows of a file that `listing.to_edit` wrote, or that has some of its columns."""
    return hand_edited.read(path, REQUIRED, [column for column in COLUMNS if column not in REQUIRED])


def plan(
    edited: list[hand_edited.Row],
    decided: Corrections,
    classes: pd.DataFrame,
    products: set[int],
    class_of: Callable[[hand_edited.Row], int],
    now: str,
) -> Added:
    """Check all rows, and return what they add to corrections/.

    Args:
        edited: as read_edited returns them.
        decided: what people decided so far.
        classes: the rows of classes.csv.
        products: the products that a row may name.
        class_of: returns the class to keep for a row with action `right`, or raises DataError.
        now: the date of rows without one.

    Raises:
        DataError: a row is wrong. The message has the first fault and how many more there are.
    """
    of_labels: list[hand_edited.Row] = []
    of_exclusions: list[hand_edited.Row] = []
    without_action = 0
    faults: list[str] = []
    for row in edited:
        action = row.cells["action"].casefold()
        try:
            if action == "exclude":
                of_exclusions.append(corrected(row, "reason", row.cells["reason"], now))
            elif action == "relabel":
                of_labels.append(corrected(row, "catalog_id", row.cells["catalog_id"], now))
            elif action == "right":
                of_labels.append(corrected(row, "catalog_id", hand_edited.cell_of_id(class_of(row)), now))
            elif action:
                expected = f"expected {', '.join(ACTIONS)}, or nothing{suggestion(action, ACTIONS)}"
                raise DataError(f"{row.place}: action {row.cells['action']!r}: {expected}")
            without_action += not action
        except DataError as error:
            faults.append(str(error))
    corrections.raise_first(faults)
    labels = corrections.check_labels([*decided.label_rows, *of_labels], classes)[len(decided.label_rows) :]
    exclusions = corrections.check_exclusions([*decided.exclusion_rows, *of_exclusions])[len(decided.exclusion_rows) :]
    corrections.require_known([*labels, *exclusions], products)
    new_labels, new_exclusions = only_new(decided.labels, labels), only_new(decided.exclusions, exclusions)
    refuse_excluded([labels[number] for number in new_labels], [*decided.exclusions, *exclusions])
    there_already = len(labels) + len(exclusions) - len(new_labels) - len(new_exclusions)
    return Added(
        [of_labels[number] for number in new_labels],
        [of_exclusions[number] for number in new_exclusions],
        without_action,
        there_already,
    )


def corrected(row: hand_edited.Row, column: str, value: str, now: str) -> hand_edited.Row:
    """Return an edited row as one of a file of corrections/, with the place where the person wrote it."""
    cells = {name: row.cells[name] for name in ("product_id", "position", "note", "by", "date")}
    return row._replace(cells=cells | {column: value, "date": cells["date"] or now})


def only_new(before: list[corrections.Decision], decisions: list[corrections.Decision]) -> list[int]:
    """Return the numbers of the decisions that neither `before` nor an earlier one has."""
    seen = {decision[2:5] for decision in before}
    numbers = []
    for number, decision in enumerate(decisions):
        if decision[2:5] not in seen:
            numbers.append(number)
        seen.add(decision[2:5])
    return numbers


def refuse_excluded(labels: list[corrections.Decision], exclusions: list[corrections.Decision]) -> None:
    """Raise DataError where a photo would get a class and is excluded: the class would not count."""
    of_photo: dict[Key, corrections.Decision] = {}
    for exclusion in exclusions:
        of_photo.setdefault((exclusion.product_id, exclusion.position), exclusion)
    corrections.raise_first(
        [
            f"{label.place}: {corrections.describe(label)} is excluded by {exclusion.place}; remove one of the two"
            for label in labels
            for exclusion in (
                of_photo.get((label.product_id, label.position)) or of_photo.get((label.product_id, None)),
            )
            if exclusion
        ]
    )


def append(path: Path, layout: hand_edited.Layout, rows: list[hand_edited.Row]) -> None:
    """Add rows at the end of a file of corrections/, as it is written, atomically.

    Raises:
        DataError: the file lacks a column that a row fills.
    """
    for row in rows:
        missing = [column for column, cell in row.cells.items() if cell and column not in layout.columns]
        if missing:
            raise DataError(f"{path} has no column {missing[0]}, which {row.place} fills: add it to the file's header")
    hand_edited.append(path, layout, [row.cells for row in rows])


def write(added: Added, layouts: dict[Path, hand_edited.Layout]) -> None:
    """Add the rows to both files. After an error between the two, the same command adds the rest."""
    for path, rows in ((LABELS, added.labels), (EXCLUSIONS, added.exclusions)):
        if rows:
            append(path, layouts[path], rows)
