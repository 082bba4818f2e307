"""PostgreSQL -> data/listings.csv: which photos exist."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import stable_hash, tables
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

    When rows name the same photo, the first one by URL is kept. The others have the reason `repeated`.
    """
    photos, rejects = {}, []
    for product_id, position, image_url in sorted(rows, key=lambda row: str(row[2])):
        reason = reject_reason(product_id, position, image_url)
        if reason is None and (int(product_id), int(position)) in photos:
            reason = "repeated"
        if reason is None:
            photos[int(product_id), int(position)] = str(image_url).strip()
        else:
            texts = ["" if value is None else str(value) for value in (product_id, position, image_url)]
            rejects.append((*texts, reason))
    rows = [(product_id, position, url) for (product_id, position), url in photos.items()]
    return tables.frame(tables.LISTINGS, rows), tables.frame(tables.LISTING_REJECTS, rejects)


def choose_photos(listings: pd.DataFrame, photos_per_listing: int, limit: int | None) -> pd.Series:
    """Return "" for each photo that params choose, beyond_position or beyond_limit for the others.

    Chosen are the first photos of every listing, or of the `limit` listings with the lowest ranks.
    """
    early = listings["position"] < photos_per_listing
    ranked = sorted(listings.loc[early, "product_id"].unique().tolist(), key=stable_hash.rank)
    sampled = listings["product_id"].isin(ranked[:limit])
    return pd.Series(np.select([~early, ~sampled], ["beyond_position", "beyond_limit"], ""), listings.index)


def main(listings_sql: Path, listings_csv: Path, listings_rejects_csv: Path) -> None:
    """Read from the database which photos exist, as of source.as_of.

    Args:
        listings_sql: the query: product_id, position, image_url of every photo.
        listings_csv: every photo of every listing.
        listings_rejects_csv: rows that name no photo, with a reason.
    """
    source = params.load().source
    with database.snapshot() as connection:
        rows = database.fetch_rows(connection, listings_sql, COLUMNS, source.as_of)
    if not rows:
        raise DataError(f"{listings_sql} returned no rows: check the query and source.as_of")
    listings, faulty = clean_rows(rows)
    reasons = choose_photos(listings, source.photos_per_listing, source.limit)
    chosen = listings[reasons == ""]
    rejects = pd.concat([faulty, listings.assign(reason=reasons)[reasons != ""].astype(str)])
    assert len(rows) == len(chosen) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    tables.write(listings_csv, tables.LISTINGS, chosen)
    tables.write(listings_rejects_csv, tables.LISTING_REJECTS, rejects)
    print(
        f"listings: {len(rows)} rows, {len(chosen)} photos of {chosen['product_id'].nunique()} listings, "
        f"{len(rejects)} rejected ({tables.tally(rejects['reason'])})"
    )


if __name__ == "__main__":
    stage.run("listings", main)
