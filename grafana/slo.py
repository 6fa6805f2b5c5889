"""OIDC / SLO: how much of the error budget is left, how fast it goes, where it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, expressions, fields, frame, model, tables, words
from grafana.fields import Column, Query, now, rows
from grafana.model import PER_PAGE
from grafana.names import Selectors, threshold

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors()
USABLE = OF("issuer:oidc_usable:bool")
LEFT = OF("issuer:oidc_error_budget:left_ratio30d")
#: The whole budget, in seconds.
WHOLE = "(1 - oidc:objective:ratio) * 30 * 86400"
#: Each alert's long and short window, the threshold both are held against, and whether it
#: pages (red) or makes a ticket (amber).
PAIRS = (
    ("1h", "5m", "oidc:threshold:burnrate_1h", words.RED),
    ("6h", "30m", "oidc:threshold:burnrate_6h", words.RED),
    ("1d", "2h", "oidc:threshold:burnrate_1d", words.AMBER),
    ("3d", "6h", "oidc:threshold:burnrate_3d", words.AMBER),
)
TO_ISSUER = [words.to_issuer("${__field.labels.issuer}")]


def build() -> Json:
    """The dashboard `oidc-slo`."""
    return frame.dashboard(
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
        annotations=[common.pages('issuer=~"$issuer"', "alertname")],
        to=common.head("oidc-slo"),
        since="now-7d",
        refresh="5m",
    )


def _numbers() -> list[Json]:
    return [
        model.stat(
            "Objective",
            "Share of the time in which an issuer shall be usable (oidc:objective:ratio).",
            now("oidc:objective:ratio"),
            unit="percentunit",
            decimals=2,
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Error budget of 30 days",
            "How long an issuer may be unusable within 30 days.",
            now(WHOLE),
            unit="dtdurations",
            # Hours and minutes: without it the minutes are dropped.
            decimals=1,
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
        model.stat(
            "Objective missed",
            "Issuers that have spent more than their error budget of 30 days.",
            now(expressions.counted(f"{LEFT} < 0", LEFT)),
            thresholds=words.NONE_IS_GOOD,
            w=6,
            no_value=common.WITHOUT_RULES,
        ),
        _watched(),
    ]


def _watched() -> Json:
    # In steps of an hour: every sample of 30 days is too much for one number.
    hours = f"count_over_time({USABLE}[30d:1h])"
    return model.stat(
        "Watched",
        "Of how much of the last 30 days anybody knows anything, for the issuer of which "
        "least is known. The budget of a new issuer speaks of its short life only.",
        now(f"clamp_max(min({hours}) / (30 * 24), 1)"),
        unit="percentunit",
        decimals=1,
        w=6,
        no_value="less than an hour",
    )


def _budgets() -> Json:
    return tables.table(
        "Error budgets",
        "One row an issuer, the emptiest budget first. The burn rates are those that the "
        "alerts compare: the smaller one of a long and a short window; 1 spends the budget in "
        "exactly 30 days.",
        fields.label("Issuer", "issuer", _to_issuer(), fields.at_least(180)),
        _column(
            "Budget left",
            "left",
            LEFT,
            *fields.gauge_cell(words.BUDGET_LEFT, words.SPENT),
            fields.decimals(1),
            fields.width(190),
            unit="percentunit",
        ),
        _column(
            "Time left",
            "time",
            f"clamp_min({LEFT}, 0) * scalar({WHOLE})",
            fields.decimals(1),
            fields.width(190),
            unit="dtdurations",
        ),
        _column(
            "Usable, 30 days",
            "usable",
            OF("issuer:oidc_usable:ratio30d"),
            fields.decimals(3),
            fields.width(140),
            unit="percentunit",
        ),
        *(_rate(*pair) for pair in PAIRS),
        join="issuer",
        sort="Budget left",
        h=12,
    )


def _rate(long: str, short: str, name: str, color: str) -> Column:
    colors = words.steps((None, words.PLAIN), (threshold(name), color))
    cell = (*fields.coloured_text(thresholds=colors), fields.decimals(1), fields.width(120))
    return _column(f"Burn rate {long}", long, _burn(long, short), *cell, unit="suffix:x")


def _burn(long: str, short: str) -> str:
    """The smaller one of two burn rates: an alert wants both beyond its threshold."""
    marked = [
        f"label_replace({OF(f'issuer:oidc_error_budget:burnrate{window}')}, "
        f'"window", "{window}", "", "")'
        for window in (long, short)
    ]
    return f"min by (issuer) ({' or '.join(marked)})"


def _column(title: str, ref: str, expr: str, *properties: Json, unit: str = "none") -> Column:
    return fields.value(title, rows(expr, ref), *properties, _to_issuer(), unit=unit)


def _to_issuer() -> Json:
    return fields.links(words.to_issuer())


def _burning(long: str, short: str, name: str, color: str) -> Json:
    consequence = "wakes somebody" if color == words.RED else "makes a ticket"
    rate = OF(f"issuer:oidc_error_budget:burnrate{long}")
    rank = expressions.over_time("max_over_time", rate)
    drawn = f"clamp_min({_burn(long, short)}, 0.1)"
    return model.lines(
        f"Burn rate over {long} and {short}",
        f"How many times faster than evenly over 30 days the error budget goes, both over "
        f"{long} and over {short}. What stays beyond the line {consequence}. The scale is "
        f"logarithmic and begins at 0.1. The {PER_PAGE} issuers that burnt fastest.",
        Query(expr=expressions.worst(drawn, rank), legend="{{issuer}}"),
        common.threshold_line(name, "alert"),
        unit="suffix:x",
        scale=model.LOGARITHMIC,
        overrides=[fields.limit("alert", color)],
        no_value=common.WITHOUT_RULES,
        to=TO_ISSUER,
    )


def _bad_minutes() -> Json:
    ratio = OF("issuer:oidc_usable:ratio1d")
    rank = "1 - " + expressions.over_time("min_over_time", ratio)
    return model.lines(
        "Bad minutes a day",
        "Minutes of the 24 hours before each bar in which an issuer was unusable; where it "
        f"was watched for part of a day, as if all of it had been so. The {PER_PAGE} issuers "
        "with the worst day.",
        Query(
            expr=expressions.worst(f"(1 - {ratio}) * 1440", rank),
            legend="{{issuer}}",
        ),
        unit="suffix:min",
        drawn="bars",
        interval="1d",
        legend=model.legend("max", "sum", sort="Max"),
        no_value="no midnight (UTC) is known yet",
        to=TO_ISSUER,
    )


def _left() -> Json:
    rank = expressions.over_time("min_over_time", LEFT)
    # An issuer that is never usable is at -19900 %, and would make a line of all others.
    drawn = f"clamp_min({LEFT}, -1)"
    return model.lines(
        "Error budget left",
        "What was left of the budget of the 30 days before each moment; below zero the "
        "objective is missed. What is spent twice and more is drawn as -100 %. The "
        f"{PER_PAGE} issuers with the least.",
        Query(expr=expressions.worst(drawn, rank, lowest=True), legend="{{issuer}}"),
        Query(expr="0 * oidc:objective:ratio", ref="spent", legend="spent"),
        unit="percentunit",
        least=None,
        legend=model.legend("min", "lastNotNull", sort="Min"),
        overrides=[fields.limit("spent", words.RED)],
        no_value=common.WITHOUT_RULES,
        to=TO_ISSUER,
    )
