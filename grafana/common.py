"""What several dashboards ask or show: the state of an issuer, variables, marks and links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.prometheus.build import RUNBOOKS
from grafana import model
from grafana.model import PER_PAGE, override, prop
from grafana.words import AMBER, DEGRADED, GOOD, RED, UNKNOWN, UNUSABLE

if TYPE_CHECKING:
    from grafana.names import Json, Selectors

WITHOUT_RULES = "no data: are the recording rules loaded?"
#: How the rules of alerts call an exporter that has no `vantage`.
ONLY_VANTAGE = "the only vantage"


def state(of: Selectors) -> str:
    """The state of each issuer, as `words.STATE` reads it; one series an issuer.

    Where the rules are not loaded, the latest probes speak for themselves.
    """
    usable = of("issuer:oidc_usable:bool")
    return f"""
max by (issuer) (
  ({usable} == 0) + {UNUSABLE}
  or
  {DEGRADED} * ({usable} == 1 and on (issuer) ({worrying(of)}))
  or
  {GOOD} * {usable}
  or
  {GOOD} * min by (issuer) ({of("oidc_probe_success")}) unless on () oidc:threshold:freshness_intervals
  or
  {UNKNOWN} * group by (issuer) ({of("oidc_issuer_info")})
)"""  # noqa: E501 - one operand a line


def worrying(of: Selectors) -> str:
    """Issuers of which an alert says that they fail from somewhere, or come late."""
    return f"min by (issuer) ({of('instance:oidc_usable:bool')}) == 0 or {slow(of)}"


def slow(of: Selectors) -> str:
    """Issuers that take more than half of the budget, beyond the echo of an outage."""
    return f"""{of("issuer:oidc_probe_duration:budget_ratio_p95")}
  > scalar(oidc:threshold:latency_warning_ratio)
  unless on (issuer) issuer:oidc_outage:recent"""


def counted(which: str, among: str) -> str:
    """How many of *which* there are: 0 only while there is something *among* to count."""
    return f"count({which}) or 0 * count({among})"


def worst(expr: str, rank: str, *, lowest: bool = False) -> str:
    """The series of *expr* of the issuers that rank worst in the time that is shown.

    A choice made anew at every step would show more issuers than were asked for.
    """
    pick = "bottomk" if lowest else "topk"
    return f"{expr}\nand on (issuer)\n{pick}({PER_PAGE}, {rank})"


def over_time(function: str, selector: str) -> str:
    """*function* over all of the time that is shown, the same at every step."""
    return f"{function}({selector}[$__range] @ end())"


def placed(expr: str) -> str:
    """*expr* with a name for the vantage that has none."""
    return f'label_replace({expr}, "vantage", "{ONLY_VANTAGE}", "vantage", "")'


def caused(expr: str) -> str:
    """*expr* with stage and reason in one label, `cause`, as the runbooks spell it."""
    return f'label_join({expr}, "cause", "-", "stage", "reason")'


def shortened(expr: str, label: str, source: str) -> str:
    """*expr* with the first twelve characters of the label *source* in another *label*."""
    return f'label_replace({expr}, "{label}", "$1", "{source}", "(.{{12}}).*")'


def ours(expr: str, of: Selectors) -> str:
    """*expr* of exporters only: other programs have processes and scrapes as well."""
    known = f"last_over_time({of('oidc_exporter_build_info')}[$__range])"
    return f"{expr}\nand on (job, instance) {known}"


def variables(*shown: str, one_issuer: bool = False) -> list[Json]:
    """All variables; those that change nothing here are hidden, and carried along."""
    build = "oidc_exporter_build_info"
    narrowed = 'job=~"$job",instance=~"$instance"'
    return [
        model.variable(
            "job",
            "Job",
            f"label_values({build}, job)",
            shown="job" in shown,
            description="The exporters' job in Prometheus.",
        ),
        model.variable(
            "instance",
            "Instance",
            f'label_values({build}{{job=~"$job"}}, instance)',
            shown="instance" in shown,
            description="Which exporters.",
        ),
        model.variable(
            "vantage",
            "Vantage",
            f"label_values({build}{{{narrowed}}}, vantage)",
            # An exporter without the label has an empty one.
            every=".*",
            shown="vantage" in shown,
            description="Where exporters stand; empty where no target has this label.",
        ),
        model.variable(
            "issuer",
            "Issuer",
            f"label_values(oidc_issuer_info{{{narrowed}}}, issuer)",
            multi=not one_issuer,
            shown="issuer" in shown,
            description="Which issuers, by their configured names.",
        ),
    ]


def head(here: str) -> list[Json]:
    """Links to the other dashboards, and to what explains them."""
    titles = {
        "oidc-overview": "Overview",
        "oidc-issuer": "Issuer",
        "oidc-slo": "SLO",
        "oidc-exporter": "Exporter",
    }
    found = [_to(uid, title, here) for uid, title in titles.items() if uid != here]
    return [*found, model.page_link("Runbooks", f"{RUNBOOKS}/README.md")]


def _to(uid: str, title: str, here: str) -> Json:
    # All issuers cannot be shown where one is, and the overview is there to show them all.
    if "oidc-issuer" in {uid, here} and "oidc-slo" not in {uid, here}:
        carried = ("datasource", "job", "instance", "vantage")
        query = "&".join(f"${{{name}:queryparam}}" for name in carried)
        return model.dashboard_link(title, f"/d/{uid}?{query}", all_variables=False)
    return model.dashboard_link(title, f"/d/{uid}")


def pages(selector: str) -> Json:
    """Marks while a page fires."""
    kept = "alertname, issuer, vantage, instance"
    return model.annotation(
        "Pages",
        f"max by ({kept}) (ALERTS{{{selector}}})",
        title="{{alertname}}",
        text="{{issuer}} {{vantage}} {{instance}}",
        color=RED,
    )


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
    expr = f"max by (instance) ({ours(of('process_start_time_seconds'), of)})"
    return _moments("Restarts", expr, "{{instance}}", on=on)


def _moments(name: str, expr: str, text: str, *, on: bool) -> Json:
    colors = {"Key rotations": "purple", "Configuration reloads": "blue"}
    return model.annotation(
        name,
        # What happened before the time that is shown would be drawn at its edge.
        f"1000 * {expr} > $__from",
        title=name,
        text=text,
        color=colors.get(name, "#8e8e8e"),
        at_value=True,
        on=on,
    )


def threshold_line(name: str, legend: str) -> model.Query:
    """A line that is drawn from the very series that alerts compare with."""
    return model.Query(expr=name, ref=legend, legend=legend)


def latency_limits() -> tuple[list[model.Query], list[Json]]:
    """The lines that latencies are held against, as shares of the budget."""
    found = {"warning": AMBER, "critical": RED}
    queries = [threshold_line(f"oidc:threshold:latency_{name}_ratio", name) for name in found]
    return queries, [model.limit(name, color) for name, color in found.items()]


def fixed(name: str, color: str) -> Json:
    """A colour of its own for one series."""
    return override(name, prop("color", {"mode": "fixed", "fixedColor": color}))
