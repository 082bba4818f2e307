"""Describe every photo by an embedding, as it was before background removal: data/embeddings.h5."""

import math
from contextlib import closing
from functools import partial
from pathlib import Path

from imageset.errors import DataError
from imageset.formats import tables
from imageset.photos import embedding_worker, networks
from imageset.photos.batches import collect_results, load_networks, look_up, make_batches, run_batches
from imageset.photos.decode import PhotoLimits
from imageset.photos.earlier_embeddings import EARLIER_EMBEDDINGS
from imageset.photos.earlier_file import import_earlier
from imageset.photos.embedding_cache import EmbeddingCache
from imageset.photos.embedding_file import BYTES_PER_PHOTO, writing_embeddings
from imageset.photos.embedding_recipe import describe_recipe, identify_embeddings
from imageset.photos.embeddings import EmbeddingRecipe
from imageset.photos.file_formats import list_decodable
from imageset.runtime import files, params, rates, settings, stage
from imageset.storage.bucket import open_bucket
from imageset.workers.carried_file import carry_file
from imageset.workers.ordered_map import WorkerPool
from imageset.workers.pools import open_workers

PHOTOS_AT_ONCE = 16  # that a worker takes, 0.2 s of its work


def load_weights(pool: WorkerPool, weights: Path, unknown: int, address: str) -> Path:
    """Check the weights and have the workers load the network.

    Args:
        pool: the workers.
        weights: the file.
        unknown: of how many photos no embedding is known.
        address: of the Dask scheduler, "" for this machine.

    Returns:
        The weights, as workers take them.

    Raises:
        DataError: the file is not that of the network.
    """
    network, sha256 = networks.EMBEDDING
    if not weights.is_file() or files.sha256(weights) != sha256:
        raise DataError(f"{weights} does not have the sha256 of {network}: remove it and run `dvc repro`")
    carried = carry_file(weights) if address else weights
    print(f"embed: loading {network}", flush=True)
    load_networks(pool, partial(embedding_worker.load_network, weights=carried), math.ceil(unknown / PHOTOS_AT_ONCE))
    return carried


def main(inventory_csv: Path, efficientnet_lite0_pth: Path, embeddings_h5: Path) -> None:
    """Describe every photo by an embedding, as it was before background removal.

    Args:
        inventory_csv: the objects of the bucket that the dataset is made of.
        efficientnet_lite0_pth: the weights of the network; not read where all embeddings are known.
        embeddings_h5: the embedding of every photo, or why it has none.
    """
    embed = params.load().embed
    if not embed.enabled:
        with writing_embeddings(embeddings_h5, 0, ""):
            pass
        rates.note(0)
        print("embed: none, as embed.enabled is false")
        return
    limits = PhotoLimits(params.load().preprocess.max_pixels, list_decodable(params.load().ingest.formats))
    max_rejected_share = params.load().preprocess.max_rejected_share
    settings.object_cache_bytes()  # workers read it; a wrong one is refused before any work
    bucket, address, photos = open_bucket(), settings.dask(), tables.count(inventory_csv)
    files.require_space(embeddings_h5, BYTES_PER_PHOTO * photos)
    recipe, weights = describe_recipe(limits.formats), efficientnet_lite0_pth
    with closing(EmbeddingCache(settings.embedding_cache(), bucket, recipe, limits.max_pixels)) as cache:
        unknown = import_earlier(EARLIER_EMBEDDINGS, inventory_csv, cache, embeddings_h5, recipe)
        with (
            open_workers(address, settings.workers(), partial(identify_embeddings, limits.formats)) as pool,
            writing_embeddings(embeddings_h5, photos, recipe) as add_embedding,
        ):
            if unknown:
                weights = load_weights(pool, weights, unknown, address)
            batches = make_batches(look_up(inventory_csv, cache.find), PHOTOS_AT_ONCE, BYTES_PER_PHOTO)
            function = partial(embedding_worker.embed_batch, recipe=EmbeddingRecipe(weights, limits))
            answers = run_batches(batches, pool, function, lambda request, made: cache.add(request.stored, made))
            outcomes, asked = collect_results(
                answers,
                "embed",
                photos,
                unknown,
                lambda row, made: add_embedding(row.product_id, row.position, row.request.stored, made),
            )
            outcomes.check(max_rejected_share, str(embeddings_h5))
    rates.note(photos, unknown)
    print(
        f"embed: {photos} photos, {outcomes.done} embeddings, {photos - unknown} known before, "
        f"{outcomes.reasons.total()} rejected ({outcomes.tally()}); the bucket was asked for "
        f"{asked}{outcomes.suggest_retry('embed')}"
    )


if __name__ == "__main__":
    stage.run("embed", main)
