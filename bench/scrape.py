"""What keeping and scraping many issuers costs, and how long a scrape holds the event loop.

The store and the scrape's handler under uvloop in this process, scraped by curl while
reports go on coming. The longest hold is told twice: by the loop's own processor time, and
by the wall, which whatever else runs on the machine lengthens.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import time
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from bench.figures import Row
from bench.process import HOST, need
from exporter.exposition import Format, handler
from exporter.model import CacheDirective, CachePolicy
from exporter.own_metrics import Own
from exporter.reasons import CacheHeader, Code, Directive, Document
from exporter.store import Store
from tests import builders

if TYPE_CHECKING:
    from exporter.model import Issuer, Report

HOLD_SECONDS = 0.01

_TICK_SECONDS = 0.001
_REPORTS_PER_SECOND = 100
_MEMORY_ISSUERS = 500

_KINDS = {
    "text": ("-H", f"Accept: {Format.TEXT.value}"),
    "OpenMetrics": ("-H", f"Accept: {Format.OPENMETRICS.value}"),
    "text, gzip": ("-H", "Accept-Encoding: gzip"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One scrape: processor seconds of ours, and the longest holds of the loop."""

    cpu: float
    hold: float
    hold_wall: float


def measure(issuers: int, *, rounds: int) -> list[Row]:
    """What a store of *issuers* costs to fill, to keep and to scrape."""
    bytes_each = _memory(min(issuers, _MEMORY_ISSUERS))
    store, seconds = _filled(_configured(issuers))
    return [
        Row(
            what="recording and rendering a report",
            measured=f"{seconds / issuers * 1e6:.0f} us; {bytes_each / 1024:.1f} KiB of text",
        ),
        *uvloop.run(_serve(store, rounds)),
    ]


@dataclass
class Monitor:
    """Wakes every millisecond and notes the longest it could not."""

    wall: float = 0.0
    processor: float = 0.0

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            wall, processor = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK_SECONDS)
            self.wall = max(self.wall, time.perf_counter() - wall - _TICK_SECONDS)
            self.processor = max(self.processor, time.thread_time() - processor)


def _report(issuer: Issuer, number: int) -> Report:
    """A good probe as real issuers give it: three certificates, three keys, cache headers."""
    shift = number % 997 / 7919
    policy = CachePolicy(
        directives=tuple(
            CacheDirective(header=CacheHeader.CACHE_CONTROL, directive=directive)
            for directive in (Directive.PUBLIC, Directive.MAX_AGE)
        ),
        max_age_seconds=3600.0,
        clock_offset_seconds=shift - 1,
    )
    fetches = [builders.fetch(document) for document in Document]
    tls = builders.tls(chain=tuple(builders.certificate(sha256=n * 64) for n in "123"))
    return builders.report(
        issuer=issuer,
        ended_timestamp_seconds=builders.NOW + number + shift,
        duration_seconds=0.3 + shift,
        fetches=tuple(replace(f, tls=tls, duration_seconds=0.1 + shift) for f in fetches),
        caching=tuple((document, policy) for document in Document),
        key_set=builders.key_set(*(builders.key(f"{issuer.name}-key-{n}") for n in range(3))),
        findings=(builders.finding(Code.TLS13_ONLY),),
    )


def _configured(number: int) -> list[Issuer]:
    """So many issuers, with names and URLs of a common length."""
    return [
        builders.issuer(
            name=f"tenant-{n:05}.example.com",
            url=f"https://tenant-{n:05}.example.com",
            labels=(("team", "platform"),),
        )
        for n in range(number)
    ]


def _filled(issuers: list[Issuer]) -> tuple[Store, float]:
    """A store with a report of every issuer, and what it took to record them again."""
    store = Store(Own())
    store.keep(issuers)
    for number, issuer in enumerate(issuers):
        store.record(_report(issuer, number))
    again = [_report(issuer, number + 1) for number, issuer in enumerate(issuers)]
    before = time.process_time()
    for one in again:
        store.record(one)
    return store, time.process_time() - before


def _memory(number: int) -> float:
    """Bytes that the store keeps of an issuer, its latest report not counted."""
    issuers = _configured(number)
    store = Store(Own())
    store.keep(issuers)
    reports = [_report(issuer, n) for n, issuer in enumerate(issuers)]
    gc.collect()
    tracemalloc.start()
    for one in reports:
        store.record(one)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / number


async def _serve(store: Store, rounds: int) -> list[Row]:
    """Scrape in every way."""
    app = web.Application()
    app.router.add_get("/metrics", handler(store, store.own))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    url = f"http://{HOST}:{runner.addresses[0][1]}/metrics"
    gc.collect()
    gc.freeze()
    coming = asyncio.create_task(_keep_recording(store))
    rows = []
    for kind, options in _KINDS.items():
        runs = [await _scrape(url, options) for _ in range(rounds)]
        rows.append(_row(kind, len(store.states()), runs))
    coming.cancel()
    await runner.cleanup()
    return rows


async def _keep_recording(store: Store) -> None:
    """Reports as a hundred probes a second would bring them."""
    number = 0
    while True:
        for state in store.states():
            number += 1
            store.record(_report(state.issuer, number))
            await asyncio.sleep(1 / _REPORTS_PER_SECOND)


async def _scrape(url: str, options: tuple[str, ...]) -> Scrape:
    monitor = Monitor()
    watch = asyncio.create_task(monitor.run())
    begun, before = time.perf_counter(), time.process_time()
    command = (need("curl", "curl"), "-sS", "-o", "/dev/null", *options, url)
    # From a thread, by vfork: a fork would have every page of the store copied on its next
    # touch, and the scrape be blamed for it.
    await asyncio.to_thread(subprocess.run, command, check=True)
    took, spent = time.perf_counter() - begun, time.process_time() - before
    # What the reports and the monitor cost in the same time is not the scrape's.
    before = time.process_time()
    await asyncio.sleep(took)
    spent -= time.process_time() - before
    watch.cancel()
    return Scrape(cpu=spent, hold=monitor.processor, hold_wall=monitor.wall)


def _row(kind: str, issuers: int, runs: list[Scrape]) -> Row:
    hold = max(run.hold for run in runs)
    wall = max(run.hold_wall for run in runs)
    cpu = statistics.median(run.cpu for run in runs)
    return Row(
        what=f"longest hold of the loop in {len(runs)} scrapes of {issuers:,} issuers, {kind}",
        measured=f"{hold * 1e3:.1f} ms of CPU ({wall * 1e3:.1f} by the wall); "
        f"a scrape {cpu * 1e3:.0f} ms of CPU",
        target=f"under {HOLD_SECONDS * 1e3:.0f} ms",
        is_met=hold < HOLD_SECONDS,
    )
