"""`python -m tools.suspects`: write suspects as rows to edit, and add edited rows to corrections/.

`--kind label --top 50 --out rows.csv` writes the most suspicious photos, with a blank column `action`. Look at each
photo and write relabel, exclude or right; a row without an action is skipped. `--apply rows.csv` checks all rows and
adds them to corrections/labels.csv and corrections/exclusions.csv, or adds none and says which row is wrong.
"""

import argparse
import datetime
import sys
from pathlib import Path

import pandas as pd

from imageset.errors import DataError
from imageset.formats import hand_edited, source_ids, tables
from imageset.runtime import files
from tools.suspects import apply, listing
from tools.suspects.files import EXCLUSIONS, KINDS, LABELS, read_corrections, read_products, read_table

NEXT = "`git diff corrections` shows them; next: `dvc repro`, then `python -m tools.compare HEAD`"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.suspects", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="label", help="which suspects to write; default: label")
    parser.add_argument("--top", type=positive, default=50, metavar="N", help="the most rows to write; default: 50")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a new file for the rows; default: print them")
    parser.add_argument("--all", action="store_true", help="write photos that people have decided on, too")
    parser.add_argument("--accept", action="store_true", help="fill in relabel where a class is suggested")
    parser.add_argument("--by", default="", metavar="HANDLE", help="who decides; git keeps it for good")
    parser.add_argument("--apply", type=Path, metavar="FILE", help="add the rows of an edited file to corrections/")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def write_rows(arguments: argparse.Namespace) -> None:
    """Write the suspects of a kind as rows to edit."""
    out: Path | None = arguments.out
    if out is not None and out.exists():
        raise DataError(f"{out} exists, perhaps with your decisions: apply or remove it, or name another file")
    suspects, classes = read_table("suspects.csv", tables.SUSPECTS), read_table("classes.csv", tables.CLASSES)
    decided = None if arguments.all else read_corrections(classes)
    chosen, passed_over = listing.choose(suspects, arguments.kind, arguments.top, decided)
    names = dict(zip(classes["catalog_id"].tolist(), classes["name"].tolist(), strict=True))
    text = listing.to_edit(chosen, names, listing.read_urls(chosen), arguments.accept, arguments.by)
    if out is None:
        sys.stdout.buffer.write(text.encode())  # as bytes: a locale other than UTF-8 has no class names
    else:
        files.write_text(out, text)
    total = int((suspects["kind"] == arguments.kind).sum())
    print(
        f"suspects: {len(chosen)} of {total} rows of kind {arguments.kind}; {passed_over} passed over, because people "
        f"have decided on them; next: write relabel, exclude or right into column action, then --apply",
        file=sys.stderr,
    )


def class_to_keep(row: hand_edited.Row, catalog: pd.DataFrame, changes: pd.DataFrame) -> int:
    """Return the class that a photo has, before a rare class was merged into its parent.

    Args:
        row: the edited row. Its column `class` says which class the person saw.
        catalog: the rows of catalog.csv.
        changes: the rows of label_changes.csv.

    Raises:
        DataError: the row names no single photo, or the photo has no class or another one by now.
    """
    if not row.cells["position"]:
        raise DataError(f"{row.place}: action right needs the position of one photo")
    product_id = hand_edited.source_id(row, "product_id", 1001)
    position = hand_edited.whole_number(row, "position", 0)
    photo = f"photo {position} of product {source_ids.text(product_id)}"
    mine = catalog[(catalog["product_id"] == product_id) & (catalog["position"] == position)]
    if mine.empty:
        raise DataError(f"{row.place}: {photo} has no class that could be right")
    catalog_id = int(mine["catalog_id"].iloc[0])
    own = source_ids.text(catalog_id)
    if row.cells["class"] and hand_edited.source_id(row, "class", own) != catalog_id:
        raise DataError(
            f"{row.place}: {photo} has class {own} by now, not {row.cells['class']}: write the rows again and look at "
            "it again"
        )
    is_mine = (changes["product_id"] == product_id) & (changes["position"] == position)
    merged = changes[is_mine & (changes["change"] == "rare_merged")]
    return int(merged["told"].iloc[0]) if len(merged) else catalog_id


def apply_rows(path: Path) -> None:
    """Add the rows of an edited file to corrections/, all or none."""
    if not path.exists():
        raise DataError(f"{path} is missing: `python -m tools.suspects --out {path}` writes rows to edit")
    edited, classes = apply.read_edited(path), read_table("classes.csv", tables.CLASSES)
    catalog = read_table("catalog.csv", tables.CATALOG)
    changes = read_table("label_changes.csv", tables.LABEL_CHANGES)
    decided = read_corrections(classes)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    added = apply.plan(edited, decided, classes, read_products(), lambda row: class_to_keep(row, catalog, changes), now)
    apply.write(added, decided.layouts)
    print(
        f"suspects: added {len(added.labels)} rows to {LABELS} and {len(added.exclusions)} to {EXCLUSIONS}; "
        f"{added.without_action} rows have no action, {added.there_already} were there already"
    )
    if added.labels or added.exclusions:
        print(NEXT)


def main() -> None:
    arguments = parse_arguments()
    if arguments.apply is None:
        write_rows(arguments)
        return
    with files.lock(Path(".cache/suspects.lock")):
        apply_rows(arguments.apply)
