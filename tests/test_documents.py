"""From bytes to a discovery document or a key set, whatever the bytes are."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import documents
from exporter.documents import REQUIRED, read_discovery, read_jwks
from exporter.model import Discovery, Failure, Key, KeySet
from exporter.reasons import REASONS, Code, Document, KeyType, Reason, Stage
from tests.builders import URL

RSA = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": "w" * 342, "e": "AQAB"}
DISCOVERY = {
    "issuer": URL,
    "jwks_uri": f"{URL}/jwks",
    "claims_supported": ["sub"],
    "response_types_supported": ["id_token"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "subject_types_supported": ["public"],
}
DEEP = 200_000
NEST = b"[" * 900 + b"]" * 900 + b","
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*RSA, *DISCOVERY, "keys", "x5c", "d", "key_ops"]), inner
        )
    ),
    max_leaves=15,
)


def discovery(**changes: object) -> Discovery | Failure:
    return read_discovery(json.dumps(DISCOVERY | changes).encode(), "application/json")


def key_set(*keys: object) -> KeySet | Failure:
    return read_jwks(json.dumps({"keys": keys}).encode(), "application/json")


def the_failure(fact: object) -> tuple[Document, Stage, Reason]:
    assert isinstance(fact, Failure)
    assert fact.detail
    assert fact.detail.isprintable()
    return fact.document, fact.stage, fact.reason


def reason(fact: object) -> Reason:
    return the_failure(fact)[2]


FORMS = [
    ("empty", b"", Reason.INVALID_JSON),
    ("only spaces", b" \r\n\t", Reason.INVALID_JSON),
    ("words", b"Service unavailable", Reason.INVALID_JSON),
    ("cut off", b'{"issuer": "https://iss', Reason.INVALID_JSON),
    ("something behind it", b'{"issuer": "x"}%', Reason.INVALID_JSON),
    ("two objects", b"{}{}", Reason.INVALID_JSON),
    ("single quotes", b"{'issuer': 'x'}", Reason.INVALID_JSON),
    ("a comma too many", b'{"issuer": "x",}', Reason.INVALID_JSON),
    ("a comment", b'{"issuer": "x"} // mine', Reason.INVALID_JSON),
    ("a raw line end in a string", b'{"issuer": "x\n"}', Reason.INVALID_JSON),
    ("a raw NUL in a string", b'{"issuer": "x\x00"}', Reason.INVALID_JSON),
    ("NaN", b'{"a": NaN}', Reason.INVALID_JSON),
    ("Infinity", b'{"a": [Infinity]}', Reason.INVALID_JSON),
    ("-Infinity", b'{"a": -Infinity}', Reason.INVALID_JSON),
    ("a leading zero", b'{"a": 01}', Reason.INVALID_JSON),
    ("a million objects", b'{"keys": [' + b"{}," * 700_000 + b"{}]}", Reason.INVALID_JSON),
    ("a million members", b'{"a": [' + b"1," * 1_000_000 + b"1]}", Reason.INVALID_JSON),
    ("nested again and again", b'{"a":[' + NEST * 1000 + b"1]}", Reason.INVALID_JSON),
    ("deep arrays", b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}", Reason.INVALID_JSON),
    ("deep objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP, Reason.INVALID_JSON),
    ("a byte order mark", b"\xef\xbb\xbf{}", Reason.ENCODING),
    ("UTF-16 with mark", '{"a": 1}'.encode("utf-16"), Reason.ENCODING),
    ("UTF-16-LE", '{"a": 1}'.encode("utf-16-le"), Reason.ENCODING),
    ("UTF-16-BE", '{"a": 1}'.encode("utf-16-be"), Reason.ENCODING),
    ("UTF-32 with mark", '{"a": 1}'.encode("utf-32"), Reason.ENCODING),
    ("UTF-32-BE", '{"a": 1}'.encode("utf-32-be"), Reason.ENCODING),
    ("Latin-1", '{"a": "ü"}'.encode("latin-1"), Reason.ENCODING),
    ("a surrogate in UTF-8", b'{"a": "\xed\xa0\x80"}', Reason.ENCODING),
    ("an overlong slash", b'{"a": "\xc0\xaf"}', Reason.ENCODING),
    ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", Reason.ENCODING),
    ("a page", b"<!doctype html><title>Log in</title>", Reason.HTML),
    ("a page after spaces", b"\r\n  <html>", Reason.HTML),
    ("a page after a mark", b"\xef\xbb\xbf\n<html>", Reason.HTML),
    ("S3's error", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', Reason.HTML),
    ("an array", b"[{}]", Reason.NOT_OBJECT),
    ("a string", b'"<html>"', Reason.NOT_OBJECT),
    ("a number", b"5", Reason.NOT_OBJECT),
    ("true", b"true", Reason.NOT_OBJECT),
    ("null", b"null", Reason.NOT_OBJECT),
]


@pytest.mark.parametrize(
    ("body", "expected"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS]
)
def test_what_is_not_one_json_object_is_told_apart(body, expected):
    assert the_failure(read_discovery(body, "application/json")) == (
        Document.DISCOVERY,
        Stage.DOCUMENT,
        expected,
    )
    assert the_failure(read_jwks(body, None)) == (Document.JWKS, Stage.KEYS, expected)


def test_no_form_holds_the_loop():
    """Bodies of 2 MB: as long as one takes here, every other probe stands still."""

    def took(body: bytes) -> float:
        started = time.thread_time()
        read_jwks(body, None)
        return time.thread_time() - started

    for name, body, _ in FORMS:
        # Thrice, and new each time: the garbage of all other tests may be collected meanwhile.
        assert min(took(body + b" " * n) for n in range(1, 4)) < 0.1, name


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_ends_in_a_verdict(left, right):
    """Up to Python 3.13 as RecursionError; later ones may parse it, which does no harm."""
    body = '{"a": ' + left * 19_000 + "1" + right * 19_000 + "}"

    assert reason(read_discovery(body.encode(), None)) in (
        Reason.INVALID_JSON,
        Reason.ISSUER_MISSING,
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1" * 100_000, "thousands of digits"),  # int() would refuse them
        ("1e999", "beyond any float"),
        ("-0.1E+5", "a fraction"),
    ],
)
def test_a_number_is_valid_whatever_its_size(text, name):
    body = json.dumps(DISCOVERY)[:-1] + f', "{name}": {text}}}'

    assert isinstance(read_discovery(body.encode(), None), Discovery)


def test_of_a_repeated_member_the_last_counts():
    body = '{"issuer": "https://other.example",' + json.dumps(DISCOVERY)[1:]

    assert read_discovery(body.encode(), None) == discovery()


def test_what_looks_like_html_by_name_only_is_json():
    """Some static hosts serve every file as text/html; the type is a finding of its own."""
    body = json.dumps(DISCOVERY).encode()

    assert read_discovery(body, "text/html; charset=utf-8") == discovery()
    assert reason(read_discovery(b"Please log in", "text/html")) is Reason.HTML
    assert reason(read_discovery(b"Please log in", "Application/XHTML+XML")) is Reason.HTML
    assert reason(read_discovery(b"Please log in", "text/plain")) is Reason.INVALID_JSON


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><title> Just a moment... </title>", 'it is a page, "Just a moment..."'),
        (b"<Error><Code>AccessDenied</Code>", 'it is a page, "AccessDenied"'),
        (b"<html><title>\xff\x1b</title>", 'it is a page, "\ufffd\\x1b"'),
        (b"<html><title></title>", "it is a page, not JSON"),
        (b'{"a": 1}%  ', 'Extra data at line 1, column 9: "%  "'),
        (b'{"a": \x1b}', r'Expecting value at line 1, column 7: "\x1b}"'),
        (b'{"a":', "Expecting value at line 1, column 6"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[]", "it is an array, not an object"),
        (b'{"\xff"', "it is not UTF-8 from byte 2 on"),
    ],
)
def test_the_detail_says_where_to_look(body, words):
    fact = read_discovery(body, None)

    assert isinstance(fact, Failure)
    assert fact.detail == words


def test_a_discovery_document_names_its_issuer_and_key_set():
    assert discovery() == Discovery(issuer=URL, jwks_uri=f"{URL}/jwks", algs=("RS256",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"issuer": None}, Reason.ISSUER_MISSING),
        ({"issuer": ""}, Reason.ISSUER_MISSING),
        ({"issuer": 5}, Reason.ISSUER_MISSING),
        ({"issuer": [URL]}, Reason.ISSUER_MISSING),
        ({"jwks_uri": None}, Reason.JWKS_URI_MISSING),
        ({"jwks_uri": ""}, Reason.JWKS_URI_MISSING),
        ({"jwks_uri": 5}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": [f"{URL}/jwks"]}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": "/jwks"}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": "https://"}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": f"{URL}/\ud800"}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": f"{URL}/\u202e"}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": f"{URL}/{'a' * 100_000}"}, Reason.JWKS_URI_INVALID),
        ({"jwks_uri": "http://issuer.example.com/jwks"}, Reason.JWKS_URI_INSECURE),
    ],
)
def test_without_an_issuer_or_a_key_set_to_fetch_it_is_none(changes, expected):
    assert reason(discovery(**changes)) is expected


def test_a_member_that_is_not_there_is_missing():
    for member, expected in [
        ("issuer", Reason.ISSUER_MISSING),
        ("jwks_uri", Reason.JWKS_URI_MISSING),
    ]:
        rest = {name: value for name, value in DISCOVERY.items() if name != member}

        assert reason(read_discovery(json.dumps(rest).encode(), None)) is expected


@pytest.mark.parametrize("member", REQUIRED[2:])
@pytest.mark.parametrize("value", [None, [], ""])
def test_what_aws_requires_and_is_absent_or_empty_is_listed(member, value):
    seen = discovery(**{member: value})

    assert isinstance(seen, Discovery)
    assert seen.missing == (member,)


def test_what_is_missing_is_listed_in_the_order_of_aws():
    body = json.dumps({"issuer": URL, "jwks_uri": f"{URL}/jwks"}).encode()
    seen = read_discovery(body, None)

    assert isinstance(seen, Discovery)
    assert seen.missing == REQUIRED[2:]


@pytest.mark.parametrize(
    ("algs", "expected"),
    [
        (["RS256", 5, None, "ES256"], ("RS256", "ES256")),
        ("RS256", ()),
        ({"RS256": 1}, ()),
        ([], ()),
        (["a" * 500, "\x1b"], ("a" * 39 + "…", r"\x1b")),
        ([f"A{i}" for i in range(5000)], tuple(f"A{i}" for i in range(64))),
    ],
)
def test_algorithms_are_text_and_not_too_many(algs, expected):
    seen = discovery(id_token_signing_alg_values_supported=algs)

    assert isinstance(seen, Discovery)
    assert seen.algs == expected


def test_a_strange_issuer_can_be_printed_and_is_never_mistaken():
    for strange in [f"{URL}\ud800", f"{URL}\u202e", "x" * 100_000, f"{URL}\n"]:
        seen = discovery(issuer=strange)

        assert isinstance(seen, Discovery)
        assert seen.issuer.isprintable()
        assert len(seen.issuer) <= 2048
        assert seen.issuer != URL


def test_a_key_set_is_its_keys():
    seen = key_set(RSA, {"kty": "OKP"})

    assert isinstance(seen, KeySet)
    assert seen.keys == (
        Key(kty=KeyType.RSA, kid="k1", alg="RS256", use="sig", bits=2048),
        Key(
            kty=KeyType.OKP,
            faults=("no kid", "kty is OKP"),
            codes=(Code.MISSING_KID, Code.UNSUPPORTED_KEY),
        ),
    )
    assert len(seen.ids) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", Reason.MISSING_KEYS),
        (b'{"keys": null}', Reason.MISSING_KEYS),
        (b'{"Keys": []}', Reason.MISSING_KEYS),
        (b'{"keys": []}', Reason.EMPTY),
        (b'{"keys": {}}', Reason.MALFORMED),
        (b'{"keys": "k1"}', Reason.MALFORMED),
        (b'{"keys": 5}', Reason.MALFORMED),
        (b'{"keys": false}', Reason.MALFORMED),
        (b'{"keys": [null, 1, "a", [], {}]}', Reason.MALFORMED),
        (b'{"keys": [{"kty": "RSA", "kid": "a", "n": "+/+/", "e": "AQAB"}]}', Reason.MALFORMED),
    ],
)
def test_a_set_without_one_readable_key_is_none(body, expected):
    assert reason(read_jwks(body, None)) is expected


def test_the_largest_honest_set_is_read():
    """Every key with a chain of three, and a member or two of the vendor's own."""
    chain = ["MIIC" * 300] * 3
    key = RSA | {"x5t": "a", "x5t#S256": "b", "x5c": chain, "issuer": URL, "status": "active"}
    seen = key_set(*(key | {"kid": str(i)} for i in range(1000)))

    assert isinstance(seen, KeySet)


