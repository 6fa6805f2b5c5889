"""Long work in short turns: the only place that knows how long an answer may hold the loop."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

T = TypeVar("T")

#: As long as the widest step of a scrape; all of it is added to latencies being measured.
TURN_SECONDS = 0.001


async def paced(items: Iterable[T]) -> AsyncIterator[T]:
    """Hand out *items* and let the loop run whenever a turn is over.

    The time counts in which the items are made and in which they are used.
    """
    end = perf_counter() + TURN_SECONDS
    for item in items:
        yield item
        if perf_counter() > end:
            await asyncio.sleep(0)
            end = perf_counter() + TURN_SECONDS
