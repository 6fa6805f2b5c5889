"""Builders of facts: each fills in a healthy issuer, a test says what differs."""

from __future__ import annotations

from typing import Any

from exporter.model import (
    Address,
    Certificate,
    Discovery,
    Failure,
    Fetch,
    Finding,
    Issuer,
    Key,
    KeySet,
    Phases,
    Report,
    Tls,
)
from exporter.reasons import LEVELS, Code, Document, Family, KeyType, Reason, Scope, Stage

URL = "https://issuer.example.com"
NOW = 1_790_000_000.0


def issuer(**changes: Any) -> Issuer:
    return Issuer(**{"url": URL, "name": "acme", **changes})


def certificate(**changes: Any) -> Certificate:
    return Certificate(
        **{
            "subject": "CN=issuer.example.com",
            "issuer": "CN=Example Intermediate",
            "serial": "01",
            "not_before_timestamp_seconds": NOW - 86_400,
            "not_after_timestamp_seconds": NOW + 90 * 86_400,
            "names": ("issuer.example.com",),
            "key": "EC 256",
            "signature": "ecdsa-with-SHA256",
            "is_self_issued": False,
            "sha1": "a" * 40,
            "sha256": "b" * 64,
            "public_key_sha256": "c" * 64,
            **changes,
        }
    )


def tls(**changes: Any) -> Tls:
    chain = changes.pop("chain", (certificate(),))
    return Tls(
        **{
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "chain": chain,
            "thumbprint": chain[-1].sha1 if chain else None,
            "is_verified": True,
            "is_public_ca": True,
            **changes,
        }
    )


def fetch(document: Document = Document.DISCOVERY, **changes: Any) -> Fetch:
    return Fetch(
        **{
            "document": document,
            "url": f"{URL}/{document}",
            "started_timestamp_seconds": NOW,
            "duration_seconds": 0.15,
            "phases": Phases(
                resolve=0.01, connect=0.02, tls=0.04, processing=0.05, transfer=0.03
            ),
            "address": Address(
                ip="93.184.215.14", port=443, family=Family.IPV4, scope=Scope.GLOBAL
            ),
            "tls": tls(),
            "status": 200,
            "headers": (("content-type", "application/json"),),
            "size_bytes": 2,
            "first_byte_seconds": 0.12,
            **changes,
        }
    )


def key(kid: str | None = "k1", **changes: Any) -> Key:
    return Key(
        **{
            "kty": KeyType.RSA,
            "kid": kid,
            "alg": "RS256",
            "use": "sig",
            "bits": 2048,
            **changes,
        }
    )


def key_set(*keys: Key, **changes: Any) -> KeySet:
    keys = keys or (key(),)
    return KeySet(
        **{
            "keys": keys,
            "ids": frozenset(str(k.kid) for k in keys),
            "sha256": "d" * 64,
            **changes,
        }
    )


def failure(
    stage: Stage = Stage.TCP,
    reason: Reason = Reason.REFUSED,
    document: Document = Document.DISCOVERY,
    detail: str = "connection refused",
) -> Failure:
    return Failure(document=document, stage=stage, reason=reason, detail=detail)


def finding(code: Code, document: Document = Document.JWKS, detail: str = "") -> Finding:
    return Finding(document=document, code=code, level=LEVELS[code], detail=detail)


def report(**changes: Any) -> Report:
    return Report(
        **{
            "issuer": issuer(),
            "started_timestamp_seconds": NOW,
            "ended_timestamp_seconds": NOW + 0.3,
            "duration_seconds": 0.3,
            "fetches": (fetch(), fetch(Document.JWKS)),
            "discovery": Discovery(issuer=URL, jwks_uri=f"{URL}/jwks"),
            "key_set": key_set(),
            **changes,
        }
    )
