"""How far the time to the first byte, as published, is from the truth."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.blackbox import blackbox, drive
from bench.daemon import check_punctual, exporter, samples, scrape, write_config
from bench.farm import prepare, truthful
from bench.figures import Row, percentile, spread
from bench.process import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.farm import Farm

DELAY_SECONDS = 0.05
_INTERVAL_SECONDS = 5
_PATHS = {"discovery": "/.well-known/openid-configuration", "jwks": "/jwks"}


def measure(rate: int, *, rounds: int) -> list[Row]:
    """The 99th percentile of the error, both in turns, and the whole distribution."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        prepare(directory)
        with truthful(directory, delay_seconds=DELAY_SECONDS) as farm:
            for number in range(rounds):
                ours.append(_exporter_errors(directory, farm, rate))
                theirs.append(_blackbox_errors(directory, farm, rate, number))
    return [
        _p99_row("measured minus true", rate, ours, theirs),
        _p99_row("the distance between measured and true", rate, _sizes(ours), _sizes(theirs)),
        _spread_row(rate, ours, theirs),
    ]


def errors(text: bytes, farm: Farm, *, since: float, until: float) -> list[float]:
    """Measured minus true, in milliseconds, of every fetch in a scrape.

    Only of probes that ended between *since* and *until* (Unix time). A fetch is the last
    one of its document that was answered before the probe's end.
    """
    ended = {
        labels["issuer"]: value
        for labels, value in samples(text, "oidc_probe_timestamp_seconds")
        if since <= value < until
    }
    truth = _truth(farm, ended)
    return [
        (value - truth[labels["issuer"], _PATHS[labels["document"]]]) * 1000
        for labels, value in samples(text, "oidc_fetch_phase_duration_seconds")
        if labels["phase"] == "processing" and labels["issuer"] in ended
    ]


def _truth(farm: Farm, ended: dict[str, float]) -> dict[tuple[str, str], float]:
    found = {}
    for host, path, sent, seconds in _records(farm):
        # A probe ends after its last first byte; the next one is seconds away.
        if sent <= ended.get(host, 0):
            found[host, path] = seconds
    return found


def _records(farm: Farm) -> Iterator[tuple[str, str, float, float]]:
    for line in farm.log.read_text().splitlines():
        host, path, sent, seconds = line.split("\t")
        yield host, path, float(sent), float(seconds)


def _exporter_errors(directory: Path, farm: Farm, rate: int) -> list[float]:
    """Of every issuer's second and third probe."""
    config = write_config(
        directory / "accuracy.yaml",
        port=farm.port,
        ca_file=farm.ca_file,
        issuers=rate * _INTERVAL_SECONDS,
        interval=f"{_INTERVAL_SECONDS}s",
    )
    found = []
    with exporter(config) as (_, port):
        time.sleep(_INTERVAL_SECONDS)
        for _ in range(2):
            time.sleep(_INTERVAL_SECONDS)
            now, text = time.time(), scrape(port)
            check_punctual(text)
            found += errors(text, farm, since=now - _INTERVAL_SECONDS, until=now)
    return found


def _blackbox_errors(directory: Path, farm: Farm, rate: int, number: int) -> list[float]:
    seconds, first = 2 * _INTERVAL_SECONDS, number * 1_000_000
    with blackbox(directory, farm) as (_, port):
        drive_it = drive(port, farm, checks_per_second=rate, seconds=seconds, first=first)
        probed = uvloop.run(drive_it)
    truth = {path: true for _, path, _, true in _records(farm)}
    return [(probe.processing_seconds - truth[probe.path]) * 1000 for probe in probed]


def _sizes(rounds: list[list[float]]) -> list[list[float]]:
    """A clock that is corrected may also be corrected too far."""
    return [[abs(value) for value in found] for found in rounds]


def _p99_row(what: str, rate: int, ours: list[list[float]], theirs: list[list[float]]) -> Row:
    mine = [percentile(values, 0.99) for values in ours]
    other = [percentile(values, 0.99) for values in theirs]
    return Row(
        what=f"p99 of {what}, time to first byte at {rate}/s",
        measured=f"{spread(mine)} ms; blackbox {spread(other)} ms",
        target="no worse than blackbox",
        is_met=statistics.median(mine) <= statistics.median(other),
    )


def _spread_row(rate: int, ours: list[list[float]], theirs: list[list[float]]) -> Row:
    return Row(
        what=f"measured minus true at {rate}/s: smallest, p1, median, p90, largest",
        measured=f"{_quantiles(ours)} ms; blackbox {_quantiles(theirs)} ms",
    )


def _quantiles(rounds: list[list[float]]) -> str:
    values = [value for found in rounds for value in found]
    if not values:
        raise BenchError("no fetch was measured")
    shares = (0, 0.01, 0.5, 0.9, 1)
    return ", ".join(f"{percentile(values, share):.2f}" for share in shares)
