"""The shipped rules: the rules that rules have to keep.

promtool runs the cases in deploy/prometheus/tests, in which every alert fires and stays
silent: `test_alert_cases`. Here stands what it cannot know: that names are those of the
exporter, that numbers people tune stand in one place, that nothing was forgotten and nothing
is stale.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.advice.alerts import OF_FAILURE, OF_FINDING
from exporter.catalogue import NAMES
from exporter.reasons import LEVELS, REASONS, Level, Stage

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.test.yaml"))
DASHBOARDS = {"oidc-overview", "oidc-issuer", "oidc-slo", "oidc-exporter"}
#: Two probe intervals of a minute.
SHORTEST_SECONDS = 120


def rules(kind: str) -> list[dict[str, Any]]:
    return [
        rule
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if kind in rule
    ]


ALERTS = rules("alert")
RECORDS = rules("record")
RECORDED = {rule["record"] for rule in RECORDS}
THRESHOLDS = {name for name in RECORDED if name.startswith("oidc:")}
CASES = [
    (path, case) for path in TEST_FILES for case in yaml.safe_load(path.read_text())["tests"]
]


def label(rule: dict[str, Any]) -> str:
    return f"{rule['alert']}-{rule['labels']['severity']}"


def about(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


every_alert = pytest.mark.parametrize("alert", ALERTS, ids=label)
every_rule = pytest.mark.parametrize("rule", [*ALERTS, *RECORDS], ids=about)


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("promtool is missing: apt-get install prometheus")
    return subprocess.run(
        [tool, *map(str, words)], capture_output=True, text=True, check=False, cwd=PROMETHEUS
    )


def build():
    spec = importlib.util.spec_from_file_location("rules_build", PROMETHEUS / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BUILD = build()


def seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", duration)
    assert found, duration
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def bare(expr: str) -> str:
    """An expression without strings, matchers, windows and lists of labels."""
    expr = re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    expr = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expr)
    return re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expr)


def names(expr: str) -> set[str]:
    """The series that an expression reads."""
    found = re.findall(r"[A-Za-z_:][\w:]*(?!\w|:)(?!\s*\()", bare(expr))
    operators = {"and", "or", "unless", "bool", "offset"}
    functions = set(re.findall(r"([a-z_]+)\s*(?:by\s*\([^)]*\)\s*)?\(", expr))
    return set(found) - operators - (functions - NAMES)


def in_order(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_a_rule_file_is_clean(path):
    in_order(promtool("check", "rules", "--lint=all", "--lint-fatal", path))


SCRAPES = ["prometheus.yaml", "prometheus-vantages.yaml", "prometheus-probe.yaml"]


@pytest.mark.parametrize("config", SCRAPES)
def test_a_scrape_configuration_is_valid_and_loads_every_rule_file(config):
    checked = promtool("check", "config", config)

    in_order(checked)
    assert f"{len(RULE_FILES)} rule files found" in checked.stdout


@every_alert
def test_an_alert_is_named_and_labelled_as_the_others_are(alert):
    assert re.fullmatch(r"OIDC([A-Z][a-z]+|[A-Z]+)+", alert["alert"])
    assert len(alert["alert"]) <= 40
    assert set(alert["labels"]) == {"severity", "kind", "scope"}
    assert alert["labels"]["severity"] in {"critical", "warning", "info", "none"}
    assert alert["labels"]["kind"] in {"symptom", "cause", "forecast", "note", "watchdog"}
    assert alert["labels"]["scope"] in {"issuer", "vantage", "exporter"}


@every_alert
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert):
    annotations = alert["annotations"]

    assert list(annotations) == ["summary", "runbook_url", "dashboard_url", "description"]
    assert re.fullmatch(r"[A-Z][^{}]*\.", annotations["summary"])
    runbook = annotations["runbook_url"].removeprefix(f"{BUILD.RUNBOOKS}/")
    assert runbook == f"{alert['alert']}.md"
    assert (ROOT / "docs" / "runbooks" / runbook).is_file()
    dashboard = annotations["dashboard_url"].removeprefix(f"{BUILD.GRAFANA}/d/")
    assert dashboard.partition("?")[0] in DASHBOARDS


@every_alert
def test_an_alert_waits_for_two_probes(alert):
    """The watchdog is the one that has nothing to wait for."""
    if alert["labels"]["kind"] == "watchdog":
        assert "for" not in alert
    else:
        assert seconds(alert["for"]) >= SHORTEST_SECONDS


@every_alert
def test_an_alert_about_an_issuer_tells_whose_issuer_it_is(alert):
    """Alertmanager routes by `team`; the alerts of the exporters have none."""
    joined = "group_left (team) issuer:oidc_issuer:info" in " ".join(alert["expr"].split())

    assert joined == ("$labels.issuer" in alert["annotations"]["description"])


@every_alert
def test_an_alert_picks_nothing_out(alert):
    """What `topk` returns changes from one evaluation to the next, and `for` starts anew."""
    assert not re.search(r"\b(topk|bottomk|limitk)\b", alert["expr"])


def test_the_two_pages_about_an_issuer_exclude_each_other():
    """Case by case promtool shows it; together they must leave no gap either."""
    expr = {a["alert"]: " ".join(a["expr"].split()) for a in ALERTS}
    memory = "on (issuer) max_over_time(issuer:oidc_broken:bool[10m]) == 1"

    assert f"issuer:oidc_usable:bool == 0 and {memory}" in expr["OIDCIssuerUnusable"]
    assert f"issuer:oidc_usable:bool == 0 unless {memory}" in expr["OIDCIssuerOverBudget"]


@every_rule
def test_a_rule_reads_series_that_exist(rule):
    assert names(rule["expr"]) <= NAMES | RECORDED | {"up", "ALERTS"}


@every_alert
def test_a_message_asks_for_series_that_exist(alert):
    text = re.sub(r"https?://\S+", "", alert["annotations"]["description"])
    asked = set(re.findall(r"\b(?:[a-z_]+:oidc_[\w:]+|oidc_\w+)", text))

    assert asked <= NAMES | RECORDED


@every_rule
def test_a_counter_is_only_read_by_its_growth(rule):
    for name in names(rule["expr"]) & NAMES:
        if name.endswith(("_total", "_bucket", "_count", "_sum")):
            all_reads = len(re.findall(rf"\b{name}\b", rule["expr"]))
            growth = len(re.findall(rf"\b(?:rate|increase)\(\s*{name}\b", rule["expr"]))
            assert growth == all_reads, name


@pytest.mark.parametrize(
    "rule", [r for r in [*ALERTS, *RECORDS] if about(r) not in THRESHOLDS], ids=about
)
def test_a_number_that_somebody_would_tune_is_a_threshold(rule):
    """0 and 1 are truth values and ends of a share; a quantile says what is measured."""
    expr = re.sub(r"(quantile\w*[^(]*(\([^)]*\) )?\()\s*0\.\d+", r"\1", rule["expr"])

    assert set(re.findall(r"(?<![\w:.])\d+(?:\.\d+)?\b", bare(expr))) <= {"0", "1"}


@pytest.mark.parametrize("name", sorted(THRESHOLDS))
def test_a_threshold_is_used_and_says_where_it_comes_from(name):
    lines = (PROMETHEUS / "rules" / "oidc-thresholds.yaml").read_text().splitlines()
    place = lines.index(f"      - record: {name}")
    # Of a run of thresholds the first one may speak for all.
    block = []
    while lines[place - 1].strip():
        place -= 1
        block.append(lines[place].strip())

    assert any(line.startswith("#") for line in block)
    assert any(name in rule["expr"] for rule in [*ALERTS, *RECORDS] if about(rule) != name)


@pytest.mark.parametrize("rule", [a for a in ALERTS if "absent(" in a["expr"]], ids=label)
def test_what_is_absent_may_be_late(rule):
    assert seconds(rule["for"]) > SHORTEST_SECONDS


def test_whose_job_is_meant_stands_where_the_generator_changes_it():
    used = [re.findall(r'job=~"([^"]*)"', rule["expr"]) for rule in [*ALERTS, *RECORDS]]

    assert {job for jobs in used for job in jobs} == {BUILD.JOB}


def fired(alert: dict[str, Any]) -> list[str]:
    """Names of the cases in which *alert* fires."""
    severity = alert["labels"]["severity"]
    return [
        case["name"]
        for _, case in CASES
        for test in case.get("alert_rule_test", ())
        if test["alertname"] == alert["alert"]
        and any(
            expected["exp_labels"]["severity"] == severity
            for expected in test.get("exp_alerts", ())
        )
    ]


def silent(alert: dict[str, Any]) -> list[str]:
    """Names of the cases in which *alert* does not fire at all."""
    return [
        case["name"]
        for _, case in CASES
        if any(test["alertname"] == alert["alert"] for test in case.get("alert_rule_test", ()))
        and case["name"] not in fired(alert)
    ]


@every_alert
def test_an_alert_fires_in_one_case_and_stays_silent_in_another(alert):
    assert fired(alert)
    if alert["labels"]["kind"] != "watchdog":
        assert silent(alert)


def test_cases_ask_for_alerts_that_exist():
    """An alert of another name is silent in every case, whatever the rules say."""
    asked = {test["alertname"] for _, case in CASES for test in case.get("alert_rule_test", ())}

    assert asked <= {alert["alert"] for alert in ALERTS}


def test_how_long_an_alert_goes_on_is_tested_for_every_one_that_does():
    times = (PROMETHEUS / "tests" / "times.test.yaml").read_text()
    going_on = {alert["alert"] for alert in ALERTS if "keep_firing_for" in alert}

    assert {name for name in going_on if name not in times} == set()


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_a_case_is_named_by_a_sentence(path, case):
    assert re.fullmatch(r"[A-Z0-9].{20,}\.", case["name"]), path


def test_every_case_has_a_name_of_its_own():
    assert len({case["name"] for _, case in CASES}) == len(CASES)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_cases_evaluate_recorded_values_before_what_reads_them(path):
    """Without an order of its own, promtool's is another one at every run."""
    groups = {
        group["name"]
        for file in RULE_FILES
        for group in yaml.safe_load(file.read_text())["groups"]
    }
    order = yaml.safe_load(path.read_text())["group_eval_order"]

    assert set(order) == groups
    assert order.index("oidc-votes") < order.index("oidc-facts") < order.index("oidc-issuers")


