"""params.yaml, and the settings of .env and the environment."""

import os
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv import find_dotenv

from imageset.errors import ImagesetError
from imageset.photos import networks
from imageset.runtime import params, settings
from imageset.web import host_headers
from tools.check.findings import Findings
from tools.check.line import Line, ok, wrong

# Each raises SettingsError for a value that it cannot use.
READERS: tuple[Callable[[], object], ...] = (
    settings.database_url,
    settings.image_store,
    settings.allowed_hosts,
    settings.connections_per_host,
    settings.workers,
    settings.object_cache_bytes,
    settings.dask,
    settings.allowed_buckets,
    settings.allowed_folders,
    settings.user_agent,
    lambda: host_headers.read(settings.headers_file()),
)
EXAMPLE = Path(".env.example")


def check_params(found: Findings) -> Iterator[Line]:
    """Load params.yaml as every stage does."""
    values = params.load()
    networks.require_licence(values.model)
    found.params = values
    yield ok(f"{params.PARAMS}: all {len(type(values).model_fields)} sections are as they have to be")


def check_settings(found: Findings) -> Iterator[Line]:
    """Read every setting."""
    faults = [*find_faults(), *find_unknown(), *find_missing_files()]
    file = find_dotenv(usecwd=True)
    where = f"{os.path.relpath(file)} and the environment" if file else "the environment alone, there is no .env"
    if faults:
        found.failed |= set(faults)
        yield from map(wrong, faults)
    else:
        yield ok(f"settings: from {where}")


def find_faults() -> Iterator[str]:
    """Yield what is wrong with each setting."""
    for read in READERS:
        try:
            read()
        except ImagesetError as error:
            yield str(error)


def find_unknown() -> Iterator[str]:
    """Yield settings that no program reads: those that .env.example does not have."""
    if not EXAMPLE.is_file():
        return
    known = re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    for name in sorted(os.environ):
        if name.startswith("IMAGESET_") and name not in known:
            near = get_close_matches(name, known, 1)
            yield f"{name} is set, but no such setting exists: " + (
                f"write {near[0]}" if near else f"{EXAMPLE} lists them"
            )


def find_missing_files() -> Iterator[str]:
    """Yield settings that name a file which is not there."""
    for name, path in (
        ("IMAGESET_MODEL_FILE", settings.model_file()),
        ("IMAGESET_EMBEDDING_FILE", settings.embedding_file()),
    ):
        if path is not None and not path.is_file():
            yield f"{name} names {path}, which is not a file: correct it in .env, or leave it out"
