"""The database -> data/listings.csv: which photos exist, and what the source says of them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import attributes, stable_hash, tables
from imageset.runtime import params, stage
from imageset.storage import database
from imageset.storage.object_keys import INT64_MAX, POSITION_MAX

COLUMNS = ["product_id", "position", "image_url"]
REASONS = frozenset(
    {"no_id", "bad_id", "bad_position", "no_url", "bad_url", "repeated", "beyond_position", "beyond_limit"}
)


def reject_reason(product_id: Any, position: Any, image_url: Any) -> str | None:
    """Return why a row names no photo (no_id, bad_id, bad_position, no_url, bad_url), or None if it does."""
    if product_id is None or not str(product_id).strip():
        return "no_id"
    if not is_count(product_id, INT64_MAX):
        return "bad_id"
    if not is_count(position, POSITION_MAX):
        return "bad_position"
    if image_url is None or not str(image_url).strip():
        return "no_url"
    if re.search(r"[\x00-\x20\x7f]", str(image_url).strip()):
        return "bad_url"
    return None


def is_count(value: Any, maximum: int) -> bool:
    """Return whether a value is a whole number from 0 to a maximum, spelt as such: not 007, not 1.0."""
    return re.fullmatch(r"0|[1-9][0-9]{0,18}", str(value)) is not None and int(value) <= maximum


def clean_rows(rows: Iterable[tuple[Any, ...]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that name a photo, and the other rows with a reason. Every row is in one of the two.

    When rows name the same photo, the first one by URL is kept. The others have the reason `repeated`. The index of
    the rows that name a photo is their place in `rows`.
    """
    photos, places, rejects = {}, [], []
    for place, (product_id, position, image_url) in sorted(enumerate(rows), key=lambda row: str(row[1][2])):
        reason = reject_reason(product_id, position, image_url)
        if reason is None and (int(product_id), int(position)) in photos:
            reason = "repeated"
        if reason is None:
            photos[int(product_id), int(position)] = str(image_url).strip()
            places.append(place)
        else:
            texts = ["" if value is None else str(value) for value in (product_id, position, image_url)]
            rejects.append((*texts, reason))
    kept = [(product_id, position, url) for (product_id, position), url in photos.items()]
    return tables.frame(tables.LISTINGS, kept).set_index(pd.Index(places)), tables.frame(
        tables.LISTING_REJECTS, rejects
    )


def choose_photos(listings: pd.DataFrame, photos_per_listing: int, limit: int | None) -> pd.Series:
    """Return "" for each photo that params choose, beyond_position or beyond_limit for the others.

    Chosen are the first photos of every listing, or of the `limit` listings with the lowest ranks.
    """
    early = listings["position"] < photos_per_listing
    ranked = sorted(listings.loc[early, "product_id"].unique().tolist(), key=stable_hash.rank)
    sampled = listings["product_id"].isin(ranked[:limit])
    return pd.Series(np.select([~early, ~sampled], ["beyond_position", "beyond_limit"], ""), listings.index)


def describe_photos(chosen: pd.DataFrame, names: Sequence[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Return the further columns of the photos as text: product_id, position, and a column for each name.

    Args:
        chosen: the photos; the index is the place of each in `rows`.
        names: the names of the further columns. Without any, no photo has a row.
        rows: the values of these columns, for all rows of the query.
    """
    texts = [[attributes.as_text(value) for value in rows[place]] for place in chosen.index] if names else []
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
        listings_sql: the query: product_id, position, image_url of every photo, and any further columns.
        listings_csv: every photo of every listing.
        listings_rejects_csv: rows that name no photo, with a reason.
        attributes_csv: the further columns of the query, for every photo.
        listing_groups_csv: the value of source.group_by of every listing.
    """
    source = params.load().source
    further: list[str] = []

    def require(found: list[str]) -> None:
        if found[: len(COLUMNS)] != COLUMNS:
            raise DataError(f"{listings_sql} returns columns {', '.join(found)}; expected {', '.join(COLUMNS)}")
        further.extend(found[len(COLUMNS) :])
        attributes.require_names(listings_sql, further)
        attributes.require_wanted(listings_sql, further, source.columns, source.group_by)

    with database.snapshot() as connection:
        rows = database.fetch_any_rows(connection, listings_sql, require, source.as_of)
    if not rows:
        raise DataError(f"{listings_sql} returned no rows: check the query and source.as_of")
    listings, faulty = clean_rows(row[: len(COLUMNS)] for row in rows)
    reasons = choose_photos(listings, source.photos_per_listing, source.limit)
    chosen = listings[reasons == ""]
    rejects = pd.concat([faulty, listings.assign(reason=reasons)[reasons != ""].astype(str)])
    assert len(rows) == len(chosen) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    described = describe_photos(chosen, further, [row[len(COLUMNS) :] for row in rows])
    tables.write(listings_csv, tables.LISTINGS, chosen)
    tables.write(listings_rejects_csv, tables.LISTING_REJECTS, rejects)
    tables.write(attributes_csv, attributes.table(further), described)
    tables.write(listing_groups_csv, tables.LISTING_GROUPS, group_listings(described, source.group_by))
    print(
        f"listings: {len(rows)} rows, {len(chosen)} photos of {chosen['product_id'].nunique()} listings, "
        f"{len(rejects)} rejected ({tables.tally(rejects['reason'])})"
    )


if __name__ == "__main__":
    stage.run("listings", main)
