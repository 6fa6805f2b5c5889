"""What the log says, to whom, and what it never does."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pty
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import capture_logs

from exporter import log
from exporter.reasons import Code, Document, Reason, Stage
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_away_from_a_terminal_a_line_is_json(stream: io.StringIO) -> None:
    log.configure(stream=stream)

    structlog.get_logger().info("exporter.started", issuers=3)

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "exporter.started", "level": "info", "issuers": 3}


def test_logfmt_is_there_for_who_asks_for_it(stream: io.StringIO) -> None:
    log.configure(stream=stream, line_format="logfmt")

    structlog.get_logger().warning("issuer.failing", detail="no answer", success=False)

    timestamp, rest = stream.getvalue().split(" ", 1)
    assert timestamp.startswith("timestamp=2")
    assert rest == 'level=warning event=issuer.failing detail="no answer" success=false\n'


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_on_a_terminal_a_line_is_for_people(
    monkeypatch: pytest.MonkeyPatch,
    no_color: str,
    is_coloured: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb") as screen:
        log.configure(stream=terminal)
        structlog.get_logger().info("exporter.started", issuers=3)

        shown = screen.read1(4096).decode()

    assert "exporter.started" in shown
    assert ("\x1b[" in shown) is is_coloured


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    log.configure(stream=stream, level="warning")

    structlog.get_logger().info("quiet")
    logging.getLogger("aiohttp").info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("aiohttp").warning("loud %s", "too")

    assert [line["event"] for line in lines(stream)] == ["loud", "loud too"]


def test_the_standard_librarys_records_come_out_the_same_way(stream: io.StringIO) -> None:
    """What asyncio and aiohttp have to say ends up beside our own lines."""
    log.configure(stream=stream)

    logging.getLogger("asyncio").error("lost a %s", "task", exc_info=ValueError("why"))
    logging.getLogger("own").log(25, "between the levels")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("mind the gap", UserWarning, stacklevel=1)

    first, second, third = lines(stream)
    assert (first["event"], first["logger"], first["level"]) == (
        "lost a task",
        "asyncio",
        "error",
    )
    assert first["exception"].endswith("ValueError: why")
    assert second["level"] == "info"
    assert "mind the gap" in third["event"]


def test_a_broken_log_call_of_a_library_breaks_nothing(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(stream=stream)

    logging.getLogger("careless").error("%d", "no number")

    assert stream.getvalue() == ""
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("line_format", log.FORMATS)
def test_what_a_remote_party_wrote_stays_on_its_line_and_is_cut(
    stream: io.StringIO, line_format: str
) -> None:
    """Whoever controls a document could otherwise forge lines, or paint a terminal."""
    log.configure(stream=stream, line_format=line_format)
    hostile = "a\nlevel=info event=forged\r\x1b[31m\u202e" + "x" * 100_000

    structlog.get_logger().warning("issuer.failing", detail=hostile)

    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.isascii() or "…" in text
    assert not {"\r", "\x1b", "\u202e"} & set(text)
    assert len(text) < 1200


@pytest.mark.parametrize("line_format", log.FORMATS)
def test_a_traceback_is_written_without_the_values_of_variables(
    stream: io.StringIO, line_format: str
) -> None:
    """A local variable may hold a proxy's password."""
    log.configure(stream=stream, line_format=line_format)
    secret = "hunter" + "2"

    def fail(password: str) -> None:
        raise RuntimeError("remote\x1b[31m text" + "y" * 5000, len(password))

    try:
        fail(secret)
    except RuntimeError:
        structlog.get_logger().exception("probe.panicked", issuer="acme")

    text = stream.getvalue()
    assert "RuntimeError" in text
    assert "test_log.py" in text
    assert secret not in text
    assert "\x1b" not in text
    assert len(text) < 4000


def test_a_deep_traceback_is_cut_to_its_end(stream: io.StringIO) -> None:
    log.configure(stream=stream)

    def ping(depth: int) -> None:
        pong(depth - 1)

    def pong(depth: int) -> None:
        if depth <= 0:
            raise RuntimeError("bottom")
        ping(depth)

    try:
        ping(100)
    except RuntimeError:
        structlog.get_logger().exception("probe.panicked")

    exception = lines(stream)[0]["exception"].splitlines()
    assert len(exception) <= 60
    assert exception[-1] == "RuntimeError: bottom"


