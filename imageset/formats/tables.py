"""The tables between stages: canonical CSV, the same bytes for the same rows.

The columns and the key of every table are here, for the stage that writes it and those that read it. Rows are sorted by
key, lines end in "\\n", text is UTF-8, missing values are empty. In memory an id is a 64-bit integer. A file has the
source's id (imageset/formats/source_ids.py).
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import source_ids
from imageset.runtime import files

# pandas keeps texts in pyarrow's memory. Its own allocator takes half as much again for many small parts.
pyarrow.set_memory_pool(pyarrow.system_memory_pool())

# So many rows at a time are Python objects. Typed columns take less memory.
ROWS_AT_ONCE = 10_000
OUT_OF_ORDER = "rows are repeated or out of order"
SPECIAL = re.compile(r'[",\r\n]')
DTYPES = {"int64": "int64", "Int64": "Int64", "id": "int64", "Id": "Int64"}


@dataclass(frozen=True)
class Table:
    """Columns in file order with their types, and the key: the columns to sort by.

    Types: int64, Int64 (may be missing), id, Id (may be missing), string, and ids: some ids in one
    cell, in memory their numbers with blanks between them. Ids sort by number.
    """

    columns: dict[str, str]
    key: tuple[str, ...]
    unique: bool = True


PHOTO = {"product_id": "id", "position": "int64"}
PHOTO_KEY = ("product_id", "position")

# Exactly one of image_url and key is set: key names an object below the prefix of IMAGE_STORE.
LISTINGS = Table({**PHOTO, "image_url": "string", "key": "string"}, PHOTO_KEY)
LISTING_REJECTS = Table(
    {"product_id": "string", "position": "string", "image_url": "string", "key": "string", "reason": "string"},
    ("product_id", "position", "image_url", "key", "reason"),
    unique=False,
)
LISTING_GROUPS = Table({"product_id": "id", "value": "string"}, ("product_id", "value"))
LABELS = Table(
    {"product_id": "Id", "catalog_id": "Id", "date": "string"}, ("product_id", "date", "catalog_id"), unique=False
)
CLASSES = Table({"catalog_id": "id", "name": "string", "parent_id": "Id"}, ("catalog_id",))
INGEST = Table({"key": "string", **PHOTO, "status": "string", "reason": "string"}, PHOTO_KEY)
INVENTORY = Table({"key": "string", **PHOTO, "etag": "string", "bytes": "int64", "version_id": "string"}, PHOTO_KEY)
MASKS = Table(
    {
        **PHOTO,
        "foreground_share": "string",
        "border_share": "string",
        "pieces": "Int64",
        "uncertainty": "string",
        "engine": "string",
        "reason": "string",
    },
    PHOTO_KEY,
)
PROCESSED = Table(
    {**PHOTO, "row": "int64", "sha256": "string", "phash": "string", "phash_mirrored": "string"}, PHOTO_KEY
)
REJECTS = Table({**PHOTO, "reason": "string"}, PHOTO_KEY)
PHOTOS = Table(
    {
        **PHOTO,
        "width": "int64",
        "height": "int64",
        "format": "string",
        "sharpness": "string",
        "brightness": "string",
        "contrast": "string",
        "aspect_ratio": "string",
        "profile": "string",
    },
    PHOTO_KEY,
)
GROUPS = Table({**PHOTO, "row": "int64", "group": "id", "picture": "int64", "reason": "string"}, PHOTO_KEY)
CATALOG = Table({**PHOTO, "row": "int64", "catalog_id": "id", "label": "int64", "group": "id"}, PHOTO_KEY)
CATALOG_REJECTS = Table({**PHOTO, "reason": "string", "catalog_id": "Id"}, PHOTO_KEY)
NEAR_DUPLICATES = Table(
    {**PHOTO, "other_product_id": "id", "other_position": "int64", "likeness": "string"},
    (*PHOTO_KEY, "other_product_id", "other_position"),
)
LABEL_CHANGES = Table({**PHOTO, "change": "string", "told": "ids", "catalog_id": "Id"}, (*PHOTO_KEY, "change"))
SPENT_CORRECTIONS = Table(
    {"file": "string", "line": "int64", "product_id": "id", "position": "Int64", "why": "string"}, ("file", "line")
)
LABEL_MAP = Table({"label": "int64", "catalog_id": "id", "name": "string"}, ("label",))
SPLIT = Table({**PHOTO, "subset": "string"}, PHOTO_KEY)
PREDICTIONS = Table({**PHOTO, "label": "int64", "answer": "int64", "probability": "string"}, PHOTO_KEY)
SUSPECTS = Table(
    {
        "kind": "string",
        "rank": "int64",
        "product_id": "Id",
        "position": "Int64",
        "catalog_id": "Id",
        "score": "string",
        "why": "string",
        "suggestion": "Id",
    },
    ("kind", "rank"),
)
MAP = Table({**PHOTO, "x": "string", "y": "string"}, PHOTO_KEY)
DOUBTS = Table({**PHOTO, "probability": "string", "other_class": "Id", "mask_score": "string"}, PHOTO_KEY)


def frame(table: Table, rows: Any) -> pd.DataFrame:
    """Return rows (dicts, tuples or a DataFrame) as the table's columns and types."""
    # As objects: pandas would make floats of integers among which one is missing, and round those beyond 2**53.
    return typed(table, pd.DataFrame(rows, columns=list(table.columns), dtype=object))


