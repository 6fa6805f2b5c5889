"""Who is told what: the shipped routing, inhibition and texts, on a real Alertmanager."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.demo.programs import alertmanager, free_address
from exporter.demo.wiring import Addresses, alertmanager_config
from exporter.durations import parse_duration
from tests.stack import Inbox, Message, ask, faster, inbox, running, tool, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yaml"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "oidc-alerts.yaml"
ALERTS = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
FACTOR = 200.0


def amtool(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [tool("amtool", "prometheus-alertmanager"), *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_amtool_has_nothing_against_the_configuration():
    code, said = amtool("check-config", str(CONFIG))

    assert (code, "1 templates" in said) == (0, True)


def receiver_of(labels: dict[str, str]) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    code, said = amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs)
    assert code == 0
    return said.strip()


RECEIVERS = {"critical": "pager", "warning": "ticket", "info": "log", "none": "watchdog"}


@pytest.mark.parametrize(
    "rule", ALERTS, ids=lambda r: f"{r['alert']}-{r['labels']['severity']}"
)
def test_every_alert_goes_where_its_severity_says(rule):
    labels = {"alertname": rule["alert"], "issuer": "okta", **rule["labels"]}

    assert receiver_of(labels) == RECEIVERS[rule["labels"]["severity"]]


def test_an_unknown_severity_is_a_ticket():
    """A slip in somebody's own rule: it shall be read all the same."""
    assert receiver_of({"alertname": "OIDCMine", "severity": "urgent"}) == "ticket"


def test_an_alert_that_is_not_ours_is_not_paged():
    assert receiver_of({"alertname": "NodeDown", "severity": "critical"}) == "ticket"


def test_secrets_stand_in_files():
    """Whoever copies the configuration into a repository gives nothing away."""
    config = yaml.safe_load(CONFIG.read_text())
    files = [value for key, value in items(config) if key.endswith("_file")]

    assert len(files) == 4
    assert {str(Path(path).parent) for path in files} == {"/etc/alertmanager/secrets"}
    assert not [key for key, _ in items(config) if key in {"api_url", "routing_key", "token"}]


def items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    match value:
        case dict():
            for key, inner in value.items():
                yield key, inner
                yield from items(inner)
        case list():
            for inner in value:
                yield from items(inner)


def labels_of(text: str) -> dict[str, str]:
    """Labels as the tables below write them: a rule's name, then `key=value` pairs.

    The labels that the rule itself has are added; of several rules of one name, it is the
    first, unless a severity is given.
    """
    name, *pairs = text.split()
    given = dict(pair.split("=", 1) for pair in pairs)
    own: dict[str, str] = next(
        (
            rule["labels"]
            for rule in ALERTS
            if rule["alert"] == name
            and given.get("severity") in {None, rule["labels"]["severity"]}
        ),
        {},
    )
    return {"alertname": name} | own | given


UNUSABLE = "OIDCIssuerUnusable issuer=okta"
FROM_PARIS = "OIDCIssuerFailsFromVantage issuer=okta vantage=paris"
DOWN = "OIDCExporterDown instance=a:1 job=oidc"
TLS = "OIDCIssuerTLSFailing issuer=okta"


@contextmanager
def delivery(folder: Path, factor: float = FACTOR) -> Iterator[tuple[str, Inbox]]:
    """Alertmanager as it is shipped, but in a hurry; its URL, and what it delivers."""
    tool("prometheus-alertmanager", "prometheus-alertmanager")
    with inbox() as kept:
        addresses = Addresses(
            exporter="", prometheus="", alertmanager=free_address(), receiver=kept.address
        )
        config = faster(alertmanager_config(addresses, folder), factor)
        with running(folder, alertmanager(folder, config, addresses.alertmanager)) as url:
            yield url, kept


def send(url: str, *alerts: dict[str, Any]) -> None:
    ask(f"{url}/api/v2/alerts", list(alerts))


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def firing(text: str, **annotations: str) -> dict[str, Any]:
    """An alert that begins now: to one from long ago, no `group_wait` would apply."""
    labels = labels_of(text)
    name = labels["alertname"]
    return {
        "labels": labels,
        "startsAt": now(),
        "annotations": {
            "summary": f"Summary of {name}.",
            "description": f"Description of {name}.",
            "runbook_url": f"https://runbooks.example/{name}.md",
            "dashboard_url": "https://grafana.example.com/d/oidc-issuer?var-issuer=okta",
            **annotations,
        },
    }


