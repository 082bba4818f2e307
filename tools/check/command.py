"""`python -m tools.check [--write]`: try everything that `dvc repro` needs, before the first photo."""

import argparse
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from imageset.errors import ImagesetError
from imageset.runtime import command, settings
from tools.check import as_of, bucket, disk, dvc_remote, labels, photo, queries, setup, weights
from tools.check.findings import Findings
from tools.check.line import Line, untried, wrong

Topic = Callable[[Findings], Iterator[Line]]

TOPICS: tuple[Topic, ...] = (
    setup.check_params,
    setup.check_settings,
    queries.check_database,
    queries.check_listings,
    queries.check_positions,
    labels.check_labels,
    labels.check_classes,
    as_of.check_as_of,
    bucket.check_bucket,
    bucket.check_writing,
    labels.check_labelled,
    photo.check_photo,
    weights.check_weights,
    disk.check_disk,
    dvc_remote.check_remote,
)


def main() -> None:
    """Try params, settings, database, queries, bucket, one photo, weights, disk and DVC's remote. It changes nothing
    without --write. It reads at most 10,000 rows of a query, for at most 3 seconds."""
    parser = argparse.ArgumentParser("python -m tools.check", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="put an object into the bucket and remove it")
    settings.load()
    marks = []
    for line in check(Findings(write=parser.parse_args().write)):
        print(line, flush=True)
        marks.append(line.mark)
    faults = marks.count("--")
    print(f"{faults} of {len(marks)} lines say what is wrong" if faults else "Nothing is wrong: run `dvc repro`")
    if faults:
        sys.exit(command.FAILED)


def check(found: Findings) -> Iterator[Line]:
    """Yield a line for each thing that was tried, as it is known."""
    with ThreadPoolExecutor() as threads:  # for what takes seconds
        found.answers["remote"] = threads.submit(dvc_remote.find_remote)
        first, *others = TOPICS
        yield from run_topics([first], found)
        if found.params is not None:
            found.answers["weights"] = threads.submit(weights.find_weights, found.params)
        yield from run_topics(others, found)


def run_topics(topics: Iterable[Topic], found: Findings) -> Iterator[Line]:
    """Yield the lines of topics in turn. One that fails ends with a line that says so, and the next one follows."""
    for topic in topics:
        try:
            yield from topic(found)
        except (ImagesetError, OSError, sqlite3.Error) as error:
            name = topic.__name__.removeprefix("check_")
            yield untried(name, "it needs what failed above") if str(error) in found.failed else wrong(str(error))
            found.failed.add(str(error))
