"""The database and the three queries, judged by the stages' own functions."""

import datetime
import decimal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from imageset.curation import listing_rows
from imageset.runtime import settings
from imageset.storage import database, engines
from stages import listings
from tools.check.findings import Findings
from tools.check.line import Line, ok, untried, wrong
from tools.check.reading import SECONDS, Sample, read

LISTINGS = Path("queries/listings.sql")
# Where more rows than this share have the same fault, the query has it, not some listings. An arbitrary line.
MAX_SHARE = 0.2
TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "float",
    decimal.Decimal: "numeric",
    str: "text",
    uuid.UUID: "uuid",
    datetime.datetime: "timestamp",
    datetime.date: "date",
    bytes: "bytes",
    memoryview: "bytes",
    list: "array",
    dict: "json",
    type(None): "null",
}


def check_database(found: Findings) -> Iterator[Line]:
    """Connect."""
    url = engines.parse_url(settings.database_url())
    with database.snapshot(attempts=1):
        found.dialect = url.get_backend_name()
    yield ok(f"database: {engines.describe(url)} answers")


def check_listings(found: Findings) -> Iterator[Line]:
    """Read listings.sql, and say which rows name no photo."""
    if found.dialect is None or found.params is None:
        yield untried(str(LISTINGS), "it needs the database and params.yaml, see above")
        return
    source = found.params.source
    sample = read(LISTINGS, lambda names: listings.find_columns(LISTINGS, names, source), source.as_of)
    if sample is None or not sample.rows:
        yield describe_nothing(LISTINGS, sample, source.as_of)
        return
    yield ok(f"{LISTINGS}: {sample.scope()}: {describe_columns(sample)}")
    columns = listings.find_columns(LISTINGS, sample.columns, source)
    photos, rejects = listing_rows.clean_rows(map(columns.pick, sample.rows))
    reasons = listings.choose_photos(photos, source.photos_per_listing, source.limit)
    found.listings, found.photos, found.chosen = sample, photos, photos[reasons == ""]
    yield from describe_rejects(sample, rejects)
    if found.chosen.empty:
        yield wrong(f"{LISTINGS}: none of {sample.scope()} names a photo: correct what the lines above say")


def describe_columns(sample: Sample) -> str:
    """Return the columns of a query, each with the types of its values."""
    described = []
    for place, column in enumerate(sample.columns):
        kinds = {TYPES.get(type(row[place]), type(row[place]).__name__) for row in sample.rows}
        described.append(f"{column} {' or '.join(sorted(kinds, key=lambda kind: (kind == 'null', kind)))}")
    return ", ".join(described)


def describe_nothing(query: Path, sample: Sample | None, as_of: str | None) -> Line:
    """Return the line of a query that gave no row."""
    if sample is None:
        return untried(f"rows of {query}", f"the database gave none in {SECONDS:.0f} s; the stage waits for them")
    if as_of is not None:
        return wrong(f"{query} returns no rows up to source.as_of, {as_of}: set a later moment, or correct the query")
    return wrong(f"{query} returns no rows: correct it; where it compares with :as_of, let null pass as well")


def describe_rejects(sample: Sample, rejects: pd.DataFrame) -> Iterator[Line]:
    """Yield a line for each reason why rows name no photo, with the first three of these rows."""
    for reason, rows in rejects.groupby("reason"):
        text = f"{LISTINGS}: {len(rows):,} of {sample.scope()} have {reason}: {listings.describe_rejects(rows)}"
        if len(rows) > MAX_SHARE * len(sample.rows):
            yield wrong(f"{text}: {listing_rows.REMEDIES[str(reason)]}")
        else:
            yield ok(f"{text}; they will be in data/listings_rejects.csv")


def check_positions(found: Findings) -> Iterator[Line]:
    """Say which positions there are, and how many photos of a listing are used."""
    if found.photos is None or found.chosen is None or found.params is None or found.photos.empty:
        yield untried("positions", "no photo of the listings is known, see above")
        return
    photos = found.photos
    least, most = photos["position"].min(), photos["position"].max()
    most_photos = photos.groupby("product_id").size().max()
    yield ok(
        f"positions: {least} to {most}, up to {most_photos} photos of a listing; source.photos_per_listing = "
        f"{found.params.source.photos_per_listing} uses {len(found.chosen):,} of {len(photos):,} photos"
    )
