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

from exporter.demo.stack import alertmanager, free_address
from exporter.demo.wiring import Addresses, alertmanager_config
from tests.stack import Inbox, Message, ask, faster, inbox, running, tool, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yaml"
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


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=critical kind=symptom scope=issuer issuer=okta", "pager"),
        ("severity=warning kind=cause scope=issuer issuer=okta", "ticket"),
        ("severity=warning kind=symptom scope=vantage issuer=okta vantage=paris", "ticket"),
        ("severity=info kind=note scope=issuer issuer=okta", "log"),
        ("severity=critical kind=symptom scope=exporter", "pager"),
        ("severity=warning kind=cause scope=exporter instance=a:1", "ticket"),
        ("severity=none kind=watchdog scope=exporter", "watchdog"),
        ("severity=fancy kind=symptom scope=issuer issuer=okta", "ticket"),
        ("severity=critical", "ticket"),
    ],
)
def test_an_alert_goes_where_its_severity_says(labels, receiver):
    """An unknown severity or scope is a slip in a rule: somebody shall read it all the same."""
    code, said = amtool(
        *("config", "routes", "test", f"--config.file={CONFIG}"),
        *("alertname=OIDCIssuerWhatever", *labels.split()),
    )

    assert (code, said.strip()) == (0, receiver)


def test_an_alert_that_is_not_ours_is_not_paged():
    arguments = ["alertname=NodeDown", "severity=critical", "scope=issuer"]
    _, said = amtool("config", "routes", "test", f"--config.file={CONFIG}", *arguments)

    assert said.strip() == "ticket"


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
    """Labels as they are written in the tables below: a name, then `key=value` pairs."""
    name, *pairs = text.split()
    return {"alertname": name} | dict(pair.split("=", 1) for pair in pairs)


UNUSABLE = "OIDCIssuerUnusable severity=critical kind=symptom scope=issuer issuer=okta"
FROM_PARIS = (
    "OIDCIssuerFailsFromVantage severity=warning kind=symptom scope=vantage"
    " issuer=okta vantage=paris"
)
DOWN = "OIDCExporterDown severity=warning kind=symptom scope=exporter instance=a:1 job=oidc"
TLS = "OIDCIssuerTLSFailing severity=warning kind=cause scope=issuer issuer=okta"


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
        for word in ("issuer=", "instance=", "job="):
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
    ("a vantage's own ticket", [UNUSABLE, FROM_PARIS], ["OIDCIssuerFailsFromVantage"]),
    ("another issuer's cause", [UNUSABLE, TLS.replace("okta", "auth0")], []),
    ("a vantage's cause", [FROM_PARIS, f"{TLS} vantage=paris"], ["OIDCIssuerTLSFailing"]),
    ("another vantage's cause", [FROM_PARIS, f"{TLS} vantage=tokyo"], []),
    ("a cause without a symptom", [TLS], []),
]


@pytest.mark.parametrize(("case", "texts", "expected"), SILENCED, ids=[s[0] for s in SILENCED])
def test_an_alert_that_tells_nothing_new_is_silenced(judge, case, texts, expected):
    assert inhibited(judge, case.replace(" ", "-"), *texts) == expected


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
    mismatch = "OIDCIssuerMismatch severity=critical kind=cause scope=issuer issuer=okta"
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
        "[CRITICAL] okta: 2 alerts",
    ]


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
    assert attachment["title"] == ("[WARNING] OIDC exporters: Summary of OIDCExporterDown.")
    assert attachment["text"].count("Exporter: a:") == 10
    assert attachment["text"].endswith("... and more: 12 alerts in all")


def test_the_dead_mans_switch_is_called_again_and_again(tmp_path):
    watchdog = "OIDCExporterWatchdog severity=none kind=watchdog scope=exporter"
    with delivery(tmp_path) as (url, kept):
        send(url, firing(watchdog))
        first, second, *_ = inbox_after(kept, "/webhook/watchdog", 2)

    assert first.content["alerts"] == second.content["alerts"]


def test_notes_go_to_the_log(tmp_path):
    note = "OIDCKeyRotationObserved severity=info kind=note scope=issuer issuer=okta"
    with delivery(tmp_path, factor=1000.0) as (url, kept):
        send(url, firing(note))
        (message,) = inbox_after(kept, "/webhook/log")

    assert json.loads(json.dumps(message.content))["commonLabels"]["issuer"] == "okta"
