"""Certificates: whom a probe trusts, and what a handshake showed."""

from __future__ import annotations

import _ssl
import base64
import hashlib
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID

from exporter.model import Certificate, Tls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A few names are enough to see whose certificate it is; CDN leaves carry hundreds.
_MAX_NAMES = 100
# Longer certificates are read anew each time, so that no peer fills the memory with them:
# OpenSSL takes chains of 100 kB, and an honest certificate has one or two.
_MAX_REMEMBERED_BYTES = 4096

# A certificate is remote input, and OpenSSL, whose verdict counts, takes many that
# `cryptography` does not: another version, an extension twice, a curve that nobody uses.
_UNREADABLE = (
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
)


_logger = structlog.get_logger()

#: What reading a `ca_file` may raise; `ssl`'s errors are OSErrors.
UNREADABLE = (OSError, *_UNREADABLE)


@dataclass(frozen=True, slots=True)
class Trust:
    """One set of trust settings, shared by every probe that has it.

    A context with the system's bundle takes 20 ms of CPU to make, so it is made once.

    Attributes:
        context: What a handshake is made with.
        private_roots: SHA-256 of the certificates of the issuer's own `ca_file` that the
            system does not trust as well.
    """

    context: ssl.SSLContext
    private_roots: frozenset[str] = field(default_factory=frozenset)


def trust(ca_file: str | None) -> Trust:
    """Trust the system's authorities, and those in *ca_file* beside them.

    A certificate revocation list in *ca_file* is obeyed for the leaf: Python shows no
    stapled answer, so that is the only way to see a revocation. OpenSSL then refuses the
    leaves of authorities without a list; docs/configuration.md tells the operator.

    Raises:
        One of `UNREADABLE`: *ca_file* cannot be read, or holds no certificate.
    """
    roots: frozenset[str] = frozenset()
    if ca_file is not None:
        pem = Path(ca_file).read_bytes()
        roots = frozenset(
            hashlib.sha256(c.public_bytes(Encoding.DER)).hexdigest()
            for c in x509.load_pem_x509_certificates(pem)
        )
        roots -= _system().sha256
    return Trust(_context(ca_file), roots)


@dataclass(frozen=True, slots=True)
class _System:
    """The authorities that this machine trusts.

    Attributes:
        certificates: Each once, as DER. One of them may be broken.
        sha256: Of each of them: many a `ca_file` holds them as well.
    """

    certificates: tuple[bytes, ...]
    sha256: frozenset[str]


def _system() -> _System:
    """What OpenSSL was built to trust, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name."""
    paths = ssl.get_default_verify_paths()
    folders = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    return _system_in(paths.cafile, tuple(filter(None, folders.split(os.pathsep))))


_PEM = re.compile(
    b"-----BEGIN (?:X509 )?CERTIFICATE-----(.+?)-----END (?:X509 )?CERTIFICATE-----", re.DOTALL
)


@lru_cache(maxsize=1)
def _system_in(bundle: str | None, folders: tuple[str, ...]) -> _System:
    # Only unpacked, which for all of Debian's takes a hundredth of a second.
    files = [Path(bundle)] if bundle else []
    for folder in folders:
        files += Path(folder).glob("[0-9a-f]*.[0-9]")
    # Debian's folder repeats its bundle, a file for each authority.
    found: dict[str, bytes] = {}
    for file in files:
        with suppress(OSError):
            for block in _PEM.findall(file.read_bytes()):
                with suppress(ValueError):
                    der = base64.b64decode(block)
                    found[hashlib.sha256(der).hexdigest()] = der
    if not found:
        _logger.warning("authorities.none", bundle=bundle, folders=folders)
    return _System(tuple(found.values()), frozenset(found))


