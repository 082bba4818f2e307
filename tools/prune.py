"""`python -m tools.prune [--days 30]`: shrink the caches of masks, embeddings, pixels, the bucket's objects and
the search for near-duplicates."""

import argparse
import re
from pathlib import Path

from imageset.curation import search_cache
from imageset.photos import cache
from imageset.runtime import command, settings
from imageset.storage import object_cache
from tools.photo_caches import earlier_cache, list_photo_caches


def parse_days(text: str) -> int:
    """Return a number of days. Raises argparse.ArgumentTypeError unless it is 0 to 9999."""
    if not re.fullmatch("[0-9]{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 0 to 9999, such as 30")
    return int(text)


def main() -> None:
    """Remove masks, embeddings, pixels, photos of the bucket and hashes of the search for near-duplicates that no run
    has used for some time. A run that needs them again makes or reads them again."""
    parser = argparse.ArgumentParser("python -m tools.prune", description=main.__doc__)
    parser.add_argument(
        "--days", type=parse_days, default=30, help="keep what a run has used in the last DAYS days (30)"
    )
    days = parser.parse_args().days
    settings.load()
    for path, table, columns in list_photo_caches():
        prune_photos(path, table, columns, days)
    prune_objects(settings.object_cache(), days)
    if removed := search_cache.prune(settings.search_cache(), days):
        print(f"prune: removed {settings.search_cache()}, {removed / 1e6:,.1f} MB")
    if (earlier := earlier_cache()).exists():
        print(f"prune: {earlier} is an earlier version's and may be removed")


def prune_photos(path: Path, table: str, columns: str, days: int) -> None:
    """Remove old masks, embeddings or pixels, and say of how many photos."""
    if not path.exists():
        print(f"prune: nothing to remove, {path} does not exist")
        return
    before = path.stat().st_size
    removed = cache.prune(path, table, columns, days)
    print(
        f"prune: removed the {table} of {removed} photos; {path} shrank from {before / 1e6:,.1f} to "
        f"{path.stat().st_size / 1e6:,.1f} MB"
    )


def prune_objects(folder: Path, days: int) -> None:
    """Remove old photos of the bucket, and say how many, where there are any."""
    if folder.exists():
        removed = object_cache.prune(folder, days)
        print(f"prune: removed {removed.objects} photos of the bucket, {removed.bytes / 1e6:,.1f} MB, from {folder}")


if __name__ == "__main__":
    command.run("prune", main)
