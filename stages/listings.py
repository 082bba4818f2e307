"""The database -> data/listings.csv: which photos exist, and what the source says of them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imageset.errors import DataError
from imageset.formats import attributes, blanks, source_ids, stable_hash, tables
from imageset.runtime import params, stage
from imageset.runtime.sections import SourceParams
from imageset.storage import database, object_keys
from imageset.storage.object_keys import POSITION_MAX
from imageset.web import urls

COLUMNS = ["product_id", "position", "image_url", "key"]  # the query may lack one of the last two
REASONS = frozenset(
    (
        *("no_id", "bad_id", "bad_position", "no_url", "bad_url", "bad_key", "url_and_key"),
        *("repeated", "beyond_position", "beyond_limit"),
    )
)

# In a fixed order: else each run would number the photos anew, and a key in the bucket would be another photo's.
NUMBERED = "such as ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY uploaded_at, image)"
# What to do where many rows have a reason.
REMEDIES = {
    "no_id": "return an id in every row, or leave these rows out",
    "bad_id": "return whole numbers, text or UUIDs, and cast other types to text",
    "bad_position": f"return whole numbers from 0 to 32767, {NUMBERED}",
    "no_url": "leave out rows without a photo, such as by WHERE image IS NOT NULL",
    "bad_url": "return one URL in each row, such as https://shop.example/1.jpg",
    "bad_key": "return the name of an object below the prefix of IMAGE_STORE, without parts that are . or ..",
    "url_and_key": "return null for image_url or for key in each row",
    "repeated": f"return each product_id and position once, {NUMBERED}",
}
EXAMPLES = 3
BYTES = (bytes, bytearray, memoryview)  # what drivers make of bytea and blob

Row = tuple[Any, ...]


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


def reject_reason(product_id: Any, position: Any, image_url: Any, key: Any) -> str | None:
    """Return why a row names no photo (no_id, bad_id, bad_position, no_url, ...), or None if it does."""
    return id_reason(product_id) or position_reason(position) or place_reason(image_url, key)


def id_reason(value: Any) -> str | None:
    if source_ids.is_blank(value):
        return "no_id"
    try:
        source_ids.clean(value)
    except ValueError:
        return "bad_id"
    return None


def position_reason(value: Any) -> str | None:
    try:
        read_position(value)
    except ValueError:
        return "bad_position"
    return None


def place_reason(image_url: Any, key: Any) -> str | None:
    url, name = read_text(image_url), read_text(key)
    if not url and not name:
        return "no_url"
    if url and name:
        return "url_and_key"
    if url:
        return "bad_url" if isinstance(image_url, BYTES) or re.search(r"[\x00-\x1f\x7f]", url) else None
    if isinstance(key, BYTES):
        return "bad_key"
    try:
        object_keys.check_key(name)
    except ValueError:
        return "bad_key"
    return None


def read_text(value: Any) -> str:
    """Return a URL or a key without the blanks around it, "" for null."""
    return "" if source_ids.is_blank(value) else blanks.strip(as_text(value))


def read_position(value: Any) -> int:
    """Return a position. Raises ValueError unless it is a whole number from 0 to POSITION_MAX, not spelt 007."""
    position = tables.whole_number(source_ids.clean(value))
    if not 0 <= position <= POSITION_MAX:
        raise ValueError(f"{value!r} is no position")
    return position


def name_photos(rows: Sequence[Row], reasons: Sequence[str | None]) -> pd.DataFrame:
    """Return product_id, position and rank of the rows with an id and a position; the index is a row's place.

    The rank is the photo's place in its listing by position, from 0. A photo without a usable URL has one, too. So the
    photos that are chosen do not change when its URL is repaired.

    Raises:
        DataError: two ids of the source have the same number.
    """
    places = [place for place, reason in enumerate(reasons) if reason not in ("no_id", "bad_id", "bad_position")]
    columns = {
        "product_id": pd.array(source_ids.numbers(rows[place][0] for place in places), dtype="int64"),
        "position": pd.array([read_position(rows[place][1]) for place in places], dtype="int64"),
    }
    named = pd.DataFrame(columns, index=pd.Index(places, dtype="int64"))
    return named.assign(rank=named.groupby("product_id")["position"].rank(method="dense").astype("int64") - 1)


def clean_rows(rows: Iterable[Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that name a photo, and the other rows with a reason. Every row is in one of the two.

    When rows name the same photo, the first one by URL and key is kept. The others have the reason `repeated`. The rows
    that name a photo have a column rank (name_photos). Their index is their place in `rows`.

    Args:
        rows: the values of COLUMNS.

    Raises:
        DataError: two ids of the source have the same number.
    """
    rows = list(rows)
    reasons = [reject_reason(*row) for row in rows]
    named = name_photos(rows, reasons)
    places = {at: (read_text(rows[at][2]), read_text(rows[at][3])) for at, why in enumerate(reasons) if why is None}
    photos = named.loc[sorted(places, key=lambda at: places[at])]
    is_repeated = photos.duplicated(tables.PHOTO_KEY)
    for place in photos.index[is_repeated]:
        reasons[place] = "repeated"
    kept = photos[~is_repeated]
    image_urls, keys = [places[at][0] for at in kept.index], [places[at][1] for at in kept.index]
    listings = kept.assign(image_url=image_urls, key=keys)
    rejects = [(*map(as_text, row), reason) for row, reason in zip(rows, reasons, strict=True) if reason is not None]
    return listings, tables.frame(tables.LISTING_REJECTS, rejects)


def as_text(value: Any) -> str:
    """Return a value as listings_rejects.csv has it. Of a memoryview, str would return its address in memory."""
    if value is None:
        return ""
    return str(bytes(value)) if isinstance(value, BYTES) else str(value)


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
        cells = {**row, "image_url": urls.show(row["image_url"])}
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
    listings, faulty = clean_rows(map(columns.pick, rows))
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
