"""How fast are shuffled batches, beside whom? Tables: python -m benchmarks.loader [--help]

imageset's loader, torch's DataLoader and other libraries on the same photos in warm page cache; then floats, compressed
files, and a file larger than memory. README.md says what is measured and how.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from statistics import median
from typing import Any

from benchmarks.loader.files import BYTES_PER_PHOTO, Contender, Workload, requirements, set_up
from benchmarks.loader.workload import AUTO, CHANGES, GZIP, ONE_A_CHUNK, PLAIN, SIDE, Settings
from benchmarks.shared.memory import forget, megabytes, memory_limit
from benchmarks.shared.tables import add_only, circumstances, options, origin, ratio, rounds, spread, table

SECONDS = 2.0
PASS_SECONDS = 60
TUNING_TURNS = 2
FEW = 1_000  # images of the file that h5py takes longest for
PIECES = (1 << 20, 8 << 20)
WORKERS = (0, 1, 2)
UNSAID = ("file", "floats", "rows", "augment", "clock")  # settings that a table has in common
LIMIT, OURS = "limit: numpy.take, in memory", "imageset, loader"


def settings(**choices: Sequence[Any]) -> list[Settings]:
    """Return every combination."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def shuffled() -> dict[str, Contender]:
    """Return who gives uint8 batches, shuffled, of a file that is not compressed."""
    ffcv = settings(decoder=["stock"], workers=[1], order=["RANDOM", "QUASI_RANDOM"], ahead=[1, 3])
    ffcv += settings(decoder=["parallel"], workers=[2], order=["RANDOM", "QUASI_RANDOM"], ahead=[1, 3])
    return {
        LIMIT: Contender("take"),
        "memory map, fancy index": Contender("memory_map"),
        OURS: Contender("imageset", settings(file=[PLAIN])),
        "imageset, DataLoader, no workers": Contender("imageset", settings(file=[PLAIN], workers=[0])),
        "imageset, DataLoader, 2 workers": Contender("imageset", settings(file=[PLAIN], workers=[2])),
        "ffcv": Contender("ffcv", ffcv, "ffcv"),
        "datasets, bytes": Contender("datasets", settings(way=["table", "items"], workers=WORKERS), "peers"),
        "datasets, Array3D": Contender("datasets", settings(way=["numpy"]), "peers"),
        "litdata": Contender("litdata", settings(workers=WORKERS), "peers"),
        "streaming": Contender("streaming", settings(algorithm=["py1e", "naive"], workers=WORKERS), "streaming"),
        "webdataset": Contender("webdataset", settings(workers=WORKERS), "peers"),
        "picture files, Pillow": Contender("pictures", settings(kind=["jpeg", "png"], workers=WORKERS), "peers"),
        "items from memory, DataLoader": Contender("array", settings(workers=[0])),
        "h5py, items, contiguous": Contender("items", settings(file=[PLAIN], workers=WORKERS)),
        "h5py, items, one image a chunk": Contender("items", settings(file=[ONE_A_CHUNK], workers=WORKERS)),
        f"h5py, items, chunks=True, {FEW:,} images": Contender(
            "items", settings(file=[AUTO], workers=WORKERS, rows=[FEW])
        ),
    }


def floats() -> dict[str, Contender]:
    """Return who gives normalised float32 batches."""
    ffcv = settings(decoder=["parallel"], workers=[1, 2], order=["RANDOM", "QUASI_RANDOM"], ahead=[1, 3], floats=[True])
    return {
        LIMIT: Contender("take"),
        "numpy.take, then torch": Contender("take", settings(floats=[True])),
        OURS: Contender("imageset", settings(file=[PLAIN], floats=[True])),
        "ffcv, its table made to take one channel": Contender("ffcv", ffcv, "ffcv"),
        "ffcv, then torch": Contender(
            "ffcv",
            settings(decoder=["parallel"], workers=[2], order=["RANDOM"], ahead=[1], floats=[True], way=["torch"]),
            "ffcv",
        ),
        "items from memory, DataLoader, then torch": Contender("array", settings(workers=[0], floats=[True])),
    }


def augmented() -> dict[str, Contender]:
    """Return who changes images at random: imageset, and torchvision in imageset's loader."""
    common: dict[str, Any] = {"file": [PLAIN], "clock": ["processor"]}
    contenders = {
        LIMIT: Contender("take", settings(clock=["processor"])),
        OURS: Contender("imageset", settings(**common)),
    }
    for changes in CHANGES:
        common["augment"] = [changes]
        contenders[f"imageset, Augment: {changes}"] = Contender("imageset", settings(**common))
        for way, said in {"batch": "one draw a batch", "images": "image by image"}.items():
            contenders[f"torchvision, {said}: {changes}"] = Contender(
                "torchvision", settings(**common, way=[way]), "augment"
            )
    return contenders


def compressed(file: str) -> dict[str, Contender]:
    """Return who gives uint8 batches, shuffled, of a compressed file."""
    return {
        LIMIT: Contender("take"),
        OURS: Contender("imageset", settings(file=[file])),
        "h5py, items, DataLoader": Contender("items", settings(file=[file], workers=WORKERS)),
        "h5py, loop": Contender("loop", settings(file=[file])),
    }


TABLES: dict[str, dict[str, Contender]] = {
    "Shuffled batches, uint8": shuffled(),
    "Shuffled batches, float32, normalised": floats(),
    "Shuffled batches of a file with gzip": compressed(GZIP),
    "Shuffled batches, augmented, by processor time": augmented(),
}


