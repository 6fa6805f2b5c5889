"""The event loop's own health: how late it is, and what the garbage collector costs it."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import Histogram

#: Often enough to see a loop that stalls for half a second, and for nothing in CPU.
LAG_SAMPLE_SECONDS = 0.25


async def sample_lag(lag: Histogram) -> None:
    """Observe for ever how late the loop wakes a sleeper, in seconds."""
    while True:
        due = time.monotonic() + LAG_SAMPLE_SECONDS
        await asyncio.sleep(LAG_SAMPLE_SECONDS)
        lag.observe(max(0.0, time.monotonic() - due))


async def settle(waiting: Callable[[], Sequence[str]]) -> None:
    """Spare the garbage collector what stays for good: a full pass would hold the loop.

    It has been switched off until now. What the first round adds, until nobody is *waiting*
    for a report any more, stays as well.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    while waiting():  # noqa: ASYNC110 - a second late is soon enough
        await asyncio.sleep(1)
    gc.freeze()
