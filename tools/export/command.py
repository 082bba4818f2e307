"""`python -m tools.export --to FORMAT DEST`: the photos of dataset.h5 or processed.h5 for another tool.

Of dataset.h5, the photos themselves, each subset apart; of processed.h5, those that the catalog names, undivided.
"""

import argparse
import math
import os
import platform
import shutil
import signal
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pandas as pd

from imageset.errors import DataError, ImagesetError
from imageset.formats import hdf5, tables
from imageset.runtime import files, lifetime, progress, settings
from tools.export import encode as export_pixels
from tools.export import parts as export_parts
from tools.export import source as export_source
from tools.export import state as export_state
from tools.export.parts import Format, Part
from tools.export.source import Classes, Source
from tools.export.state import Workplace

FORMATS = ("imagefolder", "webdataset", "parquet", "numpy")
ENCODINGS = ("png", "jpeg")
CATALOG = Path("data/catalog.csv")
LABEL_MAP = Path("data/label_map.csv")
EXPORT_VERSION = 1  # raise it with every change of an export's bytes


def load_format(name: str) -> Format:
    """Return the module of a format. Raises ImagesetError when a library that it needs is not installed."""
    try:
        return cast(Format, import_module(f"tools.export.formats.{name}"))
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ImagesetError("--to parquet needs pyarrow: pip install -r requirements-export.txt") from None


def identity(source: Source, name: str, encoding: str, versions: dict[str, str]) -> dict[str, Any]:
    """Return all that decides a byte of an export."""
    return {
        "source": source.digest,
        "format": name,
        "encoding": encoding,
        "export_version": EXPORT_VERSION,
        "part_photos": export_parts.part_photos(source.subsets[0].image_shape),
        "versions": versions | {"processor": platform.machine()},
    }


def needed_bytes(parts: list[Part], encoding: str, extra: int) -> int:
    """Return an estimate of the disk that parts take."""
    return math.ceil(
        sum(
            (part.stop - part.start) * (math.prod(part.subset.image_shape) * export_pixels.SHARES[encoding] + extra)
            for part in parts
        )
    )


def export(source: Source, name: str, encoding: str, destination: Path, workers: int) -> None:
    """Write an export to a folder that does not exist yet; it appears when it is whole.

    A run that was stopped is gone on with; one that is there already is left as it is. Raises DataError when anything
    else is there, ImagesetError when the disk is too full or another run is at it.
    """
    chosen = load_format(name)
    encoding = encoding if chosen.ENCODED else "raw"
    if not destination.is_symlink():  # a link is not followed: one that leads nowhere is in the way as well
        destination = Path(os.path.realpath(destination))
    place = Workplace(destination, identity(source, name, encoding, chosen.VERSIONS | export_pixels.VERSIONS))
    export_state.is_there(place)  # what is in the way is left alone, without as much as a lock beside it
    with files.lock(place.folder / "lock"):
        if export_state.is_there(place):
            print(f"export: {place.destination} is there already")
        else:
            try:
                write(place, chosen, source, encoding, workers)
                export_state.finish(place)
            except OSError as error:
                raise ImagesetError(f"{error}; what is written is kept, the same command goes on with it") from None
        shutil.rmtree(place.folder, ignore_errors=True)


def write(place: Workplace, chosen: Format, source: Source, encoding: str, workers: int) -> None:
    """Write the parts that are not there yet."""
    parts = [part for subset in source.subsets for part in export_parts.cut(subset)]
    done = export_state.begin(place)
    files.require_space(place.destination, needed_bytes(parts[done:], encoding, chosen.EXTRA_BYTES))
    if done:
        print(f"export: {done} of {len(parts)} parts are there already: going on")
    else:
        chosen.prepare(place.files, source)
        write_classes(place.files / "classes.csv", source.classes)
    contents = export_pixels.encode_all(export_parts.batches(parts[done:]), encoding, workers)
    there = sum(part.stop - part.start for part in parts[:done])
    with closing(contents), progress.bar(None, "export", source.total, done=there) as bar:
        for number, part in enumerate(parts[done:], done + 1):
            chosen.write_part(
                place.files, part, source.classes, export_parts.photos(part, contents, bar.update), encoding
            )
            export_state.note(place, number)


def write_classes(path: Path, classes: Classes) -> None:
    """Write label, catalog_id and name of each class."""
    tables.write(
        path,
        tables.LABEL_MAP,
        pd.DataFrame({"label": range(len(classes.names)), "catalog_id": classes.catalog_ids, "name": classes.names}),
    )


def read_source(file: Any, arguments: argparse.Namespace) -> Source:
    """Return what is to be exported. Raises ImagesetError for an option that the file has no use for."""
    is_dataset = file.attrs["format"] == hdf5.DATASET
    others = (
        (("--catalog", arguments.catalog), ("--label-map", arguments.label_map))
        if is_dataset
        else (("--subset", arguments.subset), ("--copies", arguments.copies))
    )
    why = (
        "names its photos and classes itself"
        if is_dataset
        else "holds every photo once, before they are split and augmented"
    )
    for option, value in others:
        if value:
            raise DataError(f"{file.filename} {why}: leave out {option}")
    if is_dataset:
        return export_source.of_dataset(file, arguments.subset, arguments.copies)
    return export_source.of_processed(file, arguments.catalog or CATALOG, arguments.label_map or LABEL_MAP)


def parse_arguments(command_line: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tools.export", description=__doc__)
    parser.add_argument("destination", metavar="DEST", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format to write")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        type=Path,
        default=Path("data/dataset.h5"),
        help="a dataset.h5 or processed.h5; default: %(default)s",
    )
    parser.add_argument("--subset", choices=hdf5.SUBSETS, help="of dataset.h5; default: all that it has")
    parser.add_argument("--copies", action="store_true", help="of dataset.h5: augmented copies of photos, too")
    parser.add_argument("--catalog", metavar="CSV", type=Path, help=f"of processed.h5; default: {CATALOG}")
    parser.add_argument("--label-map", metavar="CSV", type=Path, help=f"of processed.h5; default: {LABEL_MAP}")
    parser.add_argument(
        "--encoding", choices=ENCODINGS, help="png: pixels as they are, the default; jpeg: nearly so, and smaller"
    )
    return parser.parse_args(command_line)


def run(arguments: argparse.Namespace) -> None:
    if arguments.encoding and arguments.to == "numpy":
        raise DataError("--to numpy writes pixels as they are: leave out --encoding")
    workers = settings.workers()
    with export_source.open_source(arguments.source) as file:
        source = read_source(file, arguments)
        if source.left_out:
            print(
                f"export: {source.left_out} photos of {arguments.source} are left out: the catalog has no class "
                "for them"
            )
        export(source, arguments.to, arguments.encoding or "png", arguments.destination, workers)
        counts = ", ".join(f"{len(subset.rows)} {subset.name}" for subset in source.subsets)
    print(f"export: {counts} in {arguments.destination}")


def main() -> None:
    # By way of the finally blocks; a second signal does not disturb them.
    signal.signal(signal.SIGTERM, lifetime.exit_cleanly)
    signal.signal(signal.SIGINT, lifetime.exit_cleanly)
    arguments = parse_arguments()
    try:
        settings.load()
        run(arguments)
    except ImagesetError as error:
        print(f"export: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(f"export: {error}")
    except (KeyboardInterrupt, SystemExit) as stopped:
        print("export: stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(130 if isinstance(stopped, KeyboardInterrupt) else stopped.code)


if __name__ == "__main__":
    main()
