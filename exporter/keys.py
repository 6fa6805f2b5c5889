"""JWKs by STS's rules: the only place that decides which key STS can use.

Usable is RSA with n and e, or EC on P-256, P-384 or P-521 with x and y; with a `kid`, `use`
absent or `sig`, and no `key_ops`; the last of equal `kid`s; in agreement with its own `x5c`;
and of a type with at most 100 keys. Source: what STS answered when it was tried in 2026, the
IAM guide for the limit, RFC 7517 for the form. A member that is null counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.material import (
    LEAST_RSA_BITS,
    Material,
    ec_material,
    rsa_material,
    x5c_fault,
)
from exporter.model import Key
from exporter.reasons import Code, KeyType
from exporter.text import clean, identifier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from exporter.material import Numbers

#: Of one type; with more, STS verifies no token signed with that type (IAM guide).
MOST_KEYS = 100
#: The types that the limit is known for.
LIMITED = (KeyType.RSA, KeyType.EC)
#: Of `alg`, `use` and `crv`; the longest that is registered has 24.
MOST_CHARACTERS = 40
#: Keys of one set that are judged: all that STS could use, and as many others as find room.
MOST_JUDGED = 500

_TYPES = {kty.value: kty for kty in KeyType if kty is not KeyType.OTHER}
# RFC 7638 3.2 and RFC 8037 2: what makes a key the key it is.
_MATERIAL = {
    KeyType.RSA: ("e", "n"),
    KeyType.EC: ("crv", "x", "y"),
    KeyType.OKP: ("crv", "x"),
    KeyType.OCT: ("k",),
    KeyType.OTHER: (),
}
# RFC 7518 6.2.2, 6.3.2 and 6.4; `priv` is what kty AKP (ML-DSA) calls it.
_PRIVATE = {
    KeyType.RSA: ("d", "p", "q", "dp", "dq", "qi", "oth"),
    KeyType.EC: ("d",),
    KeyType.OKP: ("d",),
    KeyType.OCT: ("k",),
    KeyType.OTHER: ("d", "k", "priv"),
}

# A broken rule: why STS cannot use the key (empty where it can all the same), and the finding.
_Mark = tuple[str, "Code | None"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A key with what only its set needs to know.

    Attributes:
        id: Hash over `kid` and material: equal for equal keys, in every set.
        kid: To the letter, for comparing; None when absent or empty.
        is_malformed: It could not be read as a JWK at all.
    """

    key: Key
    id: str
    kid: str | None
    is_malformed: bool


def judge_keys(entries: Sequence[object]) -> tuple[Judged, ...]:
    """Judge the members of a JWK Set's `keys`, in order, each also against the others.

    Beyond `MOST_JUDGED` only those of types within STS's limit.
    """
    counts = types(entries)
    within = {kty for kty in LIMITED if counts[kty] <= MOST_KEYS}
    judged = [
        _judge(entry, is_over=_kty(entry) in LIMITED and _kty(entry) not in within)
        if isinstance(entry, dict)
        else _not_a_key(entry)
        for entry in _looked_at(entries, counts, within)
    ]
    return _last_of_equals(judged)


def types(entries: Sequence[object]) -> Counter[KeyType]:
    """How many of *entries* are of which type."""
    return Counter(map(_kty, entries))


def _looked_at(
    entries: Sequence[object], counts: Mapping[KeyType, int], within: Collection[KeyType]
) -> Iterator[object]:
    """At most `MOST_JUDGED`, with every one that STS might use: it may be the last."""
    room = MOST_JUDGED - sum(counts[kty] for kty in within)
    for entry in entries:
        if _kty(entry) not in within:
            room -= 1
            if room < 0:
                continue
        yield entry


def _kty(entry: object) -> KeyType:
    kty = entry.get("kty") if isinstance(entry, dict) else None
    return _TYPES.get(kty, KeyType.OTHER) if isinstance(kty, str) else KeyType.OTHER


def _not_a_key(entry: object) -> Judged:
    key = Key(kty=KeyType.OTHER, faults=("not an object",), codes=(Code.UNSUPPORTED_KEY,))
    return Judged(key, _hash(type(entry).__name__), kid=None, is_malformed=True)


