"""Pairs of near hashes by imageset, faiss, imagededup and a BK-tree: the same hashes, the same pairs, a process each.
Hashes by imageset and imagededup: of the same files, on one core.

The first run puts the contenders into `.cache/bench-duplicates`, without what they need for other things: imagededup
wants another torch for its networks, which its search does not use.
"""

import json
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.near_duplicates import synthetic
from benchmarks.near_duplicates.photos import LIMITS
from benchmarks.shared.measure import ROOT
from benchmarks.shared.tables import rounds, table
from imageset.curation.candidates import blocks
from imageset.curation.hamming import find_near
from imageset.curation.sieve import hash_with_signs
from imageset.curation.views import Hashes
from imageset.formats.hdf5 import Pixels
from imageset.leakage.planting import see_photo
from imageset.photos.scaled_decodes import ScaledDecodes

PACKAGES = ROOT / ".cache/bench-duplicates"
PINS = ("faiss-cpu==1.15.1", "imagededup==0.3.3.post2", "pybktree==1.1")
DISTANCE = 6
QUERIES = 500  # of those that would take an hour for all: their seconds and pairs are extrapolated from these
EXTRAPOLATED = ("imagededup", "BK-tree")


def by_imageset(hashes: Hashes, queries: Hashes) -> int:
    return sum(len(left) for left, _ in find_near(queries, hashes, DISTANCE))


def by_faiss_flat(hashes: Hashes, queries: Hashes) -> int:
    import faiss  # type: ignore[import-not-found]

    return search_faiss(faiss.IndexBinaryFlat(64), hashes, queries)


def by_faiss_multi_hash(hashes: Hashes, queries: Hashes) -> int:
    """Four parts of 16 bits: one of them differs in at most one bit."""
    import faiss

    index = faiss.IndexBinaryMultiHash(64, 4, 16)
    index.nflip = 1
    return search_faiss(index, hashes, queries)


def search_faiss(index: Any, hashes: Hashes, queries: Hashes) -> int:
    index.add(hashes.view(np.uint8).reshape(-1, 8))
    limits, _, _ = index.range_search(queries.view(np.uint8).reshape(-1, 8), DISTANCE + 1)
    return int(limits[-1])


def prepare_imagededup() -> None:
    """Let its modules be imported without each package's __init__.py, which imports the networks."""
    for name in ("", ".handlers", ".handlers.search", ".methods", ".utils"):
        package = types.ModuleType(f"imagededup{name}")
        package.__path__ = [str(PACKAGES / f"imagededup{name}".replace(".", "/"))]
        sys.modules[package.__name__] = package


def by_imagededup(hashes: Hashes, queries: Hashes) -> int:
    """As its PHash.find_duplicates searches: brute force in C, in a process for each core."""
    prepare_imagededup()
    from imagededup.handlers.search.retrieval import HashEval  # type: ignore[import-not-found]

    known, asked = (
        {f"{prefix}{number}": f"{value:016x}" for number, value in enumerate(each.tolist())}
        for prefix, each in (("k", hashes), ("q", queries))
    )
    found = HashEval(known, asked, count_bits, verbose=False, threshold=DISTANCE).retrieve_results()
    return sum(map(len, found.values()))


def count_bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def by_bk_tree(hashes: Hashes, queries: Hashes) -> int:
    import pybktree  # type: ignore[import-not-found]

    tree = pybktree.BKTree(pybktree.hamming_distance, hashes.tolist())
    return sum(len(tree.find(query, DISTANCE)) for query in queries.tolist())


WAYS: dict[str, Callable[[Hashes, Hashes], int]] = {
    "imageset": by_imageset,
    "faiss, IndexBinaryFlat": by_faiss_flat,
    "faiss, IndexBinaryMultiHash": by_faiss_multi_hash,
    "imagededup": by_imagededup,
    "BK-tree": by_bk_tree,
}


def hash_by_imageset(paths: Sequence[Path]) -> Pixels:
    """Return thumbnails, as stage preprocess makes them with the hash of each photo and that of its mirror image."""
    bodies = (path.read_bytes() for path in paths)
    seen = [see_photo(body, ScaledDecodes(body, LIMITS, known_whole=True)) for body in bodies]
    return np.stack([photo.thumbnail[..., 0] for photo in seen])


