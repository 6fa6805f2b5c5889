"""One GET of one document: the steps in order, and a record that only grows.

Whatever the far end does, `fetch` returns a `Fetch`. Facts accumulate in the order they
arrive, so a failure never erases what was seen before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from exporter import __version__
from exporter.exchange import Exchange, tunnel
from exporter.faults import Stopped
from exporter.model import Address, Failure, Fetch, Issuer, Phases
from exporter.reasons import Document, Phase, Reason, Scope, Stage
from exporter.resolve import ascii_name, family_of, literal, resolve, scope_of
from exporter.transport import dial

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.clock import Stopwatch
    from exporter.trust import Trust

USER_AGENT = (
    f"oidc-issuer-exporter/{__version__} "
    "(+https://github.com/oidc-issuer-exporter/oidc-issuer-exporter)"
)
# Not JSON alone: Kubernetes' API server calls its key set `application/jwk-set+json`, and
# answers 406 where that is not welcome. No `*/*`: Rails answers it with HTML, as to a browser.
_ACCEPT = "application/json,application/jwk-set+json"
_HTTPS_PORT = 443
# Everything that may stand in a path or query as it is (RFC 3986 3.3, 3.4), `%` included:
# what the issuer has escaped stays escaped.
_SAFE = "%/:?#[]@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one URL leads: whom to connect to, and what to ask for.

    Attributes:
        host: A-labels, or an address without brackets; also the SNI.
        path: With the query, escaped.
    """

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as `CONNECT` wants them."""
        return f"{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The `Host` header: without the default port."""
        return self._bracketed if self.port == _HTTPS_PORT else self.authority

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def origin(self) -> Target:
        """The same host and port, whatever the path; the scheme is always https."""
        return Target(self.host, self.port, "/")


# Remembered: the same few URLs come back at every probe, and IDNA is slow.
@lru_cache(maxsize=4096)
def target_of(url: str) -> Target:
    """Take apart *url*, which is https and has been judged well-formed.

    Raises:
        Stopped: `dns/bad_name`.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = quote(parts.path or "/", safe=_SAFE)
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    return Target(literal(host) or ascii_name(host), parts.port or _HTTPS_PORT, path + query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the two fetches of one probe have in common.

    Attributes:
        is_public_only: Refuse to dial an address that is not globally reachable.
        is_tls13_only: What is known of an origin from before.
    """

    issuer: Issuer
    trust: Trust
    stopwatch: Stopwatch
    is_tls13_only: Callable[[Target], bool | None]
    is_public_only: bool = False


class Fetched(NamedTuple):
    """What one fetch yields: the record, the body if it came whole, and the open exchange.

    The exchange is None when the fetch failed; else the caller hands it on or closes it.
    """

    seen: Fetch
    body: bytes | None = None
    exchange: Exchange | None = None


class _Trail:
    """What one fetch has seen so far."""

    def __init__(
        self,
        document: Document,
        url: str,
        stopwatch: Stopwatch,
        *,
        reuse: Exchange | None,
        lost: Fetch | None,
    ) -> None:
        self.connection = reuse.connection if reuse else None
        self.exchange = reuse
        self._failure: Failure | None = None
        self._is_reused = reuse is not None
        self._document = document
        self._url = url
        self._stopwatch = stopwatch
        self._started = lost.started_timestamp_seconds if lost else time.time()
        self._since = stopwatch.now()
        self._correction = stopwatch.correction_seconds
        self._phase: Phase | None = None
        self._phases = {Phase.PROCESSING: lost.duration_seconds} if lost else {}
        self._first_byte: float | None = None
        self._tried: tuple[Address, ...] = ()

    def begin(self, phase: Phase | None) -> None:
        """End the phase that runs, and begin *phase*."""
        now = self._stopwatch.now()
        if self._phase is not None:
            self._phases[self._phase] = self._phases.get(self._phase, 0.0) + now - self._since
        if phase is Phase.TRANSFER:
            self._first_byte = sum(self._phases.values())
        elif phase is Phase.PROCESSING and self._first_byte is not None:
            # It was an interim response's: the final one is still awaited.
            self._phases[phase] += self._phases.pop(Phase.TRANSFER)
            self._first_byte = None
        self._phase, self._since = phase, now

    def stop(self, stopped: Stopped) -> None:
        """Add what stopped the fetch."""
        self._failure = stopped.failure(self._document)
        self._tried = stopped.tried

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()

    def fetch(self) -> Fetch:
        """Freeze the record; the clock stops here."""
        self.begin(None)
        connection, exchange = self.connection, self.exchange
        return Fetch(
            document=self._document,
            url=self._url,
            started_timestamp_seconds=self._started,
            duration_seconds=sum(self._phases.values()),
            phases=Phases(**{phase.value: s for phase, s in self._phases.items()}),
            address=connection.address if connection else next(iter(self._tried[-1:]), None),
            dead_addresses=connection.dead_addresses() if connection else self._tried,
            is_reused=self._is_reused,
            tls=connection.tls if connection else None,
            status=exchange.status if exchange else None,
            headers=exchange.headers if exchange else (),
            redirect=_redirect(exchange) if exchange else None,
            size_bytes=exchange.size_bytes if exchange else None,
            first_byte_seconds=self._first_byte,
            correction_seconds=self._stopwatch.correction_seconds - self._correction,
            is_corrected=self._stopwatch.is_corrected,
            failure=self._failure,
        )


