"""OIDC / Overview: which issuers are in trouble, why, since when, and seen from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import (
    common,
    expressions,
    fields,
    frame,
    model,
    standings,
    tables,
    timelines,
    words,
)
from grafana.expressions import counted
from grafana.fields import Query, now, rows
from grafana.model import PER_PAGE
from grafana.names import Selectors

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors()
USABLE = OF("issuer:oidc_usable:bool")
VOTES = OF("issuer_vantage:oidc_usable:bool")
LATENCY = OF("issuer:oidc_probe_duration:budget_ratio_p95")
KNOWN = OF("oidc_issuer_info")
#: Where a band or a line of a graph leads to.
TO_ISSUER = [words.to_issuer("${__field.labels.issuer}")]


def build() -> Json:
    """The dashboard `oidc-overview`."""
    return frame.dashboard(
        "oidc-overview",
        "Overview",
        "Which issuers would fail AWS STS now, why, since when and from where. Most vantages "
        "decide, as in the alerts. A click leads to the issuer or to the runbook.",
        [
            *_numbers(),
            model.row("Issuers, the worst first"),
            standings.table(),
            common.alerts(
                "",
                "What fires, since when its condition holds, and where the runbook stands. "
                "Also alerts of the exporters themselves, whatever issuers are chosen.",
                fields.label(
                    "Issuer", "issuer", fields.links(words.to_issuer()), fields.at_least(180)
                ),
                fields.label(
                    "Exporter",
                    "instance",
                    fields.links(words.to_exporter()),
                    fields.at_least(180),
                ),
                w=24,
                h=8,
            ),
            model.row("Over time, and by place"),
            _states(),
            _matrix(),
            _latencies(),
        ],
        variables=common.variables("job", "instance", "vantage", "issuer"),
        annotations=[
            # Pages of exporters have no issuer; those of many issuers become one mark.
            common.pages('issuer=~"$issuer|"', "alertname"),
            common.rotations(OF, on=False),
            common.reloads(OF, on=False),
            common.restarts(OF, on=False),
        ],
        to=common.head("oidc-overview"),
    )


def _numbers() -> list[Json]:
    return [_unusable(), _unknown(), _slow(), _vantages(), _budget(), _firing()]


def _unusable() -> Json:
    return model.stat(
        "Unusable now",
        "Issuers of which most vantages say that STS would get no usable key from them.",
        now(counted(f"{USABLE} == 0", USABLE)),
        thresholds=words.NONE_IS_GOOD,
        filled=True,
        no_value="nobody knows",
    )


def _unknown() -> Json:
    silent = f"group by (issuer) ({KNOWN}) unless on (issuer) {USABLE}"
    return model.stat(
        "Without a fresh result",
        "Issuers that are configured and of which nobody has told anything for three probe "
        "intervals: neither good nor bad.",
        now(counted(silent, KNOWN)),
        thresholds=words.NONE_IS_BETTER,
        no_value="no exporter",
    )


def _slow() -> Json:
    return model.stat(
        "Over half of the budget",
        "Issuers of which 95 of 100 probes take more than the share of the budget at which "
        "OIDCIssuerLatencyHigh warns (oidc:threshold:latency_warning_ratio).",
        now(counted(expressions.slow(OF), LATENCY)),
        thresholds=words.NONE_IS_BETTER,
        no_value="nobody knows",
    )


def _vantages() -> Json:
    reporting = "vantage:oidc_issuers:count"
    expected = "instance:oidc_exporter:up"
    known = f"last_over_time({reporting}[1d]) or {expected}"
    silent = f"group by (vantage) ({known}) unless on (vantage) {reporting}"
    return model.stat(
        "Vantages",
        "Places that told something fresh of any issuer, and those that did so within the "
        "last day or have an exporter, but are silent now.",
        now(f"count({reporting})", "reporting", "reporting"),
        now(counted(silent, f"{reporting} or {expected}"), "silent", "silent"),
        text="value_and_name",
        no_value="none",
        overrides=[fields.override("silent", fields.prop("thresholds", words.NONE_IS_BETTER))],
    )


def _budget() -> Json:
    slo = words.dashboard_url("oidc-slo", *common.PLACES, "issuer")
    left = OF("issuer:oidc_error_budget:left_ratio30d")
    return model.stat(
        "Worst error budget",
        "The issuer that has the least left of its error budget of 30 days. Below zero its "
        "objective is missed.",
        now(f"bottomk(1, {left})", legend="{{issuer}}"),
        unit="percentunit",
        decimals=0,
        text="value_and_name",
        thresholds=words.BUDGET_LEFT,
        mappings=words.SPENT,
        no_value=common.WITHOUT_RULES,
        to=[words.link("Show the error budgets", slo)],
    )


def _firing() -> Json:
    watchdog = 'ALERTS{alertname="OIDCExporterWatchdog"}'
    found = {"critical": words.NONE_IS_GOOD, "warning": words.NONE_IS_BETTER}
    return model.stat(
        "Alerts",
        "Alerts of this exporter's rules that fire. Zero is only said while the watchdog "
        "shows that alerts are evaluated at all.",
        *(
            now(counted(expressions.firing(f'severity="{level}"'), watchdog), level, level)
            for level in found
        ),
        text="value_and_name",
        no_value="no watchdog",
        overrides=[
            fields.override(level, fields.prop("thresholds", thresholds))
            for level, thresholds in found.items()
        ],
    )


def _states() -> Json:
    usable = expressions.over_time("avg_over_time", VOTES)
    known = expressions.over_time("last_over_time", KNOWN)
    rank = f"avg by (issuer) ({usable}) or 0 * group by (issuer) ({known})"
    return timelines.timeline(
        "State of the issuers",
        "Unusable: most vantages say that STS would get no key. Degraded: some exporter says "
        "so, or the latency is over half of the budget. No fresh result: nobody knows. The "
        f"{PER_PAGE} issuers that were unusable for longest, over all vantages, by name.",
        Query(
            expr=expressions.worst(expressions.state(OF), rank, lowest=True),
            legend="{{issuer}}",
        ),
        # As many bands as there are issuers at most, each with its name.
        h=15,
        show="never",
        mappings=words.STATE,
        no_value="no issuer is configured or scraped",
        to=TO_ISSUER,
    )


def _matrix() -> Json:
    return tables.matrix(
        "Issuer by vantage",
        "What each vantage says of each issuer now; an empty cell says nothing. One red column "
        "is that vantage's own network, one red row is the issuer.",
        rows(f"sort({expressions.placed(VOTES)})"),
        row="issuer",
        column="vantage",
        mappings=words.VOTE,
        w=12,
        h=11,
        no_value=common.WITHOUT_RULES,
        to=[words.to_issuer("${__data.fields[0]}")],
    )


def _latencies() -> Json:
    limits, looks = common.latency_limits()
    rank = expressions.over_time("max_over_time", LATENCY)
    return model.lines(
        "Time against the budget",
        "What 95 of 100 probes within half an hour stay under, as a share of the budget, in "
        "the middle one of the vantages. Beyond 100 % STS has given up. The lines are those "
        f"that alerts compare with. The {PER_PAGE} slowest issuers.",
        Query(expr=expressions.worst(LATENCY, rank), legend="{{issuer}}"),
        *limits,
        unit="percentunit",
        w=12,
        h=11,
        overrides=looks,
        no_value=common.WITHOUT_RULES,
        to=TO_ISSUER,
    )