def test_one_readable_key_is_enough():
    seen = key_set(None, 5, {}, RSA)

    assert isinstance(seen, KeySet)
    assert [key.is_usable for key in seen.keys] == [False, False, False, True]


def test_what_can_be_read_and_not_used_is_left_to_the_judge():
    seen = key_set({**RSA, "use": "enc"})

    assert isinstance(seen, KeySet)
    assert not any(key.is_usable for key in seen.keys)


def test_the_hash_of_a_set_forgets_order_and_layout_and_nothing_else():
    other = {**RSA, "kid": "k2"}
    one, two = key_set(RSA, other), key_set(dict(reversed(other.items())), RSA)
    three, four = key_set(RSA), key_set(RSA, {**other, "n": "x" * 342})

    assert isinstance(one, KeySet)
    assert isinstance(two, KeySet)
    assert isinstance(three, KeySet)
    assert isinstance(four, KeySet)
    assert (one.ids, one.sha256) == (two.ids, two.sha256)
    assert len({one.sha256, three.sha256, four.sha256}) == 3
    assert len(one.sha256) == 64


def test_the_hash_of_a_set_is_the_same_everywhere():
    """Two vantages compare it, each with its own version and its own process's hash seed."""
    seen = key_set(*({**RSA, "kid": str(i)} for i in range(9)))

    assert isinstance(seen, KeySet)
    assert seen.sha256 == "5176b7cbc7012ebf6e58527a9c3532657abb85c6670b93fd538f83e1a5445696"


