"""Whether listings, labels and classes name the same products and classes: else no photo would get a class."""

from collections.abc import Collection, Iterable

import pandas as pd

from imageset.errors import DataError
from imageset.formats import source_ids

EXAMPLES = 3


def require_known_class(labels: pd.DataFrame, classes: pd.DataFrame) -> None:
    """Raise DataError where no row of labels names a class.

    Args:
        labels: the rows of labels.csv.
        classes: the rows of classes.csv.
    """
    if labels.empty:
        raise DataError(
            "queries/labels.sql returned no rows, so no photo gets a class: correct it; where it compares with :as_of, "
            "let null pass as well; where corrections/labels.csv has the class of all photos, leave a comment alone in "
            "it, no query"
        )
    if not labels["catalog_id"].isin(classes["catalog_id"]).any():
        raise DataError(
            f"none of the {len(labels):,} rows of queries/labels.sql names one of the {len(classes):,} classes of "
            f"queries/classes.sql: {compare('catalog_id', labels['catalog_id'], classes['catalog_id'])}"
        )


def require_labelled_product(products: Collection[int], labels: pd.DataFrame, classes: pd.DataFrame) -> None:
    """Raise DataError where no product has a row of labels that names a class.

    Args:
        products: those that have photos, each once.
        labels: the rows of labels.csv. Without any, people label all photos: stage labels lets no other reason pass.
        classes: the rows of classes.csv.
    """
    if labels.empty:
        return
    is_known = labels["catalog_id"].isin(classes["catalog_id"])
    found = labels[labels["product_id"].isin(products)]
    if not len(products) or is_known[found.index].any():
        return
    if found.empty:
        listed = pd.Series(sorted(products))
        raise DataError(
            f"none of the {len(products):,} products of queries/listings.sql has one of the {len(labels):,} rows of "
            f"queries/labels.sql: {compare('product_id', labels['product_id'], listed, 'listings')}"
        )
    raise DataError(
        f"the {len(found):,} rows of queries/labels.sql about products of queries/listings.sql name none of the "
        f"{len(classes):,} classes of queries/classes.sql: "
        f"{compare('catalog_id', found['catalog_id'], classes['catalog_id'])}"
    )


def compare(column: str, of_labels: pd.Series, others: pd.Series, name: str = "classes") -> str:
    """Return three ids of both sides, and what to do about them.

    Args:
        column: the ids' column.
        of_labels: the ids that labels have.
        others: the ids of the other side.
        name: that side.
    """
    sides = [spell(ids) for ids in (of_labels, others)]
    shown = [", ".join(sorted(side)[:EXAMPLES]) or "none" for side in sides]
    near = find_other_spellings(*sides)
    are_numbers = [bool(side) and all(text.isdigit() for text in side) for side in sides]
    if any(text.lower() == other.lower() for text, other in near.items()):
        remedy = f"they differ in upper and lower case: return lower({column}) in both queries"
    elif near:
        remedy = f"they differ in leading zeros: return the same text as {column} in both queries"
    elif all(sides) and are_numbers[0] != are_numbers[1]:
        remedy = f"one side has numbers, the other text: return the same {column} in both queries"
    else:
        remedy = f"return the same {column} in both queries"
    return f"labels have {column} {shown[0]}, {name} have {shown[1]}: {remedy}"


def find_other_spellings(texts: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return those texts that `known` has in other capitals alone, or with other zeros in front, with that one.

    >>> find_other_spellings(["AB-1", "007", "8"], ["ab-1", "7", "8"])
    {'AB-1': 'ab-1', '007': '7'}
    """
    plain = {plain_spelling(text): text for text in sorted(known)}
    return {text: plain[plain_spelling(text)] for text in texts if plain.get(plain_spelling(text), text) != text}


def plain_spelling(text: str) -> str:
    return text.lower().lstrip("0")


def spell(ids: pd.Series) -> set[str]:
    """Return the source's spelling of a column of ids."""
    return {source_ids.text(number) for number in ids.dropna().unique().tolist()}
