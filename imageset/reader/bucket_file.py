"""An object of a bucket, read by ranges through obstore, and kept in a cache on the disk. Needs the extra `s3`."""

import hashlib
import itertools
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from imageset.errors import DataError, FetchFailed, SettingsError
from imageset.formats.hdf5 import Indices, Pixels
from imageset.reader.range_cache import GRAIN_BYTES, RangeCache, warn

if TYPE_CHECKING:
    # obstore has these for type checkers only.
    from obstore import GetOptions
    from obstore.store import ClientConfig, S3Store

REQUEST_BYTES = 8 << 20  # of a request, about. SeaweedFS sends twice as much a second as in requests of 1 MB
REQUESTS = 8  # at a time
RETRIES = 5  # of a request: some 3 s where nothing answers
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # in boto3's order
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


class Place(NamedTuple):
    """Where an object is. endpoint: the server's URL, "" for Amazon's. region: "" for that of the environment."""

    bucket: str
    key: str
    endpoint: str = ""
    region: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Part(NamedTuple):
    """Grains of an object: numbers `first` up to `stop`, and whether the cache has them."""

    first: int
    stop: int
    is_here: bool


class BucketFile:
    """An object as it is when this is made. Any thread reads any part of it. Other processes get it by pickling.

    Args:
        place: where the object is.
        cache_dir: the folder of the cache.
        cache_bytes: the most bytes of the cache, 0 for none.

    Raises:
        DataError: there is no such object, or it has no etag. FetchFailed: the bucket cannot be reached, or refuses.
        SettingsError: the endpoint has a secret in it. ImportError: obstore is not installed.
    """

    def __init__(self, place: Place, cache_dir: Path, cache_bytes: int) -> None:
        self.place, self.name = place, str(place)
        self._cache_dir, self._cache_bytes = cache_dir, cache_bytes
        self._connect()
        with self._bucket_errors("is missing: check the bucket and the key, or run `dvc push` where it was made"):
            found = import_obstore().head(self._client, place.key)
        self._etag, self.size = str(found["e_tag"] or ""), int(found["size"])
        if not self._etag:
            raise DataError(f"{self.name} has no etag, which would tell if it is replaced: copy it first")
        self._open_cache()

    def read(self, start: int, out: Pixels) -> None:
        """Fill a contiguous array with the bytes that begin at `start`: from the cache, or by several requests at once.

        Raises:
            DataError: the object was replaced or removed. FetchFailed: the bucket cannot be reached, or refuses.
        """
        view = out.reshape(-1).data
        parts = self._find_parts(start // GRAIN_BYTES, -(-(start + len(view)) // GRAIN_BYTES))
        if len(parts) == 1 or all(part.is_here for part in parts):
            for part in parts:
                self._read_part(part, start, view)
        else:
            self._do_all(lambda part: self._read_part(part, start, view), parts)

    def gather(self, offset: int, rows: Indices, out: Pixels) -> None:
        """Copy rows of an array in any order. What the cache lacks is fetched by whole requests, for later rows too.

        Args:
            offset: where the array begins.
            rows: which rows.
            out: uint8 (len(rows), ...).

        Raises:
            DataError, FetchFailed: as `read`.
        """
        row_bytes = out[0].nbytes
        starts = offset + rows * row_bytes
        here = np.zeros(len(rows), np.bool_)
        if self._cache is not None:
            here = self._cache.has_all(starts, row_bytes)
            if not here.all():
                self._load(starts[~here], row_bytes)
                here = self._cache.has_all(starts, row_bytes)
            count = (self.size - offset) // row_bytes
            images = self._cache.mapped[offset : offset + count * row_bytes].reshape(count, *out.shape[1:])
            if here.all():
                np.take(images, rows, axis=0, out=out, mode="clip")
                return
            out[here] = images[rows[here]]
        self._do_all(lambda row: self._read_row(int(starts[row]), out[row]), np.flatnonzero(~here).tolist())

    def _read_row(self, start: int, out: Pixels) -> None:
        view = out.reshape(-1).data
        for part in self._find_parts(start // GRAIN_BYTES, -(-(start + len(view)) // GRAIN_BYTES)):
            self._read_part(part, start, view)

    def _find_parts(self, first: int, stop: int) -> list[Part]:
        """Divide grains into what the cache has and what one request each gets."""
        if self._cache is None:
            return list(split(first, stop))
        found = self._cache.find(first, stop)
        ends = [*(np.flatnonzero(found[1:] != found[:-1]) + 1).tolist(), len(found)]
        parts: list[Part] = []
        for start, end in zip([0, *ends], ends, strict=False):
            here = bool(found[start])
            parts += [Part(first + start, first + end, here)] if here else split(first + start, first + end)
        return parts

    def _read_part(self, part: Part, start: int, out: memoryview) -> None:
        """Fill that part of `out`, which begins at `start`, that is in these grains."""
        first, stop, is_here = part
        begin, end = max(start, first * GRAIN_BYTES), min(start + len(out), stop * GRAIN_BYTES)
        target = out[begin - start : end - start]
        if self._cache is not None and is_here:
            self._cache.read(begin, target)
        elif self._reserve(first, stop):
            content = self._fetch_grains(first, stop)
            target[:] = content[begin - first * GRAIN_BYTES :][: len(target)]
        else:
            target[:] = self._fetch(begin, end)

    def _reserve(self, first: int, stop: int) -> bool:
        """Return whether the cache has room for grains."""
        self._require_own_process()  # first: a lock of the cache may have been held when the process was forked
        return self._cache is not None and self._cache.reserve(first, stop)

    def _load(self, starts: Indices, row_bytes: int) -> None:
        """Fetch into the cache what it has room for, around the rows that begin at `starts`."""
        self._require_own_process()
        pieces = range_of_each(starts // REQUEST_BYTES, (starts + row_bytes - 1) // REQUEST_BYTES)
        failures: list[Exception] = []
        with self._lock:  # several threads want the same pieces
            for piece in pieces:
                if piece not in self._loading:
                    self._loading[piece] = self._pool.submit(self._load_piece, piece, failures)
            futures = [self._loading[piece] for piece in pieces]
        for future in futures:
            future.result()

    def _load_piece(self, piece: int, failures: list[Exception]) -> None:
        """Fetch a piece, unless another one of these has failed: each would try as long as that one did."""
        try:
            if failures:
                raise failures[0]
            first = piece * REQUEST_BYTES // GRAIN_BYTES
            stop = min(first + REQUEST_BYTES // GRAIN_BYTES, -(-self.size // GRAIN_BYTES))
            for part in self._find_parts(first, stop):
                if not part.is_here and self._reserve(part.first, part.stop):
                    self._fetch_grains(part.first, part.stop)
        except Exception as error:
            failures.append(error)
            raise
        finally:
            with self._lock:
                del self._loading[piece]

    def _do_all(self, function: Callable[[Any], None], items: Iterable[Any]) -> None:
        """Call a function with each item, several at a time. Raises what the first call raised that failed."""
        self._require_own_process()
        finish([self._pool.submit(function, item) for item in items])

    def _fetch_grains(self, first: int, stop: int) -> memoryview:
        """Return grains that are reserved in the cache, and keep them there."""
        content = self._fetch(first * GRAIN_BYTES, min(stop * GRAIN_BYTES, self.size))
        if self._cache is not None:
            self._cache.keep(first, content)
        return content

    def _fetch(self, start: int, stop: int) -> memoryview:
        """Return bytes of the object. Raises DataError if it is another one by now."""
        self._require_own_process()
        options: GetOptions = {"range": (start, stop)}
        if not self._etag.startswith("W/"):  # a weak one matches nothing
            options["if_match"] = self._etag
        with self._bucket_errors("was removed since this dataset was opened: open it again"):
            found = import_obstore().get(self._client, self.place.key, options=options)
            content = memoryview(found.bytes())
        if found.meta["e_tag"] != self._etag:
            raise DataError(f"{self.name} was replaced since this dataset was opened: open it again")
        if len(content) != stop - start:
            raise FetchFailed(f"{self.name} could not be read ({len(content)} bytes of {stop - start}): try again")
        return content

    def _connect(self) -> None:
        self._client, self._host = open_client(self.place)
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(REQUESTS, "imageset-fetch")
        self._lock = threading.Lock()
        self._loading: dict[int, Future[None]] = {}

    def _open_cache(self) -> None:
        self._cache: RangeCache | None = None
        if self._cache_bytes and self.size:
            identity = repr((find_endpoint(self.place), self.place.bucket, self.place.key, self._etag, self.size))
            name = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
            try:
                self._cache = RangeCache(self._cache_dir, name, self.size, self._cache_bytes)
            except OSError as error:
                warn(self._cache_dir, error)

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise DataError(
                f"{self.name} cannot be read in a forked process: open the dataset in the process that reads it, or "
                "spawn that: DataLoader(..., multiprocessing_context='spawn')"
            )

    @contextmanager
    def _bucket_errors(self, missing: str) -> Iterator[None]:
        """Turn what obstore raises into one line without secrets: its own texts have what the server answered.

        missing: the end of the sentence where there is no such object.
        """
        errors = import_obstore().exceptions
        try:
            yield
        except (FileNotFoundError, errors.NotFoundError):
            raise DataError(f"{self.name} {missing}") from None
        except errors.PreconditionError:
            raise DataError(f"{self.name} was replaced since this dataset was opened: open it again") from None
        except (errors.BaseError, PermissionError) as error:
            reason, hint = explain(error)
            raise FetchFailed(f"{self.name} at {self._host} could not be read ({reason}): {hint}") from None
        except ValueError:
            raise DataError(f"{self.name} has a key that obstore cannot read: copy it first") from None

    def __getstate__(self) -> dict[str, Any]:
        own = ("_client", "_host", "_process", "_pool", "_lock", "_loading", "_cache")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._connect()
        self._open_cache()


def import_obstore() -> Any:
    """Return the package. Raises ImportError, which says how to install it."""
    try:
        import obstore
        import obstore.exceptions
    except ModuleNotFoundError:
        raise ImportError("a bucket is read through obstore: pip install 'obstore>=0.12,<1' pyyaml") from None
    return obstore


def open_client(place: Place) -> tuple["S3Store", str]:
    """Return obstore's client, and the host that it asks. Credentials are the environment's, AWS_*.

    Raises:
        SettingsError: the endpoint has a user, a password or a query.
        ImportError: obstore is not installed.
    """
    import_obstore()
    from obstore.store import S3Store

    endpoint = find_endpoint(place)
    if re.search("[@?#]", endpoint):
        raise SettingsError(
            "AWS_ENDPOINT_URL has a user, a password or a query: write the address alone, such as "
            "AWS_ENDPOINT_URL=https://s3.example.com, and the keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": "5s",
        "timeout": "60s",
    }
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        options["root_certificate"] = Path(bundle).read_bytes()
    client = S3Store(
        place.bucket,
        config={"endpoint": endpoint} if endpoint else {},
        region=place.region or first_set(REGIONS) or "us-east-1",
        virtual_hosted_style_request=False,
        client_options=options,
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=60)},
    )
    return client, urlsplit(endpoint).netloc if endpoint else "Amazon S3"


def find_endpoint(place: Place) -> str:
    return place.endpoint or first_set(ENDPOINTS)


def first_set(names: Iterable[str]) -> str:
    """Return the first of these variables of the environment that is set, "" if none is."""
    return next((value for name in names if (value := os.environ.get(name))), "")


def explain(error: Exception) -> tuple[str, str]:
    """Return why a request failed, in known phrases alone, and what to do."""
    cause = re.search(r"<Code>(\w+)</Code>", str(error)) or re.search(
        r"(status code: \d+|operation timed out|error sending request|error decoding response body)", str(error)
    )
    reason = cause[1] if cause else type(error).__name__
    if re.search("Redirect|AuthorizationHeaderMalformed", reason) or "incorrectly configured region" in str(error):
        return reason, "set AWS_REGION to the bucket's region"
    if re.search("Token|Skewed", reason):
        return reason, "check AWS_SESSION_TOKEN, which may have expired, and this machine's clock"
    if isinstance(error, PermissionError) or re.search("40[13]|Access|Signature|PermissionDenied|Unauth", reason):
        is_set = bool(os.environ.get("AWS_ACCESS_KEY_ID"))
        return reason, f"{'check' if is_set else 'set'} AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return reason, "start the server again, or correct AWS_ENDPOINT_URL"


def split(first: int, stop: int) -> Iterator[Part]:
    """Divide grains into requests of about the same size.

    A block of REQUEST_BYTES that begins and ends inside grains is one request.

    >>> [[part[:2] for part in split(3, stop)] for stop in (133, 134)]
    [[(3, 133)], [(3, 68), (68, 134)]]
    """
    count = max(1, -(-(stop - first - 2) // (REQUEST_BYTES // GRAIN_BYTES)))
    ends = [first + (stop - first) * number // count for number in range(count + 1)]
    for start, end in itertools.pairwise(ends):
        yield Part(start, end, False)


def range_of_each(first: Indices, last: Indices) -> list[int]:
    """Return the numbers from `first` to `last` of each pair, each once.

    >>> range_of_each(np.array([7, 1, 2]), np.array([8, 2, 2]))
    [1, 2, 7, 8]
    """
    numbers = [np.minimum(first + step, last) for step in range(int((last - first).max(initial=0)) + 1)]
    return [int(number) for number in np.unique(numbers)]


def finish(futures: list[Future[None]]) -> None:
    """Wait for all. Raises what the first one raised that failed; those that have not begun by then are not begun."""
    done, _ = wait(futures, return_when="FIRST_EXCEPTION")
    failed = next((future for future in futures if future in done and future.exception()), None)
    if failed is not None:
        for future in futures:
            future.cancel()
        wait(futures)
        failed.result()
