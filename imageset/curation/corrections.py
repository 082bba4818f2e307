"""What people wrote about photos -> which row counts for each photo; pure.

A row of corrections/labels.csv gives a photo its class, a row of corrections/exclusions.csv leaves it out. A row
without a position is for all photos of its product. A row with a position wins over one without.
"""

import datetime
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.errors import DataError
from imageset.formats import hand_edited, source_ids
from imageset.storage.object_keys import POSITION_MAX

LABEL_COLUMNS = ("product_id", "position", "catalog_id")
EXCLUSION_COLUMNS = ("product_id", "position", "reason")
REMARKS = ("note", "by", "date")  # they decide nothing about a photo
RECOMMENDED = ("off_topic", "several_garments", "bad_mask", "bad_photo", "no_garment", "wrong_product")
# A person who excludes a suspect of a kind nearly always does it for this reason.
DEFAULT_REASONS = {"label": "", "mask": "bad_mask", "outlier": "off_topic", "photo": "bad_photo"}
KNOWN_FROM = "data/labels.csv, data/groups.csv or releases/split.csv"
# The reasons of the stages: as an exclusion's, one of them would say that a stage had left the photo out.
REASONS_OF_STAGES = frozenset(
    [
        "bad_id",
        "bad_key",
        "bad_position",
        "bad_response",
        "bad_url",
        "beyond_limit",
        "beyond_position",
        "bridges_release",
        "bucket_not_allowed",
        "damaged",
        "decoder_crash",
        "decoder_memory",
        "decoder_timeout",
        "duplicate",
        "empty",
        "encoded",
        "extreme_aspect",
        "folder_not_allowed",
        "forbidden",
        "format_avif",
        "format_bmp",
        "format_gif",
        "format_heic",
        "format_ico",
        "format_jp2",
        "format_jpeg",
        "format_jxl",
        "format_mp4",
        "format_pdf",
        "format_png",
        "format_psd",
        "format_svg",
        "format_tiff",
        "format_webm",
        "format_webp",
        "gone",
        "label_conflict",
        "mask_empty",
        "mask_full",
        "missing_object",
        "no_id",
        "no_label",
        "no_url",
        "not_an_image",
        "not_found",
        "private_address",
        "rare_class",
        "refused",
        "repeated",
        "robots_tag",
        "robots_txt",
        "server_error",
        "shared_picture",
        "taken_down",
        "too_blurred",
        "too_dark",
        "too_large",
        "too_light",
        "too_many_pixels",
        "too_many_redirects",
        "too_small",
        "truncated",
        "undecodable",
        "unknown_class",
        "unreachable",
        "url_and_key",
    ]
)


class Decision(NamedTuple):
    """A checked row: for one photo, or for all of a product (position None).

    value: the catalog_id, or the reason. moment: when it was written, ISO 8601 in UTC as in labels.csv, "" where its
    date says no moment.
    """

    file: str
    line: int
    product_id: int
    position: int | None
    value: int | str
    moment: str

    @property
    def place(self) -> str:
        return f"{self.file} line {self.line}"

    @property
    def value_text(self) -> str:
        """The reason, or the class as the source calls it."""
        return self.value if isinstance(self.value, str) else source_ids.text(self.value)


def check_labels(rows: Iterable[hand_edited.Row], classes: pd.DataFrame) -> list[Decision]:
    """Return the rows of corrections/labels.csv as decisions.

    Args:
        rows: with LABEL_COLUMNS and REMARKS.
        classes: the rows of classes.csv.

    Raises:
        DataError: a value is malformed, a class is unknown, or two rows contradict each other. The message has the
            first fault and how many more there are.
    """
    names: dict[int, str] = dict(zip(classes["catalog_id"].tolist(), classes["name"].tolist(), strict=True))
    return check(rows, lambda row: read_class(row, names))


def check_exclusions(rows: Iterable[hand_edited.Row]) -> list[Decision]:
    """Return the rows of corrections/exclusions.csv as decisions. Raises DataError as check_labels does."""
    return check(rows, read_reason)


