"""Whole reports of well-known kinds, for whoever shows one."""

from __future__ import annotations

from exporter.model import (
    Address,
    CacheDirective,
    CachePolicy,
    Phases,
    Report,
)
from exporter.reasons import (
    CacheHeader,
    Code,
    Directive,
    Document,
    Family,
    Reason,
    Scope,
    Stage,
)
from tests.builders import NOW, certificate, failure, fetch, finding, key, key_set, report, tls

NO_CACHE = CachePolicy(
    directives=(
        CacheDirective(header=CacheHeader.CACHE_CONTROL, directive=Directive.NO_CACHE),
    ),
    is_cacheable=False,
)
CACHED = CachePolicy(
    directives=(
        CacheDirective(
            header=CacheHeader.CACHE_CONTROL, directive=Directive.MAX_AGE, value="300"
        ),
    ),
    max_age_seconds=300,
    age_seconds=12,
)


def good() -> Report:
    """Everything as it should be, over one connection."""
    chain = (
        certificate(),
        certificate(
            subject="CN=Example Intermediate",
            issuer="CN=Example Root",
            sha256="e" * 64,
            not_after_timestamp_seconds=NOW + 80 * 86_400,
        ),
    )
    return report(
        duration_seconds=0.23,
        fetches=(
            fetch(tls=tls(chain=chain)),
            fetch(
                Document.JWKS,
                duration_seconds=0.08,
                is_reused=True,
                phases=Phases(processing=0.07, transfer=0.01),
                headers=(
                    ("content-type", "application/jwk-set+json"),
                    ("cache-control", "public, max-age=300"),
                    ("age", "12"),
                ),
            ),
        ),
        caching=((Document.DISCOVERY, CachePolicy()), (Document.JWKS, CACHED)),
        key_set=key_set(key("2026-09"), key("2026-08", bits=4096)),
    )


def slow() -> Report:
    """3 s and 3 s again, from a key set that forbids caching, beside a dead address."""
    dead = Address(
        ip="2001:db8::1",
        port=443,
        family=Family.IPV6,
        scope=Scope.GLOBAL,
        failure="network unreachable",
    )
    return report(
        duration_seconds=6.3,
        fetches=(
            fetch(
                duration_seconds=3.15,
                dead_addresses=(dead,),
                phases=Phases(
                    resolve=0.01, connect=0.02, tls=0.04, processing=3.05, transfer=0.03
                ),
            ),
            fetch(
                Document.JWKS,
                duration_seconds=3.15,
                is_reused=True,
                phases=Phases(processing=3.1, transfer=0.05),
                headers=(("cache-control", "no-cache"),),
            ),
        ),
        caching=((Document.DISCOVERY, CachePolicy()), (Document.JWKS, NO_CACHE)),
        key_set=key_set(
            key("signing"),
            key("encryption", alg="RSA-OAEP", use="enc", faults=("use is enc",)),
        ),
        failure=failure(
            Stage.BUDGET,
            Reason.EXCEEDED,
            Document.JWKS,
            "6.30 s of 5 s: discovery 3.15 s, jwks 3.15 s",
        ),
        findings=(
            finding(Code.IP_FAMILY_PARTIAL, Document.DISCOVERY, "no connection to 2001:db8::1"),
            finding(Code.NO_CACHE, detail="Cache-Control says no-cache"),
            finding(Code.ENCRYPTION_USE, detail="1 of 2 keys for encryption only: encryption"),
        ),
    )


def expired() -> Report:
    """A certificate past its last day: the handshake was its end."""
    stopped = failure(
        Stage.TLS, Reason.EXPIRED, detail="certificate verify failed: certificate has expired"
    )
    leaf = certificate(not_after_timestamp_seconds=NOW - 3 * 86_400)
    return report(
        duration_seconds=0.07,
        fetches=(
            fetch(
                duration_seconds=0.07,
                phases=Phases(resolve=0.01, connect=0.02, tls=0.04),
                tls=tls(chain=(leaf,), is_verified=False, is_public_ca=None),
                status=None,
                headers=(),
                size_bytes=None,
                first_byte_seconds=None,
                failure=stopped,
            ),
        ),
        discovery=None,
        key_set=None,
        failure=stopped,
    )
