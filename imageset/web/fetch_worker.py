"""What a Dask worker does for stage ingest. Its connections and what it knows of hosts last for all of a run."""

import asyncio
import hashlib
import pkgutil
import socket
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

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

LIBRARIES = ("aiohttp", "obstore", "protego", "yarl")

End = tuple[str, str, str]  # an Outcome without its photo
Result = TypeVar("Result")


class Run(NamedTuple):
    """What workers have to know of a run.

    id: of this run alone. machines: how many workers have photos to fetch. code, settings: of the machine that runs the
    stage, as identify and list_settings return them.
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
    code = [import_module(f"{web.__name__}.{module.name}") for module in pkgutil.iter_modules(web.__path__)]
    return fingerprint((*DECODE_CODE, *code), (*list_libraries(ingest.formats), *LIBRARIES))


def list_settings(bucket: Bucket) -> list[str]:
    """Return a line for each setting that decides how photos end: its name, and a hash of its value.

    Of IMAGESET_HEADERS_FILE only the hosts and the names of headers count, as their values are secret.
    """
    values: dict[str, Any] = {
        "IMAGE_STORE and its endpoint": str(bucket),
        "IMAGESET_ALLOWED_BUCKETS": sorted(settings.allowed_buckets()),
        "IMAGESET_ALLOWED_FOLDERS": [str(folder) for folder in settings.allowed_folders()],
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
    """What this Dask worker has for a run: a thread with an event loop, and all that photos share."""

    def __init__(self, run: Run) -> None:
        """Open it. Raises DataError and SettingsError for other code or settings than those of the run."""
        decoders = dask_worker.local_workers()  # this also loads the settings
        dask_worker.require_same(identify(run.ingest), run.code)
        bucket = open_bucket()
        require_same_settings(list_settings(bucket), run.settings)
        self.id = run.id
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="ingest", daemon=True).start()
        self.opened = AsyncExitStack()
        context = open_context(run.ingest, bucket, decoders, decoders.max_workers, run.machines)
        try:
            self.context = self.call(self.opened.enter_async_context(context))
        except BaseException:
            self.stop()
            raise

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run work in the session's thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def fetch(self, photos: list[PhotoToFetch]) -> list[End]:
        ends: dict[int, End] = {}

        def note(place: int, outcome: Outcome) -> None:
            ends[place] = outcome.reason, outcome.trouble, outcome.failing_host

        await fetch_all(photos, self.context, note)
        return [ends[place] for place in range(len(photos))]

    async def close(self) -> None:
        """Cancel what is in progress, and close the connections."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self.opened.aclose()


sessions: list[Session] = []  # that of the current run, if there is one
LOCK = threading.Lock()


def open_session(run: Run) -> Session:
    """Return the session of a run. That of an earlier run is closed."""
    with LOCK:
        if not sessions or sessions[0].id != run.id:
            close_sessions()
            sessions.append(Session(run))
        return sessions[0]


def close_sessions() -> None:
    while sessions:
        session = sessions.pop()
        session.call(session.close())
        session.stop()


def fetch_some(few: FewPhotos, run: Run) -> list[End]:
    """Fetch photos and return how each ended: reason, trouble and failing host of its Outcome.

    Raises:
        ImagesetError: why this worker cannot; the message names it.
    """
    try:
        session = open_session(run)
        secede: Any = distributed.secede  # not typed
        secede()  # it only waits from here on: the worker's next task may begin
        return session.call(session.fetch(few.photos))
    except (ImagesetError, OSError) as error:
        raise ImagesetError(f"the Dask worker on {socket.gethostname()}: {error}") from None


def end(run_id: str) -> None:
    """Close the session of a run, if it is there. What it still has in progress is cancelled."""
    with LOCK:
        if sessions and sessions[0].id == run_id:
            close_sessions()
