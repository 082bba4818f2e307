"""Run a stage on results that cost no work, in a process of its own: what is left is the one process that writes.

Prints the processor time of this process, and the seconds from the start of the stage to its end, as JSON.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.cluster import canned
from benchmarks.shared.measure import ROOT
from imageset.dataset import render, write
from imageset.photos import embedding_worker, mask_worker, pixel_worker
from imageset.photos.engines import Network
from imageset.workers.dask_cluster import connect_workers
from stages import build, embed, masks, preprocess

DATA = Path("data").absolute()  # workers are in another folder
INVENTORY = DATA / "inventory.csv"
WEIGHTS = ROOT / "models/u2netp-int8.zip"


class FreePool:
    """A pool that has every result at once, in this process."""

    slots = 2

    def submit(self, function: Callable[[list[Any]], Any], items: list[Any]) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(function(items))
        return future


def give_results(address: str) -> None:
    """Put results that cost no work in the place of the workers' functions; without an address, the pool's as well."""
    vars(mask_worker).update(mask_batch=canned.mask_batch, load_network=canned.load_network)
    vars(embedding_worker).update(embed_batch=canned.embed_batch)
    vars(pixel_worker).update(preprocess_batch=canned.preprocess_batch)
    vars(masks).update(choose_network=lambda *_: Network("u2netp", WEIGHTS, 320, "int8", "cpu"))
    vars(masks).update(carry_file=lambda path: path)
    vars(embed).update(load_weights=lambda pool, weights, unknown, address: weights)
    if not address:
        for stage in (masks, embed, preprocess):
            vars(stage).update(open_workers=lambda *_: nullcontext(FreePool()))


def render_again(batches: list[render.SourceRows], recipe: render.RenderRecipe, kept: list[Any]) -> list[Any]:
    """Return the pixels of an earlier batch for each batch, in as many rows as it has."""
    if not kept or batches[0].total > len(kept[0]):
        kept[:] = render.render(batches, recipe)
    return [kept[0][: rows.total] for rows in batches]


@contextmanager
def cluster_for_build(address: str) -> Iterator[Any]:
    with connect_workers(address, list) as pool:
        yield pool


def prepare_build(how: str) -> None:
    """Let stage build have pixels that cost no work ("free"), or those that a cluster renders (its address)."""
    if how == "free":
        vars(write).update(render=partial(render_again, kept=[]), LocalWorkers=lambda *_, **__: nullcontext(FreePool()))
    elif how:
        vars(write).update(LocalWorkers=lambda *_, **__: cluster_for_build(how))


def run(stage: str, how: str) -> None:
    """Run a stage. how: "" or an address for masks, embed and preprocess; for build as prepare_build takes it."""
    if stage == "build":
        prepare_build(how)
        names = ("processed.h5", "catalog.csv", "label_map.csv", "split.csv", "attributes.csv", "dataset.h5")
        build.main(*(DATA / name for name in names))
        return
    give_results(how)
    if stage == "masks":
        masks.main(INVENTORY, Path("none"), Path("none"), DATA / "masks.h5", DATA / "masks.csv")
    elif stage == "embed":
        embed.main(INVENTORY, Path("none"), DATA / "embeddings.h5")
    else:
        outputs = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv", "photos.csv", "previews.h5")
        preprocess.main(INVENTORY, DATA / "masks.h5", *(DATA / name for name in outputs))


if __name__ == "__main__":
    began = time.monotonic()
    run(*sys.argv[1:])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "wall": time.monotonic() - began}))
