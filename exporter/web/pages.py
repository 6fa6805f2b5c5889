"""The pages for people: all issuers, and each of them with its last reports."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exporter.web import HEALTH_PATHS, ISSUERS_PATH, READY_PATHS, rendering
from exporter.web.issuer import Details
from exporter.web.listing import Query, listing
from exporter.web.overview import Overview
from exporter.web.words import asked_name

if TYPE_CHECKING:
    from aiohttp import web

    from exporter.store import Store


class Pages:
    """What people can look at.

    Args:
        prefix: Path of the external URL, without a slash at its end; links lead below it.
    """

    def __init__(self, store: Store, *, telemetry_path: str, prefix: str) -> None:
        self._store = store
        self._frame = {
            "root": f"{prefix}/",
            "links": (
                (prefix + telemetry_path, "Metrics"),
                (f"{prefix}/api/v1/issuers", "JSON"),
                (prefix + HEALTH_PATHS[0], "Healthy"),
                (prefix + READY_PATHS[0], "Ready"),
            ),
        }
        self._root = f"{prefix}/"

    async def overview(self, request: web.Request) -> web.Response:
        """Every issuer: `/`."""
        found = await listing(self._store.states(), Query.read(request.query))
        page = Overview(found, request.query, root=self._root, now=time.time())
        return await self._answer("overview.html", page)

    async def issuer(self, request: web.Request) -> web.Response:
        """One issuer: `/issuers/{name}`."""
        name = asked_name(request, ISSUERS_PATH)
        state = self._store.state(name)
        if state is None:
            view = {**self._frame, "name": name}
            return await rendering.response("missing.html", view, status=404)
        page = Details(state, request.query, root=self._root, now=time.time())
        return await self._answer("issuer.html", page)

    async def _answer(self, template: str, page: Overview | Details) -> web.Response:
        return await rendering.response(template, {**self._frame, "page": page})
