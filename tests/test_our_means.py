"""What this host or process lacks itself is never the issuer's fault."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from typing import TYPE_CHECKING, Any

import pytest

from exporter.clock import Stopwatch
from exporter.faults import OUR_WANTS, Stopped, from_os
from exporter.probe import Prober
from exporter.reasons import Reason, Stage
from exporter.resolve import resolve
from exporter.transport import dial
from tests.probing import verdict
from tests.servers import dns_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The kernel gives this process none until the end."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a kernel started with `ipv6.disable=1`, which no test can have."""

    class Socket(socket.socket):
        def __init__(self, family: int = -1, *args: Any, **settings: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, *args, **settings)

    monkeypatch.setattr(socket, "socket", Socket)


@pytest.mark.parametrize("ips", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
@pytest.mark.usefixtures("without_ipv6")
async def test_a_kernel_without_ipv6_still_reaches_ipv4(ips):
    with socket.create_server(("127.0.0.1", 0)) as alive:
        connection = await dial(ips, alive.getsockname()[1], Stopwatch(4))
        connection.close()

    assert connection.address.ip == "127.0.0.1"
    assert connection.dead_addresses() == ()


@pytest.mark.usefixtures("without_ipv6")
async def test_a_kernel_without_ipv6_calls_ipv6_unreachable():
    with pytest.raises(Stopped) as stopped:
        await dial(("::1",), 443, Stopwatch(4))

    assert (stopped.value.stage, stopped.value.reason) == ("tcp", "unreachable")
    assert stopped.value.detail.startswith("[::1]:443: ")


@pytest.mark.usefixtures("without_ipv6")
async def test_what_ipv4_said_is_told_on_a_host_without_ipv6():
    """Each address keeps its own error; the one that tells of the peer names the failure."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Stopped) as stopped:
        await dial(("127.0.0.1", "::1"), port, Stopwatch(4))

    assert (stopped.value.stage, stopped.value.reason) == ("tcp", "refused")
    assert stopped.value.detail.startswith(f"127.0.0.1:{port}: ")
    assert [(a.ip, a.failure) for a in stopped.value.tried] == [
        ("127.0.0.1", "refused"),
        ("::1", "unreachable"),
    ]


async def test_a_probe_without_a_descriptor_blames_nobody(bench):
    """It is told like any failure, and is no bug: `probe` returns its report."""
    port = bench.serve()
    prober = Prober()
    await prober.probe(bench.issuer(port))  # what is made once is made
    with no_descriptor_left():
        report = await prober.probe(bench.issuer(port))

    assert verdict(report) == "discovery/internal/error"
    assert report.failure is not None
    assert report.failure.detail == "out of file descriptors: raise the limit"


async def test_a_lookup_without_a_descriptor_blames_no_name_server(farm):
    """c-ares says "connection refused" when the kernel gives it no socket."""
    server = farm.nameserver(dns_hosts("127.0.0.1"))
    watch = Stopwatch(4)
    await resolve("issuer.test", family=None, nameservers=(server,), stopwatch=watch)
    with no_descriptor_left(), pytest.raises(Stopped) as stopped:
        await resolve("issuer.test", family=None, nameservers=(server,), stopwatch=watch)

    assert (stopped.value.stage, stopped.value.reason) == ("internal", "error")
    assert stopped.value.detail == "out of file descriptors: raise the limit"


@pytest.mark.parametrize("code", OUR_WANTS)
@pytest.mark.parametrize("stage", [Stage.TCP, Stage.TLS, Stage.HTTP, Stage.BODY])
def test_want_of_our_own_means_is_internal_at_every_stage(code, stage):
    told = from_os(OSError(code, os.strerror(code)), stage, "127.0.0.1")

    assert (told.stage, told.reason) == (Stage.INTERNAL, Reason.ERROR)
