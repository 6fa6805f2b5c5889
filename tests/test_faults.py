"""Every stage and reason, reached by a server, resolver or socket that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import warnings
import zlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from exporter.clock import Stopwatch
from exporter.exchange import Exchange, _Inflate
from exporter.faults import TLS_REASONS
from exporter.reasons import REASONS, Document, Phase, Reason, Stage
from exporter.transport import Connection
from tests.authority import identity, old_root, revocations, root, server_context
from tests.probing import KEY, KEYS, URL, discovery, verdict
from tests.servers import answering, dns_reply, http, reset

if TYPE_CHECKING:
    from pathlib import Path


REACHED: set[tuple[str, str]] = set()


def saw(report) -> str:
    """The verdict, noted for the test that counts them all."""
    REACHED.add((report.failure.stage, report.failure.reason))
    return verdict(report)


# --- before a connection ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://issuer.test", "not_https"),
        ("https://issuer.test?tenant=1", "bad_url"),
        ("https://issuer.test#x", "bad_url"),
    ],
)
async def test_a_url_that_sts_could_never_use(bench, url, reason):
    report = await bench.probe(1, url=url)

    assert saw(report) == f"discovery/config/{reason}"
    assert report.fetches == ()


@pytest.mark.parametrize(
    ("rcode", "reason"), [(3, "nxdomain"), (0, "nodata"), (2, "servfail"), (5, "refused")]
)
async def test_a_name_server_says_no(bench, farm, rcode, reason):
    server = farm.nameserver(lambda question, _: dns_reply(question, rcode=rcode))
    report = await bench.probe(1, connect_to=None, nameservers=(server,))

    assert saw(report) == f"discovery/dns/{reason}"
    assert report.fetches[0].phases.resolve is not None


async def test_a_name_server_that_is_not_there(bench, farm):
    """Nobody listens: the kernel refuses, and so the resolver does."""
    server = farm.nameserver(lambda *_: None)
    port = int(server.rpartition(":")[2]) ^ 1
    report = await bench.probe(1, connect_to=None, nameservers=(f"127.0.0.1:{port}",))

    assert verdict(report) == "discovery/dns/refused"


async def test_a_name_server_that_is_silent(bench, farm):
    server = farm.nameserver(lambda *_: None)
    report = await bench.probe(1, connect_to=None, nameservers=(server,), timeout_seconds=0.2)

    assert saw(report) == "discovery/dns/timeout"


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "issuer..test"])
async def test_a_name_that_cannot_be_asked_for(bench, host):
    report = await bench.probe(1, url=f"https://{host}", connect_to=None)

    assert saw(report) == "discovery/dns/bad_name"


async def test_nobody_listens(bench, farm):
    port = farm.serve(answering())
    report = await bench.probe(port ^ 1)

    assert saw(report) == "discovery/tcp/refused"
    assert f"127.0.0.1:{port ^ 1}" in report.failure.detail


async def test_no_way_leads_there(bench):
    """The kernel knows no stream to a broadcast address, not even on loopback."""
    report = await bench.probe(443, connect_to=("127.255.255.255", 443))

    assert saw(report) == "discovery/tcp/unreachable"
    assert report.fetches[0].address.ip == "127.255.255.255"


async def test_packets_are_dropped(bench, farm):
    port, _ = farm.full_backlog()
    report = await bench.probe(port, timeout_seconds=0.2)

    assert saw(report) == "discovery/tcp/timeout"
    assert report.fetches[0].phases.connect >= 0.19
    assert report.fetches[0].address.failure == "timeout"


async def test_a_proxy_that_resets_is_no_connection(bench, farm):
    async def rude(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    proxy = f"http://127.0.0.1:{farm.serve(rude)}"
    report = await bench.probe(1, connect_to=None, proxy_url=proxy)

    assert saw(report) == "discovery/tcp/reset"


# --- TLS ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vice", "reason"),
    [
        ("expired", "expired"),
        ("not_yet_valid", "not_yet_valid"),
        ("hostname_mismatch", "hostname_mismatch"),
        ("self_signed", "self_signed"),
        ("unknown_ca", "unknown_ca"),
        ("unknown_root_served", "unknown_ca"),
        ("incomplete_chain", "incomplete_chain"),
        ("purpose", "purpose"),
        ("weak_key", "weak_key"),
    ],
)
async def test_a_certificate_that_fails_is_still_shown(bench, vice, reason):
    """The expiry date is wanted most when the certificate has expired."""
    report = await bench.probe(bench.serve(vice=vice))
    leaf = identity(vice).certificate

    assert saw(report) == f"discovery/tls/{reason}"
    shown = report.fetches[0].tls
    assert shown.chain[0].not_after_timestamp_seconds == leaf.not_valid_after_utc.timestamp()
    assert not shown.is_verified
    assert len(shown.thumbprint) == 40


@pytest.mark.parametrize(
    ("vice", "whose"),
    [
        ("expired", ": CN=issuer.test"),
        ("expired_intermediate", ": CN=Old CA"),
        ("expired_root", ""),  # the operator's own, and not served
    ],
)
async def test_which_certificate_has_expired_is_said(bench, tmp_path, vice, whose):
    """To renew the leaf helps nobody whose intermediate has ended."""
    authorities = [root().certificate, old_root().certificate]
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in authorities))
    report = await bench.probe(bench.serve(vice=vice), ca_file=str(ca_file))

    assert saw(report) == "discovery/tls/expired"
    assert report.failure.detail == f"certificate: certificate has expired{whose}"


async def test_a_revoked_certificate(bench, pki):
    """Python shows no stapled answer; a revocation list beside the authority is obeyed."""
    both = root().certificate.public_bytes(Encoding.PEM) + revocations(identity("revoked"))
    (pki / "with-crl.pem").write_bytes(both)
    ca_file = str(pki / "with-crl.pem")
    revoked = await bench.probe(bench.serve(vice="revoked"), ca_file=ca_file)
    good = await bench.probe(bench.serve(vice="good"), ca_file=ca_file)

    assert saw(revoked) == "discovery/tls/revoked"
    assert verdict(good) == "usable"


def _picky(pki: Path, **settings) -> ssl.SSLContext:
    context = server_context(pki)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


async def test_an_old_protocol(bench, farm, pki):
    context = server_context(pki)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    report = await bench.probe(farm.serve_alerts(context)[0])

    assert saw(report) == "discovery/tls/protocol_version"


async def test_no_cipher_in_common(bench, farm, pki):
    context = _picky(pki, maximum_version=ssl.TLSVersion.TLSv1_2)
    # RSA key exchange, for which an EC certificate is of no use.
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    report = await bench.probe(farm.serve_alerts(context)[0])

    assert saw(report) == "discovery/tls/handshake_failure"


async def test_a_client_certificate_is_asked_for_after_the_handshake(bench, farm, pki):
    """Under TLS 1.3 the refusal comes when the request is already out."""
    context = _picky(pki, verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(pki / "root.pem")
    report = await bench.probe(farm.serve_alerts(context)[0])

    assert saw(report) == "discovery/tls/client_cert_required"
    assert report.fetches[0].tls.is_verified


async def test_a_server_without_tls(bench, farm):
    async def chatty(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read(1024)

    assert saw(await bench.probe(farm.serve(chatty))) == "discovery/tls/not_tls"


@pytest.mark.parametrize("ending", ["closed", "reset", "timeout"])
async def test_a_handshake_that_is_never_answered(bench, farm, ending):
    async def silent(reader, writer):
        await reader.read(1)
        if ending == "reset":
            reset(writer)
        elif ending == "timeout":
            await reader.read()

    report = await bench.probe(farm.serve(silent), timeout_seconds=1.0)

    assert saw(report) == f"discovery/tls/{ending}"
    assert report.fetches[0].phases.tls is not None
    assert report.fetches[0].phases.processing is None


# --- HTTP --------------------------------------------------------------------------------

BLOCK = http("<html>blocked</html>", "403 Forbidden", "Content-Type: text/html\r\n")
HTTP_VICES = {
    "stalls": (answering("stall"), "http/timeout"),
    "hangs up": (answering("close"), "http/empty_reply"),
    "resets": (answering("reset"), "http/reset"),
    "talks nonsense": (answering(b"220 smtp ready\r\n\r\n"), "http/malformed_response"),
    "status 000": (answering(b"HTTP/1.1 000 \r\n\r\n"), "http/malformed_response"),
    "cuts the headers": (
        answering(b"HTTP/1.1 200 OK\r\nA: b", "close"),
        "http/malformed_response",
    ),
    "only 1xx": (answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 20), "http/malformed_response"),
    "endless header": (
        answering(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_000),
        "http/headers_too_large",
    ),
    "http2 frames": (answering(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"), "http/http2_only"),
    "redirects": (
        answering(http("", "302 Found", "Location: https://login.test/x?secret=1\r\n")),
        "http/redirect",
    ),
    "429": (answering(http("", "429 Too Many Requests")), "http/rate_limited"),
    "503 with a date": (
        answering(http("", "503 Unavailable", "Retry-After: 30\r\n")),
        "http/rate_limited",
    ),
    "403": (answering(BLOCK), "http/forbidden"),
    "401": (answering(http("", "401 Unauthorized")), "http/forbidden"),
    "406": (answering(http("", "406 Not Acceptable")), "http/forbidden"),
    "451": (answering(http("", "451 Unavailable For Legal Reasons")), "http/forbidden"),
    "404": (answering(http("", "404 Not Found")), "http/not_found"),
    "500": (answering(http("", "500 Oops")), "http/server_error"),
    "503": (answering(http("", "503 Unavailable")), "http/server_error"),
    "204": (answering(b"HTTP/1.1 204 No Content\r\n\r\n"), "http/status"),
    "418": (answering(http("", "418 Teapot")), "http/status"),
}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
GZIP = "Content-Encoding: gzip\r\n"
DEFLATE = "Content-Encoding: deflate\r\n"
BODY_VICES = {
    "stalls": (answering(http("{", length=9), "stall"), "body/timeout"),
    "cut short": (answering(http("{", length=9), "close"), "body/truncated"),
    "chunks cut short": (answering(CHUNKED + b"5\r\nhel", "close"), "body/truncated"),
    "resets": (answering(http("{", length=9), 0.05, "reset"), "body/reset"),
    "bad chunk": (answering(CHUNKED + b"zz\r\n"), "body/malformed"),
    "longer than announced": (answering(http("{}{}", length=2)), "body/malformed"),
    "announced too large": (answering(http("", length=9_000_000)), "body/too_large"),
    "in crumbs": (answering(CHUNKED + b"1\r\n \r\n" * 12_000), "body/too_large"),
    "endless": (answering(ENDLESS + b"x" * 2_000_000), "body/too_large"),
    "gzip bomb": (
        answering(http(gzip.compress(b" " * 50_000_000), headers=GZIP)),
        "body/too_large",
    ),
    "bad gzip": (answering(http(b"\x1f\x8bnonsense", headers=GZIP)), "body/decompress"),
    "plain, called gzip": (
        answering(http(discovery(), headers=GZIP)),
        "body/decompress",
    ),
    "gzip cut short": (
        answering(http(gzip.compress(b"x" * 99)[:-9], headers=GZIP)),
        "body/decompress",
    ),
    "deflate cut short": (
        answering(http(zlib.compress(b"x" * 99, wbits=-15)[:-2], headers=DEFLATE)),
        "body/decompress",
    ),
    "brotli": (
        answering(http(b"x", headers="Content-Encoding: br\r\n")),
        "body/content_encoding",
    ),
    "gzip twice": (
        answering(http(b"x", headers="Content-Encoding: gzip, gzip\r\n")),
        "body/content_encoding",
    ),
    "empty": (answering(http("")), "body/empty"),
}


@pytest.mark.parametrize("document", list(Document))
@pytest.mark.parametrize("vice", [*HTTP_VICES, *(f"body {vice}" for vice in BODY_VICES)])
async def test_a_server_that_answers_badly(bench, document, vice):
    """The document that failed is named, and what came before it is kept."""
    handler, expected = (HTTP_VICES | {f"body {k}": v for k, v in BODY_VICES.items()})[vice]
    is_first = document is Document.DISCOVERY
    port = bench.serve(handler if is_first else None, None if is_first else handler)
    timeout = 1.0 if "stall" in vice else 5.0
    report = await bench.probe(port, timeout_seconds=timeout)

    assert saw(report) == f"{document}/{expected}"
    last = report.fetches[-1]
    assert last.document is document
    assert last.tls.is_verified
    if expected.startswith("body/"):
        assert last.status == 200


async def test_a_server_that_speaks_http2_alone(bench, farm, pki):
    """Such a server finds nothing it knows among the protocols that we offer."""
    context = server_context(pki)
    context.set_alpn_protocols(["h2"])
    report = await bench.probe(farm.serve(answering(b"\0\0\0\x04\0\0\0\0\0"), context))

    assert saw(report) == "discovery/http/http2_only"


async def test_a_redirect_shows_where_it_led_and_no_more(bench):
    report = await bench.probe(bench.serve(HTTP_VICES["redirects"][0]))

    assert report.fetches[0].redirect == "https://login.test"


async def test_a_response_body_of_another_status_is_left_unread(bench):
    """A block page may be endless; STS has no use for it."""
    endless = answering(b"HTTP/1.1 403 Forbidden\r\n\r\n" + b"x" * 3_000_000, "stall")
    report = await bench.probe(bench.serve(endless))

    assert verdict(report) == "discovery/http/forbidden"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (GZIP, gzip.compress(KEYS.encode())),
        (
            "Content-Encoding: x-gzip\r\n",
            gzip.compress(KEYS[:9].encode()) + gzip.compress(KEYS[9:].encode()),
        ),
        (DEFLATE, zlib.compress(KEYS.encode())),
        (DEFLATE, zlib.compress(KEYS.encode(), wbits=-15)),
        ("Content-Encoding: identity\r\n", KEYS.encode()),
    ],
    ids=["gzip", "two members", "zlib", "bare deflate", "identity"],
)
async def test_a_body_compressed_unasked_is_no_fault(bench, headers, body):
    report = await bench.probe(bench.serve(None, http(body, headers=headers)))

    assert verdict(report) == "usable"
    assert report.fetches[1].size_bytes == len(KEYS)


def test_bare_deflate_is_read_to_its_end_whatever_its_size():
    """zlib may have taken all the input while the output's last bytes wait for room."""
    wrong = []
    for size in range(65_500, 65_800):
        inflate = _Inflate(100_000, may_be_bare=True)
        if inflate.feed(zlib.compress(b" " * size, wbits=-15)) != b" " * size:
            wrong.append(size)

    assert wrong == []


