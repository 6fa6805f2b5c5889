"""What several dashboards have: variables, marks, links, and the table of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.prometheus.build import RUNBOOKS
from grafana import expressions, fields, frame, tables, words
from grafana.fields import Query

if TYPE_CHECKING:
    from grafana.names import Json, Selectors

WITHOUT_RULES = "no data: are the recording rules loaded?"
TITLES = {
    "oidc-overview": "Overview",
    "oidc-issuer": "Issuer",
    "oidc-slo": "SLO",
    "oidc-exporter": "Exporter",
}
#: What every dashboard understands; `issuer` is one there and many here.
PLACES = ("job", "instance", "vantage")
_MARKS = {
    "Pages": words.RED,
    "Key rotations": "purple",
    "Configuration reloads": "blue",
    "Restarts": words.GREY,
}


def variables(*shown: str, one_issuer: bool = False) -> list[Json]:
    """All variables; those that change nothing here are hidden, and carried along."""
    build = "oidc_exporter_build_info"
    narrowed = 'job=~"$job",instance=~"$instance"'
    return [
        frame.variable(
            "job",
            "Job",
            f"label_values({build}, job)",
            shown="job" in shown,
            description="The exporters' job in Prometheus.",
        ),
        frame.variable(
            "instance",
            "Instance",
            f'label_values({build}{{job=~"$job"}}, instance)',
            shown="instance" in shown,
            description="Which exporters.",
        ),
        frame.variable(
            "vantage",
            "Vantage",
            f"label_values({build}{{{narrowed}}}, vantage)",
            # An exporter without the label has an empty one.
            every=".*",
            shown="vantage" in shown,
            description="Where exporters stand; empty where no target has this label.",
        ),
        _issuers(narrowed, one=one_issuer, shown="issuer" in shown),
    ]


def _issuers(narrowed: str, *, one: bool, shown: bool) -> Json:
    return frame.variable(
        "issuer",
        "Issuer",
        f"label_values(oidc_issuer_info{{{narrowed}}}, issuer)",
        multi=not one,
        shown=shown,
        description="Which issuer." if one else "Which issuers.",
    )


def head(here: str) -> list[Json]:
    """Links to the other dashboards, and to what explains them."""
    found = [_to(uid, here) for uid in TITLES if uid != here]
    return [*found, frame.page_link("Runbooks", f"{RUNBOOKS}/README.md")]


def _to(uid: str, here: str) -> Json:
    # All issuers are no choice where there is room for one, and who goes back to the
    # overview wants to see all of them.
    if uid == "oidc-issuer" or (uid, here) == ("oidc-overview", "oidc-issuer"):
        query = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", *PLACES))
        return frame.dashboard_link(TITLES[uid], f"/d/{uid}?{query}", all_variables=False)
    return frame.dashboard_link(TITLES[uid], f"/d/{uid}")


def pages(matchers: str, by: str) -> Json:
    """Marks where the condition of an alert began that wakes somebody; one for each of *by*.

    Only the beginnings: regions of several alerts lie above each other and hide the graph.
    """
    since = 'ALERTS_FOR_STATE{alertname=~"OIDC.+"} and ignoring (alertstate) '
    firing = expressions.firing(f'severity="critical",{matchers}')
    return _moments("Pages", f"max by ({by}) ({since}{firing})", _braced(by))


def _braced(labels: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels.split(", "))


def rotations(of: Selectors, *, on: bool = True) -> Json:
    """Marks where a key set changed."""
    changed = of("oidc_jwks_change_timestamp_seconds")
    return _moments("Key rotations", f"max by (issuer) ({changed})", "{{issuer}}", on=on)


def reloads(of: Selectors, *, on: bool = True) -> Json:
    """Marks where an exporter loaded another configuration."""
    loaded = of("oidc_exporter_config_last_reload_success_timestamp_seconds")
    expr = f"max by (instance) ({loaded})"
    return _moments("Configuration reloads", expr, "{{instance}}", on=on)


def restarts(of: Selectors, *, on: bool = True) -> Json:
    """Marks where an exporter started."""
    started = expressions.ours(of("process_start_time_seconds"), of)
    return _moments("Restarts", f"max by (instance) ({started})", "{{instance}}", on=on)


def _moments(name: str, expr: str, text: str, *, on: bool = True) -> Json:
    # What happened before the time that is shown would be drawn at its edge.
    within = f"1000 * {expr} > $__from"
    color = _MARKS[name]
    return frame.annotation(name, within, says=(name, text), color=color, at_value=True, on=on)


def alerts(matchers: str, description: str, *about: fields.Column, w: int, h: int) -> Json:
    """A table of what fires, *about* whom, since when, and where the runbook stands."""
    since = 'ALERTS_FOR_STATE{alertname=~"OIDC.+"} * 1000 and ignoring (alertstate) '
    firing = expressions.firing(f'severity=~"critical|warning",{matchers}'.rstrip(","))
    return tables.table(
        "Firing alerts",
        description,
        fields.label(
            "Severity", "severity", *fields.background(words.SEVERITY), fields.width(105)
        ),
        fields.label(
            "Alert", "alertname", fields.links(words.to_runbook()), fields.at_least(240)
        ),
        *about,
        fields.label("Vantage", "vantage", fields.width(130)),
        fields.label("Team", "team", fields.width(110)),
        fields.value(
            "Since", fields.rows(since + firing), fields.width(130), unit="dateTimeFromNow"
        ),
        sort="Severity",
        w=w,
        h=h,
        no_value="No firing alert is known.",
    )


def threshold_line(name: str, legend: str) -> Query:
    """A line that is drawn from the very series that alerts compare with."""
    return Query(expr=name, ref=legend, legend=legend)


def latency_limits() -> tuple[list[Query], list[Json]]:
    """The lines that latencies are held against, as shares of the budget, and their looks."""
    levels = {"warning": words.AMBER, "critical": words.RED}
    queries = [
        threshold_line(f"oidc:threshold:latency_{level}_ratio", level) for level in levels
    ]
    return queries, [fields.limit(level, color) for level, color in levels.items()]
