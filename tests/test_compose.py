"""The stack of containers: what it mounts is there, and says what the shipped files say.

No container runs here. What a container would read is read instead.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from exporter.arguments import parse
from exporter.config import load

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy/compose"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


STACK = read(FOLDER / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
MOUNTS = [
    (name, *volume.split(":"))
    for name, service in SERVICES.items()
    for volume in service["volumes"]
]
BOUND = [mount for mount in MOUNTS if mount[1].startswith(".")]
each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.mark.parametrize("mount", BOUND, ids=lambda mount: ":".join(mount[:2]))
def test_what_is_mounted_is_there_and_cannot_be_written(mount):
    """Docker would make a folder of a name that is missing, and say nothing."""
    _, source, _, *options = mount
    found = (FOLDER / source).resolve()

    assert found.exists()
    assert found.is_relative_to(ROOT)
    assert options == ["ro"]


def test_every_volume_is_declared_and_used():
    named = {source for _, source, *_ in MOUNTS if not source.startswith(".")}

    assert named == set(STACK["volumes"])


@each_service
def test_an_image_is_held_at_one_version(name):
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


@each_service
def test_a_service_has_no_privileges_and_cannot_write_its_root(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "user", "network_mode", "pid", "devices"} & set(
        service
    )


@each_service
def test_a_service_is_asked_for_its_health_without_a_shell(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@each_service
def test_a_port_is_open_to_this_host_alone(name):
    assert [port for port in SERVICES[name]["ports"] if not port.startswith("127.0.0.1:")] == []


def test_the_exporter_is_the_one_of_this_checkout():
    exporter = SERVICES["exporter"]
    build = exporter["build"]

    assert exporter["image"].endswith(f":{__version__}")
    assert build["args"] == {"VERSION": __version__}
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_the_exporter_understands_its_flags_and_its_configuration():
    options = parse(SERVICES["exporter"]["command"])
    ((_, source, target, _),) = (mount for mount in MOUNTS if mount[0] == "exporter")
    (config,) = options.config_files

    loaded = load([FOLDER / source / config.relative_to(target)])

    assert options.auto_reload_seconds == 30
    assert {issuer.name for issuer in loaded.issuers} == {"github-actions", "gitlab"}


@pytest.mark.parametrize(
    ("copy", "shipped"),
    [
        ("prometheus.yaml", "deploy/prometheus/prometheus.yaml"),
        ("datasource.yaml", "grafana/provisioning/datasources/prometheus.yaml"),
    ],
)
def test_a_copy_differs_by_the_names_of_services_only(copy, shipped):
    text = (FOLDER / copy).read_text(encoding="utf-8")
    used = re.findall(r"\b([a-z]+):(\d{4,5})\b", text)
    ports = {name: service["ports"][0].split(":")[-1] for name, service in SERVICES.items()}

    assert used
    assert all(ports[name] == port for name, port in used)
    assert yaml.safe_load(re.sub(r"\b[a-z]+(:\d{4,5})\b", r"localhost\1", text)) == read(
        ROOT / shipped
    )


def test_prometheus_finds_the_rules_where_they_are_mounted():
    (rules,) = read(FOLDER / "prometheus.yaml")["rule_files"]
    ((_, source, *_),) = (mount for mount in MOUNTS if mount[2] == "/etc/prometheus/rules")

    assert rules.startswith("rules/")
    assert list((FOLDER / source).glob(rules.removeprefix("rules/")))


def test_alertmanagers_secrets_are_listed_and_kept_out_of_git():
    """By the names under which its configuration looks for them."""
    config = (ROOT / "deploy/alertmanager/alertmanager.yaml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"/etc/alertmanager/secrets/([\w-]+)", config))
    listed = (FOLDER / "secrets/README.md").read_text(encoding="utf-8")

    assert set(re.findall(r"(?m)^\| `([\w-]+)` \|", listed)) == wanted
    assert (FOLDER / "secrets/.gitignore").read_text(encoding="utf-8").startswith("/*\n")


def test_grafana_finds_the_dashboards_where_they_are_mounted():
    (provider,) = read(ROOT / "grafana/provisioning/dashboards/oidc.yaml")["providers"]

    assert provider["options"]["path"] in {mount[2] for mount in MOUNTS}
