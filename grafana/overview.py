"""OIDC / Overview: which issuers are in trouble, why, since when, and seen from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, model, words
from grafana.model import Column, Query, prop
from grafana.names import Selectors

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors()
USABLE = OF("issuer:oidc_usable:bool")
VOTES = OF("issuer_vantage:oidc_usable:bool")
LATENCY = OF("issuer:oidc_probe_duration:budget_ratio_p95")
FRESH = "and on (job, instance, issuer) instance:oidc_probe:fresh"
CARRIED = ("job", "instance", "vantage")


def build() -> Json:
    """The dashboard `oidc-overview`."""
    return model.dashboard(
        "oidc-overview",
        "Overview",
        "Which issuers would fail AWS STS now, why, since when and from where. Most vantages "
        "decide, as in the alerts. A click leads to the issuer or to the runbook.",
        [
            *_numbers(),
            model.row("Issuers, the worst first"),
            _issuers(),
            _alerts(),
            model.row("Over time"),
            _states(),
            _matrix(),
            _latencies(),
        ],
        variables=common.variables("job", "instance", "vantage", "issuer"),
        annotations=[
            common.pages(
                'alertname=~"OIDC.+",alertstate="firing",severity="critical",issuer=~"$issuer|"'
            ),
            common.rotations(OF, on=False),
            common.reloads(OF, on=False),
            common.restarts(OF, on=False),
        ],
        to=common.head("oidc-overview"),
    )


def _now(expr: str, ref: str = "A", legend: str = "") -> Query:
    return Query(expr=expr, ref=ref, legend=legend, instant=True)


def _numbers() -> list[Json]:
    return [
        model.stat(
            "Unusable now",
            "Issuers of which most vantages say that STS would get no usable key from them.",
            _now(common.counted(f"{USABLE} == 0", USABLE)),
            thresholds=words.NONE_IS_GOOD,
            color="background",
            no_value="nobody knows",
        ),
        model.stat(
            "Without a fresh result",
            "Issuers that are configured and of which nobody has told anything for three "
            "probe intervals: neither good nor bad.",
            _now(
                common.counted(
                    f"group by (issuer) ({OF('oidc_issuer_info')}) unless on (issuer) {USABLE}",
                    OF("oidc_issuer_info"),
                )
            ),
            thresholds=words.NONE_IS_BETTER,
            no_value="no exporter",
        ),
        model.stat(
            "Over half of the budget",
            "Issuers of which 95 of 100 probes take more than the share of the budget at "
            "which OIDCIssuerLatencyHigh warns (oidc:threshold:latency_warning_ratio).",
            _now(common.counted(common.slow(OF), LATENCY)),
            thresholds=words.NONE_IS_BETTER,
            no_value="nobody knows",
        ),
        model.stat(
            "Vantages",
            "Places that told something fresh of any issuer, and those that did so within "
            "the last day or have an exporter, but are silent now.",
            _now("count(vantage:oidc_issuers:count)", "reporting", "reporting"),
            _now(_silent(), "silent", "silent"),
            names=True,
            no_value="none",
            overrides=[
                model.override("silent", prop("thresholds", words.NONE_IS_BETTER)),
            ],
        ),
        model.stat(
            "Worst error budget",
            "The issuer that has the least left of its error budget of 30 days. Below zero "
            "its objective is missed.",
            _now(
                f"bottomk(1, {OF('issuer:oidc_error_budget:left_ratio30d')})",
                legend="{{issuer}}",
            ),
            unit="percentunit",
            decimals=0,
            names=True,
            thresholds=words.BUDGET_LEFT,
            no_value=common.WITHOUT_RULES,
            to=[
                words.link(
                    "Show the error budgets",
                    words.dashboard_url("oidc-slo", *CARRIED, "issuer"),
                )
            ],
        ),
        model.stat(
            "Firing alerts",
            "Alerts of this exporter's rules that fire. Zero is only said while the watchdog "
            "shows that alerts are evaluated at all.",
            *(
                _now(_firing(severity), severity, severity)
                for severity in ("critical", "warning")
            ),
            names=True,
            no_value="no watchdog",
            overrides=[
                model.override("critical", prop("thresholds", words.NONE_IS_GOOD)),
                model.override("warning", prop("thresholds", words.NONE_IS_BETTER)),
            ],
        ),
    ]


def _silent() -> str:
    known = "last_over_time(vantage:oidc_issuers:count[1d]) or instance:oidc_exporter:up"
    reporting = "vantage:oidc_issuers:count"
    return common.counted(
        f"group by (vantage) ({known}) unless on (vantage) {reporting}",
        f"{reporting} or instance:oidc_exporter:up",
    )


def _firing(severity: str) -> str:
    firing = f'ALERTS{{alertname=~"OIDC.+",alertstate="firing",severity="{severity}"}}'
    return common.counted(firing, 'ALERTS{alertname="OIDCExporterWatchdog"}')


def _issuers() -> Json:
    return model.table(
        "Issuers",
        "One row an issuer, the worst first. The cause is what most of the failing vantages "
        "met and leads to what to do about it; everything else leads to the issuer. An empty "
        "cell means that nobody has a fresh fact.",
        [
            Column(title="Issuer", label="issuer", properties=(_to_issuer(), _width(180))),
            _column(
                "State",
                "state",
                common.state(OF),
                "none",
                *model.background(words.STATE),
                _width(120),
            ),
            _cause(),
            *_columns(),
        ],
        h=12,
        join="issuer",
        sort="State",
    )


def _cause() -> Column:
    cause = common.caused(OF("issuer:oidc_failure:vantages"))
    expr = f"max by (issuer, cause) (topk by (issuer) (1, {cause}))"
    properties = (
        prop("mappings", words.CAUSE),
        model.links(words.to_cause()),
        _width(290),
    )
    query = Query(expr=expr, ref="cause", instant=True, format="table")
    return Column(title="Cause", label="cause", query=query, properties=properties)


def _columns() -> list[Column]:
    return [
        _column("Last good probe", "since", _since(), "dateTimeFromNow"),
        _column("Good from", "good", f"sum by (issuer) ({VOTES})", "none"),
        _column("of vantages", "vantages", f"count by (issuer) ({VOTES})", "none"),
        _column(
            "p95 of budget",
            "p95",
            LATENCY,
            "percentunit",
            *model.gauge_cell(words.OF_BUDGET),
            prop("decimals", 0),
            _width(150),
        ),
        _column(
            "Status",
            "status",
            f"max by (issuer) ({OF('oidc_fetch_status_code')} {FRESH})",
            "none",
            *model.coloured_text(words.STATUS),
        ),
        _column(
            "Caching",
            "cacheable",
            OF("issuer:oidc_jwks_cacheable:min"),
            "none",
            *model.coloured_text(words.CACHEABLE),
        ),
        _column(
            "Usable keys",
            "keys",
            "min by (issuer) (sum by (job, instance, issuer) "
            f"({OF('oidc_jwks_usable_keys')} {FRESH}))",
            "none",
            *model.coloured_text(steps=words.steps((None, words.RED), (1, words.GREEN))),
        ),
        _column(
            "Certificate",
            "certificate",
            "("
            + OF("issuer:oidc_tls_certificate_not_after_timestamp_seconds:min")
            + " - time()) / 86400",
            "suffix: days",
            prop("decimals", 0),
            *model.coloured_text(steps=words.steps((None, words.RED), (0, words.PLAIN))),
        ),
        _column(
            "Error budget",
            "budget",
            OF("issuer:oidc_error_budget:left_ratio30d"),
            "percentunit",
            *model.gauge_cell(words.BUDGET_LEFT),
            prop("decimals", 0),
            _width(130),
        ),
        _column(
            "Alerts",
            "alerts",
            'count by (issuer) (ALERTS{alertname=~"OIDC.+",alertstate="firing",'
            'severity=~"critical|warning",issuer=~"$issuer"})',
            "none",
            *model.coloured_text(steps=words.NONE_IS_BETTER),
        ),
    ]


def _since() -> str:
    last = OF("oidc_probe_success_timestamp_seconds")
    failing = "and on (job, instance, issuer) instance:oidc_usable:bool == 0"
    return f"1000 * max by (issuer) ({last} {failing})"


def _column(title: str, ref: str, expr: str, unit: str, *properties: Json) -> Column:
    query = Query(expr=expr, ref=ref, instant=True, format="table")
    found = (*properties, _to_issuer())
    return Column(title=title, query=query, unit=unit, properties=found)


def _to_issuer() -> Json:
    return model.links(words.to_issuer())


def _width(pixels: int) -> Json:
    return prop("custom.width", pixels)


def _alerts() -> Json:
    firing = (
        'ALERTS_FOR_STATE{alertname=~"OIDC.+",alertname!="OIDCExporterWatchdog"} * 1000\n'
        "and ignoring (alertstate) "
        'ALERTS{alertname=~"OIDC.+",alertstate="firing",severity=~"critical|warning"}'
    )
    return model.table(
        "Firing alerts",
        "What fires, since when its condition holds, and where the runbook stands. Also alerts "
        "of the exporters themselves, whatever issuers are chosen.",
        [
            Column(
                title="Severity",
                label="severity",
                properties=(*model.background(words.SEVERITY), _width(100)),
            ),
            Column(
                title="Alert",
                label="alertname",
                properties=(model.links(words.to_runbook()), _width(280)),
            ),
            Column(title="Issuer", label="issuer", properties=(_to_issuer(),)),
            Column(title="Vantage", label="vantage"),
            Column(
                title="Exporter",
                label="instance",
                properties=(model.links(words.to_exporter()),),
            ),
            Column(title="Team", label="team"),
            Column(
                title="Since",
                query=Query(expr=firing, instant=True, format="table"),
                unit="dateTimeFromNow",
            ),
        ],
        h=7,
        sort="Since",
        descending=True,
        no_value="No alert fires.",
    )


def _states() -> Json:
    rank = (
        f"avg by (issuer) ({common.over_time('avg_over_time', VOTES)})"
        f" or 0 * group by (issuer) ({OF('oidc_issuer_info')})"
    )
    return model.timeline(
        "State of the issuers",
        "Unusable: most vantages say that STS would get no key. Degraded: some exporter says "
        "so, or the latency is over half of the budget. No fresh result: nobody knows. The "
        f"{model.PER_PAGE} issuers that were unusable for longest, over all vantages.",
        Query(
            expr=common.worst(common.state(OF), rank, lowest=True),
            legend="{{issuer}}",
        ),
        h=10,
        mappings=words.STATE,
        show="never",
        no_value="no issuer is configured or scraped",
        to=[words.to_issuer("${__field.labels.issuer}")],
    )


def _matrix() -> Json:
    return model.matrix(
        "Issuer by vantage",
        "What each vantage says of each issuer now; an empty cell says nothing. One red column "
        "is that vantage's own network, one red row is the issuer.",
        Query(expr=f"sort({common.placed(VOTES)})", instant=True, format="table"),
        row="issuer",
        column="vantage",
        mappings=words.VOTE,
        w=10,
        h=10,
        no_value=common.WITHOUT_RULES,
        to=[words.to_issuer("${__data.fields[0]}")],
    )


def _latencies() -> Json:
    limits, looks = common.latency_limits()
    rank = common.over_time("max_over_time", LATENCY)
    return model.lines(
        "Time against the budget",
        "What 95 of 100 probes within half an hour stay under, as a share of the budget, in "
        "the middle one of the vantages. Beyond 100 % STS has given up. The lines are those "
        f"that alerts compare with. The {model.PER_PAGE} slowest issuers.",
        Query(expr=common.worst(LATENCY, rank), legend="{{issuer}}"),
        *limits,
        unit="percentunit",
        w=14,
        h=10,
        overrides=looks,
        no_value=common.WITHOUT_RULES,
        to=[words.to_issuer("${__field.labels.issuer}")],
    )
