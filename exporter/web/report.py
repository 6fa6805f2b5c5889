"""One report in full, section by section, as the page of its issuer shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.facts import certificate_facts, fetch_facts, moment
from exporter.reasons import Document, Stage
from exporter.summary import risks
from exporter.waterfall import bars
from exporter.web.words import CAUSES_PAGE
from exporter.wording import (
    NAMES,
    cause,
    failure_advice,
    finding_advice,
    usable_keys,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.advice import Advice
    from exporter.facts import Fact
    from exporter.model import Certificate, Discovery, Fetch, Key, Report
    from exporter.reasons import Level

#: Beyond it keys are only counted: STS would use none of so many of one type.
MOST_KEYS = 100
#: Of a chain; honest ones have two to four.
MOST_CERTIFICATES = 10

_SHORT = {Document.DISCOVERY: "discovery", Document.JWKS: "key set"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One phase in the waterfall; *start* and *width* in hundredths of the whole."""

    document: str
    phase: str
    words: str
    start: float
    width: float
    has_failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do: what it is about, the advice, and where to read on."""

    word: str
    advice: Advice
    cause: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding as it is listed."""

    level: Level
    document: str
    title: str
    detail: str
    code: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One document's fetch."""

    title: str
    facts: Sequence[Fact]
    says: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    has_failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The published keys, those that are listed and how many are not."""

    title: str
    shown: Sequence[Key]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The certificates of one server."""

    title: str
    facts: Sequence[Fact]
    chain: Sequence[Certificate]
    count: int
    more: int


class Full:
    """One report in full, section by section."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.word, self.sentence = verdict(report)
        self.kind = kind(report)
        self.detail = report.failure.detail if report.failure else ""

    @property
    def started(self) -> str:
        """When the probe began, in words."""
        return moment(self.report.started_timestamp_seconds)

    @property
    def total(self) -> str:
        """Its duration, in words."""
        return f"{self.report.duration_seconds:.3f} s"

    @property
    def limit(self) -> str:
        """Its budget, in words."""
        return f"{self.report.issuer.budget_seconds:g} s"

    @property
    def is_over(self) -> bool:
        """It took longer than the budget."""
        return self.report.duration_seconds > self.report.issuer.budget_seconds

    @property
    def budget(self) -> float:
        """Where the budget ends, in hundredths of the waterfall's width."""
        return round(100 * self.report.issuer.budget_seconds / self._span_seconds(), 2)

    @property
    def parts(self) -> Sequence[Part]:
        """The waterfall."""
        whole = self._span_seconds()
        return [
            Part(
                document=_SHORT[one.document],
                phase=one.phase,
                words=f"{one.seconds:.3f} s",
                start=round(100 * one.start_seconds / whole, 3),
                # What took no time is still seen to have happened.
                width=round(max(100 * one.seconds / whole, 0.4), 3),
                has_failed=one.has_failed,
            )
            for one in bars(self.report)
        ]

    def _span_seconds(self) -> float:
        end = max((one.start_seconds + one.seconds for one in bars(self.report)), default=0.0)
        return max(end, self.report.issuer.budget_seconds)

    @property
    def has_steps(self) -> bool:
        """There is something to do."""
        return any(self.steps)

    @property
    def steps(self) -> Iterator[Step]:
        """What to do, the failure first and every finding that matters once."""
        if self.report.failure is not None:
            yield _step("error", failure_advice(self.report, self.report.failure))
        seen = set()
        for found in risks(self.report):
            if found.code not in seen:
                seen.add(found.code)
                yield _step("risk", finding_advice(self.report, found))

    @property
    def findings(self) -> Iterator[Found]:
        """Everything that was found, as it was found."""
        for found in self.report.findings:
            advice = finding_advice(self.report, found)
            yield Found(
                level=found.level,
                document=_SHORT[found.document],
                title=advice.title,
                detail=found.detail,
                code=found.code,
                path=f"{CAUSES_PAGE}#{advice.anchor}",
            )

    @property
    def answers(self) -> Iterator[Answer]:
        """Both documents, as far as the probe came."""
        policies = dict(self.report.caching)
        for fetch in self.report.fetches:
            facts = tuple(fetch_facts(fetch, policies.get(fetch.document)))
            yield Answer(
                title=NAMES[fetch.document].capitalize(),
                # Every header is listed below them.
                facts=[fact for fact in facts if fact.name != "header"],
                says=tuple(self._says(fetch.document)),
                headers=fetch.headers,
                has_failed=self._has_failed(fetch),
            )

    def _says(self, document: Document) -> Iterator[tuple[str, str]]:
        if document is Document.DISCOVERY and self.report.discovery is not None:
            yield from _discovery(self.report.discovery)

    def _has_failed(self, fetch: Fetch) -> bool:
        failure = self.report.failure
        is_here = failure is not None and failure.document is fetch.document
        return is_here and failure is not None and failure.stage is not Stage.BUDGET

    @property
    def certificates(self) -> Iterator[Shown]:
        """What the servers showed of themselves, equal ones once."""
        chains: dict[str, tuple[Certificate, ...]] = {}
        for fetch in self.report.fetches:
            if fetch.tls is not None and fetch.tls.chain:
                chains.setdefault(fetch.tls.chain[0].sha256, fetch.tls.chain)
        told = certificate_facts(self.report)
        for (title, facts), chain in zip(told, chains.values(), strict=True):
            yield Shown(
                title=title.capitalize(),
                facts=tuple(facts),
                chain=chain[:MOST_CERTIFICATES],
                count=len(chain),
                more=max(0, len(chain) - MOST_CERTIFICATES),
            )

    @property
    def keys(self) -> Keys | None:
        """The key set; None when it was not read."""
        key_set = self.report.key_set
        if key_set is None:
            return None
        count = key_set.published.total()
        return Keys(
            title=f"{count} published, {usable_keys(key_set)} usable for STS",
            shown=key_set.keys[:MOST_KEYS],
            more=max(0, count - MOST_KEYS),
        )


def _discovery(document: Discovery) -> Iterator[tuple[str, str]]:
    yield "issuer", document.issuer
    yield "jwks_uri", document.jwks_uri
    if document.algs:
        yield "algorithms", ", ".join(document.algs)
    if document.missing:
        yield "missing", ", ".join(document.missing)


def _step(word: str, advice: Advice) -> Step:
    return Step(
        word=word,
        advice=advice,
        cause=cause(advice.cause),
        path=f"{CAUSES_PAGE}#{advice.anchor}",
    )


def kind(report: Report) -> str:
    """Document, stage and reason of what stopped *report*; empty when nothing did."""
    failure = report.failure
    return f"{failure.document} {failure.stage}/{failure.reason}" if failure else ""
