"""From exec to the first answer, and what a process weighs that does nothing yet."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.blackbox import blackbox
from bench.daemon import exporter, write_config
from bench.farm import Farm, prepare
from bench.figures import Row, spread
from exporter.demo.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from bench.process import Process

TARGET_SECONDS = 1.0


def measure(sizes: tuple[int, ...], *, rounds: int) -> list[Row]:
    """One row for each number of issuers, of which hardly one is due meanwhile; the peer's."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        rows = [_row(directory, issuers, rounds) for issuers in sizes]
        return [*rows, _peer_row(directory, rounds)]


def _row(directory: Path, issuers: int, rounds: int) -> Row:
    # Nobody listens there, and an hour's spread keeps the probes out of the way.
    config = write_config(
        directory / f"start-{issuers}.yaml",
        port=free_port(),
        ca_file=None,
        issuers=issuers,
        interval="1h",
    )
    taken, resident = _starts(lambda: exporter(config), rounds)
    return Row(
        what=f"exec to the first `/metrics`, {issuers:,} issuers",
        measured=f"{spread(taken)} s, then {resident / 2**20:.0f} MiB resident",
        target=f"under {TARGET_SECONDS:.0f} s",
        is_met=statistics.median(taken) < TARGET_SECONDS,
    )


def _peer_row(directory: Path, rounds: int) -> Row:
    prepare(directory)
    farm = Farm(free_port(), directory / "ca.pem", directory / "none.log")
    taken, resident = _starts(lambda: blackbox(directory, farm), rounds)
    return Row(
        what="exec to listening, blackbox_exporter",
        measured=f"{spread(taken)} s, then {resident / 2**20:.0f} MiB resident",
    )


def _starts(
    start: Callable[[], AbstractContextManager[tuple[Process, int]]], rounds: int
) -> tuple[list[float], int]:
    """Seconds of every start, and the resident bytes after the last one."""
    taken, resident = [], 0
    for _ in range(rounds):
        before = time.perf_counter()
        with start() as (process, _):
            taken.append(time.perf_counter() - before)
            resident = process.resident_bytes()
    return taken, resident
