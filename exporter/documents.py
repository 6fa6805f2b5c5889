"""The two documents: the only place where bytes from an issuer become facts.

A body is judged once and its judgement remembered by its digest: documents seldom change, and
every probe reads them again. Bodies themselves are not kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from exporter.keys import judge_keys, types
from exporter.model import Discovery, Failure, KeySet
from exporter.reasons import Document, Reason, Stage
from exporter.strict_json import Malformed, read_object
from exporter.text import clean, quoted
from exporter.urls import URL_CHARACTERS, jwks_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What AWS's page on OIDC providers lists for the discovery document, in its order.
REQUIRED = (
    "issuer",
    "jwks_uri",
    "claims_supported",
    "response_types_supported",
    "id_token_signing_alg_values_supported",
    "subject_types_supported",
)
_MOST_ALGS = 64
# Both documents of ten thousand issuers, and some that change with every answer. What is
# remembered is what the latest reports hold anyway, so that an entry costs its digest; but an
# issuer that sends something else every time must not fill memory with what it sent before.
_MOST_REMEMBERED = 25_000
_MOST_REMEMBERED_BYTES = 256 * 1024 * 1024
#: What a judged key takes at most, however few bytes it came in.
_KEY_BYTES = 2048

_Fact_co = TypeVar("_Fact_co", covariant=True)


def read_discovery(body: bytes, content_type: str | None) -> Discovery | Failure:
    """Judge a discovery document by itself; whose it is, `judge` compares.

    Returns:
        A `Failure` of stage `document` when it names no issuer or no key set that could be
        fetched.
    """
    return _DISCOVERIES.get(body, content_type)


def read_jwks(body: bytes, content_type: str | None) -> KeySet | Failure:
    """Judge a key set by STS's rules.

    Returns:
        A `Failure` of stage `keys` when nothing in it can be read as a key. A set whose keys
        can be read and not be used is a `KeySet`.
    """
    return _KEY_SETS.get(body, content_type)


def _judge_discovery(body: bytes, *, is_called_html: bool) -> Discovery | Failure:
    found = read_object(body, is_called_html=is_called_html)
    if isinstance(found, Malformed):
        return _discovery_failure(found.reason, found.detail)
    issuer = found.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        return _discovery_failure(Reason.ISSUER_MISSING, "it has no issuer that is a string")
    jwks_uri = found.get("jwks_uri")
    if jwks_uri is None or jwks_uri == "":
        return _discovery_failure(Reason.JWKS_URI_MISSING, "it has no jwks_uri")
    if not isinstance(jwks_uri, str):
        return _discovery_failure(Reason.JWKS_URI_INVALID, "jwks_uri is not a string")
    fault = jwks_fault(jwks_uri)
    if fault:
        reason, words = fault
        return _discovery_failure(reason, f"{words}: {quoted(jwks_uri)}")
    return Discovery(
        # An escape holds a backslash and so never equals a URL that it was not before.
        issuer=clean(issuer, URL_CHARACTERS),
        jwks_uri=jwks_uri,
        missing=tuple(name for name in REQUIRED if not found.get(name)),
        algs=_algs(found),
    )


def _algs(found: Mapping[str, object]) -> tuple[str, ...]:
    algs = found.get("id_token_signing_alg_values_supported")
    if not isinstance(algs, list):
        return ()
    return tuple(clean(alg, 40) for alg in algs[:_MOST_ALGS] if isinstance(alg, str))


def _judge_jwks(body: bytes, *, is_called_html: bool) -> KeySet | Failure:
    found = read_object(body, is_called_html=is_called_html)
    if isinstance(found, Malformed):
        return _jwks_failure(found.reason, found.detail)
    entries = found.get("keys")
    if entries is None:
        return _jwks_failure(Reason.MISSING_KEYS, "it has no member keys")
    if not isinstance(entries, list):
        return _jwks_failure(Reason.MALFORMED, "keys is not an array")
    if not entries:
        return _jwks_failure(Reason.EMPTY, "keys is an empty array")
    judged = judge_keys(entries)
    if all(one.is_malformed for one in judged):
        return _jwks_failure(Reason.MALFORMED, f"no key can be read: {judged[0].key.faults[0]}")
    ids = frozenset(one.id for one in judged)
    left_out = types(entries) - Counter(one.key.kty for one in judged)
    return KeySet(
        keys=tuple(one.key for one in judged),
        left_out=tuple(left_out.items()),
        ids=ids,
        sha256=hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest(),
    )


def _discovery_failure(reason: Reason, detail: str) -> Failure:
    return Failure(
        document=Document.DISCOVERY, stage=Stage.DOCUMENT, reason=reason, detail=detail
    )


def _jwks_failure(reason: Reason, detail: str) -> Failure:
    return Failure(document=Document.JWKS, stage=Stage.KEYS, reason=reason, detail=detail)


class _Judge(Protocol[_Fact_co]):
    def __call__(self, body: bytes, *, is_called_html: bool) -> _Fact_co: ...


class _Remembered(Generic[_Fact_co]):
    """The latest judgements of one kind, by digest of the body judged.

    Args:
        most: Judgements kept.
        most_bytes: What they may take together, guessed from above.
    """

    def __init__(
        self,
        judge: _Judge[_Fact_co],
        most: int = _MOST_REMEMBERED,
        most_bytes: int = _MOST_REMEMBERED_BYTES,
    ) -> None:
        self._judge = judge
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._facts: OrderedDict[tuple[bytes, bool], tuple[_Fact_co, int]] = OrderedDict()

    def get(self, body: bytes, content_type: str | None) -> _Fact_co:
        # All that a judgement takes from the content type, so that it is a bit of the key.
        is_called_html = "html" in (content_type or "").lower()
        key = (hashlib.sha256(body).digest(), is_called_html)
        if key in self._facts:
            self._facts.move_to_end(key)
            return self._facts[key][0]
        fact = self._judge(body, is_called_html=is_called_html)
        size = _bytes_of(fact, body)
        self._facts[key] = fact, size
        self._bytes += size
        while len(self._facts) > self._most or self._bytes > self._most_bytes:
            _, (_, size) = self._facts.popitem(last=False)
            self._bytes -= size
        return fact


def _bytes_of(fact: object, body: bytes) -> int:
    keys = len(fact.keys) if isinstance(fact, KeySet) else 0
    return len(body) + keys * _KEY_BYTES


_DISCOVERIES = _Remembered(_judge_discovery)
_KEY_SETS = _Remembered(_judge_jwks)
