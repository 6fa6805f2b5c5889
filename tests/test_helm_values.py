"""The chart without Helm: its values, their schema and their table, held to each other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from deploy.helm import build
from exporter import __version__
from tests.manifests import IMAGE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = yaml.safe_load((build.CHART / "values.yaml").read_text())
SCHEMA = json.loads((build.CHART / "values.schema.json").read_text())
CASES = sorted(build.CHART.glob("ci/*.yaml"))
TEMPLATES = sorted(path for path in build.CHART.glob("templates/**/*") if path.is_file())
DOCUMENTED = {key for key, _, _ in build.documented((build.CHART / "values.yaml").read_text())}


def leaves(value: Any, *path: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, *path, key)
    else:
        yield ".".join(path)


def test_everything_in_the_chart_is_of_one_version():
    chart = yaml.safe_load((build.CHART / "Chart.yaml").read_text())
    image = VALUES["image"]

    assert {chart["version"], chart["appVersion"]} == {__version__}
    assert (image["registry"], image["repository"], image["tag"]) == ("", IMAGE, "")


def test_the_pod_has_the_user_of_the_image():
    """`runAsNonRoot` compares numbers, and files belong to one."""
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    (user,) = set(re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE))

    assert VALUES["podSecurityContext"]["runAsUser"] == int(user)
    deployment = (ROOT / "deploy" / "kubernetes" / "base" / "deployment.yaml").read_text()
    assert (
        yaml.safe_load(deployment)["spec"]["template"]["spec"]["securityContext"]
        == (VALUES["podSecurityContext"])
    )


def test_every_value_is_documented():
    """By its own comment, or by that of what it is part of."""
    for leaf in leaves(VALUES):
        parts = leaf.split(".")

        assert {".".join(parts[:end]) for end in range(1, len(parts) + 1)} & DOCUMENTED, leaf


def test_the_schema_knows_the_values_that_there_are_and_no_others():
    known = dict(SCHEMA["properties"])

    assert known.keys() == VALUES.keys()
    for key, schema in known.items():
        if schema.get("additionalProperties") is False and key != "config":
            assert schema["properties"].keys() == VALUES[key].keys(), key


def test_every_template_reads_values_that_exist():
    """Helm takes one that does not for empty, and says nothing."""
    text = "".join(path.read_text() for path in TEMPLATES)
    for path in re.findall(r"\.Values\.([\w.]+)", text):
        value = VALUES
        for key in path.split("."):
            # What stands in the configuration may be left out of it.
            assert key in value or path.startswith("config."), path
            value = value.get(key, {}) if isinstance(value, dict) else {}


def test_every_value_is_read_by_a_template():
    text = "".join(path.read_text() for path in TEMPLATES)

    assert [key for key in VALUES if not re.search(rf'\.Values\.{key}\b|"{key}"', text)] == []


@pytest.mark.parametrize("path", [build.CHART / "values.yaml", *CASES], ids=lambda p: p.name)
def test_values_meet_the_schema(path):
    jsonschema.Draft7Validator.check_schema(SCHEMA)

    jsonschema.validate({**VALUES, **yaml.safe_load(path.read_text())}, SCHEMA)


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"config": {"issuers": [{"url": "https://a.example.com", "intervall": "5m"}]}},
        {"config": {"issuers": [{"url": "https://a.example.com", "interval": "often"}]}},
        {"configExistingConfigMapName": "a", "configExistingSecretName": "b"},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_means_nothing(values):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, **values}, SCHEMA)


def test_the_schema_has_no_pattern_that_go_cannot_read():
    """Helm would refuse the chart as a whole."""
    assert re.findall(r"\(\?[^:]", json.dumps(SCHEMA)) == []


def test_what_is_generated_is_fresh():
    """Rules and dashboards change often: `make check` looks at those."""
    stale = [
        path.name
        for path, text in build.shipped()
        if path.parent == build.CHART and path.read_text() != text
    ]

    assert stale == []


def test_a_stale_file_is_named_and_one_too_many_is_removed(tmp_path, monkeypatch):
    chart = tmp_path / "chart"
    (chart / "files" / "dashboards").mkdir(parents=True)
    (chart / "files" / "dashboards" / "old.json").write_text("{}")
    for name in ("values.yaml", "values.schema.json", "README.md"):
        (chart / name).write_text((build.CHART / name).read_text())
    monkeypatch.setattr(build, "CHART", chart)
    found = build.main(["--check"])

    assert {name for name in ("old.json", "rules.yaml", "README.md") if name in str(found)} == {
        *("old.json", "rules.yaml")
    }
    assert (build.main([]), build.main(["--check"])) == (0, 0)
    assert not (chart / "files" / "dashboards" / "old.json").exists()
