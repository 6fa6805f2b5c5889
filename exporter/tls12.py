"""Does a server that speaks TLS 1.3 speak TLS 1.2 as well? Asked apart, and seldom.

AWS falls back to thumbprints "if TLS v1.3 is required" (IAM user guide, "Obtain the
thumbprint for an OpenID Connect identity provider"), so an issuer that dropped TLS 1.2 is
in danger. The look costs a handshake, so it happens after a probe's clock has stopped, over
a connection of its own, once a day for each server, and takes no time that matters.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from exporter.clock import Stopwatch
from exporter.faults import Stopped
from exporter.fetch import Target, Terms, target_of
from exporter.reasons import Reason
from exporter.transport import dial
from exporter.trust import Trust

if TYPE_CHECKING:
    from exporter.model import Fetch, Issuer

INTERVAL_SECONDS = 24 * 3600.0
#: A look that learnt nothing is not tried again with every probe: it costs the server a
#: connection, and whoever waits for the report its patience.
RETRY_SECONDS = 3600.0
#: All the looks of one probe together, but never beyond the probe's own timeout.
LIMIT_SECONDS = 2.5
# Two servers for each of the most issuers that one process is measured with, and room.
_MOST_ANSWERS = 32_768


class _Way(NamedTuple):
    """A server as an issuer gets to it: the name alone may stand for several."""

    origin: Target
    connect_to: tuple[str, int] | None
    proxy_url: str | None


class _Answer(NamedTuple):
    asked: float
    is_tls13_only: bool | None = None

    def is_due(self) -> bool:
        wait = RETRY_SECONDS if self.is_tls13_only is None else INTERVAL_SECONDS
        return time.monotonic() - self.asked >= wait


class Tls12Looks:
    """What servers answered, and when."""

    def __init__(self) -> None:
        # The oldest first. A `jwks_uri` may name a new host in every answer: hence bounded.
        self._answers: dict[_Way, _Answer] = {}

    def is_tls13_only(self, issuer: Issuer, origin: Target) -> bool | None:
        """The last answer of *origin*; None when it was not asked, or gave none."""
        answer = self._answers.get(_Way(origin, issuer.connect_to, issuer.proxy_url))
        return answer.is_tls13_only if answer else None

    async def look(self, fetches: tuple[Fetch, ...], terms: Terms) -> tuple[Fetch, ...]:
        """Ask the servers of *fetches* that are due, side by side; *fetches* with the answers.

        A proxied issuer is not asked: its tunnel is not worth a second time.
        """
        limit = min(LIMIT_SECONDS, terms.stopwatch.remaining())
        due: dict[_Way, Fetch] = {}
        for seen in fetches if limit and not terms.issuer.proxy_url else ():
            if _speaks_tls13(seen) and self._is_due(way := _way(seen, terms.issuer)):
                due[way] = seen
        looks = (self._ask(way, seen, limit) for way, seen in due.items())
        await asyncio.gather(*looks)
        return tuple(self._told(seen, terms.issuer) for seen in fetches)

    def _is_due(self, way: _Way) -> bool:
        answer = self._answers.get(way)
        return answer is None or answer.is_due()

    async def _ask(self, way: _Way, seen: Fetch, limit: float) -> None:
        # Before the look: one that is cancelled has been had as well.
        self._note(way, None)
        self._note(way, await _ask(seen, way.origin.host, Stopwatch(limit)))

    def _note(self, way: _Way, is_tls13_only: bool | None) -> None:  # noqa: FBT001 - a fact
        answers = self._answers
        answers.pop(way, None)
        answers[way] = _Answer(time.monotonic(), is_tls13_only)
        oldest = next(iter(answers))
        while len(answers) > _MOST_ANSWERS or (
            time.monotonic() - answers[oldest].asked >= INTERVAL_SECONDS
        ):
            del answers[oldest]
            oldest = next(iter(answers))

    def _told(self, seen: Fetch, issuer: Issuer) -> Fetch:
        if seen.tls is None or not _speaks_tls13(seen):
            return seen
        answer = self.is_tls13_only(issuer, _way(seen, issuer).origin)
        if answer is seen.tls.is_tls13_only:
            return seen
        return replace(seen, tls=replace(seen.tls, is_tls13_only=answer))


def _speaks_tls13(seen: Fetch) -> bool:
    return seen.tls is not None and seen.tls.version == "TLSv1.3"


def _way(seen: Fetch, issuer: Issuer) -> _Way:
    return _Way(target_of(seen.url).origin, issuer.connect_to, issuer.proxy_url)


@cache
def _anybody() -> Trust:
    """TLS 1.2 alone, and with whatever certificate: nothing is told over this connection.

    So that an answer is of the protocol alone, and no authorities have to be loaded for it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    return Trust(context)


async def _ask(seen: Fetch, host: str, stopwatch: Stopwatch) -> bool | None:
    address = seen.address
    if address is None:
        return None
    try:
        connection = await dial((address.ip,), address.port, stopwatch)
    except Stopped:
        return None
    try:
        await connection.secure(host, _anybody(), stopwatch)
    except Stopped as stopped:
        # This alert alone proves it, and OpenSSL, BoringSSL, Go and Java send it. A
        # `handshake_failure` may be about a cipher or a client certificate instead.
        return True if stopped.reason is Reason.PROTOCOL_VERSION else None
    finally:
        connection.close()
    return False
