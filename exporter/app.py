"""The composition root: the only place that knows all parts, and that starts and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import structlog
import uvloop

from exporter import __version__, log
from exporter.book import Book
from exporter.config import ConfigError, digest, load
from exporter.notify import Notifier
from exporter.on_demand import OnDemand
from exporter.probe import Prober
from exporter.schedule import Scheduler
from exporter.sharding import WHOLE
from exporter.store import Store
from exporter.vitals import sample_lag, settle
from exporter.web import MOST_REQUESTS
from exporter.web.config import WebConfig
from exporter.web.config import load as load_web
from exporter.web.listen import activated, address_of, listening
from exporter.web.routes import Site, application
from exporter.web.security import Guard
from exporter.web.server import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Iterable, Iterator, Sequence
    from pathlib import Path

    from exporter.config import Config
    from exporter.sharding import Shard
    from exporter.web.listen import Address, UnixAddress

#: Ten thousand issuers are read in less; a file system that does not answer is never read.
_SLOW_SECONDS = 10.0
#: Differs from every digest, so that the next look at the files leads to a reload.
_NOT_SEEN = "not seen"
#: A file that is being written, into what is already there, may end in the midst of a list.
_SETTLE_SECONDS = 1.0
_MOST_SETTLES = 10
#: What is left of the second that a shutdown may take.
_THREADS_SECONDS = 0.2

_logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says about a daemon.

    Attributes:
        is_activated: Answer on the sockets that systemd has opened, too.
        auto_reload_seconds: How often to look for changed files; None for never.
        prefix: Path below which a reverse proxy serves us, without a slash at its end.
        shard: Which part of the configured issuers is ours.
    """

    config_files: tuple[Path, ...]
    listen_addresses: tuple[Address | UnixAddress, ...]
    is_activated: bool = False
    web_config_file: Path | None = None
    max_requests: int = MOST_REQUESTS
    auto_reload_seconds: float | None = None
    telemetry_path: str = "/metrics"
    enable_lifecycle: bool = False
    prefix: str = ""
    shard: Shard = WHOLE