def comparison(here: Workload, title: str, contenders: Mapping[str, Contender], chosen: Namespace) -> None:
    """Print all contenders' pace, each with the setting that was fastest before."""
    present = {
        name: each
        for name, each in contenders.items()
        if each.reader not in here.missing
        and (name in (LIMIT, OURS) or not chosen.only or any(part in name for part in chosen.only))
    }
    best = tuned(here, present, chosen.seconds)
    rates = rounds(
        {name: partial(here.rate, each, best[name], chosen.seconds) for name, each in present.items()}, chosen.turns
    )
    print(f"{title}\n")
    table(
        ("contender", "setting", "images/s (least to most)", "ratio to the limit", f"{OURS}: times as fast"),
        (
            (
                name,
                described(best[name]),
                spread(rates[name], 0),
                ratio(rates[name], rates[LIMIT]),
                ratio(rates[OURS], rates[name]),
            )
            for name in present
        ),
    )


def tuned(here: Workload, contenders: Mapping[str, Contender], seconds: float) -> dict[str, Settings]:
    """Return each contender's fastest setting, by the better of two runs, and print what was tried."""
    tries = {
        f"{name} | {described(choice)}": (each, choice)
        for name, each in contenders.items()
        for choice in each.settings
        if len(each.settings) > 1
    }
    rates = rounds({key: partial(here.rate, *tried, seconds) for key, tried in tries.items()}, TUNING_TURNS)
    if tries:
        table(
            ("tried", "setting", "images/s, the better of two"),
            ([key, f"{max(found):.0f}"] for key, found in rates.items()),
        )
    return {
        name: max(each.settings, key=lambda choice: max(rates.get(f"{name} | {described(choice)}", [0])))
        for name, each in contenders.items()
    }


def described(chosen: Settings) -> str:
    """Say what was set, but for the file and what the table is of."""
    return ", ".join(f"{name} {value}" for name, value in chosen.items() if name not in UNSAID) or "-"


def larger(here: Workload, count: int, chosen: Namespace) -> None:
    """Print passes over a file whose pages have left memory, beside reading it in sequence."""
    ways = {
        f"in sequence, {piece >> 20} MB at a time": Contender("sequence", settings(piece=[piece])) for piece in PIECES
    }
    ways["pieces of 1 MB in mixed order, 4 threads"] = Contender("mixed")
    ways |= {
        f"{OURS}, shuffle={shuffle!r}": Contender("imageset", settings(file=[PLAIN], shuffle=[shuffle]))
        for shuffle in (False, "blocks", True)
    }
    ways[f"{OURS}, shuffle='blocks' of 32 MB"] = Contender(
        "imageset", settings(file=[PLAIN], shuffle=["blocks"], block_bytes=[32 << 20])
    )
    with ExitStack() as stack:
        cases: dict[str, Sequence[str]] = {"cold": ()} if chosen.cold else {}
        if chosen.limit:
            limit_bytes = chosen.limit * 1_000_000
            cases[f"cold, {chosen.limit} MB of memory"] = stack.enter_context(memory_limit(limit_bytes))
            print(f"the file is {count * BYTES_PER_PHOTO / limit_bytes:.1f} times the memory\n")
        for case, prefix in cases.items():
            passes = rounds({name: partial(cold, here, each, prefix) for name, each in ways.items()}, chosen.turns)
            base = max(list(passes)[: len(PIECES)], key=lambda name: median(passes[name]))
            table(
                (case, "images/s (least to most)", "MB/s", "ratio to the better sequence"),
                (
                    (name, spread(rates, 0), megabytes(median(rates) * BYTES_PER_PHOTO), ratio(rates, passes[base]))
                    for name, rates in passes.items()
                ),
            )


def cold(here: Workload, contender: Contender, prefix: Sequence[str]) -> float:
    """Return images/s of one pass, or of its first minute, over a file that is not in memory."""
    forget(here.folder / PLAIN)
    return here.rate(contender, contender.settings[0], PASS_SECONDS, "pass", prefix)


def main() -> None:
    parser = options("loader", __doc__, photos=40_000, turns=5)
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="S",
        help=f"epochs begin for so long in each run ({SECONDS:g})",
    )
    add_only(parser)
    parser.add_argument(
        "--tables",
        type=lambda names: names.split(";"),
        default=[""],
        metavar="A;B",
        help="tables with one of these in their titles: " + "; ".join(TABLES),
    )
    parser.add_argument("--cold", action="store_true", help="imageset alone: no pass begins with the file in memory")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="MB",
        help="the same, with so much memory for the process and for the pages of its files",
    )
    chosen = parser.parse_args()
    circumstances(
        chosen, f"{chosen.photos:,} photos of {SIDE} x {SIDE} made of {origin(chosen.folder)}", "h5py", "numpy", "torch"
    )
    if chosen.cold or chosen.limit:
        with set_up(chosen.folder, chosen.photos, files=1) as here:
            larger(here, chosen.photos, chosen)
        return
    tables = {title: each for title, each in TABLES.items() if any(part in title for part in chosen.tables)}
    for name, packages in requirements().items():
        print(f"environment {name}: {', '.join(packages)}", flush=True)
    print()
    with set_up(chosen.folder, chosen.photos) as here:
        here.write_h5()
        here.write_peers([each for contenders in tables.values() for each in contenders.values()])
        for title, contenders in tables.items():
            comparison(here, title, contenders, chosen)


if __name__ == "__main__":
    main()
