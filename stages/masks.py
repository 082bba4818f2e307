"""Find the garment in every photo: its mask goes to data/masks.h5, what the mask looks like to data/masks.csv."""

import math
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from imageset.errors import DataError, ParamsError
from imageset.formats import tables
from imageset.photos import mask_worker, networks
from imageset.photos.batches import PhotoRow, collect_results, load_networks, look_up, make_batches, run_batches
from imageset.photos.decode import PhotoLimits
from imageset.photos.earlier_file import import_earlier
from imageset.photos.earlier_masks import EARLIER_MASKS
from imageset.photos.engines import Network
from imageset.photos.file_formats import list_decodable
from imageset.photos.hardware import list_gpus, name_engine
from imageset.photos.mask_cache import MaskCache
from imageset.photos.mask_file import AddMask, writing_masks
from imageset.photos.mask_recipe import describe_recipe, identify_masks
from imageset.photos.masks import MaskRecipe
from imageset.photos.outcomes import PhotoMask, Rejected
from imageset.runtime import files, params, rates, settings, stage
from imageset.runtime.sections import MasksParams
from imageset.storage.bucket import open_bucket
from imageset.workers.carried_file import carry_file
from imageset.workers.pools import open_workers

PHOTOS_AT_ONCE = 8  # that a worker takes: the network's time is what counts
PHOTOS_FOR_A_GPU = 32
BYTES_PER_PIXEL = 0.1  # of compressed masks, measured on photos of clothes

AddRow = Callable[[tuple[Any, ...]], None]


def choose_network(masks: MasksParams, name: str, sha256: str, background_onnx: Path, u2netp_int8_zip: Path) -> Network:
    """Return the network that params name, with its weights.

    Args:
        masks: the section.
        name: model.name.
        sha256: model.sha256.
        background_onnx: the weights that model.sha256 names.
        u2netp_int8_zip: u2netp in int8.

    Raises:
        ParamsError: the network is unknown, or does not take `side` or `precision`.
        DataError: the weights are not those that params name.
    """
    spec = networks.find_spec(name)
    if masks.side not in (None, spec.side) and not spec.any_side:
        raise ParamsError(f"params.yaml: masks.side = {masks.side}: {name} takes {spec.side} only: expected null")
    if files.sha256(background_onnx) != sha256:
        raise DataError(
            f"{background_onnx} does not have the sha256 that params.yaml names: remove it and run `dvc repro`"
        )
    weights = background_onnx
    if masks.precision == "int8":
        if (name, sha256) != networks.QUANTIZED or masks.side not in (None, spec.side):
            raise ParamsError(
                "params.yaml: masks.precision = 'int8': there is such a network for u2netp as it is shipped, with side "
                f"null, only: this is {name} with sha256 {sha256[:8]}... and side {masks.side}"
            )
        weights = u2netp_int8_zip
    return Network(name, weights, masks.side or spec.side, masks.precision, masks.device)


def write_photo(row: PhotoRow, outcome: PhotoMask | Rejected, engine: str, add_mask: AddMask, add_row: AddRow) -> None:
    """Write a photo's mask and what it looks like, or the reason why it has none."""
    photo = row.product_id, row.position
    add_mask(*photo, row.request.stored, outcome)
    if isinstance(outcome, PhotoMask):
        shares = f"{outcome.foreground_share:.4f}", f"{outcome.border_share:.4f}"
        made_by = "alpha" if outcome.from_alpha else engine
        add_row((*photo, *shares, outcome.pieces, f"{outcome.uncertainty:.4f}", made_by, ""))
    else:
        add_row((*photo, "", "", None, "", "", outcome.reason))


def write_nothing(masks_h5: Path, masks_csv: Path) -> None:
    """Write the outputs of a dataset that keeps backgrounds."""
    with writing_masks(masks_h5, 0, 1, ""), tables.writing(masks_csv, tables.MASKS):
        pass
    rates.note(0)
    print("masks: none, as masks.background is keep")


def main(inventory_csv: Path, background_onnx: Path, u2netp_int8_zip: Path, masks_h5: Path, masks_csv: Path) -> None:
    """Find the garment in every photo, by the background-removal network.

    Args:
        inventory_csv: the objects of the bucket that the dataset is made of.
        background_onnx: the weights of the background-removal network.
        u2netp_int8_zip: u2netp in int8, for masks.precision int8.
        masks_h5: the network's mask of every photo.
        masks_csv: what each mask looks like, or why a photo has none.
    """
    masks, name, sha256 = params.load().masks, params.load().model.name, params.load().model.sha256
    limits = PhotoLimits(params.load().preprocess.max_pixels, list_decodable(params.load().ingest.formats))
    max_rejected_share = params.load().preprocess.max_rejected_share
    if masks.background == "keep":
        write_nothing(masks_h5, masks_csv)
        return
    network = choose_network(masks, name, sha256, background_onnx, u2netp_int8_zip)
    recipe = describe_recipe(network, limits.formats, masks.use_alpha)
    engine = name_engine(network.precision, network.device)
    settings.object_cache_bytes()  # workers read it; a wrong one is refused before any work
    bucket, address, photos = open_bucket(), settings.dask(), tables.count(inventory_csv)
    files.require_space(masks_h5, int(BYTES_PER_PIXEL * network.side**2 * photos))
    if address:
        network = network._replace(weights=carry_file(network.weights))
    function = partial(mask_worker.mask_batch, recipe=MaskRecipe(network, limits, masks.use_alpha))
    identify = partial(identify_masks, network.precision, network.device, limits.formats)
    processes = len(list_gpus()) if network.device == "cuda" else settings.workers()
    with closing(MaskCache(settings.mask_cache(), bucket, recipe, limits.max_pixels)) as cache:
        unknown = import_earlier(EARLIER_MASKS, inventory_csv, cache, masks_h5, recipe)
        with (
            open_workers(address, processes, identify) as pool,
            writing_masks(masks_h5, photos, network.side, recipe) as add_mask,
            tables.writing(masks_csv, tables.MASKS) as add_row,
        ):
            at_once = PHOTOS_FOR_A_GPU if network.device == "cuda" else PHOTOS_AT_ONCE
            if unknown:
                print(f"masks: loading {network.name}", flush=True)
                load_networks(pool, partial(mask_worker.load_network, network=network), math.ceil(unknown / at_once))
            batches = make_batches(look_up(inventory_csv, cache.find), at_once, network.side**2)
            answers = run_batches(batches, pool, function, lambda request, made: cache.add(request.stored, made))
            write = partial(write_photo, engine=engine, add_mask=add_mask, add_row=add_row)
            outcomes, asked = collect_results(answers, "masks", photos, unknown, write)
            outcomes.check(max_rejected_share, str(masks_csv))
    rates.note(photos, unknown, f"{network.name} {network.side} {network.precision} {network.device}")
    print(
        f"masks: {photos} photos, {outcomes.done} masks, {photos - unknown} known before, {outcomes.reasons.total()} "
        f"rejected ({outcomes.tally()}); the bucket was asked for {asked}{outcomes.suggest_retry('masks')}"
    )


if __name__ == "__main__":
    stage.run("masks", main)
