"""OIDC / Issuer: what is wrong with one issuer, where in the chain, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.reasons import Document, Phase
from grafana import (
    chain,
    common,
    expressions,
    facts,
    fields,
    frame,
    model,
    tables,
    timelines,
    trust,
    words,
)
from grafana.expressions import caused, counted, placed
from grafana.facts import BUDGET, NOTHING_YET, OF
from grafana.fields import Query, now, rows

if TYPE_CHECKING:
    from grafana.names import Json

#: No state, so neither red nor amber nor green: a hue for each phase, in the order of time,
#: dark for the discovery document and light for the key set.
HUES = {
    Phase.RESOLVE: ("#5794F2", "#8AB8FF"),
    Phase.CONNECT: ("#9673E6", "#C4A8FF"),
    Phase.TLS: ("#2AA7A7", "#7BD4D4"),
    Phase.PROCESSING: ("#7A6A5B", "#B5A799"),
    Phase.TRANSFER: ("#C15C9F", "#E3A5CE"),
}
TITLES = {Document.DISCOVERY: "discovery", Document.JWKS: "key set"}
FAILURE = OF("oidc_probe_failure_info")


def build() -> Json:
    """The dashboard `oidc-issuer`."""
    return frame.dashboard(
        "oidc-issuer",
        "Issuer",
        "One issuer: the verdict, its cause and what to do, where in the chain it breaks and "
        "from where that is seen. Rows further down tell of time, caching, keys and TLS.",
        [
            *_verdict(),
            _causes(),
            _alerts(),
            _findings(),
            model.row("The chain: where it breaks"),
            *chain.panels(),
            model.row("Since when, from where, and where the time goes"),
            _stopped(),
            _status(),
            _phases(),
            *facts.panels(),
            *trust.panels(),
        ],
        variables=common.variables("job", "instance", "vantage", "issuer", one_issuer=True),
        annotations=[
            common.pages('issuer="$issuer"', "alertname, vantage"),
            common.rotations(OF),
            common.reloads(OF, on=False),
            common.restarts(OF, on=False),
        ],
        to=common.head("oidc-issuer"),
    )


def _verdict() -> list[Json]:
    last = OF("oidc_probe_success_timestamp_seconds")
    return [
        model.stat(
            "Verdict",
            "What most vantages say: whether STS would get a usable key. Degraded: some "
            "exporter says no, or more than half of the budget is used.",
            now(expressions.state(OF)),
            mappings=words.STATE,
            filled=True,
            no_value="no exporter tells of it",
        ),
        model.stat(
            "URL",
            "The issuer as configured; it must equal the token's `iss` to the letter.",
            now(f"group by (url) ({OF('oidc_issuer_info')})", legend="{{url}}"),
            w=6,
            text="name",
            no_value="no exporter tells of it",
        ),
        model.stat(
            "Last good probe",
            "When any exporter last got a usable key in time, since it started.",
            now(f"1000 * max({last})"),
            unit="dateTimeFromNow",
            no_value="none is known",
        ),
        _bad_from(),
        *_shares(),
    ]


def _bad_from() -> Json:
    votes = expressions.votes(OF)
    return model.stat(
        "Bad from",
        "Vantages that say that STS would get no usable key, and all that tell anything. A "
        "single one of several: look at its network.",
        now(counted(f"{votes} == 0", votes), "bad", "bad"),
        now(f"count({votes})", "of", "of"),
        w=3,
        text="value_and_name",
        overrides=[fields.override("bad", fields.prop("thresholds", words.NONE_IS_GOOD))],
    )


def _shares() -> list[Json]:
    slo = words.dashboard_url("oidc-slo", *common.PLACES, "issuer")
    return [
        model.stat(
            "p95 of budget",
            "What 95 of 100 probes within half an hour stay under, in the middle one of the "
            "vantages. Amber makes a ticket.",
            now(OF("issuer:oidc_probe_duration:budget_ratio_p95")),
            w=3,
            unit="percentunit",
            decimals=0,
            thresholds=words.OF_BUDGET,
        ),
        model.stat(
            "Error budget left",
            "Of 30 days; below zero the objective is missed.",
            now(OF("issuer:oidc_error_budget:left_ratio30d")),
            unit="percentunit",
            decimals=0,
            thresholds=words.BUDGET_LEFT,
            mappings=words.SPENT,
            to=[words.link("Show the error budget", slo)],
        ),
    ]


def _causes() -> Json:
    kept = "vantage, instance, document, cause"
    on = "on (job, instance, issuer)"
    good = f'label_replace({OF("oidc_probe_success")} == 1, "cause", "good", "", "")'
    cause = f"({caused(FAILURE)} or {on} {good})"
    last = OF("oidc_probe_success_timestamp_seconds")
    since = f"1000 * {cause} * {on} group_left () {last} or {on} 0 * {cause}"
    return tables.table(
        "Cause",
        "What stopped the latest probe of each exporter, the longest first. A click on the "
        "cause opens what it means and what to do; the exporter leads to its own dashboard.",
        fields.label(
            "Cause",
            "cause",
            *fields.coloured_text(words.CAUSE, words.ALWAYS_BAD),
            fields.links(words.to_cause()),
            fields.at_least(340),
        ),
        facts.document(),
        fields.label("Vantage", "vantage", fields.width(180)),
        fields.label(
            "Exporter", "instance", fields.links(words.to_exporter()), fields.at_least(200)
        ),
        fields.value(
            "Last good probe",
            rows(placed(f"max by ({kept}) ({since})")),
            fields.prop("mappings", words.NEVER),
            fields.width(190),
            unit="dateTimeFromNow",
        ),
        sort="Last good probe",
        h=6,
        no_value="No result is known.",
    )


def _alerts() -> Json:
    says = "What fires for this issuer, since when its condition holds, and the runbook."
    return common.alerts('issuer="$issuer"', says, w=13, h=6)


def _findings() -> Json:
    found = f"count by (code, level, document) ({OF('oidc_finding_info')})"
    return tables.table(
        "Findings",
        "Promises that the issuer breaks without being stopped by it, and the number of "
        "exporters that met them. A click opens what to do.",
        fields.label(
            "Finding",
            "code",
            fields.prop("mappings", words.FINDING),
            fields.links(words.to_cause("finding-${__value.raw}")),
            fields.at_least(240),
        ),
        fields.label("Level", "level", *fields.coloured_text(words.LEVEL), fields.width(95)),
        facts.document(),
        fields.value("Met by", rows(found), fields.width(70)),
        w=11,
        h=6,
        # By letters, as the table sorts, a warning comes last.
        sort="-Level",
        no_value="No finding is known.",
    )


def _stopped() -> Json:
    expr = f"""
