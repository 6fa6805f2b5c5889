"""A farm of issuers on loopback: any host name is one, with documents of its own.

Two servers hand out the same documents under the same certificate: nginx, which costs the
machine least while CPU is counted, and `bench.truth`, which answers late and knows by how
much to the microsecond.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from bench.process import HOST, need, running, wait_for_port
from exporter.demo.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Issuer number n is `https://i<n>.bench.test`; every one is a host, as in real life.
DOMAIN = "bench.test"

_NGINX = """
daemon off;
master_process off;
worker_rlimit_nofile 4096;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type application/json;
    add_header Cache-Control "public, max-age=3600";
    server {{
        listen {host}:{port} ssl backlog=1024;
        ssl_certificate {directory}/chain.pem;
        ssl_certificate_key {directory}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        location = /.well-known/openid-configuration {{ return 200 '{discovery}'; }}
        location = /jwks {{ return 200 '{jwks}'; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Farm:
    """A server of issuers: where it listens, whom to trust, what it noted."""

    port: int
    ca_file: Path
    log: Path


def prepare(directory: Path) -> None:
    """Write certificates and documents that any server of the farm reads."""
    _write_certificates(directory)
    (directory / "discovery.json").write_text(_discovery())
    (directory / "jwks.json").write_text(_jwks())


@contextmanager
def nginx(directory: Path) -> Iterator[Farm]:
    """Serve the documents in *directory* at once."""
    port, config, log = free_port(), directory / "nginx.conf", directory / "nginx.log"
    config.write_text(
        _NGINX.format(
            directory=directory,
            host=HOST,
            port=port,
            discovery=(directory / "discovery.json").read_text(),
            jwks=(directory / "jwks.json").read_text(),
        )
    )
    command = [need("nginx", "nginx-light"), "-c", str(config), "-e", str(log)]
    with running(command, log) as process:
        wait_for_port(process, port)
        yield Farm(port, directory / "ca.pem", log)


@contextmanager
def truthful(directory: Path, *, delay_seconds: float) -> Iterator[Farm]:
    """Serve them *delay_seconds* late, and note in `Farm.log` how late it really was."""
    port, records = free_port(), directory / f"truth-{free_port()}.tsv"
    command = [
        *(sys.executable, "-m", "bench.truth", "--port", str(port)),
        *("--directory", str(directory), "--delay", str(delay_seconds)),
        *("--records", str(records)),
    ]
    with running(command, directory / "truth.log") as process:
        wait_for_port(process, port)
        yield Farm(port, directory / "ca.pem", records)


def _discovery() -> str:
    return json.dumps(
        {
            "issuer": "https://$host",
            "jwks_uri": "https://$host/jwks",
            "authorization_endpoint": "https://$host/oauth2/authorize",
            "token_endpoint": "https://$host/oauth2/token",
            "userinfo_endpoint": "https://$host/oauth2/userinfo",
            "response_types_supported": ["id_token", "code", "code id_token"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
            "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf", "email"],
        }
    )


def _jwks() -> str:
    """Two RSA keys, as most public issuers hold: one in use, one to come."""
    return json.dumps({"keys": [_jwk(f"$host-{number}") for number in (1, 2)]})


def _jwk(kid: str) -> dict[str, str]:
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    n = base64.urlsafe_b64encode(modulus.to_bytes(256)).rstrip(b"=").decode()
    return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": n, "e": "AQAB"}


def _write_certificates(directory: Path) -> None:
    """A root, an intermediate and an EC P-256 leaf, as public issuers serve them."""
    root_key, middle_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in "123")
    root = _certificate("Bench Root", root_key, "Bench Root", root_key, is_ca=True)
    middle = _certificate("Bench CA", middle_key, "Bench Root", root_key, is_ca=True)
    leaf = _certificate(DOMAIN, leaf_key, "Bench CA", middle_key, is_ca=False)
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(root.public_bytes(pem))
    (directory / "chain.pem").write_bytes(leaf.public_bytes(pem) + middle.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        leaf_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    signer = issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False
        )
    )
    if not is_ca:
        names = [x509.DNSName(DOMAIN), x509.DNSName(f"*.{DOMAIN}")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
