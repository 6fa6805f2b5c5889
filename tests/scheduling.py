"""A scheduler between a far end that a test steers and a book that forgets nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.config import Limits
from exporter.guard import Clock
from exporter.reasons import Reason, SkipCause, Stage
from exporter.schedule import Scheduler
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.model import Issuer, Report

WIDE = Limits(concurrency=1000, concurrency_per_host=1000)
FAILURE = builders.failure()
EPOCH = builders.NOW


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Far:
    """The far end: takes `seconds`, and answers what `answer` says."""

    seconds: float = 0.1
    answer: Callable[[Issuer, int], dict[str, Any]] = lambda _issuer, _attempt: {}
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    running: int = 0
    most_running: int = 0

    async def probe(self, issuer: Issuer, attempt: int) -> Report:
        self.starts[issuer.name].append(now())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        facts = self.answer(issuer, attempt)
        return builders.report(issuer=issuer, attempt=attempt, **facts)


@dataclass
class Book:
    """Remembers everything it is told."""

    delays: list[float] = field(default_factory=list)
    reports: list[tuple[Report, bool]] = field(default_factory=list)
    skips: list[Any] = field(default_factory=list)
    holds: dict[str, float] = field(default_factory=dict)
    panics: int = 0

    def started(self, issuer: Issuer, delay_seconds: float) -> None:  # noqa: ARG002
        self.delays.append(delay_seconds)

    def record(self, report: Report, *, is_final: bool) -> None:
        self.reports.append((report, is_final))

    def skipped(self, issuer: Issuer, cause: SkipCause, ticks: int) -> None:  # noqa: ARG002
        self.skips.append((now(), cause, ticks))

    def held(self, issuer: Issuer, until_timestamp_seconds: float) -> None:
        self.holds[issuer.name] = until_timestamp_seconds

    def panicked(self, issuer: Issuer) -> None:  # noqa: ARG002
        self.panics += 1


@dataclass
class Set:
    far: Far
    book: Book
    scheduler: Scheduler


def schedule(far: Far | None = None, *, limits: Limits = WIDE, share: float = 1.0) -> Set:
    far, book = far or Far(), Book()
    clock = Clock(now=now, wall=lambda: EPOCH + now(), random=lambda: share)
    return Set(far, book, Scheduler(far.probe, book, limits, clock=clock))


def failing(_issuer: Issuer, _attempt: int) -> dict[str, Any]:
    return {"failure": FAILURE}


def issuers(count: int) -> list[Issuer]:
    return [builders.issuer(name=f"issuer-{n}", timeout_seconds=60) for n in range(count)]


def limited(seconds: float) -> Callable[[Issuer, int], dict[str, Any]]:
    failure = builders.failure(Stage.HTTP, Reason.RATE_LIMITED)

    def answer(_issuer: Issuer, _attempt: int) -> dict[str, Any]:
        return {"failure": failure, "retry_after_timestamp_seconds": EPOCH + now() + seconds}

    return answer