def check(rows: Iterable[hand_edited.Row], read_value: Callable[[hand_edited.Row], int | str]) -> list[Decision]:
    """Check every row, then whether two contradict each other."""
    faults: list[str] = []
    decisions: list[Decision] = []
    first: dict[tuple[int, int | None], Decision] = {}
    for row in rows:
        try:
            decision = read_decision(row, read_value)
        except DataError as error:
            faults.append(str(error))
            continue
        before = first.setdefault((decision.product_id, decision.position), decision)
        if before.value != decision.value:
            other = f"line {before.line}" if before.file == decision.file else before.place
            faults.append(
                f"{decision.place} contradicts {other}: {decision.value_text} and {before.value_text} for "
                f"{describe(decision)}; remove one of the two"
            )
        decisions.append(decision)
    raise_first(faults)
    return decisions


def raise_first(faults: list[str]) -> None:
    """Raise DataError with the first fault and the number of the others; return where there is none."""
    if faults:
        raise DataError(faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))


def describe(decision: Decision) -> str:
    """Return the photo, or the product, of a decision as a message names it."""
    photo = f"photo {decision.position} of " if decision.position is not None else ""
    return f"{photo}product {source_ids.text(decision.product_id)}"


def read_decision(row: hand_edited.Row, read_value: Callable[[hand_edited.Row], int | str]) -> Decision:
    product_id = hand_edited.source_id(row, "product_id", 1001)
    position = hand_edited.whole_number(row, "position", 0) if row.cells["position"] else None
    if position is not None and not 0 <= position <= POSITION_MAX:
        raise DataError(f"{row.place}: position {position}: expected 0 to {POSITION_MAX}, or nothing for all photos")
    return Decision(str(row.path), row.line, product_id, position, read_value(row), moment_of(row.cells["date"]))


def moment_of(date: str) -> str:
    """Return a date or timestamp of a row as the dates of labels.csv are written, "" where it is neither.

    A date without a time is the day's last moment: what the database says of that day came before.

    >>> moment_of("2026-01-31"), moment_of("31.1.2026")
    ('2026-01-31T23:59:59.999999+00:00', '')
    """
    try:
        moment = datetime.datetime.fromisoformat(date)
        if re.fullmatch(r"[0-9W-]+", date):
            moment = datetime.datetime.combine(moment, datetime.time.max)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        return zoned.astimezone(datetime.UTC).isoformat()
    except (ValueError, OverflowError):
        return ""


def read_class(row: hand_edited.Row, names: Mapping[int, str]) -> int:
    """Return the class of a row. Raises DataError with the nearest class where it is unknown."""
    catalog_id = hand_edited.source_id(row, "catalog_id", source_ids.text(next(iter(names), 1201)))
    if catalog_id in names:
        return catalog_id
    text = source_ids.text(catalog_id)
    named = [known for known, name in names.items() if name.strip().casefold() == text.casefold()]
    if named:
        ids = " or ".join(map(source_ids.text, sorted(named)[:3]))
        raise DataError(f"{row.place}: catalog_id {text!r}: write the catalog_id of that class, {ids}")
    raise DataError(f"{row.place}: no class {quote(text)} in data/classes.csv{hint_at_class(text, names)}")


def hint_at_class(text: str, names: Mapping[int, str]) -> str:
    """Return the class with the nearest id, else that with the nearest name, as the end of a message."""
    ids = {source_ids.text(catalog_id): catalog_id for catalog_id in names}
    found = ids.get(nearest(text, ids) or "")
    if found is None:
        by_name = {name.strip().casefold(): catalog_id for catalog_id, name in names.items()}
        found = next((by_name[name] for name in get_close_matches(text.casefold(), by_name, n=1)), None)
    if found is None:
        return ""
    id_text, name = source_ids.text(found), names[found].strip()
    return f"; did you mean {quote(id_text)}{f', {name!r}' if name != id_text else ''}?"


def quote(text: str) -> str:
    """Return an id as a message shows it: a text in quotes, a number without.

    >>> quote("1205"), quote("Kleider / Röcke")
    ('1205', "'Kleider / Röcke'")
    """
    return text if text.isdecimal() else repr(text)


