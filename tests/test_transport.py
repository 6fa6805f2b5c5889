"""Addresses tried in turn, chains looked at, and what a dead address is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from exporter.clock import Stopwatch
from exporter.demo.programs import free_port
from exporter.faults import Stopped
from exporter.fetch import Terms, _public, fetch, target_of
from exporter.probe import Prober
from exporter.reasons import Code, Document, Family, Reason, Scope
from exporter.resolve import literal, resolve, scope_of
from exporter.transport import _interleaved, dial
from exporter.trust import read_certificate, trust
from tests.authority import DAY, now, server_context, stranger
from tests.probing import DISCOVERY_PATH, KEYS, URL, discovery, verdict
from tests.servers import answering, dns_hosts, dns_reply, http, routed


def codes(report) -> set[Code]:
    return {finding.code for finding in report.findings}


async def test_a_dead_address_among_several_is_a_finding(bench, farm):
    """Neither a false alarm nor a secret."""
    port = bench.serve()
    server = farm.nameserver(dns_hosts("127.0.0.2", "127.0.0.1"))
    dead_first = bench.issuer(
        port, url=f"https://issuer.test:{port}", connect_to=None, nameservers=(server,)
    )
    report = await Prober().probe(dead_first)
    fetch = report.fetches[0]

    assert fetch.address is not None
    assert fetch.address.ip == "127.0.0.1"
    assert [(a.ip, a.failure) for a in fetch.dead_addresses] == [("127.0.0.2", "refused")]
    assert Code.IP_FAMILY_PARTIAL in codes(report)


async def test_a_silent_address_costs_a_quarter_of_a_second(farm):
    """RFC 8305: the next address is tried while the first one is still waited for."""
    port, _ = farm.full_backlog()
    alive = socket.socket()
    alive.bind(("127.0.0.3", port))
    alive.listen()
    watch = Stopwatch(30)
    with alive:
        connection = await dial(("127.0.0.1", "127.0.0.3"), port, watch)
        connected = watch.now()
        dead = connection.dead_addresses()
        connection.close()

    assert connection.address.ip == "127.0.0.3"
    assert 0.2 < connected < 10
    assert [a.failure for a in dead] == ["no answer while another one answered"]


async def test_an_address_that_answers_later_is_not_dead(farm):
    port, listener = farm.full_backlog()
    alive = socket.create_server(("127.0.0.3", port))
    watch = Stopwatch(5)
    with alive:
        connection = await dial(("127.0.0.1", "127.0.0.3"), port, watch)
        listener.settimeout(3)
        # Room in the queue: the kernel's second SYN, a second after the first, gets in.
        for _ in range(2):
            (await asyncio.to_thread(listener.accept))[0].close()
        for _ in range(30):
            await asyncio.sleep(0.1)
            if not connection.dead_addresses():
                break

    assert connection.dead_addresses() == ()
    connection.close()


async def test_the_last_error_is_told_when_no_address_answers():
    port = free_port()

    with pytest.raises(Stopped) as stopped:
        await dial(("127.0.0.1", "127.0.0.2"), port, Stopwatch(2))

    assert stopped.value.detail.startswith(f"127.0.0.2:{port}: ")
    assert [a.failure for a in stopped.value.tried] == ["refused", "refused"]


async def test_no_route_of_ours_proves_nothing_of_the_peer():
    """A host without IPv6 must not call every dual-stack issuer half dead."""
    with socket.create_server(("127.0.0.1", 0)) as alive:
        watch = Stopwatch(2)
        port = alive.getsockname()[1]
        connection = await dial(("127.255.255.255", "127.0.0.1"), port, watch)
        connection.close()

    assert connection.address.ip == "127.0.0.1"
    assert connection.dead_addresses() == ()


def test_the_families_take_turns():
    ips = ("::1", "::2", "::3", "127.0.0.1")

    assert _interleaved(ips) == ["::1", "127.0.0.1", "::2", "::3"]
    assert _interleaved(ips[::-1]) == ["127.0.0.1", "::3", "::2", "::1"]


async def test_ipv6_is_dialled_as_well(bench, farm, pki):

    paths = routed({DISCOVERY_PATH: http(discovery()), "/jwks": http(KEYS)})
    port = farm.serve(paths, server_context(pki), host="::1")
    report = await bench.probe(port, connect_to=("::1", port))
    address = report.fetches[0].address

    assert verdict(report) == "usable"
    assert (address.family, address.scope) == (Family.IPV6, Scope.LOOPBACK)


@pytest.mark.parametrize(
    ("family", "ips"),
    [
        (None, {"127.0.0.1", "::1"}),
        (Family.IPV4, {"127.0.0.1"}),
        (Family.IPV6, {"::1"}),
    ],
)
async def test_a_family_can_be_chosen(farm, family, ips):
    server = farm.nameserver(dns_hosts("127.0.0.1", "::1"))
    got = await resolve(
        "issuer.test", family=family, nameservers=(server,), stopwatch=Stopwatch(2)
    )

    assert set(got) == ips


async def test_every_lookup_asks_again(farm):
    """c-ares would keep the answer for its whole time to live."""
    asked = []

    def answer(question, kind):
        asked.append(kind)
        return dns_hosts("127.0.0.1")(question, kind)

    server = farm.nameserver(answer)
    for _ in range(3):
        await resolve("issuer.test", family=None, nameservers=(server,), stopwatch=Stopwatch(2))

    assert sorted(asked) == [1, 1, 1, 28, 28, 28]


async def test_a_truncated_answer_is_asked_for_again_over_tcp(farm):
    """A long answer does not fit a datagram; the same port serves both."""
    many = [f"127.0.1.{n}" for n in range(1, 100)]

    async def over_tcp(reader, writer):
        while True:
            size = int.from_bytes(await reader.readexactly(2))
            data = await reader.readexactly(size)
            end = data.index(b"\0", 12) + 5
            question = data[:2] + data[12:end]
            reply = dns_hosts(*many)(question, int.from_bytes(data[end - 4 : end - 2]))
            writer.write(len(reply).to_bytes(2) + reply)

    def truncated(question, _kind):
        reply = dns_reply(question)
        return reply[:2] + b"\x83\x80" + reply[4:]

    # One that nobody has by chance, over UDP or TCP.
    port = free_port()
    farm.serve(over_tcp, port=port)
    server = farm.nameserver(truncated, port=port)
    got = await resolve(
        "issuer.test", family=Family.IPV4, nameservers=(server,), stopwatch=Stopwatch(4)
    )

    assert set(got) == set(many)


async def test_a_cancelled_lookup_is_gone(farm):
    server = farm.nameserver(lambda *_: None)
    lookup = asyncio.ensure_future(
        resolve("issuer.test", family=None, nameservers=(server,), stopwatch=Stopwatch(9))
    )
    await asyncio.sleep(0.05)
    lookup.cancel()

    with pytest.raises(asyncio.CancelledError):
        await lookup


async def test_a_cancelled_probe_closes_its_connection(bench):
    reached, closed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def stall(reader, _writer):
        loop.call_soon_threadsafe(reached.set)
        with contextlib.suppress(OSError):
            await reader.read()
        loop.call_soon_threadsafe(closed.set)

    probe = asyncio.ensure_future(bench.probe(bench.serve(stall)))
    await asyncio.wait_for(reached.wait(), 5)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    await asyncio.wait_for(closed.wait(), 5)


@pytest.mark.parametrize(
    ("ip", "scope"),
    [
        ("8.8.8.8", Scope.GLOBAL),
        ("2606:4700::1111", Scope.GLOBAL),
        ("10.0.0.1", Scope.PRIVATE),
        ("fd00::1", Scope.PRIVATE),
        ("127.0.0.1", Scope.LOOPBACK),
        ("::1", Scope.LOOPBACK),
        ("::ffff:127.0.0.1", Scope.LOOPBACK),
        ("::ffff:8.8.8.8", Scope.GLOBAL),
        ("169.254.169.254", Scope.LINK_LOCAL),
        ("fe80::1%eth0", Scope.LINK_LOCAL),
        ("100.64.0.1", Scope.OTHER),
        ("224.0.0.1", Scope.OTHER),
        ("0.0.0.0", Scope.PRIVATE),
        ("::", Scope.PRIVATE),
        ("64:ff9b::a9fe:a9fe", Scope.LINK_LOCAL),
        ("64:ff9b::808:808", Scope.GLOBAL),
        ("64:ff9b:1::808:808", Scope.PRIVATE),
        ("2002:a00:1::1", Scope.PRIVATE),
        ("2002:808:808::1", Scope.GLOBAL),
        ("::127.0.0.1", Scope.LOOPBACK),
        ("::10.0.0.1", Scope.PRIVATE),
        ("::ffff:0:169.254.169.254", Scope.LINK_LOCAL),
        ("fec0::1", Scope.PRIVATE),
        ("3fff::1", Scope.PRIVATE),
        ("5f00::1", Scope.PRIVATE),
    ],
)
def test_the_scope_of_an_address(ip, scope):
    assert scope_of(ip) is scope


@pytest.mark.parametrize(
    ("host", "ip"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("169.254.169.254.", "169.254.169.254"),
        ("[::1]", "::1"),
        ("issuer.test", None),
        ("issuer.test.", None),
    ],
)
def test_a_literal_needs_no_lookup(host, ip):
    assert literal(host) == ip


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("https://a.test", "a.test", 443, "/", "a.test"),
        ("https://A.test/x%20y?b=ü", "a.test", 443, "/x%20y?b=%C3%BC", "a.test"),
        (
            "https://bücher.test:8443/",
            "xn--bcher-kva.test",
            8443,
            "/",
            "xn--bcher-kva.test:8443",
        ),
        ("https://[::1]:444/k", "::1", 444, "/k", "[::1]:444"),
        ("https://127.0.0.1/k", "127.0.0.1", 443, "/k", "127.0.0.1"),
    ],
)
def test_a_url_becomes_a_target(url, host, port, path, header):
    target = target_of(url)

    assert (target.host, target.port, target.path, target.host_header) == (
        host,
        port,
        path,
        header,
    )


async def test_a_request_is_what_a_plain_client_sends(bench):
    """No cookie, no credentials, an honest name; the issuer's path is kept."""
    heads = []

    async def note(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http("", "404 Not Found"))

    port = bench.serve(
        **{"tenant/.well-known/openid-configuration": note},
    )
    await bench.probe(port, url="https://issuer.test/tenant/")
    lines = heads[0].decode().split("\r\n")

    assert lines[0] == "GET /tenant/.well-known/openid-configuration HTTP/1.1"
    assert {line.split(":")[0].lower() for line in lines[1:] if line} == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
    }
    assert "oidc-issuer-exporter/" in heads[0].decode()


