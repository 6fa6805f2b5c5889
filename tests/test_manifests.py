"""What kustomize makes of deploy/kubernetes, held to the code that it runs.

No cluster is needed and none is asked: kubectl renders, Kubernetes's published schemas judge
the shape, and the exporter itself judges its flags, its configuration and its paths.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter import __version__
from exporter.sharding import own_shard
from exporter.web.listen import DEFAULT_PORT
from tests.daemon import daemon
from tests.manifests import (
    IMAGE,
    NAME,
    ROOT,
    Manifests,
    configured,
    problems,
    program,
    unrestricted,
)

if TYPE_CHECKING:
    from pathlib import Path

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.parent for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
COMPONENTS = sorted(path.parent for path in KUBERNETES.glob("components/*/kustomization.yaml"))
RULES = ROOT / "deploy" / "prometheus" / "prometheusrule.yaml"
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


def kustomize(folder: Path) -> Manifests:
    done = subprocess.run(
        [program("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Manifests.read(done.stdout)


@cache
def rendered(overlay: str) -> Manifests:
    return kustomize(KUBERNETES / "overlays" / overlay)


every_overlay = pytest.mark.parametrize("overlay", [path.name for path in OVERLAYS])


@every_overlay
def test_an_overlay_is_sound(overlay):
    """Valid, restricted, and nothing in it points at something that is not there."""
    assert problems(rendered(overlay)) == []


def test_what_is_not_restricted_is_seen():
    """The check above is our own, so it is shown a pod that nobody should run."""
    pod = {"hostNetwork": True, "volumes": [{"name": "v", "hostPath": {}}]}
    pod["containers"] = [{"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}]
    found = [*unrestricted(Manifests(({"kind": "Pod", "spec": pod},)))]

    assert found[:2] == ["hostNetwork", "hostPath"]
    assert [line.split(":")[0] for line in found[2:]] == [
        *("runAsNonRoot", "allowPrivilegeEscalation", "readOnlyRootFilesystem"),
        *("seccompProfile", "capabilities", "runAsUser"),
    ]


@every_overlay
def test_the_configuration_of_an_overlay_is_one_that_the_exporter_takes(overlay, tmp_path):
    assert configured(rendered(overlay), tmp_path)


@every_overlay
def test_the_image_and_its_labels_are_of_this_version(overlay):
    manifests = rendered(overlay)
    labels = manifests.pod["metadata"]["labels"]

    assert manifests.container["image"] == f"{IMAGE}:{__version__}"
    assert labels == {"app.kubernetes.io/name": NAME, "app.kubernetes.io/version": __version__}


@every_overlay
def test_an_overlay_keeps_to_one_namespace(overlay):
    """The namespace itself has none."""
    found = {
        each["metadata"].get("namespace", each["kind"]) for each in rendered(overlay).resources
    }

    assert found == {NAME, "Namespace"}
    assert rendered(overlay).one("Namespace")["metadata"]["name"] == NAME


def test_no_service_account_is_given_to_the_pod():
    manifests = rendered("plain")

    assert manifests.pod["spec"]["serviceAccountName"] == NAME
    assert manifests.pod["spec"]["automountServiceAccountToken"] is False
    assert manifests.one("ServiceAccount")["automountServiceAccountToken"] is False


def test_nothing_holds_the_processor_back():
    """A pause of the process would be measured as one of the issuer."""
    resources = rendered("plain").container["resources"]

    assert (resources["limits"].keys(), "cpu" in resources["requests"]) == ({"memory"}, True)


@every_overlay
def test_what_is_probed_and_scraped_is_answered(overlay, tmp_path):
    """By the daemon itself, run with the very flags, on no issuers."""
    manifests = rendered(overlay)
    config = tmp_path / "config.yaml"
    config.write_text("issuers: []")
    kinds = ("livenessProbe", "readinessProbe")
    probes = [manifests.container[kind]["httpGet"] for kind in kinds]
    monitors = [each["spec"]["endpoints"][0] for each in manifests.of("ServiceMonitor")]
    flags = [each for each in manifests.container["args"] if "--config.file" not in each]
    flags += ["--shard=1"] * (overlay == "sharded")
    with daemon(tmp_path, config, *flags) as running:
        running.until(lambda: running.ask("/-/ready")[0] == 200)
        paths = {each["path"]: 200 for each in [*probes, *monitors]}

        assert {path: running.ask(path)[0] for path in paths} == paths

    assert {each["port"] for each in [*probes, *monitors]} == {"http"}


def test_shards_are_as_many_as_pods_and_know_their_own_from_the_pods_name():
    manifests = rendered("sharded")
    workload, total = manifests.one("StatefulSet"), manifests.arguments.total_shards
    names = [f"{workload['metadata']['name']}-{n}" for n in range(workload["spec"]["replicas"])]
    (variable,) = manifests.container["env"]

    assert [own_shard(None, total, pod=name).ordinal for name in names] == list(range(total))
    assert total > 1
    assert (variable["name"], variable["valueFrom"]["fieldRef"]["fieldPath"]) == (
        "POD_NAME",
        "metadata.name",
    )


def test_shards_are_asked_by_name():
    """Behind one address, every other page would be of a shard that has never heard of it."""
    manifests = rendered("sharded")

    assert manifests.one("Service")["spec"]["clusterIP"] == "None"
    assert manifests.one("StatefulSet")["spec"]["serviceName"] == NAME


def test_one_number_changes_the_number_of_shards(tmp_path):
    text = (KUBERNETES / "overlays/sharded/kustomization.yaml").read_text()
    folder = own_overlay(
        tmp_path, text.replace("count: 3", "count: 5"), KUBERNETES / "overlays" / "x"
    )
    manifests = kustomize(folder)

    assert manifests.one("StatefulSet")["spec"]["replicas"] == 5
    assert manifests.arguments.total_shards == 5


def own_overlay(folder: Path, text: str, base: Path) -> Path:
    """Write a kustomization outside the checkout, with its `../` as if it stood in *base*."""
    there = os.path.relpath(base.parent, folder)
    (folder / "kustomization.yaml").write_text(text.replace("- ../", f"- {there}/"))
    return folder


def test_rules_reach_prometheus_to_the_letter():
    """Their templates look like kustomize's and Helm's neighbours, and must be left alone."""
    assert (
        rendered("prometheus-operator").one("PrometheusRule")["spec"]
        == (yaml.safe_load(RULES.read_text())["spec"])
    )


def test_every_dashboard_reaches_grafana_to_the_letter():
    maps = [
        each
        for each in rendered("prometheus-operator").of("ConfigMap")
        if each["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]
    found = {name: text for each in maps for name, text in each["data"].items()}

    assert found == {path.name: path.read_text() for path in DASHBOARDS}
    assert {each["metadata"]["name"] for each in maps} == {
        f"{json.loads(path.read_text())['uid']}-dashboard" for path in DASHBOARDS
    }


def test_the_job_is_the_one_that_the_rules_know():
    """`jobLabel` takes it from the service's label."""
    manifests = rendered("prometheus-operator")
    label = manifests.one("ServiceMonitor")["spec"]["jobLabel"]
    job = manifests.one("Service")["metadata"]["labels"][label]
    (wanted,) = set(re.findall(r'job=~"([^"]+)"', RULES.read_text().replace('\\"', '"')))

    assert re.fullmatch(wanted, job)