def _judge(entry: Mapping[str, object], *, is_over: bool) -> Judged:
    kty = _kty(entry)
    # Of a type that is over the limit no key is usable: what is costly is left out.
    material = _read_material(entry, kty, is_proven=not is_over)
    marks = [*_marks(entry, kty, material, is_over=is_over)]
    kid = _string(entry, "kid")
    key = Key(
        kty=kty,
        kid=identifier(kid) if kid else None,
        alg=_shown(entry, "alg"),
        use=_shown(entry, "use"),
        crv=_shown(entry, "crv"),
        bits=material.bits,
        faults=tuple(fault for fault, _ in marks if fault),
        codes=tuple(dict.fromkeys(code for _, code in marks if code)),
        is_private=_is_private(entry, kty),
    )
    return Judged(key, _identity(entry, kty), kid, material.is_malformed)


def _read_material(entry: Mapping[str, object], kty: KeyType, *, is_proven: bool) -> Material:
    if kty is KeyType.RSA:
        return rsa_material(entry)
    if kty is KeyType.EC:
        return ec_material(entry, is_proven=is_proven)
    name = _string(entry, "kty")
    if name is None:
        return Material(fault="no kty", code=Code.UNSUPPORTED_KEY, is_malformed=True)
    return Material(fault=f"kty is {clean(name, 20)}", code=Code.UNSUPPORTED_KEY)


def _marks(
    entry: Mapping[str, object], kty: KeyType, material: Material, *, is_over: bool
) -> Iterator[_Mark]:
    """Every rule that this key breaks by itself."""
    if _string(entry, "kid") is None:
        is_text = isinstance(entry.get("kid"), str | None)
        yield "no kid" if is_text else "kid is not a string", Code.MISSING_KID
    use = entry.get("use")
    if use == "enc":
        yield "use is enc", Code.ENCRYPTION_USE
    elif use not in (None, "sig"):
        words = (_shown(entry, "use") or "empty") if isinstance(use, str) else "not a string"
        yield f"use is {words}", Code.UNSUPPORTED_KEY
    if entry.get("key_ops") is not None:
        yield "it has key_ops", Code.KEY_OPS
    if material.fault:
        yield material.fault, material.code
    if is_over:
        yield f"more than {MOST_KEYS} {kty} keys", None
    elif material.numbers is not None and entry.get("x5c"):
        yield from _x5c_marks(entry["x5c"], material.numbers)
    if kty is KeyType.RSA and material.bits is not None and material.bits < LEAST_RSA_BITS:
        yield "", Code.WEAK_KEY
    if _is_private(entry, kty):
        yield "", Code.PRIVATE_KEY_EXPOSED


def _x5c_marks(x5c: object, numbers: Numbers) -> Iterator[_Mark]:
    fault = x5c_fault(x5c, numbers)
    if fault:
        is_proven, words = fault
        yield words if is_proven else "", Code.X5C_CONFLICT


def _is_private(entry: Mapping[str, object], kty: KeyType) -> bool:
    # Empty strings and nulls come from serialisers that write every member they know.
    return any(entry.get(member) for member in _PRIVATE[kty])


def _last_of_equals(judged: Sequence[Judged]) -> tuple[Judged, ...]:
    """Take back every key behind which another of the same `kid` stands.

    A key that STS passes over hides none. One with `key_ops` does: STS finds it, and then
    fails to verify with it.
    """
    later: dict[str, str] = {}
    result = []
    for one in reversed(judged):
        hidden_by = later.get(one.kid) if one.kid and one.key.is_usable else None
        if one.kid and (one.key.is_usable or Code.KEY_OPS in one.key.codes):
            later.setdefault(one.kid, one.id)
        result.append(one if hidden_by is None else _hidden(one, hidden_by))
    return tuple(reversed(result))


def _hidden(one: Judged, hidden_by: str) -> Judged:
    is_same = one.id == hidden_by
    codes = one.key.codes if is_same else (*one.key.codes, Code.DUPLICATE_KID)
    return replace(
        one, key=replace(one.key, faults=("a later key has the same kid",), codes=codes)
    )


def _identity(entry: Mapping[str, object], kty: KeyType) -> str:
    return _hash(*(_string(entry, name) for name in ("kid", "kty", *_MATERIAL[kty])))


def _hash(*parts: str | None) -> str:
    # ASCII JSON: unambiguous, and lone surrogates do not stop it. Half a SHA-256 is enough.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _string(entry: Mapping[str, object], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) and value else None


def _shown(entry: Mapping[str, object], name: str) -> str | None:
    value = _string(entry, name)
    return clean(value, MOST_CHARACTERS) if value else None