@pytest.mark.parametrize(
    ("vice", "code"), [("chain_order", Code.CHAIN_ORDER), ("chain_extra", Code.CHAIN_EXTRA)]
)
async def test_a_chain_that_aws_would_refuse_is_a_finding(bench, vice, code):
    report = await bench.probe(bench.serve(vice=vice))

    assert verdict(report) == "usable"
    assert code in codes(report)


async def test_tls13_alone_is_a_finding_and_asked_once(bench, farm, pki):
    """AWS falls back to thumbprints where TLS 1.3 is required."""

    context = server_context(pki)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    routes = {DISCOVERY_PATH: http(discovery()), "/jwks": http(KEYS)}
    port, outcomes = farm.serve_alerts(context, routes)
    prober = Prober()
    first = await prober.probe(bench.issuer(port))
    second = await prober.probe(bench.issuer(port))
    both = await bench.probe(bench.serve())

    assert Code.TLS13_ONLY in codes(first) & codes(second)
    assert outcomes == ["TLSv1.3", "SSLError", "TLSv1.3"]
    assert both.fetches[0].tls.is_tls13_only is False


async def test_a_tls12_server_is_not_asked_again(bench, farm, pki):

    context = server_context(pki)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    paths = routed({DISCOVERY_PATH: http(discovery()), "/jwks": http(KEYS)})
    report = await bench.probe(farm.serve(paths, context))
    tls = report.fetches[0].tls

    assert (tls.version, tls.is_tls13_only) == ("TLSv1.2", None)


