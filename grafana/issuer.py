"""OIDC / Issuer: what is wrong with one issuer, where in the chain, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.reasons import Document, Phase, Stage
from grafana import common, model, words
from grafana.model import Column, Query, prop
from grafana.names import Selectors, threshold

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors(issuer='="$issuer"')
CARRIED = ("job", "instance", "vantage")
NOTHING_YET = "no probe has come that far"
BUDGET = f"max({OF('oidc_probe_budget_seconds')})"
#: No state, so neither red nor amber nor green: a hue for each phase, in the order of time.
HUES = {
    Phase.RESOLVE: ("#5794F2", "#8AB8FF"),
    Phase.CONNECT: ("#9673E6", "#C4A8FF"),
    Phase.TLS: ("#2AA7A7", "#7BD4D4"),
    Phase.PROCESSING: ("#7A6A5B", "#B5A799"),
    Phase.TRANSFER: ("#C15C9F", "#E3A5CE"),
}
#: The links of the chain, up to the discovery document, by the stages at which each breaks.
CHAIN = {
    "DNS": (Stage.DNS,),
    "Connect": (Stage.TCP,),
    "TLS": (Stage.TLS,),
    "Discovery": (Stage.HTTP, Stage.BODY, Stage.DOCUMENT),
}
TITLES = {Document.DISCOVERY: "discovery", Document.JWKS: "key set"}


def build() -> Json:
    """The dashboard `oidc-issuer`."""
    return model.dashboard(
        "oidc-issuer",
        "Issuer",
        "One issuer: the verdict, its cause and what to do, where in the chain it breaks and "
        "from where that is seen. Rows further down tell of time, caching, keys and TLS.",
        [
            *_verdict(),
            _causes(),
            _findings(),
            model.row("The chain: where it breaks"),
            *_chain(),
            model.row("What stopped it, and where the time goes"),
            _stopped(),
            _status(),
            _phases(),
            model.row("Latency"),
            *_latency(),
            model.row("Caching of the key set"),
            *_caching(),
            model.row("Keys"),
            *_keys(),
            model.row("TLS and network"),
            *_tls(),
            *_network(),
        ],
        variables=common.variables("job", "instance", "vantage", "issuer", one_issuer=True),
        annotations=[
            common.pages(
                'alertname=~"OIDC.+",alertstate="firing",severity="critical",issuer="$issuer"'
            ),
            common.rotations(OF),
            common.reloads(OF, on=False),
            common.restarts(OF, on=False),
        ],
        to=common.head("oidc-issuer"),
    )


def _now(expr: str, ref: str = "A", legend: str = "") -> Query:
    return Query(expr=expr, ref=ref, legend=legend, instant=True)


def _asked(expr: str, ref: str = "A") -> Query:
    return Query(expr=expr, ref=ref, instant=True, format="table")


def _verdict() -> list[Json]:
    slo = words.link(
        "Show the error budget", words.dashboard_url("oidc-slo", *CARRIED, "issuer")
    )
    return [
        model.stat(
            "Verdict",
            "What most vantages say: whether STS would get a usable key. Degraded: some "
            "exporter says no, or more than half of the budget is used.",
            _now(common.state(OF)),
            mappings=words.STATE,
            color="background",
            no_value="no such issuer",
        ),
        model.stat(
            "URL",
            "The issuer as configured; it must equal the token's `iss` to the letter.",
            _now(f"group by (url) ({OF('oidc_issuer_info')})", legend="{{url}}"),
            w=6,
            name_only=True,
            no_value="no such issuer",
        ),
        model.stat(
            "Last good probe",
            "When any exporter last got a usable key in time.",
            _now(f"1000 * max({OF('oidc_probe_success_timestamp_seconds')})"),
            unit="dateTimeFromNow",
            no_value="never",
        ),
        model.stat(
            "Bad from",
            "Vantages that say that STS would get no usable key, and all that tell anything. A "
            "single one of several: look at its network.",
            _now(f"count({_votes()} == 0) or 0 * count({_votes()})", "bad", "bad"),
            _now(f"count({_votes()})", "of", "of"),
            w=3,
            names=True,
            no_value="no data",
            overrides=[model.override("bad", prop("thresholds", words.NONE_IS_GOOD))],
        ),
        model.stat(
            "p95 of the budget",
            "What 95 of 100 probes within half an hour stay under, in the middle one of the "
            "vantages. Half of the budget makes a ticket.",
            _now(OF("issuer:oidc_probe_duration:budget_ratio_p95")),
            w=3,
            unit="percentunit",
            decimals=0,
            thresholds=words.OF_BUDGET,
            no_value="no data",
        ),
        model.stat(
            "Error budget left",
            "Of 30 days; below zero the objective is missed.",
            _now(OF("issuer:oidc_error_budget:left_ratio30d")),
            unit="percentunit",
            decimals=0,
            thresholds=words.BUDGET_LEFT,
            no_value="no data",
            to=[slo],
        ),
    ]


def _votes() -> str:
    # Without the rules every exporter has a vote, fresh or not.
    return (
        f"({OF('issuer_vantage:oidc_usable:bool')} or max by (issuer, vantage) "
        f"({OF('oidc_probe_success')}) unless on () oidc:threshold:freshness_intervals)"
    )


def _causes() -> Json:
    failing = common.placed(common.caused(OF("oidc_probe_failure_info")))
    kept = "vantage, instance, document, cause"
    since = (
        f"1000 * ({OF('oidc_probe_success_timestamp_seconds')}\n"
        f"and on (job, instance, issuer) {OF('oidc_probe_failure_info')})"
    )
    return model.table(
        "Cause",
        "What stopped the latest probe of each exporter. A click on the cause opens what it "
        "means and what to do; the exporter leads to its own dashboard.",
        [
            Column(
                title="Cause",
                label="cause",
                query=_asked(f"max by ({kept}) ({failing})", "cause"),
                properties=(
                    *model.coloured_text(words.CAUSE, words.ALWAYS_BAD),
                    model.links(words.to_cause()),
                    prop("custom.width", 380),
                ),
            ),
            Column(title="Document", label="document", properties=(_document(),)),
            Column(title="Vantage", label="vantage"),
            Column(
                title="Exporter",
                label="instance",
                properties=(model.links(words.to_exporter()),),
            ),
            Column(
                title="Last good probe",
                query=_asked(f"max by (instance) ({since})", "since"),
                unit="dateTimeFromNow",
            ),
        ],
        join="instance",
        w=14,
        h=6,
        no_value="Nothing stops the probes.",
    )


def _document() -> Json:
    return prop("mappings", words.DOCUMENT)


def _findings() -> Json:
    kept = "code, level, document"
    return model.table(
        "Findings",
        "Promises that the issuer breaks without being stopped by it, and the number of "
        "exporters that met them. A click opens what to do.",
        [
            Column(
                title="Finding",
                label="code",
                properties=(
                    prop("mappings", words.FINDING),
                    model.links(words.to_cause("finding-${__value.raw}")),
                    prop("custom.width", 380),
                ),
            ),
            Column(title="Level", label="level", properties=model.coloured_text(words.LEVEL)),
            Column(title="Document", label="document", properties=(_document(),)),
            Column(
                title="Met by",
                query=_asked(f"count by ({kept}) ({OF('oidc_finding_info')})"),
                unit="none",
            ),
        ],
        w=10,
        h=6,
        sort="Level",
        no_value="No promise is broken.",
    )


def _chain() -> list[Json]:
    earlier: list[str] = [Stage.CONFIG]
    found = []
    for title, stages in CHAIN.items():
        found.append(
            _link(title, _failing(document='="discovery"', stage=_any(stages)), _at(earlier))
        )
        earlier += stages
    keys = _failing(document='="jwks"', stage=f'!~"{Stage.BUDGET}|{Stage.INTERNAL}"')
    return [*found, _link("Key set", keys, _at(earlier))]


def _at(stages: list[str]) -> str:
    return _failing(document='="discovery"', stage=_any(stages))


def _any(stages: list[str] | tuple[Stage, ...]) -> str:
    return f'=~"{"|".join(stages)}"'


def _failing(**matchers: str) -> str:
    return OF("oidc_probe_failure_info", **matchers)


def _link(title: str, failing: str, before: str) -> Json:
    probes = f"{OF('oidc_probe_success')} unless on (job, instance, issuer) " + _failing(
        stage=f'="{Stage.INTERNAL}"'
    )
    expr = f"""
