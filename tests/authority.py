"""Throw-away certificates, honest and otherwise, for servers on loopback."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "issuer.test"
DAY = dt.timedelta(days=1)
PAST = (-30 * DAY, -DAY)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and what is served above it."""

    certificate: x509.Certificate
    key: Any
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        key: bytes = self.key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        chain = b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.above))
        return key + chain


def issue(
    name: str,
    issuer: Identity | None = None,
    *,
    is_ca: bool = False,
    host: str | None = None,
    key: Any = None,
    valid: tuple[dt.timedelta, dt.timedelta] = (-DAY, 90 * DAY),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    issuer_url: str | None = None,
    above: tuple[x509.Certificate, ...] = (),
) -> Identity:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + valid[0])
        .not_valid_after(now() + valid[1])
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if is_ca:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if host:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    if issuer_url:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_url)
        )
        builder = builder.add_extension(
            x509.AuthorityInformationAccess([access]), critical=False
        )
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Identity(certificate, key, above)


@cache
def root() -> Identity:
    return issue("Test Root", is_ca=True)


@cache
def old_root() -> Identity:
    return issue("Old Root", is_ca=True, valid=PAST)


@cache
def stranger() -> Identity:
    return issue("Unknown Root", is_ca=True)


@cache
def intermediate() -> Identity:
    return issue("Test Intermediate", root(), is_ca=True)


def _below(issuer: Identity, **changes: Any) -> Identity:
    """A leaf for `HOST`, its issuer served above it unless told otherwise."""
    above = () if issuer is root() else (issuer.certificate,)
    return issue(HOST, issuer, **{"host": HOST, "above": above, **changes})


def _disordered() -> Identity:
    low = intermediate()
    other = issue("Other Intermediate", low, is_ca=True)
    return _below(other, above=(low.certificate, other.certificate, root().certificate))


AIA = "http://ca.test/intermediate.der"
VICES: dict[str, Callable[[], Identity]] = {
    "good": lambda: _below(intermediate()),
    "short": lambda: _below(root()),
    "expired": lambda: _below(intermediate(), valid=PAST),
    "expired_intermediate": lambda: _below(issue("Old CA", root(), is_ca=True, valid=PAST)),
    "expired_root": lambda: _below(old_root(), above=()),
    "expired_cross_sign": lambda: _below(
        intermediate(),
        above=(
            intermediate().certificate,
            issue("Test Root", old_root(), is_ca=True, key=root().key, valid=PAST).certificate,
            old_root().certificate,
        ),
    ),
    "not_yet_valid": lambda: _below(intermediate(), valid=(DAY, 30 * DAY)),
    "hostname_mismatch": lambda: _below(intermediate(), host="other.test"),
    "self_signed": lambda: issue(HOST, host=HOST),
    "unknown_ca": lambda: _below(stranger(), above=()),
    "unknown_root_served": lambda: _below(stranger()),
    "incomplete_chain": lambda: _below(intermediate(), above=(), issuer_url=AIA),
    "purpose": lambda: _below(intermediate(), usage=ExtendedKeyUsageOID.CLIENT_AUTH),
    "weak_key": lambda: _below(intermediate(), key=rsa.generate_private_key(65537, 1024)),
    "revoked": lambda: _below(intermediate()),
    "chain_order": _disordered,
    "chain_extra": lambda: _below(
        intermediate(), above=(intermediate().certificate, stranger().certificate)
    ),
}


@cache
def identity(vice: str = "good") -> Identity:
    """A server's identity by the name of its vice."""
    return VICES[vice]()


def revocations(*revoked: Identity) -> bytes:
    """The intermediate's revocation list, as PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(intermediate().certificate.subject)
        .last_update(now() - DAY)
        .next_update(now() + DAY)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(now() - DAY).build())
    return builder.sign(intermediate().key, hashes.SHA256()).public_bytes(Encoding.PEM)


def server_context(folder: Path, vice: str = "good") -> ssl.SSLContext:
    """A TLS server's context with the identity of *vice*; *folder* holds its PEM file."""
    path = folder / f"{vice}.pem"
    path.write_bytes(identity(vice).pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if vice == "weak_key":
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(path)
    return context