async def test_a_private_authority_is_told_from_a_public_one(bench):
    """The issuer's own `ca_file` is trust that STS does not have."""
    report = await bench.probe(bench.serve())

    assert report.fetches[0].tls.is_public_ca is False
    assert Code.PRIVATE_CA in codes(report)


async def test_an_absolute_name_is_the_same_name_to_tls(bench):
    """A `jwks_uri` with a dot after the host: no certificate has one."""
    port = bench.serve(http(discovery(jwks_uri="https://issuer.test./jwks")))
    report = await bench.probe(port)

    assert verdict(report) == "usable"
    assert report.fetches[1].url == "https://issuer.test./jwks"


async def test_retry_after_reaches_the_report(bench):
    waiting = http("", "429 Too Many Requests", "Retry-After: 120\r\n")
    report = await bench.probe(bench.serve(answering(waiting)))

    wait = report.retry_after_timestamp_seconds - report.started_timestamp_seconds
    assert 119 < wait < 125


async def test_a_name_over_253_octets_cannot_be_asked_for():
    with pytest.raises(Stopped) as stopped:
        target_of("https://" + "a." * 130 + "test/keys")

    assert stopped.value.reason is Reason.BAD_NAME


def test_a_public_host_with_a_private_address_beside_is_dialled_at_the_public_one():
    target = target_of("https://keys.test/jwks")

    assert _public(target, ("10.0.0.1", "8.8.8.8")) == ("8.8.8.8",)


