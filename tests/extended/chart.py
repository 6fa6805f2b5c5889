"""What Helm makes of the chart, held to the code that it runs; `make check-extended` runs this.

Helm comes as a Go program only, which not everybody has a compiler for.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter import __version__
from exporter.sharding import own_shard
from tests.extended.tools import CHART, VALUES, go_tool, template
from tests.manifests import IMAGE, NAME, ROOT, VERSIONS, Manifests, configured, problems

if TYPE_CHECKING:
    from pathlib import Path

RULES = ROOT / "deploy" / "prometheus" / "prometheusrule.yaml"
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


@cache
def rendered(values: str) -> Manifests:
    return Manifests.read(template(f"--values={CHART}/ci/{values}-values.yaml"))


def with_values(folder: Path, **values: Any) -> subprocess.CompletedProcess[str]:
    (folder / "values.yaml").write_text(yaml.dump(values))
    return subprocess.run(
        [
            *(go_tool("helm"), "template", "release", CHART),
            *("--values", folder / "values.yaml", "--kube-version", VERSIONS[-1]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


every_case = pytest.mark.parametrize("values", VALUES)


def test_helm_finds_nothing_to_complain_of():
    for path in sorted((CHART / "ci").glob("*.yaml")):
        linted = subprocess.run(
            [
                *(go_tool("helm"), "lint", "--strict", "--quiet", CHART),
                *("--values", path, "--kube-version", VERSIONS[-1]),
            ],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (linted.returncode, linted.stdout) == (0, ""), linted.stdout


@every_case
def test_a_rendering_is_sound(values):
    """Valid, restricted, and nothing in it points at something that is not there."""
    assert problems(rendered(values)) == []


@every_case
def test_the_configuration_arrives_as_one_that_the_exporter_takes(values, tmp_path):
    given = yaml.safe_load((CHART / f"ci/{values}-values.yaml").read_text())
    config = configured(rendered(values), tmp_path)
    if "configExistingConfigMapName" in given:
        assert config is None
        return

    assert config
    wanted = given.get("config", {}).get("issuers", [])
    assert [issuer.url for issuer in config.issuers] == [issuer["url"] for issuer in wanted]


def test_nothing_is_lost_between_the_values_and_the_exporter(tmp_path):
    """Helm reads numbers as floats and writes texts that look like something else."""
    config = configured(rendered("everything"), tmp_path)

    assert config
    issuer = config.issuers[0]
    assert (config.vantage, config.limits.concurrency) == ("frankfurt", 50)
    assert (issuer.interval_seconds, issuer.max_body_bytes) == (30, 1048576)
    assert dict(issuer.labels) == {"team": "platform", "zone": "1", "answer": "yes"}


def test_without_values_there_is_the_exporter_alone():
    manifests = rendered("default")

    assert sorted(each["kind"] for each in manifests.resources) == [
        *("ConfigMap", "Deployment", "Pod", "Service", "ServiceAccount")
    ]
    assert manifests.container["image"] == f"{IMAGE}:{__version__}"


def test_everything_can_be_switched_on():
    kinds = {each["kind"] for each in rendered("everything").resources}

    assert kinds == {
        *("ConfigMap", "Deployment", "Ingress", "NetworkPolicy", "Pod", "PodDisruptionBudget"),
        *("PrometheusRule", "Secret", "Service", "ServiceAccount", "ServiceMonitor"),
    }


@pytest.mark.parametrize("values", ["everything", "existing"])
def test_rules_and_dashboards_arrive_as_they_are(values):
    """Neither Helm nor the way into the chart may take their templates for its own."""
    manifests = rendered(values)
    maps = [
        each
        for each in manifests.of("ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    found = {name: json.loads(text) for each in maps for name, text in each["data"].items()}
    rules = yaml.safe_load(RULES.read_text())["spec"]

    assert manifests.one("PrometheusRule")["spec"] == rules
    assert found == {path.name: json.loads(path.read_text()) for path in DASHBOARDS}


@pytest.mark.parametrize("values", ["everything", "existing", "sharded"])
def test_the_job_is_the_one_that_the_rules_know_whatever_the_release_is_called(values):
    (endpoint,) = rendered(values).one("ServiceMonitor")["spec"]["endpoints"]
    labels = {each["targetLabel"]: each.get("replacement") for each in endpoint["relabelings"]}
    vantages = {"everything": "frankfurt", "existing": "tokyo", "sharded": None}

    assert (labels["job"], labels.get("vantage")) == (NAME, vantages[values])


def test_shards_are_as_many_as_replicas_and_are_asked_by_name():
    manifests = rendered("sharded")
    workload, total = manifests.one("StatefulSet"), manifests.arguments.total_shards
    names = [f"{workload['metadata']['name']}-{n}" for n in range(workload["spec"]["replicas"])]

    assert [own_shard(None, total, pod=name).ordinal for name in names] == list(range(5))
    assert manifests.container["env"][0]["name"] == "POD_NAME"
    assert manifests.one("Service")["spec"]["clusterIP"] == "None"
    assert workload["spec"]["serviceName"] == manifests.one("Service")["metadata"]["name"]


@pytest.mark.parametrize(
    ("values", "restarts", "reload_seconds"),
    [("default", True, 0), ("everything", False, 60), ("existing", False, 30)],
)
def test_a_changed_configuration_either_rolls_the_pods_or_is_taken_over(
    values, restarts, reload_seconds
):
    manifests = rendered(values)
    annotations = manifests.pod["metadata"].get("annotations", {})

    assert ("checksum/config" in annotations) is restarts
    assert manifests.arguments.auto_reload_seconds == reload_seconds


def test_another_configuration_is_another_checksum(tmp_path):
    sums = set()
    for name in ("a", "b"):
        config = {"issuers": [{"url": f"https://{name}.example.com"}]}
        manifests = Manifests.read(with_values(tmp_path, config=config).stdout)
        sums.add(manifests.pod["metadata"]["annotations"]["checksum/config"])

    assert len(sums) == 2


def test_a_certificate_makes_probes_scrapes_and_the_test_speak_https():
    manifests = rendered("everything")
    container = manifests.container
    (endpoint,) = manifests.one("ServiceMonitor")["spec"]["endpoints"]
    (ask,) = manifests.one("Pod")["spec"]["containers"]

    assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert endpoint["scheme"] == "https"
    assert ask["args"][-1].startswith("https://")


def test_the_web_configuration_stands_where_the_flag_says():
    given = yaml.safe_load((CHART / "ci/everything-values.yaml").read_text())
    manifests = rendered("everything")
    text = manifests.content(manifests.arguments.web_config_file)

    assert text
    assert yaml.safe_load(text) == given["webConfig"]["content"]
    assert rendered("existing").content(rendered("existing").arguments.web_config_file) is None


def test_an_image_comes_from_the_mirror_and_by_its_digest():
    manifests = rendered("everything")
    image = manifests.container["image"]
    (ask,) = manifests.one("Pod")["spec"]["containers"]

    assert image.startswith(f"registry.example.com/{NAME}/{NAME}@sha256:0123")
    assert ask["image"] == "registry.example.com/busybox:1.37"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replica": 2}, "replica"),
        ({"service": {"prot": 1}}, "prot"),
        ({"config": {"issuers": [{"uri": "https://a.example.com"}]}}, "uri"),
        ({"config": {"issuers": [{"url": "a.example.com"}]}}, "url"),
        ({"config": {"issuers": [], "defaults": {"interval": "60"}}}, "interval"),
        (
            {"configExistingConfigMapName": "a", "configExistingSecretName": "b"},
            "not",
        ),
        ({"image": {"digest": "latest"}}, "digest"),
    ],
    ids=json.dumps,
)
def test_helm_refuses_values_that_mean_nothing(values, complaint, tmp_path):
    """The configuration's mistakes too, before anything is installed."""
    done = with_values(tmp_path, **values)

    assert done.returncode == 1
    assert "values don't meet the specifications of the schema" in done.stderr
    assert complaint in done.stderr


def test_the_notes_say_what_is_still_missing(tmp_path):
    """Without a cluster Helm shows no notes, so here they are a template like others."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    notes = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "_notes.tpl").write_text(
        f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}'
    )
    (chart / "templates" / "notes.yaml").write_text('notes: {{ include "notes" . | quote }}')

    def said(*flags: str) -> str:
        text = template("--show-only=templates/notes.yaml", *flags, chart=chart)
        return str(yaml.safe_load(text)["notes"])

    assert "NO ISSUER IS CONFIGURED" in said()
    assert "serviceMonitor.enabled" in said()
    assert "NO ISSUER" not in said("--set=configExistingSecretName=mine")
    assert "port-forward deploy/release-oidc-issuer-exporter 10184:10184" in said()
    assert "Sharding among one replica" in said("--set=sharding.enabled=true")
