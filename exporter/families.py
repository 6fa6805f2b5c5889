"""Every metric of an issuer, declared once: name, type, help, labels, when it is absent.

`/metrics`, `docs/metrics.md`, and the checks of rules and dashboards read this table. Where
the samples come from stands in `samples`; a line here is the public contract.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter import metric, samples
from exporter.family import Family, InfoFamily, LatencyFamily, SampledFamily
from exporter.metric import DOCUMENT, KTY, POSITION, STAGE, Label, Type
from exporter.samples import of_caching, of_certificates, of_fetches, of_report, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.model import Report


class Group(StrEnum):
    """Families that are documented together, and rendered together when one may change."""

    ISSUER = "Issuer"
    PROBE = "Probe"
    FETCH = "Fetch"
    CACHING = "Caching"
    TLS = "TLS"
    FINDINGS = "Findings"
    KEYS = "Keys"


_gauge = partial(SampledFamily, type=Type.GAUGE)
_counter = partial(SampledFamily, type=Type.COUNTER)

_NO_FETCH = "the latest probe did not come to this document"
_NOT_200 = "the document was not answered with 200"
_NO_KEY_SET = "the latest probe read no key set"
_NO_PROBE = "no probe has ended yet"
_NO_CHAIN = "no certificate came; `chain` also when the leaf came with none that it needs"

_ISSUER = (
    InfoFamily(
        name="oidc_issuer_info",
        type=Type.GAUGE,
        help="The issuer as configured, with its own labels.",
        labels=(metric.URL, Label(name="…", origin="the issuer's own labels, configured")),
    ),
    _gauge(
        name="oidc_probe_budget_seconds",
        help="Configured limit for a probe's duration; beyond it STS would have given up.",
        samples=one(lambda state: state.issuer.budget_seconds),
    ),
    _gauge(
        name="oidc_probe_timeout_seconds",
        help="Configured time after which a probe stops waiting.",
        samples=one(lambda state: state.issuer.timeout_seconds),
    ),
    _gauge(
        name="oidc_jwks_keys_limit",
        help="Keys of one type beyond which STS uses none of them.",
        samples=samples.keys_limit,
    ),
)

_PROBE = (
    _gauge(
        name="oidc_probe_success",
        help="Whether STS, asked at the latest probe, would have got a usable key in time.",
        samples=of_report(lambda report: int(report.is_success)),
        absent=_NO_PROBE,
    ),
    _gauge(
        name="oidc_probe_duration_seconds",
        help="Latest probe: from the first name lookup to the last byte read.",
        samples=of_report(lambda report: report.duration_seconds if report.fetches else None),
        absent="the latest probe fetched nothing (stages `config` and `internal`)",
    ),
    _gauge(
        name="oidc_probe_interval_seconds",
        help="Configured time to the next probe; a failing issuer may have one of its own.",
        samples=one(lambda state: state.interval_seconds),
    ),
    _gauge(
        name="oidc_probe_timestamp_seconds",
        help="When the latest probe ended, in Unix time.",
        samples=of_report(lambda report: report.ended_timestamp_seconds),
        absent=_NO_PROBE,
    ),
    _gauge(
        name="oidc_probe_success_timestamp_seconds",
        help="When the latest good probe ended, in Unix time.",
        samples=one(lambda state: state.success_timestamp_seconds),
        absent="no probe has been good yet",
    ),
    LatencyFamily(
        name="oidc_probe_latency_seconds",
        type=Type.HISTOGRAM,
        help="Durations of all probes that fetched something, every attempt.",
    ),
    _counter(
        name="oidc_probes_total",
        help="Probes ended, every attempt.",
        samples=one(lambda state: state.probes),
    ),
    _counter(
        name="oidc_probe_failures_total",
        help="Probes failed, every attempt, by the stage that stopped them.",
        labels=(STAGE,),
        samples=samples.probe_failures,
    ),
    _gauge(
        name="oidc_probe_failure_info",
        help="What stopped the latest probe.",
        labels=(DOCUMENT, STAGE, metric.REASON),
        samples=samples.probe_failure,
        absent="the latest probe was good",
    ),
    _gauge(
        name="oidc_probe_retry_after_timestamp_seconds",
        help="Until when the issuer asked the latest probe to be left alone, in Unix time.",
        samples=one(lambda state: state.resting_until_timestamp_seconds),
        absent="the latest probe was not asked to wait",
    ),
)

_FETCH = (
    _gauge(
        name="oidc_fetch_duration_seconds",
        help="Latest probe: time of this document's GET.",
        labels=(DOCUMENT,),
        samples=of_fetches(lambda fetch: fetch.duration_seconds),
        absent=_NO_FETCH,
    ),
    _gauge(
        name="oidc_fetch_phase_duration_seconds",
        help="Latest probe: where the time of this document's GET went.",
        labels=(DOCUMENT, metric.PHASE),
        samples=samples.fetch_phases,
        absent="the phase was not reached, or a reused connection did without it",
    ),
    _gauge(
        name="oidc_fetch_status_code",
        help="Latest probe: HTTP status of the answer.",
        labels=(DOCUMENT,),
        samples=of_fetches(lambda fetch: fetch.status),
        absent="no status line came",
    ),
    _gauge(
        name="oidc_fetch_size_bytes",
        help="Latest probe: what was read of the body, after decompression.",
        labels=(DOCUMENT,),
        samples=of_fetches(lambda fetch: fetch.size_bytes),
        absent="no body was read",
    ),
    _gauge(
        name="oidc_fetch_address_info",
        help="Latest probe: kind of address that answered, or was tried last.",
        labels=(DOCUMENT, metric.FAMILY, metric.SCOPE),
        samples=samples.fetch_address,
        absent="no address was dialled",
    ),
    _gauge(
        name="oidc_fetch_clock_offset_seconds",
        help="Latest probe: the issuer's Date minus the exporter's clock; STS tolerates 300.",
        labels=(DOCUMENT,),
        samples=of_caching(lambda policy: policy.clock_offset_seconds),
        absent=f"{_NOT_200}, or without a valid `Date`",
    ),
)

_CACHING = (
    _gauge(
        name="oidc_cache_directive",
        help="Latest probe: a directive that the response's caching headers carry.",
        labels=(DOCUMENT, metric.DIRECTIVE, metric.HEADER),
        samples=samples.cache_directives,
        absent=f"it was not sent, or {_NOT_200}",
    ),
    _gauge(
        name="oidc_cacheable",
        help="Latest probe: whether STS may cache the document; no-cache forbids it.",
        labels=(DOCUMENT,),
        samples=of_caching(lambda policy: int(policy.is_cacheable)),
        absent=_NOT_200,
    ),
    _gauge(
        name="oidc_cache_max_age_seconds",
        help="Latest probe: explicit freshness lifetime by RFC 9111.",
        labels=(DOCUMENT,),
        samples=of_caching(lambda policy: policy.max_age_seconds),
        absent=f"the response gave none, or {_NOT_200}",
    ),
)

_TLS = (
    _gauge(
        name="oidc_tls_certificate_not_after_timestamp_seconds",
        help="Latest probe: end of validity, in Unix time; of the certificates above the "
        "leaf that it needs the earliest. Also when verification failed.",
        labels=(DOCUMENT, POSITION),
        samples=of_certificates(lambda c: c.not_after_timestamp_seconds, min),
        absent=_NO_CHAIN,
    ),
    _gauge(
        name="oidc_tls_certificate_not_before_timestamp_seconds",
        help="Latest probe: start of validity, in Unix time; of the certificates above the "
        "leaf that it needs the latest. Also when verification failed.",
        labels=(DOCUMENT, POSITION),
        samples=of_certificates(lambda c: c.not_before_timestamp_seconds, max),
        absent=_NO_CHAIN,
    ),
    _gauge(
        name="oidc_tls_info",
        help="Latest probe: what was negotiated; thumbprint is the SHA-1 of the top "
        "certificate served, as IAM lists it.",
        labels=(DOCUMENT, metric.TLS_VERSION, metric.CIPHER, metric.THUMBPRINT),
        samples=samples.tls,
        absent="the handshake showed nothing",
    ),
)

_FINDINGS = (
    _gauge(
        name="oidc_finding_info",
        help="Latest probe: a broken promise that did not stop it.",
        labels=(DOCUMENT, metric.CODE, metric.LEVEL),
        samples=samples.findings,
        absent="it was not found",
    ),
)

_KEYS = (
    _gauge(
        name="oidc_jwks_keys",
        help="Latest probe: keys published.",
        labels=(KTY,),
        samples=samples.keys,
        absent=_NO_KEY_SET,
    ),
    _gauge(
        name="oidc_jwks_usable_keys",
        help="Latest probe: keys that STS could use.",
        labels=(KTY,),
        samples=samples.usable_keys,
        absent=_NO_KEY_SET,
    ),
    _gauge(
        name="oidc_jwks_key_info",
        help="Latest probe: a key published, the first 20 of the set.",
        labels=(metric.KID, KTY, metric.ALG, metric.USE),
        samples=samples.key,
        absent=_NO_KEY_SET,
    ),
    _gauge(
        name="oidc_jwks_info",
        help="Latest probe: hash of the set of keys, equal wherever the set is equal.",
        labels=(metric.SHA256,),
        samples=samples.key_set,
        absent=_NO_KEY_SET,
    ),
    _counter(
        name="oidc_jwks_changes_total",
        help="Reads of the key set that differed from the read before.",
        samples=one(lambda state: state.rotation.changes),
    ),
    _gauge(
        name="oidc_jwks_change_timestamp_seconds",
        help="When a changed key set was seen last, in Unix time.",
        samples=one(lambda state: state.rotation.change_timestamp_seconds),
        absent="no change has been seen yet",
    ),
    _counter(
        name="oidc_jwks_keys_removed_early_total",
        help="Keys withdrawn before any key that stayed had been published for the overlap.",
        samples=one(lambda state: state.rotation.removed_early),
    ),
)

#: The order of a scrape, and of the documentation.
GROUPS: Mapping[Group, tuple[Family, ...]] = MappingProxyType(
    {
        Group.ISSUER: _ISSUER,
        Group.PROBE: _PROBE,
        Group.FETCH: _FETCH,
        Group.CACHING: _CACHING,
        Group.TLS: _TLS,
        Group.FINDINGS: _FINDINGS,
        Group.KEYS: _KEYS,
    }
)

FAMILIES: tuple[Family, ...] = tuple(chain.from_iterable(GROUPS.values()))

#: What is never absent, and therefore all that there is of an issuer before its first probe.
CONSTANT: tuple[Family, ...] = tuple(family for family in FAMILIES if not family.absent)

#: What an attempt changes that is to be confirmed by another one.
COUNTED: tuple[Family, ...] = _PROBE

# What some groups read, because it seldom changes: comparing it costs less than rendering.
_READS: Mapping[Group, Callable[[Report], object]] = MappingProxyType(
    {
        Group.CACHING: lambda report: [
            (document, policy.directives, policy.is_cacheable, policy.max_age_seconds)
            for document, policy in report.caching
        ],
        Group.TLS: lambda report: [(fetch.document, fetch.tls) for fetch in report.fetches],
        Group.FINDINGS: lambda report: report.findings,
        Group.KEYS: lambda report: report.key_set,
    }
)


def changed(before: Report | None, after: Report) -> Iterator[Family]:
    """The families that the report *after* may have changed, when *before* was the latest."""
    yield from _PROBE
    yield from _FETCH
    for group, read in _READS.items():
        if before is None or read(before) != read(after):
            yield from GROUPS[group]