def test_a_public_host_with_private_addresses_alone_is_refused():
    with pytest.raises(Stopped) as stopped:
        _public(target_of("https://keys.test/jwks"), ("10.0.0.1", "::1"))

    assert (stopped.value.stage, stopped.value.reason) == ("config", "refused_target")
    assert [a.scope for a in stopped.value.tried] == [Scope.PRIVATE, Scope.LOOPBACK]


@pytest.mark.parametrize("tail", [b"\r\n", b"\n", b"\r\n\r\n\r\n"])
@pytest.mark.parametrize("pause", [None, 0.0, 0.005])
async def test_a_line_end_after_a_body_is_looked_past(bench, tail, pause):
    """Whether it comes in the body's packet, before or after our next request."""

    def followed(document):
        whole = http(document)
        if pause is None:
            return answering(whole + tail)
        return answering(whole, pause, tail)

    report = await bench.probe(bench.serve(followed(discovery()), followed(KEYS)))

    assert verdict(report) == "usable"


async def test_what_is_left_of_one_document_is_not_blamed_on_the_next(bench):
    """It comes when the key set has been asked for: any client would ask anew."""
    asked = []

    async def leave_some(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(head)
            if len(asked) == 2:
                writer.write(b"}\r\n")
            writer.write(http(discovery() if len(asked) == 1 else KEYS))

    report = await bench.probe(bench.serve(leave_some, leave_some))

    assert (verdict(report), report.fetches[1].is_reused) == ("usable", False)
    assert len(asked) == 3


LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("ending", [LATE, b"\r\n", b"}", "close", "reset"])
async def test_a_connection_with_leftovers_is_not_reused(bench, ending):
    issuer = bench.issuer(bench.serve(answering(http(discovery()), 0.02, ending)))
    terms = Terms(
        issuer=issuer,
        trust=trust(issuer.ca_file),
        stopwatch=Stopwatch(5),
        is_tls13_only=lambda _: None,
    )
    got = await fetch(Document.DISCOVERY, URL + DISCOVERY_PATH, terms)
    assert got.exchange is not None
    # The ending is there once there is something to read.
    await asyncio.to_thread(select.select, [got.exchange.connection._sock], [], [], 5)

    assert not got.exchange.is_reusable()
    got.exchange.connection.close()


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.test:8443/a?token=1", "https://login.test"),
        ("//login.test/a", "https://login.test"),
        ("/elsewhere", "the same host"),
        ("https://[broken", None),
        ("", None),
    ],
)
async def test_a_redirect_is_shown_without_its_secrets(bench, location, shown):
    moved = http("", "301 Moved", f"Location: {location}\r\n" if location else "")
    report = await bench.probe(bench.serve(answering(moved)))

    assert report.fetches[0].redirect == shown


def takes_a_key_set(types: list[str]) -> bool:
    """Kubernetes' API server: one of the types is what it produces, quality aside."""
    return "application/jwk-set+json" in types or "*/*" in types


def is_no_browser(types: list[str]) -> bool:
    """Rails: who takes anything beside something else gets HTML, or 406 where there is none."""
    return "*/*" not in types or len(types) == 1


