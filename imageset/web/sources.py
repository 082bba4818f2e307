"""Where photos come from: hosts of the web, buckets and folders. Each URL is asked for at its own kind of source."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from obstore.store import S3Store

from imageset.errors import BadUrl
from imageset.runtime import settings
from imageset.runtime.sections import IngestParams
from imageset.storage import bulk
from imageset.storage.bucket import Bucket
from imageset.web import bucket_urls, file_urls, host_headers, urls
from imageset.web.download import download
from imageset.web.transfer import Body
from imageset.web.web_client import WebClient


@dataclass(frozen=True)
class Sources:
    """The client that all photos of a run share, and the buckets and folders that URLs may name."""

    client: WebClient
    buckets: dict[str, S3Store]
    folders: tuple[Path, ...]

    def open(self, url: str) -> AbstractAsyncContextManager[Body]:
        """Return a context that yields the photo behind a URL, as `download` does.

        Only the URL itself may name a bucket or a folder. No redirect leads from the web to either.
        """
        if is_bucket_url(url):
            return bucket_urls.read_object(self.client, self.buckets, url)
        if is_file_url(url):
            return file_urls.read_file(self.client, self.folders, url)
        return download(self.client, url)


def name_source(url: str) -> str:
    """Return the name of what a URL names: a host, a bucket, or all folders. Bad URLs share the name ""."""
    try:
        if is_bucket_url(url):
            return bucket_urls.SCHEME + bucket_urls.parse(url)[0]
        return file_urls.SCHEME if is_file_url(url) else urls.host_name(urls.parse(url))
    except BadUrl:
        return ""


def is_bucket_url(url: str) -> bool:
    return url.lower().startswith(bucket_urls.SCHEME)


def is_file_url(url: str) -> bool:
    return url.lower().startswith(file_urls.SCHEME)


@asynccontextmanager
async def open_sources(ingest: IngestParams, bucket: Bucket, machines: int = 1) -> AsyncIterator[Sources]:
    """Yield the sources that the settings allow.

    Args:
        ingest: the params that limit photos.
        bucket: that of the dataset: URLs s3:// are asked for with its endpoint and credentials.
        machines: how many work on this run, each on hosts of its own.

    Raises:
        SettingsError: a setting is malformed, or there are no credentials.
    """
    folders = settings.allowed_folders()
    headers = host_headers.read(settings.headers_file())
    # Retries are ours, so that a bucket gets pauses like a host.
    buckets = {
        name: bulk.open_client(replace(bucket, name=name, prefix=""), retries=0) for name in settings.allowed_buckets()
    }
    async with WebClient(
        settings.allowed_hosts(),
        settings.connections_per_host(),
        ingest.max_bytes,
        frozenset(ingest.refused_robots_tags),
        settings.user_agent(),
        headers,
        ingest.robots == "obey",
        frozenset(ingest.formats),
        machines,
    ) as client:
        yield Sources(client, buckets, folders)
