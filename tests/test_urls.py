"""Which addresses could be an issuer's, and which could be a key set's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from exporter.reasons import Reason
from exporter.urls import issuer_fault, jwks_fault, unusual_port

GOOD = [
    "https://issuer.example.com",
    "https://issuer.example.com/",
    "https://issuer.example.com/a/b",
    "https://issuer.example.com/MixedCase/%7Euser",
    "https://ISSUER.example.com",
    "https://issuer.example.com:443",
    "https://issuer.example.com:8443/x",
    "https://issuer.example.com:8080/%0A%ff",
    "https://issuer.example.com:/x",
    "https://issuer.example.com:1",
    "https://issuer.example.com:65535",
    "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
    "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_4OqDoWVrZ",
    "https://xn--mnchen-3ya.example",
    "https://my_host.example.com",
    "https://192.0.2.1/x",
    "https://[2001:db8::1]:8443/x",
]
BAD_FORM = [
    "https://",
    "https:///path",
    "https://:443/",
    "https://?",
    "https://user@issuer.example.com",
    "https://user:secret@issuer.example.com",
    "https://@issuer.example.com",
    "https://issuer.example.com:0",
    "https://issuer.example.com:65536",
    "https://issuer.example.com:https",
    "https://issuer.example.com:-1",
    "https://[2001:db8::1",
    "https://[zz]/",
    "https://[v1.x]/",
    "https://[192.0.2.1]/",
    "https://[issuer.example.com]/",
    "https://[fe80::1%25eth0]/",
    "https://[::1]x/",
    "https://%69ssuer.example.com",
    "https://iss!uer.example.com",
    "https://issuer.example.com/a b",
    " https://issuer.example.com",
    "https://issuer.example.com/\n",
    "https://issuer.example.com\\evil.example",
    "https://issuer.example.com/{tenantid}",
    "https://issuer.example.com/%zz",
    "https://issuer.example.com/%",
    "https://münchen.example",
    "https://issuer.example.com/\ud800",
    "https://issuer.example.com/<script>",
]
NOT_HTTPS = ["", "http://issuer.example.com", "issuer.example.com", "ftp://issuer.example.com"]


@pytest.mark.parametrize("url", GOOD)
def test_a_good_url_is_good_for_both(url):
    assert (issuer_fault(url), jwks_fault(url)) == (None, None)


@pytest.mark.parametrize("url", [url for url in BAD_FORM if url.startswith("https:")])
def test_a_bad_form_is_bad_for_both(url):
    assert [fault and fault[0] for fault in (issuer_fault(url), jwks_fault(url))] == [
        Reason.BAD_URL,
        Reason.JWKS_URI_INVALID,
    ]


@pytest.mark.parametrize("url", [*NOT_HTTPS, " https://issuer.example.com", "https:issuer"])
def test_an_issuer_begins_with_https(url):
    assert issuer_fault(url) == (Reason.NOT_HTTPS, "an issuer's URL must begin with https://")


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example.com?",
        "https://issuer.example.com?a=b",
        "https://issuer.example.com/#",
        "https://issuer.example.com/#frag",
        "HTTPS://issuer.example.com",
        "https://issuer.example.com/" + "a" * 229,
    ],
)
def test_what_iam_refuses_is_no_issuer(url):
    """A query, a fragment and more than 255 characters are refused when it is registered."""
    fault = issuer_fault(url)

    assert fault is not None
    assert fault[0] is Reason.BAD_URL
    assert issuer_fault("https://issuer.example.com/" + "a" * 228) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example.com/keys?version=2",
        "https://issuer.example.com/keys#2",  # no client sends it
        "HTTPS://issuer.example.com/keys",
        "https://issuer.example.com/" + "a" * 2021,
    ],
)
def test_a_key_set_may_live_where_an_issuer_may_not(url):
    assert jwks_fault(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://issuer.example.com/keys", Reason.JWKS_URI_INSECURE),
        ("HTTP://issuer.example.com/keys", Reason.JWKS_URI_INSECURE),
        ("/keys", Reason.JWKS_URI_INVALID),
        ("//issuer.example.com/keys", Reason.JWKS_URI_INVALID),
        ("issuer.example.com/keys", Reason.JWKS_URI_INVALID),
        ("https:/issuer.example.com/keys", Reason.JWKS_URI_INVALID),
        ("file:///etc/passwd", Reason.JWKS_URI_INVALID),
        ("data:application/json,{}", Reason.JWKS_URI_INVALID),
        (" https://issuer.example.com/keys", Reason.JWKS_URI_INVALID),
        ("https://issuer.example.com/" + "a" * 2022, Reason.JWKS_URI_INVALID),
    ],
)
def test_a_key_set_is_named_by_an_absolute_https_url(url, reason):
    fault = jwks_fault(url)

    assert fault is not None
    assert fault[0] is reason


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://issuer.example.com", None),
        ("https://issuer.example.com:443/x", None),
        ("https://issuer.example.com:/x", None),
        ("https://issuer.example.com:8443/x", 8443),
        ("nonsense", None),
    ],
)
def test_only_another_port_than_443_is_unusual(url, port):
    assert unusual_port(url) == port


@given(st.text(st.characters(), max_size=40).map("https://".__add__))
def test_what_passes_means_the_same_to_another_reader(url):
    """A URL that two readers split differently is how a check is led astray."""
    if jwks_fault(url) is None:
        assert URL(url).host
        assert (URL(url).user, URL(url).scheme) == (None, "https")
        assert (URL(url).raw_host or "").lower() in url.lower()
