"""One request and the headers of its answer. Its host learns how all of it went."""

import asyncio
import errno
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from imageset.errors import AddressRefused, BadUrl, HostGivenUp, MalformedBody, Refused, ServerError, Unreachable
from imageset.web import headers, transfer, urls
from imageset.web.hop_cookies import HopCookies
from imageset.web.host_limits import Host
from imageset.web.transfer import Transfer
from imageset.web.web_client import WebClient

MAX_REDIRECTS = 5

# Statuses from 400 to 499 are definite answers, which another request would not change, except these.
RETRIED_STATUSES = {408, 425, 429}
THROTTLING_STATUSES = {429, 503}
# Troubles that one photo alone may have: a server error, and a connection that breaks off after the request.
OF_ONE_PHOTO = re.compile("status 5(?!03)[0-9][0-9]|ClientPayloadError|ServerDisconnectedError|ClientOSError")
REDIRECT_STATUSES = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Exchange:
    """A request, the answer with its headers, which have arrived, and the timeout on the rest."""

    host: Host
    answer: aiohttp.ClientResponse
    timeout: asyncio.Timeout

    def transfer(self) -> Transfer:
        """Return the body that is about to come."""
        return Transfer(self.host, self.timeout, self.answer.content_length, self.answer.content.iter_any())

    def redirect(self) -> str | None:
        """Return where the answer redirects to, None if it does not."""
        return self.answer.headers.get("Location") if self.answer.status in REDIRECT_STATUSES else None


@asynccontextmanager
async def open_exchange(client: WebClient, url: str, cookies: HopCookies) -> AsyncIterator[Exchange]:
    """Send one request and yield the exchange when the headers have arrived; its host learns how all of it went.

    Raises Refused for a URL that cannot be asked, Unreachable for what fails, also inside the context.
    """
    try:
        target = urls.parse(url)
    except BadUrl:
        raise Refused("bad_url") from None
    host = client.host(urls.host_name(target))
    own_headers = client.host_headers.of(target)
    if "authorization" in map(str.lower, own_headers):  # that of the settings, not the user in a seller's URL
        target = target.with_user(None)
    if cookie := cookies.header(target):
        name = next((name for name in own_headers if name.lower() == "cookie"), "Cookie")
        own_headers[name] = "; ".join(filter(None, [own_headers.get(name), cookie]))
    try:
        # The timeout starts once the slot is ours.
        async with host.slot() as epoch, asyncio.timeout(transfer.SECONDS_TO_ANSWER) as timeout:
            started = asyncio.get_running_loop().time()
            async with client.session.get(target, allow_redirects=False, headers=own_headers) as answer:
                latency = asyncio.get_running_loop().time() - started
                timeout.reschedule(started + transfer.SECONDS_PER_REQUEST)
                check_status(host, epoch, answer)
                try:
                    yield Exchange(host, answer, timeout)
                except Refused:
                    host.record_answer(epoch, latency)
                    raise
                host.record_answer(epoch, latency)
    except HostGivenUp:
        raise Unreachable(
            f"{host.name}: {host.trouble}", final=True, failing_host=name_failing(host, host.trouble)
        ) from None
    except aiohttp.InvalidURL:  # such as 127.1
        raise Refused("bad_url") from None
    except (aiohttp.ClientResponseError, MalformedBody):  # the host answered, so it has not failed
        host.record_answer(epoch, asyncio.get_running_loop().time() - started)
        # Perhaps these are bytes behind the end of the answer to the request before, for another photo.
        raise Unreachable(f"{host.name}: a malformed answer", reason="bad_response") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
            raise Refused("private_address") from None
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):  # our failure, not the host's
            raise ServerError("too many open files: raise `ulimit -n`") from None
        host.record_failure(epoch, type(error).__name__)
        trouble = host.trouble
        raise Unreachable(f"{host.name}: {trouble}", failing_host=name_failing(host, trouble)) from None
    except ValueError:  # a bad redirect; the idna codec, for a..b; aiohttp, for a colon in a user's name
        raise Refused("bad_url") from None


def check_status(host: Host, epoch: int, answer: aiohttp.ClientResponse) -> None:
    """Raise Unreachable for a status after which asking again may help; the host learns of it."""
    trouble = f"status {answer.status}"
    if answer.status in THROTTLING_STATUSES:
        host.record_throttling(epoch, trouble, headers.seconds_to_wait(answer.headers))
    elif answer.status >= 500:
        host.record_failure(epoch, trouble)
    if answer.status in RETRIED_STATUSES or answer.status >= 500:
        raise Unreachable(f"{host.name}: {trouble}", failing_host=name_failing(host, trouble))


def name_failing(host: Host, trouble: str) -> str:
    """Return the name of a host if one photo alone may have its trouble, else ""."""
    return host.name if OF_ONE_PHOTO.fullmatch(trouble) else ""
