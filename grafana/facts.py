"""The lower rows of OIDC / Issuer: latency, caching, keys, TLS and network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import common, expressions, fields, model, words
from grafana.expressions import placed
from grafana.fields import Column, Query, now, rows
from grafana.names import Selectors, threshold

if TYPE_CHECKING:
    from grafana.names import Json

OF = Selectors(issuer='="$issuer"')
NOTHING_YET = "no probe has come that far"
BUDGET = f"max({OF('oidc_probe_budget_seconds')})"
_END = OF("oidc_tls_certificate_not_after_timestamp_seconds")
_START = OF("oidc_tls_certificate_not_before_timestamp_seconds")
_DAY = 86400


def panels() -> list[Json]:
    """All of them, with their headings."""
    return [
        model.row("Latency"),
        _distribution(),
        _quantiles(),
        _by_vantage(),
        model.row("Caching"),
        _cacheable(),
        _max_age(),
        _directives(),
        model.row("Keys"),
        _life(),
        _sets(),
        _count(),
        *_changes(),
        model.row("TLS and network"),
        _certificates(),
        _negotiated(),
        _clock(),
        _sizes(),
        _addresses(),
    ]


def document() -> Column:
    """A column that says which of the two documents is meant."""
    return fields.label("Document", "document", fields.prop("mappings", words.DOCUMENT))


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
        "What half, 95 and 99 of 100 probes stayed under, within ten minutes or more. The red "
        "line is the budget.",
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
        interval="10m",
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
        overrides=looks,
        no_value=common.WITHOUT_RULES,
    )


def _cacheable() -> Json:
    cacheable = f"min by (vantage, document) ({placed(OF('oidc_cacheable'))})"
    return model.timeline(
        "May STS cache it?",
        "Whether any header says no-cache, by vantage and document. Then STS fetches the "
        "document again for every token.",
        Query(expr=cacheable, legend="{{vantage}} {{document}}"),
        w=9,
        mappings=words.CACHEABLE,
        no_value=NOTHING_YET,
    )


def _max_age() -> Json:
    age = OF("oidc_cache_max_age_seconds", document='="jwks"')
    return model.lines(
        "How long the key set may be kept",
        "max-age of the key set, the shortest and the longest that any exporter saw. Below "
        "the lower line a cache hardly helps; beyond the upper one verifiers learn of a new "
        "key too late.",
        Query(expr=f"min({age})", ref="shortest", legend="shortest"),
        Query(expr=f"max({age})", ref="longest", legend="longest"),
        common.threshold_line("oidc:threshold:cache_short_seconds", "too short"),
        common.threshold_line("oidc:threshold:cache_long_seconds", "too long"),
        unit="s",
        w=9,
        overrides=[fields.limit(name, words.AMBER) for name in ("too short", "too long")],
        no_value="no max-age is known",
    )


def _directives() -> Json:
    seen = f"count by (document, header, directive) ({OF('oidc_cache_directive')})"
    return model.table(
        "Directives",
        "What the caching headers carry now, and how many exporters saw it.",
        document(),
        fields.label("Header", "header"),
        fields.label("Directive", "directive"),
        fields.value("Seen by", rows(seen)),
        w=6,
        sort="Document",
        no_value="No directive is known.",
    )


def _life() -> Json:
    return model.timeline(
        "Keys, by kid",
        "From when to when each key was published; the first 20 of the set. An honest "
        "rotation overlaps: the new key is there before the old one goes.",
        Query(
            expr=f"max by (kid, kty, alg) ({OF('oidc_jwks_key_info')})",
            legend="{{kid}} {{kty}} {{alg}}",
        ),
        w=14,
        mappings=words.PUBLISHED,
        color="palette-classic",
        no_value=NOTHING_YET,
    )


def _sets() -> Json:
    short = expressions.shortened(placed(OF("oidc_jwks_info")), "set", "sha256")
    return model.timeline(
        "Key sets, by vantage",
        "Which set of keys each vantage saw, by the first digits of its hash. Two bands at "
        "one moment: different places get different keys.",
        Query(expr=f"max by (set, vantage) ({short})", legend="{{set}} {{vantage}}"),
        w=10,
        mappings=words.PUBLISHED,
        color="palette-classic",
        no_value=NOTHING_YET,
    )


def _count() -> Json:
    published = f"max by (kty) ({OF('oidc_jwks_keys')} > 0)"
    usable = f"min by (kty) ({OF('oidc_jwks_usable_keys')} > 0)"
    most = f"max({OF('oidc_jwks_keys_limit')})"
    return model.lines(
        "Number of keys",
        "Published keys of each type, those of them that STS can use, and how many of one "
        "type STS takes: beyond that it uses none of them.",
        Query(expr=published, ref="published", legend="{{kty}}"),
        Query(expr=usable, ref="usable", legend="{{kty}} usable"),
        Query(expr=most, ref="limit", legend="limit"),
        w=14,
        decimals=0,
        overrides=[fields.limit("limit", words.RED)],
        no_value=NOTHING_YET,
    )


def _changes() -> list[Json]:
    # Of a key set that nobody has read nothing is known, and a zero would be green.
    read = f"last_over_time({OF('oidc_jwks_info')}[$__range])"
    early = f"""
