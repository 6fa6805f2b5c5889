"""Servers on loopback, one vice each, in a thread with a loop of its own.

Of its own, so that a test can hold its loop and the far end still answers in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import ssl

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")

_LINGER_NONE = struct.pack("ii", 1, 0)


async def settle() -> None:
    """A transport takes a few turns of the loop to begin, and as many to end."""
    for _ in range(5):
        await asyncio.sleep(0)


class Farm:
    """A thread that serves until the test ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._sockets: list[socket.socket] = []
        self._open: list[Any] = []
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def serve(
        self,
        handler: Handler,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> int:
        """Serve *handler* over TLS (or plain) on a port, which is returned."""

        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        async def start() -> int:
            server = await asyncio.start_server(guarded, host, port, ssl=context)
            self._open.append(server)
            return int(server.sockets[0].getsockname()[1])

        return self.run(start())

    def serve_alerts(
        self, context: ssl.SSLContext, routes: dict[str, bytes] | None = None
    ) -> tuple[int, list[str]]:
        """Shake hands as *context* wants, and say why not: asyncio drops the alert unsent.

        Returns the port, and a list that grows by the outcome of each connection.
        """
        outcomes: list[str] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(listener)

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                    sock.settimeout(5)
                except OSError:
                    return
                try:
                    with context.wrap_socket(sock, server_side=True) as session:
                        outcomes.append(str(session.version()))
                        while head := session.recv(4096):
                            path = head.split(b" ")[1].decode()
                            session.sendall((routes or {})[path])
                except OSError as error:
                    outcomes.append(type(error).__name__)
                    sock.close()

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1]), outcomes

    def full_backlog(self) -> tuple[int, socket.socket]:
        """A port whose queue is full: the kernel drops every further SYN."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        self._sockets.append(listener)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            self._sockets.append(filler)
        return listener.getsockname()[1], listener

    def nameserver(
        self, answer: Callable[[bytes, int], bytes | None], delay: float = 0, port: int = 0
    ) -> str:
        """A name server on UDP: *answer* gets the question and its type."""

        class Protocol(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                end = data.index(b"\0", 12) + 5
                reply = answer(data[:2] + data[12:end], int.from_bytes(data[end - 4 : end - 2]))
                if reply is not None:
                    loop = asyncio.get_running_loop()
                    loop.call_later(delay, self.transport.sendto, reply, addr)

        async def start() -> str:
            transport, _ = await self.loop.create_datagram_endpoint(
                Protocol, local_addr=("127.0.0.1", port)
            )
            self._open.append(transport)
            return f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"

        return self.run(start())

    async def end(self, one: Any) -> None:
        """Close a server, or a transport.

        asyncio (3.11) loses the socket of a connection that it has accepted and not begun
        when its server closes: so none is accepted any more, and only then it closes.
        """
        for sock in getattr(one, "sockets", ()):
            self.loop.remove_reader(sock)
        await settle()
        one.close()

    def close(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

        async def stop() -> None:
            for one in self._open:
                await self.end(one)
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await settle()

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def dns_reply(question: bytes, *addresses: str, rcode: int = 0) -> bytes:
    """An answer to *question* (id and question section): addresses, or a code."""
    header = struct.pack("!HHHHH", 0x8180 | rcode, 1, len(addresses), 0, 0)
    reply = question[:2] + header + question[2:]
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        kind = 28 if ":" in address else 1
        reply += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(packed)) + packed
    return reply


def dns_hosts(*addresses: str) -> Callable[[bytes, int], bytes]:
    """Every name has these addresses."""

    def answer(question: bytes, kind: int) -> bytes:
        wanted = [a for a in addresses if (":" in a) == (kind == 28)]
        return dns_reply(question, *wanted)

    return answer


def http(
    body: bytes | str,
    status: str = "200 OK",
    headers: str = "Content-Type: application/json\r\n",
    *,
    length: int | None = None,
) -> bytes:
    """A plain response; *length* overrides the honest Content-Length."""
    body = body.encode() if isinstance(body, str) else body
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {size}\r\n\r\n"
    return head.encode() + body


def answering(*steps: bytes | float | str) -> Handler:
    """For each request: bytes are sent, a number is a pause, `close`, `reset`, `stall`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for step in steps:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif step == "close":
                    return
                elif step == "reset":
                    reset(writer)
                    return
                elif step == "stall":
                    await asyncio.sleep(30)
                else:
                    await asyncio.sleep(float(step))

    return handle


def routed(routes: dict[str, bytes | Handler]) -> Handler:
    """Answers by path; a path that is missing is 404; connections are kept alive."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            route = routes.get(path, http("no", "404 Not Found"))
            if isinstance(route, bytes):
                writer.write(route)
                await writer.drain()
            else:
                again = asyncio.StreamReader()
                again.feed_data(head)
                again.feed_eof()
                try:
                    await route(again, writer)
                except asyncio.IncompleteReadError:
                    continue  # it wants the next request, which may be another's
                return

    return handle


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()
