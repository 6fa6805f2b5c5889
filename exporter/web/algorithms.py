"""Go's names for the parts of TLS, as web configurations have them, in words of Python's ssl.

What `ssl` cannot do is refused when the file is read: a server that quietly did something
else than its configuration says would be found out by whoever it was to keep out.
"""

from __future__ import annotations

import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter.config.values import HintError, Kind, choice

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = MappingProxyType({"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3})

CLIENT_AUTH = MappingProxyType(
    {
        "NoClientCert": ssl.CERT_NONE,
        "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
        "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
    }
)

#: Always offered where TLS 1.3 is, in Go as in Python: to name them is to name nothing.
TLS13_SUITES = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)

#: Those of TLS 1.2 that Go itself calls secure, by OpenSSL's names.
SUITES = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    }
)

CURVES = MappingProxyType(
    {
        "X25519": "X25519",
        "CurveP256": "prime256v1",
        "CurveP384": "secp384r1",
        "CurveP521": "secp521r1",
    }
)

_TOO_OLD = "TLS 1.0 and 1.1 are not served (RFC 8996)"
_UNVERIFIED = "Python's ssl verifies every certificate that it asks for"
_CALLED_INSECURE = "Go itself counts it among the insecure ones"


def _named(meanings: Mapping[str, object], hints: Mapping[str, str]) -> Kind:
    """One of the words of *meanings*; for some others the *hints* say why they are none."""
    plain = choice(meanings)

    def read(value: object) -> object:
        if isinstance(value, str) and value in hints:
            raise HintError(hints[value])
        return plain.read(value)

    return Kind(wish=plain.wish, read=read, schema=plain.schema)


VERSION = _named(VERSIONS, dict.fromkeys(("TLS10", "TLS11"), _TOO_OLD))

AUTH_TYPE = _named(
    CLIENT_AUTH,
    dict.fromkeys(
        ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"), _UNVERIFIED
    ),
)

CURVE = choice({name: name for name in CURVES})

_SUITE_NAMES = {name: name for name in (*SUITES, *TLS13_SUITES)}
_INSECURE = (
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
)
SUITE = _named(_SUITE_NAMES, dict.fromkeys(_INSECURE, _CALLED_INSECURE))