increase({OF("oidc_jwks_keys_removed_early_total")}[$__range])
and on (job, instance, issuer) {read}"""
    return [
        model.stat(
            "Last change",
            "When a changed key set was seen last.",
            now(f"1000 * max({OF('oidc_jwks_change_timestamp_seconds')})"),
            unit="dateTimeFromNow",
            w=5,
            h=8,
            no_value="none seen yet",
        ),
        model.stat(
            "Withdrawn too early",
            "Keys that went before any key that stayed could be known, in the time that is "
            "shown: tokens fail then.",
            now(f"max({early})"),
            thresholds=words.NONE_IS_BETTER,
            decimals=0,
            w=5,
            h=8,
        ),
    ]


def _certificates() -> Json:
    end = f"min by (part) ({_named(_END)})"
    life = _named(f"({_END} - time()) / ({_END} - {_START})")
    return model.table(
        "Certificates",
        "The first end of validity that any exporter saw. An alert wants both little time "
        "(OIDCCertificateExpiring) and little of the certificate's own life left: short lives "
        "are no reason to worry.",
        fields.label("Certificate", "part"),
        fields.value("Ends", rows(f"1000 * {end}", "end"), unit="dateTimeAsIso"),
        fields.value(
            "Time left",
            rows(f"({end} - time()) / {_DAY}", "days"),
            *fields.coloured_text(thresholds=_expiring("seconds", _DAY)),
            fields.decimals(1),
            unit="suffix: days",
        ),
        fields.value(
            "Life left",
            rows(f"min by (part) ({life})", "life"),
            *fields.gauge_cell(_expiring("ratio", 1)),
            fields.decimals(0),
            unit="percentunit",
        ),
        join="part",
        sort="Ends",
        w=12,
        h=7,
        no_value=NOTHING_YET,
    )


def _named(expr: str) -> str:
    """Both documents bring a certificate and what stands above it: *expr* says which."""
    return f'label_join({expr}, "part", " ", "document", "position")'


def _expiring(kind: str, unit: float) -> Json:
    warning, critical = (
        threshold(f"oidc:threshold:certificate_{level}_{kind}") / unit
        for level in ("warning", "critical")
    )
    return words.steps((None, words.RED), (critical, words.AMBER), (warning, words.GREEN))


def _negotiated() -> Json:
    kept = "vantage, document, version, cipher, thumbprint"
    return model.table(
        "Negotiated",
        "Protocol version, cipher and the SHA-1 of the top certificate served, as IAM lists "
        "it, by vantage.",
        fields.label("Vantage", "vantage"),
        document(),
        fields.label("Version", "version"),
        fields.label("Cipher", "cipher"),
        Column(
            title="Thumbprint",
            label="thumbprint",
            query=rows(f"max by ({kept}) ({placed(OF('oidc_tls_info'))})"),
        ),
        sort="Document",
        w=12,
        h=7,
        no_value=NOTHING_YET,
    )


def _clock() -> Json:
    offset = f"avg by (vantage) ({placed(OF('oidc_fetch_clock_offset_seconds'))})"
    skew = "oidc:threshold:clock_skew_seconds"
    bounds = ("too far ahead", "too far behind")
    return model.lines(
        "Clock of the issuer",
        "The issuer's Date minus the exporter's clock, by vantage. STS tolerates five "
        "minutes; the alert speaks beyond the lines.",
        Query(expr=offset, legend="{{vantage}}"),
        Query(expr=skew, ref="ahead", legend=bounds[0]),
        Query(expr=f"-1 * {skew}", ref="behind", legend=bounds[1]),
        unit="s",
        w=8,
        least=None,
        legend=("min", "max"),
        overrides=[fields.limit(name, words.AMBER) for name in bounds],
        no_value=NOTHING_YET,
    )


def _sizes() -> Json:
    size = f"max by (document) ({OF('oidc_fetch_size_bytes')})"
    return model.lines(
        "Size of the documents",
        "What was read of each body, after decompression.",
        Query(expr=size, legend="{{document}}"),
        unit="bytes",
        w=8,
        no_value=NOTHING_YET,
    )


def _addresses() -> Json:
    kept = "vantage, document, family, scope"
    return model.table(
        "Addresses",
        "What kind of address answered, or was tried last. STS reaches global ones only.",
        fields.label("Vantage", "vantage"),
        document(),
        fields.label("Family", "family"),
        Column(
            title="Scope",
            label="scope",
            query=rows(f"max by ({kept}) ({placed(OF('oidc_fetch_address_info'))})"),
            properties=fields.coloured_text(words.SCOPE, words.ALWAYS_WORRYING),
        ),
        sort="Vantage",
        w=8,
        no_value=NOTHING_YET,
    )
