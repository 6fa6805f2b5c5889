"""The routes: what the exporter answers on each path.

Every route answers at its own path and below the external URL's path as well, so that a
reverse proxy may pass that path on or take it off, and a direct scrape needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.config import ConfigError
from exporter.exposition import handler
from exporter.text import listed
from exporter.web import (
    API_PATH,
    HEALTH_PATHS,
    ISSUERS_PATH,
    PROBE_PATH,
    READY_PATHS,
    RELOAD_PATH,
)
from exporter.web.api import Api
from exporter.web.pages import Pages
from exporter.web.probe import handler as probe_handler
from exporter.web.security import Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from exporter.on_demand import OnDemand
    from exporter.store import Store

_LIFECYCLE_IS_OFF = "Reloading over HTTP is switched off: start with --web.enable-lifecycle.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the routes read, and what they may set off.

    Attributes:
        waiting: Issuers whose first report is still to come; empty means ready.
        reload: Loads the configuration anew and raises ConfigError; None refuses.
        on_demand: Answers `/probe`; None leaves it out.
        prefix: Path of the external URL, without a slash at its end.
    """

    store: Store
    waiting: Callable[[], Sequence[str]]
    reload: Callable[[], Awaitable[None]] | None
    on_demand: OnDemand | None = None
    telemetry_path: str = "/metrics"
    prefix: str = ""


def application(site: Site, guard: Guard | None = None) -> web.Application:
    """The aiohttp application of *site*, behind *guard*."""
    app = web.Application()
    prefixes = tuple(dict.fromkeys(("", site.prefix)))
    for prefix in prefixes:
        app.add_routes(_routes(site, prefix))
    (guard or Guard()).protect(
        app,
        open_to_all=[prefix + p for prefix in prefixes for p in (*HEALTH_PATHS, *READY_PATHS)],
        # Probes have limits of their own, and a reload is one at a time.
        unlimited=[prefix + p for prefix in prefixes for p in (PROBE_PATH, RELOAD_PATH)],
    )
    return app


def _routes(site: Site, prefix: str) -> list[web.RouteDef]:
    reload = _reload(site)
    routes = [
        web.get(prefix + site.telemetry_path, handler(site.store, site.store.own)),
        *(web.get(prefix + path, _healthy) for path in HEALTH_PATHS),
        *(web.get(prefix + path, _ready(site)) for path in READY_PATHS),
        web.post(prefix + RELOAD_PATH, reload),
        web.put(prefix + RELOAD_PATH, reload),
    ]
    if site.on_demand is not None:
        # A probe is not made for its head alone.
        probe = probe_handler(site.on_demand)
        routes.append(web.get(prefix + PROBE_PATH, probe, allow_head=False))
    return [*routes, *_to_read(site, prefix)]


def _to_read(site: Site, prefix: str) -> Iterator[web.RouteDef]:
    pages = Pages(site.store, telemetry_path=site.telemetry_path, prefix=site.prefix)
    api = Api(site.store)
    # At `/` there may be the metrics, and then they are what is wanted there.
    if site.telemetry_path != "/":
        yield from (web.get(path, pages.overview) for path in {prefix, f"{prefix}/"} - {""})
    # Names may hold slashes.
    yield web.get(prefix + ISSUERS_PATH + "{name:.*}", pages.issuer)
    yield web.get(prefix + API_PATH, api.issuers)
    yield web.get(f"{prefix}{API_PATH}/{{name:.*}}", api.issuer)


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="healthy\n")


def _ready(site: Site) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def ready(_request: web.Request) -> web.Response:
        waiting = site.waiting()
        if not waiting:
            return web.Response(text="ready\n")
        text = f"{len(waiting)} issuers still have to be probed once: {listed(list(waiting))}\n"
        return web.Response(status=503, text=text)

    return ready


def _reload(site: Site) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def reload(_request: web.Request) -> web.Response:
        if site.reload is None:
            return web.Response(status=403, text=_LIFECYCLE_IS_OFF)
        try:
            await site.reload()
        except ConfigError as error:
            return web.Response(status=500, text=f"The old configuration stays:\n{error}\n")
        return web.Response(text="reloaded\n")

    return reload
