"""`python -m tools.forget ID [ID ...]`: take products down. Their photos are removed and never used again.

Asks first; --yes does not. Objects that something else wrote and listings name by their keys stay in the bucket, unless
--delete-named is given. Appends the products to corrections/takedowns.csv. Removes their photos from this machine's
caches, from the bucket (all versions), from data/, reports/ and DVC's cache. Lists the released versions that still
hold them, with the commands that remake or delete each, and what it cannot reach. Commits nothing. A second run
finishes what a killed one left.
"""

import argparse
import datetime
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from imageset.curation import corrections
from imageset.errors import DataError, ImagesetError, ServerError
from imageset.formats import hand_edited, source_ids, tables, takedowns
from imageset.runtime import command, dvc, params, settings
from imageset.storage.bucket import Bucket, StoredObject, open_bucket
from tools.forget import caches, named, objects, other_runs, remaining, working_files
from tools.product_id import parse_id, spellings

TAKEDOWNS = Path(remaining.TAKEDOWNS)
INVENTORY = Path(remaining.INVENTORY)
NEAR_DUPLICATES = Path("data/near_duplicates.csv")


class Found(NamedTuple):
    """What this machine and the bucket have of the products."""

    keys: named.Keys
    listed: objects.Listed
    known: list[StoredObject]  # by the bucket, or by an inventory: the bucket may have lost them
    outputs: list[Path]
    cached: list[Path]
    alike: list[str]
    releases: list[remaining.Release]


def find(bucket: Bucket, product_ids: frozenset[int], may_go: bool) -> Found:
    """Look everywhere. Nothing is changed. `may_go`: whether objects that imageset did not write may be removed."""
    cache = working_files.cache_folder()
    inventories = working_files.find_inventories(cache)
    keys = named.find_keys(product_ids, inventories, takedowns.read(TAKEDOWNS), may_go)
    listed = objects.list_product(bucket, product_ids, keys)
    stored = caches.read_inventory(inventories, product_ids)
    listed_too = [version.stored for version in (*listed.versions, *listed.kept) if not version.is_marker]
    return Found(
        keys,
        listed,
        sorted({*stored, *listed_too}, key=lambda one: (one.key, one.etag, one.version_id)),
        working_files.find_outputs(product_ids),
        working_files.find_cached(cache, product_ids) if cache else [],
        find_alike(product_ids),
        remaining.find_releases(product_ids, cache),
    )


def find_alike(product_ids: frozenset[int]) -> list[str]:
    """Return the photos of other products that have the same bytes or look alike, by this run's tables, a line each."""
    found = set()
    with suppress(DataError, FileNotFoundError):  # missing or damaged: then nothing is known of others
        rows = [row[1:4] for row in tables.scan(INVENTORY, tables.INVENTORY)]
        own_by_etag = {etag: own for own, _, etag in rows if own in product_ids}
        for other, place, etag in rows:
            if other not in product_ids and etag in own_by_etag:
                found.add((other, place, f"has the bytes of {source_ids.text(own_by_etag[etag])}"))
    with suppress(DataError, FileNotFoundError):
        for first, position, second, other_position, likeness in tables.scan(NEAR_DUPLICATES, tables.NEAR_DUPLICATES):
            for other, place, own in ((second, other_position, first), (first, position, second)):
                if own in product_ids and other not in product_ids:
                    found.add((other, place, f"looks like {source_ids.text(own)}, likeness {likeness}"))
    return [f"{source_ids.text(other)} (position {place}) {what}" for other, place, what in sorted(found)]


def find_corrections(product_ids: frozenset[int]) -> Iterator[str]:
    """Yield the file and line of each row of people's corrections that names one of the products."""
    for name, columns in (("labels", corrections.LABEL_COLUMNS), ("exclusions", corrections.EXCLUSION_COLUMNS)):
        path = TAKEDOWNS.with_name(f"{name}.csv")
        with suppress(DataError):  # stage catalog says what is wrong with it
            for row in hand_edited.read(path, columns, corrections.REMARKS):
                if hand_edited.source_id(row, "product_id", takedowns.EXAMPLE) in product_ids:
                    yield row.place


def is_known(product_id: int, found: Found) -> bool:
    """Return whether anything here names a product."""
    prefixes = (f"{product_id}.jpeg", f"{product_id}-")
    return (
        any(stored.key.startswith(prefixes) for stored in found.known)
        or any(version.stored.key.startswith(prefixes) for version in found.listed.versions)
        or any(
            Path(name).is_file() and working_files.holds(Path(name), name, frozenset([product_id]))
            for name in working_files.OF_THE_MARKETPLACE
        )
        or product_id in takedowns.read(TAKEDOWNS)
    )


