"""Probes that somebody asks for: the only place where a request may cause one.

Callers of one issuer share the probe under way, so a thousand of them cause no more than
one. It ends with the last of them: what nobody waits for any more is given up.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter import log
from exporter.reasons import Answer
from exporter.reply import Reply, Told
from exporter.text import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.model import Issuer
    from exporter.schedule import Scheduler
    from exporter.store import Store

#: Callers that may wait at once. Each holds a connection, and those that are left over (see
#: `web.connection`) are for scrapes and health checks.
MOST_CALLERS = 200


class UnknownTargetError(Exception):
    """Nothing that is configured has this name or URL."""

    def __init__(self, target: str) -> None:
        super().__init__(f"{quoted(target)} is neither the name nor the URL of an issuer here")


class AmbiguousTargetError(Exception):
    """Several issuers have this URL, and are told apart by their names only."""

    def __init__(self, target: str, issuers: Iterable[Issuer]) -> None:
        names = listed([quoted(issuer.name) for issuer in issuers])
        super().__init__(f"{quoted(target)} is the URL of several issuers, name one: {names}")


class TooManyCallersError(Exception):
    """As many wait as may."""


@dataclass(slots=True, eq=False)
class _UnderWay:
    """One probe, and how many wait for it."""

    issuer: Issuer
    task: asyncio.Task[Told | None]
    callers: int = 0


class OnDemand:
    """Answers those who want a probe now, of configured issuers only.

    What it learns is not in /metrics, which tells of the schedule alone: counters, latencies
    and the age of a result could otherwise be bent by whoever asks often, and a schedule
    that stands still would look alive. `Scheduler.once` tells the one exception.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        *,
        now: Callable[[], float] = time.monotonic,
        most_callers: int = MOST_CALLERS,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._now = now
        self._most_callers = most_callers
        self._callers = 0
        self._names: dict[str, Issuer] = {}
        self._urls: dict[str, list[Issuer]] = {}
        self._under_way: dict[Issuer, _UnderWay] = {}
        self._latest: Told | None = None

    def follow(self, issuers: Iterable[Issuer]) -> None:
        """Answer for these issuers from now on."""
        self._names, self._urls = {}, {}
        for issuer in issuers:
            self._names[issuer.name] = issuer
            self._urls.setdefault(issuer.url, []).append(issuer)

    def find(self, target: str) -> Issuer:
        """The issuer of this name, or else of this URL, both to the letter.

        Raises:
            UnknownTargetError, AmbiguousTargetError: There is none, or there are several.
        """
        if target in self._names:
            return self._names[target]
        found = self._urls.get(target, [])
        if not found:
            raise UnknownTargetError(target)
        if len(found) > 1:
            raise AmbiguousTargetError(target, found)
        return found[0]

    async def ask(self, issuer: Issuer, *, allowed_seconds: float) -> Reply:
        """Probe *issuer*, or wait for whom is probing it, no longer than is allowed.

        Raises:
            TooManyCallersError: And nothing was done.
        """
        if self._callers >= self._most_callers:
            self._store.own.answered(Answer.BUSY)
            raise TooManyCallersError
        begun = self._now()
        self._callers += 1
        try:
            answer, told = await self._answer(issuer, allowed_seconds)
        finally:
            self._callers -= 1
        self._store.own.answered(answer)
        return Reply(
            issuer=issuer,
            answer=answer,
            told=told,
            waited_seconds=self._now() - begun,
            allowed_seconds=allowed_seconds,
        )

    async def close(self) -> None:
        """End every probe; whoever waits is told that the time ran out."""
        tasks = [under_way.task for under_way in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, issuer: Issuer, seconds: float) -> tuple[Answer, Told | None]:
        if self._scheduler.is_held(issuer):
            return Answer.RETRY_AFTER, self._latest_of(issuer)
        task = await self._wait(self._join(issuer), seconds)
        if not task.done() or task.cancelled():
            return Answer.TIMEOUT, None
        told = task.result()
        if told is None:
            return Answer.RETRY_AFTER, self._latest_of(issuer)
        return Answer.PROBED, told

    def _join(self, issuer: Issuer) -> _UnderWay:
        under_way = self._under_way.get(issuer)
        if under_way is None:
            task = asyncio.create_task(self._probe(issuer), name=f"on demand {issuer.name}")
            under_way = self._under_way[issuer] = _UnderWay(issuer, task)
            task.add_done_callback(lambda _: self._leave(under_way))
        return under_way

    def _leave(self, under_way: _UnderWay) -> None:
        if self._under_way.get(under_way.issuer) is under_way:
            del self._under_way[under_way.issuer]

    async def _wait(self, under_way: _UnderWay, seconds: float) -> asyncio.Task[Told | None]:
        under_way.callers += 1
        try:
            # Not `wait_for`: that would end the others' probe with this caller's time.
            await asyncio.wait([under_way.task], timeout=seconds)
        finally:
            under_way.callers -= 1
            if not under_way.callers and not under_way.task.done():
                under_way.task.cancel()
                # At once: whoever comes next must not join what is about to end.
                self._leave(under_way)
        return under_way.task

    async def _probe(self, issuer: Issuer) -> Told | None:
        report = await self._scheduler.once(issuer)
        if report is None:
            return None
        self._store.own.on_demand_probes.inc()
        log.probed_on_demand(report)
        return Told(report)

    def _latest_of(self, issuer: Issuer) -> Told | None:
        report = self._store.latest(issuer.name)
        if report is None:
            return None
        # Many may ask for the same one, and rendering costs more than the rest.
        if self._latest is None or self._latest.report is not report:
            self._latest = Told(report)
        return self._latest
