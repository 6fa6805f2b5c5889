"""How a web configuration is read, and what is said of one that cannot be followed."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from exporter.config import ConfigError
from exporter.web.algorithms import CURVES, SUITES, TLS13_SUITES
from exporter.web.config import MAX_FILE_BYTES, Rate, WebConfig, digest, load
from tests.authority import issue
from tests.web import MUTUAL, NAME, TLS, client, hashed, pem, put, server, write

if TYPE_CHECKING:
    from exporter.web.tls import Tls

#: One file for each kind of slip; its first lines say what is said of it.
BAD = Path(__file__).parent / "data" / "web"
DOCS = Path(__file__).parent.parent / "docs" / "web-config.md"
#: Parts of a hash, a password in its place, and a key, as those files have them.
SECRETS = ("oX4FmuDRuV8mkzwlk3hbgu", "hunter2", "plain")


def problems(folder: Path, text: str) -> list[str]:
    """What is said of a file of this *text*, without the folder's name."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def tls_of(folder: Path, text: str) -> Tls:
    tls = load(write(folder, text)).tls
    assert tls is not None
    return tls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "tls_server_config:",
        "tls_server_config: {cert_file: '', key_file: null}",
        "basic_auth_users:\nhttp_server_config: {headers: {}}",
        "rate_limit: {interval: 0}",
        "rate_limit: {interval: 0s, burst: 5}",
    ],
)
def test_what_is_blank_asks_for_nothing(tmp_path: Path, text: str) -> None:
    """As for exporter-toolkit: files are written by templates, which leave keys empty."""
    config = load(write(tmp_path, text))

    assert config == WebConfig(digest=config.digest)


def test_everything_is_read(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path,
            f"""{MUTUAL}
  client_allowed_sans: [prometheus.test, 10.0.0.1]
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP384]
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: sameorigin
    X-XSS-Protection: ""
basic_auth_users:
  alice: {hashed()}
  böb: {hashed("other").replace("$2b$", "$2y$")}
rate_limit:
  interval: 500ms
  burst: 20
""",
        )
    )

    assert config.tls is not None
    context = config.tls.context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2,) * 2
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    old = [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
    assert old == ["ECDHE-ECDSA-AES256-GCM-SHA384"]
    assert config.headers == {
        "Strict-Transport-Security": "max-age=31536000",
        "X-Frame-Options": "sameorigin",
    }
    assert config.users == {
        b"alice": hashed().encode(),
        "böb".encode(): hashed("other").replace("$2b$", "$2y$").encode(),
    }
    assert config.rate == Rate(interval_seconds=0.5, burst=20)
    assert config.wants_http2


def test_tls_is_safe_without_a_word_more(tmp_path: Path) -> None:
    context = tls_of(tmp_path, TLS).context

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_certificates_may_be_written_out(tmp_path: Path) -> None:
    certificate, key = (indent(part.decode(), "    ") for part in pem(server()))
    text = (
        f"tls_server_config:\n  cert: |\n{certificate}\n  key: |\n{key}\n"
        f"  client_ca: |\n{certificate}\n"
        "  client_auth_type: VerifyClientCertIfGiven\n"
    )
    path = tmp_path / "web.yaml"
    path.write_text(text)
    tls = load(path).tls

    assert tls is not None
    assert tls.context.verify_mode is ssl.CERT_OPTIONAL
    assert tls.context.cert_store_stats()["x509"] == 1


def test_files_are_found_beside_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, TLS)
    monkeypatch.chdir("/")

    assert load(path).tls is not None


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_has_a_name_that_openssl_knows(tmp_path: Path, name: str) -> None:
    context = tls_of(tmp_path, f"{TLS}  cipher_suites: [{name}]").context

    assert SUITES[name] in {cipher["name"] for cipher in context.get_ciphers()}


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_is_known_or_refused_by_its_name(tmp_path: Path, name: str) -> None:
    text = f"{TLS}  curve_preferences: [{name}]"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(CURVES[name])
    except ssl.SSLError:
        # Python 3.11 of Debian 12, and X25519.
        assert f"want another curve, got {name}" in problems(tmp_path, text)[0]
    else:
        assert tls_of(tmp_path, text)


def test_a_curve_that_this_ssl_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.tls.CURVES", {"X25519": "no-such-curve"})
    said = problems(tmp_path, f"{TLS}  curve_preferences: [X25519]")

    assert len(said) == 1
    assert said[0].endswith(
        "tls_server_config.curve_preferences: want another curve, got X25519: "
        "this Python's ssl cannot ask for it by name"
    )


def test_suites_of_tls_13_alone_ask_for_it_alone(tmp_path: Path) -> None:
    """As in Go, where no suite of TLS 1.2 would be left."""
    context = tls_of(tmp_path, f"{TLS}  cipher_suites: [{TLS13_SUITES[0]}]").context

    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("path", sorted(BAD.glob("bad-*.yaml")), ids=lambda path: path.stem)