def hash_views_by_imageset(paths: Sequence[Path]) -> None:
    """And the hashes of 80 views of each thumbnail, with their signs, as the search does."""
    thumbnails = hash_by_imageset(paths)
    for block in blocks(len(paths)):
        hash_with_signs(thumbnails[block])


def hash_by_imagededup(paths: Sequence[Path]) -> None:
    """As its PHash.encode_images does in each of its processes."""
    prepare_imagededup()
    from imagededup.methods.hashing import PHash  # type: ignore[import-not-found]

    hasher = PHash(verbose=False)
    for path in paths:
        hasher.encode_image(image_file=str(path))


HASHERS: dict[str, Callable[[Sequence[Path]], object]] = {
    "imageset: the photo and its mirror image": hash_by_imageset,
    "imageset: these, and 80 views": hash_views_by_imageset,
    "imagededup, PHash: the photo": hash_by_imagededup,
}


def install() -> None:
    if not PACKAGES.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PACKAGES), *PINS]
        subprocess.run(pip, check=True)


def compare_hashing(bodies: Sequence[bytes], turns: int) -> None:
    """Print the processor time of the hashes of some photos, from their files, on one core."""
    install()
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(bodies):
            (Path(folder) / f"{number}.jpeg").write_bytes(body)
        results = rounds({name: partial(run, name, Path(folder)) for name in HASHERS}, turns)
    table(
        (f"hashes of {len(bodies):,} photos", "processor ms a photo"),
        [
            (name, f"{median(1000 * seconds / len(bodies) for seconds, _ in found):.2f}")
            for name, found in results.items()
        ],
    )


def compare(real: Pixels, count: int, turns: int) -> None:
    """Print how long each takes for so many hashes, of synthetic photos.

    real: thumbnails, uint8 (R, 64, 64).
    """
    install()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hashes.npy"
        np.save(path, synthetic.write_photos(Path(folder) / "thumbnails", real, count))
        results = rounds({name: partial(run, name, path) for name in WAYS}, turns)
    ours = [seconds for seconds, _ in results["imageset"]]

    def lines() -> list[tuple[str, ...]]:
        return [
            (
                name,
                f"{median(seconds for seconds, _ in found):.1f}",
                f"{median(seconds / one for (seconds, _), one in zip(found, ours, strict=True)):.1f}",
                f"{found[0][1]:,.0f}",
            )
            for name, found in results.items()
        ]

    table((f"{count:,} hashes, {DISTANCE} bits", "seconds", "times ours", "pairs, both ways"), lines())


def run(name: str, path: Path) -> tuple[float, float]:
    """Return the seconds and the pairs of one way, in a process of its own, without its start and imports."""
    command = [sys.executable, "-m", "benchmarks.near_duplicates.others", name, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, pairs = json.loads(done.stdout.splitlines()[-1])
    return seconds, pairs


def main() -> None:
    name, path = sys.argv[1:]
    sys.path.append(str(PACKAGES))
    if name in HASHERS:
        print(json.dumps(time_hasher(name, sorted(Path(path).iterdir()))))
        return
    hashes = np.load(path)
    time_way(name, hashes[:1000], hashes[:1])  # its imports
    if name not in EXTRAPOLATED:
        print(json.dumps(time_way(name, hashes, hashes)))
        return
    # Twice as many queries take so much longer. What comes before the queries is in both times.
    few, more = (hashes[:: max(1, len(hashes) // count)] for count in (QUERIES, 2 * QUERIES))
    (least, _), (most, pairs) = time_way(name, hashes, few), time_way(name, hashes, more)
    each = (most - least) / (len(more) - len(few))
    print(json.dumps([least + each * (len(hashes) - len(few)), pairs * len(hashes) / len(more)]))


def time_hasher(name: str, paths: Sequence[Path]) -> tuple[float, int]:
    with threadpool_limits(limits=1):
        HASHERS[name](paths[:1])  # its imports
        begin = time.process_time()  # other work on the machine hardly counts
        HASHERS[name](paths)
        return time.process_time() - begin, len(paths)


def time_way(name: str, hashes: Hashes, queries: Hashes) -> tuple[float, int]:
    begin = time.perf_counter()
    pairs = WAYS[name](hashes, queries)
    return time.perf_counter() - begin, pairs


if __name__ == "__main__":
    main()
