"""The database -> data/listings.csv: which photos exist, and what the source says of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from imageset.curation import listing_rows
from imageset.curation.listing_rows import REMEDIES, Judged, Row, judge_rows, name_photos, reject
from imageset.errors import DataError
from imageset.formats import attributes, stable_hash, tables, value_text
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


class Rows(NamedTuple):
    """All rows of a query, so many. judged: what they say of photos. further: the further columns, as text."""

    total: int
    judged: Judged
    further: pd.DataFrame


def read_rows(result: Iterable[Row], columns: Columns) -> Rows | None:
    """Return the rows of a query, None without any. They are Python's objects a part at a time: these are large."""
    judged, further, total, rows = list[Judged](), list[pd.DataFrame](), 0, iter(result)
    while part := list(islice(rows, tables.ROWS_AT_ONCE)):
        judged.append(judge_rows([columns.pick(row) for row in part], total))
        values = [[value_text.one_line(row[place]) for place in columns.further] for row in part]
        further.append(pd.DataFrame(values, range(total, total + len(part)), columns.names, dtype="str"))
        total += len(part)
    if not judged:
        return None
    texts = pd.concat(further)
    further.clear()
    for name in columns.names:
        texts[name] = tables.join_pieces(texts[name])
    return Rows(total, Judged(*map(pd.concat, zip(*judged, strict=True))), texts)


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
    reasons = pd.Series("", listings.index, object)
    early = listings["rank"] < photos_per_listing
    if limit is not None:
        ranked = sorted(listings.loc[early, "product_id"].unique().tolist(), key=stable_hash.rank)
        reasons[~listings["product_id"].isin(ranked[:limit])] = "beyond_limit"
    reasons[~early] = "beyond_position"
    return reasons


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


def describe_photos(photos: pd.DataFrame, further: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of attributes.csv: product_id, position, and the further columns. Without any, there is no row.

    Args:
        photos: the chosen ones; the index is the place of each in `further`.
        further: the further columns of all rows of the query, as text.
    """
    if further.columns.empty:
        return
    ordered = photos[list(tables.PHOTO)].iloc[tables.sort(photos[list(tables.PHOTO_KEY)])]
    for start in range(0, len(ordered), tables.ROWS_AT_ONCE):  # the texts are large
        part = ordered.iloc[start : start + tables.ROWS_AT_ONCE]
        columns = [*(part[name] for name in part), *(further[name].iloc[part.index] for name in further)]
        yield from zip(*(column.tolist() for column in columns), strict=True)


def group_listings(photos: pd.DataFrame, further: pd.DataFrame, group_by: str | None) -> pd.DataFrame:
    """Return the value of the column `group_by` of each listing, once each; empty values group nothing.

    The arguments are those of describe_photos.
    """
    if group_by is None:
        return tables.frame(tables.LISTING_GROUPS, [])
    values = further[group_by].iloc[photos.index].set_axis(photos.index)
    found = pd.DataFrame({"product_id": photos["product_id"], "value": values})
    return found[found["value"] != ""].drop_duplicates()


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
        rows = database.fetch_into(
            lambda result: read_rows(result, found[-1]),
            connection,
            listings_sql,
            lambda names: found.append(find_columns(listings_sql, names, source)),
            source.as_of,
        )
    if rows is None:
        raise DataError(f"{listings_sql} returned no rows: check the query and source.as_of")
    tables.give_back_memory()
    total, further = rows.total, rows.further
    photos, faulty = name_photos(rows.judged, further)
    del rows  # it takes as much memory as the photos
    tables.give_back_memory()
    reasons = choose_photos(photos, source.photos_per_listing, source.limit)
    is_chosen = reasons == ""
    rejects = pd.concat([faulty, reject(tables.pick(photos, ~is_chosen), reasons[~is_chosen])])
    tables.give_back_memory()
    chosen = tables.pick(photos, is_chosen)
    del photos
    tables.give_back_memory()
    assert total == len(chosen) + len(rejects)
    assert set(rejects["reason"]) <= REASONS
    attributes.require_short(listings_sql, chosen, further[source.columns])
    tables.write(listings_csv, tables.LISTINGS, chosen)
    tables.write(listings_rejects_csv, tables.LISTING_REJECTS, rejects)
    tables.write(listing_groups_csv, tables.LISTING_GROUPS, group_listings(chosen, further, source.group_by))
    with tables.writing(attributes_csv, attributes.table(further.columns)) as add:
        for row in describe_photos(chosen, further):
            add(row)
    print(
        f"listings: {total} rows, {len(chosen)} photos of {chosen['product_id'].nunique()} listings, "
        f"{len(rejects)} rejected ({tables.tally(rejects['reason'])})"
    )
    if chosen.empty:
        refuse_all(listings_sql, rejects, listings_rejects_csv)


if __name__ == "__main__":
    stage.run("listings", main)