def test_a_bad_file_is_told_all_its_problems_in_order(tmp_path: Path, path: Path) -> None:
    """Each file says what it expects, from the line number on; none of it is a secret."""
    text = path.read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("# expect: ")]
    said = problems(tmp_path, text)

    assert [p.removeprefix("web.yaml:").strip() for p in said] == [line[10:] for line in lines]
    assert not [secret for secret in SECRETS if secret in "\n".join(said)]


def test_a_locked_key_is_refused_rather_than_asked_about(tmp_path: Path) -> None:
    """OpenSSL would ask on the terminal for the password, and hold the daemon."""
    path = write(tmp_path, TLS)
    (tmp_path / "server.key").write_bytes(
        server().key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )

    with pytest.raises(ConfigError, match=r"key_file: want a key that is not encrypted"):
        load(path)


def test_what_openssl_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    path = write(tmp_path, TLS)
    put(tmp_path, "server", issue(NAME, key=rsa.generate_private_key(65537, 1024)))

    with pytest.raises(ConfigError, match=r"cert_file: OpenSSL refuses it: EE_KEY_TOO_SMALL"):
        load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"


def test_a_file_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))

    with pytest.raises(ConfigError, match="cannot be read: File too large"):
        load(path)


def test_the_docs_say_what_the_code_does(tmp_path: Path) -> None:
    """Otherwise: make docs"""
    page = tmp_path / DOCS.name
    shutil.copy(DOCS, page)
    subprocess.run([sys.executable, "-m", "exporter.web", page], check=True)

    assert page.read_text("utf-8") == DOCS.read_text("utf-8")


def test_the_example_of_the_docs_is_taken_as_it_stands(tmp_path: Path) -> None:
    text = DOCS.read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
    path = write(tmp_path, text)
    put(tmp_path, "tls", server())
    (tmp_path / "tls.pem").rename(tmp_path / "tls.crt")
    (tmp_path / "clients.pem").rename(tmp_path / "prometheus-ca.crt")

    config = load(path)
    assert config.tls is not None
    assert config.tls.context.verify_mode is ssl.CERT_REQUIRED
    assert list(config.users) == [b"prometheus"]


def test_the_digest_tells_every_change(tmp_path: Path) -> None:
    path = write(tmp_path, MUTUAL)
    seen = [digest(path)]
    for name in ("server.pem", "server.key", "clients.pem"):
        put(tmp_path, name.partition(".")[0], client("other.test"))
        seen.append(digest(path))
    (tmp_path / "clients.pem").unlink()
    seen.append(digest(path))
    path.write_text(TLS)
    seen.append(digest(path))
    path.write_text("tls_server_config: {cert_file: [], key_file: 5}")
    seen.append(digest(path))
    path.write_text("[")
    seen.append(digest(path))
    path.unlink()
    seen.append(digest(path))

    # Certificate and key are put together: the second one is no change any more.
    assert len(set(seen)) == len(seen) - 1
    assert digest(path) == seen[-1]


@pytest.mark.parametrize(
    ("allowed", "name", "is_welcome"),
    [
        ("prometheus.test", ("DNS", "prometheus.test"), True),
        ("prometheus.test", ("DNS", "prometheus.test.evil"), False),
        ("prometheus.test", ("DNS", "*.test"), False),
        ("10.0.0.1", ("IP Address", "10.0.0.1"), True),
        ("2001:db8::1", ("IP Address", "2001:DB8:0:0:0:0:0:1"), True),
        ("ops@example.com", ("email", "ops@example.com"), True),
        ("spiffe://example.com/prometheus", ("URI", "spiffe://example.com/prometheus"), True),
        ("spiffe://example.com/prometheus", ("URI", "spiffe://example.com/other"), False),
    ],
)
def test_a_client_is_known_by_any_of_its_names_exactly(
    tmp_path: Path,
    allowed: str,
    name: tuple[str, str],
    is_welcome: bool,  # noqa: FBT001
) -> None:
    tls = tls_of(tmp_path, f"{MUTUAL}  client_allowed_sans: ['{allowed}']")
    refusal = tls.refusal({"subjectAltName": (("DNS", "else.test"), name)})

    assert (refusal == "") is is_welcome
    assert is_welcome or name[1] in refusal


@pytest.mark.parametrize("certificate", [None, {}, {"subjectAltName": ()}])
def test_a_client_without_a_name_is_none_of_them(
    tmp_path: Path, certificate: dict[str, object] | None
) -> None:
    tls = tls_of(tmp_path, f"{MUTUAL}  client_allowed_sans: [a]")

    assert (
        tls.refusal(certificate) == "none of its names is in client_allowed_sans: it has none"
    )
