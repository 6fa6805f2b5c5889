"""One probe of one issuer, as STS makes it: discovery, then the key set, then the judgement."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.caching import policy, retry_after
from exporter.clock import Stopwatch
from exporter.documents import read_discovery, read_jwks
from exporter.exchange import HTTP_OK
from exporter.faults import Stopped
from exporter.fetch import Target, Terms, fetch, target_of
from exporter.judge import judge, url_failure
from exporter.model import CachePolicy, Discovery, Failure, Fetch, Issuer, KeySet, Report
from exporter.reasons import Document, Reason, Scope, Stage
from exporter.transport import dial
from exporter.trust import Trust, trust

if TYPE_CHECKING:
    from exporter.exchange import Exchange

#: How often an issuer that speaks TLS 1.3 is asked whether it still speaks TLS 1.2.
TLS12_CHECK_SECONDS = 24 * 3600.0
_NO_TLS12 = (Reason.PROTOCOL_VERSION, Reason.HANDSHAKE_FAILURE)
_ASKED_TO_WAIT = (429, 503)


class Prober:
    """Makes probes; keeps only what is dear to make again: trust, and the TLS 1.2 answers."""

    def __init__(self) -> None:
        self._trusts: dict[tuple[str | None, int], Trust] = {}
        self._loading = asyncio.Lock()
        self._tls13_only: dict[tuple[str, int, str | None], tuple[float, bool | None]] = {}

    async def probe(self, issuer: Issuer, *, attempt: int = 1) -> Report:
        """Ask *issuer* what STS would ask, now, and judge the answers.

        Returns:
            A `Report`, always. Only cancellation and our own bugs are raised.

        Raises:
            OSError, ssl.SSLError: The issuer's `ca_file` has gone since it was configured.
        """
        refused = url_failure(issuer.url, Document.DISCOVERY)
        if refused is not None:
            return _report(issuer, attempt, _Seen(started=time.time(), discovery=refused))
        trusted = await self._trust(issuer.ca_file)
        stopwatch = Stopwatch(issuer.timeout_seconds)
        seen = await _visit(Terms(issuer=issuer, trust=trusted, stopwatch=stopwatch))
        seen.fetches = tuple([await self._with_tls12(f, issuer, trusted) for f in seen.fetches])
        return _report(issuer, attempt, seen)

    async def _trust(self, ca_file: str | None) -> Trust:
        changed = 0 if ca_file is None else os.stat(ca_file).st_mtime_ns  # noqa: PTH116 - one local stat
        key = (ca_file, changed)
        async with self._loading:
            if key not in self._trusts:
                self._trusts = {k: v for k, v in self._trusts.items() if k[0] != ca_file}
                # Reading the system's bundle takes 20 ms of CPU: not on the loop.
                self._trusts[key] = await asyncio.to_thread(trust, ca_file)
        return self._trusts[key]

    async def _with_tls12(self, got: Fetch, issuer: Issuer, trusted: Trust) -> Fetch:
        """Say of a fetch over TLS 1.3 whether its server speaks TLS 1.2 as well.

        After the clock has stopped, over a connection of its own, once a day: AWS falls
        back to thumbprints where TLS 1.3 is required (IAM user guide, "Obtain the
        thumbprint for an OpenID Connect identity provider").
        """
        if got.tls is None or got.tls.version != "TLSv1.3" or issuer.proxy_url:
            return got
        target = target_of(got.url)
        key = (target.host, target.port, issuer.ca_file)
        asked, answer = self._tls13_only.get(key, (-TLS12_CHECK_SECONDS, None))
        if time.monotonic() - asked >= TLS12_CHECK_SECONDS:
            answer = await _is_tls13_only(got, target, trusted, issuer.timeout_seconds)
            self._tls13_only[key] = (time.monotonic(), answer)
        return replace(got, tls=replace(got.tls, is_tls13_only=answer))


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What one probe has gathered, until it is judged."""

    started: float
    duration: float = 0.0
    fetches: tuple[Fetch, ...] = ()
    discovery: Discovery | Failure | None = None
    key_set: KeySet | Failure | None = None

    def caching(self) -> tuple[tuple[Document, CachePolicy], ...]:
        return tuple(
            (f.document, policy(f.headers, received=_received(f)))
            for f in self.fetches
            if f.status == HTTP_OK
        )

    def retry_after(self) -> float | None:
        for f in self.fetches:
            if f.status in _ASKED_TO_WAIT:
                return retry_after(f.headers, received=_received(f))
        return None


def _received(fetch: Fetch) -> float:
    return fetch.started_timestamp_seconds + (fetch.first_byte_seconds or 0.0)


async def _visit(terms: Terms) -> _Seen:
    """Fetch and read both documents, as far as it goes."""
    seen = _Seen(started=time.time())
    url = terms.issuer.url.removesuffix("/") + "/.well-known/openid-configuration"
    got, exchange = await fetch(Document.DISCOVERY, url, terms)
    seen.duration = terms.stopwatch.now()
    try:
        seen.fetches = (replace(got, body=None),)
        if got.body is not None:
            seen.discovery = read_discovery(got.body, got.header("content-type"))
        if isinstance(seen.discovery, Discovery):
            terms = replace(terms, is_public_only=_is_public_only(terms.issuer, got))
            reuse = _reusable(terms.issuer, url, seen.discovery, exchange)
            keys, exchange = await _fetch_keys(seen.discovery.jwks_uri, terms, exchange, reuse)
            seen.duration = terms.stopwatch.now()
            seen.fetches = (*seen.fetches, replace(keys, body=None))
            if keys.body is not None:
                seen.key_set = read_jwks(keys.body, keys.header("content-type"))
    finally:
        if exchange is not None:
            exchange.connection.close()
    return seen


async def _fetch_keys(
    url: str, terms: Terms, exchange: Exchange | None, reuse: Exchange | None
) -> tuple[Fetch, Exchange | None]:
    if exchange is not None and reuse is None:
        exchange.connection.close()
    got, exchange = await fetch(Document.JWKS, url, terms, reuse=reuse)
    if got.is_reused and _was_hung_up_on(got):
        # The server had closed the idle connection: any client asks again (RFC 9112 9.3.1).
        got, exchange = await fetch(Document.JWKS, url, terms)
    return got, exchange


async def _is_tls13_only(
    got: Fetch, target: Target, trusted: Trust, timeout_seconds: float
) -> bool | None:
    if got.address is None:
        return None
    stopwatch = Stopwatch(timeout_seconds)
    with contextlib.suppress(Stopped):
        connection = await dial((got.address.ip,), got.address.port, stopwatch)
        try:
            await connection.secure(target.host, trusted.context_tls12, trusted, stopwatch)
        except Stopped as stopped:
            return True if stopped.reason in _NO_TLS12 else None
        finally:
            connection.close()
        return False
    return None


def _reusable(
    issuer: Issuer, url: str, discovery: Discovery, exchange: Exchange | None
) -> Exchange | None:
    if exchange is None or not issuer.reuse_connection:
        return None
    with contextlib.suppress(Stopped):
        if target_of(url).is_same_origin(target_of(discovery.jwks_uri)):
            return exchange if exchange.is_reusable() else None
    return None


def _was_hung_up_on(got: Fetch) -> bool:
    failure = got.failure
    return (
        failure is not None
        and failure.stage is Stage.HTTP
        and got.first_byte_seconds is None
        and failure.reason in (Reason.EMPTY_REPLY, Reason.RESET)
    )


def _is_public_only(issuer: Issuer, first: Fetch) -> bool:
    """A public issuer's `jwks_uri` may not lead into the network we stand in (SSRF)."""
    if issuer.allow_private_jwks or issuer.connect_to is not None:
        return False
    is_public = first.address is not None and first.address.scope is Scope.GLOBAL
    return is_public or issuer.proxy_url is not None


def _report(issuer: Issuer, attempt: int, seen: _Seen) -> Report:
    caching = seen.caching()
    failure, findings = judge(
        issuer,
        fetches=seen.fetches,
        caching=caching,
        discovery=seen.discovery,
        key_set=seen.key_set,
        duration_seconds=seen.duration,
    )
    return Report(
        issuer=issuer,
        started_timestamp_seconds=seen.started,
        ended_timestamp_seconds=time.time(),
        duration_seconds=seen.duration,
        attempt=attempt,
        fetches=seen.fetches,
        caching=caching,
        discovery=seen.discovery if isinstance(seen.discovery, Discovery) else None,
        key_set=seen.key_set if isinstance(seen.key_set, KeySet) else None,
        failure=failure,
        findings=findings,
        retry_after_timestamp_seconds=seen.retry_after(),
    )
