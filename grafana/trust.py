"""Rows of OIDC / Issuer about what tokens are held against: keys, certificates, clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana import expressions, fields, model, tables, timelines, words
from grafana.expressions import placed
from grafana.facts import NOTHING_YET, OF, document
from grafana.fields import Column, Query, now, rows
from grafana.names import threshold

if TYPE_CHECKING:
    from grafana.names import Json

_END = OF("oidc_tls_certificate_not_after_timestamp_seconds")
_START = OF("oidc_tls_certificate_not_before_timestamp_seconds")
_DAY = 86400


def panels() -> list[Json]:
    """Keys, TLS and network, with their headings."""
    return [
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


def _life() -> Json:
    every = OF("oidc_jwks_key_info")
    found = expressions.longest(every, "kid")
    keys = f"max by (kid, kty, alg) ({found})"
    return timelines.timeline(
        "Keys, by kid",
        "From when to when each key was published. An honest rotation overlaps: the new key "
        f"is there before the old one goes. The {model.FEW} keys that are there at the end or "
        "were for longest, of the first 20 of each set.",
        Query(
            expr=expressions.or_nothing(keys, "kid", every), legend="{{kid}} {{kty}} {{alg}}"
        ),
        w=14,
        mappings=words.PUBLISHED,
        no_value=NOTHING_YET,
    )


def _sets() -> Json:
    every = OF("oidc_jwks_info")
    found = expressions.longest(every, "sha256", "vantage")
    short = expressions.shortened(placed(found), "set", "sha256")
    sets = f"max by (set, vantage) ({short})"
    return timelines.timeline(
        "Key sets, by vantage",
        "Which set of keys each vantage saw, by the first digits of its hash. Two bands at "
        f"one moment: different places get different keys. The {model.FEW} that are there at "
        "the end or were for longest.",
        Query(expr=expressions.or_nothing(sets, "set", every), legend="{{set}} {{vantage}}"),
        w=10,
        mappings=words.PUBLISHED,
        no_value=NOTHING_YET,
    )


def _count() -> Json:
    published = f"max by (kty) ({OF('oidc_jwks_keys')} > 0)"
    usable = f"min by (kty) ({OF('oidc_jwks_usable_keys')} > 0)"
    # Far above, it would leave no room between one key and two.
    limit = f"max({OF('oidc_jwks_keys_limit')})"
    near = f"{limit} and on () max({published}) > {limit} / 3"
    return model.lines(
        "Number of keys",
        "Published keys of each type, those of them that STS can use, and how many of one "
        "type STS takes: beyond that it uses none of them. That line is drawn from a third of "
        "it on.",
        Query(expr=published, ref="published", legend="{{kty}}"),
        Query(expr=usable, ref="usable", legend="{{kty}} usable"),
        Query(expr=near, ref="limit", legend="limit"),
        w=14,
        legend=model.IN_ORDER,
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
    return tables.table(
        "Certificates",
        "The first end of validity that any exporter saw. An alert wants both little time "
        "(OIDCCertificateExpiring) and little of the certificate's own life left: short lives "
        "are no reason to worry.",
        fields.label("Certificate", "part", fields.at_least(120)),
        fields.value(
            "Ends", rows(f"1000 * {end}", "end"), fields.width(165), unit="dateTimeAsIso"
        ),
        fields.value(
            "Time left",
            rows(f"({end} - time()) / {_DAY}", "days"),
            *fields.coloured_text(thresholds=_expiring("seconds", _DAY)),
            fields.decimals(1),
            fields.width(95),
            unit="suffix:days",
        ),
        fields.value(
            "Life left",
            rows(f"min by (part) ({life})", "life"),
            *fields.gauge_cell(_expiring("ratio", 1)),
            fields.decimals(0),
            fields.width(110),
            unit="percentunit",
        ),
        join="part",
        sort="Ends",
        w=8,
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
    return tables.table(
        "Negotiated",
        "Protocol version, cipher and the SHA-1 of the top certificate served, as IAM lists "
        "it, by vantage.",
        fields.label("Vantage", "vantage", fields.at_least(140)),
        document(),
        fields.label("Version", "version", fields.width(95)),
        fields.label("Cipher", "cipher", fields.at_least(235)),
        Column(
            title="Thumbprint",
            label="thumbprint",
            query=rows(f"max by ({kept}) ({placed(OF('oidc_tls_info'))})"),
            properties=(fields.width(385),),
        ),
        sort="Document",
        w=16,
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
        unit="suffix:s",
        w=8,
        least=None,
        legend=model.IN_ORDER,
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
        legend=model.IN_ORDER,
        no_value=NOTHING_YET,
    )


def _addresses() -> Json:
    kept = "vantage, document, family, scope"
    return tables.table(
        "Addresses",
        "What kind of address answered, or was tried last. STS reaches global ones only.",
        fields.label("Vantage", "vantage", fields.at_least(120)),
        document(),
        fields.label("Family", "family", fields.width(95)),
        Column(
            title="Scope",
            label="scope",
            query=rows(f"max by ({kept}) ({placed(OF('oidc_fetch_address_info'))})"),
            properties=(
                *fields.coloured_text(words.SCOPE, words.ALWAYS_WORRYING),
                fields.width(110),
            ),
        ),
        sort="Vantage",
        w=8,
        no_value=NOTHING_YET,
    )
