"""The section of a comparison about classes: which appeared or vanished, and which gained or lost most photos."""

import pandas as pd

from tools.compare.markdown import MOST_NAMES, count, format_difference, format_names, format_table, name_class, shorten


def format_class_balance(base: pd.DataFrame, head: pd.DataFrame) -> str:
    """Return the section. Both tables are as `parse_class_counts` returns them."""
    if base.equals(head):
        return "Unchanged."
    names = head["name"].combine_first(base["name"])
    photos = pd.DataFrame({"base": base["photos"], "head": head["photos"]}).fillna(0).astype(int)
    shares = (photos / photos.sum()).fillna(0)
    new, lost = (
        names[(photos[there] > 0) & (photos[missing] == 0)].map(shorten).tolist()
        for there, missing in (("head", "base"), ("base", "head"))
    )
    distance = (shares["head"] - shares["base"]).abs().sum() / 2
    return "\n\n".join(
        [
            f"{count(len(base), 'class', 'classes')} in base, {len(head):,} in head.\n"
            f"New: {format_names(new)}. Gone, or without photos: {format_names(lost)}.\n"
            f"Total variation distance between the class shares: {distance:.4f} (0: the same, 1: no class in common).",
            format_largest_changes(names, photos, shares),
        ]
    )


def format_largest_changes(names: pd.Series, photos: pd.DataFrame, shares: pd.DataFrame) -> str:
    """Return a table of the classes whose number of photos changed most.

    Args:
        names: name by catalog_id.
        photos: columns base and head, numbers of photos by catalog_id.
        shares: columns base and head, shares of all photos by catalog_id.
    """
    changes = pd.DataFrame({"photos": photos["head"] - photos["base"], "share": shares["head"] - shares["base"]}).abs()
    changed = changes[changes["photos"] != 0].sort_values(["photos", "share"], ascending=False, kind="stable")
    if changed.empty:
        return "No class gained or lost photos."
    rows = [
        (
            name_class(names[key], key),
            *map(str, photos.loc[key]),
            format_difference(*photos.loc[key].tolist()),
            *(f"{share:.2%}" for share in shares.loc[key]),
        )
        for key in changed.index[:MOST_NAMES]
    ]
    header = ["class", "base", "head", "delta", "base share", "head share"]
    return (
        f"The {len(rows):,} largest of {len(changed):,} changes of a class:\n\n{format_table(header, rows, numbers=5)}"
    )
