"""The page that documents metrics is fresh, whole, and its examples are PromQL."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.catalogue import METRICS, NAMES, refreshed, runtime_metrics
from exporter.own_metrics import OWN, Own
from exporter.reasons import REASONS, Code, Stage
from exporter.reply import PROBE_METRICS
from exporter.state import EDGES_SECONDS

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"


def examples() -> list[str]:
    return re.findall(r"```promql\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_is_fresh():
    """Otherwise: python -m exporter.catalogue docs/metrics.md."""
    assert PAGE.read_text() == refreshed(PAGE.read_text())


def test_a_stale_block_is_made_anew_and_prose_is_kept():
    page = PAGE.read_text()
    edges = ", ".join(map(str, EDGES_SECONDS))

    assert edges in page
    assert refreshed(page.replace(edges, "1, 2") + "After.\n") == page + "After.\n"


def test_a_page_that_lost_a_block_is_refused():
    with pytest.raises(ValueError, match="no <!-- begin levels -->"):
        refreshed(PAGE.read_text().replace("<!-- begin levels -->", ""))


@pytest.mark.parametrize("metric", [*METRICS, *PROBE_METRICS], ids=lambda metric: metric.name)
def test_every_metric_is_documented(metric):
    rows = [
        line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{metric.name}`")
    ]

    assert len(rows) == 1
    assert all(f"`{name}`" in rows[0] for name in metric.label_names)


def test_every_stage_reason_and_code_is_documented():
    page = PAGE.read_text()

    for stage in Stage:
        row = re.search(rf"^\| {stage} \| (.*) \|$", page, re.MULTILINE)
        assert row
        assert row[1] == ", ".join(f"`{reason}`" for reason in REASONS[stage])
    assert all(f"`{code}`" in page for code in Code)


def test_every_name_that_the_page_uses_exists():
    used = set(re.findall(r"\b(?:oidc|process|python)_[a-z_]+\b", PAGE.read_text()))

    assert used <= NAMES | {metric.name for metric in (*METRICS, *PROBE_METRICS)}
    assert len(examples()) >= 5


def test_what_the_exporter_says_of_itself_is_what_is_described():
    """Descriptions are a table, instruments are code; neither may have more than the other."""
    own = Own()
    own.loaded(vantage="", config_sha256="", at=0.0)
    found = {
        (family.name, family.type, family.documentation)
        for family in own.registry.collect()
        if family.name.startswith("oidc_")
    }

    assert found == {(m.name.removesuffix("_total"), m.type, m.help) for m in OWN}


def test_what_is_collected_has_the_labels_that_are_described():
    own = Own()
    own.loaded(vantage="", config_sha256="", at=0.0)
    described = {m.name.removesuffix("_total"): set(m.label_names) for m in OWN}

    for family in own.registry.collect():
        if family.name in described:
            names = {name for sample in family.samples for name in sample.labels} - {"le"}
            assert names == described[family.name]


def test_process_and_interpreter_are_watched():
    names = {metric.name for metric in runtime_metrics()}

    assert {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "python_info",
    } <= names
    assert not [name for name in names if name.startswith("oidc_")]


def test_names_are_those_that_prometheus_stores():
    assert "oidc_probe_latency_seconds_bucket" in NAMES
    assert "oidc_probe_latency_seconds" not in NAMES
    assert "oidc_probes_total" in NAMES


def test_the_examples_are_promql(tmp_path: Path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is missing: apt-get install prometheus")
    rules = [{"record": f"example:{n}", "expr": text} for n, text in enumerate(examples())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "examples", "rules": rules}]}))

    checked = subprocess.run(
        [promtool, "check", "rules", path], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
