"""The demo's alerts: the shipped files on this machine, or what it would take."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from exporter.demo import alerting, programs, stack, wiring
from exporter.demo.pager import Pager
from exporter.demo.programs import Program, free_address, free_port
from exporter.demo.wiring import Addresses, alertmanager_config, prometheus_config
from tests.daemon import environment
from tests.stack import ask, tool, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = Path(sys.executable).parent / "oidc-issuer-exporter"
ADDRESSES = Addresses(
    exporter="127.0.0.1:1", prometheus="127.0.0.1:2", alertmanager="127.0.0.1:3", receiver="r:4"
)


def shipped(path: str) -> Any:
    return yaml.safe_load((wiring.DEPLOY / path).read_text())


def test_of_the_routing_nothing_is_changed_but_addresses_and_paths(tmp_path):
    """What is looked at is what will be deployed."""
    ours, theirs = (
        alertmanager_config(ADDRESSES, tmp_path),
        shipped("alertmanager/alertmanager.yaml"),
    )
    (slack,) = ours["receivers"][1]["slack_configs"]
    (url_file,) = (ours["global"]["slack_api_url_file"],)

    assert (ours["route"], ours["inhibit_rules"]) == (theirs["route"], theirs["inhibit_rules"])
    assert slack == theirs["receivers"][1]["slack_configs"][0]
    assert Path(url_file).read_text() == "http://r:4/slack"
    assert [Path(path).parent.is_dir() for path in ours["templates"]] == [True]
    assert "example.com" not in str(ours)
    assert "/etc/" not in str(ours)


def test_of_the_scraping_nothing_is_changed_but_addresses_and_paths():
    ours, theirs = prometheus_config(ADDRESSES), shipped("prometheus/prometheus.yaml")
    (job,) = ours["scrape_configs"]
    (alertmanagers,) = ours["alerting"]["alertmanagers"]

    assert ours["global"] == theirs["global"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:1"]}]
    assert alertmanagers["static_configs"] == [{"targets": ["127.0.0.1:3"]}]
    assert [path.name for path in map(Path, ours["rule_files"])] == ["oidc-*.yaml"]
    assert list(wiring.DEPLOY.glob("prometheus/rules/oidc-*.yaml"))


PAGE = {
    "event_action": "trigger",
    "payload": {
        "summary": "[CRITICAL] okta: No key.",
        "custom_details": {"firing": "Issuer: okta", "resolved": ""},
    },
}
TICKET = {
    "channel": "#oidc",
    "attachments": [{"title": "[WARNING] okta: Slow.", "text": "p95 is 4 s"}],
}
NOTE = {
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "OIDCKeyRotationObserved", "issuer": "okta"},
            "annotations": {"summary": "New keys."},
        }
    ],
}


async def test_every_message_is_printed_but_signs_of_life_only_once():
    printed: list[str] = []
    async with TestClient(TestServer(Pager(printed.append).application())) as client:
        answers = [
            (await client.post(path, json=message)).status
            for path, message in (
                ("/webhook/watchdog", NOTE),
                ("/webhook/watchdog", NOTE),
                ("/pagerduty", PAGE),
                ("/slack", TICKET),
                ("/webhook/log", NOTE),
            )
        ]

    assert answers == [200, 200, 202, 200, 200]
    alive, page, ticket, note = (
        "\n".join(text.split("\n")[1:5]).replace("-", "") for text in printed
    )
    assert "from a rule in Prometheus to this receiver" in alive
    assert page == " The pager gets \n(trigger) [CRITICAL] okta: No key.\n\nIssuer: okta"
    assert ticket == " Slack gets \n#oidc [WARNING] okta: Slow.\n\np95 is 4 s"
    assert note.endswith("firing, 1 alerts\n\nfiring OIDCKeyRotationObserved okta: New keys.")


def test_a_package_without_its_repository_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(alerting, "is_shipped", lambda: False)
    with alerting.alerting("http://127.0.0.1:1") as text:
        assert text.startswith("No alerts here: the folder deploy/ of the project's repository")


def test_a_folder_without_our_files_is_not_ours(tmp_path):
    assert wiring.is_shipped()
    assert not wiring.is_shipped(tmp_path)


def test_a_machine_without_the_programs_is_told_the_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with alerting.alerting("http://127.0.0.1:1") as text:
        assert text.endswith(
            "apt-get install --no-install-recommends prometheus prometheus-alertmanager"
        )


def stubborn(folder: Path, script: str) -> None:
    """Programs that are installed and do not do what they are for."""
    for name in ("prometheus", "prometheus-alertmanager"):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def test_a_program_that_does_not_start_says_why(monkeypatch, tmp_path, capfd):
    stubborn(tmp_path, "echo 'unknown flag --web.listen-address' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with alerting.alerting("http://127.0.0.1:1") as text:
        assert text == "No alerts here, for the reason above."

    assert capfd.readouterr().err == (
        "alertmanager did not start\nunknown flag --web.listen-address\n"
    )


def test_a_free_port_is_none_that_somebody_gets_by_chance(monkeypatch):
    """Neither a connection nor a server without a wish may have it before the program does."""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    monkeypatch.setattr(programs, "_PORTS", range(19_000, 19_100))
    with ExitStack() as taken:
        port = free_port()
        for other in {*range(19_000, 19_100)} - {port}:
            with suppress(OSError):
                taken.enter_context(socket.create_server(("127.0.0.1", other)))

        assert port < int(ephemeral.split()[0])
        assert free_port() == port

        with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="hardly"):
            free_port()


async def test_a_program_that_does_not_end_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(stack, "_START_SECONDS", 0.5)
    monkeypatch.setattr(stack, "_STOP_SECONDS", 0.1)
    script = tmp_path / "stubborn"
    script.write_text("#!/bin/sh\ntrap '' TERM\necho busy\nwhile :; do sleep 0.05; done\n")
    script.chmod(0o755)
    deaf = Program(name="deaf", command=(str(script),), address=free_address())

    with pytest.raises(RuntimeError, match="deaf did not start\nbusy"):
        async with stack.running(tmp_path, deaf):
            pass


def test_a_parent_that_changes_its_mind_leaves_nothing_behind(tmp_path):
    """The programs need not have started when the demo is told to end."""
    pids = tmp_path / "pids"
    stubborn(tmp_path, f"echo $$ >>{pids}; exec sleep 60")
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "exporter.demo.stack", "127.0.0.1:1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert until(pids.exists)
    said, _ = child.communicate(timeout=15)

    assert (child.returncode, said) == (0, b"")
    assert until(lambda: not any(psutil.pid_exists(int(p)) for p in pids.read_text().split()))


@pytest.fixture
def demo(tmp_path: Path, unused_tcp_port: int) -> Iterator[tuple[Any, Callable[[], str]]]:
    tool("prometheus", "prometheus")
    tool("prometheus-alertmanager", "prometheus-alertmanager")
    output = tmp_path / "output"
    listen = f"--web.listen-address=127.0.0.1:{unused_tcp_port}"
    with output.open("wb") as stream:
        running = subprocess.Popen(
            [COMMAND, "demo", listen, "--interval=2s"],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
    yield running, lambda: output.read_text(encoding="utf-8")
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


WATCHDOG = {"alertname": "OIDCExporterWatchdog", "kind": "watchdog", "severity": "none"}


def test_the_demo_runs_the_shipped_rules_and_prints_what_is_delivered(demo):
    """From the scrape to the printed message, and nothing is left when it ends."""
    running, text = demo
    assert until(lambda: "Ctrl-C ends" in text()), text()
    rules, alerts = re.findall(
        r"(http://127\.0\.0\.1:\d+)(?:/alerts$| alert$)", text(), re.MULTILINE
    )
    groups = ask(f"{rules}/api/v1/rules")["data"]["groups"]
    ask(f"{alerts}/api/v2/alerts", [{"labels": WATCHDOG}])
    others = psutil.Process(running.pid).children(recursive=True)
    names = {one.name() for one in others}

    def is_wired() -> bool:
        found = ask(f"{rules}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        return [urlsplit(one["url"]).netloc for one in found] == [urlsplit(alerts).netloc]

    assert {group["name"] for group in groups} >= {"oidc-issuers", "oidc-exporters"}
    assert until(lambda: "The dead man's switch gets" in text()), text()
    assert until(is_wired)
    (target,) = until(lambda: ask(f"{rules}/api/v1/targets")["data"]["activeTargets"])
    assert target["scrapeUrl"] in text()
    assert target["health"] != "down"
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(15) == 0
    assert {"prometheus", "prometheus-alertmanager"} <= names
    assert not [one.pid for one in others if one.is_running() and one.status() != "zombie"]
    assert "Traceback" not in text()
    assert "Warning:" not in text()