def resolved(alert: dict[str, Any]) -> dict[str, Any]:
    return {**alert, "endsAt": now()}


def written(time: str) -> str:
    return dt.datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M:%S UTC")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Alertmanager to ask what inhibits what."""
    with delivery(tmp_path_factory.mktemp("inhibition"), factor=1.0) as (url, _):
        yield url


# Alertmanager learns of alerts in the order they come: once it silences the last of them,
# it has thought about all.
LAST = ("OIDCLast severity=critical issuer=last", "OIDCLast severity=warning issuer=last")


def inhibited(url: str, place: str, *texts: str) -> list[str]:
    """Which alerts of *texts* are silenced by another, each seen at *place* alone.

    Places keep the cases of one Alertmanager apart, and stand in every label that a rule of
    inhibition compares.
    """

    def named(text: str) -> str:
        for word in ("issuer=", "instance=", "job=", "place="):
            text = text.replace(f" {word}", f" {word}{place}-")
        return text

    def here(alert: dict[str, Any]) -> bool:
        return any(value.startswith(f"{place}-") for value in alert["labels"].values())

    def silenced() -> list[str]:
        return sorted(
            alert["labels"]["alertname"]
            for alert in filter(here, ask(f"{url}/api/v2/alerts"))
            if alert["status"]["inhibitedBy"]
        )

    send(url, *(firing(named(text)) for text in (*texts, *LAST)))
    assert until(lambda: "OIDCLast" in silenced())
    return [name for name in silenced() if name != "OIDCLast"]


SILENCED: list[tuple[str, Sequence[str], Sequence[str]]] = [
    ("its cause", [UNUSABLE, TLS], ["OIDCIssuerTLSFailing"]),
    ("a cause of one vantage", [UNUSABLE, f"{TLS} vantage=paris"], ["OIDCIssuerTLSFailing"]),
    ("a ticket of one vantage", [UNUSABLE, FROM_PARIS], ["OIDCIssuerFailsFromVantage"]),
    (
        "what foretold it",
        [
            "OIDCIssuerOverBudget issuer=okta",
            "OIDCIssuerLatencyHigh severity=warning issuer=okta",
        ],
        ["OIDCIssuerLatencyHigh"],
    ),
    ("a cause of another issuer", [UNUSABLE, TLS.replace("okta", "auth0")], []),
    (
        "a cause that its vantage names",
        [FROM_PARIS, f"{TLS} vantage=paris"],
        ["OIDCIssuerTLSFailing"],
    ),
    (
        "a cause that the only vantage names",
        [FROM_PARIS.replace(" vantage=paris", ""), TLS],
        ["OIDCIssuerTLSFailing"],
    ),
    ("a cause from elsewhere", [FROM_PARIS, f"{TLS} vantage=tokyo"], []),
    ("a cause without a symptom", [TLS], []),
    (
        "the same but worse",
        [
            "OIDCCertificateExpiring severity=critical issuer=okta",
            "OIDCCertificateExpiring severity=warning issuer=okta",
        ],
        ["OIDCCertificateExpiring"],
    ),
    (
        "the same of another issuer",
        [
            "OIDCCertificateExpiring severity=critical issuer=okta",
            "OIDCCertificateExpiring severity=warning issuer=auth0",
        ],
        [],
    ),
    (
        "the same but worse from elsewhere",
        [
            "OIDCMine severity=critical issuer=okta vantage=paris",
            "OIDCMine severity=warning issuer=okta vantage=tokyo",
        ],
        [],
    ),
    (
        "the same but worse of another exporter",
        [
            "OIDCMine severity=critical issuer=okta instance=a:1",
            "OIDCMine severity=warning issuer=okta instance=b:1",
        ],
        [],
    ),
    (
        "stale because it is down",
        [DOWN, "OIDCProbeStale instance=a:1 job=oidc"],
        ["OIDCProbeStale"],
    ),
    ("another one is stale", [DOWN, "OIDCProbeStale instance=b:1 job=oidc"], []),
    ("one of another job is stale", [DOWN, "OIDCProbeStale instance=a:1 job=cd"], []),
    (
        "exporters do not silence issuers",
        [
            "OIDCExporterIsolated instance=a:1 job=oidc",
            TLS,
            f"{TLS} vantage=paris instance=a:1",
        ],
        [],
    ),
    (
        "those that have no instance",
        ["OIDCExporterAllDown", "OIDCExporterConfigDiffers place=here"],
        [],
    ),
    (
        "those that have no issuer",
        ["OIDCIssuerUnusable", "OIDCIssuerTLSFailing place=here", "OIDCProbeStale job=x"],
        [],
    ),
]


