"""What a Dask worker does for stage ingest. Its connections and what it knows of hosts last for all of a run."""

import asyncio
import hashlib
import pkgutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import distributed

from imageset import web
from imageset.errors import ImagesetError, SettingsError
from imageset.photos.decode_recipe import DECODE_CODE, list_libraries
from imageset.runtime import settings
from imageset.runtime.fingerprint import fingerprint
from imageset.runtime.sections import IngestParams
from imageset.storage.bucket import Bucket, open_bucket
from imageset.web import host_headers
from imageset.web.fetch_photo import Outcome, PhotoToFetch
from imageset.web.fetch_photos import fetch_all, open_context
from imageset.workers import dask_worker
from imageset.workers.local import LocalWorkers

LIBRARIES = ("aiohttp", "obstore", "protego", "yarl")

End = tuple[str, str, str]  # an Outcome without its photo


class Run(NamedTuple):
    """What workers have to know of a run.

    id: of this run alone: workers may have photos of several. machines: how many workers have photos to fetch. code,
    settings: of the machine that runs the stage, as identify and list_settings return them.
    """

    id: str
    ingest: IngestParams
    machines: int
    code: list[str]
    settings: list[str]


@dataclass(frozen=True, repr=False)
class FewPhotos:
    """Photos that a worker gets together. It shows no URLs, as some are signed and Dask logs what a failed task had."""

    photos: list[PhotoToFetch]

    def __repr__(self) -> str:
        return f"{len(self.photos)} photos"


def identify(ingest: IngestParams) -> list[str]:
    """Return a line for each piece of code and each library that decides how photos end."""
    return identify_formats(tuple(ingest.formats))


@cache
def identify_formats(formats: tuple[str, ...]) -> list[str]:
    """Do as `identify`, once: files may change later, but the process goes on running the code that it loaded."""
    code = [import_module(f"{web.__name__}.{module.name}") for module in pkgutil.iter_modules(web.__path__)]
    return fingerprint((*DECODE_CODE, *code), (*list_libraries(formats), *LIBRARIES))


def list_settings(bucket: Bucket) -> list[str]:
    """Return a line for each setting that decides how photos end: its name, and a hash of its value.

    Of IMAGESET_HEADERS_FILE only the hosts and the names of headers count, as their values are secret.
    """
    values: dict[str, Any] = {
        "IMAGE_STORE and its endpoint": str(bucket),
        "IMAGESET_ALLOWED_BUCKETS": sorted(settings.allowed_buckets()),
        "IMAGESET_ALLOWED_FOLDERS": sorted(map(str, settings.allowed_folders())),
        "IMAGESET_ALLOWED_HOSTS": sorted(settings.allowed_hosts()),
        "IMAGESET_CONNECTIONS_PER_HOST": settings.connections_per_host(),
        "IMAGESET_HEADERS_FILE": host_headers.read(settings.headers_file()).names(),
        "IMAGESET_USER_AGENT": settings.user_agent(),
    }
    return [f"{name} {hashlib.sha256(repr(value).encode()).hexdigest()[:8]}" for name, value in values.items()]


def require_same_settings(found: list[str], expected: list[str]) -> None:
    """Raise SettingsError, which names them, for settings of this machine that the machine that asks does not have."""
    if differing := sorted(set(found) - set(expected)):
        names = ", ".join(line.rpartition(" ")[0] for line in differing)
        raise SettingsError(f"{names}: not as on the machine that runs the stage; set the same there, and restart it")


class Session:
    """What this Dask worker has for a run: a thread with an event loop, and all that photos share.

    running: how many tasks use it.
    """

    def __init__(self, run: Run, decoders: LocalWorkers) -> None:
        """Open it. Raises DataError and SettingsError for other code or settings than those of the run."""
        dask_worker.require_same(identify(run.ingest), run.code)
        bucket = open_bucket()
        require_same_settings(list_settings(bucket), run.settings)
        self.running = 0
        opened: Future[None] = Future()
        threading.Thread(target=asyncio.run, args=[self.serve(run, bucket, decoders, opened)], daemon=True).start()
        opened.result()

    async def serve(self, run: Run, bucket: Bucket, decoders: LocalWorkers, opened: "Future[None]") -> None:
        """Keep what photos share until the session ends. Then asyncio.run cancels what is in progress."""
        self.loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with open_context(run.ingest, bucket, decoders, decoders.max_workers, run.machines) as self.context:
                opened.set_result(None)
                await self.ended.wait()
        except Exception as error:  # at a thread's edge: it has opened, or __init__ raises this
            opened.set_exception(error)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.ended.set)

    def fetch(self, photos: list[PhotoToFetch]) -> list[End]:
        return asyncio.run_coroutine_threadsafe(self.fetch_in_loop(photos), self.loop).result()

    async def fetch_in_loop(self, photos: list[PhotoToFetch]) -> list[End]:
        ends: dict[int, End] = {}

        def note(place: int, outcome: Outcome) -> None:
            ends[place] = outcome.reason, outcome.trouble, outcome.failing_host

        await fetch_all(photos, self.context, note)
        return [ends[place] for place in range(len(photos))]


sessions: dict[str, Session] = {}  # by the id of the run
LOCK = threading.Lock()


@contextmanager
def using_session(run: Run) -> Iterator[Session]:
    """Yield the session of a run, and keep it open meanwhile. Those that nobody uses end: their runs may be gone."""
    with LOCK:
        if run.id not in sessions:
            for unused in [run_id for run_id, session in sessions.items() if not session.running]:
                sessions.pop(unused).end()
            sessions[run.id] = Session(run, dask_worker.local_workers())
        session = sessions[run.id]
        session.running += 1
    try:
        yield session
    finally:
        with LOCK:
            session.running -= 1


def fetch_some(few: FewPhotos, run: Run) -> list[End]:
    """Fetch photos and return how each ended: reason, trouble and failing host of its Outcome.

    Raises:
        ImagesetError: why this worker cannot; the message names it.
    """
    try:
        with using_session(run) as session:
            secede: Any = distributed.secede  # not typed
            secede()  # it only waits from here on: the worker's next task may begin
            return session.fetch(few.photos)
    except (ImagesetError, OSError) as error:
        kind = SettingsError if isinstance(error, SettingsError) else ImagesetError
        raise kind(f"the Dask worker on {socket.gethostname()}: {error}") from None


def end(run_id: str) -> None:
    """End the session of a run, if it is there. What it still has in progress is cancelled."""
    with LOCK:
        if run_id in sessions:
            sessions.pop(run_id).end()