async def test_plain_text_that_is_called_gzip_is_not_taken_for_deflate(bench):
    report = await bench.probe(bench.serve(http(discovery(), headers=GZIP)))

    assert "incorrect header check" in report.failure.detail


class AllAtOnce(Connection):
    """A connection on which the whole answer has come already: nothing is ever waited for."""

    def __init__(self, *reads: bytes) -> None:  # no socket, and none of what needs one
        self._reads = list(reads)

    async def send(self, _data, _stopwatch):
        pass

    async def receive(self, _stopwatch):
        return self._reads.pop(0)


async def test_a_body_in_crumbs_leaves_the_loop_to_others():
    """h11 needs 10 us for each of them, and other probes' clocks run on."""
    begun: list[Phase] = []
    exchange = Exchange(AllAtOnce(CHUNKED + b"1\r\n \r\n" * 9_000 + b"0\r\n\r\n"))
    getting = asyncio.ensure_future(
        exchange.get(
            "/",
            [("Host", "a")],
            max_body_bytes=10**6,
            stopwatch=Stopwatch(9),
            begun=begun.append,
        )
    )
    turns = 0
    while not getting.done():
        await asyncio.sleep(0)
        turns += 1

    assert await getting == b" " * 9_000
    assert turns > 20


@pytest.mark.parametrize(
    "answer",
    [
        http(b"x", headers="Content-Encoding: br\r\n"),
        http("", length=9_000_000),
        http("no", "404 Not Found"),
    ],
    ids=["unknown encoding", "announced too large", "no 200"],
)
async def test_a_body_that_was_not_read_has_no_size(bench, answer):
    report = await bench.probe(bench.serve(answer))

    assert report.fetches[0].size_bytes is None


