"""The closed vocabularies: the only place where a label value may be born.

Every member's value is a label value and therefore public contract. What an error *says*
goes to the log and the pages; what it *is* stands here.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Document(StrEnum):
    """The two documents that STS fetches, in the order it fetches them."""

    DISCOVERY = "discovery"
    JWKS = "jwks"


class Phase(StrEnum):
    """Where the time of one fetch goes, in the order it is spent (blackbox's words)."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    PROCESSING = "processing"
    TRANSFER = "transfer"


class Stage(StrEnum):
    """How far a probe came, in the order it goes."""

    CONFIG = "config"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    BODY = "body"
    DOCUMENT = "document"
    KEYS = "keys"
    BUDGET = "budget"
    INTERNAL = "internal"


class Reason(StrEnum):
    """What stopped a probe at its stage; one word may serve several stages."""

    NOT_HTTPS = "not_https"
    BAD_URL = "bad_url"
    REFUSED_TARGET = "refused_target"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    BAD_NAME = "bad_name"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    HOSTNAME_MISMATCH = "hostname_mismatch"
    SELF_SIGNED = "self_signed"
    UNKNOWN_CA = "unknown_ca"
    INCOMPLETE_CHAIN = "incomplete_chain"
    PURPOSE = "purpose"
    WEAK_KEY = "weak_key"
    REVOKED = "revoked"
    PROTOCOL_VERSION = "protocol_version"
    HANDSHAKE_FAILURE = "handshake_failure"
    CLIENT_CERT_REQUIRED = "client_cert_required"
    NOT_TLS = "not_tls"
    CLOSED = "closed"
    EMPTY_REPLY = "empty_reply"
    MALFORMED_RESPONSE = "malformed_response"
    HEADERS_TOO_LARGE = "headers_too_large"
    HTTP2_ONLY = "http2_only"
    REDIRECT = "redirect"
    RATE_LIMITED = "rate_limited"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"
    STATUS = "status"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    DECOMPRESS = "decompress"
    CONTENT_ENCODING = "content_encoding"
    EMPTY = "empty"
    HTML = "html"
    INVALID_JSON = "invalid_json"
    ENCODING = "encoding"
    NOT_OBJECT = "not_object"
    ISSUER_MISSING = "issuer_missing"
    ISSUER_MISMATCH = "issuer_mismatch"
    JWKS_URI_MISSING = "jwks_uri_missing"
    JWKS_URI_INVALID = "jwks_uri_invalid"
    JWKS_URI_INSECURE = "jwks_uri_insecure"
    MISSING_KEYS = "missing_keys"
    NO_USABLE_KEY = "no_usable_key"
    TOO_MANY = "too_many"
    EXCEEDED = "exceeded"
    ERROR = "error"


_DOCUMENT_FORM = (Reason.HTML, Reason.INVALID_JSON, Reason.ENCODING, Reason.NOT_OBJECT)

#: Which reasons belong to which stage; the pairs are closed as well.
REASONS: Mapping[Stage, tuple[Reason, ...]] = MappingProxyType(
    {
        Stage.CONFIG: (Reason.NOT_HTTPS, Reason.BAD_URL, Reason.REFUSED_TARGET),
        Stage.DNS: (
            Reason.NXDOMAIN,
            Reason.NODATA,
            Reason.SERVFAIL,
            Reason.REFUSED,
            Reason.TIMEOUT,
            Reason.BAD_NAME,
        ),
        Stage.TCP: (Reason.REFUSED, Reason.UNREACHABLE, Reason.TIMEOUT, Reason.RESET),
        Stage.TLS: (
            Reason.EXPIRED,
            Reason.NOT_YET_VALID,
            Reason.HOSTNAME_MISMATCH,
            Reason.SELF_SIGNED,
            Reason.UNKNOWN_CA,
            Reason.INCOMPLETE_CHAIN,
            Reason.PURPOSE,
            Reason.WEAK_KEY,
            Reason.REVOKED,
            Reason.PROTOCOL_VERSION,
            Reason.HANDSHAKE_FAILURE,
            Reason.CLIENT_CERT_REQUIRED,
            Reason.NOT_TLS,
            Reason.CLOSED,
            Reason.RESET,
            Reason.TIMEOUT,
        ),
        Stage.HTTP: (
            Reason.TIMEOUT,
            Reason.EMPTY_REPLY,
            Reason.RESET,
            Reason.MALFORMED_RESPONSE,
            Reason.HEADERS_TOO_LARGE,
            Reason.HTTP2_ONLY,
            Reason.REDIRECT,
            Reason.RATE_LIMITED,
            Reason.FORBIDDEN,
            Reason.NOT_FOUND,
            Reason.SERVER_ERROR,
            Reason.STATUS,
        ),
        Stage.BODY: (
            Reason.TIMEOUT,
            Reason.TRUNCATED,
            Reason.RESET,
            Reason.MALFORMED,
            Reason.TOO_LARGE,
            Reason.DECOMPRESS,
            Reason.CONTENT_ENCODING,
            Reason.EMPTY,
        ),
        Stage.DOCUMENT: (
            *_DOCUMENT_FORM,
            Reason.ISSUER_MISSING,
            Reason.ISSUER_MISMATCH,
            Reason.JWKS_URI_MISSING,
            Reason.JWKS_URI_INVALID,
            Reason.JWKS_URI_INSECURE,
        ),
        Stage.KEYS: (
            *_DOCUMENT_FORM,
            Reason.MISSING_KEYS,
            Reason.EMPTY,
            Reason.MALFORMED,
            Reason.NO_USABLE_KEY,
            Reason.TOO_MANY,
        ),
        Stage.BUDGET: (Reason.EXCEEDED,),
        Stage.INTERNAL: (Reason.ERROR,),
    }
)


class Level(StrEnum):
    """How bad a finding is: STS dies of it, may die of it, or bears it."""

    FAILURE = "failure"
    WARNING = "warning"
    NOTICE = "notice"


class Code(StrEnum):
    """A broken promise that STS tolerates, or of which nobody knows."""

    NO_CACHE = "no_cache"
    PRAGMA_NO_CACHE = "pragma_no_cache"
    NO_CACHE_FIELD = "no_cache_field"
    NO_STORE = "no_store"
    MAX_AGE_ZERO = "max_age_zero"
    EXPIRED = "expired"
    CACHE_SHORT = "cache_short"
    PRIVATE_ADDRESS = "private_address"
    IP_FAMILY_PARTIAL = "ip_family_partial"
    PORT_IN_URL = "port_in_url"
    TLS13_ONLY = "tls13_only"
    CHAIN_ORDER = "chain_order"
    CHAIN_EXTRA = "chain_extra"
    PRIVATE_CA = "private_ca"
    CONTENT_TYPE = "content_type"
    UNKNOWN_ENCODING = "unknown_encoding"
    REQUIRED_FIELD_MISSING = "required_field_missing"
    UNSUPPORTED_ALG = "unsupported_alg"
    MISSING_KID = "missing_kid"
    DUPLICATE_KID = "duplicate_kid"
    KEY_OPS = "key_ops"
    ENCRYPTION_USE = "encryption_use"
    X5C_CONFLICT = "x5c_conflict"
    WEAK_KEY = "weak_key"
    MALFORMED_KEY = "malformed_key"
    UNSUPPORTED_KEY = "unsupported_key"
    PRIVATE_KEY_EXPOSED = "private_key_exposed"
    KEYS_NEAR_LIMIT = "keys_near_limit"
    CLOCK_SKEW = "clock_skew"
    RETRY_AFTER = "retry_after"


_NOTICES = frozenset(
    {
        Code.NO_CACHE_FIELD,
        Code.MAX_AGE_ZERO,
        Code.EXPIRED,
        Code.CACHE_SHORT,
        Code.CONTENT_TYPE,
        Code.ENCRYPTION_USE,
        Code.UNSUPPORTED_KEY,
        Code.RETRY_AFTER,
    }
)

#: One level a code. A private key in a public key set is the only emergency among them:
#: STS would still accept it, and so would it accept whatever a thief signs.
LEVELS: Mapping[Code, Level] = MappingProxyType(
    {
        code: Level.FAILURE
        if code is Code.PRIVATE_KEY_EXPOSED
        else Level.NOTICE
        if code in _NOTICES
        else Level.WARNING
        for code in Code
    }
)


class Directive(StrEnum):
    """What a response may say about caching, spelled as its label value."""

    NO_CACHE = "no_cache"
    NO_CACHE_FIELD = "no_cache_field"
    NO_STORE = "no_store"
    NO_TRANSFORM = "no_transform"
    MAX_AGE = "max_age"
    S_MAXAGE = "s_maxage"
    MUST_REVALIDATE = "must_revalidate"
    PROXY_REVALIDATE = "proxy_revalidate"
    MUST_UNDERSTAND = "must_understand"
    PRIVATE = "private"
    PUBLIC = "public"
    IMMUTABLE = "immutable"
    STALE_WHILE_REVALIDATE = "stale_while_revalidate"
    STALE_IF_ERROR = "stale_if_error"
    OTHER = "other"


class CacheHeader(StrEnum):
    """The header in which a directive stood."""

    CACHE_CONTROL = "cache_control"
    PRAGMA = "pragma"


class Family(StrEnum):
    """An address family."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Scope(StrEnum):
    """What kind of address was dialled."""

    GLOBAL = "global"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    OTHER = "other"


class KeyType(StrEnum):
    """A JWK's `kty` (RFC 7518 section 6.1, RFC 8037); anything else is `other`."""

    RSA = "RSA"
    EC = "EC"
    OKP = "OKP"
    OCT = "oct"
    OTHER = "other"


class KeyAlg(StrEnum):
    """A JWK's `alg` (RFC 7518 sections 3.1 and 4.1, RFC 8037); anything else is `other`."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    EDDSA = "EdDSA"
    RSA_OAEP = "RSA-OAEP"
    RSA_OAEP_256 = "RSA-OAEP-256"
    OTHER = "other"


class KeyUse(StrEnum):
    """A JWK's `use` (RFC 7517 section 4.2); anything else is `other`."""

    SIG = "sig"
    ENC = "enc"
    OTHER = "other"


class Position(StrEnum):
    """Whose dates a certificate metric carries: the leaf's, or the narrowest of the rest."""

    LEAF = "leaf"
    CHAIN = "chain"


class SkipCause(StrEnum):
    """Why a tick of the schedule started no probe."""

    OVERRUN = "overrun"
    RETRY_AFTER = "retry_after"


class Answer(StrEnum):
    """What became of somebody's wish for a probe at once."""

    PROBED = "probed"
    TIMEOUT = "timeout"
    RETRY_AFTER = "retry_after"
    BUSY = "busy"


class Cause(StrEnum):
    """The causes that AWS's article on the error names (A-D), and those it leaves out."""

    UNREACHABLE = "A"
    FIREWALL = "B"
    LATENCY = "C"
    TOO_MANY_REQUESTS = "D"
    KEY_SET_ADDRESS = "E"
    TRUST = "F"
    KEYS = "G"
    US = "H"