def read_reason(row: hand_edited.Row) -> str:
    """Return the reason of a row. Raises DataError for one that is no word, or that a stage gives."""
    reason = row.cells["reason"]
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", reason):
        raise DataError(
            f"{row.place}: reason {reason!r}: expected one word of lower-case letters, digits and _, "
            f"such as {RECOMMENDED[0]}"
        )
    if reason in REASONS_OF_STAGES:
        raise DataError(
            f"{row.place}: reason {reason!r} is one that a stage gives: use another word, such as {RECOMMENDED[0]}"
        )
    return reason


def nearest(text: str, known: Iterable[str]) -> str | None:
    """Return the known id that is most like another, None where none is like it. Capitals do not count."""
    wanted = text.casefold()
    half = len(wanted) // 2
    # A slip of one letter leaves one half as it is. To compare with each of a million ids would take many seconds.
    # Spreadsheets take zeros at the start away.
    candidates = {}
    for other in known:
        folded = other.casefold()
        is_near = abs(len(folded) - len(wanted)) <= 1
        if is_near and (folded[:half] == wanted[:half] or folded.endswith(wanted[-half:])):
            candidates[folded] = other
        elif folded.lstrip("0") == wanted.lstrip("0"):
            return other
    close = get_close_matches(wanted, candidates, n=1)
    return candidates[close[0]] if close else None


def require_known(decisions: Iterable[Decision], products: Collection[int]) -> None:
    """Raise DataError with the nearest product where a decision is about an unknown one."""
    unknown = [
        (decision.place, source_ids.text(decision.product_id))
        for decision in decisions
        if decision.product_id not in products
    ]
    faults = [f"{place}: no product {quote(text)} in {KNOWN_FROM}" for place, text in unknown]
    near = nearest(unknown[0][1], map(source_ids.text, products)) if unknown else None
    if near is not None:
        faults[0] += f"; did you mean {quote(near)}?"
    raise_first(faults)


def deciding(photos: pd.DataFrame, decisions: list[Decision]) -> NDArray[np.int64]:
    """Return for each photo the number of the decision that counts, int64 (N,), -1 where there is none.

    Of equal decisions the first counts.

    Args:
        photos: with columns product_id and position, N of them.
        decisions: as check_labels or check_exclusions returns them.
    """
    numbers: dict[tuple[int, int | None], int] = {}
    for number, decision in enumerate(decisions):
        numbers.setdefault((decision.product_id, decision.position), number)
    found = np.full(len(photos), -1, np.int64)
    concerned = np.flatnonzero(photos["product_id"].isin([decision.product_id for decision in decisions]))
    keys = photos[["product_id", "position"]].iloc[concerned].itertuples(index=False, name=None)
    for place, (product_id, position) in zip(concerned.tolist(), keys, strict=True):
        found[place] = numbers.get((product_id, position), numbers.get((product_id, None), -1))
    return found


def attach(photos: pd.DataFrame, labels: list[Decision], exclusions: list[Decision]) -> pd.DataFrame:
    """Say of each photo what people decided about it.

    A photo that is excluded has the exclusion's reason, also where it was left out before.

    Args:
        photos: with columns product_id, position and reason.
        labels: the decisions of corrections/labels.csv.
        exclusions: the decisions of corrections/exclusions.csv.

    Returns:
        The photos with columns label_row and exclusion_row (int64, the number of the decision that counts, -1 without
        one), corrected_to (Int64, the catalog_id of that decision) and reason.
    """
    label_row, exclusion_row = deciding(photos, labels), deciding(photos, exclusions)
    # The last value is that of photos without a decision: their number is -1.
    corrected_to = pd.array([*(decision.value for decision in labels), None], dtype="Int64")[label_row]
    given = pd.array([*(decision.value for decision in exclusions), ""], dtype="str")[exclusion_row]
    return photos.assign(
        label_row=label_row,
        exclusion_row=exclusion_row,
        corrected_to=corrected_to,
        reason=photos["reason"].where(exclusion_row < 0, pd.Series(given, photos.index)),
    )
