"""What each stage takes at growing numbers of photos, from database to report: python -m benchmarks.growth [--help]

A run that was killed goes on at the stage where it was, when the same command is given again. README.md says what is
measured and how.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.growth.figures import MILLION, Sizes, draw_plot, print_growth, print_size
from benchmarks.growth.project import Project, make_thumbnails
from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import REAL_PHOTOS, circumstances, options, origin
from imageset.runtime import files

START = 300  # photos: what a stage takes for these is its start
HOME = ROOT / ".cache/growth"
ORIGINALS = 713


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = options("growth", __doc__, turns=1)
    parser.add_argument("--scale", type=float, default=0.01, metavar="F", help="of a million photos (0.01)")
    parser.add_argument("--start", type=int, default=START, metavar="N", help=f"photos of a start ({START})")
    parser.add_argument("--home", type=Path, default=HOME, metavar="DIR", help="where runs and figures are")
    parser.add_argument("--keep", action="store_true", help="keep a run's files when it is finished")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", default=Path(__file__).with_name("growth.png"))
    parser.add_argument("--like", type=Path, default=REAL_PHOTOS, metavar="PHOTOS", help="real photos to resemble")
    parser.add_argument("--originals", type=int, default=ORIGINALS, metavar="N", help=f"of them ({ORIGINALS})")
    return parser.parse_args(arguments)


def run(project: Project, thumbnails: Path, keep: bool) -> None:
    """Run the stages that have no figures yet, each by DVC."""
    if not project.is_made:
        project.make(thumbnails)
    with project.running() as (environment, servers):
        for stage in project.stages:
            if stage not in project.figures():
                begin = time.monotonic()
                project.run_stage(stage, environment, servers)
                print(f"{project.photos:,}, {stage}: {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
    project.finish(keep)


def read_sizes(home: Path) -> Sizes:
    """Return the figures of all runs that are finished."""
    projects = (Project(folder, int(folder.name)) for folder in home.iterdir() if folder.name.isdecimal())
    return {each.photos: each.figures() for each in sorted(projects, key=lambda each: each.photos) if each.is_finished}


def main(arguments: list[str] | None = None) -> None:
    chosen = parse(arguments)
    home = chosen.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    circumstances(chosen, f"photos like {origin(chosen.like)}", "dvc", "h5py", "numpy", "pandas", "pillow")
    thumbnails = home / f"thumbnails-{chosen.originals}.npy"
    if not thumbnails.exists():
        make_thumbnails(thumbnails, chosen.like, chosen.originals)
    projects = [Project(home / str(photos), photos) for photos in (chosen.start, round(chosen.scale * MILLION))]
    if all(project.is_finished for project in projects):
        for project in projects:
            (project.home / "commit").unlink()
    for project in projects:
        if not project.is_finished or not project.is_made:
            run(project, thumbnails, chosen.keep)
    sizes = read_sizes(home)
    for photos, figures in sizes.items():
        print(f"{photos:,} photos, commit {(home / str(photos) / 'commit').read_text()}:\n")
        print_size(figures)
    print_growth(sizes)
    files.write_bytes(chosen.plot, draw_plot(sizes))


if __name__ == "__main__":
    main()