@pytest.mark.parametrize(("case", "texts", "expected"), SILENCED, ids=[s[0] for s in SILENCED])
def test_an_alert_that_tells_nothing_new_is_silenced(judge, case, texts, expected):
    assert inhibited(judge, case.replace(" ", "-"), *texts) == expected


def test_nothing_critical_no_forecast_and_no_note_is_silenced_by_an_outage(judge):
    """Above all a certificate that is about to expire."""
    at_all = [
        f"{rule['alert']} severity={rule['labels']['severity']} issuer=okta vantage=paris"
        for rule in ALERTS
        if rule["labels"]["scope"] != "exporter"
    ]
    expected = {
        rule["alert"]
        for rule in ALERTS
        if rule["labels"]["scope"] != "exporter"
        and rule["labels"]["kind"] in {"cause", "symptom"}
        and rule["labels"]["severity"] != "critical"
    }
    # Severities are told apart by name only, so here one alert may hide behind another: the
    # warnings beside a critical alert of the same name.
    worse = {"OIDCCertificateExpiring", "OIDCKeyCountNearLimit"}

    assert set(inhibited(judge, "outage", UNUSABLE, *at_all)) == expected | worse


def test_a_page_overtakes_the_ticket_that_it_makes_needless():
    """A cause must be waiting still when what silences it fires."""
    config = yaml.safe_load(CONFIG.read_text())
    (ours,) = config["route"]["routes"]
    waits = {
        route["receiver"]: parse_duration(route["group_wait"])
        for route in ours["routes"][1]["routes"]
    }
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    evaluation = parse_duration(prometheus["global"]["evaluation_interval"])
    silenced = [
        parse_duration(rule["for"])
        for rule in ALERTS
        if (rule["labels"]["kind"], rule["labels"]["severity"]) == ("cause", "warning")
        and rule["labels"]["scope"] != "exporter"
    ]
    loudest = ("OIDCIssuerUnusable", "OIDCIssuerOverBudget", "OIDCIssuerFailsFromVantage")
    silencing = [parse_duration(r["for"]) for r in ALERTS if r["alert"] in loudest]

    assert len(silencing) == len(loudest)
    assert waits["ticket"] > waits["pager"] > evaluation
    assert waits["ticket"] + min(silenced) > max(silencing) + 2 * evaluation


def test_what_was_sent_is_remembered_until_it_is_sent_again():
    """Alertmanager forgets after 120 h (--data.retention), and would repeat what is no news."""
    config = yaml.safe_load(CONFIG.read_text())
    repeats = [parse_duration(v) for key, v in items(config) if key == "repeat_interval"]

    assert len(repeats) == 4
    assert max(repeats) < parse_duration("120h")


def inbox_after(kept: Inbox, path: str, count: int = 1) -> list[Message]:
    """What came to *path*, once at least *count* messages are there."""
    found: list[Message] = until(lambda: len(kept.at(path)) >= count and kept.at(path))
    assert found, [message.path for message in kept.messages]
    return found


