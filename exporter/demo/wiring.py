"""The shipped configuration of Prometheus and Alertmanager, pointed at this machine.

The rules, the routing, the inhibition and the templates stay as they are; what is changed
are addresses, and the paths of files that are not where a server would have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: Beside the package in a checkout; a wheel does not bring it.
DEPLOY = Path(__file__).parents[2] / "deploy"

_PROMETHEUS = Path("prometheus/prometheus.yaml")
_ALERTMANAGER = Path("alertmanager/alertmanager.yaml")

#: Where the shipped configuration of Alertmanager keeps its secrets.
_SECRETS = "/etc/alertmanager/secrets/"

# Ports by which the shipped configuration knows who is meant.
_EXPORTER, _PROMETHEUS_PORT, _ALERTMANAGER_PORT = "10184", "9090", "9093"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who listens where, as host:port."""

    exporter: str
    prometheus: str
    alertmanager: str
    receiver: str


def is_shipped(deploy: Path = DEPLOY) -> bool:
    """Whether *deploy* has what is to be wired."""
    return all((deploy / path).is_file() for path in (_PROMETHEUS, _ALERTMANAGER))


def prometheus_config(addresses: Addresses, deploy: Path = DEPLOY) -> dict[str, Any]:
    """The shipped scrape configuration and rules, with *addresses* for its targets."""
    shipped = deploy / _PROMETHEUS
    config: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    targets = {
        _EXPORTER: addresses.exporter,
        _PROMETHEUS_PORT: addresses.prometheus,
        _ALERTMANAGER_PORT: addresses.alertmanager,
    }
    places = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    for group in (group for place in places for group in place["static_configs"]):
        group["targets"] = [targets[target.rpartition(":")[2]] for target in group["targets"]]
    config["rule_files"] = [str(shipped.parent / path) for path in config["rule_files"]]
    return config


def alertmanager_config(
    addresses: Addresses, folder: Path, deploy: Path = DEPLOY
) -> dict[str, Any]:
    """The shipped routing, with every receiver at `addresses.receiver`.

    PagerDuty's and Slack's messages go to `/pagerduty` and `/slack` there, a webhook's to
    `/webhook/<name of the receiver>`. The secrets are files in *folder*, made here.
    """
    shipped = deploy / _ALERTMANAGER
    text = shipped.read_text(encoding="utf-8").replace(_SECRETS, f"{folder}/")
    config: dict[str, Any] = yaml.safe_load(text)
    base = f"http://{addresses.receiver}"
    config["templates"] = [str(shipped.parent / path) for path in config["templates"]]
    config["global"]["pagerduty_url"] = f"{base}/pagerduty"
    for receiver in config["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            webhook["url"] = f"{base}/webhook/{receiver['name']}"
            Path(webhook["http_config"]["authorization"]["credentials_file"]).write_text("demo")
        for pager in receiver.get("pagerduty_configs", []):
            Path(pager["routing_key_file"]).write_text("demo")
    Path(config["global"]["slack_api_url_file"]).write_text(f"{base}/slack")
    return config
