"""What is read of the certificates that a peer sends, and whose word on them counts."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from exporter.chain import needed
from exporter.probe import Prober
from exporter.trust import _read, _remembered, read_certificate
from tests.authority import (
    AIA,
    HOST,
    identity,
    intermediate,
    issue,
    revocations,
    root,
    stranger,
)
from tests.probing import DISCOVERY_PATH, KEYS, discovery, verdict
from tests.servers import http, routed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probing import Bench

STRANGER = stranger().certificate.public_bytes(Encoding.DER)
# On secp224k1, which OpenSSL knows and `cryptography` does not.
ODD_CURVE = ssl.PEM_cert_to_DER_cert("""-----BEGIN CERTIFICATE-----
MIIBXzCCAQ6gAwIBAgIUJ2jh6QqrBrhYvr9kj1kUcY58LLIwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDT2RkMCAXDTI2MTEyMTA4MjU1NFoYDzIxMjYxMDI4MDgyNTU0
WjAOMQwwCgYDVQQDDANPZGQwTjAQBgcqhkjOPQIBBgUrgQQAIAM6AASmp8BmEzse
g751esMcAFe1uu/q54ZIGUTV5iwOgCU2G/UNwUURqMJzPyYjC4etlT+4awmxdYae
CaNTMFEwHQYDVR0OBBYEFBgF9oHw6OJtsytOCScY+Dm5vDTYMB8GA1UdIwQYMBaA
FBgF9oHw6OJtsytOCScY+Dm5vDTYMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0E
AwIDPwAwPAIcSClJRQxOIdHSCXV1g+bGrBGpIc2hLWhA/OnZ/gIcXQW49eQ4uzoC
iHLS5HhNlz/KyJ1QcGPmF8TC0Q==
-----END CERTIFICATE-----
""")


def patched(der: bytes, old: str, new: str) -> bytes:
    assert bytes.fromhex(old) in der
    return der.replace(bytes.fromhex(old), bytes.fromhex(new), 1)


def of_version_2(der: bytes) -> bytes:
    return patched(der, "a003020102", "a003020101")


def with_an_extension_twice(der: bytes) -> bytes:
    """The key's usage is called basic constraints, which are there already."""
    return patched(der, "0603551d0f", "0603551d13")


def without_a_month(der: bytes) -> bytes:
    """The first date of a validity is written as YYMMDDhhmmssZ."""
    at = der.index(b"\x17\x0d") + 4
    return der[:at] + b"13" + der[at + 2 :]


