"""Throw-away certificates: a root, an intermediate, and a leaf for every site.

Keys live in a temporary folder for as long as the demo runs, and nothing outside it ever
trusts them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from exporter.demo.catalogue import DOMAIN, Trust

if TYPE_CHECKING:
    from pathlib import Path

#: In the demo's folder: the root that its client must trust.
CA_FILE = "ca.pem"

_CA_DAYS = 365.0

# Where the signer's certificate lies, as every public CA writes it: it tells a client that
# a chain has a gap from one that has no known end. Nothing is there, and nobody looks.
_ISSUER_URL = x509.AccessDescription(
    AuthorityInformationAccessOID.CA_ISSUERS,
    x509.UniformResourceIdentifier(f"http://ca.{DOMAIN}/issuer.der"),
)


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate and the key it speaks for."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate alone, as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, as unencrypted PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """A root that everybody in the demo trusts, one that nobody does, and their servants."""

    def __init__(self) -> None:
        self.root = _holder("OIDC demo root", days=_CA_DAYS, is_ca=True)
        self._intermediate = _holder("OIDC demo CA 1", self.root, days=_CA_DAYS, is_ca=True)
        stranger = _holder("A root that nobody trusts", days=_CA_DAYS, is_ca=True)
        self._unknown = _holder("A CA that nobody knows", stranger, days=_CA_DAYS, is_ca=True)

    def chain(self, host: str, trust: Trust, days: float) -> tuple[bytes, bytes]:
        """What a server for *host* loads: the PEM chain, leaf first, and the leaf's key."""
        signer = self._signer(trust)
        leaf = _holder(host, signer, days=days)
        if signer is None or trust is Trust.NO_INTERMEDIATE:
            return leaf.pem, leaf.key_pem
        return leaf.pem + signer.pem, leaf.key_pem

    def _signer(self, trust: Trust) -> Holder | None:
        match trust:
            case Trust.SELF_SIGNED:
                return None
            case Trust.UNKNOWN_CA:
                return self._unknown
            case _:
                return self._intermediate

    def context(self, directory: Path, host: str, trust: Trust, days: float) -> ssl.SSLContext:
        """A server's TLS settings for *host*; its certificate is left in *directory*."""
        chain, key = self.chain(host, trust, days)
        path = directory / f"{host}.pem"
        path.write_bytes(key + chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _holder(
    name: str, signer: Holder | None = None, *, days: float, is_ca: bool = False
) -> Holder:
    """A certificate for *name* that ends in *days*, signed by *signer* or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
    )
    for extension, critical in _extensions(name, key, signer, is_ca=is_ca):
        builder = builder.add_extension(extension, critical)
    return Holder(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def _extensions(
    name: str, key: ec.EllipticCurvePrivateKey, signer: Holder | None, *, is_ca: bool
) -> list[tuple[x509.ExtensionType, bool]]:
    """What OpenSSL's strict mode, Python's default from 3.13 on, asks of a certificate."""
    signing_key = signer.key if signer else key
    common: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=is_ca, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            False,
        ),
        (_key_usage(is_ca=is_ca), True),
    ]
    if is_ca:
        return common
    return [
        *common,
        (x509.SubjectAlternativeName([x509.DNSName(name)]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityInformationAccess([_ISSUER_URL]), False),
    ]


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