def describe(bucket: Bucket, product_ids: list[int], found: Found) -> str:
    """Return what will be removed, and what to think of before."""
    lines = [f"forget: products {', '.join(map(source_ids.text, product_ids))}"]
    for product_id in product_ids:
        if not is_known(product_id, found):
            others = [source_ids.text(one) for one in spellings(product_id) - {product_id} if is_known(one, found)]
            hint = f"did you mean {others[0]}?" if others else "is the id right?"
            lines.append(f"  warning: nothing here knows product {source_ids.text(product_id)}: {hint}")
    keys = {version.stored.key for version in found.listed.versions}
    lines += [
        "This will be removed:",
        f"  {len(keys)} photos, {len(found.listed.versions)} versions and delete markers, from {bucket}",
        f"  all rows of {len({stored.etag for stored in found.known})} etags in the caches in "
        f"{settings.cache_directory()}, and the packs there that hold their bytes",
        *(f"  {path}" for path in found.outputs),
        f"  {len(found.cached)} files in DVC's cache",
    ]
    lines += describe_kept(found)
    if rows := list(find_corrections(frozenset(product_ids))):
        lines += ["These rows name it as well. Edit them by hand: git keeps them.", *(f"  {row}" for row in rows)]
    if found.alike:
        lines += ["Photos of other products that look alike stay. If they go too, name these products as well:"]
        lines += [f"  {line}" for line in found.alike]
    return "\n".join(lines)


def describe_kept(found: Found) -> list[str]:
    """Return lines about the products' objects that stay in the bucket, none where all go."""
    kept = sorted({version.stored.key for version in found.listed.kept})
    used = [key for key in kept if key in found.keys.others]
    rest = [key for key in kept if key not in found.keys.others]
    lines = []
    if rest:
        lines.append("These objects stay, as imageset did not write them. Delete them yourself, or add --delete-named:")
        lines += [f"  {key!r}" for key in rest]
    if used:
        lines.append("These objects stay, as they are photos of other products, too. If they go, name these as well:")
        lines += [f"  {key!r}, of product {source_ids.text(found.keys.others[key])}" for key in used]
    return lines


def confirm() -> bool:
    """Ask whether to go on. No answer, such as the end of the input, means no."""
    try:
        return input("Remove all this? It cannot be undone. [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def forget(bucket: Bucket, product_ids: frozenset[int], found: Found) -> None:
    """Remove everything, in an order in which a second run can finish what a killed one left.

    First the line that keeps stages from fetching the photos again. Then the caches: their rows are found by etags,
    which the bucket and the inventory name. Then the bucket, then the files, with the inventory.

    Raises:
        ImagesetError: a cache is damaged, or a run reads it. Nothing after it in this order is removed then.
        ServerError: the bucket refuses. All else is removed then.
    """
    takedowns.add(TAKEDOWNS, sorted(product_ids), datetime.date.today())
    print(f"forget: {TAKEDOWNS} names the products", flush=True)
    caches.keep_other_results(bucket, product_ids, params.load().preprocess.max_pixels)
    samples = objects.read_samples(bucket, found.listed)
    for line in caches.forget(bucket, product_ids, found.known, samples):
        print(f"forget: {line}", flush=True)
    refused: ServerError | None = None
    try:
        objects.remove(bucket, product_ids, found.listed, found.keys)
        print(f"forget: removed {len(found.listed.versions)} versions from {bucket}", flush=True)
    except ServerError as error:
        refused = error
    working_files.remove([*found.cached, *found.outputs])
    print(f"forget: removed {len(found.outputs)} files here and {len(found.cached)} in DVC's cache", flush=True)
    if refused is not None:
        raise refused


def say_what_remains(found: Found) -> str:
    """Return what still holds the products, and the commands for it."""
    branch = dvc.capture("git", "branch", "--show-current").strip() or "<your branch>"
    has_origin = "origin" in dvc.capture("git", "remote").split()
    releases = remaining.describe_releases(found.releases, branch, has_origin)
    kept = "".join(f"{line}\n" for line in ["", *describe_kept(found)]) if found.listed.kept else ""
    return (
        f"{kept}\nNow make the dataset again, and commit and push it:\n"
        f'    dvc repro && git add {TAKEDOWNS} dvc.lock reports && git commit -m "A takedown" && '
        f"{remaining.with_keys('dvc push')}\n\n"
        f"{releases}\n"
        f"When that is done, this deletes the data of all other commits from the remote and from this machine. First "
        f"check out or fetch\nthe branches of others whose data has to stay, as their own local branches:\n"
        f"    {remaining.with_keys(remaining.GARBAGE)}\n\n{remaining.UNREACHABLE}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.forget", description=__doc__)
    parser.add_argument("ids", metavar="ID", nargs="+", type=parse_id, help="product_id of the source, such as 1234567")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--delete-named", action="store_true", help="also delete objects that imageset did not write: those of `key`"
    )
    arguments = parser.parse_args()
    settings.load()
    if not Path("dvc.yaml").exists():
        raise ImagesetError("run this in the root folder of the project, where dvc.yaml is")
    product_ids, bucket = frozenset(arguments.ids), open_bucket()
    takedowns.read(TAKEDOWNS)
    with other_runs.keep_away():
        found = find(bucket, product_ids, arguments.delete_named)
        print(describe(bucket, sorted(product_ids), found), flush=True)
        if not arguments.yes and not confirm():
            print("forget: nothing was removed")
            sys.exit(command.FAILED)
        forget(bucket, product_ids, found)
    print(say_what_remains(found), end="")


if __name__ == "__main__":
    command.run("forget", main)
