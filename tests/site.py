"""The real routes over a store that a test fills."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp.test_utils import TestClient, TestServer

from exporter.store import Store
from exporter.web.routes import Site, application
from tests import builders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from exporter.model import Issuer, Report


def filled(*reports: Report, issuers: Iterable[Issuer] = ()) -> Store:
    """A store that has seen *reports*, of *issuers* or of those that the reports name."""
    store = Store()
    known = {report.issuer.name: report.issuer for report in reports}
    store.keep([*issuers] or [*known.values()] or [builders.issuer()])
    for report in reports:
        store.record(report)
    return store


@asynccontextmanager
async def site(
    *reports: Report, issuers: Iterable[Issuer] = (), **facts: Any
) -> AsyncIterator[TestClient[Any, Any]]:
    """A client of the site that has seen *reports*."""
    store = filled(*reports, issuers=issuers)
    made = Site(**{"store": store, "waiting": lambda: (), "reload": None, **facts})
    async with TestClient(TestServer(application(made))) as client:
        yield client


async def asked(client: TestClient[Any, Any], path: str) -> tuple[int, str]:
    response = await client.get(path)
    return response.status, await response.text()
