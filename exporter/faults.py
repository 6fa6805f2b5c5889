"""What the network throws, translated once into the exporter's own words.

The steps of a probe raise `Stopped` and nothing else; the library's exceptions end here.
The tables are data, so that a test can check that no row hides another.
"""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

from exporter.chain import needed
from exporter.reasons import Document, Reason, Stage
from exporter.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.model import Address, Certificate

from exporter.model import Failure


class Stopped(Exception):  # noqa: N818 - not an error of ours: a fact on its way up
    """A probe cannot go on: where it was, and why.

    Attributes:
        tried: The addresses that gave no connection, when that is what stopped it.
    """

    def __init__(
        self, stage: Stage, reason: Reason, detail: str, *, tried: tuple[Address, ...] = ()
    ) -> None:
        super().__init__(stage, reason, detail)
        self.stage = stage
        self.reason = reason
        self.detail = detail
        self.tried = tried

    def failure(self, document: Document) -> Failure:
        """The same as a fact about *document*."""
        return Failure(
            document=document, stage=self.stage, reason=self.reason, detail=self.detail
        )


# A socket error's number. Where the stage lacks the reason, a peer that ended it has
# reset it, and one that was never reached is unreachable.
ERRNOS: Mapping[int, Reason] = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
}

# What this host or process has run out of: never the far end's fault.
OUR_WANTS: Mapping[int, str] = {
    errno.EMFILE: "out of file descriptors: raise the limit",
    errno.ENFILE: "this machine is out of file descriptors: raise the limit",
    errno.ENOBUFS: "this machine is out of network buffers",
    errno.ENOMEM: "this machine is out of memory",
}


def from_os(error: OSError, stage: Stage, where: str) -> Stopped:
    """Name a socket's *error* at *stage*; *where* is the address, for the detail.

    Our own deadline and the kernel's shorter patience (ETIMEDOUT) are both `TimeoutError`.
    What we lack ourselves is `internal/error` at every stage.
    """
    if isinstance(error, TimeoutError):
        return Stopped(stage, Reason.TIMEOUT, f"{where}: no answer in time")
    code = error.errno or 0
    if code in OUR_WANTS:
        return Stopped(Stage.INTERNAL, Reason.ERROR, OUR_WANTS[code])
    reason = ERRNOS.get(code, Reason.UNREACHABLE)
    if stage is not Stage.TCP:
        reason = Reason.RESET
    return Stopped(stage, reason, f"{where}: {error.strerror or type(error).__name__}")


# X509_V_ERR_* of OpenSSL, as `SSLCertVerificationError.verify_code` carries them.
VERIFY_CODES: Mapping[int, Reason] = {
    9: Reason.NOT_YET_VALID,
    10: Reason.EXPIRED,
    18: Reason.SELF_SIGNED,
    19: Reason.UNKNOWN_CA,
    20: Reason.UNKNOWN_CA,
    21: Reason.UNKNOWN_CA,
    23: Reason.REVOKED,
    26: Reason.PURPOSE,
    62: Reason.HOSTNAME_MISMATCH,
    64: Reason.HOSTNAME_MISMATCH,
    66: Reason.WEAK_KEY,
    67: Reason.WEAK_KEY,
    68: Reason.WEAK_KEY,
}

# Parts of OpenSSL's reason names. First match wins, so the particular stands first:
# every alert's name contains ALERT, and most end in a word that others share.
TLS_REASONS: tuple[tuple[str, Stage, Reason], ...] = (
    ("CERTIFICATE_REQUIRED", Stage.TLS, Reason.CLIENT_CERT_REQUIRED),
    ("NO_APPLICATION_PROTOCOL", Stage.HTTP, Reason.HTTP2_ONLY),
    ("PROTOCOL_VERSION", Stage.TLS, Reason.PROTOCOL_VERSION),
    ("UNSUPPORTED_PROTOCOL", Stage.TLS, Reason.PROTOCOL_VERSION),
    ("WRONG_SSL_VERSION", Stage.TLS, Reason.PROTOCOL_VERSION),
    ("TOO_SMALL", Stage.TLS, Reason.WEAK_KEY),
    ("TOO_WEAK", Stage.TLS, Reason.WEAK_KEY),
    ("HTTP_REQUEST", Stage.TLS, Reason.NOT_TLS),
    ("WRONG_VERSION_NUMBER", Stage.TLS, Reason.NOT_TLS),
)


def from_tls(error: ssl.SSLError, chain: tuple[Certificate, ...], *, now: float) -> Stopped:
    """Name a TLS *error* of *now* (Unix time).

    The served *chain* tells a gap in it from an unknown CA, and which certificate has expired.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = VERIFY_CODES.get(error.verify_code, Reason.HANDSHAKE_FAILURE)
        if reason is Reason.UNKNOWN_CA and is_incomplete(chain):
            reason = Reason.INCOMPLETE_CHAIN
        whose = _expired(chain, now) if reason is Reason.EXPIRED else ""
        return Stopped(Stage.TLS, reason, f"certificate: {error.verify_message}{whose}")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Stopped(Stage.TLS, Reason.CLOSED, "the peer closed during the handshake")
    name = error.reason or ""
    words = name.lower().replace("_", " ") or str(error)
    for part, stage, reason in TLS_REASONS:
        if part in name:
            return Stopped(stage, reason, words)
    return Stopped(Stage.TLS, Reason.HANDSHAKE_FAILURE, words)


def _expired(chain: Sequence[Certificate], now: float) -> str:
    """Which one: OpenSSL does not say. None of those served when it was a trusted root."""
    for one in (*chain[:1], *needed(chain)):
        if one.not_after_timestamp_seconds < now:
            return f": {clean(one.subject, 120) or 'one without a subject'}"
    return ""


def is_incomplete(chain: tuple[Certificate, ...]) -> bool:
    """The served *chain* lacks the leaf's issuer, which could be fetched but was not sent.

    OpenSSL says "unable to get local issuer certificate" both for an unknown CA and for a
    missing intermediate. A leaf beside which its issuer does not stand, and that says where
    that one's certificate lies (`caIssuers`, RFC 5280 4.2.2.1; every public CA writes it),
    lacks an intermediate; what else was sent, the root or a predecessor, does not help.
    """
    others = {one.subject for one in chain[1:]}
    return any(
        leaf.has_issuer_url and not leaf.is_self_issued and leaf.issuer not in others
        for leaf in chain[:1]
    )


_NOBODY_THERE = "ARES_ECONNREFUSED"
DNS_REASONS: Mapping[str, Reason] = {
    "ARES_ENOTFOUND": Reason.NXDOMAIN,
    "ARES_ENODATA": Reason.NODATA,
    "ARES_EREFUSED": Reason.REFUSED,
    # No name server listens: the resolver refused, one layer further down.
    _NOBODY_THERE: Reason.REFUSED,
    "ARES_ETIMEOUT": Reason.TIMEOUT,
    "ARES_EBADNAME": Reason.BAD_NAME,
}


def from_dns(code: str, host: str, detail: str) -> Stopped:
    """Name c-ares's error *code*; whatever is not the name's own fault is `servfail`."""
    if code == _NOBODY_THERE:
        detail = "nobody answers at the name server's address"
    return Stopped(Stage.DNS, DNS_REASONS.get(code, Reason.SERVFAIL), f"{host}: {detail}")
