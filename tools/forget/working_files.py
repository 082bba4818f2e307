"""What data/, reports/ and DVC's cache on this machine hold of a product.

Tables and HDF5 files name the products of their rows, so they are searched; one that is damaged is taken to hold the
product. So is a page, which names the products of its photos. Its pictures may show others, and pictures name none:
they are taken to show the product where what they are made of holds it.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from imageset.errors import DataError
from imageset.formats import hdf5, row_checksums, source_ids, tables, text_heaps
from imageset.runtime import dvc, progress

# What the marketplace says of all its products, taken down or not. They hold ids and URLs, and no photo.
OF_THE_MARKETPLACE = (
    "data/listings.csv",
    "data/listings_rejects.csv",
    "data/attributes.csv",
    "data/listing_groups.csv",
    "data/labels.csv",
    "data/ingest.csv",
)
ID_COLUMNS = ("product_id", "other_product_id")
PAGES = (".html", ".png")
TABLES = (".csv", ".h5")  # they say which products they hold, unless they are damaged
HDF5_SIGNATURE = b"\x89HDF"
FORMATS = "imageset-"  # hdf5.DATASET and the others begin so
TITLE_OF_PAGE = b"<title>imageset"  # as stages/templates/page/page.html begins
UNRECORDED_PAGE = "unrecorded.html"


class Made(NamedTuple):
    """What a stage read and wrote: path -> md5, None where no run has recorded it."""

    dependencies: dict[str, str | None]
    outputs: dict[str, str | None]


def holds(path: Path, name: str, product_ids: frozenset[int]) -> bool | None:
    """Return whether a file has a row of one of the products; None where a file does not say so.

    Args:
        path: the file, which may be in DVC's cache.
        name: its path as dvc.yaml names it.
        product_ids: the products.
    """
    try:
        if name.endswith(".csv"):
            return holds_row(path, product_ids)
        if name.endswith(".h5"):
            with hdf5.open_locked(path) as file:
                ids = [file[key] for key in ("ids", *(f"{subset}_ids" for subset in hdf5.SUBSETS)) if key in file]
                if any(np.isin(column[:], sorted(product_ids)).any() for column in ids):
                    return True
                if row_checksums.OTHERS in file.attrs:  # else a damaged id might be the product's
                    text_heaps.require_sound_heaps(path)
                    row_checksums.require_others(file)
                return False if ids else None
        if name.endswith(".html"):  # true or unknown: a sample names few of the photos of which it shows means
            return names_product(path, product_ids) or None
    except (*hdf5.HDF5_ERRORS, DataError, csv.Error):  # damaged: it may hold anything
        return None
    return None


def holds_row(path: Path, product_ids: frozenset[int]) -> bool:
    wanted = set(map(source_ids.text, product_ids))
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        places = [place for place, name in enumerate(next(rows, [])) if name in ID_COLUMNS]
        return bool(places) and any(row[place] in wanted for row in rows for place in places if place < len(row))


def names_product(path: Path, product_ids: frozenset[int]) -> bool:
    """Return whether a page has a photo of one of the products: it has their ids as one list of JSON texts."""
    _, start, rest = path.read_text(encoding="utf-8", errors="replace").partition('"product_id":[')
    try:
        named, _ = json.JSONDecoder().raw_decode(f"[{rest}") if start else ([], 0)
        return not product_ids.isdisjoint(source_ids.numbers(named))
    except ValueError:  # cut short, or no page of ours
        return False


def parse_stages(text: str) -> list[Made]:
    """Return what each stage of a dvc.lock, or an entry of DVC's run cache, read and wrote; [] where it is neither."""
    try:
        content = yaml.load(text, yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader)
        stages = content["stages"].values() if "stages" in content else [content]
        return [Made(read_sums(stage.get("deps", [])), read_sums(stage.get("outs", []))) for stage in stages]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):  # such as of a date
        return []


def read_sums(entries: list[dict[str, Any]]) -> dict[str, str | None]:
    return {entry["path"]: entry.get("md5") for entry in entries}


