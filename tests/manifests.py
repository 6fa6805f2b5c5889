"""What Kubernetes would be given, and what has to hold for it however it was rendered."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from exporter.arguments import parse
from exporter.config import Config, load
from exporter.web.listen import DEFAULT_PORT

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
NAME = "oidc-issuer-exporter"
IMAGE = f"{NAME}/{NAME}"
WORKLOADS = ("Deployment", "StatefulSet")
#: The oldest Kubernetes that the manifests are written for, and the newest that is known.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
#: What a restricted pod may mount.
# Source: Pod Security Standards, "Restricted", volume types.
_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}

Resource = dict[str, Any]


def program(name: str) -> Path:
    """A program that stands beside the Python which runs the tests."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        pytest.fail(f"{name} is missing from the virtual environment: rm .venv/.ready; make")
    return found


@dataclass(frozen=True)
class Manifests:
    """The resources of one rendering."""

    resources: tuple[Resource, ...]

    @classmethod
    def read(cls, text: str) -> Manifests:
        return cls(tuple(filter(None, yaml.safe_load_all(text))))

    def of(self, *kinds: str) -> list[Resource]:
        return [found for found in self.resources if found["kind"] in kinds]

    def one(self, *kinds: str) -> Resource:
        (found,) = self.of(*kinds)
        return found

    @property
    def pod(self) -> Resource:
        """The exporter's pod."""
        return dict(self.one(*WORKLOADS)["spec"]["template"])

    @property
    def container(self) -> Resource:
        found = {each["name"]: each for each in self.pod["spec"]["containers"]}
        return dict(found["exporter"])

    @property
    def arguments(self) -> Namespace:
        """The container's arguments, as the exporter reads them."""
        return parse(list(self.container["args"]))

    def mounted(self, path: Path) -> Resource | None:
        """The ConfigMap or Secret of this rendering whose content stands at *path*, if any."""
        volumes = {each["name"]: each for each in self.pod["spec"]["volumes"]}
        for mount in self.container["volumeMounts"]:
            if Path(mount["mountPath"]) == path.parent:
                volume = volumes[mount["name"]]
                name = volume.get("configMap", {}).get("name")
                name = name or volume.get("secret", {}).get("secretName")
                found = [each for each in self.of("ConfigMap", "Secret") if _name(each) == name]
                return found[0] if found else None
        return pytest.fail(f"nothing is mounted at {path.parent}")

    def content(self, path: Path) -> str | None:
        """The file that the container finds at *path*; None if it comes from elsewhere."""
        found = self.mounted(path)
        if found is None:
            return None
        return str({**found.get("data", {}), **found.get("stringData", {})}[path.name])


def _name(resource: Resource) -> str:
    return str(resource["metadata"]["name"])


def configured(manifests: Manifests, folder: Path) -> Config | None:
    """The configuration in *manifests*, read by the exporter; None if it is somebody else's."""
    (path,) = manifests.arguments.config_files
    text = manifests.content(path)
    if text is None:
        return None
    (folder / path.name).write_text(text)
    return load([folder / path.name])


def problems(manifests: Manifests) -> list[str]:
    """What is wrong with a rendering, whichever it is."""
    return [*invalid(manifests), *unrestricted(manifests), *astray(manifests)]


def invalid(manifests: Manifests) -> Iterator[str]:
    """What Kubernetes itself would refuse; kinds of its extensions are looked at elsewhere."""
    for resource in manifests.resources:
        for version in VERSIONS:
            refused = _refused(json.dumps(resource), version)
            if refused:
                yield f"{resource['kind']} {_name(resource)} in {version}: {refused}"


@cache  # most resources are the same in several renderings
def _refused(resource: str, version: str) -> str | None:
    content = json.loads(resource)
    try:
        kubernetes_validate.validate(content, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        assert content["apiVersion"] == "monitoring.coreos.com/v1", resource
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return None


def unrestricted(manifests: Manifests) -> Iterator[str]:
    """Where pods are not as the Pod Security Standard `restricted` wants them."""
    pods = [each["spec"]["template"]["spec"] for each in manifests.of(*WORKLOADS)]
    for pod in [*pods, *(each["spec"] for each in manifests.of("Pod"))]:
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield key
        for volume in pod.get("volumes", ()):
            yield from volume.keys() - {"name"} - _VOLUMES
        shared = pod.get("securityContext", {})
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            yield from _unrestricted({**shared, **container.get("securityContext", {})})


def _unrestricted(context: Resource) -> Iterator[str]:
    wanted = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"]},
    }
    for key, value in wanted.items():
        if context.get(key) != value:
            yield f"{key}: {context.get(key)}"
    if context.get("runAsUser", 0) == 0:
        yield "runAsUser"


def astray(manifests: Manifests) -> Iterator[str]:
    """References that lead nowhere: ports, selectors, accounts."""
    ports = {each["name"]: each["containerPort"] for each in manifests.container["ports"]}
    listening = manifests.arguments.listen_addresses
    expected = listening[0].port if listening else DEFAULT_PORT
    if ports.get("http") != expected:
        yield f"port {ports}, but the exporter listens on {expected}"
    labels = manifests.pod["metadata"]["labels"]
    for service in manifests.of("Service"):
        if not service["spec"]["selector"].items() <= labels.items():
            yield f"service selects {service['spec']['selector']}"
        yield from _missing("target port", service["spec"]["ports"][0]["targetPort"], ports)
    for resource in manifests.of(*WORKLOADS, "PodDisruptionBudget"):
        if not resource["spec"]["selector"]["matchLabels"].items() <= labels.items():
            yield f"{resource['kind']} selects {resource['spec']['selector']}"
    for policy in manifests.of("NetworkPolicy"):
        if not policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items():
            yield f"network policy selects {policy['spec']['podSelector']}"
    for monitor in manifests.of("ServiceMonitor"):
        yield from _unmonitored(manifests, monitor)


def _unmonitored(manifests: Manifests, monitor: Resource) -> Iterator[str]:
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [e for e in manifests.of("Service") if wanted <= e["metadata"]["labels"].items()]
    # Two would be scraped twice.
    if len(found) != 1:
        yield f"ServiceMonitor finds {len(found)} services"
    for service in found:
        names = [port["name"] for port in service["spec"]["ports"]]
        yield from _missing("scraped port", monitor["spec"]["endpoints"][0]["port"], names)


def _missing(what: str, name: str, names: object) -> Iterator[str]:
    if name not in list(names):  # type: ignore[call-overload]
        yield f"{what} {name} is none of {names}"