def test_a_page_says_which_issuer_which_cause_since_when_and_what_to_do(tmp_path):
    page = firing(
        f"{UNUSABLE} team=identity",
        summary="AWS STS gets no usable key from this issuer.",
        description="okta: TLS certificate expired (tls/expired), from 2 of 3 vantages.",
    )
    with delivery(tmp_path) as (url, kept):
        cause = firing(TLS)
        send(url, page, cause)
        (message,) = inbox_after(kept, "/pagerduty")
        over = resolved(page)
        send(url, over, resolved(cause))
        _, end = inbox_after(kept, "/pagerduty", 2)

    text = cleandoc("""
        AWS STS gets no usable key from this issuer. (OIDCIssuerUnusable, critical)
        okta: TLS certificate expired (tls/expired), from 2 of 3 vantages.
        Issuer: okta
        Team: identity
        Alerting since: {since}{end}
        What to do: https://runbooks.example/OIDCIssuerUnusable.md
        Dashboard: https://grafana.example.com/d/oidc-issuer?var-issuer=okta
    """)
    since = written(page["startsAt"])
    payload = message.content["payload"]
    assert payload["summary"] == (
        "[CRITICAL] okta: AWS STS gets no usable key from this issuer."
    )
    assert payload["custom_details"]["firing"] == text.format(since=since, end="")
    assert (payload["severity"], payload["component"], payload["source"]) == (
        "critical",
        "okta",
        "okta",
    )
    assert [link["href"] for link in message.content["links"]] == [
        "https://runbooks.example/OIDCIssuerUnusable.md",
        "https://grafana.example.com/d/oidc-issuer?var-issuer=okta",
    ]
    assert (message.is_resolved, end.is_resolved) == (False, True)
    assert end.content["dedup_key"] == message.content["dedup_key"]
    assert end.content["payload"]["custom_details"]["resolved"] == text.format(
        since=since, end=f"\nResolved: {written(over['endsAt'])}"
    )
    assert {m.path for m in kept.messages} == {"/pagerduty"}


def test_what_is_wrong_with_one_issuer_comes_in_one_message(tmp_path):
    """And what is wrong with another one in another."""
    mismatch = "OIDCIssuerMismatch issuer=okta"
    with delivery(tmp_path) as (url, kept):
        send(
            url,
            firing(UNUSABLE),
            firing(mismatch),
            firing(UNUSABLE.replace("okta", "auth0")),
        )
        messages = inbox_after(kept, "/pagerduty", 2)

    titles = sorted(message.content["payload"]["summary"] for message in messages)
    assert titles == [
        "[CRITICAL] auth0: Summary of OIDCIssuerUnusable.",
        "[CRITICAL] okta: Summary of OIDCIssuerUnusable. (2 alerts)",
    ]
    # Not those of whatever comes first in the alphabet.
    assert {message.content["links"][0]["href"] for message in messages} == {
        "https://runbooks.example/OIDCIssuerUnusable.md"
    }


def test_a_ticket_names_vantage_and_team_and_links_to_its_runbook(tmp_path):
    with delivery(tmp_path) as (url, kept):
        send(url, firing(FROM_PARIS))
        (message,) = inbox_after(kept, "/slack")

    (attachment,) = message.content["attachments"]
    assert attachment["title"] == "[WARNING] okta: Summary of OIDCIssuerFailsFromVantage."
    assert attachment["title_link"].endswith("/OIDCIssuerFailsFromVantage.md")
    assert "Seen from: paris" in attachment["text"]
    assert [action["text"] for action in attachment["actions"]] == ["Runbook", "Dashboard"]


def test_one_message_tells_of_all_exporters_and_of_no_more_than_ten_alerts(tmp_path):
    alerts = [firing(DOWN.replace("a:1", f"a:{number}")) for number in range(12)]
    with delivery(tmp_path) as (url, kept):
        send(url, *alerts)
        (message,) = inbox_after(kept, "/slack")

    (attachment,) = message.content["attachments"]
    assert attachment["title"] == (
        "[WARNING] OIDC exporters: Summary of OIDCExporterDown. (12 alerts)"
    )
    assert attachment["text"].count("Exporter: a:") == 10
    assert attachment["text"].endswith("... and more: 12 alerts in all")


def test_the_dead_mans_switch_is_called_again_and_again(tmp_path):
    watchdog = "OIDCExporterWatchdog"
    with delivery(tmp_path) as (url, kept):
        send(url, firing(watchdog))
        first, second, *_ = inbox_after(kept, "/webhook/watchdog", 2)

    assert first.content["alerts"] == second.content["alerts"]


def test_notes_go_to_the_log(tmp_path):
    note = "OIDCKeyRotationObserved issuer=okta"
    with delivery(tmp_path, factor=1000.0) as (url, kept):
        send(url, firing(note))
        (message,) = inbox_after(kept, "/webhook/log")

    assert json.loads(json.dumps(message.content))["commonLabels"]["issuer"] == "okta"
