"""`python -m tools.export --to FORMAT DEST`: write the photos of dataset.h5 or processed.h5 for another tool.

From dataset.h5: every photo without its augmented copies, by subset. From processed.h5: the photos that the catalog
names, without subsets.
"""

import argparse
from pathlib import Path

import h5py

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.runtime import params, settings
from imageset.runtime.sections import CardParams
from tools.export.format import FORMATS
from tools.export.read import open_source, read_dataset, read_processed
from tools.export.source import Source
from tools.export.write import export

ENCODINGS = ("png", "jpeg")
CATALOG = Path("data/catalog.csv")
LABEL_MAP = Path("data/label_map.csv")


def read_source(file: h5py.File, arguments: argparse.Namespace) -> Source:
    """Return what to export. Raises DataError for an option that does not apply to the file."""
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
        return read_dataset(file, arguments.subset, arguments.copies)
    return read_processed(file, arguments.catalog or CATALOG, arguments.label_map or LABEL_MAP)


def read_card() -> CardParams:
    """Return params section `card` of the project that the command runs in; outside of a project, an empty one."""
    if params.PARAMS.exists():
        return params.load().card
    return CardParams(**dict.fromkeys(CardParams.model_fields))


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
    parser.add_argument("--subset", choices=hdf5.SUBSETS, help="of dataset.h5; default: all subsets")
    parser.add_argument("--copies", action="store_true", help="of dataset.h5: export augmented copies, too")
    parser.add_argument("--catalog", metavar="CSV", type=Path, help=f"of processed.h5; default: {CATALOG}")
    parser.add_argument("--label-map", metavar="CSV", type=Path, help=f"of processed.h5; default: {LABEL_MAP}")
    parser.add_argument(
        "--encoding", choices=ENCODINGS, help="png keeps every pixel (default); jpeg is smaller and nearly the same"
    )
    return parser.parse_args(command_line)


def run(arguments: argparse.Namespace) -> None:
    """Read the source, export it and print what was exported."""
    if arguments.encoding and arguments.to == "numpy":
        raise DataError("--to numpy writes pixels as they are: leave out --encoding")
    workers = settings.workers()
    with open_source(arguments.source) as file:
        source = read_source(file, arguments)
        if source.left_out:
            print(
                f"export: {source.left_out} photos of {arguments.source} are left out: the catalog does not name them"
            )
        export(source, arguments.to, arguments.encoding or "png", arguments.destination, workers, read_card())
        counts = ", ".join(f"{subset.rows.total} {subset.name}" for subset in source.subsets)
    print(f"export: {counts} in {arguments.destination}")


def main() -> None:
    """Export as the command line says."""
    arguments = parse_arguments()
    settings.load()
    run(arguments)
