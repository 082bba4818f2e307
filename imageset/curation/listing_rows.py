"""Rows of queries/listings.sql: which of them name a photo, and why the others do not."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from imageset.formats import blanks, source_ids, tables
from imageset.storage import object_keys
from imageset.storage.object_keys import POSITION_MAX

REASONS = frozenset(("no_id", "bad_id", "bad_position", "no_url", "bad_url", "bad_key", "url_and_key", "repeated"))

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
BYTES = (bytes, bytearray, memoryview)  # what drivers make of bytea and blob

Row = tuple[Any, ...]  # product_id, position, image_url, key


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


class Judged(NamedTuple):
    """Rows of the query, judged one by one.

    named: the rows with an id and a position: product_id and position as numbers, image_url and key without blanks
    around them, the reason ("" for none), and whether the id is an integer, no text. The index is a row's place in the
    query.
    rejects: the rows with a reason as the query returned them, columns of tables.LISTING_REJECTS.
    """

    named: pd.DataFrame
    rejects: pd.DataFrame


def judge_rows(rows: Sequence[Row], first: int = 0) -> Judged:
    """Return some rows of the query, each with the reason why it names no photo.

    Args:
        rows: product_id, position, image_url and key of each row.
        first: the place of the first of them in the query.

    Raises:
        DataError: two ids of the source have the same number.
    """
    reasons = [reject_reason(*row) or "" for row in rows]
    rejects = [(*map(as_text, row), reason) for row, reason in zip(rows, reasons, strict=True) if reason]
    places = [place for place, reason in enumerate(reasons) if reason not in ("no_id", "bad_id", "bad_position")]
    ids = [rows[place][0] for place in places]
    product_ids = source_ids.numbers(ids)
    columns = {
        "product_id": pd.array(product_ids, dtype="int64"),
        "position": pd.array([read_position(rows[place][1]) for place in places], dtype="int64"),
        "image_url": pd.array([read_text(rows[place][2]) for place in places], dtype="str"),
        "key": pd.array([read_text(rows[place][3]) for place in places], dtype="str"),
        "reason": pd.array([reasons[place] for place in places], dtype="str"),
        "is_integer": pd.array(source_ids.are_whole_numbers(ids, product_ids), dtype="bool"),
    }
    index = pd.Index([first + place for place in places], dtype="int64")
    return Judged(pd.DataFrame(columns, index), tables.frame(tables.LISTING_REJECTS, rejects))


def name_photos(judged: Judged, further: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that name a photo, and the other rows with a reason. Every row is in one of the two.

    When rows name the same photo, the first one by URL, key and further columns is kept. The others have the reason
    `repeated`. The rows that name a photo have a column rank: the photo's place in its listing by position, from 0. A
    photo without a usable URL has one, too. So the photos that are chosen do not change when its URL is repaired.

    Args:
        judged: all rows of the query.
        further: the further columns of all rows, as text.

    Raises:
        DataError: two ids of the source have the same number.
    """
    named = judged.named
    source_ids.require_apart(named.loc[named["is_integer"], "product_id"])  # rows that were judged later may be texts
    ranks = named.groupby("product_id")["position"].rank(method="dense").astype("int64") - 1
    is_photo = named["reason"] == ""
    tables.give_back_memory()
    columns = named[["product_id", "position", "image_url", "key"]].assign(rank=ranks)
    photos = tables.pick(columns, is_photo)
    several = photos[photos.duplicated(tables.PHOTO_KEY, keep=False)]
    texts = pd.concat([several[["image_url", "key"]], further.loc[several.index]], axis=1)
    several = several.loc[texts.sort_values(list(texts), kind="stable").index]
    repeated = several[several.duplicated(tables.PHOTO_KEY)]
    rejects = pd.concat([judged.rejects, reject(repeated, "repeated")], ignore_index=True)
    return photos.drop(repeated.index) if len(repeated) else photos, rejects


def reject(photos: pd.DataFrame, reasons: str | pd.Series) -> pd.DataFrame:
    """Return photos as rows of listings_rejects.csv, with the reason of all, or of each."""
    texts = {"product_id": source_ids.texts(photos["product_id"]), "position": photos["position"].astype("str")}
    return photos.assign(**texts, reason=reasons)[list(tables.LISTING_REJECTS.columns)].astype("str")


def clean_rows(rows: Iterable[Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what name_photos does, of rows that are in memory."""
    judged = judge_rows(list(rows))
    return name_photos(judged, pd.DataFrame(index=judged.named.index))


def as_text(value: Any) -> str:
    """Return a value as listings_rejects.csv has it. Of a memoryview, str would return its address in memory."""
    if value is None:
        return ""
    return str(bytes(value)) if isinstance(value, BYTES) else str(value)
