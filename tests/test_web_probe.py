"""/probe as it is asked for over a real socket, in front of real probes of real issuers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.book import Book
from exporter.config import Limits
from exporter.exposition import Format
from exporter.on_demand import MOST_CALLERS, OnDemand
from exporter.probe import Prober
from exporter.schedule import Scheduler
from exporter.store import Store
from exporter.web import MOST_REQUESTS
from exporter.web.connection import MOST_CONNECTIONS
from exporter.web.probe import TIMEOUT_HEADER, allowed_seconds
from exporter.web.routes import Site, application
from tests.probing import URL, discovery
from tests.servers import answering, http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientResponse

    from exporter.model import Issuer
    from tests.probing import Bench

LIMITS = Limits(concurrency=100, concurrency_per_host=100)
#: Its place in a day's interval is hours after the start: no tick comes into a test.
NAME = "good"


class Window:
    """What a test asks, and what came of it at the far end."""

    def __init__(self, browser: TestClient[Any, Any], store: Store) -> None:
        self.browser = browser
        self.store = store

    async def get(self, target: str | None, **headers: str) -> ClientResponse:
        params = {} if target is None else {"target": target}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.browser.get("/probe", params=params, headers=named)

    async def text(self, target: str, **headers: str) -> str:
        response = await self.get(target, **headers)
        assert response.status == 200
        return await response.text()


@asynccontextmanager
async def window(*issuers: Issuer, prefix: str = "", **options: Any) -> AsyncIterator[Window]:
    store, prober = Store(), Prober()
    scheduler = Scheduler(lambda i, n: prober.probe(i, attempt=n), Book(store), LIMITS)
    on_demand = OnDemand(scheduler, store, **options)
    await scheduler.update(issuers, LIMITS)
    store.keep(issuers)
    on_demand.follow(issuers)
    site = Site(
        store=store, waiting=lambda: (), reload=None, on_demand=on_demand, prefix=prefix
    )
    try:
        async with TestClient(TestServer(application(site))) as browser:
            yield Window(browser, store)
    finally:
        await on_demand.close()
        await scheduler.close()


@pytest.fixture
def good(bench: Bench) -> Issuer:
    return entry(bench, bench.serve())


def entry(bench: Bench, port: int, name: str = NAME, **more: Any) -> Issuer:
    return bench.issuer(port, name=name, interval_seconds=86_400.0, **more)


def counting(served: list[str]) -> Callable[..., Any]:
    """Answers as a good issuer does, a little later, and remembers that it was asked."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        served.append("discovery")
        await asyncio.sleep(0.2)
        writer.write(http(discovery()))
        await writer.drain()

    return handle


@pytest.mark.parametrize("target", [NAME, URL])
async def test_a_configured_issuer_is_probed_by_name_and_by_url(
    target: str, good: Issuer
) -> None:
    async with window(good) as at:
        response = await at.get(target)
        text = await response.text()

    assert response.headers["Content-Type"] == Format.TEXT.value
    assert response.headers["Cache-Control"] == "no-store"
    assert "\nprobe_success 1\n" in text
    assert "\nprobe_http_status_code 200\n" in text
    assert f'\noidc_issuer_info{{issuer="{NAME}",url="{URL}"}} 1\n' in text
    assert f'\noidc_jwks_usable_keys{{issuer="{NAME}",kty="EC"}} 1\n' in text


async def test_openmetrics_comes_to_who_wants_it(good: Issuer) -> None:
    async with window(good) as at:
        response = await at.get(NAME, Accept="application/openmetrics-text")
        text = await response.text()

    assert response.headers["Content-Type"] == Format.OPENMETRICS.value
    assert "# UNIT probe_duration_seconds seconds\n" in text
    assert text.endswith("# EOF\n")


async def test_a_failure_comes_with_its_reason(bench: Bench) -> None:
    bad = entry(bench, bench.serve(http("{}", "403 Forbidden")))
    async with window(bad) as at:
        text = await at.text(NAME)

    assert "\nprobe_success 0\n" in text
    assert "\nprobe_http_status_code 403\n" in text
    assert 'document="discovery",stage="http",reason="forbidden"} 1\n' in text


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        (None, 400, "want ?target= with the name or the URL"),
        ("", 400, "want ?target= with the name or the URL"),
        ("nobody", 404, '"nobody" is neither the name nor the URL'),
        ("https://169.254.169.254/latest/", 404, "neither the name nor the URL"),
        ("<script>alert(1)</script>", 404, "neither"),
    ],
)
async def test_what_is_not_configured_is_refused_and_causes_no_request(
    target: str | None, status: int, words: str, bench: Bench
) -> None:
    served: list[str] = []
    async with window(entry(bench, bench.serve(counting(served)))) as at:
        response = await at.get(target)

        assert (response.status, response.content_type) == (status, "text/plain")
        assert words in await response.text()
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            'oidc_exporter_probe_requests_total{answer="probed"} 0.0'
            in await (await at.browser.get("/metrics")).text()
        )
    assert served == []


