"""Does a server that speaks TLS 1.3 speak TLS 1.2 as well? Asked apart, and seldom.

AWS falls back to thumbprints "if TLS v1.3 is required" (IAM user guide, "Obtain the
thumbprint for an OpenID Connect identity provider"), so an issuer that dropped TLS 1.2 is
in danger. The look costs a handshake, so it happens after a probe's clock has stopped, over
a connection of its own, once a day for each server.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.clock import Stopwatch
from exporter.faults import Stopped
from exporter.fetch import Target, Terms, target_of
from exporter.reasons import Reason
from exporter.transport import dial

if TYPE_CHECKING:
    from exporter.model import Fetch

INTERVAL_SECONDS = 24 * 3600.0
_REFUSALS = (Reason.PROTOCOL_VERSION, Reason.HANDSHAKE_FAILURE)


class Tls12Looks:
    """What servers answered, and when."""

    def __init__(self) -> None:
        # Bounded by the issuers and the hosts of their key sets.
        self._answers: dict[Target, tuple[float, bool | None]] = {}

    def is_tls13_only(self, origin: Target) -> bool | None:
        """The last answer of *origin*; None when it was not asked, or gave none."""
        return self._answers.get(origin, (0.0, None))[1]

    async def look(self, seen: Fetch, terms: Terms) -> Fetch:
        """Ask the server of *seen* when that is due; *seen* with its answer.

        A proxied issuer is not asked: its tunnel is not worth a second time.
        """
        if seen.tls is None or seen.tls.version != "TLSv1.3" or terms.issuer.proxy_url:
            return seen
        origin = target_of(seen.url).origin
        asked, answer = self._answers.get(origin, (-INTERVAL_SECONDS, None))
        if time.monotonic() - asked >= INTERVAL_SECONDS:
            answer = await _ask(seen, origin, terms)
            self._answers[origin] = (time.monotonic(), answer)
        if answer is seen.tls.is_tls13_only:
            return seen
        return replace(seen, tls=replace(seen.tls, is_tls13_only=answer))


async def _ask(seen: Fetch, origin: Target, terms: Terms) -> bool | None:
    address, trust = seen.address, terms.trust
    if address is None:
        return None
    stopwatch = Stopwatch(terms.issuer.timeout_seconds)
    try:
        connection = await dial((address.ip,), address.port, stopwatch)
    except Stopped:
        return None
    try:
        await connection.secure(origin.host, trust.context_tls12, trust, stopwatch)
    except Stopped as stopped:
        return True if stopped.reason in _REFUSALS else None
    finally:
        connection.close()
    return False
