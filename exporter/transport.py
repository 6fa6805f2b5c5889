"""One connection: addresses tried, TLS shaken, bytes moved, each step on the clock.

TLS runs over memory buffers, so that this module sees every arrival of bytes itself: when
the handshake began, which bytes ended it, and what a peer sent that does not speak TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.clock import Stopwatch, connected_ago, stamp
from exporter.faults import OUR_WANTS, Stopped, from_os, from_tls
from exporter.model import Address, Tls
from exporter.reasons import Family, Reason, Stage
from exporter.resolve import family_of, scope_of
from exporter.trust import seen, served_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.trust import Trust

#: How long an address may stay silent before the next one is tried too (RFC 8305 5).
ATTEMPT_DELAY_SECONDS = 0.25
_TLS_CONTENT_TYPES = range(20, 25)
_TLS_MAJOR_VERSION = 3
# No route at all: this host's own lack (no IPv6, say), which proves nothing of the peer.
_NO_ROUTE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(slots=True, eq=False)
class _Attempt:
    """One address being tried.

    Attributes:
        sock: None before `connect`, and when this host has no socket to give.
    """

    address: Address
    sock: socket.socket | None = None
    error: OSError | None = None

    async def connect(self, stopwatch: Stopwatch) -> tuple[socket.socket, float | None]:
        """Connect; the socket, and how long ago it was done when we learnt of it.

        Raises:
            TimeoutError, OSError: also kept as *error*.
        """
        try:
            sock = self._open()
            code = sock.connect_ex((self.address.ip, self.address.port))
            if code == errno.EINPROGRESS:
                await stopwatch.ready(sock, writing=True)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            self.error = error
            raise
        if code:
            self.error = OSError(code, os.strerror(code))
            raise self.error
        return sock, connected_ago(sock)

    def _open(self) -> socket.socket:
        inet = socket.AF_INET6 if self.address.family is Family.IPV6 else socket.AF_INET
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        self.sock = sock = socket.socket(inet, kind, socket.IPPROTO_TCP)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamp(sock)
        return sock

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()

    def verdict(self) -> Address | None:
        """The address with why it is dead; None for one that may yet be alive."""
        if self.error is not None:
            return None if self.is_our_lack() else self.failed()
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.getpeername()
                return None  # it answered, only later than another
        return replace(self.address, failure="no answer while another one answered")

    def failed(self) -> Address:
        """The address with its own error."""
        return replace(self.address, failure=self.stopped().reason.replace("_", " "))

    def is_our_lack(self) -> bool:
        """The error proves nothing of the peer."""
        return self.is_starved() or (self.error is not None and self.error.errno in _NO_ROUTE)

    def is_starved(self) -> bool:
        """The error is want of our own means."""
        return self.error is not None and self.error.errno in OUR_WANTS

    def stopped(self) -> Stopped:
        """The error in the exporter's words."""
        ip, port = self.address.ip, self.address.port
        where = f"[{ip}]:{port}" if self.address.family is Family.IPV6 else f"{ip}:{port}"
        return from_os(self.error or TimeoutError(), Stage.TCP, where)


