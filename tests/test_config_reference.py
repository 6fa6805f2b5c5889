"""The example, the schema for editors and the docs say what the code does."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from exporter.config import Limits, json_schema, load
from exporter.config.reference import refreshed
from exporter.config.schema import ConfigFile, IssuerEntry, LimitsSection, Settings
from exporter.model import Issuer
from tests.configs import BAD, EXAMPLE, URL

ROOT = Path(__file__).parent.parent


def keys(value: object) -> set[str]:
    match value:
        case dict():
            return set(value) | set().union(*map(keys, value.values()))
        case list():
            return set().union(*map(keys, value))
        case _:
            return set()


def test_the_example_loads_with_every_key_at_its_default():
    loaded = load([EXAMPLE])
    first, second = loaded.issuers

    assert (loaded.vantage, loaded.limits) == (
        "",
        Limits(concurrency=100, concurrency_per_host=4),
    )
    assert first == Issuer(
        url=first.url,
        name="github-actions",
        audiences=("sts.amazonaws.com",),
        labels=(("team", "platform"),),
    )
    assert second == Issuer(
        url=second.url,
        name="eks-production",
        audiences=("sts.amazonaws.com",),
        labels=(("cluster", "production"), ("team", "platform")),
        interval_seconds=300,
    )


@pytest.mark.parametrize("section", [ConfigFile, Settings, LimitsSection, IssuerEntry])
def test_the_example_shows_every_key_and_says_something_of_it(section):
    text = EXAMPLE.read_text("utf-8")
    defaults = yaml.safe_load(text)["defaults"]

    for name, field in section.model_fields.items():
        key = field.alias or name
        assert re.search(
            rf"^ *(- )?{key}:.*  # |^# .*\n(#.*\n)*{key}:|^{key}:$", text, re.MULTILINE
        ), key
    assert list(defaults) == [field.alias for field in Settings.model_fields.values()]


def test_the_schema_takes_what_the_exporter_takes():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(yaml.safe_load(EXAMPLE.read_text("utf-8")), schema)
    jsonschema.validate(
        {"issuers": [{"url": URL, "timeout": None, "max_body_bytes": 2048}]}, schema
    )


@pytest.mark.parametrize(
    "stem",
    [
        "unknown-key",
        "misplaced",
        "label",
        "limits",
        "list",
        "nulls",
        "url",
        "duration",
        "number",
        "reuse",
        "ip-family",
        "audiences",
        "scalar",
        "string-issuers",
        "vantage",
    ],
)
def test_the_schema_refuses_what_the_exporter_refuses(stem):
    """An editor underlines most slips while they are typed."""
    text = (BAD / f"bad-{stem}.yaml").read_text("utf-8")
    validator = jsonschema.Draft202012Validator(json_schema())

    assert not validator.is_valid(yaml.safe_load(text))


def test_an_issuer_has_no_defaults_of_its_own_in_the_schema():
    """An editor would show 60s where `defaults` says something else."""
    entry = json_schema()["$defs"]["IssuerEntry"]["properties"]

    assert "default" not in entry["interval"]
    assert entry["name"]["default"] is None


def test_the_reference_is_fresh(tmp_path, monkeypatch):
    """Otherwise: python -m exporter.config docs"""
    docs = ROOT / "docs"
    names = ("configuration.md", "config.schema.json")
    shutil.copy(docs / names[0], tmp_path)
    monkeypatch.setattr("sys.argv", ["config", str(tmp_path)])

    runpy.run_module("exporter.config", run_name="__main__")

    for name in names:
        assert (tmp_path / name).read_text("utf-8") == (docs / name).read_text("utf-8")


def test_the_docs_name_every_key():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")

    for section in (ConfigFile, Settings, LimitsSection, IssuerEntry):
        for name, field in section.model_fields.items():
            assert f"| `{field.alias or name}` |" in page


def test_a_marker_of_no_table_is_our_mistake():
    with pytest.raises(KeyError):
        refreshed("<!-- BEGIN nothing --><!-- END nothing -->")