async def test_a_length_beside_chunks_is_not_believed(bench):
    """RFC 9112 6.3: the encoding for the transfer overrides it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(KEYS), KEYS.encode())
    report = await bench.probe(bench.serve(None, head + body))

    assert verdict(report) == "usable"


# --- documents and keys ------------------------------------------------------------------

DOCUMENTS: dict[str, bytes | str] = {
    "html": "<!doctype html><title>Login</title>",
    "invalid_json": "{nope",
    "encoding": b'{"issuer": "\xff"}',
    "not_object": "[]",
    "issuer_missing": discovery(issuer=None),
    "issuer_mismatch": discovery(issuer=URL + "/"),
    "jwks_uri_missing": discovery(jwks_uri=None),
    "jwks_uri_invalid": discovery(jwks_uri="/jwks"),
    "jwks_uri_insecure": discovery(jwks_uri="http://issuer.test/jwks"),
}
KEY_SETS: dict[str, bytes | str] = {
    "html": "<html>",
    "invalid_json": '{"keys": NaN}',
    "encoding": "{}".encode("utf-16"),
    "not_object": '"keys"',
    "missing_keys": "{}",
    "empty": '{"keys": []}',
    "malformed": '{"keys": [1]}',
    "no_usable_key": json.dumps({"keys": [KEY | {"use": "enc"}]}),
    "too_many": json.dumps({"keys": [KEY | {"kid": str(n)} for n in range(101)]}),
}


@pytest.mark.parametrize("reason", DOCUMENTS)
async def test_a_discovery_document_that_is_none(bench, reason):
    report = await bench.probe(bench.serve(http(DOCUMENTS[reason])))

    assert saw(report) == f"discovery/document/{reason}"


@pytest.mark.parametrize("reason", KEY_SETS)
async def test_a_key_set_that_is_none(bench, reason):
    report = await bench.probe(bench.serve(None, http(KEY_SETS[reason])))

    assert saw(report) == f"jwks/keys/{reason}"


async def test_a_mismatch_still_shows_the_keys(bench):
    """What else is wrong, or right, is worth knowing: Entra's `common` is such an issuer."""
    report = await bench.probe(bench.serve(http(DOCUMENTS["issuer_mismatch"])))

    assert len(report.key_set.keys) == 1


