"""The composition root: the only place that knows all parts, and that starts and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import uvloop
from aiohttp import web

from exporter import __version__, log
from exporter.config import ConfigError, digest, load
from exporter.on_demand import OnDemand
from exporter.probe import Prober
from exporter.schedule import Scheduler
from exporter.sharding import WHOLE
from exporter.store import Store
from exporter.web.listen import address_of, listen
from exporter.web.routes import Site, application

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from exporter.config import Config
    from exporter.model import Issuer, Report
    from exporter.reasons import SkipCause
    from exporter.sharding import Shard
    from exporter.web.listen import Address

#: Often enough to see a loop that stalls for half a second, and for nothing in CPU.
LAG_SAMPLE_SECONDS = 0.25

#: Lines of log that one broken configuration may take; `--config.check` shows all.
MOST_PROBLEMS = 20

# A scrape under way may end, within what shutdown promises as a whole.
_DRAIN_SECONDS = 0.5

_logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says about a daemon.

    Attributes:
        auto_reload_seconds: How often to look for changed files; None for never.
        prefix: Path below which a reverse proxy serves us, without a slash at its end.
        shard: Which part of the configured issuers is ours.
    """

    config_files: tuple[Path, ...]
    listen_addresses: tuple[Address, ...]
    auto_reload_seconds: float | None = None
    telemetry_path: str = "/metrics"
    enable_lifecycle: bool = False
    prefix: str = ""
    shard: Shard = WHOLE


class Book:
    """What a schedule writes into: the store and the log, in the order that tells changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.started = store.started
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


class Daemon:
    """The exporter from its first configuration to its end."""

    def __init__(self, options: Options, config: Config) -> None:
        self._options = options
        self._config = options.shard.of(config)
        self._seen = config.sha256
        self._store = Store()
        self._store.own.sharded(options.shard.ordinal, options.shard.total)
        self._prober = Prober()
        self._scheduler = Scheduler(
            lambda issuer, attempt: self._prober.probe(issuer, attempt=attempt),
            Book(self._store),
            config.limits,
        )
        self._on_demand = OnDemand(self._scheduler, self._store)
        self._store.own.probes_in_flight.set_function(lambda: self._scheduler.in_flight)
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Probe, and answer on *sockets*, until SIGTERM or SIGINT."""
        is_over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, is_over.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_quietly()))
        await self._follow(self._config)
        runner = await self._serve(sockets)
        self._spawn(self._sample_lag())
        self._spawn(self._settle())
        if self._options.auto_reload_seconds is not None:
            self._spawn(self._watch(self._options.auto_reload_seconds))
        _logger.info(
            "exporter.started",
            version=__version__,
            listen_addresses=", ".join(str(address_of(sock)) for sock in sockets),
            issuers=len(self._config.issuers),
            vantage=self._config.vantage,
            config_sha256=self._config.sha256,
        )
        await is_over.wait()
        await self._stop(runner)

    async def reload(self) -> None:
        """Load the configuration anew and follow it; one at a time.

        Raises:
            ConfigError: It was refused; the old one stays in force.
        """
        async with self._reloading:
            try:
                # Files may be many, and on a network: not on the loop.
                config = await asyncio.to_thread(load, self._options.config_files)
                config = self._options.shard.of(config)
                before = set(self._config.issuers)
                await self._follow(config)
            except Exception as error:
                self._store.own.load_failed()
                _log_rejection(error)
                raise
        _logger.info(
            "config.reloaded",
            issuers=len(config.issuers),
            unchanged=len(before.intersection(config.issuers)),
            config_sha256=config.sha256,
        )

    async def _follow(self, config: Config) -> None:
        await self._scheduler.update(config.issuers, config.limits)
        # After the tasks of removed issuers have ended, before those of new ones begin.
        self._store.keep(config.issuers)
        self._on_demand.follow(config.issuers)
        self._config = config
        self._seen = config.sha256
        self._store.own.loaded(
            vantage=config.vantage, config_sha256=config.sha256, at=time.time()
        )

    async def _serve(self, sockets: Sequence[socket.socket]) -> web.AppRunner:
        site = Site(
            store=self._store,
            waiting=self._scheduler.waiting,
            reload=self.reload if self._options.enable_lifecycle else None,
            on_demand=self._on_demand,
            telemetry_path=self._options.telemetry_path,
            prefix=self._options.prefix,
        )
        runner = web.AppRunner(
            application(site), access_log=None, shutdown_timeout=_DRAIN_SECONDS
        )
        await runner.setup()
        for sock in sockets:
            await web.SockSite(runner, sock).start()
        return runner

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        # The loop itself holds tasks by weak references only.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        # Nobody waits for an answer: the log and the gauges have been told.
        with contextlib.suppress(Exception):
            await self.reload()

    async def _watch(self, seconds: float) -> None:
        """Reload when the content of the files has changed, however they were replaced."""
        while True:
            await asyncio.sleep(seconds)
            found = await asyncio.to_thread(digest, self._options.config_files)
            if found != self._seen:
                # Before it is tried: what is refused is refused once, not at every look.
                self._seen = found
                await self._reload_quietly()

    async def _sample_lag(self) -> None:
        while True:
            due = time.monotonic() + LAG_SAMPLE_SECONDS
            await asyncio.sleep(LAG_SAMPLE_SECONDS)
            self._store.own.event_loop_lag.observe(max(0.0, time.monotonic() - due))

    async def _settle(self) -> None:
        """Spare the garbage collector what stays for good: a full pass would hold the loop."""
        gc.collect()
        gc.freeze()
        gc.enable()
        while self._scheduler.waiting():  # noqa: ASYNC110 - a second late is soon enough
            await asyncio.sleep(1)
        gc.freeze()

    async def _stop(self, runner: web.AppRunner) -> None:
        _logger.info("exporter.stopping", probes_in_flight=self._scheduler.in_flight)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._scheduler.close(), self._on_demand.close(), runner.cleanup())
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _logger.info("exporter.stopped")


def _log_rejection(error: Exception) -> None:
    if not isinstance(error, ConfigError):
        _logger.error("config.panicked", exc_info=error)
        return
    for problem in error.problems[:MOST_PROBLEMS]:
        _logger.error("config.rejected", problem=problem)


def serve(options: Options) -> None:
    """Run the daemon until it is told to stop.

    Raises:
        ConfigError: The configuration is not valid.
        ListenError: An address cannot be listened on.
    """
    # Until the loop takes it over, a SIGHUP would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = load(options.config_files)
    sockets = [listen(address) for address in options.listen_addresses]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(options, config, sockets))


async def _run(options: Options, config: Config, sockets: Sequence[socket.socket]) -> None:
    await Daemon(options, config).run(sockets)
