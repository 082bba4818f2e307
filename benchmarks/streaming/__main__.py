"""How fast is training on photos in a bucket, beside whom? Table: python -m benchmarks.streaming [--help]

imageset, litdata and mosaicml-streaming read the same photos from one S3 server. README.md says how it is measured.
"""

import json
import os
import shutil
import statistics
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import obstore
from obstore.store import S3Store

from benchmarks.loader.__main__ import described, settings
from benchmarks.loader.files import BYTES_PER_PHOTO, Contender, Workload, python, set_up
from benchmarks.loader.workload import PLAIN, SIDE, Settings
from benchmarks.shared.measure import measure
from benchmarks.shared.tables import add_only, circumstances, options, origin, ratio, rounds, spread, table
from benchmarks.streaming.contenders import BUCKET, ENDPOINT
from sandbox import servers

FILES = 5  # of as many bytes, on the disk at once: the photos, one peer's, the bucket's three
WORKERS = (0, 1, 2)
TUNING_TURNS = 2
ATTEMPTS = 3
OURS = 'imageset, shuffle="blocks"'
CONTENDERS = {
    OURS: Contender("imageset", settings(shuffle=["blocks"])),
    "imageset, shuffle=True": Contender("imageset", settings(shuffle=[True])),
    "copy the file, then imageset, shuffle=True": Contender("copied"),
    "litdata": Contender("litdata", settings(workers=WORKERS), "peers"),
    "mosaicml-streaming": Contender("streaming", settings(algorithm=["py1e"], workers=WORKERS), "streaming"),
}


class Result(NamedTuple):
    """Seconds to the first batch, images/s of both epochs, and the most bytes that no file backs, of all processes."""

    first: float
    cold: float
    warm: float
    memory: float


@contextmanager
def in_the_bucket(photos: Path, count: int) -> Iterator[Workload]:
    """Run an S3 server that has the photos in every contender's form. All is removed at the end."""
    with set_up(photos, count, FILES) as here, servers.running(here.folder / "sandbox") as sandbox:
        os.environ.update(sandbox.environment)
        client = S3Store(BUCKET, endpoint=os.environ[ENDPOINT], client_options={"allow_http": True})
        upload(client, here.folder / PLAIN, PLAIN)
        for contender in CONTENDERS.values():
            if contender.environment:
                here.write_peers([contender])
                folder = here.folder / contender.reader
                for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                    upload(client, path, f"{contender.reader}/{path.relative_to(folder)}")
                shutil.rmtree(folder, ignore_errors=True)
        yield here


def upload(client: S3Store, path: Path, key: str) -> None:
    with path.open("rb") as file:
        obstore.put(client, key, file, max_concurrency=2)


def run(here: Workload, contender: Contender, choice: Settings) -> Result:
    """Measure a contender once, in a process of its own, with an empty cache. A run that fails is repeated."""
    module = "benchmarks.streaming.contenders"
    arguments = [contender.reader, str(here.folder), json.dumps(choice)]
    for attempt in range(ATTEMPTS):
        shutil.rmtree(here.folder / "cache", ignore_errors=True)
        try:
            done = measure([str(python(contender.environment)), "-m", module, *arguments], here.folder, {})
            break
        except SystemExit as failure:
            if attempt == ATTEMPTS - 1:
                raise
            print(
                f"{contender.reader}, {described(choice)}, failed: {str(failure.code).splitlines()[-1]}\n", flush=True
            )
    found = json.loads(done.said)
    cold, warm = found["rates"]
    return Result(found["first"], cold, warm, done.everybody.anonymous)


def tuned(here: Workload, contenders: Mapping[str, Contender]) -> dict[str, Settings]:
    """Return each contender's fastest setting over both epochs, by the better of two runs; print what was tried."""
    tries = {
        (name, described(choice)): (each, choice)
        for name, each in contenders.items()
        for choice in each.settings
        if len(each.settings) > 1
    }
    results = rounds({" | ".join(key): partial(run, here, *tried) for key, tried in tries.items()}, TUNING_TURNS)
    rates = {
        key: max(statistics.harmonic_mean([each.cold, each.warm]) for each in results[" | ".join(key)]) for key in tries
    }
    if tries:
        table(
            ("tried", "setting", "images/s over both epochs, the better of two"),
            ([*key, f"{rate:.0f}"] for key, rate in rates.items()),
        )
    return {
        name: max(each.settings, key=lambda choice: rates.get((name, described(choice)), 0))
        for name, each in contenders.items()
    }


def compare(here: Workload, chosen: Namespace) -> None:
    """Print what every contender takes, each with its fastest setting."""
    present = {
        name: each
        for name, each in CONTENDERS.items()
        if each.reader not in here.missing
        and (name == OURS or not chosen.only or any(part in name for part in chosen.only))
    }
    best = tuned(here, present)
    results = rounds({name: partial(run, here, each, best[name]) for name, each in present.items()}, chosen.turns)
    cold, warm = (
        {name: [getattr(one, epoch) for one in found] for name, found in results.items()} for epoch in ("cold", "warm")
    )
    table(
        (
            *("contender", "setting", "first batch, s", "epoch 1, images/s", "imageset: times as fast"),
            *("epoch 2, images/s", "imageset: times as fast", "memory, MB"),
        ),
        (
            (
                name,
                described(best[name]),
                spread([one.first for one in found], 2),
                spread(cold[name], 0),
                ratio(cold[OURS], cold[name]),
                spread(warm[name], 0),
                ratio(warm[OURS], warm[name]),
                f"{statistics.median(one.memory for one in found) / 1e6:.0f}",
            )
            for name, found in results.items()
        ),
    )


def main() -> None:
    parser = options("streaming", __doc__, photos=40_000, turns=5)
    add_only(parser)
    chosen = parser.parse_args()
    size = f"{chosen.photos * BYTES_PER_PHOTO / 1e6:.0f} MB"
    photos = f"{chosen.photos:,} photos of {SIDE} x {SIDE} ({size}) made of {origin(chosen.folder)}"
    circumstances(chosen, photos, "h5py", "numpy", "obstore", "torch")
    with in_the_bucket(chosen.folder, chosen.photos) as here:
        compare(here, chosen)


if __name__ == "__main__":
    main()