# --- where a key set may lead ------------------------------------------------------------


@pytest.mark.parametrize("host", ["169.254.169.254", "169.254.169.254.", "[64:ff9b::a00:1]"])
async def test_a_public_issuer_may_not_lead_into_our_network(bench, farm, host):
    """Cloud metadata behind a `jwks_uri`: refused before a packet is sent."""
    port = bench.serve(http(discovery(jwks_uri=f"https://{host}/keys")))
    asked: list[bytes] = []

    async def proxy(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 Connected\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    proxy_url = f"http://127.0.0.1:{farm.serve(proxy)}"
    report = await bench.probe(1, connect_to=None, proxy_url=proxy_url)

    assert saw(report) == "jwks/config/refused_target"
    assert len(asked) == 1
    assert b"CONNECT issuer.test:443 " in asked[0]


async def test_a_proxy_whose_name_is_unknown_is_told_from_the_issuer(bench, farm):
    server = farm.nameserver(lambda question, _: dns_reply(question, rcode=3))
    report = await bench.probe(
        1, connect_to=None, nameservers=(server,), proxy_url="http://proxy.test:3128"
    )

    assert verdict(report) == "discovery/dns/nxdomain"
    assert report.failure.detail.startswith("the proxy's own name: proxy.test: ")


@pytest.mark.parametrize(
    ("status", "reason"), [("403 No", "refused"), ("502 Bad", "unreachable")]
)
async def test_a_proxy_that_will_not(bench, farm, status, reason):
    proxy = farm.serve(answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()))
    report = await bench.probe(1, connect_to=None, proxy_url=f"http://127.0.0.1:{proxy}")

    assert verdict(report) == f"discovery/tcp/{reason}"


