"""What benchmarks/preprocess measures the stage against: python -m benchmarks.preprocess.peers NAME

NAME is a function below. The inventory is data/inventory.csv, the bucket the one that IMAGE_STORE names. Those that GET
print the seconds and the processor seconds of it as JSON, their imports left out.
"""

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from imageset.storage.bucket import StoredObject

INVENTORY = Path("data/inventory.csv")
AT_ONCE = 32  # as in imageset/photos/worker.py
BATCH = 64  # as in stages/preprocess.py


def simple() -> None:
    """A simple loop over a bucket: get, decode, make grey, resize, append, one photo after the other."""
    import boto3
    import h5py
    import numpy as np
    from PIL import Image

    bucket = os.environ["IMAGE_STORE"].removeprefix("s3://")
    client = boto3.client("s3")
    data = []
    for stored in inventory():
        body = client.get_object(Bucket=bucket, Key=stored.key)["Body"].read()
        image = Image.open(io.BytesIO(body)).convert("L").resize((128, 128))
        data.append(np.array(image).reshape((128, 128, 1)))
    with h5py.File("data/simple.h5", "w") as file:
        file.create_dataset("images", data=np.array(data))


def obstore() -> None:
    """What the stage does: obstore in threads, every body checked."""
    from imageset.storage import bulk
    from imageset.storage.bucket import open_bucket
    from imageset.storage.object_cache import ObjectCache

    bucket = open_bucket()
    client = bulk.open_client(bucket)
    no_cache = ObjectCache(Path("unused"), 0, bucket)
    get_batches(lambda threads, batch: list(bulk.get_all(threads, client, bucket, no_cache, batch)))


def boto3_in_threads() -> None:
    """The same with boto3."""
    from imageset.storage.bucket import get_object, open_bucket

    bucket = open_bucket()
    get_batches(lambda threads, batch: list(threads.map(partial(get_object, bucket), batch)))


def boto3_one_by_one() -> None:
    """The simple loop's GETs: one after the other, nothing checked but by boto3 itself."""
    import boto3

    bucket = os.environ["IMAGE_STORE"].removeprefix("s3://")
    client = boto3.client("s3")
    get_batches(lambda _, batch: [client.get_object(Bucket=bucket, Key=stored.key)["Body"].read() for stored in batch])


def get_batches(get: Callable[[ThreadPoolExecutor, list[StoredObject]], object]) -> None:
    listed = inventory()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        wall, cpu = time.monotonic(), time.process_time()
        for start in range(0, len(listed), BATCH):
            get(threads, listed[start : start + BATCH])
        print(json.dumps([time.monotonic() - wall, time.process_time() - cpu]), flush=True)


def inventory() -> list[StoredObject]:
    with INVENTORY.open(newline="") as file:
        return [
            StoredObject(row["key"], row["etag"], int(row["bytes"]), row["version_id"]) for row in csv.DictReader(file)
        ]


PEERS = {peer.__name__: peer for peer in (simple, obstore, boto3_in_threads, boto3_one_by_one)}


if __name__ == "__main__":
    PEERS[sys.argv[1]]()
