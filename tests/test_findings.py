"""What is found beside a failure or without one, each code by what causes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.caching import policy
from exporter.findings import findings
from exporter.model import Address, CachePolicy, Discovery, KeySet
from exporter.reasons import Code, Document, Family, KeyType, Level, Scope
from tests.builders import NOW, URL, certificate, failure, fetch, issuer, key, key_set, tls

if TYPE_CHECKING:
    from exporter.model import Failure, Fetch, Finding, Issuer

DISCOVERY = Discovery(issuer=URL, jwks_uri=f"{URL}/jwks")


def found(
    seen: Fetch | None = None,
    *,
    policy: CachePolicy | None = None,
    fact: Discovery | KeySet | Failure | None = None,
    of: Issuer | None = None,
) -> dict[Code, Finding]:
    found = list(findings(of or issuer(), seen or fetch(Document.JWKS), policy, fact))

    assert len({finding.code for finding in found}) == len(found)
    assert all(finding.detail and finding.detail.isprintable() for finding in found)
    return {finding.code: finding for finding in found}


def details(*args: Fetch, **kwargs: object) -> dict[Code, str]:
    return {c: f.detail for c, f in found(*args, **kwargs).items()}  # type: ignore[arg-type]


def headers(*pairs: tuple[str, str]) -> CachePolicy:
    return policy(pairs, received=NOW)


def at(ip: str, scope: Scope = Scope.GLOBAL, failure: str = "") -> Address:
    family = Family.IPV6 if ":" in ip else Family.IPV4
    return Address(ip=ip, port=443, family=family, scope=scope, failure=failure)


def test_a_healthy_issuer_has_no_finding():
    kind = headers(("cache-control", "public, max-age=86400"), ("expires", "0"))

    assert found(fetch(), policy=kind, fact=DISCOVERY) == {}
    assert found(fetch(Document.JWKS), policy=kind, fact=key_set()) == {}


def test_a_fetch_that_learnt_nothing_has_no_finding():
    silent = fetch(address=None, tls=None, status=None, headers=())

    assert found(silent) == found(silent, fact=failure()) == {}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://issuer.example.com:8443/jwks", {Code.PORT_IN_URL: "its URL names port 8443"}),
        ("https://issuer.example.com:443/jwks", {}),
    ],
)
def test_a_port_in_a_url_is_found(url, expected):
    assert details(fetch(url=url)) == expected


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope.PRIVATE, "10.0.0.1 (private) cannot be reached from AWS"),
        (Scope.LINK_LOCAL, "10.0.0.1 (link-local) cannot be reached from AWS"),
        (Scope.LOOPBACK, "10.0.0.1 (loopback) cannot be reached from AWS"),
        (Scope.OTHER, "10.0.0.1 (other) cannot be reached from AWS"),
        (Scope.GLOBAL, None),
    ],
)
def test_an_address_that_is_not_global_is_found(scope, words):
    expected = {Code.PRIVATE_ADDRESS: words} if words else {}

    assert details(fetch(address=at("10.0.0.1", scope))) == expected
    assert details(fetch(address=at("10.0.0.1", scope, failure="refused"))) == expected


@pytest.mark.parametrize(
    "changes", [{"connect_to": ("127.0.0.1", 8443)}, {"proxy_url": "http://proxy:3128"}]
)
def test_an_address_that_the_operator_chose_is_no_news(changes):
    seen = fetch(address=at("127.0.0.1", Scope.LOOPBACK))

    assert found(seen, of=issuer(**changes)) == {}


def test_a_dead_address_beside_a_live_one_is_found():
    dead = (at("2001:db8::1", failure="no answer\n"), at("192.0.2.7", failure="cut"))
    seen = fetch(dead_addresses=dead)
    all_dead = fetch(address=at("192.0.2.8", failure="refused"), dead_addresses=dead)

    assert details(seen) == {
        Code.IP_FAMILY_PARTIAL: r"no connection to 2001:db8::1 (no answer\n), 192.0.2.7 (cut)"
    }
    assert found(all_dead) == {}  # a failure says so already


def test_what_tls_shows_is_found():
    low = certificate(subject="CN=Example Intermediate", issuer="CN=Root", sha256="low")
    root = certificate(subject="CN=Root", issuer="CN=Root", is_self_issued=True, sha256="root")
    leaf = certificate()

    assert details(fetch(tls=tls(is_tls13_only=True))) == {
        Code.TLS13_ONLY: "TLS 1.2 is refused"
    }
    assert found(fetch(tls=tls(is_tls13_only=False, chain=(leaf, low, root)))) == {}
    assert details(fetch(tls=tls(chain=(leaf, root, low)))) == {
        Code.CHAIN_ORDER: "the certificates do not run from the leaf upwards"
    }
    assert details(fetch(tls=tls(chain=(leaf, low, low)))) == {
        Code.CHAIN_EXTRA: "1 of 3 certificates are not needed"
    }


def test_a_private_authority_is_found_once_it_was_trusted():
    private = tls(is_public_ca=False)

    assert details(fetch(tls=private)) == {
        Code.PRIVATE_CA: "the certificate is trusted by ca_file alone"
    }
    assert found(fetch(tls=replace(private, is_verified=False))) == {}
    assert found(fetch(tls=tls(is_public_ca=None))) == {}


def test_a_shared_connection_is_looked_at_once():
    seen = fetch(
        address=at("10.0.0.1", Scope.PRIVATE),
        dead_addresses=(at("10.0.0.2", failure="refused"),),
        tls=tls(is_tls13_only=True),
        is_reused=True,
    )

    assert found(seen) == {}


@pytest.mark.parametrize(
    "value",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;charset=utf-8",
        "application/jwk-set+json",
        "application/vnd.example+JSON",
        "text/json",
    ],
)
def test_json_may_have_many_names(value):
    assert found(fetch(headers=(("content-type", value),))) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text/plain; charset=utf-8", 'it is sent as "text/plain", not as JSON'),
        ("binary/octet-stream", 'it is sent as "binary/octet-stream", not as JSON'),
        ("text/html", 'it is sent as "text/html", not as JSON'),
        ("application/jsonp", 'it is sent as "application/jsonp", not as JSON'),
        ("", "it is sent without a type, not as JSON"),
        ("\u202e", r'it is sent as "\u202e", not as JSON'),
        (None, "it is sent without a type, not as JSON"),
    ],
)
def test_another_type_than_json_is_found(value, words):
    sent = () if value is None else (("content-type", value),)

    assert details(fetch(headers=sent)) == {Code.CONTENT_TYPE: words}
    assert found(fetch(headers=sent, status=404)) == {}  # an error page is no document


def test_a_wish_to_be_left_alone_is_found_whatever_the_status():
    sent = (("retry-after", "120"), ("content-type", "application/json"))

    for status in (200, 429, 503, 404):
        assert details(fetch(headers=sent, status=status)) == {
            Code.RETRY_AFTER: "asks to be left alone for 120 s"
        }


CACHING = [
    ([("cache-control", "no-cache")], Code.NO_CACHE, "Cache-Control says no-cache"),
    ([("pragma", "no-cache")], Code.PRAGMA_NO_CACHE, "Pragma says no-cache"),
    ([("cache-control", "no-store")], Code.NO_STORE, "Cache-Control says no-store"),
    (
        [("cache-control", 'no-cache="Set-Cookie"')],
        Code.NO_CACHE_FIELD,
        "no-cache for named header fields only",
    ),
    ([("cache-control", "max-age=0")], Code.MAX_AGE_ZERO, "max-age is 0"),
    ([("cache-control", "max-age=15")], Code.CACHE_SHORT, "to be used for 15 s only"),
    ([("cache-control", "max-age=299")], Code.CACHE_SHORT, "to be used for 299 s only"),
    ([("expires", "0")], Code.EXPIRED, "Expires is not later than Date, or no date at all"),
    (
        [("cache-control", "max-age=600"), ("age", "600")],
        Code.EXPIRED,
        "600 s old on arrival, to be used for 600 s",
    ),
]


@pytest.mark.parametrize(("sent", "code", "words"), CACHING, ids=[str(c[0]) for c in CACHING])
def test_what_stands_against_caching_is_found(sent, code, words):
    assert details(policy=headers(*sent)) == {code: words}


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [("cache-control", "private")],
        [("cache-control", "max-age=300")],
        [("cache-control", "max-age=600"), ("age", "599")],
        [("cache-control", "x-no-cache, must-revalidate")],
        [("pragma", "x-no-cache")],
    ],
    ids=str,
)
def test_what_does_not_stand_against_caching_is_no_finding(sent):
    assert found(policy=headers(*sent)) == {}


def test_one_answer_may_stand_against_caching_in_several_ways():
    """As SPIRE's provider sends it."""
    sent = headers(
        ("cache-control", "no-cache, no-store, must-revalidate, max-age=x"),
        ("pragma", "no-cache"),
        ("expires", "0"),
    )

    assert list(found(policy=sent)) == [
        Code.NO_CACHE,
        Code.NO_STORE,
        Code.PRAGMA_NO_CACHE,
        Code.EXPIRED,
    ]


