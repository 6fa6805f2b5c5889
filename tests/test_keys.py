"""Which key of a set STS can use, rule by rule."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from exporter.keys import Judged, judge_keys
from exporter.model import Key
from exporter.reasons import Code, KeyType

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
RSA = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": "w" * 342, "e": "AQAB"}
RECORDINGS = Path(__file__).parent.parent / "exporter/demo/data/real-issuers"
BROKEN = (Code.MALFORMED_KEY,)


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@cache
def private_key(curve: str = "P-256", seed: int = 7) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(seed, CURVES[curve])


def ec_key(curve: str = "P-256", seed: int = 7, **changes: object) -> dict[str, object]:
    key = private_key(curve, seed)
    numbers, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    x, y = (base64url(number.to_bytes(size)) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "kid": "e1", "crv": curve, "x": x, "y": y, **changes}


def certificate(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    built = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2027, 1, 1, tzinfo=UTC)
    )
    signed = built.sign(private_key(), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(Encoding.DER)).decode()


def with_x5c() -> dict[str, object]:
    """A real RSA key with a real certificate."""
    recorded = json.loads((RECORDINGS / "auth0-2022.json").read_text())
    key: dict[str, object] = recorded["jwks"]["body"]["keys"][0]
    return key


def judged(entry: object) -> Judged:
    (one,) = judge_keys([entry])
    return one


def marks(entry: object) -> tuple[tuple[str, ...], tuple[Code, ...]]:
    key = judged(entry).key
    return key.faults, key.codes


USABLE = ((), ())


def test_an_rsa_key_is_usable():
    assert judged(RSA).key == Key(kty=KeyType.RSA, kid="k1", alg="RS256", use="sig", bits=2048)


@pytest.mark.parametrize(("curve", "bits"), [("P-256", 256), ("P-384", 384), ("P-521", 521)])
def test_a_key_on_each_of_the_three_curves_is_usable(curve, bits):
    key = judged(ec_key(curve)).key

    assert (key.kty, key.crv, key.bits, key.faults) == (KeyType.EC, curve, bits, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"use": None},
        {"alg": None},
        {"alg": "RS512"},  # STS does not choose by it
        {"alg": 5},
        {"kid": "UGIevE1I5DkrQL0VFF7nRif5Z5G5PXaHEArHtBu/HM0="},  # a name, not base64url
        {"kid": " "},
        {"e": "AAEAAQ"},  # 65537 behind a zero octet, as a real issuer has it
        {"e": "Aw"},
        {"n": base64url(b"\0\0" + b"\xc3" * 256)},
        {"x5c": None},
        {"x5c": []},
        {"key_ops": None},
        {"status": "active", "issuer": "x", "x5t": "y", "exp": 5},
        {"d": "", "p": None},
    ],
    ids=str,
)
def test_what_does_not_matter_to_sts_does_not_matter(changes):
    assert marks(RSA | changes) == USABLE


def test_use_and_alg_may_be_missing_altogether():
    assert marks({name: RSA[name] for name in ("kty", "kid", "n", "e")}) == USABLE


@pytest.mark.parametrize(
    ("changes", "fault", "code"),
    [
        ({"kid": None}, "no kid", Code.MISSING_KID),
        ({"kid": ""}, "no kid", Code.MISSING_KID),
        ({"kid": 5}, "kid is not a string", Code.MISSING_KID),
        ({"use": "enc"}, "use is enc", Code.ENCRYPTION_USE),
        ({"use": "sign"}, "use is sign", Code.UNSUPPORTED_KEY),  # concourse wrote that once
        ({"use": "SIG"}, "use is SIG", Code.UNSUPPORTED_KEY),
        ({"use": ""}, "use is empty", Code.UNSUPPORTED_KEY),
        ({"use": ["sig"]}, "use is not a string", Code.UNSUPPORTED_KEY),
        ({"use": "\u202e"}, r"use is \u202e", Code.UNSUPPORTED_KEY),
        ({"key_ops": ["verify"]}, "it has key_ops", Code.KEY_OPS),
        ({"key_ops": []}, "it has key_ops", Code.KEY_OPS),
        ({"kty": "OKP"}, "kty is OKP", Code.UNSUPPORTED_KEY),
        ({"kty": "rsa"}, "kty is rsa", Code.UNSUPPORTED_KEY),
        ({"kty": "other"}, "kty is other", Code.UNSUPPORTED_KEY),
        ({"kty": "\n" * 50}, r"kty is \n\n\n\n\n\n\n\n\n\…", Code.UNSUPPORTED_KEY),
        ({"kty": None}, "no kty", Code.UNSUPPORTED_KEY),
        ({"kty": ["RSA"]}, "no kty", Code.UNSUPPORTED_KEY),
    ],
)
def test_one_broken_rule_makes_a_key_unusable(changes, fault, code):
    assert marks(RSA | changes) == ((fault,), (code,))


@pytest.mark.parametrize(
    ("changes", "fault", "is_malformed"),
    [
        ({"n": None}, "no n", False),
        ({"n": ""}, "no n", False),
        ({"n": None, "e": None}, "no n and no e", False),
        ({"n": 5}, "n is not base64url", True),
        ({"n": "+" * 342}, "n is not base64url", True),
        ({"n": "w" * 342 + "=="}, "n is not base64url", True),
        ({"n": "w" * 341}, "n is not base64url", True),  # no number of octets is that long
        ({"n": "w" * 342 + "\n"}, "n is not base64url", True),
        ({"n": "ü" * 342}, "n is not base64url", True),
        ({"e": "AQAB="}, "e is not base64url", True),
        ({"e": ["AQAB"]}, "e is not base64url", True),
        ({"e": "AA"}, "n and e are no RSA key", False),
        ({"e": "AQ"}, "n and e are no RSA key", False),
        ({"e": "Ag"}, "n and e are no RSA key", False),
        ({"n": "AAAA"}, "n and e are no RSA key", False),
    ],
    ids=str,
)
def test_an_rsa_key_needs_its_numbers(changes, fault, is_malformed):
    one = judged(RSA | changes)

    assert one.key.faults == (fault,)
    assert one.key.codes == BROKEN
    assert one.is_malformed is is_malformed


@pytest.mark.parametrize(
    ("changes", "fault", "codes"),
    [
        ({"crv": None}, "no curve: not P-256, P-384 or P-521", (Code.UNSUPPORTED_KEY,)),
        ({"crv": 256}, "no curve: not P-256, P-384 or P-521", (Code.UNSUPPORTED_KEY,)),
        (
            {"crv": "secp256k1"},
            "curve secp256k1: not P-256, P-384 or P-521",
            (Code.UNSUPPORTED_KEY,),
        ),
        ({"x": None}, "no x", BROKEN),
        ({"y": ""}, "no y", BROKEN),
        ({"x": "a+b/"}, "x is not base64url", BROKEN),
        ({"x": base64url(b"\x01" * 31)}, "x has 31 octets where P-256 has 32", BROKEN),
        ({"y": base64url(b"\0" + b"\x01" * 32)}, "y has 33 octets where P-256 has 32", BROKEN),
        ({"y": base64url(b"\x01" * 32)}, "x and y are no point on P-256", BROKEN),
        ({"x": base64url(b"\0" * 32), "y": base64url(b"\0" * 32)}, None, BROKEN),
        ({"x": base64url(b"\xff" * 32)}, None, BROKEN),
        ({"crv": "P-384"}, "x has 32 octets where P-384 has 48", BROKEN),
    ],
    ids=str,
)
def test_an_elliptic_key_needs_a_point_on_its_curve(changes, fault, codes):
    wanted = fault or "x and y are no point on P-256"
    one = judged(ec_key(**changes))

    assert (one.key.faults, one.key.codes) == ((wanted,), codes)
    assert one.is_malformed == ("base64url" in wanted)


def test_every_broken_rule_is_told():
    entry = {"kty": "RSA", "use": "enc", "key_ops": ["verify"], "d": "secret"}

    assert marks(entry) == (
        ("no kid", "use is enc", "it has key_ops", "no n and no e"),
        (
            Code.MISSING_KID,
            Code.ENCRYPTION_USE,
            Code.KEY_OPS,
            *BROKEN,
            Code.PRIVATE_KEY_EXPOSED,
        ),
    )


@pytest.mark.parametrize("entry", [None, 5.0, "key", [], True])
def test_what_is_no_object_is_no_key(entry):
    one = judged(entry)

    assert (one.key.faults, one.is_malformed) == (("not an object",), True)
    assert one.key.codes == (Code.UNSUPPORTED_KEY,)


@pytest.mark.parametrize(
    ("modulus", "is_weak"),
    [
        (b"\xc3" * 256, False),
        (b"\x80" + b"\0" * 254 + b"\x01", False),
        (b"\x7f" * 256, True),  # 2047 bits
        (b"\0" + b"\xc3" * 255, True),
        (b"\xc3" * 128, True),
    ],
)
def test_a_short_modulus_is_weak_and_still_usable(modulus, is_weak):
    assert marks(RSA | {"n": base64url(modulus)}) == ((), (Code.WEAK_KEY,) if is_weak else ())


@pytest.mark.parametrize(
    ("entry", "is_private"),
    [
        (RSA | {"d": "AQAB"}, True),
        (RSA | {"oth": [{"r": "AQAB"}]}, True),
        *((RSA | {name: "AQAB"}, True) for name in ("p", "q", "dp", "dq", "qi")),
        (ec_key(d="AQAB"), True),
        (ec_key(p="a vendor's own"), False),
        ({"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AQAB", "d": "AQAB"}, True),
        ({"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AQAB"}, False),
        ({"kty": "oct", "kid": "s", "k": "AQAB"}, True),
        ({"kty": "oct", "kid": "s"}, False),
        ({"kty": "AKP", "kid": "m", "pub": "AQAB", "priv": "AQAB"}, True),
    ],
)
def test_a_published_secret_is_seen(entry, is_private):
    key = judged(entry).key

    assert (key.is_private, Code.PRIVATE_KEY_EXPOSED in key.codes) == (is_private, is_private)


def test_a_published_secret_does_not_make_a_key_unusable():
    assert marks(RSA | {"d": "AQAB"}) == ((), (Code.PRIVATE_KEY_EXPOSED,))


def test_a_certificate_for_the_same_key_agrees():
    assert marks(with_x5c()) == USABLE
    assert marks(ec_key(x5c=[certificate(private_key())])) == USABLE


def test_a_certificate_for_another_key_is_a_conflict():
    another = "the certificate in x5c is for another key"
    another_type = "the certificate in x5c is for another type of key"
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)

    assert marks(RSA | {"x5c": with_x5c()["x5c"]}) == ((another,), (Code.X5C_CONFLICT,))
    assert marks(ec_key(x5c=with_x5c()["x5c"]))[0] == (another,)
    assert marks(ec_key(x5c=[certificate(private_key(seed=8))]))[0] == (another,)
    assert marks(ec_key(x5c=[certificate(edwards)]))[0] == (another_type,)


def test_only_the_first_certificate_is_the_key_s():
    rest = [certificate(private_key(seed=8)), "no certificate"]

    assert marks(ec_key(x5c=[certificate(private_key()), *rest])) == USABLE


@pytest.mark.parametrize(
    "x5c",
    ["MIIC", [5], ["%%%"], ["ü"], ["AQAB"], [""], ["A"], [[]], {"0": "MIIC"}, ["A" * 40_000]],
    ids=lambda x5c: str(x5c)[:20],
)
def test_a_certificate_that_cannot_be_read_is_found_and_proves_nothing(x5c):
    """Our reader may be stricter than that of STS: no false alarm over it."""
    assert marks(ec_key(x5c=x5c)) == ((), (Code.X5C_CONFLICT,))


def test_a_certificate_alone_is_no_key():
    """STS answered "Couldn't retrieve verification key" to an x5c without n and e."""
    entry = {name: value for name, value in with_x5c().items() if name not in ("n", "e")}

    assert marks(entry) == (("no n and no e",), BROKEN)


def test_the_last_of_equal_kids_wins():
    first, last = judge_keys([RSA, RSA | {"n": "x" * 342}])

    assert first.key.faults == ("a later key has the same kid",)
    assert first.key.codes == (Code.DUPLICATE_KID,)
    assert (last.key.faults, last.key.codes) == USABLE


def test_the_same_key_twice_is_no_finding():
    first, last = judge_keys([RSA, RSA])

    assert first.key.faults == ("a later key has the same kid",)
    assert first.key.codes == ()
    assert last.key.is_usable


def test_of_three_equal_kids_the_last_one_wins():
    keys = judge_keys([RSA, RSA | {"n": "x" * 342}, ec_key(kid="k1")])

    assert [one.key.is_usable for one in keys] == [False, False, True]


@pytest.mark.parametrize(
    ("later", "is_hidden"),
    [
        ({"use": "enc"}, False),  # STS passes over it
        ({"kty": "OKP"}, False),
        ({"n": "+"}, False),
        ({"key_ops": ["verify"]}, True),  # STS takes it, and then fails
    ],
)
def test_only_a_key_that_sts_takes_hides_an_earlier_one(later, is_hidden):
    first, _ = judge_keys([RSA, RSA | later])

    assert first.key.is_usable is not is_hidden


def test_a_hidden_key_that_is_unusable_anyway_keeps_its_own_fault():
    first, _ = judge_keys([RSA | {"use": "enc"}, RSA])

    assert first.key.faults == ("use is enc",)


def test_kids_are_compared_to_the_letter():
    long = "k" * 500
    keys = [RSA | {"kid": kid} for kid in ("a", "A", "a ", "\ud800", long + "1", long + "2")]

    judgements = judge_keys(keys)

    assert all(one.key.is_usable for one in judgements)
    assert len({one.key.kid for one in judgements}) == 6
    assert judgements[3].key.kid == r"\ud800"


def test_a_hundred_of_a_type_are_usable_and_one_more_spoils_them_all():
    rsa: list[dict[str, object]] = [{**RSA, "kid": f"r{i}"} for i in range(101)]
    elliptic = [ec_key(kid=f"e{i}") for i in range(100)]

    assert all(one.key.is_usable for one in judge_keys(rsa[:100] + elliptic))
    keys = [one.key for one in judge_keys(rsa + elliptic)]
    assert {key.faults for key in keys[:101]} == {("more than 100 RSA keys",)}
    assert all(key.is_usable for key in keys[101:])


def test_keys_are_counted_whatever_else_is_wrong_with_them():
    keys = [RSA | {"kid": None} for _ in range(100)]

    assert "more than 100 RSA keys" in judge_keys([*keys, RSA])[-1].key.faults


def test_keys_of_other_types_are_not_limited():
    keys = [{"kty": "OKP", "kid": str(i)} for i in range(150)]

    assert judge_keys([*keys, RSA])[-1].key.is_usable


def test_a_type_over_the_limit_costs_no_cryptography():
    """Its keys are unusable anyway: neither points nor certificates are looked at."""
    nowhere = ec_key(y=base64url(b"\x01" * 32), x5c=["no certificate"])
    keys = [one.key for one in judge_keys([nowhere | {"kid": str(i)} for i in range(101)])]

    assert {(key.faults, key.codes) for key in keys} == {(("more than 100 EC keys",), ())}


def test_an_identity_is_kid_and_material_and_nothing_else():
    same = [RSA, RSA | {"alg": "RS512", "use": None, "x5t": "x"}]
    other = [
        RSA | {"kid": "k2"},
        RSA | {"n": "x" * 342},
        RSA | {"e": "Aw"},
        RSA | {"kid": None},
    ]
    more = [ec_key(), ec_key(seed=8), ec_key("P-384"), {"kty": "AKP"}, {"kty": "oct"}, {}, 5]
    ids = [one.id for one in judge_keys([*other, *more])]

    assert judged(same[0]).id == judged(same[1]).id
    assert len({judged(RSA).id, *ids}) == 1 + len(ids)


def test_remote_text_is_bounded_and_printable():
    key = judged(RSA | {"kid": "\u202e" * 999, "alg": "\x1b" * 999, "crv": "a" * 999}).key

    for text in (key.kid, key.alg, key.crv):
        assert text is not None
        assert len(text) <= 128
        assert text.isprintable()


MEMBERS = ["kty", "kid", "use", "alg", "crv", "n", "e", "x", "y", "x5c", "key_ops", "d", "k"]
VALUES = (
    st.none()
    | st.booleans()
    | st.just(0.0)
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(
        ["RSA", "EC", "OKP", "oct", "sig", "enc", "P-256", "P-521", "AQAB", "w" * 43]
    )
    | st.lists(st.text(max_size=3), max_size=2)
)


@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), VALUES) | VALUES, max_size=5))
def test_no_member_of_any_type_raises(entries):
    result = judge_keys(entries)

    assert len(result) == len(entries)
    for one in result:
        assert one.key.is_usable or all(one.key.faults)
        assert " ".join(one.key.faults).isprintable()
        assert len(set(one.key.codes)) == len(one.key.codes)
        assert not (one.is_malformed and one.key.is_usable)


@pytest.mark.parametrize(
    "changes",
    [
        {"n": base64url(b"\x01")},
        {"n": base64url(b"\xff")},
        {"e": base64url(b"\x01" * 300)},
        {"n": base64url(b"\xff" * 3), "e": base64url(b"\xff" * 3)},
    ],
    ids=["modulus of 1", "modulus under the exponent", "exponent over the modulus", "equal"],
)
def test_an_exponent_lies_below_its_modulus(changes):
    assert marks(RSA | changes) == (("n and e are no RSA key",), BROKEN)


def test_the_only_key_for_sts_may_stand_behind_hundreds_of_others():
    others = [{"kty": "OKP", "kid": str(i)} for i in range(600)]
    judged = [one.key for one in judge_keys([*others, RSA])]

    assert len(judged) == 500
    assert judged[-1].is_usable


def test_of_a_type_beyond_the_limit_no_key_is_usable_however_few_are_judged():
    others = [{"kty": "OKP", "kid": str(i)} for i in range(450)]
    judged = judge_keys([*others, *(RSA | {"kid": f"r{i}"} for i in range(600))])

    assert [one.key.kty for one in judged].count(KeyType.RSA) == 50
    assert not any(one.key.is_usable for one in judged)
