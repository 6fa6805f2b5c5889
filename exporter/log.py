"""What the exporter says about itself: the only place that forms log lines.

One canonical line per probe at debug; what changes is told at info or warning. What a
remote party wrote is escaped and cut here, whoever logs it, and no reader of the log can
hold the daemon: a line that finds no room is lost and counted.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from exporter.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, Processor

    from exporter.model import Failure, Fetch, Report

#: Lines of log that one broken configuration may take; `--config.check` shows all.
MOST_PROBLEMS = 20

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json", "console")

# Longer than any honest message; a whole remote body would be a megabyte of log.
_VALUE_CHARACTERS = 1000
_TRACEBACK_LINES = 60
_HEAD = ("timestamp", "level", "event")

_logger = structlog.get_logger()


def configure(
    *, level: str = "info", line_format: str | None = None, stream: TextIO | None = None
) -> None:
    """Send everything logged, through structlog or the standard library, to *stream*.

    Without a *line_format* it is `console` on a terminal and `json` elsewhere; *stream* is
    standard error unless given.
    """
    outlet = Outlet(stream or sys.stderr)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            outlet.tell_losses,
            structlog.processors.format_exc_info,
            _sanitise,
            _renderer(line_format or ("console" if outlet.is_terminal else "json"), outlet),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(outlet),  # type: ignore[arg-type]
        # A module's logger outlives a change of configuration.
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=threshold, handlers=[_Forwarder()], force=True)
    logging.captureWarnings(capture=True)


def probe_finished(report: Report) -> None:
    """Write the canonical line of one probe, at debug."""
    # The facts of a line that nobody reads are not gathered.
    if _logger.is_enabled_for(logging.DEBUG):
        _logger.debug("probe.finished", **_facts(report))


def probed_on_demand(report: Report) -> None:
    """Write the line of a probe that somebody asked for, at debug."""
    if _logger.is_enabled_for(logging.DEBUG):
        _logger.debug("probe.on_demand", **_facts(report))


def state_changed(
    report: Report, *, before: Failure | None, failing_since_timestamp_seconds: float | None
) -> None:
    """Write down what *report* changes, if it does: failing, failing otherwise, recovered.

    *before* is the failure that stood until now, and the timestamp is when it began.
    """
    now = report.failure
    if _kind(now) == _kind(before):
        return
    if now is None:
        seconds = report.ended_timestamp_seconds - (failing_since_timestamp_seconds or 0)
        _logger.info(
            "issuer.recovered",
            issuer=report.issuer.name,
            url=report.issuer.url,
            was=_kind(before),
            failing_seconds=round(seconds, 3),
        )
        return
    _logger.warning(
        "issuer.failing",
        issuer=report.issuer.name,
        url=report.issuer.url,
        **_failure_facts(now),
        **({"was": _kind(before)} if before else {}),
        attempts=report.attempt,
    )


def config_rejected(error: Exception, *, what: str = "config") -> None:
    """Write down why a configuration was not taken, a line for each problem."""
    # Costs a tenth of a second, which who asks for help should not wait.
    from exporter.config import ConfigError  # noqa: PLC0415

    refused, panicked = f"{what}.rejected", f"{what}.panicked"
    if not isinstance(error, ConfigError):
        _logger.error(panicked, exc_info=error)
        return
    for problem in error.problems[:MOST_PROBLEMS]:
        _logger.error(refused, problem=problem)


class Outlet:
    """A stream that may lose lines, and never holds or ends who writes to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0
        self._told = 0

    @property
    def is_terminal(self) -> bool:
        """Somebody looks on."""
        return self._stream.isatty()

    def write(self, line: str) -> int:
        """Write *line* unless there is no room for it, or nobody to read it."""
        try:
            if self._has_room():
                self._stream.write(line)
                self._stream.flush()
                self._told = self._lost
                return len(line)
        except (OSError, ValueError):  # a broken pipe; a stream closed under us
            pass
        self._lost += 1
        return 0

    def flush(self) -> None:
        """Do nothing: every line is flushed when it is written."""

    def tell_losses(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        """Add to a line how many were lost before it."""
        if self._lost > self._told:
            event["lost_lines"] = self._lost - self._told
        return event

    def _has_room(self) -> bool:
        """A full pipe would hold the loop, and every latency being measured with it.

        Writable means to Linux that a page has room, so that a longer line (only a
        traceback is) might still have to wait.
        """
        try:
            descriptor = self._stream.fileno()
        except OSError:  # no file behind it: io.StringIO
            return True
        return bool(select.select((), (descriptor,), (), 0)[1])


class _Forwarder(logging.Handler):
    """Hands the standard library's records (asyncio, aiohttp, warnings) to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, min(record.levelno // 10 * 10, logging.CRITICAL))
        try:
            _logger.log(
                level, record.getMessage(), logger=record.name, exc_info=record.exc_info
            )
        except Exception:  # noqa: BLE001 - a bad format string in somebody's log call
            self.handleError(record)


def _renderer(line_format: str, outlet: Outlet) -> Processor:
    if line_format == "json":
        return structlog.processors.JSONRenderer()
    if line_format == "logfmt":
        return structlog.processors.LogfmtRenderer(bool_as_flag=False)
    return structlog.dev.ConsoleRenderer(
        colors=outlet.is_terminal and not os.environ.get("NO_COLOR"),
        # The other formatters show local variables, and with them secrets.
        exception_formatter=structlog.dev.plain_traceback,
    )


def _sanitise(_logger: object, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key == "exception":
            lines = str(value).splitlines()[-_TRACEBACK_LINES:]
            event[key] = "\n".join(clean(line, _VALUE_CHARACTERS) for line in lines)
        elif isinstance(value, str):
            event[key] = clean(value, _VALUE_CHARACTERS)
    # What every line has stands where the eye looks for it.
    return {**{key: event[key] for key in _HEAD}, **event}


def _facts(report: Report) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "issuer": report.issuer.name,
        "url": report.issuer.url,
        "success": report.is_success,
        "duration_seconds": round(report.duration_seconds, 6),
        "attempt": report.attempt,
    }
    for fetch in report.fetches:
        facts |= _fetch_facts(fetch)
    if report.key_set is not None:
        facts["usable_keys"] = sum(key.is_usable for key in report.key_set.keys)
    if report.findings:
        facts["findings"] = ",".join(f"{f.document}/{f.code}" for f in report.findings)
    if report.retry_after_timestamp_seconds is not None:
        facts["retry_after_timestamp_seconds"] = report.retry_after_timestamp_seconds
    if report.failure is not None:
        facts |= _failure_facts(report.failure)
    return facts


def _fetch_facts(fetch: Fetch) -> Mapping[str, Any]:
    facts = {
        "duration_seconds": round(fetch.duration_seconds, 6),
        "status_code": fetch.status,
        "address": fetch.address.ip if fetch.address else None,
        "size_bytes": fetch.size_bytes,
    }
    return {f"{fetch.document}_{k}": v for k, v in facts.items() if v is not None}


def _failure_facts(failure: Failure) -> Mapping[str, Any]:
    return {
        "document": failure.document,
        "stage": failure.stage,
        "reason": failure.reason,
        "detail": failure.detail,
    }


def _kind(failure: Failure | None) -> str | None:
    return f"{failure.document}/{failure.stage}/{failure.reason}" if failure else None
