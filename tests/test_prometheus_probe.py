"""A real Prometheus keeps the time, by the scrape configuration that is shipped for it."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from exporter.demo.programs import free_address, prometheus
from exporter.durations import parse_duration
from exporter.exposition import Format
from exporter.families import FAMILIES
from exporter.reply import PROBE_METRICS
from tests import builders
from tests.daemon import daemon
from tests.probing import KEYS, URL
from tests.servers import answering, http
from tests.stack import ask, running, tool, until

if TYPE_CHECKING:
    from tests.probing import Bench

SHIPPED = Path(__file__).parent.parent / "deploy" / "prometheus" / "prometheus-probe.yaml"
#: Far from its own ticks: what is seen came by /probe.
RARE = {"interval": "1d"}


def configuration(folder: Path, bench: Bench) -> Path:
    """A good issuer, one that forbids, and one that says nothing."""
    ca = {"ca_file": str(bench.pki / "root.pem")}
    forbidding = bench.serve(http("{}", "403 Forbidden"))
    silent = bench.serve(answering("stall"))
    issuers = [
        {"name": "good", "connect_to": f"127.0.0.1:{bench.serve()}"},
        {"name": "forbidding", "connect_to": f"127.0.0.1:{forbidding}"},
        {"name": "silent", "connect_to": f"127.0.0.1:{silent}", "timeout": "60s"},
    ]
    content = {"defaults": RARE, "issuers": [{"url": URL, **ca, **i} for i in issuers]}
    path = folder / "config.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def scrape_configs(exporter: str) -> list[dict[str, Any]]:
    """The shipped jobs, with our targets and in a hurry, and nothing else changed."""
    text = SHIPPED.read_text(encoding="utf-8").replace("localhost:10184", exporter)
    probe, own = yaml.safe_load(text)["scrape_configs"]
    probe["static_configs"] = [{"targets": ["good", "forbidding", "silent", "nobody"]}]
    probe |= {"scrape_interval": "3s", "scrape_timeout": "2s"}
    own |= {"scrape_interval": "1s"}
    return [probe, own]


def series(api: str, query: str) -> dict[str, float]:
    """What *query* gives now, by name, instance and the labels that tell an answer."""
    url = f"{api}/api/v1/query?query={urllib.request.quote(query)}"  # type: ignore[attr-defined]
    return {
        "/".join(
            labels[name]
            for name in ("__name__", "instance", "answer", "reason")
            if name in (labels := found["metric"])
        ): float(found["value"][1])
        for found in ask(url)["data"]["result"]
    }


def all_of(found: dict[str, float]) -> dict[str, float] | None:
    """*found*, once every target has been asked."""
    return found if sum(name.startswith("up/") for name in found) == 4 else None


def test_prometheus_asks_for_each_issuer_and_gets_its_answer(
    tmp_path: Path, bench: Bench
) -> None:
    with daemon(tmp_path, configuration(tmp_path, bench)) as exporter:
        tool("prometheus", "prometheus")
        jobs = {"scrape_configs": scrape_configs(exporter.base.removeprefix("http://"))}
        with running(tmp_path, prometheus(tmp_path, jobs, free_address())) as api:
            found = until(lambda: all_of(series(api, '{job="oidc-issuer-probe"}')))
            assert found, exporter.log_file.read_text()
            own = until(
                lambda: series(api, '{job="oidc-issuer-exporter", __name__!~"up|scr.+"}')
            )

    assert {
        name: found[f"up/{name}"] for name in ("good", "forbidding", "silent", "nobody")
    } == {
        **dict.fromkeys(("good", "forbidding", "silent"), 1),
        "nobody": 0,
    }
    successes = {k: v for k, v in found.items() if k.startswith("probe_success/")}
    assert successes == {
        "probe_success/good": 1,
        "probe_success/forbidding": 0,
        "probe_success/silent": 0,
    }
    assert found["oidc_probe_answer_info/silent/timeout"] == 1
    assert found["oidc_probe_failure_info/forbidding/forbidden"] == 1
    # The exporter's own job brings no second word on any issuer.
    assert own
    assert {name.partition("_")[0] for name in own} == {"oidc", "process", "python"}
    assert not [name for name in own if re.match("oidc_(?!exporter_)", name)]


def test_the_exporters_own_job_drops_every_family_of_the_issuers() -> None:
    """Or a new one would be a second vote."""
    (rule,) = yaml.safe_load(SHIPPED.read_text())["scrape_configs"][1]["metric_relabel_configs"]

    assert rule["action"] == "drop"
    names = [name for family in FAMILIES for name in family.series_names]
    assert [name for name in names if not re.fullmatch(rule["regex"], name)] == []
    assert not re.fullmatch(rule["regex"], "oidc_exporter_issuers")


def test_a_probe_ends_before_the_shipped_time_is_over() -> None:
    probe = yaml.safe_load(SHIPPED.read_text())["scrape_configs"][0]
    patience = parse_duration(probe["scrape_timeout"])

    assert builders.issuer().timeout_seconds < patience - 0.5
    assert patience <= parse_duration(probe["scrape_interval"])


async def test_the_borrowed_names_mean_what_they_mean_to_blackbox_exporter(
    tmp_path: Path, bench: Bench
) -> None:
    """Both are asked about one key set, by names and values."""
    port = bench.serve()
    with daemon(tmp_path, configured(tmp_path, bench, port)) as exporter:
        ours = numbers(exporter.ask("/probe?target=good")[1])
    module = {
        "prober": "http",
        "http": {
            "tls_config": {"insecure_skip_verify": True},
            "preferred_ip_protocol": "ip4",
            "enable_http2": False,
        },
    }
    config = tmp_path / "blackbox.yaml"
    config.write_text(json.dumps({"modules": {"http_2xx": module}}))
    name = "prometheus-blackbox-exporter"
    address = free_address()
    flags = (f"--config.file={config}", f"--web.listen-address={address}", "--log.level=error")
    process = await asyncio.create_subprocess_exec(tool(name, name), *flags)
    try:
        text = await answer(f"http://{address}/probe?target=https://127.0.0.1:{port}/jwks")
    finally:
        process.terminate()
        await process.wait()
    theirs = numbers(text)

    borrowed = {metric.name for metric in PROBE_METRICS if metric.name.startswith("probe_")}
    told = {re.split(r"[{ ]", line)[0] for line in theirs}
    assert borrowed - told <= {"probe_timeout_seconds"}, "told since 0.26 only"
    same = [
        *("probe_success", "probe_http_status_code", "probe_http_ssl", "probe_ip_protocol"),
        *("probe_http_uncompressed_body_length", "probe_ssl_earliest_cert_expiry"),
        'probe_tls_version_info{version="TLS 1.3"}',
    ]
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert ours["probe_http_uncompressed_body_length"] == len(KEYS)
    phases = {line for line in theirs if line.startswith("probe_http_duration_seconds{")}
    assert phases == {line for line in ours if line.startswith("probe_http_duration_seconds{")}


def configured(folder: Path, bench: Bench, port: int) -> Path:
    path = folder / "config.yaml"
    issuer = {"url": URL, "name": "good", "connect_to": f"127.0.0.1:{port}", **RARE}
    issuer["ca_file"] = str(bench.pki / "root.pem")
    path.write_text(json.dumps({"issuers": [issuer]}), encoding="utf-8")
    return path


def numbers(text: str) -> dict[str, float]:
    """Every sample, by all that stands before its number."""
    lines = (line for line in text.splitlines() if line and line[0] != "#")
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def answer(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            try:
                async with session.get(url, headers={"Accept": Format.TEXT.value}) as response:
                    return await response.text()
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    pytest.fail("blackbox_exporter does not answer")