def join_pieces(column: pd.Series) -> pd.Series:
    """Return a column of text in one piece of memory. `read` leaves many, which each take of rows would join."""
    pieces = pyarrow.array(column, pyarrow.large_string())
    if isinstance(pieces, pyarrow.ChunkedArray):
        pieces = pieces.combine_chunks()
    return pd.Series(pieces, column.index, "str")


def pick(rows: pd.DataFrame, is_picked: pd.Series) -> pd.DataFrame:
    """Return rows, as rows[is_picked] does: that would copy all texts once more, where they are in several pieces."""
    return pd.DataFrame({name: rows[name][is_picked] for name in rows})


def give_back_memory() -> None:
    """Give the system what no table takes any more. Small parts of columns leave much of it between others."""
    pyarrow.default_memory_pool().release_unused()


def write(path: Path, table: Table, rows: pd.DataFrame) -> None:
    """Write rows in canonical form, atomically. Raises DataError on a repeated key or a value of another type."""
    content, key = typed(table, rows[list(table.columns)]), list(table.key)
    give_back_memory()
    for name in [name for name, kind in table.columns.items() if kind == "string"]:
        content[name] = join_pieces(content[name])
    order = sort(content[key])
    if table.unique and len(repeated := content[content.duplicated(key)]):
        raise DataError(f"{path}: {describe_key(table, repeated)} is there more than once")
    with files.atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(format_header(table.columns))
        for start in range(0, len(content), ROWS_AT_ONCE):
            file.write(format_rows(with_texts(table, content.iloc[order[start : start + ROWS_AT_ONCE]])))


def sort(keys: pd.DataFrame) -> NDArray[np.uint64]:
    """Return the places of rows in the order of their columns, missing values first; texts by their code points.

    pyarrow takes a quarter of pandas' time and half its memory for that.
    """
    columns = pyarrow.Table.from_pandas(keys, preserve_index=False)
    order = [(name, "ascending", "at_start") for name in columns.column_names]
    places: NDArray[np.uint64] = pyarrow.compute.sort_indices(columns, sort_keys=order).to_numpy()
    return places


@contextmanager
def writing(path: Path, table: Table) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """Yield a function that adds one row at a time, in the order of the key. All are written atomically.

    For tables with a unique key without missing values. ROWS_AT_ONCE rows are held in memory. Raises DataError as
    `write` does, and for rows out of order.
    """
    waiting: list[tuple[Any, ...]] = []
    places = [list(table.columns).index(name) for name in table.key]
    last: tuple[Any, ...] | None = None

    def add(row: tuple[Any, ...]) -> None:
        nonlocal last
        key = tuple(row[place] for place in places)
        if last is not None and key <= last:
            raise DataError(f"{path}: {say_key(table, key)} comes after {say_key(table, last)}: {OUT_OF_ORDER}")
        last = key
        waiting.append(row)
        if len(waiting) == ROWS_AT_ONCE:
            flush()

    def flush() -> None:
        file.write(format_rows(with_texts(table, frame(table, waiting))))
        waiting.clear()

    with files.atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(format_header(table.columns))
        yield add
        flush()


def format_header(names: Iterable[str]) -> str:
    """Return the first line of a table."""
    return ",".join(map(quote, names)) + "\n"


