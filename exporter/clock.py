"""One probe's clock: the only module that decides when something happened.

A loop that is busy learns late that bytes have come, and would add its own delay to an
issuer's latency. The kernel stamps every packet when it arrives; what passed between that
moment and ours is taken off again.
"""

from __future__ import annotations

import asyncio
import atexit
import select
import socket
import struct
import sys
import time
from functools import cache

#: Linux's socket option for arrival times in nanoseconds; the socket module lacks the name.
#: The number is the same on every architecture that Python publishes wheels for.
SO_TIMESTAMPNS = 35 if sys.platform == "linux" else None
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)

# Offset of tcpi_last_data_recv in struct tcp_info; on a fresh connection it counts from
# the moment the handshake ended. It ticks in jiffies, up to 10 ms long: a smaller value
# says nothing.
_LAST_DATA_RECV = struct.Struct("@I")
_LAST_DATA_RECV_OFFSET = 52
_COARSEST_JIFFY_SECONDS = 0.010


def stamp(sock: socket.socket) -> None:
    """Ask the kernel to stamp what arrives on *sock*, where it can."""
    if SO_TIMESTAMPNS is not None:
        _keep_stamping()
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


@cache
def _keep_stamping() -> socket.socket:
    """Hold one stamped socket for as long as the process lives.

    Linux stamps packets only while some socket of the host wants it, and switches that on
    a moment late: without this, the first packets of a quiet exporter would lack a stamp.
    """
    keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    atexit.register(keeper.close)
    keeper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS or 0, 1)
    return keeper


def read_stamped(sock: socket.socket, size: int, flags: int = 0) -> tuple[bytes, float | None]:
    """Read what is there on *sock*, and how many seconds ago its last byte had arrived.

    Returns:
        The bytes (empty at the end of the stream) and the age, None when the kernel gave
        no stamp: at the end of a stream, or on another system than Linux.
    """
    data, ancillary, _, _ = sock.recvmsg(size, _ANCILLARY_BYTES, flags)
    now = time.time_ns()
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return data, (now - seconds * 1_000_000_000 - nanoseconds) / 1e9
    return data, None


def connected_ago(sock: socket.socket) -> float | None:
    """How many seconds ago the TCP handshake of *sock* ended; 0.0 when just now."""
    if sys.platform != "linux":
        return None
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV_OFFSET + 4)
    ago: int = _LAST_DATA_RECV.unpack_from(info, _LAST_DATA_RECV_OFFSET)[0]
    seconds = ago / 1000
    return seconds if seconds >= _COARSEST_JIFFY_SECONDS else 0.0


class Stopwatch:
    """Seconds since a probe began, the loop's own delay taken off, and the one deadline.

    A late look at an answer delays what we do next, and everything that follows from it.
    What the peer sends of its own accord (session tickets, the rest of a body) is no later
    for it: between two actions of ours, each arrival's lag stands for itself.

    Attributes:
        correction_seconds: What is taken off at present.
        is_corrected: False once a wait ended without the kernel's word for it.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = time.perf_counter()
        self._deadline = self._loop.time() + timeout_seconds
        self._settled = 0.0
        self._forgiven = 0.0
        self.correction_seconds = 0.0
        self.is_corrected = True

    def now(self) -> float:
        """Seconds since the probe began."""
        return time.perf_counter() - self._start - self.correction_seconds

    def act(self) -> None:
        """We do something that the peer waits for: it is as late as we are by now."""
        self._settled = self.correction_seconds

    def correct(self, since: float, lag: float | None) -> None:
        """What a wait that began at *since* (`now()`) waited for came *lag* seconds ago.

        The clock never goes back behind *since*: what had come before the wait began was
        late by our own work, which is no wait.
        """
        if lag is None:
            self.is_corrected = False
        longest = time.perf_counter() - self._start - since
        self.correction_seconds = min(self._settled + max(lag or 0.0, 0.0), longest)
        # Kept when the next arrival corrects the clock anew: behind a full window, the rest
        # of a body could not even be sent while nobody looked.
        self._forgiven = max(self._forgiven, self.correction_seconds)

    async def receive(self, sock: socket.socket, size: int = 65_536) -> bytes:
        """Read from *sock* once something has come; empty at the end of the stream.

        Raises:
            TimeoutError: at the deadline.
            OSError: as the socket says.
        """
        since = self.now()
        await self.ready(sock)
        data, lag = read_stamped(sock, size)
        # The end of a stream has no stamp; the loop's word must do.
        self.correct(since, lag if data else 0.0)
        return data

    async def ready(self, sock: socket.socket, *, writing: bool = False) -> None:
        """Wait until *sock* can be read (or written).

        Raises:
            TimeoutError: at the deadline, but never when the socket was ready in time and
                only the loop was late. Once it has passed, no wait begins: a peer that
                always has more to say would never let us go.
        """
        if not self.remaining():
            raise TimeoutError
        loop, fd = self._loop, sock.fileno()
        future = loop.create_future()
        event = select.POLLOUT if writing else select.POLLIN
        # What the loop's delay took off the clock is given back to the deadline.
        timer = loop.call_at(self._deadline + self._forgiven, _expire, future, fd, event)
        (loop.add_writer if writing else loop.add_reader)(fd, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            (loop.remove_writer if writing else loop.remove_reader)(fd)

    def remaining(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(self._deadline + self._forgiven - self._loop.time(), 0.0)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None], fd: int, event: int) -> None:
    # A loop that was held past the deadline may run this timer before it looks at its
    # sockets (uvloop always does): what is there already came in time, or nearly so.
    poll = select.poll()
    poll.register(fd, event)
    if poll.poll(0):
        _wake(future)
    elif not future.done():
        future.set_exception(TimeoutError())
