"""From exec to the first `/metrics`."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.daemon import exporter, write_config
from bench.figures import Row, spread
from bench.process import free_port

TARGET_SECONDS = 1.0


def measure(sizes: tuple[int, ...], *, rounds: int) -> list[Row]:
    """One row for each number of issuers; none of them is due within the measurement."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return [_row(Path(name), issuers, rounds) for issuers in sizes]


def _row(directory: Path, issuers: int, rounds: int) -> Row:
    # Nobody listens there, and an hour's spread keeps the probes out of the way.
    config = write_config(
        directory / f"start-{issuers}.yaml",
        port=free_port(),
        ca_file=None,
        issuers=issuers,
        interval="1h",
    )
    taken = [_start_seconds(config) for _ in range(rounds)]
    return Row(
        what=f"exec to the first `/metrics`, {issuers:,} issuers",
        measured=f"{spread(taken)} s",
        target=f"under {TARGET_SECONDS:.0f} s",
        is_met=statistics.median(taken) < TARGET_SECONDS,
    )


def _start_seconds(config: Path) -> float:
    before = time.perf_counter()
    with exporter(config):
        return time.perf_counter() - before