async def test_a_url_of_several_issuers_is_refused_with_their_names(good: Issuer) -> None:
    async with window(good, replace(good, name="twin")) as at:
        response = await at.get(URL)

        assert response.status == 400
        assert f'"{NAME}", "twin"' in await response.text()
        assert (await at.get("twin")).status == 200


async def test_many_callers_at_once_cause_one_probe(bench: Bench) -> None:
    served: list[str] = []
    async with window(entry(bench, bench.serve(counting(served)))) as at:
        texts = await asyncio.gather(*(at.text(NAME) for _ in range(80)))

    assert served == ["discovery"]
    assert {"\nprobe_success 1\n" in text for text in texts} == {True}


async def test_an_answer_comes_before_the_scraper_gives_up(bench: Bench) -> None:
    """Not up == 0, which says nothing, but a probe that failed for want of time."""
    slow = entry(bench, bench.serve(answering("stall")), timeout_seconds=30.0)
    async with window(slow) as at:
        text = await asyncio.wait_for(at.text(NAME, **{TIMEOUT_HEADER: "0.3"}), 20)

    assert "\nprobe_success 0\n" in text
    assert "\nprobe_timeout_seconds 0.15\n" in text
    assert '\noidc_probe_answer_info{answer="timeout"} 1\n' in text
    assert "oidc_probe_success" not in text


async def test_what_the_issuer_asked_for_is_told_and_obeyed(bench: Bench) -> None:
    served: list[str] = []
    answer = http("", "429 Too Many Requests", "Retry-After: 600\r\n")

    async def limited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        served.append("limited")
        writer.write(answer)

    async with window(entry(bench, bench.serve(limited))) as at:
        texts = [await at.text(NAME) for _ in range(3)]
        metrics = await (await at.browser.get("/metrics")).text()

    assert served == ["limited"]
    answers = ["probed", "retry_after", "retry_after"]
    for text, kind in zip(texts, answers, strict=True):
        assert f'\noidc_probe_answer_info{{answer="{kind}"}} 1\n' in text
        assert 'reason="rate_limited"} 1\n' in text
    assert f'oidc_probe_retry_after_timestamp_seconds{{issuer="{NAME}"}}' in metrics


async def test_nothing_else_of_it_is_in_the_metrics(good: Issuer) -> None:
    async with window(good) as at:
        await at.text(NAME)
        metrics = await (await at.browser.get("/metrics")).text()

    assert "oidc_probe_success{" not in metrics
    assert f'oidc_probes_total{{issuer="{NAME}"}} 0\n' in metrics
    assert "oidc_exporter_on_demand_probes_total 1.0\n" in metrics
    assert 'oidc_exporter_probe_requests_total{answer="probed"} 1.0\n' in metrics


async def test_too_many_callers_are_told_to_come_back(good: Issuer) -> None:
    async with window(good, most_callers=0) as at:
        response = await at.get(NAME)

        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert await response.text() == "too many wait for a probe already\n"


def test_callers_leave_connections_to_scrapes_and_health_checks() -> None:
    """A crowd that waits for a slow issuer must not look like an exporter that is down."""
    assert MOST_CALLERS + MOST_REQUESTS < MOST_CONNECTIONS


async def test_a_probe_is_not_made_for_its_head(bench: Bench) -> None:
    served: list[str] = []
    async with window(entry(bench, bench.serve(counting(served)))) as at:
        assert (await at.browser.head("/probe", params={"target": NAME})).status == 405
        assert (await at.browser.post("/probe", params={"target": NAME})).status == 405
    assert served == []


async def test_below_the_proxys_path_it_is_there_as_well(good: Issuer) -> None:
    async with window(good, prefix="/oidc") as at:
        response = await at.browser.get("/oidc/probe", params={"target": NAME})

        assert response.status == 200


async def test_other_parameters_of_a_blackbox_scrape_mean_nothing(good: Issuer) -> None:
    async with window(good) as at:
        params = {"target": NAME, "module": "http_2xx", "debug": "true"}
        response = await at.browser.get("/probe", params=params)

        assert "\nprobe_success 1\n" in await response.text()


@pytest.mark.parametrize("header", ["soon", "", "-1", "0", "nan", "inf"])
async def test_a_time_that_is_none_is_refused(header: str, good: Issuer) -> None:
    async with window(good) as at:
        response = await at.get(NAME, **{TIMEOUT_HEADER: header})

        assert response.status == 400
        assert "want seconds, got" in await response.text()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 120.0),
        ("10", 9.5),
        ("10.000000", 9.5),
        ("1", 0.5),
        ("0.4", 0.2),
        ("1e9", 600.0),
    ],
)
def test_a_moment_of_the_scrapers_time_is_kept_for_the_answer(
    header: str | None, seconds: float
) -> None:
    assert allowed_seconds(header) == seconds
