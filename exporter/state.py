"""What is remembered of one issuer from report to report: the only state that counts.

A report says how things are; this says how often, since when, and what has changed. It is
changed by `State` alone and read by whoever likes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from exporter.history import History
from exporter.metric import label_text
from exporter.reasons import Stage

if TYPE_CHECKING:
    from exporter.model import CachePolicy, Fetch, Finding, Issuer, KeySet, Report
    from exporter.reasons import Document

#: Upper edges of the latency histogram, in seconds: fractions of STS's budget, 5 s. They do
#: not follow an issuer's own budget, because `sum by (le)` needs one layout for all issuers
#: and vantages, and because counts outlive a reload that changes the budget.
EDGES_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)


@dataclass(slots=True)
class Latency:
    """A histogram of probe durations.

    Attributes:
        counts: Per bucket, not yet summed up; the last one is beyond every edge.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(EDGES_SECONDS) + 1))
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; one that equals an edge lies under it."""
        self.counts[bisect_left(EDGES_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


@dataclass(slots=True)
class Rotation:
    """How an issuer's set of keys changed between the reads that succeeded.

    Attributes:
        changes: How often a read differed from the one before.
        removed_early: Keys withdrawn before any key that stayed was old enough.
    """

    changes: int = 0
    change_timestamp_seconds: float | None = None
    removed_early: int = 0
    _published: dict[str, float] = field(default_factory=dict)
    _read_timestamp_seconds: float | None = None

    def read(self, ids: frozenset[str], *, at: float, overlap_seconds: float) -> None:
        """Compare the keys *ids* that were read *at* with those of the read before."""
        before, self._read_timestamp_seconds = self._read_timestamp_seconds, at
        is_set_back = before is not None and at < before
        if is_set_back:
            # The clock was: how long a key has stood is not known any more.
            self._published = dict.fromkeys(self._published, -inf)
        if ids == self._published.keys():
            return
        if before is not None:
            self.changes += 1
            self.change_timestamp_seconds = at
        # A key may have been published right after the last read that lacked it, and those
        # of the first read at any time: what cannot be known is not held against the issuer.
        earliest = -inf if before is None or is_set_back else before
        published = {key: self._published.get(key, earliest) for key in ids}
        if all(at - since < overlap_seconds for since in published.values()):
            self.removed_early += len(self._published.keys() - ids)
        self._published = published

    def forget(self) -> None:
        """Take the next read for the first; what was counted stays."""
        self.change_timestamp_seconds = None
        self._published = {}
        self._read_timestamp_seconds = None


@dataclass(slots=True)
class State:
    """One issuer: its configuration, its latest report, and what has been counted.

    Attributes:
        label: The `issuer` label as it stands in a sample.
        report: The latest one that counts.
        history: The reports before it, and itself.
        probes: Every attempt, as are *failures* and *latency*.
        success_timestamp_seconds: When the latest good probe ended.
        failing_since_timestamp_seconds: When the first probe of the current run of failures
            ended; None while the issuer is good or unknown.
        good_since_timestamp_seconds: The same for the current run of good probes.
        asked_until_timestamp_seconds: Until when it asked to be left alone under the name that
            it had before.
    """

    issuer: Issuer
    label: str = field(init=False)
    report: Report | None = None
    probes: int = 0
    failures: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))
    latency: Latency = field(default_factory=Latency)
    rotation: Rotation = field(default_factory=Rotation)
    success_timestamp_seconds: float | None = None
    failing_since_timestamp_seconds: float | None = None
    good_since_timestamp_seconds: float | None = None
    asked_until_timestamp_seconds: float | None = None
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.label = label_text({"issuer": self.issuer.name})

    @property
    def fetches(self) -> tuple[Fetch, ...]:
        """The latest report's fetches."""
        return self.report.fetches if self.report else ()

    @property
    def caching(self) -> tuple[tuple[Document, CachePolicy], ...]:
        """The latest report's cache policies, of documents answered with 200."""
        return self.report.caching if self.report else ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The latest report's findings."""
        return self.report.findings if self.report else ()

    @property
    def key_set(self) -> KeySet | None:
        """The latest report's key set; None when it was not read."""
        return self.report.key_set if self.report else None

    @property
    def resting_until_timestamp_seconds(self) -> float | None:
        """Until when the issuer asked to be left alone; it may be over."""
        if self.report is None:
            return self.asked_until_timestamp_seconds
        return self.report.retry_after_timestamp_seconds

    @property
    def interval_seconds(self) -> float:
        """The interval in force: a failing issuer may have one of its own."""
        if self.failing_since_timestamp_seconds is None:
            return self.issuer.interval_seconds
        return self.issuer.interval_failing_seconds

    def reconfigure(self, issuer: Issuer) -> None:
        """Follow a changed entry of the same name: what was counted stays.

        A new URL is another issuer: nothing that was learnt of the old one holds for it.
        """
        if issuer.url != self.issuer.url:
            self.report = None
            self.history.forget()
            self.rotation.forget()
            self.success_timestamp_seconds = None
            self.failing_since_timestamp_seconds = None
            self.good_since_timestamp_seconds = None
            self.asked_until_timestamp_seconds = None
        self.issuer = issuer

    def count(self, report: Report) -> None:
        """Count an attempt, whether or not it is to be confirmed by another one."""
        self.probes += 1
        if report.failure is not None:
            self.failures[report.failure.stage] += 1
        # A probe that fetched nothing (a bad URL, our own bug) has measured nothing.
        if report.fetches:
            self.latency.observe(report.duration_seconds)

    def follow(self, report: Report) -> None:
        """Make *report* the latest one, in the form in which the history keeps it."""
        self.report = report = self.history.add(report)
        ended = report.ended_timestamp_seconds
        if report.is_success:
            self.success_timestamp_seconds = ended
            self.failing_since_timestamp_seconds = None
            self.good_since_timestamp_seconds = self.good_since_timestamp_seconds or ended
        else:
            self.good_since_timestamp_seconds = None
            self.failing_since_timestamp_seconds = self.failing_since_timestamp_seconds or ended
        if report.key_set is not None:
            self.rotation.read(
                report.key_set.ids,
                at=report.ended_timestamp_seconds,
                overlap_seconds=self.issuer.rotation_overlap_seconds,
            )