def test_five_hundred_keys_are_looked_at_and_the_others_counted():
    seen = key_set(*({**RSA, "kid": str(i)} for i in range(600)), 5, {"kty": "oct"})

    assert isinstance(seen, KeySet)
    assert len(seen.keys) == 500
    assert not any(key.is_usable for key in seen.keys)
    assert seen.published == {KeyType.RSA: 600, KeyType.OTHER: 1, KeyType.OCT: 1}


def test_a_body_is_judged_once():
    """Thousands of probes a minute read the same bytes; the same object comes back."""
    body = json.dumps({"keys": [RSA | {"kid": "remembered"}]}).encode()

    assert read_jwks(body, "application/json") is read_jwks(bytes(bytearray(body)), None)
    assert read_jwks(body, None) != read_discovery(body, None)


def test_what_was_judged_longest_ago_is_forgotten_first():
    judged = []

    def judge(body: bytes, *, is_called_html: bool) -> bytes:
        judged.append(body)
        return body if is_called_html else body.upper()

    remembered = documents._Remembered(judge, 2)

    assert [remembered.get(body, None) for body in (b"a", b"b", b"a", b"c", b"a", b"b")] == [
        b"A",
        b"B",
        b"A",
        b"C",
        b"A",
        b"B",
    ]
    assert judged == [b"a", b"b", b"c", b"b"]
    assert remembered.get(b"b", "text/HTML") == b"b"