def parse_graph(text: str) -> list[Made]:
    """Return what each stage of dvc.yaml reads and writes."""
    return [
        Made(
            dict.fromkeys(stage.get("deps", [])),
            dict.fromkeys(
                path if isinstance(path, str) else next(iter(path))
                for kind in ("outs", "metrics", "plots")
                for path in stage.get(kind, [])
            ),
        )
        for stage in yaml.safe_load(text)["stages"].values()
    ]


def find_outputs(product_ids: frozenset[int]) -> list[Path]:
    """Return the outputs in this folder that hold one of the products, and what killed stages have left.

    Pages come first: once the tables are removed, nothing tells any more what a page shows.
    """
    stages = parse_graph(Path("dvc.yaml").read_text(encoding="utf-8"))
    names = {name for stage in stages for name in stage.outputs}
    found = {
        name: holds(Path(name), name, product_ids)
        for name in sorted(names - set(OF_THE_MARKETPLACE))
        if Path(name).is_file()
    }
    held = [name for name, answer in found.items() if may_hold(name, answer)]
    unknown = [
        name
        for stage in stages
        for name in stage.outputs
        if name in found and name not in held and found[name] is None and may_show(name, stage, held, names)
    ]
    folders = sorted({Path(name).parent for name in names})
    left = [path for folder in folders for path in sorted(folder.glob(".*.tmp"))]
    return [*map(Path, unknown), *map(Path, held), *left]


def may_hold(name: str, answer: bool | None) -> bool:
    """Return whether to take a file for one that holds a product: what is damaged may, and is of no use."""
    return bool(answer) or (answer is None and name.endswith(TABLES))


def may_show(name: str, stage: Made, held: list[str], names: set[str]) -> bool:
    """Return whether an output that names no products may show one that the files in `held` hold.

    Of reports/, only pictures: the rest is figures. A page in data/ of which a table is missing may show anything, but
    a clone without data keeps the pictures of reports/, which are in git as well.
    """
    is_in_git = name.startswith("reports/")
    if set(held) & set(stage.dependencies):
        return not is_in_git or name.endswith(PAGES)
    missing = any(path in names and not Path(path).exists() for path in stage.dependencies)
    return missing and name.endswith(PAGES) and not is_in_git


def cache_folder() -> Path | None:
    """Return the folder of DVC's cache of files on this machine, None where there is none."""
    named = dvc.capture(sys.executable, "-m", "dvc", "cache", "dir").strip()
    return Path(named) if named and Path(named).is_dir() else None


def locate(cache: Path, md5: str) -> Path:
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def find_runs(cache: Path) -> Iterator[tuple[Path, list[Made]]]:
    """Yield the entries of DVC's run cache: the file, and what the run read and wrote."""
    for path in sorted((cache / "runs").glob("*/*/*")):
        if path.is_file():
            yield path, parse_stages(dvc.read_text(path))


def recorded_stages() -> list[Made]:
    """Return the stages of every dvc.lock that this repository knows, in any branch, tag, stash or abandoned commit."""
    found = parse_stages(dvc.read_text(Path("dvc.lock")))
    blobs = set()
    # --full-history: else git passes over a branch of which a merge kept nothing.
    commits = dvc.capture("git", "rev-list", "--all", "--reflog", "--full-history", "--", "dvc.lock")
    for commit in commits.split():
        blob = dvc.capture("git", "rev-parse", "--verify", "--quiet", f"{commit}:./dvc.lock").strip()
        if blob and blob not in blobs:
            blobs.add(blob)
            found += parse_stages(dvc.capture("git", "cat-file", "blob", blob))
    return found


def find_inventories(cache: Path | None) -> list[Path]:
    """Return this run's inventory, and all others that DVC's cache has, whether a run has recorded them or not."""
    columns = list(tables.INVENTORY.columns)
    cached = [path for path in list_cached(cache) if read_columns(path) == columns] if cache else []
    return [path for path in (Path("data/inventory.csv"), *cached) if path.is_file()]


def list_cached(cache: Path) -> list[Path]:
    """Return the files of DVC's cache, those included that a killed DVC has left unfinished."""
    return sorted(path for path in (cache / "files/md5").glob("??/*") if path.is_file())


