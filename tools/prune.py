"""Shrink the cache of masks and pixels: python -m tools.prune [--days 30]"""

import argparse
import re

from imageset.photos.cache import prune
from imageset.runtime import command, settings


def days(text: str) -> int:
    """Return a number of days, 0 to 9999. Raises ValueError."""
    if not re.fullmatch("[0-9]{1,4}", text):
        raise ValueError
    return int(text)


def main() -> None:
    """Remove what no run has used for a while; what is needed again is made again."""
    parser = argparse.ArgumentParser("python -m tools.prune", description=main.__doc__)
    parser.add_argument("--days", type=days, default=30, help="keep what a run has used in so many days (30)")
    chosen = parser.parse_args().days
    settings.load()
    path = settings.photo_cache()
    if not path.exists():
        print(f"prune: there is no {path}")
        return
    before = path.stat().st_size
    removed = prune(path, chosen)
    print(
        f"prune: {removed['masks']} masks and {removed['pixels']} photos' pixels removed, {path} shrank from "
        f"{before / 1e6:,.1f} to {path.stat().st_size / 1e6:,.1f} MB"
    )


if __name__ == "__main__":
    command.run("prune", main)
