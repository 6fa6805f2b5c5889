"""A large fleet in one daemon: memory, and what a scrape costs and disturbs."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.accuracy import DELAY_SECONDS, errors
from bench.daemon import check_punctual, exporter, scrape, write_config
from bench.farm import prepare, truthful
from bench.figures import Row, percentile, spread
from bench.process import BenchError, running
from exporter.history import MOST_GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.farm import Farm
    from bench.process import Process

KIBIBYTES_EACH = 30
SCRAPE_CPU_SECONDS = 0.1
DISTURBANCE = 1.25

_BURST = 10
_BASELINE_ISSUERS = 10


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running daemon of *issuers*, probed at *rate* checks a second."""

    process: Process
    port: int
    farm: Farm
    issuers: int
    rate: int


def measure(issuers: int, rate: int, *, rounds: int, seconds: float) -> list[Row]:
    """Probe *issuers* once, then take quiet and scraped windows of *seconds* in turns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        prepare(directory)
        with truthful(directory, delay_seconds=DELAY_SECONDS) as farm:
            small = _small_resident_bytes(directory, farm)
            interval = issuers // rate
            config = _config(directory, farm, issuers, interval)
            with exporter(config) as (process, port):
                begun = time.monotonic()
                time.sleep(interval + 1)
                fleet = Fleet(process, port, farm, issuers, rate)
                rows = [
                    *_disturbance_rows(fleet, rounds, seconds),
                    *_cost_rows(fleet, rounds),
                    *_hold_rows(fleet, directory, seconds),
                ]
                # Some reports of each issuer are kept: from then on it takes no more.
                kept = (MOST_GOOD + 1) * interval
                time.sleep(max(0.0, begun + kept - time.monotonic()))
                return [_memory_row(fleet, small), *rows]


def _config(directory: Path, farm: Farm, issuers: int, interval: int) -> Path:
    return write_config(
        directory / f"fleet-{issuers}.yaml",
        port=farm.port,
        ca_file=farm.ca_file,
        issuers=issuers,
        interval=f"{interval}s",
    )


def _small_resident_bytes(directory: Path, farm: Farm) -> int:
    """Of a daemon that has everything loaded and next to nothing to keep."""
    with exporter(_config(directory, farm, _BASELINE_ISSUERS, 1)) as (process, port):
        time.sleep(3)
        scrape(port)
        return process.resident_bytes()


def _memory_row(fleet: Fleet, small: int) -> Row:
    more = fleet.process.resident_bytes() - small
    kibibytes = more / (fleet.issuers - _BASELINE_ISSUERS) / 1024
    return Row(
        what=f"resident memory of an issuer, {fleet.issuers:,} of them, after all the scrapes",
        measured=f"{kibibytes:.1f} KiB above {small / 2**20:.0f} MiB",
        target=f"under {KIBIBYTES_EACH} KiB",
        is_met=kibibytes < KIBIBYTES_EACH,
    )


def _disturbance_rows(fleet: Fleet, rounds: int, seconds: float) -> list[Row]:
    """Every issuer's latest probe fell into one window: one scrape at the end reads all."""
    quiet, scraped = [], []
    for _ in range(rounds):
        quiet.append(_window(lambda: time.sleep(seconds)))
        scraped.append(_window(lambda: _scrape_every_second(fleet.port, seconds)))
    text = scrape(fleet.port)
    check_punctual(text)
    calm = [_p99(text, fleet, *window) for window in quiet]
    busy = [_p99(text, fleet, *window) for window in scraped]
    ratio = statistics.median(busy) / statistics.median(calm)
    return [
        Row(
            what=f"p99 error at {fleet.rate}/s, {fleet.issuers:,} issuers scraped every second",
            measured=f"{spread(busy)} ms; without scrapes {spread(calm)} ms; ratio {ratio:.2f}",
            target=f"ratio at most {DISTURBANCE}",
            is_met=ratio <= DISTURBANCE,
        )
    ]


def _window(work: Callable[[], None]) -> tuple[float, float]:
    start = time.time()
    work()
    return start, time.time()


def _scrape_every_second(port: int, seconds: float) -> None:
    """Compressed, as Prometheus asks for it."""
    start = time.monotonic()
    for number in range(int(seconds)):
        time.sleep(max(0, start + number - time.monotonic()))
        scrape(port, encoding="gzip")
    time.sleep(max(0, start + seconds - time.monotonic()))


def _p99(text: bytes, fleet: Fleet, start: float, end: float) -> float:
    found = errors(text, fleet.farm, since=start, until=end)
    if not found:
        raise BenchError("no probe ended in the window")
    return percentile(found, 0.99)


def _cost_rows(fleet: Fleet, rounds: int) -> Iterator[Row]:
    for encoding in ("identity", "gzip"):
        size = len(scrape(fleet.port, encoding=encoding))
        found = [_scrape_cpu_seconds(fleet, encoding) for _ in range(rounds)]
        yield Row(
            what=f"CPU of a scrape of {fleet.issuers:,} issuers, {encoding}",
            measured=f"{spread(found, 3)} s for {size / 2**20:.1f} MiB",
            target=f"under {SCRAPE_CPU_SECONDS} s",
            is_met=statistics.median(found) < SCRAPE_CPU_SECONDS,
        )


def _scrape_cpu_seconds(fleet: Fleet, encoding: str) -> float:
    """Of one in a burst, what the probes use meanwhile taken off."""
    idle = _cpu_share(fleet, lambda: time.sleep(4))
    before, cpu = time.monotonic(), fleet.process.cpu_seconds()
    for _ in range(_BURST):
        scrape(fleet.port, encoding=encoding)
    elapsed, cpu = time.monotonic() - before, fleet.process.cpu_seconds() - cpu
    return (cpu - idle * elapsed) / _BURST


def _cpu_share(fleet: Fleet, work: Callable[[], None]) -> float:
    before, cpu = time.monotonic(), fleet.process.cpu_seconds()
    work()
    return (fleet.process.cpu_seconds() - cpu) / (time.monotonic() - before)


def _hold_rows(fleet: Fleet, directory: Path, seconds: float) -> Iterator[Row]:
    for what, work in (
        ("without scrapes", lambda: time.sleep(seconds)),
        ("scraped every second", lambda: _scrape_every_second(fleet.port, seconds)),
    ):
        log = directory / f"pulse {what}.log"
        trips = _pulse(fleet.port, seconds, work, log)
        worst = ", ".join(f"{percentile(trips, share):.1f}" for share in (0.5, 0.99, 1))
        yield Row(
            what=f"wait for `/-/healthy`, {what}: median, p99, longest",
            measured=f"{worst} ms of {len(trips)}",
        )


def _pulse(port: int, seconds: float, work: Callable[[], None], log: Path) -> list[float]:
    """Round trips in milliseconds while *work* is done."""
    command = [sys.executable, "-m", "bench.pulse", f"--port={port}", f"--seconds={seconds}"]
    with running(command, log) as pulse:
        work()
        pulse.popen.wait(timeout=30)
    return [float(line) for line in log.read_text().split()]
