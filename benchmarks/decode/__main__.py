"""What does decoding cost, and is it the same everywhere? python -m benchmarks.decode [--help]

README.md says what is measured and how.
"""

import tempfile
from pathlib import Path

from benchmarks.decode.colors import print_costs
from benchmarks.decode.processors import print_processors
from benchmarks.shared.tables import circumstances, options, origin
from benchmarks.shared.workload import read_photos


def main() -> None:
    parser = options("decode", __doc__, 9, 40)
    parser.add_argument("--only", choices=("speed", "processors"), help="one of the tables")
    chosen = parser.parse_args()
    bodies = read_photos(chosen.folder)[: chosen.photos]
    circumstances(chosen, f"{len(bodies)} {origin(chosen.folder)}", "pillow", "numpy")
    if chosen.only != "processors":
        print_costs(bodies, chosen.turns)
    if chosen.only != "speed":
        with tempfile.TemporaryDirectory() as scratch:
            print_processors(chosen.folder, chosen.photos, Path(scratch))


if __name__ == "__main__":
    main()
