"""Numbers: medians, percentiles, and the table in which they are told."""

from __future__ import annotations

import math
import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        is_met: None where no target was set.
    """

    what: str
    measured: str
    target: str = ""
    is_met: bool | None = None


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest of *values* that *share* of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and in brackets the smallest and the largest when there are several."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def machine() -> str:
    """Where this was measured, in one sentence."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {_processor()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load average before the run {load:.2f}."
    )


def table(rows: Iterable[Row]) -> str:
    """*rows* in Markdown."""
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = [
        "| what | measured | target | met |",
        "| --- | --- | --- | --- |",
        *(f"| {r.what} | {r.measured} | {r.target} | {verdict[r.is_met]} |" for r in rows),
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
