"""Every rendering held to schemas by kubeconform, those of the Prometheus operator included."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.extended.tools import CHART, TOOLS, VALUES, go_tool, template
from tests.manifests import ROOT, VERSIONS, program

OVERLAYS = sorted((ROOT / "deploy" / "kubernetes" / "overlays").iterdir())
BUNDLED = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
OPERATOR = TOOLS / "prometheus-operator-crds"
# How the files of schemas are named, in kubeconform's words.
_KUBERNETES = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
_OPERATOR = "{{ .ResourceKind }}-{{ .ResourceAPIVersion }}.json"


@pytest.fixture(scope="session")
def crds(tmp_path_factory):
    """Schemas of the operator's kinds, as kubeconform reads them."""
    folder = tmp_path_factory.mktemp("crds")
    for path in sorted(OPERATOR.glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())["spec"]
        for version in definition["versions"]:
            name = f"{definition['names']['singular']}-{version['name']}.json"
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            (folder / name).write_text(json.dumps(schema))
    return folder


def strict(schema: Any) -> Any:
    """*schema* with nothing allowed that it does not name; an API server would drop it."""
    match schema:
        case dict():
            inner = {key: strict(value) for key, value in schema.items()}
            if isinstance(inner.get("properties"), dict) and "type" in inner:
                inner.setdefault("additionalProperties", False)
            return inner
        case list():
            return [strict(each) for each in schema]
    return schema


@pytest.fixture(scope="session", params=VERSIONS)
def kubernetes(request, tmp_path_factory):
    """Kubernetes's own schemas of a version, which refer to each other as files do."""
    folder = tmp_path_factory.mktemp("kubernetes")
    (bundled,) = BUNDLED.glob(f"v{request.param}*-local-strict")
    for path in bundled.iterdir():
        text = path.read_text().replace('"$id": "https://', '"$comment": "')
        (folder / path.name).write_text(text.replace('"/api/_def', '"_def'))
    return folder


@pytest.fixture
def complaints(kubernetes, crds):
    """Of manifests: what kubeconform finds wrong in them, an unknown kind included."""

    def found(manifests: str) -> list[str]:
        done = subprocess.run(
            [
                *(go_tool("kubeconform"), "-strict", "-output=json", "-verbose"),
                *("-schema-location", f"{kubernetes}/{_KUBERNETES}"),
                *("-schema-location", f"{crds}/{_OPERATOR}"),
            ],
            input=manifests,
            capture_output=True,
            text=True,
            check=False,
        )
        resources = json.loads(done.stdout)["resources"]
        assert resources, done.stderr
        return [
            f"{each['kind']} {each['name']}: {each['status']} {each['msg']}"
            for each in resources
            if each["status"] != "statusValid"
        ]

    return found


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_is_valid(overlay, complaints):
    done = subprocess.run(
        [program("kubectl"), "kustomize", overlay], capture_output=True, text=True, check=True
    )

    assert complaints(done.stdout) == []


@pytest.mark.parametrize("values", VALUES)
def test_the_chart_is_valid(values, complaints):
    assert complaints(template(f"--values={CHART}/ci/{values}-values.yaml")) == []


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ({"kind": "Service", "apiVersion": "v1", "spec": {"prots": []}}, "prots"),
        (
            {
                "kind": "ServiceMonitor",
                "apiVersion": "monitoring.coreos.com/v1",
                "spec": {"selector": {}, "endpoints": [{"prot": "http"}]},
            },
            "prot",
        ),
        ({"kind": "Servant", "apiVersion": "example.com/v1"}, "could not find schema"),
    ],
    ids=["a field of Kubernetes", "a field of the operator", "a kind"],
)
def test_what_nobody_knows_is_seen(manifest, complaint, complaints):
    found = complaints(json.dumps({**manifest, "metadata": {"name": "a"}}))

    assert len(found) == 1
    assert complaint in found[0]
