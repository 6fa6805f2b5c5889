"""A TLS server that answers late and notes how late it really was.

What a perfect client would measure between its request and the first byte of the answer
is known here: the kernel stamps the request's arrival, and on loopback `send` puts the
answer into the client's socket before it returns. So it does not matter how busy this
process is; only the two ends count. One line of the records is

    host <TAB> path <TAB> sent (Unix seconds) <TAB> true seconds to the first byte
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import selectors
import socket
import ssl
import struct
import sys
import time
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from bench.process import HOST

if TYPE_CHECKING:
    from typing import TextIO

# Linux's numbers (asm-generic/socket.h); Python's socket module has no names for them.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")
_NANO = 1_000_000_000

_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "Cache-Control: public, max-age=3600\r\n\r\n"
)


class Answer(NamedTuple):
    """A request that waits for its time; ordered by it."""

    due_ns: int
    received_ns: int
    serial: int
    connection: Connection
    host: str
    path: str


class Connection:
    """One client: a socket, and TLS worked by hand, so that the arrival can be read."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_ready = False
        self._request = b""

    def receive(self) -> tuple[int, bytes] | None:
        """The kernel's arrival time and a whole request, once there is one.

        Raises:
            EOFError: The client is gone.
        """
        data, ancillary, _, _ = self.sock.recvmsg(65536, 64)
        if not data:
            raise EOFError
        self._incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._work()
        self._flush()
        if not self._request.endswith(b"\r\n\r\n"):
            return None
        request, self._request = self._request, b""
        return _arrival_ns(ancillary), request

    def send(self, response: bytes) -> int:
        """Send *response*; the time is the one just before the kernel takes it."""
        self._tls.write(response)
        data = self._outgoing.read()
        now_ns = time.time_ns()
        self.sock.send(data)
        return now_ns

    def _work(self) -> None:
        if not self._is_ready:
            self._tls.do_handshake()
            self._is_ready = True
        while data := self._tls.read():
            self._request += data
        raise EOFError

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.sock.send(self._outgoing.read())


class Server:
    """Accepts, waits and answers, in one thread."""

    def __init__(self, directory: Path, *, port: int, delay_seconds: float) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
        self._discovery = Template((directory / "discovery.json").read_text())
        self._jwks = Template((directory / "jwks.json").read_text())
        self._delay_ns = round(delay_seconds * _NANO)
        self._waiting: list[Answer] = []
        self._serial = 0
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((HOST, port), backlog=1024)
        self._listener.settimeout(0)
        # Linux stamps packets while some socket wants it, and begins a moment late.
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self, records: TextIO) -> None:
        """Answer for ever, one line in *records* for each answer."""
        while True:
            for key, _ in self._selector.select(self._patience_seconds()):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            while self._waiting and self._waiting[0].due_ns <= time.time_ns():
                self._answer(heapq.heappop(self._waiting), records)

    def _patience_seconds(self) -> float | None:
        if not self._waiting:
            return None
        return max(0, self._waiting[0].due_ns - time.time_ns()) / _NANO

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # it has left already
            return
        connection = Connection(sock, self._context)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _read(self, connection: Connection) -> None:
        try:
            received = connection.receive()
        except BlockingIOError:
            return
        except (EOFError, OSError):  # OSError: a reset, or TLS that failed
            self._selector.unregister(connection.sock)
            connection.sock.close()
            return
        if received is not None:
            self._plan(connection, *received)

    def _plan(self, connection: Connection, received_ns: int, request: bytes) -> None:
        lines = request.decode().split("\r\n")
        hosts = [line[5:].strip() for line in lines if line.lower().startswith("host:")]
        self._serial += 1
        heapq.heappush(
            self._waiting,
            Answer(
                due_ns=received_ns + self._delay_ns,
                received_ns=received_ns,
                serial=self._serial,
                connection=connection,
                host=hosts[0],
                path=lines[0].split(" ")[1],
            ),
        )

    def _answer(self, answer: Answer, records: TextIO) -> None:
        document = self._jwks if answer.path.startswith("/jwks") else self._discovery
        body = document.substitute(host=answer.host)
        try:
            sent_ns = answer.connection.send((_HEAD.format(length=len(body)) + body).encode())
        except (OSError, ValueError):  # the client left while it waited
            return
        seconds = (sent_ns - answer.received_ns) / _NANO
        records.write(f"{answer.host}\t{answer.path}\t{sent_ns / _NANO:.6f}\t{seconds:.6f}\n")


def _arrival_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Of the last segment read: a request is one segment, and the last that was sent."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds) * _NANO + int(nanoseconds)
    sys.exit("this kernel gives TCP no arrival times: accuracy cannot be measured here")


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="bench.truth")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, required=True, help="seconds")
    arguments = parser.parse_args()
    server = Server(arguments.directory, port=arguments.port, delay_seconds=arguments.delay)
    with arguments.records.open("w", buffering=1) as records:
        server.serve(records)


if __name__ == "__main__":
    main()