def test_an_uncacheable_discovery_document_is_merely_noticed():
    """Keycloak sends it so, always; STS is only known to cache the key set."""
    sent = headers(("cache-control", "no-cache, no-store"), ("pragma", "no-cache"))

    for document, level in [(Document.DISCOVERY, Level.NOTICE), (Document.JWKS, Level.WARNING)]:
        assert {f.level for f in found(fetch(document), policy=sent).values()} == {level}


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (151, "its Date is 151 s ahead of our clock"),
        (-86_400, "its Date is 86400 s behind our clock"),
        (150, None),
        (-150, None),
        (None, None),
    ],
)
def test_a_wrong_clock_is_found(offset, words):
    expected = {Code.CLOCK_SKEW: words} if words else {}

    assert details(policy=CachePolicy(clock_offset_seconds=offset)) == expected


def test_a_thin_discovery_document_is_found():
    thin = replace(DISCOVERY, missing=("claims_supported", "subject_types_supported"))

    assert details(fetch(), fact=thin) == {
        Code.REQUIRED_FIELD_MISSING: "without claims_supported, subject_types_supported"
    }


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        (("claims_supported",), Level.NOTICE),
        (("subject_types_supported",), Level.WARNING),
        (("claims_supported", "response_types_supported"), Level.WARNING),
    ],
)
def test_a_field_that_no_kubernetes_publishes_is_merely_noticed(missing, level):
    thin = replace(DISCOVERY, missing=missing)

    assert found(fetch(), fact=thin)[Code.REQUIRED_FIELD_MISSING].level is level