def format_rows(rows: pd.DataFrame) -> str:
    """Return rows as lines of CSV.

    The csv module of Python before 3.11.9 leaves a carriage return without quotes, which other readers take for the end
    of a row. Later ones write what this function does.
    """
    columns = [format_cells(rows[name]) for name in rows]
    return "".join([",".join(cells) + "\n" for cells in zip(*columns, strict=True)])


def format_cells(column: pd.Series) -> list[str]:
    """Return a column's values as cells; missing ones are empty."""
    if column.dtype == "int64":
        return list(map(str, column.tolist()))
    return ["" if value is pd.NA else quote(str(value)) for value in column.tolist()]


def quote(text: str) -> str:
    """Return a text as a cell of CSV, in quotes where it has a comma, a quote or a line end.

    >>> quote("7"), quote("red\\rblue"), quote('15" sleeve')
    ('7', '"red\\rblue"', '"15"" sleeve"')
    """
    return '"' + text.replace('"', '""') + '"' if SPECIAL.search(text) else text


def read(
    path: Path, table: Table, columns: Collection[str] | None = None, photos: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return a table that `write` wrote.

    Args:
        path: the file.
        table: what it should be.
        columns: those that are kept, in the table's order; None for all. A unique key is kept besides.
        photos: product_id and position of those photos that keep their rows, each once; None for all rows.

    Raises:
        DataError: the file's columns are not the table's, or values of those that are kept.
    """
    found = parts(path, table, columns)
    if photos is not None:
        wanted = pd.MultiIndex.from_frame(photos[list(PHOTO)])
        found = (part[wanted.get_indexer(pd.MultiIndex.from_frame(part[list(PHOTO)])) >= 0] for part in found)
    content = pd.concat(found, ignore_index=True)
    give_back_memory()  # what was between the parts: as much as the table
    if table.unique and len(repeated := content[content.duplicated(list(table.key))]):
        raise DataError(f"{path}: {describe_key(table, repeated)} is there more than once")
    return content


def scan(path: Path, table: Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that `write` wrote, one at a time; ROWS_AT_ONCE of them are held in memory.

    For tables whose key has no missing values. Raises DataError as `read` does, and for rows out of order, when it
    comes to them.
    """
    places = [list(table.columns).index(name) for name in table.key]
    last: tuple[Any, ...] | None = None
    for part in parts(path, table):
        for row in part.itertuples(index=False, name=None):
            key = tuple(row[place] for place in places)
            if last is not None and (key < last or (table.unique and key == last)):
                raise DataError(f"{path}: {say_key(table, key)} comes after {say_key(table, last)}: {OUT_OF_ORDER}")
            last = key
            yield row


def count(path: Path) -> int:
    """Return how many rows a table has whose texts hold no line ends, without reading it into memory."""
    lines, block = 0, b"\n"
    with path.open("rb") as file:
        while following := file.read(1 << 20):
            block = following
            lines += block.count(b"\n")
    return lines - block.endswith(b"\n")


def parts(path: Path, table: Table, columns: Collection[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield a table ROWS_AT_ONCE rows at a time. The arguments are those of `read`."""
    kept = table if columns is None else keep(table, columns)
    try:
        with pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8", lineterminator="\n", chunksize=ROWS_AT_ONCE
        ) as chunks:
            for chunk in chunks:
                is_wide = not isinstance(chunk.index, pd.RangeIndex)  # some row has more values than there are columns
                rows = without_carriage_returns(chunk)
                if is_wide or list(rows.columns) != list(table.columns):
                    raise DataError(
                        f"{path} has columns {', '.join(rows.columns)}; expected {', '.join(table.columns)}"
                    )
                try:
                    yield typed(kept, rows)
                except DataError as error:
                    raise DataError(f"{path}: {error}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a table: {' '.join(str(error).split())}") from None


def keep(table: Table, columns: Collection[str]) -> Table:
    """Return a table with some of its columns, and those of a unique key."""
    kept = {*columns, *(table.key if table.unique else ())}
    return replace(table, columns={name: kind for name, kind in table.columns.items() if name in kept})


def without_carriage_returns(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as if their lines ended in "\\n" where the lines of the file end in "\\r\\n".

    `write` never ends lines so, but git and editors do, in releases/. The header decides: a text at the end of a
    canonical line may itself end in "\\r". Line ends inside quotes stay.
    """
    *others, last = rows.columns
    if not last.endswith("\r"):
        return rows
    is_empty = (rows.iloc[:, 0] == "\r") & (rows.iloc[:, 1:] == "").all(axis="columns")
    rows = rows[~is_empty].set_axis([*others, last.removesuffix("\r")], axis="columns")
    return rows.assign(**{rows.columns[-1]: rows.iloc[:, -1].str.removesuffix("\r")})


def typed(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the table's types; text of digits becomes integers, "" a missing one."""
    columns = {}
    for name, kind in table.columns.items():
        values = rows[name]
        try:
            if kind == "string":
                columns[name] = values.astype("str").fillna("")  # in pyarrow's memory
            elif kind == "ids":
                columns[name] = pd.Series(
                    [" ".join(map(str, split_ids(value))) for value in values], rows.index, object
                )
            elif values.dtype == DTYPES[kind]:  # checked before; Python's integers, one a cell, would be slow and large
                columns[name] = values
            elif values.dtype == "Int64" and kind in ("int64", "id") and not values.hasnans:  # checked before, too
                columns[name] = values.astype("int64")
            elif kind == "id":
                columns[name] = pd.array(source_ids.numbers(values), dtype="int64")
            elif kind == "Id":
                columns[name] = numbers_or_missing(values)
            elif kind == "int64":
                columns[name] = pd.array([whole_number(value) for value in values], dtype="int64")
            else:
                columns[name] = pd.array(
                    [None if missing(value) else whole_number(value) for value in values], dtype="Int64"
                )
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"column {name}: {error}") from None
    return pd.DataFrame(columns, index=rows.index).reset_index(drop=True)


def numbers_or_missing(values: pd.Series) -> Any:
    """Return the numbers of a column of ids of which some are missing, as Int64."""
    raw = values.tolist()
    found = iter(source_ids.numbers(value for value in raw if not missing(value)))
    return pd.array([None if missing(value) else next(found) for value in raw], dtype="Int64")


def with_texts(table: Table, content: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the source's ids as text, in columns where an id has another text than its digits."""
    columns = {}
    for name, kind in table.columns.items():
        if kind in ("id", "Id") and source_ids.has_text(content[name]):
            columns[name] = source_ids.texts(content[name])
        elif kind == "ids":
            columns[name] = content[name].map(lambda value: join_ids(split_ids(value)))
    return content.assign(**columns)


def split_ids(value: Any) -> list[int]:
    """Return the numbers of several ids of the source in one cell, with blanks between them; of a missing one none.

    >>> split_ids("12 7"), len(split_ids('dresses "Kleider / Röcke"'))
    ([12, 7], 2)
    """
    return [] if missing(value) else source_ids.numbers(next(csv.reader([value], delimiter=" ")))


def join_ids(its_numbers: Iterable[int]) -> str:
    """Return the source's ids that have these numbers, with blanks between them, as `split_ids` reads them."""
    text = io.StringIO()
    csv.writer(text, delimiter=" ", lineterminator="").writerow(map(source_ids.text, its_numbers))
    return text.getvalue()


def whole_number(value: Any) -> int:
    """Return an integer, or the one that text spells. Raises ValueError for 1.5, "007" and what int64 cannot hold."""
    number = int(value)
    if (str(number) if isinstance(value, str) else number) != value or not -(2**63) <= number < 2**63:
        raise ValueError(f"{value!r} is not a 64-bit integer")
    return number


def tally(reasons: Iterable[str]) -> str:
    """Return how often each reason occurs, the commonest first.

    >>> tally(["gone", "empty", "gone"]), tally([])
    ('2 gone, 1 empty', 'none')
    """
    return ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common()) or "none"


def missing(value: Any) -> bool:
    return value is None or value is pd.NA or value == "" or value != value


def describe_key(table: Table, rows: pd.DataFrame) -> str:
    return say_key(table, tuple(rows.iloc[0][name] for name in table.key))


def say_key(table: Table, key: tuple[Any, ...]) -> str:
    """Return a row's key as messages show it, with the source's ids."""
    return ", ".join(
        f"{name} {source_ids.text(value) if table.columns[name] in ('id', 'Id') and value is not pd.NA else value}"
        for name, value in zip(table.key, key, strict=True)
    )
