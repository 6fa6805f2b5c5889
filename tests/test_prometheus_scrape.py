"""A real Prometheus scrapes what we serve, and gives every series back.

Nobody's parser matters as much as the one that will read these metrics in earnest.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from exporter.catalogue import METRICS, NAMES
from exporter.demo.programs import free_address
from exporter.exposition import Format, handler
from exporter.families import FAMILIES
from exporter.metric import Type
from tests import scrapes

PATIENCE_SECONDS = 60.0


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install prometheus")
    return found


@asynccontextmanager
async def exporter(store):
    """A server with the exposition as it is, and one path that speaks the older format."""
    serve = handler(store, store.own)

    async def older(request):
        return await serve(request.clone(headers={"Accept": "text/plain"}))

    app = web.Application()
    app.router.add_get("/metrics", serve)
    app.router.add_get("/older", older)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def prometheus(folder, target: str):
    """A Prometheus that scrapes *target*, until the block is left; yields its API's URL."""
    jobs = [
        {
            "job_name": job,
            "metrics_path": path,
            "scrape_interval": "1s",
            "static_configs": [{"targets": [target]}],
        }
        for job, path in (("openmetrics", "/metrics"), ("older", "/older"))
    ]
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": jobs}))
    address = free_address()
    process = await asyncio.create_subprocess_exec(
        tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    )
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        await process.wait()


async def ask(session, url: str, **parameters: str):
    """What the API answers, or None while it does not."""
    try:
        async with session.get(url, params=parameters) as response:
            return (await response.json())["data"] if response.status == 200 else None
    except aiohttp.ClientError:
        return None


async def targets_up(session, api: str):
    """The two targets, once both have been scraped or refused."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience:
        found = await ask(session, f"{api}/targets")
        targets = found["activeTargets"] if found else []
        if len(targets) == 2 and all(target["health"] != "unknown" for target in targets):
            return targets
        await asyncio.sleep(0.1)
    pytest.fail("Prometheus has not scraped within its patience")


def known(labels) -> frozenset[tuple[str, str]]:
    """The labels that are ours; to Prometheus an empty one is none."""
    return frozenset(
        (name, value)
        for name, value in labels.items()
        if value and name not in {"__name__", "job", "instance"}
    )


async def stored(session, api: str, job: str):
    """Every series of a job in Prometheus, by name and labels, with its value."""
    answer = await ask(session, f"{api}/query", query=f'{{job="{job}"}}')
    return {
        (series["metric"]["__name__"], known(series["metric"])): float(series["value"][1])
        for series in answer["result"]
    }


async def test_prometheus_stores_every_series_as_it_was_told(tmp_path):
    """In both formats, packed or not as it asks for; values compared to the last bit."""
    store = scrapes.store()
    store.own.loaded(vantage="here", config_sha256="c" * 64, at=1.0)
    told = {
        (sample.name, known(sample.labels)): sample.value
        for family in text_string_to_metric_families(await scrapes.scrape(store))
        for sample in family.samples
        if not sample.name.startswith(("oidc_exporter_render", "process_", "python_gc"))
    }

    async with (
        exporter(store) as target,
        prometheus(tmp_path, target) as api,
        aiohttp.ClientSession() as session,
    ):
        targets = await targets_up(session, api)
        assert [(target["health"], target["lastError"]) for target in targets] == [
            ("up", "")
        ] * 2
        for job in ("openmetrics", "older"):
            kept = await stored(session, api, job)
            assert {series: kept.get(series) for series in told} == told
            assert {name for name, _ in kept} >= NAMES
            strangers = {name for name, _ in kept} - NAMES
            assert all(name == "up" or name.startswith("scrape_") for name in strangers)
        metadata = await ask(session, f"{api}/metadata")

    assert {family.name for family in FAMILIES} <= {metric.name for metric in METRICS}
    for family in FAMILIES:
        # Both jobs speak of a gauge by one name; a counter has another one in OpenMetrics.
        told_of = metadata[family.name]
        assert {entry["type"] for entry in told_of} == {family.type}
        assert {entry["help"] for entry in told_of} == {family.help}
        if family.type is Type.COUNTER:
            assert family.name.removesuffix("_total") in metadata


async def test_promtool_has_nothing_to_say_about_the_metrics():
    """It judges names, types and help by Prometheus's own conventions."""
    store = scrapes.store()
    store.own.loaded(vantage="here", config_sha256="c" * 64, at=1.0)
    text = await scrapes.scrape(store, Format.TEXT)

    checked = subprocess.run(  # noqa: ASYNC221
        [tool("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
