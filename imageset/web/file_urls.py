"""Photos behind URLs file:///..., below folders that IMAGESET_ALLOWED_FOLDERS names.

The URLs come from sellers like all others. So a path is resolved first, and then opened from an allowed folder down,
name by name, without following a link: what another program changes meanwhile leads nowhere else.
"""

import asyncio
import errno
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from imageset.errors import BadUrl, HostGivenUp, Refused, ServerError, Unreachable
from imageset.web import transfer
from imageset.web.host_limits import Host
from imageset.web.transfer import Body, Transfer, read_body
from imageset.web.web_client import WebClient

SCHEME = "file:"
PIECE_BYTES = 1 << 18
NOT_FOUND = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
FORBIDDEN = {errno.EACCES, errno.EPERM}
FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
OURS = {errno.EMFILE, errno.ENFILE}


def parse(url: str) -> bytes:
    """Return the path of a URL, whose escapes are decoded.

    >>> parse("file:///srv/photos/red%20hat.jpg"), parse("file:///srv/caf\u00e9 1.jpg")
    (b'/srv/photos/red hat.jpg', b'/srv/caf\\xc3\\xa9 1.jpg')

    Raises:
        BadUrl: it is no such URL, names a host, has a query or a fragment, or a byte that no path has.
    """
    match = re.fullmatch(r"(?i:file)://(/[^?#]*)", url, re.DOTALL)
    if match is None:
        raise BadUrl
    try:
        path = unquote_to_bytes(match[1].encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise BadUrl from None
    if b"\0" in path:
        raise BadUrl
    return path


@asynccontextmanager
async def read_file(client: WebClient, folders: tuple[Path, ...], url: str) -> AsyncIterator[Body]:
    """Yield the file behind a URL. It counts as bytes in memory until the context ends.

    Args:
        client: shared by all photos of the run.
        folders: below which files may be read, without links in their paths.
        url: file:///..., of an untrusted source.

    Raises:
        Refused: the photo cannot be had.
        Unreachable: the disk failed; asking again may help unless `final`.
        ServerError: this process has too many open files.
    """
    try:
        path = parse(url)
    except BadUrl:
        raise Refused("bad_url") from None
    if not folders:  # even to resolve a path may wake a disk, or ask a server of an automounter
        raise Refused("folder_not_allowed")
    async with AsyncExitStack() as held:
        host = client.host(SCHEME)
        yield Body(await read(client, host, folders, path, held), True, host.name)


async def read(client: WebClient, host: Host, folders: tuple[Path, ...], path: bytes, held: AsyncExitStack) -> bytes:
    """Return a file's bytes. Raises as read_file does."""
    loop = asyncio.get_running_loop()
    try:
        async with (
            host.slot() as epoch,
            asyncio.timeout(transfer.SECONDS_TO_ANSWER) as timeout,
            AsyncExitStack() as opened,
        ):
            started = loop.time()
            file = opened.enter_context(await asyncio.to_thread(open_below, folders, path))
            latency = loop.time() - started
            timeout.reschedule(started + transfer.SECONDS_PER_REQUEST)
            size = os.fstat(file.fileno()).st_size
            content = await read_body(Transfer(host, timeout, size, pieces(file)), client, held)
            host.record_answer(epoch, latency)
    except HostGivenUp:
        raise Unreachable(f"{host.name} {host.trouble}", final=True) from None
    except OSError as error:  # TimeoutError as well
        if error.errno in OURS:
            raise ServerError("too many open files: raise `ulimit -n`") from None
        host.record_failure(epoch, error.strerror or type(error).__name__)
        raise Unreachable(f"{host.name} {host.trouble}") from None
    return content


async def pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


def open_below(folders: tuple[Path, ...], path: bytes) -> BinaryIO:
    """Open a regular file below one of the folders, after links and .. in its path are resolved.

    Raises:
        Refused: it is nowhere below them, not there, no regular file, or may not be read.
        OSError: the disk fails.
    """
    resolved = os.path.realpath(path)
    for folder in folders:
        start = os.fsencode(folder).rstrip(b"/") + b"/"
        if resolved.startswith(start):
            break
    else:
        raise Refused("folder_not_allowed")
    try:
        return open_without_links(folder, resolved.removeprefix(start).split(b"/"))
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link since the path was resolved, or links in circles
            raise Refused("folder_not_allowed") from None
        if error.errno in NOT_FOUND:
            raise Refused("not_found") from None
        if error.errno in FORBIDDEN:
            raise Refused("forbidden") from None
        raise


def open_without_links(folder: Path, names: list[bytes]) -> BinaryIO:
    """Open a regular file by its names from a folder down. No name may be a link, .. or empty."""
    *parents, last = names
    if {b"", b".", b".."} & set(names):
        raise Refused("folder_not_allowed")
    place = os.open(folder, FOLDER)
    try:
        for name in parents:
            place, left = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=place), place
            os.close(left)
        # Before it is opened: that does something to some devices. And after: it may be another one by then.
        require_regular(os.stat(last, dir_fd=place, follow_symlinks=False))
        # A pipe would make us wait for its writer.
        opened = os.open(last, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY, dir_fd=place)
        file = os.fdopen(opened, "rb", buffering=0)
        try:
            require_regular(os.fstat(opened))
        except Refused:
            file.close()
            raise
        return file
    finally:
        os.close(place)


def require_regular(status: os.stat_result) -> None:
    """Raise Refused for a folder, a pipe or a device; OSError for a link."""
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "a link")
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not_an_image")
