"""How many planted errors stage audit finds, what it takes, and what it finds: python -m benchmarks.audit WHAT

labels: labels flipped at random, beside cleanlab; outliers: planted pictures that are no garments; damage: masks that
lost a part of the garment, blurred, dark and flat photos; classes: a class split into two, a class of random photos;
growth: seconds and memory; sheet KIND: a picture of the first suspects of a kind in a project's data folder.
"""

import argparse
from pathlib import Path

from benchmarks.audit import growth, quality
from benchmarks.audit.photos import read_photos
from benchmarks.audit.planted_classes import report_classes
from benchmarks.audit.planted_damage import report_damage
from benchmarks.audit.sheet import draw_suspects
from benchmarks.shared.environments import install
from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import REAL_PHOTOS, circumstances

ENVIRONMENT = ROOT / ".cache/bench"  # that of benchmarks/ingest
WEIGHTS = ROOT / "models/efficientnet-lite0.pth"
KINDS = ("label", "outlier", "mask", "photo")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.audit", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)
    damage = commands.add_parser("damage")
    damage.add_argument("--photos", type=Path, default=REAL_PHOTOS, help="a folder for each class")
    damage.add_argument("--draws", type=int, default=10, help="of the photos that are damaged (10)")
    for name in ("labels", "outliers", "classes"):
        quality_parser = commands.add_parser(name)
        quality_parser.add_argument("--photos", type=Path, default=REAL_PHOTOS, help="a folder for each class")
        quality_parser.add_argument("--weights", type=Path, default=WEIGHTS, help="of the network of stage embed")
        quality_parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    commands.choices["labels"].add_argument("--share", type=float, default=0.05, help="of the labels, flipped (0.05)")
    commands.choices["labels"].add_argument("--no-cleanlab", action="store_true", help="do not compare with cleanlab")
    commands.choices["labels"].add_argument("--python", type=Path, help="one that has cleanlab; else it is installed")
    grown = commands.add_parser("growth")
    grown.add_argument("--photos", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    grown.add_argument("--classes", type=int, default=700)
    sheet = commands.add_parser("sheet")
    sheet.add_argument("kind", choices=KINDS)
    sheet.add_argument("--data", type=Path, default=ROOT / "data")
    sheet.add_argument("--count", type=int, default=30)
    sheet.add_argument("--to", type=Path, required=True, metavar="PNG")
    return parser.parse_args()


def find_cleanlab(chosen: argparse.Namespace) -> Path | None:
    """Return a Python that has cleanlab, after installing it where none is given; None: do without."""
    if chosen.no_cleanlab:
        return None
    if chosen.python is None:
        install(ROOT / "requirements-bench.txt", ENVIRONMENT)
    python: Path = chosen.python or ENVIRONMENT / "bin/python"
    return python


def main() -> None:
    chosen = parse()
    chosen.turns = 1
    if chosen.what == "sheet":
        chosen.to.write_bytes(draw_suspects(chosen.data, chosen.kind, chosen.count))
        return
    circumstances(chosen, f"{chosen.photos}", "numpy", "scipy")
    if chosen.what == "growth":
        growth.report(chosen.photos, chosen.classes)
        return
    if chosen.what == "damage":
        report_damage(chosen.photos, chosen.draws)
        return
    photos = read_photos(chosen.photos, chosen.weights)
    print(
        f"{len(photos.classes)} photos in {len(photos.names)} classes and {len(set(photos.groups.tolist()))} groups\n"
    )
    if chosen.what == "labels":
        quality.report_labels(photos, chosen.share, chosen.seeds, find_cleanlab(chosen))
    elif chosen.what == "classes":
        report_classes(photos, chosen.seeds)
    else:
        quality.report_outliers(photos, chosen.seeds, chosen.weights)


if __name__ == "__main__":
    main()