@pytest.mark.parametrize("is_welcome", [takes_a_key_set, is_no_browser])
async def test_a_server_may_be_picky_about_what_is_accepted(bench, is_welcome):
    async def picky(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        accept = next(line for line in head.splitlines() if line.startswith("accept:"))
        types = [t.partition(";")[0] for t in accept.removeprefix("accept:").strip().split(",")]
        writer.write(http(KEYS) if is_welcome(types) else http("", "406 Not Acceptable"))
        await writer.drain()

    assert verdict(await bench.probe(bench.serve(None, picky))) == "usable"


def test_the_systems_trust_is_public():
    """Without a `ca_file`, what verifies is public by definition."""
    settings = trust(None)

    assert settings.private_roots == frozenset()
    assert settings.context.verify_mode is ssl.CERT_REQUIRED


async def test_a_root_of_the_system_is_public_also_beside_a_private_one(
    bench, pki, monkeypatch, tmp_path
):
    """The system's bundle is played by a file, as OpenSSL lets anyone choose it."""
    (tmp_path / "other.pem").write_bytes(stranger().certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(pki / "root.pem"))
    port = bench.serve()
    beside = await bench.probe(port, ca_file=str(tmp_path / "other.pem"))
    alone = await bench.probe(port, ca_file=None)

    assert beside.fetches[0].tls.is_public_ca is True
    assert alone.fetches[0].tls.is_public_ca is True
    assert Code.PRIVATE_CA not in codes(alone)


async def test_trust_is_made_once_and_again_when_the_file_changes(bench, pki, tmp_path):
    """A context with the system's bundle costs 20 ms; a new authority must still be seen."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(stranger().certificate.public_bytes(Encoding.PEM))
    port = bench.serve()
    prober = Prober()
    before = await prober.probe(bench.issuer(port, ca_file=str(ca_file)))
    ca_file.write_bytes((pki / "root.pem").read_bytes())
    os.utime(ca_file, ns=(1, 1))
    after = await prober.probe(bench.issuer(port, ca_file=str(ca_file)))

    assert (verdict(before), verdict(after)) == ("discovery/tls/unknown_ca", "usable")
    assert len(prober._trusts) == 1


async def test_a_ca_file_that_goes_or_is_half_written_stays_in_force(bench, pki, tmp_path):
    ca_file = tmp_path / "ca.pem"
    whole = (pki / "root.pem").read_bytes()
    port = bench.serve()
    issuer = bench.issuer(port, ca_file=str(ca_file))
    prober = Prober()
    seen = []
    with capture_logs() as logs:
        for moment, content in enumerate([whole, None, whole[:300], whole, whole[:300]]):
            ca_file.unlink(missing_ok=True)
            if content is not None:
                ca_file.write_bytes(content)
                os.utime(ca_file, ns=(moment, moment))
            seen += [verdict(await prober.probe(issuer)) for _ in range(2)]

    assert set(seen) == {"usable"}
    # Once for each time that it became so.
    told = [line["detail"] for line in logs if line["event"] == "ca_file.unreadable"]
    assert told == ["No such file or directory", "it holds no certificate to trust"]


def _odd(extension, key=None):
    key = key or ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + DAY)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return read_certificate(builder.sign(key, None).public_bytes(Encoding.DER))


def test_a_certificate_with_nothing_in_it_is_still_read():
    odd = _odd(None)

    assert (odd.names, odd.has_issuer_url, odd.key) == ((), False, "Ed25519")


@pytest.mark.parametrize("oid", ["2.5.29.17", "1.3.6.1.5.5.7.1.1"])
def test_an_extension_that_cannot_be_read_is_not_seen(oid):
    """A certificate is remote input; a garbled part of it must not stop the probe."""
    odd = _odd(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\xff\xff"))

    assert (odd.names, odd.has_issuer_url) == ((), False)


# --- another system than Linux -----------------------------------------------------------


async def test_without_the_kernels_stamps_the_loop_alone_is_believed(bench, monkeypatch):
    monkeypatch.setattr("exporter.clock.SO_TIMESTAMPNS", None)
    monkeypatch.setattr("exporter.clock.sys.platform", "darwin")
    report = await bench.probe(bench.serve())

    assert verdict(report) == "usable"
    assert not report.fetches[0].is_corrected
    assert report.fetches[0].correction_seconds == 0.0
