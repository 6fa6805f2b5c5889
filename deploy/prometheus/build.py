"""Write what follows from the rules, and variants of the rules for other places.

    python deploy/prometheus/build.py              links, prometheusrule.yaml, docs/alerts.md
    python deploy/prometheus/build.py --check      exit 1 when one of them is stale
    python deploy/prometheus/build.py --output DIR --grafana-url URL ...     your own rules

The files in `rules/` are written by hand, but for two annotations of each alert: where its
runbook stands and which dashboard shows it is decided here and nowhere else.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RULES = ("oidc-thresholds.yaml", "oidc-recording.yaml", "oidc-alerts.yaml")
RUNBOOKS = (
    "https://github.com/oidc-issuer-exporter/oidc-issuer-exporter/blob/main/docs/runbooks"
)
GRAFANA = "https://grafana.example.com"
#: Whose `up` tells of the exporters; the Helm chart puts the release's name before it.
JOB = "(.+-)?oidc-issuer-exporter"
#: Which of the issuers' own labels reach their alerts.
ISSUER_LABELS = "team"

Rule = dict[str, Any]

_LINKS = re.compile(r"^ +(runbook_url|dashboard_url):.*\n", re.MULTILINE)
_SUMMARY = re.compile(r"^( +)summary:.*\n", re.MULTILINE)
_DURATION = re.compile(
    r"(?P<before>\[|^ *(?:for|keep_firing_for|interval): )(?P<n>\d+)(?P<unit>[smhd])(?=\]|$)",
    re.MULTILINE,
)
_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# The causes of AWS's article that several failures have in common; the alerts about one
# stage or reason take theirs from `exporter.advice`.
_CAUSES = {
    "OIDCIssuerUnusable": "A B C E F G",
    "OIDCIssuerFailsFromVantage": "B",
    "OIDCIssuerLatencyHigh": "C",
    "OIDCJWKSNotCacheable": "D",
    "OIDCJWKSCacheTooShort": "D",
    "OIDCJWKSCacheTooLong": "G",
    "OIDCKeyRemovedWithoutOverlap": "G",
    "OIDCKeySetsDiverge": "G",
    "OIDCKeySetFlapping": "G",
    "OIDCKeyCountNearLimit": "G",
    "OIDCCertificateExpiring": "A",
    "OIDCIssuerPrivateAddress": "A",
}
_DOCUMENTATION = """\
# Alerts

<!-- Generated from deploy/prometheus/rules: python deploy/prometheus/build.py -->

What the shipped rules tell, the worst first. `critical` wakes somebody, `warning` makes a
ticket, `info` is a note; the watchdog fires always, so that its silence can be heard. An alert
fires when its condition has held for the time in the column `for`. The letters name the cause
of AWS's article, as in [how STS sees an issuer](how-sts-sees-an-issuer.md); behind each name
is its [runbook](runbooks/README.md). How messages are routed, and which alert silences which,
stands in `deploy/alertmanager/alertmanager.yaml`.

"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What differs between the rules as they are shipped and somebody's own.

    Attributes:
        hasten: Every duration is divided by this, for demonstrations and tests.
    """

    runbook_url: str = RUNBOOKS
    grafana_url: str = GRAFANA
    job: str = JOB
    issuer_labels: str = ISSUER_LABELS
    hasten: int = 1


def alerts(text: str) -> list[Rule]:
    """The alert rules in a rule file's *text*, in order."""
    groups = yaml.safe_load(text)["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def linked(text: str) -> str:
    """A rule file's *text* with both links behind the summary of every alert."""
    text = _LINKS.sub("", text)
    rules = iter(alerts(text))

    def links(summary: re.Match[str]) -> str:
        rule = next(rules)
        return (
            f"{summary[0]}"
            f"{summary[1]}runbook_url: {RUNBOOKS}/{rule['alert']}.md\n"
            f"{summary[1]}dashboard_url: {GRAFANA}/d/{_dashboard(rule)}\n"
        )

    return _SUMMARY.sub(links, text)


def _dashboard(rule: Rule) -> str:
    """Path and query of the dashboard that shows what *rule* is about."""
    description = rule["annotations"]["description"]
    if rule["alert"] == "OIDCIssuerErrorBudgetBurn":
        return "oidc-slo?var-issuer={{ $labels.issuer | urlquery }}"
    if "$labels.issuer" in description:
        return "oidc-issuer?var-issuer={{ $labels.issuer | urlquery }}"
    if "$labels.instance" in description:
        return "oidc-exporter?var-instance={{ $labels.instance | urlquery }}"
    of_all = rule["labels"]["kind"] == "watchdog" or rule["labels"]["scope"] == "vantage"
    return "oidc-overview" if of_all else "oidc-exporter"


def placed(text: str, place: Place) -> str:
    """A rule file's *text* as it should be at *place*; comments and order are kept."""
    text = text.replace(RUNBOOKS, place.runbook_url.rstrip("/"))
    text = text.replace(GRAFANA, place.grafana_url.rstrip("/"))
    text = text.replace(f'"{JOB}"', f'"{place.job}"')
    text = text.replace(f"group_left ({ISSUER_LABELS})", f"group_left ({place.issuer_labels})")
    text = text.replace(f"(issuer, {ISSUER_LABELS})", f"(issuer, {place.issuer_labels})")
    return text if place.hasten == 1 else _DURATION.sub(_hastened(place.hasten), text)


def _hastened(by: int) -> Any:  # noqa: ANN401 - what re.sub takes
    def shorter(match: re.Match[str]) -> str:
        return f"{match['before']}{int(match['n']) * _MILLISECONDS[match['unit']] // by}ms"

    return shorter


def prometheusrule(texts: Sequence[str]) -> str:
    """One PrometheusRule of the Prometheus operator with everything in *texts*."""
    groups = [group for text in texts for group in yaml.safe_load(text)["groups"]]
    labels = {"app.kubernetes.io/name": "oidc-issuer-exporter"}
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "oidc-issuer-exporter", "labels": labels},
        "spec": {"groups": groups},
    }
    dumped = yaml.dump(resource, Dumper=_Dumper, sort_keys=False, width=10_000)
    return f"# Generated from rules/: python deploy/prometheus/build.py\n{dumped}"