class Daemon:
    """The exporter from its first configuration to its end."""

    def __init__(self, options: Options, config: Config) -> None:
        self._options = options
        self._config = options.shard.of(config)
        self._seen = config.sha256
        # What was wrong with the latest configuration, if it was refused.
        self._refusal: str | None = None
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
        self._server = self._make_server()
        self._notifier = Notifier.from_environment(os.environ)
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self, sockets: Sequence[socket.socket], web_config: WebConfig | None = None
    ) -> None:
        """Probe, and answer on *sockets* as *web_config* says, until SIGTERM or SIGINT."""
        is_over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, is_over.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_quietly()))
        await self._follow(self._config)
        await self._server.start(web_config or WebConfig(), sockets)
        self._spawn(self._server.watch())
        self._spawn(self._notifier.beat())
        self._spawn(sample_lag(self._store.own.event_loop_lag))
        self._spawn(settle(self._scheduler.waiting))
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
        self._notifier.ready(self._status)
        await is_over.wait()
        await self._stop()

    async def reload(self) -> None:
        """Load the configuration anew and follow it, and the web configuration; one at a time.

        Raises:
            ConfigError: One of them was refused, or both; the old one stays in force.
        """
        async with self._reloading:
            self._notifier.reloading()
            # One may be wrong, and the other one urgent: a new certificate, say.
            outcomes = await asyncio.gather(
                self._reload_issuers(), self._server.reload(), return_exceptions=True
            )
            self._notifier.ready(self._status)
        _raise_all(outcomes)

    @property
    def _status(self) -> str:
        return f"watching {len(self._config.issuers)} issuers"

    async def _reload_issuers(self, *, is_again: bool = False) -> None:
        try:
            # Files may be many, and on a network: not on the loop.
            with self._told_if_slow():
                config = await asyncio.to_thread(load, self._options.config_files)
            if is_again and config.sha256 != self._seen:
                return  # somebody writes into them: the next look will see to it
            config = self._options.shard.of(config)
            before = set(self._config.issuers)
            await self._follow(config)
        except Exception as error:
            self._store.own.load_failed()
            if not is_again or str(error) != self._refusal:
                log.config_rejected(error)
            self._refusal = str(error)
            raise
        self._refusal = None
        _logger.info(
            "config.reloaded",
            issuers=len(config.issuers),
            unchanged=len(before.intersection(config.issuers)),
            config_sha256=config.sha256,
        )

    @contextmanager
    def _told_if_slow(self) -> Iterator[None]:
        timer = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._tell_slow)
        try:
            yield
        finally:
            timer.cancel()

    def _tell_slow(self) -> None:
        # Until it is in force, if ever it is, the files are not what is followed.
        self._store.own.load_failed()
        self._seen = _NOT_SEEN
        _logger.warning("config.slow", seconds=_SLOW_SECONDS)

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

    def _make_server(self) -> Server:
        site = Site(
            store=self._store,
            waiting=self._scheduler.waiting,
            reload=self.reload if self._options.enable_lifecycle else None,
            on_demand=self._on_demand,
            telemetry_path=self._options.telemetry_path,
            prefix=self._options.prefix,
        )
        guard = Guard(max_requests=self._options.max_requests)
        return Server(
            application(site, guard),
            guard,
            config_file=self._options.web_config_file,
            own=self._store.own,
        )

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
            found = await self._look()
            if found != self._seen:
                # Before it is tried: what is refused is told of once, not at every look.
                self._seen = await self._settled(found, min(seconds, _SETTLE_SECONDS))
                await self._reload_quietly()
            elif self._refusal is not None:
                await self._retry()

    async def _look(self) -> str:
        with self._told_if_slow():
            return await asyncio.to_thread(digest, self._options.config_files)

    async def _settled(self, found: str, pause_seconds: float) -> str:
        for _ in range(_MOST_SETTLES):
            await asyncio.sleep(pause_seconds)
            before, found = found, await self._look()
            if found == before:
                break
        return found

    async def _retry(self) -> None:
        """Try what was refused once more: a `ca_file` that it names may have come."""
        async with self._reloading:
            with contextlib.suppress(Exception):
                await self._reload_issuers(is_again=True)

    async def _stop(self) -> None:
        self._notifier.stopping()
        _logger.info("exporter.stopping", probes_in_flight=self._scheduler.in_flight)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(
            self._scheduler.close(), self._on_demand.close(), self._server.close()
        )
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _logger.info("exporter.stopped")


def _raise_all(outcomes: Iterable[BaseException | None]) -> None:
    errors = [error for error in outcomes if error is not None]
    refusals = [error for error in errors if isinstance(error, ConfigError)]
    for error in errors:
        if error not in refusals:
            raise error
    if refusals:
        raise ConfigError(chain.from_iterable(refusal.problems for refusal in refusals))


def serve(options: Options) -> None:
    """Run the daemon until it is told to stop.

    Raises:
        ConfigError: The configuration is not valid.
        ListenError: An address cannot be listened on.
    """
    # Until the loop takes it over, a SIGHUP would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = load(options.config_files)
    web_config = load_web(options.web_config_file) if options.web_config_file else WebConfig()
    with ExitStack() as end, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with ExitStack() as stack:
            sockets = activated(os.environ) if options.is_activated else []
            sockets += [stack.enter_context(listening(a)) for a in options.listen_addresses]
            runner.run(_run(options, config, sockets, web_config))
        end.enter_context(_leaving_threads())


@contextmanager
def _leaving_threads() -> Iterator[None]:
    """Within this block the process ends well, and soon, whatever its threads do.

    Closing a loop waits for its threads, of which one may be reading a file that never
    answers. All else is closed by then, and every line of the log is written out.
    """
    timer = threading.Timer(_THREADS_SECONDS, os._exit, (os.EX_OK,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def _run(
    options: Options, config: Config, sockets: Sequence[socket.socket], web_config: WebConfig
) -> None:
    await Daemon(options, config).run(sockets, web_config)
