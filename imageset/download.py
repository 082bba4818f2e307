"""One GET of a stranger's url: the body, a definite refusal, or trouble that may pass."""

from urllib.parse import urlsplit

import aiohttp
import yarl

REDIRECTS = 5
# A status from 400 to 499 is a definite answer, which asking again would not change, unless it is one of these.
PASSING = {408, 425, 429}
# What the commonest of the definite ones are called; the others are "refused".
REFUSALS = {401: "forbidden", 403: "forbidden", 404: "not_found", 410: "gone", 451: "forbidden"}


class Refused(Exception):
    """A definite answer; the message is its reason code."""


class Unreachable(Exception):
    """A transient failure; the message says what happened."""


async def download(session: aiohttp.ClientSession, url: str, max_bytes: int) -> bytes:
    """Return the body behind a url. Raises Refused or Unreachable."""
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Refused("bad_url")
        # As it was written: a signed url is good in one spelling only.
        spelled = yarl.URL(url, encoded=url.isascii())
        async with session.get(spelled, max_redirects=REDIRECTS) as answer:
            if 400 <= answer.status < 500 and answer.status not in PASSING:
                raise Refused(REFUSALS.get(answer.status, "refused"))
            if answer.status != 200:
                raise Unreachable(f"status {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_chunked(1 << 16):
                body += piece
                if len(body) > max_bytes:
                    raise Refused("too_large")
            return bytes(body)
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise Refused("bad_url") from None
    except aiohttp.TooManyRedirects:
        raise Refused("too_many_redirects") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(type(error).__name__) from None
    except ValueError:  # what urlsplit and the idna codec say of hosts such as "[" and "a..b"
        raise Refused("bad_url") from None
