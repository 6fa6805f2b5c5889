"""OIDC / SLO: how much of the error budget is left, how fast it goes, where it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, model, words
from grafana.model import Column, Query, prop
from grafana.names import Selectors, threshold

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors()
LEFT = OF("issuer:oidc_error_budget:left_ratio30d")
#: Each alert's long and short window, the threshold both are held against, and whether it
#: pages (red) or makes a ticket (amber).
PAIRS = (
    ("1h", "5m", "oidc:threshold:burnrate_1h", words.RED),
    ("6h", "30m", "oidc:threshold:burnrate_6h", words.RED),
    ("1d", "2h", "oidc:threshold:burnrate_1d", words.AMBER),
    ("3d", "6h", "oidc:threshold:burnrate_3d", words.AMBER),
)


def build() -> Json:
    """The dashboard `oidc-slo`."""
    return model.dashboard(
        "oidc-slo",
        "SLO",
        "The share of time in which AWS STS could have got a usable key, against the "
        "objective. Time in which nobody watched counts for nothing. Everything here is "
        "recorded by the rules; 30 days need a Prometheus that keeps 35.",
        [
            *_numbers(),
            _budgets(),
            model.row("How fast the budget goes"),
            *(_burning(*pair) for pair in PAIRS),
            model.row("Where it went"),
            _bad_minutes(),
            _left(),
        ],
        variables=common.variables("issuer"),
        annotations=[
            common.pages(
                'alertname=~"OIDCIssuer.+",alertstate="firing",severity="critical",'
                'issuer=~"$issuer"'
            )
        ],
        to=common.head("oidc-slo"),
        since="now-7d",
        refresh="5m",
    )


def _numbers() -> list[Json]:
    return [
        model.stat(
            "Objective",
            "Share of the time in which an issuer shall be usable (oidc:objective:ratio).",
            Query(expr="oidc:objective:ratio", instant=True),
            unit="percentunit",
            decimals=2,
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Error budget of 30 days",
            "How long an issuer may be unusable within 30 days.",
            Query(expr="(1 - oidc:objective:ratio) * 30 * 86400", instant=True),
            unit="dtdurations",
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Objective missed",
            "Issuers that have spent more than their error budget of 30 days.",
            Query(expr=common.counted(f"{LEFT} < 0", LEFT), instant=True),
            thresholds=words.NONE_IS_GOOD,
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Watched",
            "Of how much of the last 30 days anybody knows anything, for the issuer of which "
            "least is known. The budget of a new issuer speaks of its short life only.",
            Query(expr=_watched(), instant=True),
            unit="percentunit",
            decimals=0,
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
    ]


def _watched() -> str:
    # An hour's steps: 30 days of every sample of every issuer are too much for a number.
    known = f"count_over_time({OF('issuer:oidc_usable:bool')}[30d:1h])"
    return f"clamp_max(min({known}) / (30 * 24), 1)"


def _budgets() -> Json:
    columns = [
        Column(title="Issuer", label="issuer", properties=(_to_issuer(), _width(220))),
        _column(
            "Budget left",
            "left",
            LEFT,
            "percentunit",
            *model.gauge_cell(words.BUDGET_LEFT),
            prop("decimals", 1),
        ),
        _column(
            "Time left",
            "time",
            f"clamp_min({LEFT}, 0) * scalar(1 - oidc:objective:ratio) * 30 * 86400",
            "dtdurations",
        ),
        _column(
            "Usable, 30 days",
            "usable",
            OF("issuer:oidc_usable:ratio30d"),
            "percentunit",
            prop("decimals", 3),
        ),
        *(_rate(*pair) for pair in PAIRS),
    ]
    return model.table(
        "Error budgets",
        "One row an issuer, the emptiest budget first. The burn rates are those that the "
        "alerts compare: the smaller one of a long and a short window; 1 spends the budget in "
        "exactly 30 days.",
        columns,
        join="issuer",
        sort="Budget left",
        h=10,
    )


def _rate(long: str, short: str, name: str, color: str) -> Column:
    colors = words.steps((None, words.PLAIN), (threshold(name), color))
    cell = model.coloured_text(steps=colors)
    title = f"Burn rate {long}"
    return _column(title, long, _burn(long, short), "suffix:x", *cell, prop("decimals", 1))


def _burn(long: str, short: str) -> str:
    """The smaller one of two burn rates: an alert wants both beyond its threshold."""
    marked = [
        f"label_replace({OF(f'issuer:oidc_error_budget:burnrate{window}')}, "
        f'"window", "{window}", "", "")'
        for window in (long, short)
    ]
    return f"min by (issuer) ({' or '.join(marked)})"


def _column(title: str, ref: str, expr: str, unit: str, *properties: Json) -> Column:
    query = Query(expr=expr, ref=ref, instant=True, format="table")
    return Column(title=title, query=query, unit=unit, properties=(*properties, _to_issuer()))


def _to_issuer() -> Json:
    return model.links(words.to_issuer())


def _width(pixels: int) -> Json:
    return prop("custom.width", pixels)


def _burning(long: str, short: str, name: str, color: str) -> Json:
    consequence = "pages" if color == words.RED else "makes a ticket"
    rank = common.over_time("max_over_time", OF(f"issuer:oidc_error_budget:burnrate{long}"))
    return model.lines(
        f"Burn rate over {long} and {short}",
        f"How many times faster than evenly over 30 days the error budget goes, both over "
        f"{long} and over {short}. Beyond the line it {consequence}. The {model.PER_PAGE} "
        "issuers that burnt fastest.",
        Query(expr=common.worst(_burn(long, short), rank), legend="{{issuer}}"),
        common.threshold_line(name, "alert"),
        unit="suffix:x",
        decimals=1,
        overrides=[model.limit("alert", color)],
        no_value=common.WITHOUT_RULES,
        to=[words.to_issuer("${__field.labels.issuer}")],
    )


def _bad_minutes() -> Json:
    bad = f"(1 - {OF('issuer:oidc_usable:ratio1d')}) * 1440"
    rank = "1 - " + common.over_time("min_over_time", OF("issuer:oidc_usable:ratio1d"))
    return model.lines(
        "Bad minutes a day",
        "Minutes of the 24 hours before each bar in which an issuer was unusable; where it "
        f"was watched for part of a day, as if all of it had been so. The {model.PER_PAGE} "
        "issuers with the worst day.",
        Query(expr=common.worst(bad, rank), legend="{{issuer}}"),
        unit="m",
        bars=True,
        stacked=True,
        interval="1d",
        decimals=0,
        legend=("max", "sum"),
        no_value=common.WITHOUT_RULES,
        to=[words.to_issuer("${__field.labels.issuer}")],
    )


def _left() -> Json:
    rank = common.over_time("min_over_time", LEFT)
    return model.lines(
        "Error budget left",
        "What was left of the budget of the 30 days before each moment; below zero the "
        f"objective is missed. The {model.PER_PAGE} issuers with the least.",
        Query(expr=common.worst(LEFT, rank, lowest=True), legend="{{issuer}}"),
        Query(expr="0 * oidc:objective:ratio", ref="spent", legend="spent"),
        unit="percentunit",
        decimals=0,
        least=None,
        legend=("min", "lastNotNull"),
        overrides=[model.limit("spent", words.RED)],
        no_value=common.WITHOUT_RULES,
        to=[words.to_issuer("${__field.labels.issuer}")],
    )
