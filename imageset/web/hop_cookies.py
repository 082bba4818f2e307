"""Cookies of one photo's redirects. Some hosts redirect to the same URL until they get the cookie that they set."""

import aiohttp
import yarl

from imageset.web.urls import Origin, origin


class HopCookies:
    """The cookies that redirects have set. Each is sent to the very scheme, host and port that set it."""

    def __init__(self) -> None:
        self.jars: dict[Origin, aiohttp.CookieJar] = {}

    def take(self, answer: aiohttp.ClientResponse) -> None:
        """Note the cookies that a redirect sets."""
        if "Set-Cookie" in answer.headers:
            jar = self.jars.setdefault(origin(answer.url), aiohttp.CookieJar(unsafe=True, quote_cookie=False))
            jar.update_cookies(answer.cookies, answer.url)

    def header(self, target: yarl.URL) -> str:
        """Return the header Cookie for the next request, "" where there is none to send."""
        jar = self.jars.get(origin(target))
        pairs = [f"{name}={cookie.value}" for name, cookie in jar.filter_cookies(target).items()] if jar else []
        return "; ".join(pair for pair in pairs if pair.isascii() and pair.isprintable())