def _context(ca_file: str | None) -> ssl.SSLContext:
    # Not create_default_context: from Python 3.13 on it refuses chains that merely leave out
    # an extension, as private CAs do; and OpenSSL would list the system's folder, on the loop,
    # for every intermediate that a server sends.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for der in _system().certificates:
        # One by one: OpenSSL takes none of those that stand in a file with a broken one.
        with suppress(ssl.SSLError):
            context.load_verify_locations(cadata=der)
    context.set_alpn_protocols(["http/1.1"])
    # One verdict on every machine: Debian's Python 3.11 would go down to TLS 1.0.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
        if context.cert_store_stats()["crl"]:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def seen(
    tls: ssl.SSLObject,
    *,
    is_verified: bool,
    private_roots: frozenset[str],
    is_tls13_only: bool | None,
) -> Tls:
    """What the handshake of *tls* showed, also when it failed half-way."""
    served = tuple(_chain(tls, "get_unverified_chain"))
    version = tls.version() if is_verified else None
    verified = tuple(_chain(tls, "get_verified_chain")) if is_verified else ()
    path = tuple(hashlib.sha256(der).hexdigest() for der in verified)
    return Tls(
        version=version,
        cipher=(tls.cipher() or (None,))[0] if is_verified else None,
        chain=_read(served),
        thumbprint=_sha1(served[-1]) if served else None,
        is_verified=is_verified,
        verified_sha256=path,
        is_public_ca=private_roots.isdisjoint(path[-1:]) if is_verified else None,
        is_tls13_only=is_tls13_only if version == "TLSv1.3" else None,
    )


def served_chain(tls: ssl.SSLObject) -> tuple[Certificate, ...]:
    """The certificates that the peer sent and that can be read, leaf first.

    Empty when it sent none, and when the leaf is one of those that cannot.
    """
    return _read(tuple(_chain(tls, "get_unverified_chain")))


def _read(served: Sequence[bytes]) -> tuple[Certificate, ...]:
    chain = [read_certificate(der) for der in served]
    # Without the leaf the next one would stand in its place.
    return tuple(filter(None, chain)) if chain[:1] != [None] else ()


def _chain(tls: ssl.SSLObject, method: str) -> Iterable[bytes]:
    # Public from Python 3.13 on (bytes); before, only the inner object has it, with
    # certificates of its own kind.
    owner: Any = tls if hasattr(tls, method) else tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    for certificate in getattr(owner, method)() or ():
        yield (
            certificate
            if isinstance(certificate, bytes)
            else certificate.public_bytes(_ssl.ENCODING_DER)
        )


def read_certificate(der: bytes) -> Certificate | None:
    """Read what matters of one certificate; what cannot be read stays empty.

    Returns:
        None when not even its names and dates can be read.
    """
    read = _remembered if len(der) <= _MAX_REMEMBERED_BYTES else _certificate
    return read(der)


def _certificate(der: bytes) -> Certificate | None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=_name(certificate.subject),
            issuer=_name(certificate.issuer),
            serial=f"{certificate.serial_number:x}",
            not_before_timestamp_seconds=certificate.not_valid_before_utc.timestamp(),
            not_after_timestamp_seconds=certificate.not_valid_after_utc.timestamp(),
            names=_names(certificate),
            key=_key(certificate),
            signature=certificate.signature_algorithm_oid._name,  # noqa: SLF001 - its only name
            is_self_issued=certificate.subject == certificate.issuer,
            sha1=_sha1(der),
            sha256=hashlib.sha256(der).hexdigest(),
            public_key_sha256=_public_key_sha256(certificate),
            has_issuer_url=_has_issuer_url(certificate),
        )
    except _UNREADABLE:
        return None


_remembered = lru_cache(maxsize=4096)(_certificate)


def _sha1(der: bytes) -> str:
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def _name(name: x509.Name) -> str:
    return name.rfc4514_string()[:512]


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except _UNREADABLE:
        return ()
    return tuple(str(name.value)[:255] for name in names.value)[:_MAX_NAMES]


def _has_issuer_url(certificate: x509.Certificate) -> bool:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except _UNREADABLE:
        return False
    return any(
        entry.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        for entry in access.value
    )


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except _UNREADABLE:
        return "unknown"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").strip("_")


def _public_key_sha256(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE:
        return ""
    return hashlib.sha256(der).hexdigest()
