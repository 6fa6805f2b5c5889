"""From a broken issuer to the message that a person gets, and to the one that it is over.

The real daemon probes real HTTPS issuers; the shipped rules run in a real Prometheus, the
shipped routing, inhibition and texts in a real Alertmanager. The only thing that is not as
in earnest is time: see `faster`.
"""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.demo.programs import alertmanager, free_address, free_port, prometheus
from exporter.demo.wiring import DEPLOY, Addresses, alertmanager_config, prometheus_config
from exporter.durations import parse_duration
from tests.authority import server_context
from tests.daemon import daemon
from tests.probing import DISCOVERY_PATH, KEYS, URL, discovery
from tests.servers import answering, http, routed
from tests.stack import Inbox, Message, ask, faster, inbox, running, tool, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Farm

#: A minute lasts a second: probes are made every second instead of every 60.
FACTOR = 60.0
DASHBOARDS = "https://grafana.example.com/d/"
RUNBOOKS = Path(__file__).parent.parent / "docs" / "runbooks"


class Site:
    """An issuer on loopback that can be broken and mended while it is watched."""

    def __init__(self, farm: Farm, pki: Path) -> None:
        self._farm = farm
        self._pki = pki
        self._context = server_context(pki)
        self._routes: dict[str, Any] = {}
        self.mend()
        # It is given back and taken again: none that a connection may get meanwhile.
        self.port = farm.serve(routed(self._routes), self._context, port=free_port())
        self._server = farm._open[-1]

    def mend(self) -> None:
        self._answer(http(discovery()), http(KEYS))

    def _answer(self, document: Any, keys: Any) -> None:
        self._routes |= {DISCOVERY_PATH: document, "/jwks": keys}

    def down(self) -> None:
        self._farm.run(self._farm.end(self._server))
        # Bound and not listened on: nobody else gets the port, and the kernel refuses.
        self._port_kept = socket.socket()
        self._port_kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port_kept.bind(("127.0.0.1", self.port))

    def up(self) -> None:
        self._port_kept.close()
        self._farm.serve(routed(self._routes), self._context, port=self.port)

    def slow(self) -> None:
        self._answer(answering(0.3, http(discovery())), answering(0.3, http(KEYS)))

    def no_cache(self) -> None:
        headers = "Content-Type: application/json\r\nCache-Control: no-cache\r\n"
        self._answer(http(discovery()), http(KEYS, headers=headers))

    def emptied(self) -> None:
        self._answer(http(discovery()), http(json.dumps({"keys": []})))

    def expired(self) -> None:
        self._swap("expired")

    def renewed(self) -> None:
        self._swap("good")

    def _swap(self, vice: str) -> None:
        server_context(self._pki, vice)  # writes the file
        self._context.load_cert_chain(self._pki / f"{vice}.pem")


@dataclass(frozen=True)
class Outage:
    """A way to break, what mends it, and the one message that should come of it."""

    how: str
    mending: str
    path: str
    alert: str
    cause: str


OUTAGES = {
    "down": Outage("down", "up", "/pagerduty", "OIDCIssuerUnusable", "discovery tcp/refused"),
    "slow": Outage("slow", "mend", "/pagerduty", "OIDCIssuerOverBudget", "budget/exceeded"),
    "uncached": Outage("no_cache", "mend", "/slack", "OIDCJWKSNotCacheable", "no-cache"),
    "emptied": Outage("emptied", "mend", "/pagerduty", "OIDCIssuerUnusable", "jwks keys/empty"),
    "expired": Outage(
        "expired", "renewed", "/pagerduty", "OIDCIssuerUnusable", "discovery tls/expired"
    ),
}
#: What Alertmanager knows besides, and tells nobody.
KEPT_SILENT = {
    "down": {"OIDCIssuerConnectFailing"},
    "emptied": {"OIDCIssuerNoUsableKeys"},
    "expired": {"OIDCIssuerTLSFailing"},
}
LATE = {"interval": "2s", "budget": "500ms", "timeout": "1900ms"}
#: Beside them one that stays well, and must never be heard of.
WELL = "well"


@dataclass
class World:
    """Everything that runs, and what has been delivered."""

    sites: dict[str, Site]
    prometheus: str
    alertmanager: str
    inbox: Inbox

    def about(self, name: str) -> list[Message]:
        """Messages about an issuer that wake or bother somebody: all but the log's notes."""
        messages = list(self.inbox.messages)
        return [m for m in messages if m.issuer == name and m.path != "/webhook/log"]

    def is_over(self, name: str) -> bool:
        return self.about(name)[-1].is_resolved

    def value(self, query: str) -> list[dict[str, Any]]:
        url = f"{self.prometheus}/api/v1/query?query={query}"
        found: list[dict[str, Any]] = ask(url)["data"]["result"]
        return found


def daemon_config(sites: dict[str, Site], pki: Path) -> dict[str, Any]:
    return {
        "defaults": {"interval": "1s", "ca_file": str(pki / "root.pem")},
        "issuers": [
            {
                "url": URL,
                "name": name,
                "connect_to": f"127.0.0.1:{site.port}",
                "labels": {"team": "identity"},
                # A tenth of STS's own limit, with room up to the timeout for a busy machine.
                **(LATE if name == "slow" else {}),
            }
            for name, site in sites.items()
        ],
    }