class Connection:
    """A TCP connection, and the TLS session on it once there is one.

    Attributes:
        address: The one that answered.
        tls: What the handshake showed; None before it.
    """

    def __init__(
        self, address: Address, sock: socket.socket, rivals: Sequence[_Attempt]
    ) -> None:
        self.address = address
        self.tls: Tls | None = None
        self._sock = sock
        self._rivals = rivals
        self._session: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def dead_addresses(self) -> tuple[Address, ...]:
        """The addresses that were tried beside and have not answered until now."""
        return tuple(dead for rival in self._rivals if (dead := rival.verdict()))

    async def secure(
        self,
        host: str,
        trust: Trust,
        stopwatch: Stopwatch,
        *,
        is_tls13_only: bool | None = None,
    ) -> None:
        """Shake hands as *host*; `tls` is filled whether it succeeds or not.

        A dot at the end of *host* makes a name absolute in DNS alone: it is in no certificate
        and not allowed in SNI (RFC 6066 3). *is_tls13_only* is what is known of the server
        from before.

        Raises:
            Stopped: at stage `tls`, or `http/http2_only`.
        """
        name = host.removesuffix(".")
        session = trust.context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        is_verified = False
        try:
            await self._shake(session, stopwatch)
            is_verified = True
        except ssl.SSLError as error:
            with contextlib.suppress(OSError, TimeoutError):
                await self._flush(stopwatch)
            raise from_tls(error, served_chain(session), now=time.time()) from error
        except OSError as error:
            raise from_os(error, Stage.TLS, self.address.ip) from error
        finally:
            self.tls = seen(
                session,
                is_verified=is_verified,
                private_roots=trust.private_roots,
                is_tls13_only=is_tls13_only,
            )
        self._session = session

    async def _shake(self, session: ssl.SSLObject, stopwatch: Stopwatch) -> None:
        is_first = True
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush(stopwatch)
                data = await stopwatch.receive(self._sock)
                if is_first and data and not _is_tls(data):
                    raise Stopped(
                        Stage.TLS, Reason.NOT_TLS, f"the peer sent {data[:16]!r}, not TLS"
                    ) from None
                is_first = False
                self._feed(data)
        await self._flush(stopwatch)

    async def send(self, data: bytes, stopwatch: Stopwatch) -> None:
        """Send all of *data*.

        Raises:
            OSError: as the socket says. TimeoutError: at the deadline.
        """
        if self._session is None:
            await self._send_raw(data, stopwatch)
        else:
            self._session.write(data)
            await self._flush(stopwatch)

    async def receive(self, stopwatch: Stopwatch) -> bytes:
        """The next bytes of the stream; empty at its end, with or without a farewell.

        Raises:
            Stopped: when TLS breaks (a client certificate asked for late, TLS 1.3).
            OSError: as the socket says. TimeoutError: at the deadline.
        """
        if self._session is None:
            return await stopwatch.receive(self._sock)
        while True:
            try:
                return self._session.read(65_536)
            except ssl.SSLWantReadError:
                self._feed(await stopwatch.receive(self._sock))
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise from_tls(error, (), now=time.time()) from error

    def is_silent(self) -> bool:
        """Nothing waits to be read, and the peer has not gone: looked at, not waited for."""
        try:
            with contextlib.suppress(BlockingIOError):
                self._feed(self._sock.recv(65_536))
            if self._session is not None:
                self._session.read(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it at once, and every attempt beside it; no farewell is waited for."""
        _close(self._rivals)
        self._sock.close()

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self, stopwatch: Stopwatch) -> None:
        if self._outgoing.pending:
            await self._send_raw(self._outgoing.read(), stopwatch)

    async def _send_raw(self, data: bytes, stopwatch: Stopwatch) -> None:
        rest = memoryview(data)
        stopwatch.act()
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                await stopwatch.ready(self._sock, writing=True)


def _is_tls(data: bytes) -> bool:
    return data[0] in _TLS_CONTENT_TYPES and (len(data) == 1 or data[1] == _TLS_MAJOR_VERSION)


async def dial(ips: Sequence[str], port: int, stopwatch: Stopwatch) -> Connection:
    """Connect to the first of *ips* that answers, as a standard client tries them.

    The families take turns, and the next address is tried when one has failed or has been
    silent for a quarter of a second (RFC 8305, sections 4 and 5).

    Raises:
        Stopped: at stage `tcp`, with the last error that tells of the peer and all the
            addresses tried, each with its own; at `internal` for want of our own means.
    """
    attempts: list[_Attempt] = []
    try:
        return await _race(_interleaved(ips), port, stopwatch, attempts)
    except OSError as error:
        _close(attempts)
        told = _telling(attempts).stopped()
        told.tried = tuple(attempt.failed() for attempt in attempts)
        raise told from error
    except BaseException:
        _close(attempts)
        raise


def _telling(attempts: Sequence[_Attempt]) -> _Attempt:
    """Of attempts that have all failed, the one that says most: the last, as a rule.

    No route is the least of it: a host without IPv6 would otherwise hide what IPv4 said.
    Want of our own means is the most: then nobody was asked everything.
    """
    return max(
        reversed(attempts),
        key=lambda a: (a.is_starved(), not a.is_our_lack()),
    )


async def _race(
    ips: Sequence[str], port: int, stopwatch: Stopwatch, attempts: list[_Attempt]
) -> Connection:
    stopwatch.act()
    since = stopwatch.now()
    waiting = list(ips)
    running: dict[asyncio.Task[tuple[socket.socket, float | None]], _Attempt] = {}
    try:
        while True:
            if waiting:
                attempts.append(_Attempt(_address(waiting.pop(0), port)))
                connecting = attempts[-1].connect(stopwatch)
                running[asyncio.ensure_future(connecting)] = attempts[-1]
            done, _ = await asyncio.wait(
                running,
                timeout=ATTEMPT_DELAY_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                attempt = running.pop(task)
                error = task.exception()
                if error is None:
                    sock, lag = task.result()
                    stopwatch.correct(since, lag)
                    rivals = [a for a in attempts if a is not attempt]
                    return Connection(attempt.address, sock, rivals)
                if not waiting and not running:
                    raise error
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def _close(attempts: Sequence[_Attempt]) -> None:
    for attempt in attempts:
        attempt.close()


def _address(ip: str, port: int) -> Address:
    return Address(ip=ip, port=port, family=family_of(ip), scope=scope_of(ip))


def _interleaved(ips: Sequence[str]) -> list[str]:
    if not ips:
        return []
    first = family_of(ips[0])
    own = [ip for ip in ips if family_of(ip) is first]
    other = [ip for ip in ips if family_of(ip) is not first]
    mixed = [ip for pair in zip(own, other, strict=False) for ip in pair]
    return mixed + own[len(other) :] + other[len(own) :]
