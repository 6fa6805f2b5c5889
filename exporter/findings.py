"""What is worth knowing although it did not stop the probe: the only place that finds it.

Each check looks at one document's facts and yields codes with a sentence; what was not learnt
yields nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.caching import retry_after
from exporter.chain import extras, is_out_of_order
from exporter.codings import unknown
from exporter.keys import LIMITED, MOST_KEYS
from exporter.model import Discovery, Finding, KeySet
from exporter.reasons import LEVELS, CacheHeader, Code, Directive, Document, Level, Scope
from exporter.text import clean, listed, quoted
from exporter.urls import unusual_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.model import CachePolicy, Failure, Fetch, Issuer, Key, Tls
    from exporter.reasons import KeyType

    Found = Iterator[tuple[Code, str]]

#: A lifetime under that of a GitHub token (about five minutes) makes STS fetch for each one.
SHORT_SECONDS = 300.0
#: Half of what STS bears in `exp`, `iat` and `nbf` (300 s, measured).
SKEW_SECONDS = 150.0
#: From here on somebody should look before the limit is met.
NEAR_LIMIT_KEYS = 80
#: What STS verifies (AssumeRoleWithWebIdentity in the STS API reference).
ALGS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})

_ON_CACHING = {
    Directive.NO_CACHE: (Code.NO_CACHE, "Cache-Control says no-cache"),
    Directive.NO_CACHE_FIELD: (Code.NO_CACHE_FIELD, "no-cache for named header fields only"),
    Directive.NO_STORE: (Code.NO_STORE, "Cache-Control says no-store"),
}
# What STS is known not to cache is the key set. Keycloak forbids caching its discovery document
# out of the box, and works.
_ONLY_ON_KEY_SET = frozenset({Code.NO_CACHE, Code.PRAGMA_NO_CACHE, Code.NO_STORE})
# No Kubernetes API server publishes it, and SPIRE and Vault do not either.
_MISSED_BY_NOBODY = ("claims_supported",)

_ON_KEYS = {
    Code.MISSING_KID: "without kid",
    Code.DUPLICATE_KID: "hidden by a later key of the same kid",
    Code.KEY_OPS: "with key_ops",
    Code.ENCRYPTION_USE: "for encryption only",
    Code.X5C_CONFLICT: "with an x5c that is of another key or cannot be read",
    Code.WEAK_KEY: "RSA under 2048 bits",
    Code.MALFORMED_KEY: "whose numbers are missing or wrong",
    Code.UNSUPPORTED_KEY: "of a kind that STS does not take",
    Code.PRIVATE_KEY_EXPOSED: "published with their private part",
}


def findings(
    issuer: Issuer,
    fetch: Fetch,
    policy: CachePolicy | None,
    fact: Discovery | KeySet | Failure | None,
) -> Iterator[Finding]:
    """Everything worth knowing about one fetch, how it may be cached, and what was in it."""
    for code, detail in _found(issuer, fetch, policy, fact):
        level = Level.NOTICE if _is_harmless(code, fetch.document, fact) else LEVELS[code]
        yield Finding(document=fetch.document, code=code, level=level, detail=detail)


def _is_harmless(
    code: Code, document: Document, fact: Discovery | KeySet | Failure | None
) -> bool:
    """Issuers that do this are known to work with STS, whatever the code means elsewhere."""
    if code is Code.REQUIRED_FIELD_MISSING and isinstance(fact, Discovery):
        return fact.missing == _MISSED_BY_NOBODY
    return code in _ONLY_ON_KEY_SET and document is Document.DISCOVERY


def _found(
    issuer: Issuer,
    fetch: Fetch,
    policy: CachePolicy | None,
    fact: Discovery | KeySet | Failure | None,
) -> Found:
    yield from _in_url(fetch)
    if not fetch.is_reused:  # what is true of the connection was said about its first use
        yield from _in_address(issuer, fetch)
        yield from _in_tls(fetch.tls)
    yield from _in_headers(fetch)
    if policy is not None:
        yield from _in_directives(policy)
        yield from _in_times(policy)
    if isinstance(fact, Discovery):
        yield from _in_discovery(fact)
    elif isinstance(fact, KeySet):
        yield from _in_keys(fact.keys)
        yield from _in_numbers(fact.published)


def _in_url(fetch: Fetch) -> Found:
    port = unusual_port(fetch.url)
    if port is not None:
        yield Code.PORT_IN_URL, f"its URL names port {port}"


def _in_address(issuer: Issuer, fetch: Fetch) -> Found:
    """*Where* is no news when the operator has said where to dial."""
    address = fetch.address
    if address is None:
        return
    is_resolved = issuer.connect_to is None and issuer.proxy_url is None
    if is_resolved and address.scope is not Scope.GLOBAL:
        scope = address.scope.value.replace("_", "-")
        yield Code.PRIVATE_ADDRESS, f"{address.ip} ({scope}) cannot be reached from AWS"
    if fetch.dead_addresses and not address.failure:
        dead = [f"{a.ip} ({clean(a.failure, 60)})" for a in fetch.dead_addresses]
        yield Code.IP_FAMILY_PARTIAL, f"no connection to {listed(dead)}"


def _in_tls(tls: Tls | None) -> Found:
    if tls is None:
        return
    if tls.is_tls13_only:
        yield Code.TLS13_ONLY, "TLS 1.2 is refused"
    if is_out_of_order(tls.chain):
        yield Code.CHAIN_ORDER, "the certificates do not run from the leaf upwards"
    spare = extras(tls.chain)
    if spare:
        yield Code.CHAIN_EXTRA, f"{spare} of {len(tls.chain)} certificates are not needed"
    if tls.is_verified and tls.is_public_ca is False:
        yield Code.PRIVATE_CA, "the certificate is trusted by ca_file alone"


def _in_headers(fetch: Fetch) -> Found:
    answered = fetch.started_timestamp_seconds + fetch.duration_seconds
    until = retry_after(fetch.headers, received=answered)
    if until is not None:
        yield Code.RETRY_AFTER, f"asks to be left alone for {until - answered:.0f} s"
    if fetch.status != 200:  # noqa: PLR2004 - the only status that is an answer
        return
    lines = fetch.header_lines("content-type")
    media = lines[0].partition(";")[0].strip(" \t").lower() if lines else ""
    if media not in ("application/json", "text/json") and not media.endswith("+json"):
        said = f"it is sent as {quoted(media, 60)}" if media else "it is sent without a type"
        yield Code.CONTENT_TYPE, f"{said}, not as JSON"
    words = [quoted(word, 60) for word in unknown(fetch.header_lines("content-encoding"))]
    if words:
        yield Code.UNKNOWN_ENCODING, f"Content-Encoding says {listed(words)}"


def _in_directives(policy: CachePolicy) -> Found:
    for sent in policy.directives:
        if sent.header is CacheHeader.PRAGMA:
            if sent.directive is Directive.NO_CACHE:
                yield Code.PRAGMA_NO_CACHE, "Pragma says no-cache"
        elif sent.directive in _ON_CACHING:
            yield _ON_CACHING[sent.directive]


def _in_times(policy: CachePolicy) -> Found:
    lifetime = policy.max_age_seconds
    if lifetime is not None:
        yield from _in_lifetime(lifetime, policy)
    offset = policy.clock_offset_seconds
    if offset is not None and abs(offset) > SKEW_SECONDS:
        way = "ahead of" if offset > 0 else "behind"
        yield Code.CLOCK_SKEW, f"its Date is {abs(offset):.0f} s {way} our clock"


def _in_lifetime(lifetime: float, policy: CachePolicy) -> Found:
    says_max_age = any(
        d.directive is Directive.MAX_AGE and (d.value or "").isdigit()
        for d in policy.directives
    )
    age = policy.age_seconds or 0.0
    if says_max_age and lifetime == 0:
        yield Code.MAX_AGE_ZERO, "max-age is 0"
    elif lifetime <= 0:
        yield Code.EXPIRED, "Expires is not later than Date, or no date at all"
    elif age >= lifetime:
        yield Code.EXPIRED, f"{age:.0f} s old on arrival, to be used for {lifetime:.0f} s"
    if 0 < lifetime < SHORT_SECONDS:
        yield Code.CACHE_SHORT, f"to be used for {lifetime:.0f} s only"


def _in_discovery(discovery: Discovery) -> Found:
    if discovery.missing:
        yield Code.REQUIRED_FIELD_MISSING, f"without {listed(list(discovery.missing))}"
    if discovery.algs and ALGS.isdisjoint(discovery.algs):
        yield Code.UNSUPPORTED_ALG, f"it offers {listed(list(discovery.algs))}"


def _in_keys(keys: Sequence[Key]) -> Found:
    for code, words in _ON_KEYS.items():
        names = [key.kid or f"number {i}" for i, key in enumerate(keys, 1) if code in key.codes]
        if names:
            yield code, f"{len(names)} of {len(keys)} keys {words}: {listed(names)}"


def _in_numbers(counts: Mapping[KeyType, int]) -> Found:
    near = [f"{counts[t]} {t} keys" for t in LIMITED if counts[t] > NEAR_LIMIT_KEYS]
    if near:
        yield Code.KEYS_NEAR_LIMIT, f"{listed(near)}, where STS takes {MOST_KEYS} of a type"
