"""Settings: locations, credentials and parallelism, from the environment or .env. They never change the dataset.

boto3 and DVC read AWS_* from the environment themselves. `load` copies .env into the environment first.
"""

import os
import re
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import find_dotenv, load_dotenv
from dotenv.parser import parse_stream

from imageset.errors import SettingsError
from imageset.runtime.secret_text import show_setting

BUCKET = r"[a-z0-9][a-z0-9.-]+"


def load() -> None:
    """Copy the nearest .env, of this folder or a parent, into the environment. A variable that is set already wins.

    A folder of that name, such as one of a virtual environment, is passed over.

    Raises:
        SettingsError: it cannot be read, or a line of it is not NAME=value. The message quotes nothing of it.
    """
    if not (found := find_dotenv(usecwd=True)):
        return
    text = read_env(Path(found))
    # No interpolation: a password may contain a dollar sign.
    load_dotenv(stream=StringIO(text, newline=None), interpolate=False)


def read_env(path: Path) -> str:
    """Return the text of a .env. python-dotenv itself passes over lines that it cannot parse. Raises SettingsError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}): make it readable, or remove it") from None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"line {line} of {path} is not UTF-8 (byte {error.start + 1} of the file): save it as UTF-8"
        ) from None
    for binding in parse_stream(StringIO(text, newline=None)):
        string = binding.original.string
        if binding.error or "\0" in string:  # no variable may have a NUL
            blank = string[: len(string) - len(string.lstrip())]
            raise SettingsError(
                f"line {binding.original.line + blank.count(chr(10))} of {path} is not NAME=value: correct it, such as "
                "a quote that is not closed, or begin it with #"
            )
    return text


def require(variable: str, example: str) -> str:
    """Return a variable's value. Raises SettingsError with an example when it is not set."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SettingsError(f"{variable} is not set: export it or write it to .env, such as {variable}={example}")
    return value


def number(variable: str, default: int, least: int = 1, most: int = 9999, example: int = 2) -> int:
    """Return a variable's value, a whole number from `least` to `most`. Raises SettingsError with the example."""
    value = os.environ.get(variable, "").strip() or str(default)
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", value) or not least <= int(value) <= most:
        raise SettingsError(
            f"{variable} is {show_setting(value)}: expected a number from {least} to {most}, such as {example}"
        )
    return int(value)


def database_url() -> str:
    """Return DATABASE_URL for SQLAlchemy. Of PostgreSQL, the driver is psycopg2 unless it names another.

    SQLAlchemy itself would take psycopg 3, and does not know postgres://.

    Raises:
        SettingsError: DATABASE_URL is not set, or is no URL. The message quotes nothing of it.
    """
    url = require("DATABASE_URL", "postgresql://user:password@host:5432/database")
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?", scheme):
        raise SettingsError(
            "DATABASE_URL must start with the kind of database and ://, such as postgresql://, sqlite:/// or duckdb://"
        )
    if scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg2://{rest}"
    return url


def database_seconds() -> int:
    """Return how long the database may send nothing: IMAGESET_DATABASE_SECONDS, or 600. Raises SettingsError."""
    return number("IMAGESET_DATABASE_SECONDS", 600, most=100_000, example=1200)


def image_store() -> tuple[str, str]:
    """Return the bucket and the key prefix of IMAGE_STORE, s3://bucket/prefix.

    Returns:
        The bucket's name, and the prefix: "", or a text that ends in a slash.

    Raises:
        SettingsError: IMAGE_STORE is not set or malformed.
    """
    url = require("IMAGE_STORE", "s3://bucket/prefix")
    match = re.fullmatch(rf"s3://({BUCKET})(?:/(.*))?", url)
    if match is None:
        raise SettingsError(f"IMAGE_STORE is {show_setting(url)}: expected s3://bucket or s3://bucket/prefix")
    prefix = (match[2] or "").strip("/")
    if prefix and any(part in ("", ".", "..") or not part.isprintable() for part in prefix.split("/")):
        raise SettingsError(
            f"IMAGE_STORE is {show_setting(url)}: no part of its prefix may be empty, . or .., or contain a control "
            "character"
        )
    return match[1], f"{prefix}/" if prefix else ""


