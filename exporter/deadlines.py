"""The arithmetic of the schedule: which moments belong to an issuer, and which were missed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.model import Issuer

#: Full-jitter backoff: after attempt n, a random share of base x 2^(n-1), capped.
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 5.0

# Sums of floats miss their grid by some 1e-10 of an interval: too little to be early or
# late by, and enough to lose a tick to.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The deadlines of one issuer: `start + k x interval`, for every k from 0.

    While the issuer fails, the failing interval is added to the last deadline; once it has
    recovered, deadlines return to the grid.
    """

    start: float
    interval_seconds: float
    interval_failing_seconds: float

    def first(self, now: float) -> float:
        """The first deadline that is not before *now*."""
        ticks = math.ceil((now - self.start) / self.interval_seconds - _TOLERANCE)
        return self.start + max(0, ticks) * self.interval_seconds

    def following(self, deadline: float, *, is_failing: bool) -> float:
        """The deadline after *deadline*."""
        if is_failing:
            return deadline + self.interval_failing_seconds
        ticks = math.floor((deadline - self.start) / self.interval_seconds + _TOLERANCE)
        return self.start + (ticks + 1) * self.interval_seconds

    def missed(self, deadline: float, now: float, *, is_failing: bool) -> tuple[int, float]:
        """How many deadlines from *deadline* on lie before *now*, and the one after them."""
        step = self.interval_failing_seconds if is_failing else self.interval_seconds
        # Counted, not walked: a machine that slept for a night has many.
        ticks = max(0, math.ceil((now - deadline) / step - _TOLERANCE))
        return ticks, deadline + ticks * step


def offset_seconds(issuer: Issuer) -> float:
    """Where in its interval *issuer* is probed: the same at every start, on every host.

    By name, because names are unique and URLs need not be.
    """
    digest = hashlib.sha256(issuer.name.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 * issuer.interval_seconds


def pause_seconds(attempt: int, share: float) -> float:
    """How long to wait after *attempt*: *share* of a range that doubles up to a cap.

    Source: "Exponential Backoff And Jitter" (full jitter), AWS Architecture Blog, 2015.
    """
    # Far beyond the cap, and short of an overflow.
    doublings = min(attempt - 1, 30)
    return share * min(BACKOFF_CAP_SECONDS, math.ldexp(BACKOFF_BASE_SECONDS, doublings))
