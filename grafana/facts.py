"""Rows of OIDC / Issuer about its answers: how fast they come, and how long they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, expressions, fields, model, tables, timelines, words
from grafana.expressions import placed
from grafana.fields import Column, Query, rows
from grafana.names import Selectors

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors(issuer='="$issuer"')
NOTHING_YET = "no probe has come that far"
BUDGET = f"max({OF('oidc_probe_budget_seconds')})"


def panels() -> list[Json]:
    """Latency and caching, with their headings."""
    return [
        model.row("Latency"),
        _distribution(),
        _quantiles(),
        _by_vantage(),
        model.row("Caching"),
        _cacheable(),
        _max_age(),
        _directives(),
    ]


def document() -> Column:
    """A column that says which of the two documents is meant."""
    named = fields.prop("mappings", words.DOCUMENT)
    return fields.label("Document", "document", named, fields.width(120))


def _distribution() -> Json:
    buckets = OF("oidc_probe_latency_seconds_bucket")
    return model.heatmap(
        "Distribution",
        "How many probes took how long, all chosen exporters together. A second band is a "
        "second way to the issuer: a cold cache, a lost packet, another replica.",
        Query(
            expr=f"sum by (le) (increase({buckets}[$__rate_interval]))",
            legend="{{le}}",
            format="heatmap",
        ),
        unit="s",
        w=8,
    )


def _quantiles() -> Json:
    rate = f"rate({OF('oidc_probe_latency_seconds_bucket')}[$__rate_interval])"
    shares = {"half": 0.5, "95 %": 0.95, "99 %": 0.99}
    return model.lines(
        "Quantiles",
        "What half, 95 and 99 of 100 probes stayed under, within five minutes or more; each "
        "line of the scale is ten times the one below. The red line is the budget.",
        *(
            Query(
                expr=f"histogram_quantile({share}, sum by (le) ({rate}))",
                ref=name,
                legend=name,
            )
            for name, share in shares.items()
        ),
        Query(expr=BUDGET, ref="budget", legend="budget"),
        unit="s",
        w=8,
        scale=model.LOGARITHMIC,
        interval="5m",
        legend=model.IN_ORDER,
        overrides=[fields.limit("budget", words.RED)],
        no_value=NOTHING_YET,
    )


def _by_vantage() -> Json:
    limits, looks = common.latency_limits()
    ratio = placed(OF("issuer_vantage:oidc_probe_duration:budget_ratio_p95"))
    return model.lines(
        "p95 of the budget, by vantage",
        "As the alerts see it: what 95 of 100 probes within half an hour stay under, as a "
        "share of the budget, with the alerts' own lines.",
        Query(expr=ratio, legend="{{vantage}}"),
        *limits,
        unit="percentunit",
        w=8,
        legend=model.IN_ORDER,
        overrides=looks,
        no_value=common.WITHOUT_RULES,
    )


def _cacheable() -> Json:
    seen = f"min by (vantage, document) ({placed(OF('oidc_cacheable'))})"
    cacheable = expressions.or_nothing(seen, "vantage", seen)
    return timelines.timeline(
        "May STS cache it?",
        "Whether any header says no-cache, by vantage and document. Then STS fetches the "
        "document again for every token.",
        Query(expr=cacheable, legend="{{vantage}} {{document}}"),
        w=8,
        mappings=words.CACHEABLE,
        no_value=NOTHING_YET,
    )


def _max_age() -> Json:
    age = OF("oidc_cache_max_age_seconds", document='="jwks"')
    return model.lines(
        "How long the key set may be kept",
        "max-age of the key set, the shortest and the longest that any exporter saw. Below "
        "the lower line a cache hardly helps; beyond the upper one verifiers learn of a new "
        "key too late. The scale is logarithmic and begins at "
        "six seconds.",
        *(
            Query(expr=f"clamp_min({expr} / 60, 0.1)", ref=name, legend=name)
            for name, expr in {
                "shortest": f"min({age})",
                "longest": f"max({age})",
                "too short": "oidc:threshold:cache_short_seconds",
                "too long": "oidc:threshold:cache_long_seconds",
            }.items()
        ),
        # In seconds Grafana would write ticks such as 2.78 hours.
        unit="suffix:min",
        w=9,
        scale=model.LOGARITHMIC,
        legend=model.IN_ORDER,
        overrides=[fields.limit(name, words.AMBER) for name in ("too short", "too long")],
        no_value="no max-age is known",
    )


def _directives() -> Json:
    seen = f"count by (document, header, directive) ({OF('oidc_cache_directive')})"
    return tables.table(
        "Directives",
        "What the caching headers carry now, and how many exporters saw it.",
        document(),
        fields.label("Header", "header", fields.width(125)),
        fields.label("Directive", "directive", fields.at_least(110)),
        fields.value("Seen by", rows(seen), fields.width(70)),
        w=7,
        sort="Document",
        no_value="No directive is known.",
    )
