"""The database -> data/listings.csv: which photos exist, and what the source says of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imageset.curation import listing_rows
from imageset.curation.listing_rows import REMEDIES, Row
from imageset.errors import DataError
from imageset.formats import attributes, source_ids, stable_hash, tables, value_text
from imageset.runtime import params, secret_text, stage
from imageset.runtime.sections import SourceParams
from imageset.storage import database

COLUMNS = ["product_id", "position", "image_url", "key"]  # the query may lack one of the last two
REASONS = listing_rows.REASONS | {"beyond_position", "beyond_limit"}
EXAMPLES = 3


class Columns(NamedTuple):
    """Where a query has its columns: those of COLUMNS, None for one that it lacks, and the further ones."""

    ours: list[int | None]
    further: list[int]
    names: list[str]  # of the further ones

    def pick(self, row: Row) -> Row:
        """Return a row's values of COLUMNS."""
        return tuple(None if place is None else row[place] for place in self.ours)


def find_columns(query: Path, found: list[str], source: SourceParams) -> Columns:
    """Return where a query has its columns. Raises DataError for columns that will not do."""
    photo, where = COLUMNS[:2], COLUMNS[2:]
    if found[: len(photo)] != photo or not set(where) & set(found):
        expected = (
            f"{', '.join(photo)} and then {' or '.join(where)}, or both, where one of the two is null in each row"
        )
        raise DataError(f"{query} returns columns {', '.join(found)}; expected {expected}")
    for name in COLUMNS:
        if found.count(name) > 1:
            raise DataError(f"{query} returns two columns {name}: leave one out, or give it another name")
    attributes.require_names(query, found[len(photo) :])
    further = [place for place, name in enumerate(found) if name not in COLUMNS]
    names = [found[place] for place in further]
    attributes.require_wanted(query, names, source.columns, source.group_by)
    return Columns([found.index(name) if name in found else None for name in COLUMNS], further, names)


def choose_photos(listings: pd.DataFrame, photos_per_listing: int, limit: int | None) -> pd.Series:
    """Return "" for each photo that params choose, beyond_position or beyond_limit for the others.

    Chosen are the photos of the first ranks of every listing, or of the `limit` listings that come first by a hash.

    Args:
        listings: product_id, and rank: the photo's place in its listing, from 0.
        photos_per_listing: how many photos of a listing are chosen.
        limit: from how many listings, None for all.
    """
    early = listings["rank"] < photos_per_listing
    ranked = sorted(listings.loc[early, "product_id"].unique().tolist(), key=stable_hash.rank)
    sampled = listings["product_id"].isin(ranked[:limit])
    return pd.Series(np.select([~early, ~sampled], ["beyond_position", "beyond_limit"], ""), listings.index)


def reject_unchosen(listings: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Return the rows of listings_rejects.csv of the photos that params do not choose."""
    rejects = listings.assign(product_id=source_ids.texts(listings["product_id"]), reason=reasons)[reasons != ""]
    return rejects[list(tables.LISTING_REJECTS.columns)].astype(str)


def describe_rejects(rejects: pd.DataFrame) -> str:
    """Return the first rows as a message shows them: without what may be secret in a URL, and without empty cells."""
    shown = []
    for row in rejects.head(EXAMPLES).to_dict("records"):
        cells = {**row, "image_url": secret_text.show_url(row["image_url"])}
        texts = [f"{name} {value[:80]!r}" for name, value in cells.items() if value and name != "reason"]
        shown.append(", ".join(texts) or "no value")
    return "; ".join(shown)


def refuse_all(query: Path, rejects: pd.DataFrame, rejects_csv: Path) -> None:
    """Raise DataError about the rows of a query that are all rejected."""
    reason = Counter(rejects["reason"]).most_common(1)[0][0]
    raise DataError(
        f"all {len(rejects):,} rows of {query} are rejected ({tables.tally(rejects['reason'])}), such as "
        f"{describe_rejects(rejects[rejects['reason'] == reason])} ({reason}): {REMEDIES[reason]}; {rejects_csv} lists "
        "them"
    )


def describe_photos(chosen: pd.DataFrame, names: Sequence[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Return the further columns of the photos as text: product_id, position, and a column for each name.

    Args:
        chosen: the photos; the index is the place of each in `rows`.
        names: the names of the further columns. Without any, no photo has a row.
        rows: the values of these columns, for all rows of the query.
    """
    texts = [[value_text.one_line(value) for value in rows[place]] for place in chosen.index] if names else []
    photos = chosen[list(tables.PHOTO)] if names else chosen[list(tables.PHOTO)].iloc[:0]
    values = pd.DataFrame(texts, index=photos.index, columns=list(names), dtype=object)
    return tables.frame(attributes.table(names), pd.concat([photos, values], axis="columns"))


def group_listings(described: pd.DataFrame, group_by: str | None) -> pd.DataFrame:
    """Return the value of the column `group_by` of each listing, once each; empty values group nothing."""
    if group_by is None:
        return tables.frame(tables.LISTING_GROUPS, [])
    values = described[["product_id", group_by]].set_axis(list(tables.LISTING_GROUPS.columns), axis="columns")
    return tables.frame(tables.LISTING_GROUPS, values[values["value"] != ""].drop_duplicates())


def main(
    listings_sql: Path, listings_csv: Path, listings_rejects_csv: Path, attributes_csv: Path, listing_groups_csv: Path
) -> None:
    """Read from the database which photos exist, as of source.as_of.

    Args:
        listings_sql: the query: product_id, position, and image_url or key of every photo, and any further columns.
        listings_csv: every photo of every listing.
        listings_rejects_csv: rows that name no photo, with a reason.
        attributes_csv: the further columns of the query, for every photo.
        listing_groups_csv: the value of source.group_by of every listing.
    """
    source = params.load().source
    found: list[Columns] = []
    with database.snapshot() as connection:
        rows = database.fetch_any_rows(
            connection,
            listings_sql,
            lambda names: found.append(find_columns(listings_sql, names, source)),
            source.as_of,
        )
    columns = found[-1]
    if not rows:
        raise DataError(f"{listings_sql} returned no rows: check the query and source.as_of")
    listings, faulty = listing_rows.clean_rows(map(columns.pick, rows))
    reasons = choose_photos(listings, source.photos_per_listing, source.limit)
    chosen = listings[reasons == ""]
    rejects = pd.concat([faulty, reject_unchosen(listings, reasons)])
    assert len(rows) == len(chosen) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    described = describe_photos(chosen, columns.names, [tuple(row[place] for place in columns.further) for row in rows])
    attributes.require_short(listings_sql, described, source.columns)
    tables.write(listings_csv, tables.LISTINGS, chosen)
    tables.write(listings_rejects_csv, tables.LISTING_REJECTS, rejects)
    tables.write(attributes_csv, attributes.table(columns.names), described)
    tables.write(listing_groups_csv, tables.LISTING_GROUPS, group_listings(described, source.group_by))
    print(
        f"listings: {len(rows)} rows, {len(chosen)} photos of {chosen['product_id'].nunique()} listings, "
        f"{len(rejects)} rejected ({tables.tally(rejects['reason'])})"
    )
    if chosen.empty:
        refuse_all(listings_sql, rejects, listings_rejects_csv)


if __name__ == "__main__":
    stage.run("listings", main)
