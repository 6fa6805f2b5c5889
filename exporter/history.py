"""The last reports of an issuer, in bounded memory: what people read beside the latest.

Failures are kept longer than successes, because they are what somebody comes to read about;
of a run of failures of one kind its beginning and its end. Parts that equal those of the
report before (certificates, header lines, documents) are the same objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from exporter.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.model import CachePolicy, Fetch, Report

T = TypeVar("T")

#: The latest one included. With a CDN's headers, some of which differ every time, a further
#: good report costs 2.8 KiB and one that ended at a bad status 1.5 KiB.
MOST_GOOD = 3
MOST_BAD = 8
#: Of a run of failures of one kind: its beginning, and the latest two.
MOST_ALIKE = 3

#: Lines of one response. CDNs send 10 to 30; what is longer is there to fill memory.
MOST_HEADERS = 64
HEADER_CHARACTERS = 512

#: Keys and certificates of all reports of one issuer. Honest reports share theirs and come
#: to a few dozen; where they do not, older reports are forgotten sooner.
MOST_PARTS = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A report, and how many failures of its kind right before it were left out."""

    report: Report
    left_out: int = 0


class History:
    """The last reports of one issuer."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[Kept, ...] = ()

    @property
    def kept(self) -> Sequence[Kept]:
        """What is kept, the latest first."""
        return self._kept[::-1]

    def add(self, report: Report) -> Report:
        """Keep *report*, and give it back as it is kept: bounded, and sharing what it can."""
        before = self._kept[-1].report if self._kept else None
        slim = _slim(report, before)
        self._kept = _within_parts(_within_numbers(_with(self._kept, slim)))
        return slim

    def forget(self) -> None:
        """Begin anew: what was kept is another issuer's."""
        self._kept = ()


def _with(kept: tuple[Kept, ...], report: Report) -> tuple[Kept, ...]:
    """*kept* and *report*, of a run of like failures no more than its first and its last."""
    run = kept[-MOST_ALIKE:]
    if len(run) == MOST_ALIKE and all(_is_alike(one.report, report) for one in run):
        *others, goes, last = kept
        last = Kept(last.report, goes.left_out + 1 + last.left_out)
        return (*others, last, Kept(report))
    return (*kept, Kept(report))


def _is_alike(one: Report, other: Report) -> bool:
    return one.failure is not None and _kind(one) == _kind(other)


def _kind(report: Report) -> object:
    """Not the failure's detail: a time or an address in it would make all of them differ."""
    failure = report.failure
    return failure and (failure.document, failure.stage, failure.reason)


def _within_numbers(kept: tuple[Kept, ...]) -> tuple[Kept, ...]:
    room = {True: MOST_GOOD, False: MOST_BAD}
    stays = []
    for one in reversed(kept):
        room[one.report.is_success] -= 1
        if room[one.report.is_success] >= 0:
            stays.append(one)
    return tuple(reversed(stays))


def _within_parts(kept: tuple[Kept, ...]) -> tuple[Kept, ...]:
    """The latest of *kept* that have no more than `MOST_PARTS` together; one in any case."""
    seen: set[int] = set()
    parts = 0
    for place in range(len(kept) - 1, -1, -1):
        for collection in _collections(kept[place].report):
            parts += 0 if id(collection) in seen else len(collection)
            seen.add(id(collection))
        if parts > MOST_PARTS:
            return kept[min(place + 1, len(kept) - 1) :]
    return kept


def _collections(report: Report) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = [f.tls.chain for f in report.fetches if f.tls]
    return [*found, report.key_set.keys] if report.key_set else found


def _slim(report: Report, before: Report | None) -> Report:
    fetches = tuple(
        _slim_fetch(fetch, before.fetch(fetch.document) if before else None)
        for fetch in report.fetches
    )
    if before is None:
        return replace(report, fetches=fetches)
    policies = dict(before.caching)
    return replace(
        report,
        fetches=fetches,
        caching=tuple((d, _slim_policy(p, policies.get(d))) for d, p in report.caching),
        discovery=_same(report.discovery, before.discovery),
        key_set=_same(report.key_set, before.key_set),
        failure=_same(report.failure, before.failure),
        findings=_same(report.findings, before.findings),
    )


def _slim_fetch(fetch: Fetch, before: Fetch | None) -> Fetch:
    headers = tuple(
        (name, clean(value, HEADER_CHARACTERS) if len(value) > HEADER_CHARACTERS else value)
        for name, value in fetch.headers[:MOST_HEADERS]
    )
    if before is None:
        return replace(fetch, headers=headers)
    known = {pair: pair for pair in before.headers}
    headers = tuple(known.get(pair, pair) for pair in headers)
    return replace(
        fetch,
        url=_same(fetch.url, before.url),
        address=_same(fetch.address, before.address),
        dead_addresses=_same(fetch.dead_addresses, before.dead_addresses),
        tls=_same(fetch.tls, before.tls),
        headers=_same(headers, before.headers),
        failure=_same(fetch.failure, before.failure),
    )


def _slim_policy(policy: CachePolicy, before: CachePolicy | None) -> CachePolicy:
    if before is None:
        return policy
    return replace(policy, directives=_same(policy.directives, before.directives))


def _same(fact: T, before: T) -> T:
    """The earlier of two equal facts."""
    return before if fact == before else fact
