"""CPU of one check, the exporter's beside blackbox_exporter's, at a steady rate."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.blackbox import blackbox, drive
from bench.daemon import check_punctual, exporter, samples, scrape, write_config
from bench.farm import nginx, prepare
from bench.figures import Row, spread
from bench.process import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.farm import Farm

TARGET = 0.9

# Short, so that every issuer was probed before: its first probe parses documents that
# later ones recognise, and asks the server for TLS 1.2 besides. A window is a multiple of
# it, so that each issuer falls into it equally often, wherever its place in the interval.
_INTERVAL_SECONDS = 3
_WINDOW_SECONDS = 2 * _INTERVAL_SECONDS
_SETTLE_SECONDS = 0.5
_MOST_LATE_ROUNDS = 10
_RATE_TOLERANCE = 0.1


def measure(rates: Sequence[int], *, rounds: int) -> list[Row]:
    """One row for each of *rates*, in checks a second; the two take turns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        prepare(directory)
        with nginx(directory) as farm:
            return [_row(directory, farm, rate, rounds) for rate in rates]


def _row(directory: Path, farm: Farm, rate: int, rounds: int) -> Row:
    """A rate that this machine cannot keep up is a result as well."""
    try:
        return _compared(directory, farm, rate, rounds)
    except BenchError as error:
        return Row(
            what=f"CPU of a check at {rate}/s",
            measured=f"not measured: {error}",
            target=f"ratio at most {TARGET}",
            is_met=False,
        )


def _compared(directory: Path, farm: Farm, rate: int, rounds: int) -> Row:
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_exporter_cpu(directory, farm, rate) * 1000)
        theirs.append(_blackbox_cpu(directory, farm, rate) * 1000)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Row(
        what=f"CPU of a check at {rate}/s",
        measured=f"{spread(ours)} ms; blackbox {spread(theirs)} ms; ratio {spread(ratios)}",
        target=f"ratio at most {TARGET}",
        is_met=statistics.median(ratios) <= TARGET,
    )


def _exporter_cpu(directory: Path, farm: Farm, rate: int) -> float:
    """Seconds of CPU for a check, after every issuer was probed once."""
    config = write_config(
        directory / "cpu.yaml",
        port=farm.port,
        ca_file=farm.ca_file,
        issuers=rate * _INTERVAL_SECONDS,
        interval=f"{_INTERVAL_SECONDS}s",
    )
    with exporter(config) as (process, port):
        _catch_up(port)
        earlier = scrape(port)
        time.sleep(_SETTLE_SECONDS)
        before, cpu = time.monotonic(), process.cpu_seconds()
        time.sleep(_WINDOW_SECONDS)
        cpu, elapsed = process.cpu_seconds() - cpu, time.monotonic() - before
        counted, lasted = _probes(scrape(port), earlier), time.monotonic() - before
    # Counted over slightly more than the window, so that no scrape falls into it.
    _check_rate(counted / (lasted + _SETTLE_SECONDS), rate)
    return cpu / (rate * elapsed)


def _catch_up(port: int) -> None:
    """The first round costs twice as much; at a high rate the next ones begin late as well."""
    time.sleep(2 * _INTERVAL_SECONDS)
    for _ in range(_MOST_LATE_ROUNDS):
        earlier = scrape(port)
        time.sleep(_INTERVAL_SECONDS)
        with suppress(BenchError):
            check_punctual(scrape(port), earlier)
            break
    time.sleep(_SETTLE_SECONDS)


def _probes(text: bytes, earlier: bytes) -> float:
    """How many were made between two scrapes, all of them good and in time."""
    check_punctual(text, earlier)
    if failed := [labels for labels, value in samples(text, "oidc_probe_success") if not value]:
        raise BenchError(f"{len(failed)} probes failed, the first on {failed[0]}")
    before, after = (_total(scraped) for scraped in (earlier, text))
    return after - before


def _total(text: bytes) -> float:
    return sum(value for _, value in samples(text, "oidc_probes_total"))


def _check_rate(measured: float, wanted: int) -> None:
    if abs(measured / wanted - 1) > _RATE_TOLERANCE:
        raise BenchError(f"{measured:.1f} checks/s were made where {wanted} were due")


def _blackbox_cpu(directory: Path, farm: Farm, rate: int) -> float:
    with blackbox(directory, farm) as (process, port):
        uvloop.run(drive(port, farm, checks_per_second=rate, seconds=1))
        cpu = process.cpu_seconds()
        uvloop.run(drive(port, farm, checks_per_second=rate, seconds=_WINDOW_SECONDS))
        return (process.cpu_seconds() - cpu) / (rate * _WINDOW_SECONDS)
