"""The look at TLS 1.2: what proves that a server lacks it, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from exporter import tls12
from exporter.fetch import Target
from exporter.probe import Prober
from exporter.reasons import Code
from exporter.tls12 import Tls12Looks, _Way
from tests.authority import server_context
from tests.probing import DISCOVERY_PATH, KEYS, discovery, verdict
from tests.servers import dns_hosts, http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.model import Report

ROUTES = {DISCOVERY_PATH: http(discovery()), "/jwks": http(KEYS)}

Later: TypeAlias = "Callable[[socket.socket], None]"


class Server:
    """Serves its first connection over TLS; later ones, the looks, are the test's."""

    def __init__(self, context: ssl.SSLContext, later: Later) -> None:
        self.routes = dict(ROUTES)
        self.looks: list[float] = []
        self._context = context
        self.later = later
        self.looked_at = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            session = self._context.wrap_socket(sock, server_side=True)
            with session:
                while head := session.recv(4096):
                    session.sendall(self.routes[head.split(b" ")[1].decode()])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            self._hand(sock, self.serve)
            while True:
                sock, _ = self._listener.accept()
                self.looks.append(time.time())
                self.looked_at.set()
                self._hand(sock, self.later)

    def _hand(self, sock: socket.socket, answer: Later) -> None:
        sock.settimeout(5)
        threading.Thread(target=answer, args=(sock,), daemon=True).start()


@pytest.fixture
def serve(pki) -> Iterator[Callable[[Later], Server]]:
    """Start a `Server`."""
    servers = []

    def start(later: Later) -> Server:
        servers.append(Server(server_context(pki), later))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def known(report: Report) -> list[bool | None]:
    """What each fetch tells of its server."""
    return [fetch.tls.is_tls13_only for fetch in report.fetches if fetch.tls]


def drop(sock: socket.socket) -> None:
    """Say nothing until the peer gives up, as a filter does that knows no TLS 1.2."""
    with sock, contextlib.suppress(OSError):
        while sock.recv(4096):
            pass


async def test_a_probe_has_ended_before_the_look(bench, serve, monkeypatch):
    monkeypatch.setattr(tls12, "LIMIT_SECONDS", 0.2)
    server = serve(drop)
    report = await Prober().probe(bench.issuer(server.port))

    assert verdict(report) == "usable"
    assert report.ended_timestamp_seconds <= server.looks[0]
    assert known(report)[0] is None


async def test_a_look_that_learnt_nothing_is_not_repeated_at_once(bench, serve, monkeypatch):
    """Neither is one that was cancelled, with the scrape that waited for it."""
    monkeypatch.setattr(tls12, "LIMIT_SECONDS", 20.0)
    server = serve(drop)
    prober = Prober()
    probe = asyncio.ensure_future(prober.probe(bench.issuer(server.port, timeout_seconds=30)))
    await asyncio.to_thread(server.looked_at.wait, 10)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    server.later = server.serve
    again = await prober.probe(bench.issuer(server.port, timeout_seconds=30))
    monkeypatch.setattr(tls12, "RETRY_SECONDS", 0.0)
    later = await prober.probe(bench.issuer(server.port, timeout_seconds=30))

    assert (verdict(again), known(again)[0]) == ("usable", None)
    assert (verdict(later), known(later)[0]) == ("usable", False)


async def test_two_servers_are_looked_at_side_by_side(bench, farm, serve, monkeypatch):
    """Each answers only when the other has been asked as well."""
    monkeypatch.setattr(tls12, "LIMIT_SECONDS", 20.0)
    both = threading.Barrier(2, timeout=5)

    def meet(server: Server) -> Later:
        def answer(sock: socket.socket) -> None:
            with sock, contextlib.suppress(threading.BrokenBarrierError):
                both.wait()
                server.serve(sock)

        return answer

    first, second = serve(drop), serve(drop)
    first.later, second.later = meet(first), meet(second)
    url = f"https://issuer.test:{first.port}"
    keys = f"https://issuer.test:{second.port}/jwks"
    first.routes[DISCOVERY_PATH] = http(discovery(issuer=url, jwks_uri=keys))
    report = await Prober().probe(
        bench.issuer(
            first.port,
            url=url,
            connect_to=None,
            nameservers=(farm.nameserver(dns_hosts("127.0.0.1")),),
            timeout_seconds=30.0,
        )
    )

    assert verdict(report) == "usable"
    assert known(report) == [False, False]


async def test_a_refusal_for_another_reason_proves_nothing(bench, farm, pki, serve):
    """Under TLS 1.2 a server that wants a client certificate fails the handshake itself."""
    picky = server_context(pki)
    picky.verify_mode = ssl.CERT_REQUIRED
    picky.load_verify_locations(pki / "root.pem")
    looked_at, outcomes = farm.serve_alerts(picky)

    def hand_on(sock: socket.socket) -> None:
        with (
            sock,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", looked_at)) as other,
        ):
            other.sendall(sock.recv(65536))
            while data := other.recv(65536):
                sock.sendall(data)
                other.sendall(sock.recv(65536))

    report = await Prober().probe(bench.issuer(serve(hand_on).port))
    for _ in range(100):
        if outcomes:
            break
        await asyncio.sleep(0.05)

    assert verdict(report) == "usable"
    assert outcomes == ["SSLError"]
    assert known(report)[0] is None
    assert Code.TLS13_ONLY not in {finding.code for finding in report.findings}


async def test_any_certificate_proves_the_protocol(bench, pki, serve):
    """The probe judges the certificate; the look asks for nothing but the version."""
    expired = server_context(pki, "expired")

    def answer(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError), expired.wrap_socket(sock, server_side=True):
            pass

    report = await Prober().probe(bench.issuer(serve(answer).port))

    assert verdict(report) == "usable"
    assert known(report)[0] is False


async def test_two_backends_of_one_name_are_asked_apart(bench, farm, pki):
    """Blue and green behind one URL, told apart by `connect_to`."""
    prober, told = Prober(), []
    for least in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = server_context(pki)
        context.minimum_version = least
        port, _ = farm.serve_alerts(context, ROUTES)
        report = await prober.probe(bench.issuer(port))
        told.append(known(report)[0])

    assert told == [True, False]


def test_the_answers_of_servers_long_gone_are_forgotten(monkeypatch):
    """A `jwks_uri` may name another host in every answer."""
    now = 0.0
    monkeypatch.setattr("exporter.tls12.time.monotonic", lambda: now)
    monkeypatch.setattr(tls12, "_MOST_ANSWERS", 3)
    looks = Tls12Looks()
    ways = [_Way(Target(f"h{n}.test", 443, "/"), None, None) for n in range(6)]
    for way in ways[:5]:
        looks._note(way, None)
    kept = list(looks._answers)
    now = tls12.INTERVAL_SECONDS
    looks._note(ways[5], None)

    assert kept == ways[2:5]
    assert list(looks._answers) == [ways[5]]
