"""What the stage is measured against: python -m benchmarks.ingest.peers NAME URLS CONCURRENCY

NAME is a function below. URLS is a file of one url a line. Each is a quick script: no limits per host, no retries,
no memory of failures; an error ends it. IMAGE_STORE names the bucket. The environment is that of the stage.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import boto3
from botocore.config import Config

from imageset.photos import decode
from imageset.photos.decode import PhotoLimits

LIMITS = PhotoLimits(50_000_000)

Keep = Callable[[str, bytes], Awaitable[object]]


def check(body: bytes) -> None:
    """Decode to the last pixel; raises Undecodable."""
    decode.check(body, LIMITS)


@cache
def client(connections: int) -> Any:
    return boto3.client("s3", config=Config(max_pool_connections=connections))


def put(key: str, body: bytes, connections: int) -> None:
    bucket, _, prefix = os.environ["IMAGE_STORE"].removeprefix("s3://").partition("/")
    client(connections).put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=body, IfNoneMatch="*")


def check_and_put(key: str, body: bytes) -> None:
    check(body)
    put(key, body, 1)


async def fetch(urls: list[str], concurrency: int, keep: Keep) -> None:
    """GET every url, so many at a time, and give each body to `keep`, named by the url's last part."""
    waiting = iter(urls)

    async def work(session: aiohttp.ClientSession) -> None:
        for url in waiting:
            async with session.get(url) as answer:
                answer.raise_for_status()
                body = await answer.read()
            await keep(url.rpartition("/")[2], body)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(work(session) for _ in range(concurrency)))


async def get(urls: list[str], concurrency: int) -> None:
    """GET alone: what client and photo server allow at most."""

    async def drop(key: str, body: bytes) -> None:
        pass

    await fetch(urls, concurrency, drop)


async def boto3_in_workers(urls: list[str], concurrency: int) -> None:
    """Decode and put with boto3, both in worker processes: each puts one photo at a time."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        await fetch(urls, concurrency, lambda key, body: loop.run_in_executor(processes, check_and_put, key, body))


async def boto3_in_threads(urls: list[str], concurrency: int) -> None:
    """Decode in worker processes, put with boto3 from threads of the main process."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(os.cpu_count()) as processes, ThreadPoolExecutor(concurrency) as threads:

        async def keep(key: str, body: bytes) -> None:
            await loop.run_in_executor(processes, check, body)
            await loop.run_in_executor(threads, put, key, body, concurrency)

        await fetch(urls, concurrency, keep)


async def obstore(urls: list[str], concurrency: int) -> None:
    """Decode in worker processes, put with obstore from the event loop."""
    from obstore import put_async
    from obstore.store import S3Store

    bucket, _, prefix = os.environ["IMAGE_STORE"].removeprefix("s3://").partition("/")
    store = S3Store(
        bucket,
        prefix=prefix,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        virtual_hosted_style_request=False,
        checksum_algorithm="SHA256",
        client_options={"allow_http": True},
    )
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(os.cpu_count()) as processes:

        async def keep(key: str, body: bytes) -> None:
            await loop.run_in_executor(processes, check, body)
            await put_async(store, key, body, mode="create")

        await fetch(urls, concurrency, keep)


PEERS = {peer.__name__: peer for peer in (get, boto3_in_workers, boto3_in_threads, obstore)}


if __name__ == "__main__":
    name, path, width = sys.argv[1:]
    asyncio.run(PEERS[name](Path(path).read_text(encoding="ascii").split(), int(width)))
