"""Loaders that read photos out of a bucket: python -m benchmarks.streaming.contenders NAME FOLDER SETTINGS

It reads EPOCHS epochs with an empty cache, FOLDER/cache, and prints the seconds from the opening to the first batch and
the images/s of each epoch; that of the first one counts from the opening. A photo's label is its row, so each epoch
tells whether it has every row. One more epoch, without a clock, shows that each image is that of its label.

It runs in this project's environment and in those of benchmarks/loader/requirements.txt.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.loader.peers import load_with_litdata, stacked, streaming
from benchmarks.loader.workload import (
    BATCH,
    MEANS,
    PLAIN,
    Batches,
    Settings,
    chosen_rows,
    require_all,
    torch_loader,
    verify,
)

EPOCHS = 2
BUCKET = "imageset-photos"
ENDPOINT, KEY, SECRET = "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


Opener = Callable[[], Batches]  # opens the photos in the bucket: what was imported before that is not measured


def imageset(cache: Path, settings: Settings) -> Opener:
    reader = import_module("imageset.reader")
    import_module("obstore.store")

    def opened() -> Batches:
        dataset = reader.ImageSet(f"s3://{BUCKET}/{PLAIN}", cache_dir=cache)
        loader: Batches = reader.loader(dataset, BATCH, settings["shuffle"])
        return loader

    return opened


def copied(cache: Path, settings: Settings) -> Opener:
    """Copy the whole file, as `dvc pull` does, and train on it then."""
    obstore, store = import_module("obstore"), import_module("obstore.store")
    reader = import_module("imageset.reader")

    def opened() -> Batches:
        cache.mkdir()
        client = store.S3Store(BUCKET, endpoint=os.environ[ENDPOINT], client_options={"allow_http": True})
        with (cache / PLAIN).open("wb") as file:
            for part in obstore.get(client, PLAIN).stream():
                file.write(part)
        loader: Batches = reader.loader(reader.ImageSet(cache / PLAIN), BATCH, shuffle=True)
        return loader

    return opened


def litdata(cache: Path, settings: Settings) -> Opener:
    package = import_module("litdata")
    # Its client refuses a server without TLS, such as this one.
    import_module("litdata.streaming.downloader")._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
    options = {
        "endpoint_url": os.environ[ENDPOINT],
        "aws_access_key_id": os.environ[KEY],
        "aws_secret_access_key": os.environ[SECRET],
    }

    def opened() -> Batches:
        dataset = package.StreamingDataset(
            f"s3://{BUCKET}/litdata", cache_dir=str(cache), shuffle=True, drop_last=False, storage_options=options
        )
        return load_with_litdata(dataset, settings)

    return opened


def mosaicml(cache: Path, settings: Settings) -> Opener:
    os.environ["S3_ENDPOINT_URL"] = os.environ[ENDPOINT]
    package = streaming()

    def opened() -> Batches:
        dataset = package.StreamingDataset(
            remote=f"s3://{BUCKET}/streaming",
            local=str(cache),
            shuffle=True,
            batch_size=BATCH,
            shuffle_algo=settings["algorithm"],
        )
        return torch_loader(dataset, settings, collate_fn=stacked)

    return opened


CONTENDERS: Mapping[str, Callable[[Path, Settings], Opener]] = {
    "imageset": imageset,
    "copied": copied,
    "litdata": litdata,
    "streaming": mosaicml,
}


def main(name: str, folder: Path, as_json: str) -> None:
    settings = json.loads(as_json)
    means = np.load(folder / MEANS)
    rows = chosen_rows(len(means), settings)
    rates, first = [], 0.0
    opener = CONTENDERS[name](folder / "cache", settings)
    begin = opened = time.perf_counter()
    batches = opener()
    for _ in range(EPOCHS):
        count = total = 0
        for _, labels in batches:
            first = first or time.perf_counter() - opened
            count += len(labels)
            total += int(labels.sum())
        require_all(count, total, rows)
        now = time.perf_counter()
        rates.append(count / (now - begin))
        begin = now
    verify(batches, means, rows, settings)
    print(json.dumps({"first": first, "rates": rates}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
