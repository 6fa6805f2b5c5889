"""One probe of one issuer, as STS makes it: discovery, then the key set, then the judgement."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from exporter.caching import policy, retry_after
from exporter.clock import Stopwatch
from exporter.documents import read_discovery, read_jwks
from exporter.exchange import HTTP_OK
from exporter.faults import Stopped
from exporter.fetch import Fetched, Terms, fetch, target_of
from exporter.judge import judge, url_failure
from exporter.model import CachePolicy, Discovery, Failure, Fetch, Issuer, KeySet, Report
from exporter.reasons import Document, Reason, Scope, Stage
from exporter.tls12 import Tls12Looks
from exporter.trust import UNREADABLE, Trust, trust

if TYPE_CHECKING:
    from exporter.exchange import Exchange

_ASKED_TO_WAIT = (429, 503)

_logger = structlog.get_logger()


class Prober:
    """Makes probes; keeps only what is dear to make again: trust, and the TLS 1.2 answers."""

    def __init__(self) -> None:
        # By `ca_file`, with the time at which that was changed.
        self._trusts: dict[str | None, tuple[int, Trust]] = {}
        self._unreadable: set[str | None] = set()
        self._loading = asyncio.Lock()
        self._tls12 = Tls12Looks()

    async def probe(self, issuer: Issuer, *, attempt: int = 1) -> Report:
        """Ask *issuer* what STS would ask, now, and judge the answers.

        Returns:
            A `Report`, always. Only cancellation and our own bugs are raised.
        """
        refused = url_failure(issuer.url, Document.DISCOVERY)
        if refused is not None:
            return _report(issuer, attempt, _Seen(started=time.time(), discovery=refused))
        trusted = await self._trust(issuer.ca_file)
        if isinstance(trusted, Failure):
            return _report(issuer, attempt, _Seen(started=time.time(), discovery=trusted))
        stopwatch = Stopwatch(issuer.timeout_seconds)
        terms = Terms(
            issuer=issuer,
            trust=trusted,
            stopwatch=stopwatch,
            is_tls13_only=partial(self._tls12.is_tls13_only, issuer),
        )
        seen = await _visit(terms)
        seen.ended = time.time()
        seen.fetches = await self._tls12.look(seen.fetches, terms)
        return _report(issuer, attempt, seen)

    async def _trust(self, ca_file: str | None) -> Trust | Failure:
        """A file that has gone, or is half written, leaves its last good content in force."""
        async with self._loading:
            try:
                return await self._newest_trust(ca_file)
            except UNREADABLE as error:
                words = getattr(error, "strerror", None) or "it holds no certificate to trust"
        if ca_file not in self._unreadable:
            self._unreadable.add(ca_file)
            _logger.warning("ca_file.unreadable", ca_file=ca_file, detail=words)
        if ca_file in self._trusts:
            return self._trusts[ca_file][1]
        return Failure(
            document=Document.DISCOVERY,
            stage=Stage.INTERNAL,
            reason=Reason.ERROR,
            detail=f"ca_file {ca_file}: {words}",
        )

    async def _newest_trust(self, ca_file: str | None) -> Trust:
        changed = 0 if ca_file is None else os.stat(ca_file).st_mtime_ns  # noqa: PTH116 - one local stat
        if ca_file not in self._trusts or self._trusts[ca_file][0] != changed:
            # Reading the system's bundle takes 20 ms of CPU: not on the loop.
            self._trusts[ca_file] = changed, await asyncio.to_thread(trust, ca_file)
        self._unreadable.discard(ca_file)
        return self._trusts[ca_file][1]


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What one probe has gathered, until it is judged."""

    started: float
    ended: float = field(default_factory=time.time)
    duration: float = 0.0
    fetches: tuple[Fetch, ...] = ()
    discovery: Discovery | Failure | None = None
    key_set: KeySet | Failure | None = None

    def add(self, fetched: Fetched, terms: Terms) -> None:
        self.fetches = (*self.fetches, fetched.seen)
        self.duration = terms.stopwatch.now()

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
    first = await fetch(Document.DISCOVERY, url, terms)
    exchange = first.exchange
    try:
        seen.add(first, terms)
        if first.body is not None:
            seen.discovery = read_discovery(first.body, first.seen.header("content-type"))
        if isinstance(seen.discovery, Discovery):
            terms = replace(terms, is_public_only=_is_public_only(terms.issuer, first.seen))
            second = await _fetch_keys(seen.discovery.jwks_uri, terms, first)
            exchange = second.exchange
            seen.add(second, terms)
            if second.body is not None:
                seen.key_set = read_jwks(second.body, second.seen.header("content-type"))
    finally:
        if exchange is not None:
            exchange.connection.close()
    return seen


async def _fetch_keys(url: str, terms: Terms, first: Fetched) -> Fetched:
    reuse = _reusable(url, terms.issuer, first)
    if first.exchange is not None and reuse is None:
        first.exchange.connection.close()
    second = await fetch(Document.JWKS, url, terms, reuse=reuse)
    if reuse is not None and _was_hung_up_on(second.seen):
        # The server had closed the idle connection: any client asks again (RFC 9112 9.3.1).
        second = await fetch(Document.JWKS, url, terms, lost=second.seen)
    return second


def _reusable(url: str, issuer: Issuer, first: Fetched) -> Exchange | None:
    exchange = first.exchange
    if exchange is None or not issuer.reuse_connection:
        return None
    with contextlib.suppress(Stopped):
        if target_of(url).origin == target_of(first.seen.url).origin:
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
        ended_timestamp_seconds=seen.ended,
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
