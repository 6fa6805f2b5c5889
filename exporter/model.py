"""The nouns: what is configured, what was seen, and what follows from it.

Frozen facts without I/O and without a clock. A fact that was not learnt is None or empty,
never a zero; times are Unix seconds, durations are seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.reasons import (
        CacheHeader,
        Code,
        Directive,
        Document,
        Family,
        KeyType,
        Level,
        Reason,
        Scope,
        Stage,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One entry of the configuration, defaults filled in; equal entries are unchanged ones.

    Attributes:
        url: As configured, to the letter: the discovery document must repeat it.
        name: The value of the `issuer` label.
        labels: Sorted pairs for `oidc_issuer_info`, and for nothing else.
        connect_to: Host and port to dial instead of the URL's; Host and SNI stay.
        nameservers: `address` or `address:port`; empty means the system's.
        rotation_overlap_seconds: How long a new key should stand beside an old one.
    """

    url: str
    name: str
    audiences: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    connect_to: tuple[str, int] | None = None
    interval_seconds: float = 60.0
    interval_failing_seconds: float = 60.0
    budget_seconds: float = 5.0
    timeout_seconds: float = 10.0
    attempts: int = 1
    max_body_bytes: int = 1024 * 1024
    ip_family: Family | None = None
    nameservers: tuple[str, ...] = ()
    ca_file: str | None = None
    proxy_url: str | None = None
    user_agent: str | None = None
    reuse_connection: bool = True
    allow_private_jwks: bool = False
    rotation_overlap_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first thing that stopped a probe, or a fetch.

    Attributes:
        detail: A sentence for the log and the pages; never a label.
    """

    document: Document
    stage: Stage
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A broken promise that did not stop the probe."""

    document: Document
    code: Code
    level: Level
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Where the time of one fetch went, in seconds, in the order it was spent.

    The phases are disjoint and sum to `Fetch.duration_seconds`. One that did not happen
    (a reused connection resolves nothing) or was not reached is None; the one in which a
    fetch failed holds the time until the failure. A request made again, since the kept
    connection was hung up, has its first try's time in `processing`.
    """

    resolve: float | None = None
    connect: float | None = None
    tls: float | None = None
    processing: float | None = None
    transfer: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address that was dialled.

    Attributes:
        failure: Why it gave no connection, in words; empty for the one that answered.
    """

    ip: str
    port: int
    family: Family
    scope: Scope
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What matters of one X.509 certificate.

    Attributes:
        sha1: Lower-case hex of the DER's SHA-1, the form of IAM's thumbprints.
        public_key_sha256: Of the SubjectPublicKeyInfo, to tell a re-issue from a copy.
        has_issuer_url: It says where its issuer's certificate lies (RFC 5280 4.2.2.1).
    """

    subject: str
    issuer: str
    serial: str
    not_before_timestamp_seconds: float
    not_after_timestamp_seconds: float
    names: tuple[str, ...]
    key: str
    signature: str
    is_self_issued: bool
    sha1: str
    sha256: str
    public_key_sha256: str
    has_issuer_url: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a handshake showed, also one that failed.

    Attributes:
        chain: As served, leaf first.
        thumbprint: SHA-1 of the top certificate served, as IAM lists it.
        is_verified: False also when the handshake ended before verification.
        verified_sha256: The path by which it was verified, from the leaf to the trusted root.
        is_public_ca: The chain ends in the system's trust, without the issuer's `ca_file`.
        is_tls13_only: None while nobody has asked for TLS 1.2.
    """

    version: str | None = None
    cipher: str | None = None
    chain: tuple[Certificate, ...] = ()
    thumbprint: str | None = None
    is_verified: bool = False
    verified_sha256: tuple[str, ...] = ()
    is_public_ca: bool | None = None
    is_tls13_only: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One GET of one document: everything seen, whatever stopped it.

    Attributes:
        address: The one that answered, or the last one tried.
        dead_addresses: Those that were tried and gave no connection.
        is_reused: It went over the connection of the fetch before it.
        headers: Lower-case names, values as sent, in order, repeated lines kept.
        redirect: Scheme and host of a 3xx's `Location`, and no more of it.
        size_bytes: Of what was read of the body, after decompression.
        first_byte_seconds: From the start of the fetch to the response's first byte.
        correction_seconds: What the kernel's arrival times took off `duration_seconds`.
        is_corrected: False when some wait ended by the loop's word alone (no kernel time).
        failure: The first thing that stopped this fetch, up to the body's last byte.
    """

    document: Document
    url: str
    started_timestamp_seconds: float
    duration_seconds: float = 0.0
    phases: Phases
    address: Address | None = None
    dead_addresses: tuple[Address, ...] = ()
    is_reused: bool = False
    tls: Tls | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    redirect: str | None = None
    size_bytes: int | None = None
    first_byte_seconds: float | None = None
    correction_seconds: float = 0.0
    is_corrected: bool = True
    failure: Failure | None = None

    def header(self, name: str) -> str | None:
        """The value of header *name* (lower case), repeated lines joined by RFC 9110 5.3."""
        values = self.header_lines(name)
        return ", ".join(values) if values else None

    def header_lines(self, name: str) -> tuple[str, ...]:
        """Every line of header *name* (lower case), in the order they came."""
        return tuple(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDirective:
    """One directive as it was sent; a malformed argument leaves *value* None."""

    header: CacheHeader
    directive: Directive
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """What a response says about caching, by RFC 9111.

    Attributes:
        is_cacheable: False when an unqualified `no-cache` stands in `Cache-Control`, or
            `no-cache` in `Pragma`: STS then does not cache (AWS's article, cause D).
        max_age_seconds: The explicit freshness lifetime (RFC 9111 4.2.1); None when there
            is none.
        age_seconds: The response's `Age`; None when absent or malformed.
        clock_offset_seconds: The response's `Date` minus our clock, less what its `Age` may
            explain; None without a `Date`.
    """

    directives: tuple[CacheDirective, ...] = ()
    is_cacheable: bool = True
    max_age_seconds: float | None = None
    age_seconds: float | None = None
    clock_offset_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A discovery document that names a key set; extra members are dropped.

    Attributes:
        missing: AWS's required fields that are absent or empty, in AWS's order.
        algs: `id_token_signing_alg_values_supported`, bounded.
    """

    issuer: str
    jwks_uri: str
    missing: tuple[str, ...] = ()
    algs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One JWK by STS's rules.

    Attributes:
        kid: Cut to a bounded length, unprintable characters escaped; None when absent or
            empty.
        bits: Modulus or curve size; None when unknown.
        faults: Why STS cannot use it; empty for a usable key.
        is_private: A private or symmetric member stands in it.
    """

    kty: KeyType
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    crv: str | None = None
    bits: int | None = None
    faults: tuple[str, ...] = ()
    codes: tuple[Code, ...] = ()
    is_private: bool = False

    @property
    def is_usable(self) -> bool:
        """STS could verify a token with it."""
        return not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """A key set as published.

    Attributes:
        keys: Those that were judged: of a giant set not all.
        left_out: How many of which type were not.
        ids: An identity per key, in order: what rotation is counted by.
        sha256: Over the set of keys, whatever their order and layout.
    """

    keys: tuple[Key, ...]
    ids: frozenset[str]
    sha256: str
    left_out: tuple[tuple[KeyType, int], ...] = ()

    @property
    def published(self) -> Counter[KeyType]:
        """How many keys of each type stand in it."""
        return Counter(key.kty for key in self.keys) + Counter(dict(self.left_out))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One probe of one issuer: both fetches and the judgement.

    Attributes:
        duration_seconds: First lookup to last byte, the loop's own delay taken off.
        attempt: 1 for the first try of a tick, 2 for its first retry, and so on.
        retry_after_timestamp_seconds: Until when the issuer asked to be left alone.
        caching: What each document that was answered with 200 said about caching.
    """

    issuer: Issuer
    started_timestamp_seconds: float
    ended_timestamp_seconds: float
    duration_seconds: float
    attempt: int = 1
    fetches: tuple[Fetch, ...] = ()
    caching: tuple[tuple[Document, CachePolicy], ...] = ()
    discovery: Discovery | None = None
    key_set: KeySet | None = None
    failure: Failure | None = None
    findings: tuple[Finding, ...] = ()
    retry_after_timestamp_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        """STS, asked now, would have got a usable key in time."""
        return self.failure is None

    def fetch(self, document: Document) -> Fetch | None:
        """The fetch of *document*, if the probe came that far."""
        return next((f for f in self.fetches if f.document is document), None)
