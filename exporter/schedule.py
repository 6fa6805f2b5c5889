"""When each issuer is probed: the only place that keeps the time between probes.

Every issuer has a task of its own and a fixed place in its interval, so that probes are
spread evenly and stay spread, however long one of them takes.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import structlog

from exporter.deadlines import Grid, offset_seconds, pause_seconds
from exporter.guard import Caps, Clock, Guard, halved
from exporter.reasons import SkipCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from exporter.config import Limits
    from exporter.guard import Book
    from exporter.model import Issuer, Report

#: How long cancelled probes may take to end. Shutdown promises a second in all, and
#: closing a connection is all that is left for them to do.
STOP_SECONDS = 0.8

_logger = structlog.get_logger()


class Scheduler:
    """Probes every issuer on its deadlines, from `update` to `close`.

    Args:
        probe: Gives a report whatever the far end does; takes the attempt's number.
    """

    def __init__(
        self,
        probe: Callable[[Issuer, int], Awaitable[Report]],
        book: Book,
        limits: Limits,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._guard = Guard(probe, book, Caps(limits), clock or Clock())
        self._spare = Caps(halved(limits))
        self._start: float | None = None
        self._lines: dict[str, _Line] = {}
        self._is_round_over = False
        self._is_closed = False

    @property
    def in_flight(self) -> int:
        """How many probes are running now."""
        return self._guard.in_flight

    async def update(self, issuers: Sequence[Issuer], limits: Limits) -> None:
        """Follow a new configuration.

        Issuers that equal what they were keep their task and their place. The tasks of
        the others have ended when this returns, and the new ones have not begun to probe.
        Does nothing after `close`.
        """
        wanted = {issuer.name: issuer for issuer in issuers}
        gone = [line for name, line in self._lines.items() if line.issuer != wanted.get(name)]
        await _stop(gone)
        # Asked after the wait: a reload may be under way when the end comes.
        if self._is_closed:
            return
        self._guard.caps = self._guard.caps.following(limits, issuers)
        self._spare = self._spare.following(halved(limits), issuers)
        old, self._lines = self._lines, {}
        # One moment for all, which is the beginning for those of the first configuration:
        # whose place is right there must not wait for a whole interval.
        now = self._guard.clock.now()
        held_until = _latest_holds(old.values())
        for name, issuer in wanted.items():
            line = old.get(name)
            if line is None or line.issuer != issuer:
                line = self._begin(issuer, line, now, held_until.get(issuer.url, -math.inf))
            self._lines[name] = line

    def is_held(self, issuer: Issuer) -> bool:
        """*issuer* has asked to be left alone, and the time is not over."""
        line = self._line(issuer)
        return line is not None and line.is_held()

    async def once(self, issuer: Issuer) -> Report | None:
        """Probe *issuer* beside its ticks, under the same caps: half of them at most.

        The report is written down only if it asks to be left alone, because the schedule
        then obeys: what is measured else follows the schedule, whoever asks how often.

        Returns:
            None if *issuer* has asked to be left alone while this waited for its place.
        """
        async with self._spare.slot(issuer), self._guard.caps.slot(issuer):
            if self.is_held(issuer):
                return None
            report = await self._guard.run_within(issuer, 1)
        line = self._line(issuer)
        if line is not None:
            line.heed(report)
        return report

    def _line(self, issuer: Issuer) -> _Line | None:
        line = self._lines.get(issuer.name)
        return line if line is not None and line.issuer.url == issuer.url else None

    async def close(self) -> None:
        """Cancel every probe and wait for its end; no configuration is followed any more."""
        self._is_closed = True
        lines, self._lines = self._lines, {}
        await _stop(lines.values())

    def waiting(self) -> tuple[str, ...]:
        """Names of the issuers whose first report is still to come.

        One that has had its first deadline and its whole timeout is not waited for. Once
        the first round is over it stays over: issuers that join later change nothing.
        """
        if self._is_round_over:
            return ()
        now = self._guard.clock.now()
        names = tuple(name for name, line in self._lines.items() if line.is_awaited(now))
        self._is_round_over = not names
        return names

    def _begin(
        self, issuer: Issuer, before: _Line | None, now: float, held_until: float
    ) -> _Line:
        if self._start is None:
            self._start = now
        line = _Line(self._guard, issuer, start=self._start, now=now)
        if before is not None and before.issuer.url == issuer.url:
            line.take_over(before, now)
        else:
            # Another name does not lift what the issuer has asked of us.
            line.held_until = held_until
        return line


class _Line:
    """One issuer's task and its place in the schedule."""

    def __init__(self, guard: Guard, issuer: Issuer, *, start: float, now: float) -> None:
        self.issuer = issuer
        self.held_until = -math.inf
        self._guard = guard
        self._clock = guard.clock
        self._grid = Grid(
            start=start + offset_seconds(issuer),
            interval_seconds=issuer.interval_seconds,
            interval_failing_seconds=issuer.interval_failing_seconds,
        )
        self._first = self._due = self._grid.first(now)
        self._is_failing = False
        self._is_probed = False
        self.task = asyncio.create_task(self._run(), name=f"probe {issuer.name}")

    def take_over(self, before: _Line, now: float) -> None:
        """Go on where *before* has ended, which had the same URL.

        A new label or timeout changes neither how the issuer does nor what it asked of us.
        """
        self.held_until = before.held_until
        self._is_failing, self._is_probed = before._is_failing, before._is_probed
        if self._is_failing:
            # Those that fail stay as spread as they were, and no reload puts them off.
            due = max(now, before._due)
            self._first = min(self._first, due, now + self.issuer.interval_failing_seconds)
            self._due = self._first

    def is_awaited(self, now: float) -> bool:
        """Its first report may still come in good time."""
        return not self._is_probed and now <= self._first + self.issuer.timeout_seconds

    def is_held(self) -> bool:
        """The issuer has asked to be left alone, and the time is not over."""
        return self._clock.now() < self.held_until

    def heed(self, report: Report) -> None:
        """Follow a report from beside the ticks, if it asks to be left alone."""
        self._obey(report)
        if report.retry_after_timestamp_seconds is not None and self.is_held():
            self._finish(report)

    async def _run(self) -> None:
        deadline = self._first
        while True:
            self._due = deadline
            await self._clock.sleep(max(0.0, deadline - self._clock.now()))
            if deadline < self.held_until:
                self._skip(SkipCause.RETRY_AFTER, 1)
                self._explain()
            else:
                await self._tick(deadline)
            following = self._grid.following(deadline, is_failing=self._is_failing)
            ticks, deadline = self._grid.missed(
                following, self._clock.now(), is_failing=self._is_failing
            )
            self._skip(SkipCause.OVERRUN, ticks)

    async def _tick(self, deadline: float) -> None:
        attempt = 0
        while True:
            attempt += 1
            due = deadline if attempt == 1 else None
            report = await self._guard.run(self.issuer, attempt, due)
            if self.is_held() and report.retry_after_timestamp_seconds is None:
                # Somebody else was asked to wait meanwhile. That goes on, and stays shown.
                self._write(report, is_final=False)
                return
            self._obey(report)
            pause = self._pause(report, attempt, deadline)
            if pause is None:
                self._finish(report)
                return
            self._write(report, is_final=False)
            await self._clock.sleep(pause)
            # Somebody may have asked in the meantime, and been asked to wait.
            if self.is_held():
                return

    def _finish(self, report: Report) -> None:
        self._is_failing = not report.is_success
        self._is_probed = True
        self._write(report, is_final=True)

    def _write(self, report: Report, *, is_final: bool) -> None:
        self._guard.write(self.issuer, self._guard.book.record, report, is_final=is_final)

    def _obey(self, report: Report) -> None:
        if report.retry_after_timestamp_seconds is not None:
            # Turned into monotonic time at once: the wall clock may step while we wait.
            wait = report.retry_after_timestamp_seconds - self._clock.wall()
            self.held_until = self._clock.now() + wait

    def _pause(self, report: Report, attempt: int, deadline: float) -> float | None:
        """How long to wait for the next attempt; None when this one is the last."""
        if report.is_success or attempt >= self.issuer.attempts or self.is_held():
            return None
        now = self._clock.now()
        pause = pause_seconds(attempt, self._clock.random())
        return pause if now + pause < self._grid.following(deadline, is_failing=True) else None

    def _explain(self) -> None:
        """Tell of a wish that no report under this name does."""
        if not self._is_probed:
            until = self._clock.wall() + self.held_until - self._clock.now()
            self._guard.write(self.issuer, self._guard.book.held, self.issuer, until)

    def _skip(self, cause: SkipCause, ticks: int) -> None:
        if ticks:
            book = self._guard.book
            self._guard.write(self.issuer, book.skipped, self.issuer, cause, ticks)


def _latest_holds(lines: Iterable[_Line]) -> dict[str, float]:
    """Until when the issuers of *lines*, by their URLs, have asked to be left alone."""
    holds: dict[str, float] = {}
    for line in lines:
        url = line.issuer.url
        holds[url] = max(line.held_until, holds.get(url, -math.inf))
    return holds


async def _stop(lines: Iterable[_Line]) -> None:
    tasks = [line.task for line in lines]
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in stuck:
            _logger.error("schedule.stuck", task=task.get_name())