def test_a_full_pipe_costs_lines_and_holds_nobody() -> None:
    """Whoever reads our log may hang; the latencies being measured must not feel it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        log.configure(stream=pipe)
        for _ in range(500):
            structlog.get_logger().info("chatter", text="x" * 500)

        os.read(reading, 1 << 20)
        structlog.get_logger().info("again")
        structlog.get_logger().info("and on")
        told, after = (json.loads(text) for text in os.read(reading, 1 << 16).splitlines())

    os.close(reading)
    assert told["event"] == "again"
    assert 100 < told["lost_lines"] < 500
    assert after["event"] == "and on"
    assert "lost_lines" not in after


def test_a_log_that_nobody_reads_any_more_ends_nothing() -> None:
    reading, writing = os.pipe()
    pipe = os.fdopen(writing, "w")
    log.configure(stream=pipe)
    os.close(reading)

    structlog.get_logger().info("broken pipe")
    with pytest.raises(BrokenPipeError):
        pipe.close()
    structlog.get_logger().info("closed")


def test_a_library_may_flush_what_is_flushed_already(stream: io.StringIO) -> None:
    outlet = log.Outlet(stream)

    assert outlet.write("x\n") == 2
    outlet.flush()

    assert stream.getvalue() == "x\n"


def test_a_probe_is_one_line_with_everything_in_it(stream: io.StringIO) -> None:
    log.configure(stream=stream, level="debug")
    report = builders.report(
        findings=(builders.finding(Code.NO_CACHE), builders.finding(Code.WEAK_KEY)),
        retry_after_timestamp_seconds=builders.NOW + 60,
    )

    log.probe_finished(report)

    (line,) = lines(stream)
    del line["timestamp"]
    assert line == {
        "event": "probe.finished",
        "level": "debug",
        "issuer": "acme",
        "url": builders.URL,
        "success": True,
        "duration_seconds": 0.3,
        "attempt": 1,
        "discovery_duration_seconds": 0.15,
        "discovery_status_code": 200,
        "discovery_address": "93.184.215.14",
        "discovery_size_bytes": 2,
        "jwks_duration_seconds": 0.15,
        "jwks_status_code": 200,
        "jwks_address": "93.184.215.14",
        "jwks_size_bytes": 2,
        "usable_keys": 1,
        "findings": "jwks/no_cache,jwks/weak_key",
        "retry_after_timestamp_seconds": builders.NOW + 60,
    }


def test_a_probe_that_fetched_nothing_has_a_line_too(stream: io.StringIO) -> None:
    log.configure(stream=stream, level="debug")
    failed = builders.report(
        fetches=(builders.fetch(status=None, address=None, size_bytes=None),),
        key_set=None,
        failure=builders.failure(),
    )

    log.probe_finished(failed)

    (line,) = lines(stream)
    assert (line["success"], line["stage"], line["reason"], line["detail"]) == (
        False,
        "tcp",
        "refused",
        "connection refused",
    )
    assert not {"discovery_status_code", "discovery_address", "usable_keys"} & set(line)


def test_a_probes_line_is_not_even_formed_above_debug(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.configure(stream=stream, level="info")
    monkeypatch.setattr(log, "_facts", None)

    log.probe_finished(builders.report())

    assert stream.getvalue() == ""


REFUSED = builders.failure()
GONE = builders.failure(Stage.DNS, Reason.NXDOMAIN)


def changes(report: Any, before: Any, since: float | None = None) -> list[Any]:
    with capture_logs() as logs:
        log.state_changed(report, before=before, failing_since_timestamp_seconds=since)
    return list(logs)


def test_the_first_failure_and_every_other_reason_are_warnings() -> None:
    failing = builders.report(failure=REFUSED, attempt=2)

    assert changes(failing, None) == [
        {
            "event": "issuer.failing",
            "log_level": "warning",
            "issuer": "acme",
            "url": builders.URL,
            "document": Document.DISCOVERY,
            "stage": Stage.TCP,
            "reason": Reason.REFUSED,
            "detail": "connection refused",
            "attempts": 2,
        }
    ]
    (changed,) = changes(failing, GONE)
    assert changed["was"] == "discovery/dns/nxdomain"


def test_a_recovery_is_information_and_tells_how_long_it_took() -> None:
    (line,) = changes(builders.report(), REFUSED, builders.NOW - 59.7)

    assert line == {
        "event": "issuer.recovered",
        "log_level": "info",
        "issuer": "acme",
        "url": builders.URL,
        "was": "discovery/tcp/refused",
        "failing_seconds": 60.0,
    }


@pytest.mark.parametrize("failure", [None, REFUSED])
def test_what_has_not_changed_is_not_news(failure: Any) -> None:
    other_words = failure and builders.failure(detail="no luck again")

    assert changes(builders.report(failure=other_words), failure) == []


def test_a_task_that_dies_unseen_is_logged(stream: io.StringIO) -> None:
    """asyncio reports it through the standard library when the task is collected."""
    log.configure(stream=stream)

    async def die() -> None:
        raise ZeroDivisionError

    async def leave_behind() -> None:
        task = asyncio.create_task(die())
        await asyncio.sleep(0)
        del task

    asyncio.run(leave_behind())

    assert any("never retrieved" in line["event"] for line in lines(stream))
