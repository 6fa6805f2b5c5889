"""What is shown of one issuer in short: a row of the list, and the tiles of its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.summary import Standing
from exporter.web.words import issuer_path, span, when

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import Issuer
    from exporter.summary import Summary
    from exporter.web.words import When

#: What a standing is called.
WORDS: Mapping[Standing, str] = {
    Standing.NOT_USABLE: "not usable",
    Standing.UNKNOWN: "unknown",
    Standing.AT_RISK: "at risk",
    Standing.USABLE: "usable",
    Standing.NOT_PROBED: "not probed",
}
_DAY_SECONDS = 86_400
#: As on the terminal, and as the alert rules have it.
_FEW_DAYS = 21
#: Below it the hours are told as well.
_LAST_DAYS = 3
#: A bar goes this far beyond the budget, which is where its mark stands.
_BAR_SHARE = 1.25


@dataclass(frozen=True, slots=True)
class Value:
    """A cell: its words, none when nothing is known, and `bad` or `warn` where it matters."""

    words: str = ""
    style: str = ""


UNKNOWN = Value()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A length of time against the budget, in hundredths of the bar's width."""

    words: str
    width: float
    budget: float = 100 / _BAR_SHARE
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One issuer."""

    path: str
    name: str
    url: str
    labels: str
    standing: Standing
    word: str
    words: str
    kind: str
    more: int
    since: When | None
    time: Bar | None
    budget: str
    cacheable: Value
    keys: Value
    certificate: Value


def row(one: Summary, root: str, now: float) -> Row:
    """What is shown of *one*; issuers have their pages below *root*."""
    issuer, failure = one.issuer, one.failure
    return Row(
        path=issuer_path(issuer.name, f"{root}issuers/"),
        name=issuer.name,
        url=_other_url(issuer),
        labels=", ".join(f"{key}={value}" for key, value in issuer.labels),
        standing=one.standing,
        word=WORDS[one.standing],
        words=one.words,
        kind=f"{failure.document} {failure.stage}/{failure.reason}" if failure else "",
        more=0 if failure else max(0, one.findings - 1),
        since=when(one.since_timestamp_seconds, now),
        time=bar(one),
        budget=f"{issuer.budget_seconds:g} s",
        cacheable=cacheable(one),
        keys=keys(one),
        certificate=certificate(one, now),
    )


def bar(one: Summary) -> Bar | None:
    """The latest probe's duration; None when nothing was fetched."""
    if one.duration_seconds is None:
        return None
    share = one.duration_seconds / one.issuer.budget_seconds
    return Bar(
        words=f"{one.duration_seconds:.2f} s",
        width=round(100 * min(share / _BAR_SHARE, 1), 2),
        is_over=share > 1,
    )


def cacheable(one: Summary) -> Value:
    """Whether STS may keep the key set, and for how long it is said to be fresh."""
    if one.is_cacheable is None:
        return UNKNOWN
    if not one.is_cacheable:
        return Value("no", "warn")
    if one.max_age_seconds is None:
        return Value("yes")
    return Value(f"yes, {span(max(0.0, one.max_age_seconds))}")


def keys(one: Summary) -> Value:
    """Usable keys of those published."""
    if one.keys_published is None:
        return UNKNOWN
    return Value(f"{one.keys_usable} of {one.keys_published}", "" if one.keys_usable else "bad")


def certificate(one: Summary, now: float) -> Value:
    """How long the first certificate to end is still valid."""
    end = one.certificate_not_after_timestamp_seconds
    if end is None:
        return UNKNOWN
    if end < now:
        return Value(f"expired {span(now - end)} ago", "bad")
    days = (end - now) / _DAY_SECONDS
    words = f"{days:,.0f} days" if days > _LAST_DAYS else span(end - now)
    return Value(words, "warn" if days < _FEW_DAYS else "")


def _other_url(issuer: Issuer) -> str:
    """The URL without its scheme, unless the name says it already."""
    url = issuer.url.removeprefix("https://")
    return "" if url == issuer.name else url