def test_large_judgements_leave_room_for_fewer():
    """An issuer with another giant document at every probe must not fill memory."""
    judged = []

    def judge(body: bytes, *, is_called_html: bool) -> bool:
        judged.append(body)
        return is_called_html

    remembered = documents._Remembered(judge, most=100, most_bytes=250)
    for body in (b"a" * 100, b"b" * 100, b"a" * 100, b"c" * 100, b"a" * 100, b"b" * 100):
        remembered.get(body, None)

    assert [body[:1] for body in judged] == [b"a", b"b", b"c", b"b"]


def test_a_judgement_too_large_to_be_remembered_is_given_all_the_same():
    remembered = documents._Remembered(lambda body, **_: body, most=100, most_bytes=10)

    assert remembered.get(b"eleven byte", None) == b"eleven byte"
    assert not remembered._facts


def test_a_key_counts_for_what_it_takes_not_for_the_bytes_it_came_in():
    body = json.dumps({"keys": [{}] * 400 + [RSA | {"kid": "k"}]}).encode()

    tracemalloc.start()
    try:
        found = documents._judge_jwks(body, is_called_html=False)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken < documents._bytes_of(found, body)


@given(st.binary(max_size=60), st.sampled_from([None, "", "text/html", "application/json"]))
def test_no_bytes_raise(body, content_type):
    for fact in (read_discovery(body, content_type), read_jwks(body, content_type)):
        assert isinstance(fact, Failure)
        assert fact.reason in REASONS[fact.stage]
        assert fact.detail.isprintable()


@given(JSON)
def test_no_json_raises_and_what_comes_out_can_be_printed(value):
    body = json.dumps(value).encode()
    found, keys = read_discovery(body, None), read_jwks(body, None)

    assert repr((found, keys)).isprintable()
    assert (str(found) + str(keys)).encode()
    if isinstance(keys, KeySet):
        assert len(keys.ids) <= len(keys.keys)
