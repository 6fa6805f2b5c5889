"""What stops STS first, and what is merely found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.caching import policy
from exporter.judge import judge, status_failure, url_failure
from exporter.model import Discovery, Failure, Finding, KeySet
from exporter.reasons import (
    LEVELS,
    REASONS,
    Code,
    Document,
    KeyType,
    Level,
    Reason,
    Stage,
)
from tests.builders import NOW, URL, failure, fetch, issuer, key, key_set

DISCOVERY = Discovery(issuer=URL, jwks_uri=f"{URL}/jwks")
BOTH = (fetch(), fetch(Document.JWKS))
NOT_JSON = failure(Stage.DOCUMENT, Reason.HTML)
NO_KEYS = failure(Stage.KEYS, Reason.EMPTY, Document.JWKS)


def verdict(**changes: object) -> tuple[Failure | None, tuple[Finding, ...]]:
    seen: dict[str, object] = {
        "fetches": BOTH,
        "caching": (),
        "discovery": DISCOVERY,
        "key_set": key_set(),
        "duration_seconds": 0.3,
    }
    of = changes.pop("of", issuer())
    return judge(of, **{**seen, **changes})  # type: ignore[arg-type]


def what(stopped: Failure | None) -> tuple[Document, Stage, Reason] | None:
    if stopped is None:
        return None
    assert stopped.reason in REASONS[stopped.stage]
    assert stopped.detail.isprintable()
    return stopped.document, stopped.stage, stopped.reason


def test_a_healthy_issuer_passes():
    assert verdict() == (None, ())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (URL, None),
        (f"{URL}:8443/path/", None),
        ("http://issuer.example.com", Reason.NOT_HTTPS),
        ("", Reason.NOT_HTTPS),
        (f"{URL}?tenant=1", Reason.BAD_URL),
        (f"{URL}#top", Reason.BAD_URL),
        ("https://me@issuer.example.com", Reason.BAD_URL),
        ("https://", Reason.BAD_URL),
        ("https://issuer\u202e.example.com", Reason.BAD_URL),
    ],
)
def test_an_url_that_iam_would_not_take_fails(url, reason):
    expected = reason and (Document.DISCOVERY, Stage.CONFIG, reason)

    assert what(url_failure(url, Document.DISCOVERY)) == expected


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, None),
        (200, None),
        (0, Reason.STATUS),
        (201, Reason.STATUS),
        (204, Reason.STATUS),
        (206, Reason.STATUS),
        (300, Reason.STATUS),
        (301, Reason.REDIRECT),
        (302, Reason.REDIRECT),
        (303, Reason.REDIRECT),
        (304, Reason.STATUS),
        (307, Reason.REDIRECT),
        (308, Reason.REDIRECT),
        (400, Reason.STATUS),
        (401, Reason.FORBIDDEN),
        (403, Reason.FORBIDDEN),
        (404, Reason.NOT_FOUND),
        (405, Reason.STATUS),
        (406, Reason.FORBIDDEN),
        (407, Reason.STATUS),
        (410, Reason.NOT_FOUND),
        (418, Reason.STATUS),
        (429, Reason.RATE_LIMITED),
        (451, Reason.FORBIDDEN),
        (500, Reason.SERVER_ERROR),
        (503, Reason.SERVER_ERROR),
        (599, Reason.SERVER_ERROR),
        (600, Reason.STATUS),
        (999, Reason.STATUS),
    ],
)
def test_only_200_is_an_answer(status, reason):
    for document in Document:
        expected = reason and (document, Stage.HTTP, reason)

        assert what(status_failure(fetch(document, status=status))) == expected


@pytest.mark.parametrize(
    ("status", "reason"), [(503, Reason.RATE_LIMITED), (500, Reason.SERVER_ERROR)]
)
def test_503_with_retry_after_is_a_rate_limit(status, reason):
    stopped = status_failure(fetch(status=status, headers=(("retry-after", "soon"),)))

    assert what(stopped) == (Document.DISCOVERY, Stage.HTTP, reason)


def test_a_redirect_says_where_it_pointed():
    stopped = status_failure(fetch(status=302, redirect="https://login.example.com"))

    assert stopped is not None
    assert stopped.detail == "it answered 302 and pointed to https://login.example.com"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"fetches": (fetch(failure=failure(), status=None),), "discovery": None},
            (Document.DISCOVERY, Stage.TCP, Reason.REFUSED),
        ),
        (
            {"fetches": (fetch(status=404),), "discovery": NOT_JSON},
            (Document.DISCOVERY, Stage.HTTP, Reason.NOT_FOUND),
        ),
        (
            {"discovery": NOT_JSON, "fetches": BOTH[:1], "key_set": None},
            (Document.DISCOVERY, Stage.DOCUMENT, Reason.HTML),
        ),
        (
            {"fetches": (fetch(), fetch(Document.JWKS, status=500)), "key_set": None},
            (Document.JWKS, Stage.HTTP, Reason.SERVER_ERROR),
        ),
        ({"key_set": NO_KEYS}, (Document.JWKS, Stage.KEYS, Reason.EMPTY)),
        (
            {"key_set": key_set(key(faults=("no kid",)))},
            (Document.JWKS, Stage.KEYS, Reason.NO_USABLE_KEY),
        ),
        ({"duration_seconds": 5.1}, (Document.JWKS, Stage.BUDGET, Reason.EXCEEDED)),
        ({"duration_seconds": 5.0}, None),
    ],
)
def test_a_probe_fails_by_what_stopped_it(changes, expected):
    stopped, _ = verdict(**{"key_set": key_set(), **changes})

    assert what(stopped) == expected


def test_the_first_thing_that_stopped_it_is_the_failure():
    """Everything goes wrong at once; then the first is mended, and the next is the failure."""
    reset = failure(Stage.HTTP, Reason.RESET, Document.JWKS)
    wrong: dict[str, object] = {
        "fetches": (
            fetch(status=403, failure=failure(Stage.BODY, Reason.TRUNCATED)),
            fetch(Document.JWKS, status=404, failure=reset),
        ),
        "discovery": NOT_JSON,
        "key_set": NO_KEYS,
        "duration_seconds": 6.0,
    }
    mends: list[dict[str, object]] = [
        {"fetches": (fetch(failure=failure(Stage.BODY, Reason.TRUNCATED)), *BOTH[1:])},
        {"fetches": (fetch(), fetch(Document.JWKS, status=404, failure=reset))},
        {"discovery": Discovery(issuer="https://other.example", jwks_uri=URL)},
        {"discovery": DISCOVERY},
        {"fetches": (fetch(), fetch(Document.JWKS, failure=reset))},
        {"fetches": BOTH},
        {"key_set": key_set(key(faults=("no kid",)))},
        {"key_set": key_set()},
        {"duration_seconds": 4.9},
    ]
    order = [what(verdict(**wrong)[0])]
    for mend in mends:
        wrong |= mend
        order.append(what(verdict(**wrong)[0]))

    assert [o and o[1:] for o in order] == [
        (Stage.HTTP, Reason.FORBIDDEN),
        (Stage.BODY, Reason.TRUNCATED),
        (Stage.DOCUMENT, Reason.HTML),
        (Stage.DOCUMENT, Reason.ISSUER_MISMATCH),
        (Stage.HTTP, Reason.NOT_FOUND),
        (Stage.HTTP, Reason.RESET),
        (Stage.KEYS, Reason.EMPTY),
        (Stage.KEYS, Reason.NO_USABLE_KEY),
        (Stage.BUDGET, Reason.EXCEEDED),
        None,
    ]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (f"{URL}/", "only the slash at the end differs"),
        ("https://ISSUER.example.com", "only upper and lower case differ"),
        ("http://issuer.example.com", "only http for https differs"),
        (f"{URL}:443", None),
        ("https://evil.example", None),
        (f"{URL}\\u202e", None),
    ],
)
def test_the_issuer_must_be_the_same_to_the_letter(said, hint):
    stopped, _ = verdict(discovery=Discovery(issuer=said, jwks_uri=URL))

    assert what(stopped) == (Document.DISCOVERY, Stage.DOCUMENT, Reason.ISSUER_MISMATCH)
    assert stopped is not None
    words = f'it says "{said}", not "{URL}"'
    assert stopped.detail == (f"{words}: {hint}" if hint else words)


def test_a_slash_in_the_configuration_only_is_a_mismatch_too():
    stopped, _ = verdict(of=issuer(url=f"{URL}/"))

    assert what(stopped) == (Document.DISCOVERY, Stage.DOCUMENT, Reason.ISSUER_MISMATCH)


def test_without_a_usable_key_it_says_why_for_some():
    keys = key_set(*(key(f"k{i}", faults=("use is enc",)) for i in range(9)))
    stopped, _ = verdict(key_set=keys)

    assert stopped is not None
    assert stopped.detail == (
        "none of 9 can be used: k0 (use is enc), k1 (use is enc), k2 (use is enc) and 6 more"
    )


def many(rsa: int, *others: KeyType) -> KeySet:
    keys = [key(str(i), faults=("more than 100 RSA keys",)) for i in range(rsa)]
    return key_set(*keys, *(key(kty.value, kty=kty) for kty in others))


def test_too_many_keys_fail_only_when_no_other_type_is_left():
    stopped, _ = verdict(key_set=many(101))

    assert what(stopped) == (Document.JWKS, Stage.KEYS, Reason.TOO_MANY)
    assert stopped is not None
    assert stopped.detail == "101 RSA keys, where STS takes 100"

    stopped, findings = verdict(key_set=many(101, KeyType.EC))
    assert stopped is None
    assert [finding.code for finding in findings] == [Code.KEYS_NEAR_LIMIT]


def test_a_hundred_unusable_keys_are_not_too_many():
    assert what(verdict(key_set=many(100))[0]) == (
        Document.JWKS,
        Stage.KEYS,
        Reason.NO_USABLE_KEY,
    )


@pytest.mark.parametrize(
    ("first", "document"), [(3.0, Document.JWKS), (5.5, Document.DISCOVERY)]
)
def test_a_spent_budget_names_the_document_that_spent_it(first, document):
    fetches = (
        fetch(duration_seconds=first),
        fetch(Document.JWKS, duration_seconds=6.2 - first),
    )
    stopped, _ = verdict(fetches=fetches, duration_seconds=6.2)

    assert what(stopped) == (document, Stage.BUDGET, Reason.EXCEEDED)
    assert stopped is not None
    assert stopped.detail == (
        f"6.20 s of 5 s: discovery {first:.2f} s, jwks {6.2 - first:.2f} s"
    )


def test_the_budget_is_the_issuer_s():
    assert verdict(of=issuer(budget_seconds=0.25))[0] is not None
    assert verdict(of=issuer(budget_seconds=0.3))[0] is None


def test_a_published_secret_does_not_fail_the_probe():
    """STS would accept the key; it is an emergency all the same."""
    keys = key_set(key(codes=(Code.PRIVATE_KEY_EXPOSED,)))
    stopped, findings = verdict(key_set=keys)

    assert stopped is None
    assert [(f.code, f.level) for f in findings] == [(Code.PRIVATE_KEY_EXPOSED, Level.FAILURE)]


def test_findings_of_both_documents_are_kept_apart_and_in_order():
    headers = (("content-type", "text/plain"), ("cache-control", "no-cache, max-age=0"))
    fetches = (fetch(Document.JWKS, headers=headers), fetch(headers=headers))
    caching = tuple((d, policy(headers, received=NOW)) for d in Document)
    _, findings = verdict(fetches=fetches, caching=caching)

    assert [(f.document, f.code) for f in findings] == [
        (document, code)
        for document in Document
        for code in (Code.NO_CACHE, Code.MAX_AGE_ZERO, Code.CONTENT_TYPE)
    ]


def test_a_failure_does_not_hide_the_findings():
    stopped, findings = verdict(
        fetches=(fetch(url=f"{URL}:8443"),), discovery=NOT_JSON, key_set=None
    )

    assert stopped is NOT_JSON
    assert [f.code for f in findings] == [Code.PORT_IN_URL]


def test_a_probe_that_never_began_is_judged():
    assert verdict(fetches=(), discovery=None, key_set=None, duration_seconds=0.0) == (None, ())


FAILURES = st.sampled_from([None, failure(), failure(Stage.BODY, Reason.RESET, Document.JWKS)])
FETCHES = st.builds(
    fetch,
    st.sampled_from(Document),
    status=st.none() | st.integers(0, 999),
    failure=FAILURES,
    url=st.sampled_from([URL, f"{URL}:8443"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["content-type", "retry-after", "cache-control", "date"]),
            st.text(st.characters(), max_size=20),
        )
    ).map(tuple),
)


@given(
    st.lists(FETCHES, max_size=2, unique_by=lambda f: f.document),
    st.sampled_from([None, DISCOVERY, NOT_JSON, Discovery(issuer="x", jwks_uri=URL)]),
    st.sampled_from([None, key_set(), NO_KEYS, key_set(key(faults=("x",), codes=tuple(Code)))]),
    st.floats(0, 20),
)
def test_any_probe_is_judged_within_the_vocabulary(fetches, discovery, keys, duration):
    caching = tuple((f.document, policy(f.headers, received=NOW)) for f in fetches)
    stopped, findings = verdict(
        fetches=tuple(fetches),
        caching=caching,
        discovery=discovery,
        key_set=keys,
        duration_seconds=duration,
    )
    pairs = [(f.document, f.code) for f in findings]

    assert what(stopped) is None or isinstance(stopped, Failure)
    assert len(set(pairs)) == len(pairs)
    assert all(f.detail.isprintable() and len(f.detail) < 1000 for f in findings)
    assert all(f.level in (LEVELS[f.code], Level.NOTICE) for f in findings)