min(
  0 * {failing}
  or on (job, instance, issuer)
  {before}
  or on (job, instance, issuer)
  2 + 0 * ({probes})
)"""
    said = {
        "DNS": "The host's name is looked up.",
        "Connect": "A TCP connection is made.",
        "TLS": "The handshake succeeds and the certificate is one that STS trusts.",
        "Discovery": "The discovery document arrives and is this issuer's.",
        "Key set": "The key set is found, wherever it stands, and holds a usable key.",
    }
    return model.stat(
        title,
        f"{said[title]} The worst of what the exporters met at their latest probe. A chain "
        "without a break can still be too slow: see the verdict.",
        _now(expr),
        w=5 if title == "Key set" else 4,
        h=3,
        mappings=words.LINK,
        color="background",
        no_value="no data",
    )


def _stopped() -> Json:
    failing = common.caused(OF("oidc_probe_failure_info"))
    good = f"max({OF('oidc_probe_success')}) == 1"
    expr = f"""
topk(1, count by (cause) ({failing}))
or on ()
label_replace({good}, "cause", "good", "", "")
or on ()
label_replace(vector(0), "cause", "unknown", "", "")"""
    panel = model.word_timeline(
        "What stopped the probes: $vantage",
        "The cause of each failed probe over time, one band a vantage. Bands that break at the "
        "same moment are the issuer's; a single one is that vantage's.",
        Query(expr=expr, format="table"),
        "cause",
        words.CAUSE,
    )
    return model.repeated(panel, direction="v")


def _status() -> Json:
    status = common.placed(OF("oidc_fetch_status_code"))
    return model.timeline(
        "HTTP status",
        "What each document was answered with, by vantage, the highest of its exporters. A "
        "gap: no status line came.",
        Query(expr=f"max by (vantage, document) ({status})", legend="{{vantage}} {{document}}"),
        h=6,
        mappings=words.STATUS,
        show="auto",
        no_value=NOTHING_YET,
    )


def _phases() -> Json:
    queries = [
        Query(
            expr=f"avg({_phase(document, phase)})",
            ref=f"{document} {phase}",
            legend=f"{TITLES[document]}: {phase}",
        )
        for document in Document
        for phase in Phase
    ]
    looks = [
        common.fixed(f"{TITLES[document]}: {phase}", hues[at])
        for at, document in enumerate(Document)
        for phase, hues in HUES.items()
    ]
    panel = model.lines(
        "Where the time goes: $vantage",
        "The phases of both documents, stacked in the order in which a probe goes through "
        "them, so that their top is what the budget is compared with. The red line is the "
        "budget: STS has given up beyond it.",
        *queries,
        Query(expr=BUDGET, ref="budget", legend="budget"),
        unit="s",
        h=9,
        stacked=True,
        legend=("mean", "max"),
        overrides=[*looks, model.limit("budget", words.RED)],
        no_value=NOTHING_YET,
    )
    return model.repeated(panel | {"gridPos": {"w": 24, "h": 9}}, direction="h")


def _phase(document: Document, phase: Phase) -> str:
    return OF(
        "oidc_fetch_phase_duration_seconds", document=f'="{document}"', phase=f'="{phase}"'
    )


def _latency() -> list[Json]:
    buckets = OF("oidc_probe_latency_seconds_bucket")
    rate = f"sum by (le) (rate({buckets}[$__rate_interval]))"
    ratio = common.placed(OF("issuer_vantage:oidc_probe_duration:budget_ratio_p95"))
    limits, looks = common.latency_limits()
    return [
        model.heatmap(
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
        ),
        model.lines(
            "Quantiles",
            "What half, 95 and 99 of 100 probes stayed under, within ten minutes or more. The "
            "red line is the budget.",
            *(
                Query(expr=f"histogram_quantile({q}, {rate})", ref=f"p{q}", legend=name)
                for q, name in ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
            ),
            Query(expr=BUDGET, ref="budget", legend="budget"),
            unit="s",
            w=8,
            interval="10m",
            overrides=[model.limit("budget", words.RED)],
            no_value=NOTHING_YET,
        ),
        model.lines(
            "p95 of the budget, by vantage",
            "As the alerts see it: what 95 of 100 probes within half an hour stay under, as a "
            "share of the budget, with the alerts' own lines.",
            Query(expr=ratio, legend="{{vantage}}"),
            *limits,
            unit="percentunit",
            decimals=0,
            w=8,
            overrides=looks,
            no_value=common.WITHOUT_RULES,
        ),
    ]


def _caching() -> list[Json]:
    cacheable = common.placed(OF("oidc_cacheable"))
    age = OF("oidc_cache_max_age_seconds", document='="jwks"')
    directives = OF("oidc_cache_directive")
    kept = "document, header, directive"
    return [
        model.timeline(
            "May STS cache it?",
            "Whether any header says no-cache, by vantage and document. Then STS fetches the "
            "document again for every token.",
            Query(
                expr=f"min by (vantage, document) ({cacheable})",
                legend="{{vantage}} {{document}}",
            ),
            w=9,
            mappings=words.CACHEABLE,
            show="never",
            no_value=NOTHING_YET,
        ),
        model.lines(
            "How long the key set may be kept",
            "max-age of the key set, the shortest and the longest that any exporter saw. Below "
            "the lower line a cache hardly helps; beyond the upper one verifiers learn of a "
            "new key too late.",
            Query(expr=f"min({age})", ref="shortest", legend="shortest"),
            Query(expr=f"max({age})", ref="longest", legend="longest"),
            common.threshold_line("oidc:threshold:cache_short_seconds", "too short"),
            common.threshold_line("oidc:threshold:cache_long_seconds", "too long"),
            unit="s",
            w=9,
            overrides=[model.limit(n, words.AMBER) for n in ("too short", "too long")],
            no_value="no max-age is sent",
        ),
        model.table(
            "Directives",
            "What the caching headers carry now, and how many exporters saw it.",
            [
                Column(title="Document", label="document", properties=(_document(),)),
                Column(title="Header", label="header"),
                Column(title="Directive", label="directive"),
                Column(
                    title="Seen by",
                    query=_asked(f"count by ({kept}) ({directives})"),
                    unit="none",
                ),
            ],
            w=6,
            sort="Document",
            no_value="No directive is sent.",
        ),
    ]


def _keys() -> list[Json]:
    by_hash = common.shortened(common.placed(OF("oidc_jwks_info")), "set", "sha256")
    return [
        model.timeline(
            "Keys, by kid",
            "From when to when each key was published; the first 20 of the set. An honest "
            "rotation overlaps: the new key is there before the old one goes.",
            Query(
                expr=f"max by (kid, kty, alg) ({OF('oidc_jwks_key_info')})",
                legend="{{kid}} {{kty}} {{alg}}",
            ),
            w=14,
            mappings=words.PUBLISHED,
            show="never",
            color="palette-classic",
            no_value=NOTHING_YET,
        ),
        model.timeline(
            "Key sets, by vantage",
            "Which set of keys each vantage saw, by the first digits of its hash. Two bands at "
            "one moment: different places get different keys.",
            Query(expr=f"max by (set, vantage) ({by_hash})", legend="{{vantage}} {{set}}"),
            w=10,
            mappings=words.PUBLISHED,
            show="never",
            color="palette-classic",
            no_value=NOTHING_YET,
        ),
        model.lines(
            "Number of keys",
            "Published keys of each type, those of them that STS can use, and how many of one "
            "type STS takes: beyond that it uses none of them.",
            Query(
                expr=f"max by (kty) ({OF('oidc_jwks_keys')} > 0)",
                ref="published",
                legend="{{kty}}",
            ),
            Query(
                expr=f"min by (kty) ({OF('oidc_jwks_usable_keys')} > 0)",
                ref="usable",
                legend="{{kty}} usable",
            ),
            Query(expr=f"max({OF('oidc_jwks_keys_limit')})", ref="limit", legend="limit"),
            w=14,
            decimals=0,
            overrides=[model.limit("limit", words.RED)],
            no_value=NOTHING_YET,
        ),
        model.stat(
            "Last change",
            "When a changed key set was seen last.",
            _now(f"1000 * max({OF('oidc_jwks_change_timestamp_seconds')})"),
            unit="dateTimeFromNow",
            w=5,
            h=8,
            no_value="none seen yet",
        ),
        model.stat(
            "Withdrawn too early",
            "Keys that went before any key that stayed could be known, in the time that is "
            "shown: tokens fail then.",
            _now(f"max(increase({OF('oidc_jwks_keys_removed_early_total')}[$__range]))"),
            thresholds=words.NONE_IS_BETTER,
            decimals=0,
            w=5,
            h=8,
            no_value="no data",
        ),
    ]


def _tls() -> list[Json]:
    end = "oidc_tls_certificate_not_after_timestamp_seconds"
    start = "oidc_tls_certificate_not_before_timestamp_seconds"
    by = "min by (part)"
    part = '"part", " ", "document", "position"'
    left = f"label_join({OF(end)}, {part})"
    life = f"({OF(end)} - time()) / ({OF(end)} - {OF(start)})"
    days = 86400
    return [
        model.table(
            "Certificates",
            "The first end of validity that any exporter saw. An alert wants both little time "
            "(OIDCCertificateExpiring) and little of the certificate's own life left: short "
            "lives are no reason to worry.",
            [
                Column(title="Certificate", label="part"),
                Column(
                    title="Ends",
                    query=_asked(f"1000 * {by} ({left})", "end"),
                    unit="dateTimeAsIso",
                ),
                Column(
                    title="Time left",
                    query=_asked(f"({by} ({left}) - time()) / {days}", "days"),
                    unit="suffix: days",
                    properties=(
                        *model.coloured_text(steps=_certificate("seconds", days)),
                        prop("decimals", 1),
                    ),
                ),
                Column(
                    title="Life left",
                    query=_asked(f"{by} (label_join({life}, {part}))", "life"),
                    unit="percentunit",
                    properties=(
                        *model.gauge_cell(_certificate("ratio", 1)),
                        prop("decimals", 0),
                    ),
                ),
            ],
            join="part",
            sort="Ends",
            w=12,
            h=7,
        ),
        model.table(
            "Negotiated",
            "Protocol version, cipher and the SHA-1 of the top certificate served, as IAM "
            "lists it, by vantage.",
            [
                Column(title="Vantage", label="vantage"),
                Column(title="Document", label="document", properties=(_document(),)),
                Column(title="Version", label="version"),
                Column(title="Cipher", label="cipher"),
                Column(
                    title="Thumbprint",
                    label="thumbprint",
                    query=_asked(
                        "max by (vantage, document, version, cipher, thumbprint) "
                        f"({common.placed(OF('oidc_tls_info'))})"
                    ),
                ),
            ],
            sort="Document",
            w=12,
            h=7,
            no_value=NOTHING_YET,
        ),
    ]


def _certificate(kind: str, unit: float) -> Json:
    warning, critical = (
        threshold(f"oidc:threshold:certificate_{level}_{kind}") / unit
        for level in ("warning", "critical")
    )
    return words.steps((None, words.RED), (critical, words.AMBER), (warning, words.GREEN))


def _network() -> list[Json]:
    offset = common.placed(OF("oidc_fetch_clock_offset_seconds"))
    skew = "oidc:threshold:clock_skew_seconds"
    addresses = common.placed(OF("oidc_fetch_address_info"))
    return [
        model.lines(
            "Clock of the issuer",
            "The issuer's Date minus the exporter's clock, by vantage. STS tolerates five "
            "minutes; the alert speaks beyond the lines.",
            Query(expr=f"avg by (vantage) ({offset})", legend="{{vantage}}"),
            Query(expr=skew, ref="ahead", legend="too far ahead"),
            Query(expr=f"-1 * {skew}", ref="behind", legend="too far behind"),
            unit="s",
            w=8,
            least=None,
            legend=("min", "max"),
            overrides=[
                model.limit(n, words.AMBER) for n in ("too far ahead", "too far behind")
            ],
            no_value=NOTHING_YET,
        ),
        model.lines(
            "Size of the documents",
            "What was read of each body, after decompression.",
            Query(
                expr=f"max by (document) ({OF('oidc_fetch_size_bytes')})",
                legend="{{document}}",
            ),
            unit="bytes",
            w=8,
            no_value=NOTHING_YET,
        ),
        model.table(
            "Addresses",
            "What kind of address answered, or was tried last. STS reaches global ones only.",
            [
                Column(title="Vantage", label="vantage"),
                Column(title="Document", label="document", properties=(_document(),)),
                Column(title="Family", label="family"),
                Column(
                    title="Scope",
                    label="scope",
                    query=_asked(f"max by (vantage, document, family, scope) ({addresses})"),
                    properties=model.coloured_text(words.SCOPE, words.ALWAYS_WORRYING),
                ),
            ],
            sort="Vantage",
            w=8,
            no_value=NOTHING_YET,
        ),
    ]