def matched(expr: str, stage: str, reason: str) -> bool:
    """Whether a matcher of failures in *expr* lets this pair through."""
    return any(
        all(
            (re.fullmatch(pattern, value) is not None) == (operator in {"=", "=~"})
            for name, operator, pattern in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', body)
            if name in {"stage", "reason"}
            for value in [stage if name == "stage" else reason]
        )
        for body in re.findall(
            r"(?:oidc_failure:info|oidc_failure:vantages|oidc_probe_failure_info)\{([^}]*)\}",
            expr,
        )
    )


PAIRS = [(stage, reason) for stage, reasons in REASONS.items() for reason in reasons]


@pytest.mark.parametrize(("stage", "reason"), PAIRS)
def test_every_way_to_fail_is_explained_by_the_alert_that_the_advice_names(stage, reason):
    causes = {
        alert["alert"]
        for alert in ALERTS
        if alert["labels"]["kind"] == "cause" and matched(alert["expr"], stage, reason)
    }

    # What comes too late is a symptom with a page of its own.
    expected = set() if stage is Stage.BUDGET else {OF_FAILURE[stage, reason]}
    assert causes == expected


def test_findings_that_have_an_alert_of_their_own_are_left_out_of_the_collection():
    (lint,) = [alert for alert in ALERTS if alert["alert"] == "OIDCIssuerLint"]
    left_out = re.search(r'code!~"([^"]*)"', lint["expr"])
    assert left_out

    assert set(left_out[1].split("|")) == {
        code
        for code, alert in OF_FINDING.items()
        if alert != "OIDCIssuerLint" and LEVELS[code] is Level.WARNING
    }