def find_cached(cache: Path, product_ids: frozenset[int]) -> list[Path]:
    """Return the files in DVC's cache that hold one of the products, and entries of its run cache that name these.

    All tables and HDF5 files are searched. Pages that a run has recorded, in a dvc.lock that git knows or in the run
    cache, are judged by what they were made of. Other pages may show anything, and so may what DVC has left unfinished
    or is damaged. The order is one in which a killed removal can be finished: pages first, then the entries that tell
    what they were made of, then the files that tell what pages show.
    """
    runs = list(find_runs(cache))
    stages = recorded_stages() + [stage for _, run in runs for stage in run]
    names = {md5: name for stage in stages for name, md5 in stage.outputs.items() if md5}
    known = {path.parent.name + path.name: path for path in list_cached(cache)}
    held, pages, others = set(), set(), set()
    with progress.bar(None, "forget: DVC's cache", len(known), unit="file") as bar:
        for md5, path in known.items():
            name = names.get(md5) or guess_name(path)
            answer = name not in OF_THE_MARKETPLACE and holds(path, name, product_ids)
            if path.name.endswith(".tmp") or (may_hold(name, answer) if md5 in names else answer):
                held.add(md5)
            elif name == UNRECORDED_PAGE:
                pages.add(md5)
            elif answer is None:
                others.add(md5)
            bar.update()
    pages |= {
        md5
        for stage in stages
        for name, md5 in stage.outputs.items()
        if md5 in others
        if held & set(stage.dependencies.values()) or (name.endswith(PAGES) and lacks_input(stage, names, known))
    }
    entries = [path for path, run in runs if any((held | pages) & set(all_sums(stage)) for stage in run)]
    return [*(known[md5] for md5 in sorted(pages)), *entries, *(known[md5] for md5 in sorted(held))]


def guess_name(path: Path) -> str:
    """Return a name for a file that no run has recorded, by what it holds; "" for what is none of ours.

    Git forgets a dvc.lock that was never committed, and DVC's run cache may be cleared. DVC's cache keeps their files.
    Other projects may share that cache: only what has a format of imageset's is taken for ours.
    """
    with path.open("rb") as file:
        first = file.read(1000)
    if first.startswith(HDF5_SIGNATURE):
        return "unrecorded.h5" if is_of_imageset(path) else ""
    if TITLE_OF_PAGE in first:
        return UNRECORDED_PAGE
    columns = read_columns(path)
    of_the_marketplace = (tables.LISTINGS, tables.LISTING_REJECTS, tables.LISTING_GROUPS, tables.LABELS, tables.INGEST)
    if any(columns == list(table.columns) for table in of_the_marketplace):
        return OF_THE_MARKETPLACE[0]
    is_ours = any(columns == list(table.columns) for table in vars(tables).values() if isinstance(table, tables.Table))
    return "unrecorded.csv" if is_ours and set(ID_COLUMNS) & set(columns) else ""


def is_of_imageset(path: Path) -> bool:
    """Return whether an HDF5 file has a format of imageset's; not where it is damaged."""
    try:
        with hdf5.open_locked(path) as file:
            return str(file.attrs["format"]).startswith(FORMATS)
    except (*hdf5.HDF5_ERRORS, DataError):
        return False


def read_columns(path: Path) -> list[str]:
    """Return the columns of a table; of any other file, something else."""
    with path.open("rb") as file:
        return file.readline(1000).decode("utf-8", "replace").rstrip("\r\n").split(",")


def all_sums(stage: Made) -> list[str | None]:
    return [*stage.dependencies.values(), *stage.outputs.values()]


def lacks_input(stage: Made, names: dict[str, str], known: dict[str, Path]) -> bool:
    """Return whether the cache lacks an output that a stage was made of, so that nothing tells what its page shows."""
    return any(md5 in names and md5 not in known for md5 in stage.dependencies.values() if md5)


def remove(paths: Iterable[Path]) -> None:
    """Remove files, or links to them."""
    for path in paths:
        path.unlink(missing_ok=True)
