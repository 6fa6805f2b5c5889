"""The table of OIDC / Overview: one row an issuer, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import expressions, fields, tables, words
from grafana.expressions import FRESH
from grafana.fields import Column, rows
from grafana.names import Selectors

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors()
VOTES = OF("issuer_vantage:oidc_usable:bool")
LATENCY = OF("issuer:oidc_probe_duration:budget_ratio_p95")


def table() -> Json:
    """How every issuer is, why, since when, and what is to come."""
    return tables.table(
        "Issuers",
        "One row an issuer, the worst first. The cause is what most of the failing vantages "
        "met and leads to what to do about it; everything else leads to the issuer. Keys are "
        "those that STS can use. A dash means that nobody has a fresh fact.",
        fields.label("Issuer", "issuer", _to_issuer(), fields.width(210)),
        *_verdicts(),
        *_latest(),
        *_outlook(),
        h=14,
        join="issuer",
        sort="State",
    )


def _verdicts() -> list[Column]:
    last = OF("oidc_probe_success_timestamp_seconds")
    failing = "and on (job, instance, issuer) instance:oidc_usable:bool == 0"
    state = (*fields.background(words.STATE), fields.FILTERABLE, fields.width(130))
    return [
        _column("State", "state", expressions.state(OF), *state),
        _cause(),
        _column(
            "Last good probe",
            "since",
            f"1000 * max by (issuer) ({last} {failing})",
            fields.width(125),
            unit="dateTimeFromNow",
        ),
        _column("Good from", "good", f"sum by (issuer) ({VOTES})", fields.width(95)),
        _column("of", "vantages", f"count by (issuer) ({VOTES})", fields.width(50)),
    ]


def _cause() -> Column:
    cause = expressions.caused(OF("issuer:oidc_failure:vantages"))
    return Column(
        title="Cause",
        label="cause",
        query=rows(f"max by (issuer, cause) (topk by (issuer) (1, {cause}))", "cause"),
        properties=(
            fields.prop("mappings", words.CAUSE),
            fields.links(words.to_cause()),
            fields.FILTERABLE,
            fields.at_least(300),
        ),
    )


def _latest() -> list[Column]:
    status = OF("oidc_fetch_status_code")
    keys = f"sum by (job, instance, issuer) ({OF('oidc_jwks_usable_keys')} {FRESH})"
    return [
        _column(
            "p95 of budget",
            "p95",
            LATENCY,
            *fields.gauge_cell(words.OF_BUDGET),
            fields.decimals(0),
            fields.width(130),
            unit="percentunit",
        ),
        _column(
            "Status",
            "status",
            f"max by (issuer) ({status} {FRESH})",
            *fields.coloured_text(words.STATUS),
            fields.width(65),
        ),
        _column(
            "Caching",
            "cacheable",
            OF("issuer:oidc_jwks_cacheable:min"),
            *fields.coloured_text(words.CACHEABLE),
            fields.width(95),
        ),
        _column(
            "Keys",
            "keys",
            f"min by (issuer) ({keys})",
            *fields.coloured_text(thresholds=words.SOME_IS_GOOD),
            fields.width(55),
        ),
    ]


def _outlook() -> list[Column]:
    end = OF("issuer:oidc_tls_certificate_not_after_timestamp_seconds:min")
    alerts = expressions.firing('severity=~"critical|warning",issuer=~"$issuer"')
    return [
        _column(
            "Certificate",
            "certificate",
            f"({end} - time()) / 86400",
            *fields.coloured_text(thresholds=words.EXPIRED),
            fields.decimals(0),
            fields.width(95),
            unit="suffix:days",
        ),
        _column(
            "Error budget",
            "budget",
            OF("issuer:oidc_error_budget:left_ratio30d"),
            *fields.gauge_cell(words.BUDGET_LEFT, words.SPENT),
            fields.decimals(0),
            fields.width(130),
            unit="percentunit",
        ),
        _column(
            "Alerts",
            "alerts",
            f"count by (issuer) ({alerts})",
            *fields.coloured_text(thresholds=words.NONE_IS_BETTER),
            fields.width(65),
        ),
    ]


def _column(title: str, ref: str, expr: str, *properties: Json, unit: str = "none") -> Column:
    return fields.value(title, rows(expr, ref), *properties, _to_issuer(), unit=unit)


def _to_issuer() -> Json:
    return fields.links(words.to_issuer())