topk(1, count by (cause) ({caused(FAILURE)}))
or on ()
label_replace(max({OF("oidc_probe_success")}) == 1, "cause", "good", "", "")
or on ()
label_replace(vector(0), "cause", "unknown", "", "")"""
    panel = timelines.timeline(
        "What stopped the probes (vantage: $vantage)",
        "The cause of each failed probe over time, one band a vantage. Bands that break at the "
        "same moment are the issuer's; a single one is that vantage's.",
        Query(expr=expr, format="table"),
        h=3,
        unit="string",
        mappings=words.CAUSE,
    )
    return model.repeated(timelines.of_words(panel, "cause"), direction="v")


def _status() -> Json:
    seen = f"max by (vantage, document) ({placed(OF('oidc_fetch_status_code'))})"
    status = expressions.or_nothing(seen, "vantage", seen)
    return timelines.timeline(
        "HTTP status",
        "What each document was answered with, by vantage, the highest of its exporters. A "
        "gap: no status line came.",
        Query(expr=status, legend="{{vantage}} {{document}}"),
        mappings=words.STATUS,
        no_value=NOTHING_YET,
    )


def _phases() -> Json:
    names = {(d, p): f"{TITLES[d]}: {p}" for d in Document for p in Phase}
    panel = model.lines(
        "Where the time goes (vantage: $vantage)",
        "The phases of both documents, stacked in the order in which a probe goes through "
        "them, so that their top is what the budget is compared with. The red line is the "
        "budget: STS has given up beyond it.",
        *(
            Query(expr=f"avg({_phase(*pair)})", ref=" ".join(pair), legend=name)
            for pair, name in names.items()
        ),
        Query(expr=BUDGET, ref="budget", legend="budget"),
        unit="s",
        w=model.COLUMNS,
        h=9,
        drawn="area",
        legend=model.legend("mean", "max", side="right"),
        overrides=[
            *(
                fields.fixed(name, HUES[phase][document is Document.JWKS])
                for (document, phase), name in names.items()
            ),
            fields.limit("budget", words.RED),
        ],
        no_value=NOTHING_YET,
    )
    return model.repeated(panel, direction="h")


def _phase(document: Document, phase: Phase) -> str:
    return OF(
        "oidc_fetch_phase_duration_seconds", document=f'="{document}"', phase=f'="{phase}"'
    )