def hurried(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Prometheus's configuration and rules, `FACTOR` times faster, the rules in *folder*."""
    files = [Path(path) for pattern in config["rule_files"] for path in matching(pattern)]
    for path in files:
        rules = faster(yaml.safe_load(path.read_text()), FACTOR)
        (folder / path.name).write_text(json.dumps(rules))
    quick: dict[str, Any] = faster(config, FACTOR)
    quick["rule_files"] = [str(folder / path.name) for path in files]
    # A scrape on a busy machine takes as long as it does in earnest.
    for place in (quick["global"], *quick["scrape_configs"]):
        place.pop("scrape_timeout", None)
    return quick


def matching(pattern: str) -> list[Path]:
    return sorted(Path(pattern).parent.glob(Path(pattern).name))


@pytest.fixture
def world(tmp_path: Path, farm: Farm, pki: Path) -> Iterator[World]:
    tool("prometheus", "prometheus")
    tool("prometheus-alertmanager", "prometheus-alertmanager")
    sites = {name: Site(farm, pki) for name in (*OUTAGES, WELL)}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(daemon_config(sites, pki)))
    with ExitStack() as stack:
        kept = stack.enter_context(inbox())
        exporter = stack.enter_context(daemon(tmp_path, config))
        addresses = Addresses(
            exporter=exporter.base.removeprefix("http://"),
            prometheus=free_address(),
            alertmanager=free_address(),
            receiver=kept.address,
        )
        routing = faster(alertmanager_config(addresses, tmp_path), FACTOR)
        scraping = hurried(prometheus_config(addresses), tmp_path)
        alerts = stack.enter_context(
            running(tmp_path, alertmanager(tmp_path, routing, addresses.alertmanager))
        )
        rules = stack.enter_context(
            running(tmp_path, prometheus(tmp_path, scraping, addresses.prometheus))
        )
        yield World(sites, rules, alerts, kept)


def told(world: World) -> str:
    """Everything that was delivered, for whoever has to find out why a test failed."""
    messages = list(world.inbox.messages)
    start = messages[0].at if messages else 0.0
    return "\n".join(f"{m.at - start:6.1f} {m.path} {m.title}" for m in messages)


def suppressed(world: World) -> dict[str, set[str]]:
    """What Alertmanager knows of each broken issuer and keeps to itself."""
    found: dict[str, set[str]] = {}
    for alert in ask(f"{world.alertmanager}/api/v2/alerts"):
        issuer = alert["labels"].get("issuer")
        if alert["status"]["state"] == "suppressed" and issuer in OUTAGES:
            found.setdefault(issuer, set()).add(alert["labels"]["alertname"])
    return found


def causes() -> set[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus/rules/oidc-alerts.yaml").read_text())
    alerts = [alert for group in rules["groups"] for alert in group["rules"]]
    return {a["alert"] for a in alerts if a["labels"]["kind"] == "cause"}


def is_about_the_budget(message: Message) -> bool:
    """A ticket about the error budget follows a long outage an hour after it began.

    It is another matter, with another text: that much of the month's budget is gone.
    """
    return "(OIDCIssuerErrorBudgetBurn, warning)" in message.text


def linked(message: Message) -> list[str]:
    """Files and headings of this repository that a message leads to."""
    return re.findall(r"/blob/main/docs/runbooks/([\w.#-]+)", message.text)


def test_a_broken_issuer_is_one_message_and_another_one_when_it_is_mended(world):
    usable = "issuer:oidc_usable:bool==1"
    assert until(lambda: len(world.value(usable)) == len(world.sites)), world.value(usable)
    assert until(lambda: world.inbox.at("/webhook/watchdog")), told(world)

    began = time.time()
    for name, outage in OUTAGES.items():
        getattr(world.sites[name], outage.how)()
    assert until(lambda: all(world.about(name) for name in OUTAGES), 60), told(world)
    # On a busy machine Prometheus may be late to repeat what Alertmanager keeps to itself.
    assert until(lambda: suppressed(world) == KEPT_SILENT), suppressed(world)
    for name, outage in OUTAGES.items():
        getattr(world.sites[name], outage.mending)()
    for name in OUTAGES:
        assert until(partial(world.is_over, name), 45), told(world)
    # A quarter of an hour more: nothing that is only an echo comes now.
    until(lambda: False, parse_duration("15m") / FACTOR)

    assert world.about(WELL) == []
    for name, outage in OUTAGES.items():
        messages = [m for m in world.about(name) if not is_about_the_budget(m)]
        assert [(m.path, m.is_resolved) for m in messages] == [
            (outage.path, False),
            (outage.path, True),
        ], told(world)
        first, last = messages
        assert f"({outage.alert}, " in first.text
        assert outage.cause in first.text
        assert f"Issuer: {name}\nTeam: identity\nAlerting since: 20" in first.text
        assert f"{DASHBOARDS}oidc-issuer?var-issuer={name}" in first.text
        assert f"{outage.alert}.md" in linked(first)
        assert [link for link in linked(first) if not is_there(link)] == []
        assert not [alert for alert in causes() if f"({alert}, " in first.text + last.text]
        assert first.at - began < 60


def is_there(link: str) -> bool:
    """Whether a runbook exists, and the heading in it."""
    page, _, anchor = link.partition("#")
    text = (RUNBOOKS / page).read_text() if (RUNBOOKS / page).is_file() else ""
    return bool(text) and (not anchor or f'id="{anchor}"' in text)