def allowed_hosts() -> frozenset[tuple[str, int]]:
    """Return hosts and ports from which photos may be fetched although they are not on the public internet.

    IMAGESET_ALLOWED_HOSTS holds names or addresses as URLs write them, separated by commas, with or without a port. A
    host without a port means ports 80 and 443.

    Raises:
        SettingsError: an entry is malformed.
    """
    hosts: set[tuple[str, int]] = set()
    for entry in os.environ.get("IMAGESET_ALLOWED_HOSTS", "").split(","):
        if not entry.strip():
            continue
        try:
            parts = urlsplit(f"//{entry.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or port == 0 or parts.path or parts.query or parts.fragment or parts.username:
            raise SettingsError(
                f"IMAGESET_ALLOWED_HOSTS contains {show_setting(entry.strip())}: expected host or host:port, such as "
                "photos.internal:8080"
            )
        hosts.update((host, number) for number in ([port] if port else [80, 443]))
    return frozenset(hosts)


def connections_per_host() -> int:
    """Return the most parallel requests to one host: IMAGESET_CONNECTIONS_PER_HOST, or 32."""
    return number("IMAGESET_CONNECTIONS_PER_HOST", 32)


def user_agent() -> str:
    """Return what requests for photos call themselves: IMAGESET_USER_AGENT, or imageset. Raises SettingsError."""
    value = os.environ.get("IMAGESET_USER_AGENT", "").strip() or "imageset"
    if not re.fullmatch(r"[\x21-\x7e][\x20-\x7e]{0,199}", value):
        raise SettingsError(
            "IMAGESET_USER_AGENT has a line break or another character that no header may have, or more than 200: "
            "expected such as IMAGESET_USER_AGENT=example-shop/1.0 (+mailto:data@shop.example)"
        )
    return value


def headers_file() -> Path | None:
    """Return the file of headers for single hosts, IMAGESET_HEADERS_FILE, if it is set."""
    value = os.environ.get("IMAGESET_HEADERS_FILE", "").strip()
    return project_directory() / value if value else None


def allowed_buckets() -> frozenset[str]:
    """Return the buckets that URLs s3://bucket/key may name: IMAGESET_ALLOWED_BUCKETS, separated by commas.

    Raises:
        SettingsError: an entry is malformed.
    """
    names = [name.strip() for name in os.environ.get("IMAGESET_ALLOWED_BUCKETS", "").split(",")]
    for name in filter(None, names):
        if not re.fullmatch(BUCKET, name):
            raise SettingsError(
                f"IMAGESET_ALLOWED_BUCKETS contains {show_setting(name)}: expected names of buckets, such as "
                "shop-photos,old-photos"
            )
    return frozenset(filter(None, names))


def allowed_folders() -> tuple[Path, ...]:
    """Return the folders below which URLs file:///... may name photos: IMAGESET_ALLOWED_FOLDERS, separated by commas.

    Links in them are resolved.

    Raises:
        SettingsError: an entry is no absolute path of a folder.
    """
    folders = []
    for entry in filter(None, map(str.strip, os.environ.get("IMAGESET_ALLOWED_FOLDERS", "").split(","))):
        if not entry.startswith("/") or not Path(entry).is_dir():
            raise SettingsError(
                f"IMAGESET_ALLOWED_FOLDERS contains {show_setting(entry)}: expected the absolute path of a folder that "
                "is there, such as /srv/photos"
            )
        folders.append(Path(entry).resolve())
    return tuple(folders)


def workers() -> int:
    """Return the number of worker processes: IMAGESET_WORKERS, or one for each core."""
    return number("IMAGESET_WORKERS", os.cpu_count() or 1)


def cache_directory() -> Path:
    """Return the folder of the caches, which may be deleted at any time: IMAGESET_CACHE, or .cache of this project."""
    return project_directory() / (os.environ.get("IMAGESET_CACHE", "").strip() or ".cache")


def project_directory() -> Path:
    """Return this folder, or in a temporary copy made by `dvc exp run --temp` the project that was copied."""
    here = Path.cwd()
    return next((parent.parent for parent in here.parents if parent.name == ".dvc"), Path())


def mask_cache() -> Path:
    """Return the file that caches masks."""
    return cache_directory() / "masks.sqlite"


def embedding_cache() -> Path:
    """Return the file that caches embeddings."""
    return cache_directory() / "embeddings.sqlite"


def pixel_cache() -> Path:
    """Return the file that caches pixels."""
    return cache_directory() / "pixels.sqlite"


def search_cache() -> Path:
    """Return the folder that keeps what the last search for near-duplicates found."""
    return cache_directory() / "near_duplicates"


def refusal_cache() -> Path:
    """Return the file that remembers why photos cannot be fetched."""
    return cache_directory() / "ingest.sqlite"


def object_cache() -> Path:
    """Return the folder that keeps objects of the bucket."""
    return cache_directory() / "objects"


def object_cache_bytes() -> int:
    """Return how much of the disk these may take: IMAGESET_OBJECTS_MB, or 2000 MB. 0: none are kept."""
    return 1_000_000 * number("IMAGESET_OBJECTS_MB", 2000, least=0, most=100_000_000, example=2000)


def dask() -> str:
    """Return the address of the Dask scheduler, IMAGESET_DASK, or "" when it is not set. Raises SettingsError."""
    value = os.environ.get("IMAGESET_DASK", "").strip()
    if value and not re.fullmatch(r"(tcp|tls)://([^/\s:@?#\[\]]+|\[[0-9a-fA-F:.]+\]):[0-9]+", value):
        raise SettingsError(
            f"IMAGESET_DASK is {show_setting(value)}: expected the address of a scheduler, such as tcp://scheduler:8786"
        )
    return value


def model_file() -> Path | None:
    """Return the user's own file of background-removal weights, IMAGESET_MODEL_FILE, if it is set."""
    value = os.environ.get("IMAGESET_MODEL_FILE", "").strip()
    return Path(value) if value else None


def embedding_file() -> Path | None:
    """Return the user's own file of the weights of the embedding network, IMAGESET_EMBEDDING_FILE, if it is set."""
    value = os.environ.get("IMAGESET_EMBEDDING_FILE", "").strip()
    return Path(value) if value else None
