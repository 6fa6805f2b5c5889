"""What stands between a request and its answer: the only place that refuses one.

Health paths answer whoever asks, however often: they say little, and a probe of the kubelet
has no password.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import web

from exporter import __version__
from exporter.web import MOST_REQUESTS
from exporter.web.config import WebConfig
from exporter.web.users import CrowdError, Users, credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from exporter.web.config import Rate

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: No path of ours takes a body.
MAX_BODY_BYTES = 64 * 1024
#: From the request to the last byte of a scrape: longer than any scraper waits.
MOST_SECONDS = 60.0

# aiohttp would tell its own version and Python's to everybody.
SERVER = {"Server": f"oidc-issuer-exporter/{__version__}"}
#: Of every answer, unless the web configuration, or a page for itself, says otherwise.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Guard:
    """The web configuration in force, applied to every request."""

    def __init__(
        self, config: WebConfig | None = None, *, max_requests: int = MOST_REQUESTS
    ) -> None:
        self._max_requests = max_requests
        self._under_way = 0
        self._open: Collection[str] = ()
        self._unlimited: Collection[str] = ()
        self._users: Users | None = None
        self._bucket: Bucket | None = None
        self._rate: Rate | None = None
        self.follow(config or WebConfig())

    def follow(self, config: WebConfig) -> None:
        """Apply *config* from now on; who was let in stays so while the users are the same."""
        self._headers = config.headers
        if config.users != (self._users.hashes if self._users else {}):
            self._users = Users(config.users) if config.users else None
        if config.rate != self._rate:
            self._rate = config.rate
            self._bucket = Bucket(config.rate, time.monotonic()) if config.rate else None

    def protect(
        self, app: web.Application, *, open_to_all: Collection[str], unlimited: Collection[str]
    ) -> None:
        """Stand before every route of *app*.

        The paths *open_to_all* need no password; those and the *unlimited* ones are not
        counted among the requests under way.
        """
        self._open = frozenset(open_to_all)
        self._unlimited = frozenset(unlimited)
        app.middlewares.append(self._answer)
        app.on_response_prepare.append(self._dress)

    async def _dress(self, _request: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.update({**SERVER, **self._headers})

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _refused(413, f"want a body of at most {MAX_BODY_BYTES} bytes")
        # What was matched decides, not what was written: there are many ways to write a path.
        resource = request.match_info.route.resource
        path = resource.canonical if resource else ""
        if path in self._open:
            return await handler(request)
        refusal = self._hurry() or await self._login(request)
        if refusal is not None:
            return refusal
        if path in self._unlimited or not self._max_requests:
            return await handler(request)
        return await self._counted(request, handler)

    def _hurry(self) -> web.Response | None:
        if self._bucket is None or self._bucket.take(time.monotonic()):
            return None
        return _refused(429, "more requests than rate_limit allows")

    async def _login(self, request: web.Request) -> web.Response | None:
        if self._users is None:
            return None
        given = credentials(request.headers.get("Authorization", ""))
        try:
            if given is not None and await self._users.admit(*given):
                return None
        except CrowdError:
            return _refused(503, "too many passwords are being checked", retry_after=1)
        response = _refused(401, "want a user and a password")
        response.headers["WWW-Authenticate"] = (
            'Basic realm="oidc-issuer-exporter", charset="UTF-8"'
        )
        return response

    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._under_way >= self._max_requests:
            text = f"{self._under_way} requests are under way: see --web.max-requests"
            return _refused(503, text, retry_after=1)
        self._under_way += 1
        try:
            async with asyncio.timeout(MOST_SECONDS):
                return await handler(request)
        except TimeoutError:
            # Who does not read is not waited for: closing would still wait to send the rest.
            if request.transport is not None:
                request.transport.abort()
            text = f"not answered within {MOST_SECONDS:g} seconds"
            raise ConnectionAbortedError(text) from None
        finally:
            self._under_way -= 1


class Bucket:
    """A token bucket: full at first, a token more with every interval, one taken by each."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._filled = now

    def take(self, now: float) -> bool:
        """Take a token at *now*, in seconds of a monotonic clock; False if there is none."""
        gained = (now - self._filled) / self._rate.interval_seconds
        self._tokens = min(self._tokens + gained, float(self._rate.burst))
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _refused(status: int, text: str, *, retry_after: int | None = None) -> web.Response:
    response = web.Response(status=status, text=f"{text}\n")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if status == 413:  # noqa: PLR2004
        # What was announced is not read to its end.
        response.force_close()
    return response
