"""How each family reads its samples off a `State`: label values in the family's order.

A fact that is unknown gives no sample. That is the whole rule, and why these functions
filter where others would fill in a zero.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.chain import needed
from exporter.keys import MOST_KEYS
from exporter.reasons import KeyAlg, KeyType, KeyUse, Phase, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exporter.model import CachePolicy, Certificate, Fetch, Report
    from exporter.state import State

#: Label values, and the number.
Sample = tuple[tuple[str, ...], float]

#: Keys of one issuer that get a series each; honest issuers publish two to five.
MOST_KEY_SERIES = 20

_PHASES = tuple(Phase)
_ALGS = frozenset[str](KeyAlg)
_USES = frozenset[str](KeyUse)


def one(read: Callable[[State], float | None]) -> Callable[[State], Sequence[Sample]]:
    """A family of one series without labels; *read* gives None while it is unknown."""

    def samples(state: State) -> Sequence[Sample]:
        value = read(state)
        return () if value is None else (((), value),)

    return samples


def of_report(read: Callable[[Report], float | None]) -> Callable[[State], Sequence[Sample]]:
    """The same, read off the latest report."""
    return one(lambda state: read(state.report) if state.report else None)


def of_fetches(read: Callable[[Fetch], float | None]) -> Callable[[State], Sequence[Sample]]:
    """A family of one series a document, read off its fetch."""

    def samples(state: State) -> Sequence[Sample]:
        return [
            ((fetch.document,), value)
            for fetch in state.fetches
            if (value := read(fetch)) is not None
        ]

    return samples


def of_caching(
    read: Callable[[CachePolicy], float | None],
) -> Callable[[State], Sequence[Sample]]:
    """A family of one series a document, read off what its response said about caching."""

    def samples(state: State) -> Sequence[Sample]:
        return [
            ((document,), value)
            for document, policy in state.caching
            if (value := read(policy)) is not None
        ]

    return samples


def of_certificates(
    date: Callable[[Certificate], float], first: Callable[[Iterable[float]], float]
) -> Callable[[State], Sequence[Sample]]:
    """A date of the leaf, and of those above that it needs the one that *first* picks."""

    def samples(state: State) -> Sequence[Sample]:
        found: list[Sample] = []
        for fetch in state.fetches:
            if fetch.tls is None or not fetch.tls.chain:
                continue
            found.append(((fetch.document, Position.LEAF), date(fetch.tls.chain[0])))
            above = [date(c) for c in needed(fetch.tls.chain, fetch.tls.verified_sha256)]
            if above:
                found.append(((fetch.document, Position.CHAIN), first(above)))
        return found

    return samples


def probe_failures(state: State) -> Sequence[Sample]:
    """Failures by stage, every stage from the start: a rate needs the zero before the one."""
    return [((stage,), number) for stage, number in state.failures.items()]


def probe_failure(state: State) -> Sequence[Sample]:
    """Why the latest probe failed."""
    failure = state.report.failure if state.report else None
    return [((failure.document, failure.stage, failure.reason), 1)] if failure else ()


def fetch_phases(state: State) -> Sequence[Sample]:
    """The phases that happened."""
    return [
        ((fetch.document, phase), seconds)
        for fetch in state.fetches
        for phase in _PHASES
        if (seconds := getattr(fetch.phases, phase)) is not None
    ]


def fetch_address(state: State) -> Sequence[Sample]:
    """The kind of address that answered, or was tried last."""
    return [
        ((fetch.document, fetch.address.family, fetch.address.scope), 1)
        for fetch in state.fetches
        if fetch.address
    ]


def cache_directives(state: State) -> Sequence[Sample]:
    """The directives sent; one that stands twice is one series."""
    return [
        (labels, 1)
        for labels in dict.fromkeys(
            (document, sent.directive, sent.header)
            for document, policy in state.caching
            for sent in policy.directives
        )
    ]


def tls(state: State) -> Sequence[Sample]:
    """What was negotiated and served, as far as the handshake came."""
    found: list[Sample] = []
    for fetch in state.fetches:
        if fetch.tls is None:
            continue
        facts = (fetch.tls.version or "", fetch.tls.cipher or "", fetch.tls.thumbprint or "")
        if any(facts):
            found.append(((fetch.document, *facts), 1))
    return found


def findings(state: State) -> Sequence[Sample]:
    """What was found; the same code at several keys is one series."""
    return [
        (labels, 1)
        for labels in dict.fromkeys(
            (finding.document, finding.code, finding.level) for finding in state.findings
        )
    ]


def keys(state: State) -> Sequence[Sample]:
    """Keys published, by type."""
    if state.key_set is None:
        return ()
    return _with_zeros(state.key_set.published)


def usable_keys(state: State) -> Sequence[Sample]:
    """Keys that STS could use, by type."""
    if state.key_set is None:
        return ()
    usable = Counter({key.kty: 0 for key in state.key_set.keys})
    usable.update(key.kty for key in state.key_set.keys if key.is_usable)
    return _with_zeros(usable)


def _with_zeros(numbers: Mapping[KeyType, int]) -> Sequence[Sample]:
    """The two types that STS knows are zero when a key set has none of them."""
    return [
        ((kty,), count) for kty, count in {KeyType.RSA: 0, KeyType.EC: 0, **numbers}.items()
    ]


def keys_limit(_state: State) -> Sequence[Sample]:
    """A constant, published so that no rule types it."""
    return (((), MOST_KEYS),)


def key(state: State) -> Sequence[Sample]:
    """The first keys of the set, equal ones once."""
    if state.key_set is None:
        return ()
    labels = dict.fromkeys(
        (key.kid or "", key.kty, _word(_ALGS, key.alg), _word(_USES, key.use))
        for key in state.key_set.keys
    )
    return [(values, 1) for values in list(labels)[:MOST_KEY_SERIES]]


def _word(vocabulary: frozenset[str], value: str | None) -> str:
    """*value* if it is a word of the closed *vocabulary*, else `other`; empty when absent."""
    if not value:
        return ""
    return value if value in vocabulary else "other"


def key_set(state: State) -> Sequence[Sample]:
    """The identity of the set."""
    return [((state.key_set.sha256,), 1)] if state.key_set else ()