def serve_chain(bench: Bench, folder: Path, vice: str, *extra: bytes) -> int:
    """The identity of *vice* with more certificates above it."""
    path = folder / "served.pem"
    more = "".join(ssl.DER_cert_to_PEM_cert(der) for der in extra)
    path.write_bytes(identity(vice).pem + more.encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(path)
    return bench.farm.serve(
        routed({DISCOVERY_PATH: http(discovery()), "/jwks": http(KEYS)}), context
    )


@pytest.mark.parametrize(
    ("odd", "length"),
    [
        (of_version_2(STRANGER), 2),
        (without_a_month(STRANGER), 2),
        (with_an_extension_twice(STRANGER), 3),
        (ODD_CURVE, 3),
    ],
    ids=["version 2", "month 13", "an extension twice", "a curve nobody uses"],
)
@pytest.mark.parametrize("vice", ["good", "expired"])
async def test_a_certificate_that_cannot_be_read_leaves_the_verdict_to_openssl(
    bench, tmp_path, vice, odd, length
):
    """Nobody needs it, so it must not stop a probe either; what can be read is shown."""
    report = await bench.probe(serve_chain(bench, tmp_path, vice, odd))
    chain = report.fetches[0].tls.chain

    assert verdict(report) == ("usable" if vice == "good" else "discovery/tls/expired")
    assert [one.subject for one in chain[:2]] == [f"CN={HOST}", "CN=Test Intermediate"]
    assert len(chain) == length


async def test_the_thumbprint_is_of_the_top_certificate_also_when_that_cannot_be_read(
    bench, tmp_path
):
    """IAM hashes what was served."""
    odd = of_version_2(STRANGER)
    report = await bench.probe(serve_chain(bench, tmp_path, "good", odd))

    assert report.fetches[0].tls.thumbprint == hashlib.sha1(odd).hexdigest()


def test_no_other_certificate_takes_the_place_of_a_leaf_that_cannot_be_read():
    above = intermediate().certificate.public_bytes(Encoding.DER)

    assert _read((of_version_2(STRANGER), above)) == ()
    assert [one.subject for one in _read((above,))] == ["CN=Test Intermediate"]


def test_a_key_of_an_unknown_kind_leaves_the_rest_of_its_certificate():
    odd = read_certificate(ODD_CURVE)

    assert odd is not None
    assert (odd.subject, odd.key, odd.public_key_sha256) == ("CN=Odd", "unknown", "")


def test_a_bloated_certificate_is_not_remembered():
    """A peer may send 100 kB of them with each handshake."""
    bloated = issue("bloated", issuer_url=AIA + "/" * 5000)
    before = _remembered.cache_info().currsize
    found = read_certificate(bloated.certificate.public_bytes(Encoding.DER))

    assert found is not None
    assert found.has_issuer_url
    assert _remembered.cache_info().currsize == before


@pytest.mark.parametrize("where", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_a_public_root_stays_public_where_the_ca_file_holds_it_too(
    bench, monkeypatch, tmp_path, where
):
    """A company's bundle is the public authorities and its own one."""
    pem = root().certificate.public_bytes(Encoding.PEM)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(pem + stranger().certificate.public_bytes(Encoding.PEM))
    (tmp_path / "system").mkdir()
    name = "system.pem" if where == "SSL_CERT_FILE" else "system/0a1b2c3d.0"
    (tmp_path / name).write_bytes(pem)
    monkeypatch.setenv(where, str(tmp_path / name.partition("/")[0]))
    public = await bench.probe(bench.serve(), ca_file=str(bundle))
    private = await bench.probe(bench.serve(vice="unknown_root_served"), ca_file=str(bundle))

    assert (verdict(public), verdict(private)) == ("usable", "usable")
    assert public.fetches[0].tls.is_public_ca is True
    assert private.fetches[0].tls.is_public_ca is False


def hashed_folder(monkeypatch, folder: Path) -> Path:
    """The system trusts what is in this folder, and no bundle."""
    system = folder / "system"
    system.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(system))
    return system


def hash_of(common_name: str) -> str:
    """What OpenSSL calls an authority in a folder: a hash of its name in lower case, as DER."""

    def der(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    text = der(0x0C, common_name.lower().encode())
    name = der(0x31, der(0x30, bytes.fromhex("0603550403") + text))
    return hashlib.sha1(name).digest()[3::-1].hex()


async def test_no_probe_looks_into_the_systems_folder(bench, monkeypatch, tmp_path):
    """OpenSSL would for each intermediate: a list of 300 files, on a loop that takes times."""
    system = hashed_folder(monkeypatch, tmp_path)
    of_root = system / f"{hash_of('Test Root')}.0"
    of_root.write_bytes(root().certificate.public_bytes(Encoding.PEM))
    prober = Prober()
    whole = await prober.probe(bench.issuer(bench.serve(), ca_file=None))
    between = system / f"{hash_of('Test Intermediate')}.0"
    between.write_bytes(intermediate().certificate.public_bytes(Encoding.PEM))
    gap = await prober.probe(bench.issuer(bench.serve(vice="incomplete_chain"), ca_file=None))

    assert [verdict(whole), verdict(gap)] == ["usable", "discovery/tls/incomplete_chain"]


@pytest.mark.parametrize(
    "other", ["-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "", None]
)
async def test_a_file_of_the_system_that_cannot_be_read_takes_none_of_the_others_along(
    bench, monkeypatch, tmp_path, other
):
    system = hashed_folder(monkeypatch, tmp_path)
    (system / "0a1b2c3d.1").write_bytes(root().certificate.public_bytes(Encoding.PEM))
    if other is None:
        (system / "0a1b2c3d.0").symlink_to("gone")
    else:
        (system / "0a1b2c3d.0").write_text(other)

    assert verdict(await bench.probe(bench.serve(), ca_file=None)) == "usable"


@pytest.mark.parametrize("is_bundle", [True, False])
async def test_a_broken_certificate_takes_none_of_its_file_along(
    bench, monkeypatch, tmp_path, is_bundle
):
    """OpenSSL refuses such a file whole, though the folder may hold the good ones once more."""
    system = hashed_folder(monkeypatch, tmp_path)
    pem = root().certificate.public_bytes(Encoding.PEM)
    (system / "0a1b2c3d.1").write_bytes(pem)
    other = tmp_path / "bundle.pem" if is_bundle else system / "0a1b2c3d.0"
    # As `cat` joins them where the last line does not end.
    other.write_bytes(pem.rstrip() + ssl.DER_cert_to_PEM_cert(STRANGER[:-9]).encode())
    if is_bundle:
        monkeypatch.setenv("SSL_CERT_FILE", str(other))

    assert verdict(await bench.probe(bench.serve(), ca_file=None)) == "usable"


async def test_the_system_is_read_once_for_all_who_have_a_ca_file_too(
    bench, monkeypatch, tmp_path
):
    """A package manager may be replacing the files at that very moment."""
    file = hashed_folder(monkeypatch, tmp_path) / "0a1b2c3d.0"
    file.write_bytes(root().certificate.public_bytes(Encoding.PEM))
    ca_file = tmp_path / "private.pem"
    ca_file.write_bytes(stranger().certificate.public_bytes(Encoding.PEM))
    port = bench.serve()
    before = await bench.probe(port, ca_file=None)
    file.unlink()
    after = await bench.probe(port, ca_file=str(ca_file))

    assert [verdict(before), verdict(after)] == ["usable", "usable"]


async def test_a_machine_that_trusts_nobody_is_told_of(bench, monkeypatch, tmp_path):
    """In a bare container every issuer would be of an unknown CA."""
    system = hashed_folder(monkeypatch, tmp_path)
    with capture_logs() as logs:
        report = await bench.probe(bench.serve(), ca_file=None)

    assert verdict(report) == "discovery/tls/unknown_ca"
    assert logs[0] == {
        "event": "authorities.none",
        "log_level": "warning",
        "bundle": None,
        "folders": (str(system),),
    }


async def test_a_revocation_list_refuses_the_leaves_of_authorities_that_have_none(
    bench, tmp_path
):
    """As docs/configuration.md says: OpenSSL asks for a list for each leaf, or for none."""
    authorities = [root().certificate, stranger().certificate]
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in authorities)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(pem + revocations())
    listed = await bench.probe(bench.serve(), ca_file=str(ca_file))
    other = await bench.probe(bench.serve(vice="unknown_ca"), ca_file=str(ca_file))

    assert verdict(listed) == "usable"
    assert verdict(other) == "discovery/tls/handshake_failure"
    assert other.failure.detail == "certificate: unable to get certificate CRL"


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param(root, id="the root"),
        pytest.param(lambda: identity("incomplete_chain"), id="the leaf again"),
        pytest.param(stranger, id="another intermediate"),
    ],
)
async def test_an_intermediate_is_missing_whatever_else_is_sent(bench, tmp_path, beside):
    der = beside().certificate.public_bytes(Encoding.DER)
    report = await bench.probe(serve_chain(bench, tmp_path, "incomplete_chain", der))

    assert verdict(report) == "discovery/tls/incomplete_chain"


async def test_an_expired_root_over_the_trusted_one_is_not_needed(bench):
    """So ended AddTrust and DST Root X3, long after newer roots had been trusted."""
    report = await bench.probe(bench.serve(vice="expired_cross_sign"))
    tls = report.fetches[0].tls

    assert verdict(report) == "usable"
    assert len(tls.chain) == 4
    assert len(tls.verified_sha256) == 3
    assert [one.subject for one in needed(tls.chain, tls.verified_sha256)] == [
        "CN=Test Intermediate"
    ]