async def fetch(
    document: Document,
    url: str,
    terms: Terms,
    *,
    reuse: Exchange | None = None,
    lost: Fetch | None = None,
) -> Fetched:
    """GET *url* once, following no redirect, over *reuse* or a fresh connection.

    *lost* is the try that this one repeats, since the kept connection was hung up: its time
    counts too, as `processing`.

    Returns:
        A `Fetched`, always. Only cancellation and our own bugs are raised.
    """
    trail = _Trail(document, url, terms.stopwatch, reuse=reuse, lost=lost)
    try:
        target = target_of(url)
        exchange = trail.exchange = trail.exchange or await _open(target, terms, trail)
        body = await exchange.get(
            target.path,
            _headers(target, terms.issuer),
            max_body_bytes=terms.issuer.max_body_bytes,
            stopwatch=terms.stopwatch,
            begun=trail.begin,
        )
    except Stopped as stopped:
        trail.stop(stopped)
        seen = trail.fetch()
        trail.close()
        return Fetched(seen)
    except BaseException:
        trail.close()
        raise
    return Fetched(trail.fetch(), body, exchange)


async def _open(target: Target, terms: Terms, trail: _Trail) -> Exchange:
    issuer, stopwatch = terms.issuer, terms.stopwatch
    host, port = _next_hop(target, issuer)
    ips = await _addresses(host, issuer, stopwatch, trail)
    if terms.is_public_only:
        ips = _public(target, ips) if issuer.proxy_url is None else _public_literal(target, ips)
    trail.begin(Phase.CONNECT)
    connection = trail.connection = await dial(ips, port, stopwatch)
    if issuer.proxy_url is not None:
        await tunnel(connection, target.authority, stopwatch)
    trail.begin(Phase.TLS)
    await connection.secure(
        target.host,
        terms.trust,
        stopwatch,
        is_tls13_only=terms.is_tls13_only(target.origin),
    )
    return Exchange(connection)


def _next_hop(target: Target, issuer: Issuer) -> tuple[str, int]:
    if issuer.proxy_url is not None:
        proxy = urlsplit(issuer.proxy_url)
        return proxy.hostname or "", proxy.port or 80
    return issuer.connect_to or (target.host, target.port)


async def _addresses(
    host: str, issuer: Issuer, stopwatch: Stopwatch, trail: _Trail
) -> tuple[str, ...]:
    ip = literal(host)
    if ip is not None:
        return (ip,)
    trail.begin(Phase.RESOLVE)
    try:
        return await resolve(
            ascii_name(host),
            family=issuer.ip_family,
            nameservers=issuer.nameservers,
            stopwatch=stopwatch,
        )
    except Stopped as stopped:
        if issuer.proxy_url is not None and stopped.stage is Stage.DNS:
            stopped.detail = f"the proxy's own name: {stopped.detail}"
        raise


def _public_literal(target: Target, ips: tuple[str, ...]) -> tuple[str, ...]:
    # Behind a proxy only the proxy resolves; an address in the URL can still be judged.
    ip = literal(target.host)
    if ip is not None:
        _public(target, (ip,))
    return ips


def _public(target: Target, ips: tuple[str, ...]) -> tuple[str, ...]:
    """Those of *ips* that the whole internet can reach, and STS with it."""
    allowed = tuple(ip for ip in ips if scope_of(ip) is Scope.GLOBAL)
    if allowed:
        return allowed
    refused = tuple(
        Address(
            ip=ip,
            port=target.port,
            family=family_of(ip),
            scope=scope_of(ip),
            failure="not public, not dialled",
        )
        for ip in ips
    )
    words = f"the jwks_uri of a public issuer leads to {ips[0]}, which is not public"
    raise Stopped(Stage.CONFIG, Reason.REFUSED_TARGET, words, tried=refused)


def _headers(target: Target, issuer: Issuer) -> list[tuple[str, str]]:
    return [
        ("Host", target.host_header),
        ("User-Agent", issuer.user_agent or USER_AGENT),
        ("Accept", _ACCEPT),
        # The plain document; a body compressed all the same is decompressed.
        ("Accept-Encoding", "identity"),
    ]


def _redirect(exchange: Exchange) -> str | None:
    """Scheme and host of the `Location` of a 3xx: where it led, but nothing private of it."""
    if exchange.status is None or not 300 <= exchange.status < 400:  # noqa: PLR2004 - 3xx
        return None
    location = next((v for k, v in exchange.headers if k == "location"), "")
    try:
        parts = urlsplit(location)
        host = parts.hostname or ""
    except ValueError:
        return None
    if not host:
        return "the same host" if location else None
    return f"{parts.scheme or 'https'}://{host}"[:255]