class _Dumper(yaml.SafeDumper):
    """Writes several lines as such, and nothing as a reference."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - what PyYAML calls
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def documentation(text: str) -> str:
    """`docs/alerts.md`, made of the rule file's *text*."""
    causes = {**_stage_causes(), **_CAUSES}
    tables = [
        f"## {severity.capitalize()}\n\n{_table(rules, causes)}\n"
        for severity in ("critical", "warning", "info", "none")
        if (rules := [r for r in alerts(text) if r["labels"]["severity"] == severity])
    ]
    return _DOCUMENTATION + "\n".join(tables)


def _table(rules: Sequence[Rule], causes: Mapping[str, str]) -> str:
    rows = [
        (
            f"[{rule['alert']}](runbooks/{rule['alert']}.md)",
            rule["annotations"]["summary"],
            rule.get("for", ""),
            f"{rule['labels']['kind']}, {rule['labels']['scope']}",
            causes.get(rule["alert"], ""),
        )
        for rule in rules
    ]
    head = ("alert", "meaning", "for", "kind, about", "cause")
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _stage_causes() -> dict[str, str]:
    # Only this page needs the exporter's package: variants are made without it.
    sys.path.insert(0, str(ROOT))
    from exporter.advice import FAILURES  # noqa: PLC0415
    from exporter.advice.alerts import OF_FAILURE  # noqa: PLC0415

    found: dict[str, set[str]] = {}
    for pair, alert in OF_FAILURE.items():
        found.setdefault(alert, set()).add(FAILURES[pair].cause)
    return {alert: " ".join(sorted(causes)) for alert, causes in found.items()}


def shipped() -> Iterator[tuple[Path, str]]:
    """Every file of the checkout that is written here, as it should be."""
    texts = [linked((HERE / "rules" / name).read_text()) for name in RULES]
    for name, text in zip(RULES, texts, strict=True):
        yield HERE / "rules" / name, text
    yield HERE / "prometheusrule.yaml", prometheusrule(texts)
    yield ROOT / "docs" / "alerts.md", documentation(texts[-1])


def variant(folder: Path, place: Place) -> Iterator[tuple[Path, str]]:
    """The same for *place*: rule files in *folder* and the PrometheusRule beside them."""
    texts = [placed(linked((HERE / "rules" / name).read_text()), place) for name in RULES]
    for name, text in zip(RULES, texts, strict=True):
        yield folder / name, text
    yield folder / "prometheusrule.yaml", prometheusrule(texts)


def main(arguments: Sequence[str] | None = None) -> int | str:
    """Write, or check; what to exit with."""
    options = _parser().parse_args(arguments)
    place = Place(
        runbook_url=options.runbook_url,
        grafana_url=options.grafana_url,
        job=options.job,
        issuer_labels=options.issuer_labels.replace(",", ", "),
        hasten=options.hasten,
    )
    if options.output is None and place != Place():
        _parser().error("name a folder for your own rules: --output DIR")
    files = dict(shipped() if options.output is None else variant(options.output, place))
    if options.check:
        stale = [path for path, text in files.items() if _read(path) != text]
        return f"stale: {', '.join(map(str, stale))}; run build.py" if stale else 0
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    add("--output", type=Path, metavar="DIR", help="write rules of your own into DIR")
    add("--runbook-url", default=RUNBOOKS, metavar="URL", help="where docs/runbooks stands")
    add("--grafana-url", default=GRAFANA, metavar="URL", help="where Grafana is reached")
    add("--job", default=JOB, metavar="REGEX", help="the exporters' job in Prometheus")
    add(
        "--issuer-labels",
        default=ISSUER_LABELS,
        metavar="NAMES",
        help="labels of issuers that their alerts carry, with commas between",
    )
    add(
        "--hasten",
        type=int,
        default=1,
        metavar="N",
        help="divide every duration by N, to see alerts fire soon (demonstrations, tests)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