def test_the_network_policy_lets_in_prometheus_and_out_what_a_probe_needs():
    policy = rendered("prometheus-operator").one("NetworkPolicy")["spec"]
    (ingress,) = policy["ingress"]
    ports = [
        (port["protocol"], port["port"]) for to in policy["egress"] for port in to["ports"]
    ]

    assert [port["port"] for port in ingress["ports"]] == ["http"]
    assert ports == [("UDP", 53), ("TCP", 53), ("TCP", 443)]


def test_every_component_is_used_by_an_overlay():
    """What no overlay renders is checked by nobody."""
    texts = "".join((path / "kustomization.yaml").read_text() for path in OVERLAYS)

    assert {path.name for path in COMPONENTS} == set(re.findall(r"components/([\w-]+)", texts))


def test_an_overlay_as_the_readme_shows_it_replaces_the_configuration(tmp_path):
    readme = (KUBERNETES / "README.md").read_text()
    (shown,) = re.findall(r"```yaml\n# kustomization.yaml\n(.*?)```", readme, re.DOTALL)
    remote = re.compile(r"https://github.com/[^/]+/[^/]+//(\S+)\?ref=v(\S+)")
    assert {found[1] for found in remote.findall(shown)} == {__version__}
    local = remote.sub(r"../\1", shown)
    (tmp_path / "config.yaml").write_text("issuers: [{url: https://gitlab.com}]")
    manifests = kustomize(own_overlay(tmp_path, local, ROOT / "x"))
    config = configured(manifests, tmp_path)

    assert problems(manifests) == []
    assert config
    assert [issuer.url for issuer in config.issuers] == ["https://gitlab.com"]
    assert manifests.one("ServiceMonitor")["metadata"]["labels"]["release"]
    (relabeling,) = manifests.one("ServiceMonitor")["spec"]["endpoints"][0]["relabelings"]
    assert relabeling["targetLabel"] == "vantage"


def test_a_prometheus_without_the_operator_finds_the_service():
    """Names in its scrape job are the service's; promtool 3 checks the rest."""
    text = (ROOT / "deploy" / "prometheus" / "prometheus-kubernetes.yaml").read_text()
    (job,) = yaml.safe_load(text)["scrape_configs"]
    service = rendered("plain").one("Service")
    (discovery,) = job["kubernetes_sd_configs"]
    (port,) = service["spec"]["ports"]
    keep = job["relabel_configs"][0]

    assert job["job_name"] == NAME
    assert discovery["namespaces"]["names"] == [service["metadata"]["namespace"]]
    assert keep["regex"] == f"{service['metadata']['labels']['app.kubernetes.io/name']};http"
    assert (port["name"], port["port"]) == ("http", DEFAULT_PORT)
