"""What becomes of reports: the only place that both keeps one and tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from exporter import log

if TYPE_CHECKING:
    from exporter.model import Issuer, Report
    from exporter.reasons import SkipCause
    from exporter.store import Store

_logger = structlog.get_logger()


class Book:
    """What a schedule writes into: the store and the log, in the order that tells changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.started = store.started
        self.held = store.held
        self.panicked = store.panicked

    def record(self, report: Report, *, is_final: bool) -> None:
        """Keep *report* and say what it changes."""
        log.probe_finished(report)
        state = self._store.state(report.issuer.name)
        if state is None:
            return
        before = state.report.failure if state.report else None
        since = state.failing_since_timestamp_seconds
        self._store.record(report, is_final=is_final)
        if is_final:
            log.state_changed(report, before=before, failing_since_timestamp_seconds=since)

    def skipped(self, issuer: Issuer, cause: SkipCause, ticks: int) -> None:
        """Count ticks without a probe."""
        _logger.debug("probe.skipped", issuer=issuer.name, cause=cause, ticks=ticks)
        self._store.skipped(issuer, cause, ticks)