@pytest.mark.parametrize(
    ("algs", "expected"),
    [
        (("EdDSA", "HS256"), {Code.UNSUPPORTED_ALG: "it offers EdDSA, HS256"}),
        (("none",), {Code.UNSUPPORTED_ALG: "it offers none"}),
        *(((a,), {}) for a in ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")),
        (("EdDSA", "ES512"), {}),
        ((), {}),
    ],
)
def test_only_algorithms_that_sts_does_not_verify_are_found(algs, expected):
    assert details(fetch(), fact=replace(DISCOVERY, algs=algs)) == expected


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Code.MISSING_KID, "2 of 4 keys without kid: a, number 3"),
        (Code.DUPLICATE_KID, "2 of 4 keys hidden by a later key of the same kid: a, number 3"),
        (Code.KEY_OPS, "2 of 4 keys with key_ops: a, number 3"),
        (Code.ENCRYPTION_USE, "2 of 4 keys for encryption only: a, number 3"),
        (
            Code.X5C_CONFLICT,
            "2 of 4 keys with an x5c that is of another key or cannot be read: a, number 3",
        ),
        (Code.WEAK_KEY, "2 of 4 keys RSA under 2048 bits: a, number 3"),
        (Code.UNSUPPORTED_KEY, "2 of 4 keys of a kind that STS does not take: a, number 3"),
        (
            Code.PRIVATE_KEY_EXPOSED,
            "2 of 4 keys published with their private part: a, number 3",
        ),
    ],
)
def test_keys_with_a_flaw_are_named(code, words):
    keys = key_set(key("a", codes=(code,)), key(), key(None, codes=(code,)), key())

    assert details(fact=keys) == {code: words}


def test_a_published_secret_is_an_emergency_and_nothing_else_is():
    keys = key_set(*(key(code.value, codes=(code,)) for code in Code))
    levels = {code: finding.level for code, finding in found(fact=keys).items()}

    assert len(levels) == 9
    assert {c for c, level in levels.items() if level is Level.FAILURE} == {
        Code.PRIVATE_KEY_EXPOSED
    }


@pytest.mark.parametrize(
    ("rsa", "ec", "okp", "words"),
    [
        (80, 80, 200, None),
        (81, 0, 0, "81 RSA keys, where STS takes 100 of a type"),
        (120, 100, 0, "120 RSA keys, 100 EC keys, where STS takes 100 of a type"),
    ],
)
def test_many_keys_of_a_type_are_found(rsa, ec, okp, words):
    kinds = [*[KeyType.RSA] * rsa, *[KeyType.EC] * ec, *[KeyType.OKP] * okp]
    keys = key_set(*(key(str(i), kty=kty) for i, kty in enumerate(kinds)))

    assert details(fact=keys) == ({Code.KEYS_NEAR_LIMIT: words} if words else {})


def test_details_are_bounded_however_many_keys_there_are():
    keys = key_set(*(key("k" * 128, codes=(Code.WEAK_KEY,), kty=KeyType.EC) for _ in range(80)))

    assert len(found(fact=keys)[Code.WEAK_KEY].detail) < 800
