"""`/probe?target=`: one issuer, probed now, as a scraper of blackbox_exporter asks for it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.exposition import choose_format
from exporter.on_demand import (
    AmbiguousTargetError,
    OnDemand,
    TooManyCallersError,
    UnknownTargetError,
)
from exporter.text import quoted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
#: Taken off the scraper's time, so that it is answered before it gives up. As blackbox_exporter
#: has it; never more than half of a short time.
OFFSET_SECONDS = 0.5
#: For who sets no time, as blackbox_exporter has it, and for who sets too long a one: no
#: issuer may be configured to take longer.
DEFAULT_SECONDS = 120.0
LONGEST_SECONDS = 600.0

_RETRY_SECONDS = "1"


def handler(on_demand: OnDemand) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An aiohttp handler that answers with one issuer's metrics."""

    async def probe(request: web.Request) -> web.Response:
        target = request.query.get("target", "")
        if not target:
            return _refusal(400, "want ?target= with the name or the URL of an issuer")
        try:
            issuer = on_demand.find(target)
            seconds = allowed_seconds(request.headers.get(TIMEOUT_HEADER))
        except UnknownTargetError as error:
            return _refusal(404, str(error))
        except (AmbiguousTargetError, ValueError) as error:
            return _refusal(400, str(error))
        try:
            reply = await on_demand.ask(issuer, allowed_seconds=seconds)
        except TooManyCallersError:
            refusal = _refusal(503, "too many wait for a probe already")
            refusal.headers["Retry-After"] = _RETRY_SECONDS
            return refusal
        fmt = choose_format(",".join(request.headers.getall("Accept", ())))
        headers = {"Content-Type": fmt.value, "Vary": "Accept", "Cache-Control": "no-store"}
        return web.Response(body=reply.text(fmt), headers=headers)

    return probe


def allowed_seconds(header: str | None) -> float:
    """What a caller would wait, by its header, less what the answer needs to get there.

    Raises:
        ValueError: The header is no time.
    """
    if header is None:
        return DEFAULT_SECONDS
    try:
        seconds = float(header)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds <= 0:
        raise ValueError(f"{TIMEOUT_HEADER}: want seconds, got {quoted(header)}")
    return min(seconds - min(OFFSET_SECONDS, seconds / 2), LONGEST_SECONDS)


def _refusal(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")
