"""What a scrape of many issuers costs, and how long it holds the event loop.

    python -m bench.scrape [ISSUERS]

A real server under uvloop, scraped by curl, while reports go on coming. The longest hold is
told twice: by the wall, which other programs on the machine lengthen, and by the loop's own
processor time, which they do not.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from exporter.exposition import Format, handler
from exporter.model import CacheDirective, CachePolicy
from exporter.own_metrics import Own
from exporter.reasons import CacheHeader, Code, Directive, Document
from exporter.store import Store
from tests import builders

if TYPE_CHECKING:
    from exporter.model import Issuer, Report

TICK_SECONDS = 0.001
REPORTS_PER_SECOND = 100
ROUNDS = 5


@dataclass
class Monitor:
    """Wakes every millisecond and notes the longest it could not."""

    wall: float = 0.0
    processor: float = 0.0

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            wall, processor = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK_SECONDS)
            self.wall = max(self.wall, time.perf_counter() - wall - TICK_SECONDS)
            self.processor = max(self.processor, time.thread_time() - processor)


def report(issuer: Issuer, number: int) -> Report:
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
    tls = builders.tls(chain=tuple(builders.certificate(serial=n) for n in "123"))
    return builders.report(
        issuer=issuer,
        ended_timestamp_seconds=builders.NOW + number + shift,
        duration_seconds=0.3 + shift,
        fetches=tuple(replace(f, tls=tls, duration_seconds=0.1 + shift) for f in fetches),
        caching=tuple((document, policy) for document in Document),
        key_set=builders.key_set(*(builders.key(f"{issuer.name}-key-{n}") for n in range(3))),
        findings=(builders.finding(Code.TLS13_ONLY),),
    )


def configured(number: int) -> list[Issuer]:
    """So many issuers, with names and URLs of a common length."""
    return [
        builders.issuer(
            name=f"tenant-{n:05}.example.com",
            url=f"https://tenant-{n:05}.example.com",
            labels=(("team", "platform"),),
        )
        for n in range(number)
    ]


def filled(issuers: list[Issuer]) -> Store:
    """A store with a report of every issuer; tells what recording costs."""
    store = Store(Own())
    begun = time.process_time()
    store.keep(issuers)
    kept = time.process_time()
    reports = [report(issuer, n) for n, issuer in enumerate(issuers)]
    first = time.process_time()
    for one in reports:
        store.record(one)
    again = [report(issuer, n + 1) for n, issuer in enumerate(issuers)]
    later = time.process_time()
    for one in again:
        store.record(one)
    done = time.process_time()
    each = 1e6 / len(issuers)
    print(f"configure an issuer   {(kept - begun) * each:8.1f} us")
    print(f"record a later report {(done - later) * each:8.1f} us")
    print(f"building a report     {(first - kept) * each:8.1f} us")
    return store


def memory(number: int) -> None:
    """Tell what the store keeps of an issuer."""
    issuers = configured(number)
    gc.collect()
    tracemalloc.start()
    empty = tracemalloc.take_snapshot()
    store = Store(Own())
    store.keep(issuers)
    reports = [report(issuer, n) for n, issuer in enumerate(issuers)]
    facts = tracemalloc.take_snapshot()
    for one in reports:
        store.record(one)
    gc.collect()
    full = tracemalloc.take_snapshot()
    tracemalloc.stop()
    size = {
        name: sum(s.size_diff for s in after.compare_to(before, "filename")) / number / 1024
        for name, before, after in (("facts", empty, facts), ("text", facts, full))
    }
    print(
        f"memory an issuer      {size['text']:8.1f} KiB of text, {size['facts']:.1f} of facts"
    )


async def keep_recording(store: Store) -> None:
    """Reports as a hundred probes a second would bring them."""
    number = 0
    while True:
        for state in store.states():
            number += 1
            store.record(report(state.issuer, number))
            await asyncio.sleep(1 / REPORTS_PER_SECOND)


async def scrape(url: str, *options: str) -> tuple[float, Monitor, int]:
    """One scrape by curl: processor seconds of ours, longest holds, bytes received."""
    monitor = Monitor()
    watch = asyncio.create_task(monitor.run())
    begun, before = time.perf_counter(), time.process_time()
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", *options, url),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await curl.communicate()
    took, spent = time.perf_counter() - begun, time.process_time() - before
    # What the reports and the monitor cost in the same time is not the scrape's.
    before = time.process_time()
    await asyncio.sleep(took)
    spent -= time.process_time() - before
    watch.cancel()
    return spent, monitor, int(output)


async def serve(store: Store) -> None:
    """Scrape in both ways and tell the medians."""
    app = web.Application()
    app.router.add_get("/metrics", handler(store, store.own))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    gc.collect()
    gc.freeze()
    coming = asyncio.create_task(keep_recording(store))
    print(f"{'':22}{'CPU ms':>8}{'hold ms':>9}{'(wall)':>9}{'MiB':>8}")
    for name, options in {
        "text": ("-H", f"Accept: {Format.TEXT.value}"),
        "OpenMetrics": ("-H", f"Accept: {Format.OPENMETRICS.value}"),
        "text, gzip": ("-H", "Accept-Encoding: gzip"),
    }.items():
        runs = [await scrape(url, *options) for _ in range(ROUNDS)]
        cpu, holds, walls = (
            sorted(values)[ROUNDS // 2]
            for values in (
                [run[0] for run in runs],
                [run[1].processor for run in runs],
                [run[1].wall for run in runs],
            )
        )
        print(
            f"{name:22}{cpu * 1e3:8.1f}{holds * 1e3:9.2f}{walls * 1e3:9.2f}"
            f"{runs[0][2] / 2**20:8.1f}"
        )
    coming.cancel()
    await runner.cleanup()


def main() -> None:
    """Run everything on as many issuers as the command line says."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    memory(min(number, 500))
    store = filled(configured(number))
    uvloop.run(serve(store))


if __name__ == "__main__":
    main()