# --- the clock, and us -------------------------------------------------------------------


async def test_late_is_measured_and_still_judged(bench):
    # A busy machine has a second for the discovery document.
    port = bench.serve(None, answering(1.2, http(KEYS)))
    report = await bench.probe(port, budget_seconds=1.0, timeout_seconds=10.0)

    assert saw(report) == "jwks/budget/exceeded"
    assert report.duration_seconds >= 1.2
    assert len(report.key_set.keys) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"", "it holds no certificate to trust"),
        (b"-----BEGIN CERTIFICATE-----\nhalf", "it holds no certificate to trust"),
    ],
)
async def test_without_its_ca_file_nothing_is_said_about_an_issuer(
    bench, tmp_path, content, words
):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    report = await bench.probe(1, ca_file=str(path))

    assert verdict(report) == "discovery/internal/error"
    assert report.failure.detail == f"ca_file {path}: {words}"


def test_every_stage_and_reason_was_reached_above():
    """`internal/error` is told apart in the tests of the schedule and of our own means."""
    every = {(stage, reason) for stage, reasons in REASONS.items() for reason in reasons}

    assert every - REACHED == {(Stage.INTERNAL, Reason.ERROR)}


def test_no_row_of_the_tls_table_hides_a_later_one():
    parts = [part for part, _, _ in TLS_REASONS]

    assert not [p for i, p in enumerate(parts) if any(q in p for q in parts[:i])]
