"""The documents for programs: the same facts as on the pages, as JSON.

`docs/api.schema.json` has their shape, made by `exporter.web.api_schema`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from aiohttp import web

from exporter import __version__
from exporter.report_json import members, time_members, to_json
from exporter.summary import summary
from exporter.web import API_PATH
from exporter.web.listing import Query, listing
from exporter.web.pacing import paced
from exporter.web.words import asked_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from exporter.history import Kept
    from exporter.store import Store
    from exporter.summary import Summary

_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
_CHUNK_CHARACTERS = 64 * 1024


class Api:
    """What programs can read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def issuers(self, request: web.Request) -> web.StreamResponse:
        """A summary of every issuer: `/api/v1/issuers`, filtered and sorted as the page is."""
        found = await listing(self._store.states(), Query.read(request.query))
        head = {"version": __version__, **time_members("now", time.time())}
        return await _answer(request, head, "issuers", map(summary_json, found.found))

    async def issuer(self, request: web.Request) -> web.StreamResponse:
        """One issuer and its last reports, the latest first: `/api/v1/issuers/{name}`."""
        name = asked_name(request, f"{API_PATH}/")
        state = self._store.state(name)
        if state is None:
            text = json.dumps({"error": "no configured issuer has this name", "name": name})
            return web.Response(text=text, status=404, headers=_HEADERS)
        head = {
            "version": __version__,
            **time_members("now", time.time()),
            "summary": summary_json(summary(state)),
        }
        return await _answer(request, head, "reports", map(kept_json, state.history.kept))


def summary_json(one: Summary) -> dict[str, object]:
    """*one* as what `json.dumps` takes; what is not known is null."""
    return {
        "name": one.issuer.name,
        "url": one.issuer.url,
        "labels": dict(one.issuer.labels),
        "standing": one.standing,
        "words": one.words,
        "failure": members(one.failure) if one.failure else None,
        "findings": one.findings,
        **time_members("since", one.since_timestamp_seconds),
        **time_members("probed", one.probed_timestamp_seconds),
        "duration_seconds": one.duration_seconds,
        "budget_seconds": one.issuer.budget_seconds,
        "is_cacheable": one.is_cacheable,
        "max_age_seconds": one.max_age_seconds,
        "keys_published": one.keys_published,
        "keys_usable": one.keys_usable,
        **time_members("certificate_not_after", one.certificate_not_after_timestamp_seconds),
    }


def kept_json(kept: Kept) -> dict[str, object]:
    """A report, and how many like it before it were left out."""
    return {"left_out": kept.left_out, **to_json(kept.report)}


async def _answer(
    request: web.Request, head: dict[str, object], name: str, items: Iterable[dict[str, object]]
) -> web.StreamResponse:
    """*head* and, under *name*, *items*, each made in a turn of its own and soon sent."""
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    if request.method != "HEAD":
        async for chunk in _chunks(_pieces(head, name, items)):
            await response.write(chunk)
    await response.write_eof()
    return response


def _pieces(
    head: dict[str, object], name: str, items: Iterable[dict[str, object]]
) -> Iterator[str]:
    yield f'{json.dumps(head)[:-1]}, "{name}": ['
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + json.dumps(item)
    yield "]}\n"


async def _chunks(pieces: Iterable[str]) -> AsyncIterator[bytes]:
    held: list[str] = []
    size = 0
    async for piece in paced(pieces):
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK_CHARACTERS:
            yield "".join(held).encode()
            held.clear()
            size = 0
    yield "".join(held).encode()
