"""TLS towards our own clients: the only place that makes a server's SSLContext."""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from exporter.web.algorithms import CURVES, SUITES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config.problems import Problem
    from exporter.config.yamlfile import Source
    from exporter.web.schema import TlsSection

_TOP = "tls_server_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """PEM, as read; empty where nothing is given."""

    cert: bytes
    key: bytes
    client_ca: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a listener needs.

    Attributes:
        materials: What the context was made of, to tell a new one from the same again.
        section: The rest of it.
    """

    context: ssl.SSLContext
    section: TlsSection
    materials: Materials

    def is_as(self, other: Tls | None) -> bool:
        """Whether *other* says the same."""
        return other is not None and (self.section, self.materials) == (
            other.section,
            other.materials,
        )

    def refusal(self, certificate: Mapping[str, Any] | None) -> str:
        """Why a client with this *certificate*, as ssl tells of it, is to be cut off; or ''."""
        allowed = set(map(_plain, self.section.client_allowed_sans))
        if not allowed:
            return ""
        # Each is a kind and a value; the kind does not matter, to exporter-toolkit neither.
        names = [str(name) for _, name in (certificate or {}).get("subjectAltName", ())]
        if allowed.intersection(map(_plain, names)):
            return ""
        return (
            f"none of its names is in client_allowed_sans: {', '.join(names) or 'it has none'}"
        )


def rule_problems(section: TlsSection, source: Source) -> Iterator[Problem]:
    """What contradicts itself in *section*, before any file is looked at."""
    for key, message in (*_missing(section), *_clients(section), *_algorithms(section)):
        yield source.problem((_TOP, *([key] if key else [])), message)


def _missing(section: TlsSection) -> Iterator[tuple[str, str]]:
    for key in ("cert", "key", "client_ca"):
        both = getattr(section, key) is not None and getattr(section, f"{key}_file") is not None
        if both:
            yield key, f"want {key} or {key}_file, got both"
    for key in ("cert", "key"):
        if getattr(section, key) is None and getattr(section, f"{key}_file") is None:
            yield "", f"want {key}_file or {key}, got neither: TLS needs it"


def _clients(section: TlsSection) -> Iterator[tuple[str, str]]:
    mode = section.client_auth_type
    ca = next((k for k in ("client_ca_file", "client_ca") if getattr(section, k)), "")
    if ca and mode is ssl.CERT_NONE:
        yield (
            ca,
            "want client_auth_type: RequireAndVerifyClientCert with it, or nobody is asked",
        )
    if mode is not ssl.CERT_NONE and not ca:
        # exporter-toolkit would trust the system's CAs then, and with them everybody.
        yield "client_auth_type", "want client_ca_file or client_ca with it, got neither"
    if "client_allowed_sans" in section.model_fields_set and not section.client_allowed_sans:
        yield "client_allowed_sans", "want one name at least, got none: nobody would get in"
    if section.client_allowed_sans and mode is not ssl.CERT_REQUIRED:
        message = "want client_auth_type: RequireAndVerifyClientCert with it"
        yield "client_allowed_sans", message


def _algorithms(section: TlsSection) -> Iterator[tuple[str, str]]:
    least, most = section.min_version, section.max_version
    if least > most:
        yield "min_version", "want it no newer than max_version"
    if len(section.curve_preferences) > 1:
        count = len(section.curve_preferences)
        yield "curve_preferences", f"want one curve, got {count}: Python's ssl takes no list"
    elif section.curve_preferences and not _is_offered(section.curve_preferences[0]):
        name = section.curve_preferences[0]
        message = f"want another curve, got {name}: this Python's ssl cannot ask for it by name"
        yield "curve_preferences", message
    if section.cipher_suites and not _suites(section) and most < ssl.TLSVersion.TLSv1_3:
        yield "cipher_suites", "want a suite of TLS 1.2, got none, and max_version is TLS12"


def _is_offered(curve: str) -> bool:
    # X25519 came to Python's ssl within 3.11: Debian 12 is older.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(CURVES[curve])
    except (ssl.SSLError, ValueError):
        return False
    return True


def build(
    section: TlsSection, found: Materials, source: Source
) -> tuple[Tls | None, list[Problem]]:
    """The TLS of a *section* without contradictions, or what is wrong with the PEM *found*."""
    faults = [*_pair_faults(found), *_ca_faults(found)]
    if not faults:
        try:
            context = _context(section, found)
        except ssl.SSLError as error:
            # A key that is too short, say, for the level of security that OpenSSL is set to.
            faults = [("cert", f"OpenSSL refuses it: {error.reason or error}")]
        else:
            return Tls(context=context, section=section, materials=found), []
    return None, [source.problem((_TOP, _given(section, k)), text) for k, text in faults]


def _given(section: TlsSection, key: str) -> str:
    return key if getattr(section, key) is not None else f"{key}_file"


def _pair_faults(found: Materials) -> Iterator[tuple[str, str]]:
    certificates = _certificates(found.cert)
    if not certificates:
        yield "cert", "want a certificate in PEM, found none that can be read"
    try:
        key = load_pem_private_key(found.key, password=None)
    except TypeError:
        yield "key", "want a key that is not encrypted: nobody is there to type a password"
    except ValueError:
        yield "key", "want a private key in PEM, found none that can be read"
    else:
        if certificates and certificates[0].public_key() != key.public_key():
            yield "key", "want the key of the first certificate, got another one's"


def _ca_faults(found: Materials) -> Iterator[tuple[str, str]]:
    if found.client_ca and not _certificates(found.client_ca):
        yield "client_ca", "want certificates in PEM, found none that can be read"


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _context(section: TlsSection, found: Materials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    suites = _suites(section)
    # Suites of TLS 1.3 alone ask for TLS 1.3 alone.
    is_new_only = bool(section.cipher_suites) and not suites
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if is_new_only else section.min_version
    context.maximum_version = section.max_version
    if suites:
        context.set_ciphers(":".join(suites))
    if not section.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if section.curve_preferences:
        context.set_ecdh_curve(CURVES[section.curve_preferences[0]])
    with _in_memory(found.key + b"\n" + found.cert) as path:
        context.load_cert_chain(path)
    if found.client_ca:
        context.load_verify_locations(cadata=found.client_ca.decode("ascii", "ignore"))
        # As in Go: whatever is named is trusted, an intermediate without its root as well.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = section.client_auth_type
    return context


def _suites(section: TlsSection) -> list[str]:
    return [SUITES[name] for name in section.cipher_suites if name in SUITES]


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path that leads to *content*.

    `ssl` reads keys from files only, and a key of a configuration should reach no disk.
    """
    descriptor = os.memfd_create("pem")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _plain(name: str) -> str:
    """*name* as both sides write it: OpenSSL spells IPv6 addresses out."""
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        return name
