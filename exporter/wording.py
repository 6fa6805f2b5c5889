"""The sentences that sum up a report, for whoever shows one: terminal, JSON, pages, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.advice import CAUSES, for_failure, for_finding
from exporter.durations import format_duration
from exporter.reasons import Cause, Directive, Document

if TYPE_CHECKING:
    from exporter.advice import Advice
    from exporter.model import CachePolicy, Failure, Finding, KeySet, Report

#: What the two documents are called in a sentence.
NAMES = {Document.DISCOVERY: "discovery document", Document.JWKS: "key set"}

_ARTICLE = frozenset(
    {Cause.UNREACHABLE, Cause.FIREWALL, Cause.LATENCY, Cause.TOO_MANY_REQUESTS}
)


def verdict(report: Report) -> tuple[str, str]:
    """The verdict on *report* in a word and in a sentence.

    The word is USABLE, NOT USABLE, or UNKNOWN when the fault is on our side.
    """
    budget = f"{report.issuer.budget_seconds:g} s"
    if report.failure is None:
        took = f"{report.duration_seconds:.2f} s"
        return "USABLE", f"STS would get a key in {took} of its {budget}."
    advice = failure_advice(report, report.failure)
    name = NAMES[report.failure.document]
    where = "" if name in advice.title else f" ({name})"
    word = "UNKNOWN" if advice.cause is Cause.US else "NOT USABLE"
    return word, f"{advice.title}{where}."


def failure_advice(report: Report, failure: Failure) -> Advice:
    """What to do about *failure*, with the addresses that *report* asked."""
    return for_failure(failure, report.issuer.url, _url(report, failure.document))


def finding_advice(report: Report, finding: Finding) -> Advice:
    """What to do about *finding*, with the addresses that *report* asked."""
    return for_finding(finding, report.issuer.url, _url(report, finding.document))


def cause(letter: Cause) -> str:
    """The cause called *letter*, saying whether AWS's article names it."""
    source = "Cause" if letter not in _ARTICLE else "AWS's cause"
    return f"{source} {letter}: {CAUSES[letter]}"


def caching(policy: CachePolicy, document: Document) -> str:
    """What *policy* means for STS, claiming no more than is known.

    Source: AWS's article speaks of `no-cache` on the key set, and of nothing else.
    """
    if not policy.is_cacheable:
        if document is Document.JWKS:
            return "no-cache: STS fetches it again for every call (cause D)"
        return "no-cache; known to matter on the key set only"
    if any(d.directive is Directive.NO_STORE for d in policy.directives):
        return "no-store; whether STS obeys that is not documented"
    if policy.max_age_seconds is None:
        return "no lifetime given; how long STS keeps it is not documented"
    if policy.max_age_seconds <= 0:
        return "out of date on arrival; whether STS minds is not documented"
    return (
        f"may be reused for {format_duration(policy.max_age_seconds)}; "
        "how long STS keeps it is not documented"
    )


def usable_keys(key_set: KeySet) -> int:
    """How many keys of *key_set* STS could use."""
    return sum(key.is_usable for key in key_set.keys)


def _url(report: Report, document: Document) -> str:
    fetch = report.fetch(document)
    if fetch is not None:
        return fetch.url
    if document is Document.JWKS and report.discovery is not None:
        return report.discovery.jwks_uri
    return ""
