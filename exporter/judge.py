"""Facts to a verdict: the only place that decides whether STS would have got a usable key.

A probe fails by the first thing that would have stopped STS. Everything else that is worth
knowing is a finding, each code at most once a document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.findings import findings
from exporter.keys import LIMITED, MOST_KEYS
from exporter.model import Discovery, Failure, KeySet
from exporter.reasons import Code, Document, Reason, Stage
from exporter.text import clean, listed, quoted
from exporter.urls import issuer_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import CachePolicy, Fetch, Finding, Issuer

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REASONS = {
    401: Reason.FORBIDDEN,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    406: Reason.FORBIDDEN,
    410: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
    451: Reason.FORBIDDEN,
}
_DOCUMENTS = tuple(Document)
_CODES = tuple(Code)


def url_failure(url: str, document: Document) -> Failure | None:
    """Why STS could never use *url* as an issuer; None if it could."""
    fault = issuer_fault(url)
    if fault is None:
        return None
    reason, words = fault
    return _failure(document, Stage.CONFIG, reason, f"{quoted(url)}: {words}")


def status_failure(fetch: Fetch) -> Failure | None:
    """Why an answer with this status is none; None for 200, and while none is known."""
    if fetch.status is None or fetch.status == 200:  # noqa: PLR2004 - the only good one
        return None
    words = f"it answered {fetch.status}"
    if fetch.redirect is not None:
        words = f"{words} and pointed to {clean(fetch.redirect)}"
    return _failure(fetch.document, Stage.HTTP, _status_reason(fetch, fetch.status), words)


def judge(
    issuer: Issuer,
    *,
    fetches: tuple[Fetch, ...],
    caching: tuple[tuple[Document, CachePolicy], ...],
    discovery: Discovery | Failure | None,
    key_set: KeySet | Failure | None,
    duration_seconds: float,
) -> tuple[Failure | None, tuple[Finding, ...]]:
    """Judge one probe of *issuer*, however far it came.

    Returns:
        The first thing that stopped it, if any, and the findings: the discovery document's
        first, within a document in the order of `Code`.
    """
    by_document = {fetch.document: fetch for fetch in fetches}
    facts = {Document.DISCOVERY: discovery, Document.JWKS: key_set}
    failures = (
        *_fetch_failures(by_document.get(Document.DISCOVERY)),
        *_discovery_failures(issuer, discovery),
        *_fetch_failures(by_document.get(Document.JWKS)),
        *_key_set_failures(key_set),
        *_budget_failures(issuer, by_document, duration_seconds),
    )
    policies = dict(caching)
    found = [
        finding
        for document, fetch in by_document.items()
        for finding in findings(issuer, fetch, policies.get(document), facts[document])
    ]
    return next(iter(failures), None), tuple(sorted(found, key=_place))


def _place(finding: Finding) -> tuple[int, int]:
    return _DOCUMENTS.index(finding.document), _CODES.index(finding.code)


def _status_reason(fetch: Fetch, status: int) -> Reason:
    if status in _REDIRECTS:
        return Reason.REDIRECT
    if status == 503 and fetch.header("retry-after") is not None:  # noqa: PLR2004
        return Reason.RATE_LIMITED
    if status in range(500, 600):
        return Reason.SERVER_ERROR
    return _REASONS.get(status, Reason.STATUS)


def _fetch_failures(fetch: Fetch | None) -> Iterator[Failure]:
    if fetch is None:
        return
    by_status = status_failure(fetch)
    # A status comes before the body: a refusal stays one when its page was cut short.
    if by_status is not None:
        yield by_status
    if fetch.failure is not None:
        yield fetch.failure


def _discovery_failures(
    issuer: Issuer, discovery: Discovery | Failure | None
) -> Iterator[Failure]:
    if isinstance(discovery, Failure):
        yield discovery
    # To the letter: OpenID Connect Discovery 1.0 section 4.3, and IAM's `iss`.
    elif discovery is not None and discovery.issuer != issuer.url:
        detail = f"it says {quoted(discovery.issuer)}, not {quoted(issuer.url)}"
        hint = _difference(issuer.url, discovery.issuer)
        yield _failure(
            Document.DISCOVERY,
            Stage.DOCUMENT,
            Reason.ISSUER_MISMATCH,
            f"{detail}: {hint}" if hint else detail,
        )


def _difference(wanted: str, said: str) -> str:
    """The usual slips, which the eye passes over."""
    if wanted.rstrip("/") == said.rstrip("/"):
        return "only the slash at the end differs"
    if wanted.lower() == said.lower():
        return "only upper and lower case differ"
    if wanted.removeprefix("https:") == said.removeprefix("http:"):
        return "only http for https differs"
    return ""


def _key_set_failures(key_set: KeySet | Failure | None) -> Iterator[Failure]:
    if isinstance(key_set, Failure):
        yield key_set
    elif key_set is not None and not any(key.is_usable for key in key_set.keys):
        counts = key_set.published
        over = [f"{counts[t]} {t} keys" for t in LIMITED if counts[t] > MOST_KEYS]
        reason = Reason.TOO_MANY if over else Reason.NO_USABLE_KEY
        detail = f"{listed(over)}, where STS takes {MOST_KEYS}" if over else _why_none(key_set)
        yield _failure(Document.JWKS, Stage.KEYS, reason, detail)


def _why_none(key_set: KeySet) -> str:
    why = [f"{key.kid or 'one without kid'} ({key.faults[0]})" for key in key_set.keys]
    return f"none of {key_set.published.total()} can be used: {listed(why, 3)}"


def _budget_failures(
    issuer: Issuer, by_document: dict[Document, Fetch], duration_seconds: float
) -> Iterator[Failure]:
    if duration_seconds <= issuer.budget_seconds:
        return
    first = by_document.get(Document.DISCOVERY)
    is_spent = first is not None and first.duration_seconds > issuer.budget_seconds
    parts = [f"{d} {f.duration_seconds:.2f} s" for d, f in by_document.items()]
    yield _failure(
        Document.DISCOVERY if is_spent else Document.JWKS,
        Stage.BUDGET,
        Reason.EXCEEDED,
        f"{duration_seconds:.2f} s of {issuer.budget_seconds:g} s: {listed(parts)}",
    )


def _failure(document: Document, stage: Stage, reason: Reason, detail: str) -> Failure:
    return Failure(document=document, stage=stage, reason=reason, detail=detail)
