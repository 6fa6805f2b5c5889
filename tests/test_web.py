"""What the exporter answers, asked by a real client over a real socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter import __version__
from exporter.config import ConfigError
from exporter.config.problems import Problem
from exporter.store import Store
from exporter.web.routes import Site, application
from tests import builders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse


async def no_reload() -> None:
    raise AssertionError("nobody asked for it")


@asynccontextmanager
async def client(**changes: Any) -> AsyncIterator[TestClient[Any, Any]]:
    store = Store()
    store.keep([builders.issuer()])
    store.record(builders.report(), is_final=True)
    facts = {"store": store, "waiting": lambda: (), "reload": no_reload, **changes}
    async with TestClient(TestServer(application(Site(**facts)))) as browser:
        yield browser


async def answer(response: ClientResponse) -> tuple[int, str]:
    return response.status, await response.text()


async def test_metrics_are_at_their_path() -> None:
    async with client() as browser:
        status, text = await answer(await browser.get("/metrics"))

    assert status == 200
    assert 'oidc_probe_success{issuer="acme"} 1' in text


async def test_metrics_may_be_elsewhere() -> None:
    async with client(telemetry_path="/m") as browser:
        assert (await browser.get("/m")).status == 200
        assert (await browser.get("/metrics")).status == 404
        assert '<a href="/m">' in await (await browser.get("/")).text()


async def test_metrics_may_take_the_place_of_the_page() -> None:
    async with client(telemetry_path="/", prefix="/oidc") as browser:
        for path in ("/", "/oidc/"):
            status, text = await answer(await browser.get(path))
            assert (status, "# HELP" in text) == (200, True)


async def test_the_page_shows_the_issuers() -> None:
    async with client() as browser:
        response = await browser.get("/")
        text = await response.text()

    assert response.content_type == "text/html"
    assert builders.URL.removeprefix("https://") in text
    assert '<a href="/metrics">' in text


@pytest.mark.parametrize("path", ["/-/healthy", "/healthz"])
async def test_a_running_loop_is_healthy_whatever_else_is_the_matter(path: str) -> None:
    async with client(waiting=lambda: ("acme",)) as browser:
        assert await answer(await browser.get(path)) == (200, "healthy\n")


@pytest.mark.parametrize("path", ["/-/ready", "/readyz"])
async def test_it_is_ready_when_the_first_round_is_over(path: str) -> None:
    waiting = [f"issuer-{n}" for n in range(7)]
    async with client(waiting=lambda: tuple(waiting)) as browser:
        status, text = await answer(await browser.get(path))
        waiting.clear()
        later = await answer(await browser.get(path))

    assert status == 503
    assert text == (
        "7 issuers still have to be probed once: "
        "issuer-0, issuer-1, issuer-2, issuer-3, issuer-4 and 2 more\n"
    )
    assert later == (200, "ready\n")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_reload_is_waited_for(method: str) -> None:
    reloads = []

    async def reload() -> None:
        reloads.append(method)

    async with client(reload=reload) as browser:
        assert await answer(await browser.request(method, "/-/reload")) == (200, "reloaded\n")

    assert reloads == [method]


async def test_a_refused_configuration_is_answered_with_what_is_wrong() -> None:
    async def reload() -> None:
        raise ConfigError(
            [
                Problem(
                    file=Path("a.yaml"), line=3, path="issuers[0].url", message="is missing"
                ),
                Problem(file=Path("b.yaml"), message="cannot be read"),
            ]
        )

    async with client(reload=reload) as browser:
        status, text = await answer(await browser.post("/-/reload"))

    assert status == 500
    assert text.splitlines() == [
        "The old configuration stays:",
        "a.yaml:3: issuers[0].url: is missing",
        "b.yaml: cannot be read",
    ]


async def test_reloading_over_http_has_to_be_switched_on() -> None:
    async with client(reload=None) as browser:
        status, text = await answer(await browser.post("/-/reload"))

    assert status == 403
    assert "--web.enable-lifecycle" in text


@pytest.mark.parametrize("reload", [None, no_reload])
async def test_a_reload_is_no_reading(reload: Any) -> None:
    """A crawler, or a link in a chat, must not set one off."""
    async with client(reload=reload) as browser:
        response = await browser.get("/-/reload")

    assert (response.status, response.headers["Allow"]) == (405, "POST,PUT")


async def test_below_the_proxys_path_everything_is_there_as_well() -> None:
    """The proxy may pass its path on or take it off, and Prometheus may come directly."""
    async with client(prefix="/oidc", reload=None) as browser:
        for path in ("/metrics", "/-/healthy", "/healthz", "/-/ready", "/readyz", "/"):
            assert (await browser.get(path)).status == 200
            assert (await browser.get(f"/oidc{path}")).status == 200
        assert (await browser.post("/oidc/-/reload")).status == 403
        text = await (await browser.get("/oidc")).text()

    assert '<a href="/oidc/metrics">' in text


async def test_every_answer_is_guarded_and_tells_no_versions_of_others() -> None:
    async with client() as browser:
        answers = [await browser.get(p) for p in ("/", "/metrics", "/-/ready", "/nowhere")]

    assert [response.status for response in answers] == [200, 200, 200, 404]
    for response in answers:
        assert response.headers["Server"] == f"oidc-issuer-exporter/{__version__}"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "style-src 'sha256-" in answers[0].headers["Content-Security-Policy"]


async def test_a_health_check_may_ask_for_the_head_alone() -> None:
    async with client() as browser:
        for path in ("/-/healthy", "/-/ready", "/", "/metrics"):
            assert await answer(await browser.head(path)) == (200, "")
