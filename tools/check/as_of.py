"""Whether the queries leave out what is later than source.as_of."""

import datetime
from collections.abc import Iterator
from pathlib import Path

from imageset.curation import label_dates
from imageset.errors import DataError
from imageset.formats import dates
from imageset.storage import engines
from tools.check.findings import Findings
from tools.check.labels import LABELS
from tools.check.line import Line, ok, unsure, untried, wrong
from tools.check.queries import LISTINGS
from tools.check.reading import Sample, read

# Numbers are Unix seconds where all of them are in these years, 1985 to 2100. Days, years and milliseconds are not.
LEAST_SECONDS, MOST_SECONDS = 473_385_600, 4_102_444_800

Moments = dict[str, datetime.datetime]  # by the dates as a table has them


def check_as_of(found: Findings) -> Iterator[Line]:
    """Say what source.as_of does."""
    if found.params is None or found.dialect is None:
        yield untried("source.as_of", "it needs the database and params.yaml, see above")
        return
    as_of = found.params.source.as_of
    if as_of is None:
        yield ok("source.as_of: null, so rows of all dates are used")
        return
    remedy = f"leave out later rows, such as by {engines.as_of_condition(found.dialect)}"
    for query, sample in ((LISTINGS, found.listings), (LABELS, found.labels)):
        if sample is None:
            yield untried(f"source.as_of in {query}", "the query gave no rows, see above")
        elif query == LABELS and (late := describe_late(sample, found.dialect, as_of)):
            yield wrong(f"source.as_of: {late}: {remedy}")
        elif ignores_as_of(query, sample, found.dialect, as_of):
            yield unsure(
                f"source.as_of: {query} returns the same {sample.scope()} with {as_of} and without it. If some are "
                f"later, {remedy}"
            )
        else:
            yield ok(f"source.as_of: {query} returns {sample.scope()} up to {as_of}")


def describe_late(sample: Sample, dialect: str, as_of: str) -> str:
    """Return how many labels are later than source.as_of, with the latest one; "" where none is known to be."""
    moments, end = find_moments(sample, dialect), parse(as_of)
    if not moments or max(moments.values()) <= end:
        return ""
    late = [row for row in sample.rows if row[-1] is not None and moments[dates.text_of(row[-1])] > end]
    text, latest = max(moments.items(), key=lambda item: item[1])
    spelt = text if text == latest.isoformat() else f"{text}, in Unix seconds {latest.isoformat()}"
    return f"{len(late):,} of {sample.scope()} of {LABELS} have a later date than {as_of}, up to {spelt}"


def ignores_as_of(query: Path, sample: Sample, dialect: str, as_of: str) -> bool:
    """Return whether a query has the same rows without source.as_of, although there may be later ones.

    There are none where as_of is now, or where all labels have dates and none is later.
    """
    if not sample.complete or parse(as_of) >= datetime.datetime.now(datetime.UTC):
        return False
    if query == LABELS and find_moments(sample, dialect):
        return False  # they have dates, and describe_late finds none that is later
    every = read_all(query)
    if every is None or not every.complete or len(every.rows) != len(sample.rows):
        return False
    labels = read_all(LABELS)
    moments = find_moments(labels, dialect) if labels is not None and labels.complete else {}
    return not moments or max(moments.values()) > parse(as_of)


def read_all(query: Path) -> Sample | None:
    """Return the first rows of a query without source.as_of, None where they cannot be read."""
    try:
        return read(query, lambda names: None, None, needs_as_of=False)
    except DataError:
        return None


def find_moments(labels: Sample, dialect: str) -> Moments:
    """Return the moments of labels; none where it is not known which moments their dates are."""
    try:
        texts = {row[-1] for row in label_dates.spell(LABELS, dialect, labels.rows)} - {""}
    except DataError:
        return {}
    if not all(map(dates.NUMBER.fullmatch, texts)):
        return {text: parse(text) for text in texts}
    seconds = {text: float(text) for text in texts}
    if not all(LEAST_SECONDS <= number <= MOST_SECONDS for number in seconds.values()):
        return {}
    return {text: datetime.datetime.fromtimestamp(number, datetime.UTC) for text, number in seconds.items()}


def parse(moment: str) -> datetime.datetime:
    """Return a moment in ISO 8601."""
    return datetime.datetime.fromisoformat(moment)
