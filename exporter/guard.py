"""One probe under guard: the only place that holds probes back, and that survives our bugs."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, Protocol
from urllib.parse import urlsplit

import structlog

from exporter.model import Failure, Report
from exporter.reasons import Document, Reason, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from exporter.config import Limits
    from exporter.model import Issuer
    from exporter.reasons import SkipCause

# Far above what an honest probe takes, second looks at a certificate included: only one
# that has lost its own timeout meets this ceiling.
_CEILING_FACTOR = 2
_CEILING_EXTRA_SECONDS = 10.0

P = ParamSpec("P")

_logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What a schedule takes from outside.

    Attributes:
        now: Monotonic seconds; deadlines are in it, so a stepped wall clock moves none.
        wall: Unix seconds, for timestamps and for `Retry-After`.
        random: A share in [0, 1).
    """

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


class Book(Protocol):
    """Where a schedule writes down what happened; called on the loop, in order."""

    def started(self, issuer: Issuer, delay_seconds: float) -> None:
        """The first probe of a tick begins, so long after its deadline."""

    def record(self, report: Report, *, is_final: bool) -> None:
        """A probe has ended; *is_final* is False when another attempt is to confirm it."""

    def skipped(self, issuer: Issuer, cause: SkipCause, ticks: int) -> None:
        """So many ticks went by without a probe."""

    def held(self, issuer: Issuer, until_timestamp_seconds: float) -> None:
        """Nothing is known of *issuer* yet but that, under another name, it asked to wait."""

    def panicked(self, issuer: Issuer) -> None:
        """Our own code failed on *issuer*; the log has the traceback."""


class Guard:
    """Runs single probes: under the caps, and whatever our own code does."""

    def __init__(
        self,
        probe: Callable[[Issuer, int], Awaitable[Report]],
        book: Book,
        caps: Caps,
        clock: Clock,
    ) -> None:
        self.book = book
        self.caps = caps
        self.clock = clock
        self.in_flight = 0
        self._probe = probe

    async def run(self, issuer: Issuer, attempt: int, due: float | None) -> Report:
        """Probe once; *due* is the deadline to measure the delay from, if there is one."""
        async with self.caps.slot(issuer):
            if due is not None:
                delay = max(0.0, self.clock.now() - due)
                self.write(issuer, self.book.started, issuer, delay)
            return await self.run_within(issuer, attempt)

    async def run_within(self, issuer: Issuer, attempt: int) -> Report:
        """The same, for who holds a place already."""
        self.in_flight += 1
        try:
            return await self._survive(issuer, attempt)
        finally:
            self.in_flight -= 1

    def write(
        self, issuer: Issuer, entry: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Make an entry in the book; a bug in there must not end *issuer*'s line either."""
        try:
            entry(*args, **kwargs)
        except Exception:
            _logger.exception("book.panicked", issuer=issuer.name)
            with suppress(Exception):
                self.book.panicked(issuer)

    async def _survive(self, issuer: Issuer, attempt: int) -> Report:
        started, begun = self.clock.wall(), self.clock.now()
        ceiling = _CEILING_FACTOR * issuer.timeout_seconds + _CEILING_EXTRA_SECONDS
        try:
            async with asyncio.timeout(ceiling):
                return await self._probe(issuer, attempt)
        except asyncio.CancelledError as cancelled:
            # Only who cancels this very task may end it. A cancellation that leaks out of
            # some library's future is a bug like any other, and would end the line unseen.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error: BaseException = cancelled
        except Exception as raised:  # noqa: BLE001
            error = raised
        _logger.error("probe.panicked", issuer=issuer.name, attempt=attempt, exc_info=error)
        self.write(issuer, self.book.panicked, issuer)
        return Report(
            issuer=issuer,
            attempt=attempt,
            started_timestamp_seconds=started,
            ended_timestamp_seconds=self.clock.wall(),
            duration_seconds=self.clock.now() - begun,
            failure=_internal(error),
        )


def _internal(error: BaseException) -> Failure:
    return Failure(
        document=Document.DISCOVERY,
        stage=Stage.INTERNAL,
        reason=Reason.ERROR,
        detail=f"{type(error).__name__}: a bug in the exporter, its log has the traceback",
    )


class Caps:
    """How many probes may run at once: in all, and against one host."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._total = asyncio.Semaphore(limits.concurrency)
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(
            partial(asyncio.Semaphore, limits.concurrency_per_host)
        )

    def following(self, limits: Limits, issuers: Iterable[Issuer]) -> Caps:
        """The caps of a new configuration: these, unless the limits have changed."""
        if limits != self._limits:
            return Caps(limits)
        if not self._hosts:
            return self  # nothing to forget, and at the start there are many to look at
        for host in self._hosts.keys() - {_host(issuer) for issuer in issuers}:
            del self._hosts[host]
        return self

    @asynccontextmanager
    async def slot(self, issuer: Issuer) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        # The host's first: who waits for a slow host must not keep a place from others.
        async with self._hosts[_host(issuer)], self._total:
            yield


def halved(limits: Limits) -> Limits:
    """What may be taken of *limits* without a share in them: half, and one at least."""
    return replace(
        limits,
        concurrency=max(1, limits.concurrency // 2),
        concurrency_per_host=max(1, limits.concurrency_per_host // 2),
    )


def _host(issuer: Issuer) -> str:
    """Of the URL, also behind `connect_to`: it is the named service that is spared."""
    try:
        return urlsplit(issuer.url).hostname or ""
    except ValueError:
        return issuer.url