def test_what_is_generated_is_fresh():
    """Otherwise: python deploy/prometheus/build.py."""
    assert BUILD.main(["--check"]) == 0


def test_the_operator_gets_the_very_same_rules():
    resource = yaml.safe_load((PROMETHEUS / "prometheusrule.yaml").read_text())
    groups = [
        group
        for name in BUILD.RULES
        for group in yaml.safe_load((PROMETHEUS / "rules" / name).read_text())["groups"]
    ]

    assert (resource["kind"], resource["spec"]["groups"]) == ("PrometheusRule", groups)


def test_links_are_written_anew_wherever_they_stood():
    text = (PROMETHEUS / "rules" / "oidc-alerts.yaml").read_text()

    assert BUILD.linked(text) == text
    assert BUILD.linked(text.replace(f"{BUILD.GRAFANA}/d/", "https://old/")) == text
    assert BUILD.linked(re.sub(r"(?m)^ +runbook_url:.*\n", "", text)) == text


def test_rules_for_another_place_name_that_place_and_are_rules(tmp_path):
    options = {
        "--runbook-url": "https://wiki.example/runbooks/",
        "--grafana-url": "https://graphs.example/",
        "--job": "oidc",
        "--issuer-labels": "team,tier",
        "--hasten": "60",
        "--output": str(tmp_path),
    }

    assert BUILD.main([word for option in options.items() for word in option]) == 0
    for name in BUILD.RULES:
        in_order(promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / name))
    alerts = (tmp_path / "oidc-alerts.yaml").read_text()
    recording = (tmp_path / "oidc-recording.yaml").read_text()
    for gone in (BUILD.RUNBOOKS, BUILD.GRAFANA, f'"{BUILD.JOB}"', "group_left (team)"):
        assert gone not in alerts + recording
    assert "https://wiki.example/runbooks/OIDCIssuerUnusable.md\n" in alerts
    assert "https://graphs.example/d/oidc-issuer?" in alerts
    assert 'absent(up{job=~"oidc"})' in alerts
    assert "group by (issuer, team, tier) (oidc_issuer_info)" in recording
    assert "\n        for: 2000ms\n" in alerts
    assert "avg_over_time(issuer:oidc_usable:bool[43200000ms])" in recording
    assert not re.search(r"\[\d+[smhd]\]|: \d+[smhd]$", alerts + recording, re.MULTILINE)


def test_rules_for_another_place_do_not_overwrite_ours(capsys):
    with pytest.raises(SystemExit):
        BUILD.main(["--grafana-url", "https://graphs.example"])

    assert "--output DIR" in capsys.readouterr().err


def test_a_stale_file_is_noticed(tmp_path):
    assert BUILD.main(["--output", str(tmp_path)]) == 0
    assert BUILD.main(["--output", str(tmp_path), "--check"]) == 0
    (tmp_path / "prometheusrule.yaml").write_text("old")

    assert "prometheusrule.yaml" in BUILD.main(["--output", str(tmp_path), "--check"])
