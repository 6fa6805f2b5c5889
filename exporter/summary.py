"""One issuer in one line: what a list of issuers says of each, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from exporter.chain import needed
from exporter.reasons import Cause, Code, Document, Level
from exporter.wording import failure_advice, finding_advice, usable_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import Failure, Finding, Issuer, Report
    from exporter.state import State


# No news to the operator: it comes of a `ca_file` that he configured himself.
_EXPECTED = frozenset({Code.PRIVATE_CA})


class Standing(StrEnum):
    """How an issuer stands, the worst first."""

    NOT_USABLE = "not_usable"
    UNKNOWN = "unknown"
    AT_RISK = "at_risk"
    USABLE = "usable"
    NOT_PROBED = "not_probed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What matters most of one issuer; what is not known is None.

    Attributes:
        standing: `unknown` when the fault is on our side, `at_risk` when STS gets a key and
            a finding is worse than a notice (and not a choice of the operator's own).
        words: The failure, or else the worst finding, as a headline; empty without either.
        since_timestamp_seconds: When the first probe of the current run of failures, or of
            the current run of successes, ended.
        is_cacheable, max_age_seconds: Of the key set.
        certificate_not_after_timestamp_seconds: The first end of all certificates served.
        findings: How many put it at risk.
    """

    issuer: Issuer
    standing: Standing
    words: str = ""
    failure: Failure | None = None
    findings: int = 0
    since_timestamp_seconds: float | None = None
    probed_timestamp_seconds: float | None = None
    duration_seconds: float | None = None
    is_cacheable: bool | None = None
    max_age_seconds: float | None = None
    keys_published: int | None = None
    keys_usable: int | None = None
    certificate_not_after_timestamp_seconds: float | None = None


def summary(state: State) -> Summary:
    """What *state* comes to."""
    report = state.report
    if report is None:
        return Summary(issuer=state.issuer, standing=Standing.NOT_PROBED)
    worse = tuple(found for found in risks(report) if found.code not in _EXPECTED)
    standing, words = _verdict(report, worse)
    caching = dict(report.caching).get(Document.JWKS)
    return Summary(
        issuer=state.issuer,
        standing=standing,
        words=words,
        failure=report.failure,
        findings=len(worse),
        since_timestamp_seconds=state.failing_since_timestamp_seconds
        or state.good_since_timestamp_seconds,
        probed_timestamp_seconds=report.ended_timestamp_seconds,
        duration_seconds=report.duration_seconds if report.fetches else None,
        is_cacheable=caching.is_cacheable if caching else None,
        max_age_seconds=caching.max_age_seconds if caching else None,
        keys_published=report.key_set.published.total() if report.key_set else None,
        keys_usable=usable_keys(report.key_set) if report.key_set else None,
        certificate_not_after_timestamp_seconds=min(_ends(report), default=None),
    )


def risks(report: Report) -> tuple[Finding, ...]:
    """The findings of *report* that are worse than a notice, what is no news at the end."""
    worse = (found for found in report.findings if found.level is not Level.NOTICE)
    return tuple(sorted(worse, key=lambda found: found.code in _EXPECTED))


def _verdict(report: Report, worse: tuple[Finding, ...]) -> tuple[Standing, str]:
    if report.failure is not None:
        advice = failure_advice(report, report.failure)
        is_ours = advice.cause is Cause.US
        return Standing.UNKNOWN if is_ours else Standing.NOT_USABLE, advice.title
    if worse:
        worst = min(worse, key=lambda found: found.level is not Level.FAILURE)
        return Standing.AT_RISK, finding_advice(report, worst).title
    return Standing.USABLE, ""


def _ends(report: Report) -> Iterator[float]:
    for fetch in report.fetches:
        if fetch.tls is not None:
            above = needed(fetch.tls.chain, fetch.tls.verified_sha256)
            needs = (*fetch.tls.chain[:1], *above)
            yield from (one.not_after_timestamp_seconds for one in needs)
