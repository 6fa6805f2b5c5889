"""One HTTP/1.1 exchange over a connection: the request out, the answer in, all bounded.

h11 knows the protocol; what this module adds is the order of our own facts, the limits,
and the words for what went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import TYPE_CHECKING, NoReturn

import h11

from exporter.codings import applied
from exporter.faults import Stopped, from_os
from exporter.reasons import Phase, Reason, Stage
from exporter.text import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.clock import Stopwatch
    from exporter.transport import Connection

# No honest answer of an issuer comes close; CDNs send 1 to 3 KiB.
MAX_HEADER_BYTES = 64 * 1024
MAX_INFORMATIONAL = 16
# One step of decompression, so that a bomb never holds the loop for long.
_INFLATE_STEP_BYTES = 64 * 1024
# A body in crumbs costs h11 10 us a crumb: after so many the loop has its turn (2 ms), and
# after so many nobody goes on, unless the limit allows as many KiB. A server that sends
# every JSON token by itself needs some 3,000 for a set of 100 keys.
_PIECES_PER_TURN = 200
MAX_PIECES = 10_000
_HTTP2_SETTINGS = 4
_HTTP = b"HTTP/"
HTTP_OK = 200


class Exchange:
    """The HTTP side of one connection, for as many fetches as it bears.

    Attributes:
        status, headers: Of the response being read; None and empty until they are whole.
        size_bytes: Of the body read so far, after decompression; None when none is read.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.status: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.size_bytes: int | None = None
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._stage = Stage.HTTP
        self._has_answered = False
        self._is_awaited = True
        self._is_kept = False

    def is_reusable(self) -> bool:
        """Another request may follow on the same connection: nothing is left of this one."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        if http.trailing_data[0] or not self.connection.is_silent():
            return False
        http.start_next_cycle()
        self._is_kept = True
        return True

    async def get(
        self,
        target: str,
        headers: Sequence[tuple[str, str]],
        *,
        max_body_bytes: int,
        stopwatch: Stopwatch,
        begun: Callable[[Phase], None],
    ) -> bytes | None:
        """GET *target* and read the answer, the body only of a 200.

        STS has no use for the body of another status, and a block page may be endless.
        *begun* is told when `processing` and `transfer` begin; an interim response (1xx) is
        no answer yet, and makes `processing` begin once more.

        Returns:
            The body, decompressed; None when the status is not 200.

        Raises:
            Stopped: at stage `http` or `body` (or `tls`, when that is what broke); what
                was learnt before stands in the attributes.
        """
        self.status, self.headers, self.size_bytes = None, (), None
        self._stage, self._has_answered, self._is_awaited = Stage.HTTP, False, True
        try:
            request = h11.Request(method="GET", target=target, headers=list(headers))
            # Before the request is out: once it is, the peer may run in our place, and the
            # answer be under way before we look at the clock.
            begun(Phase.PROCESSING)
            await self._send(self._http.send(request), stopwatch)
            await self._send(self._http.send(h11.EndOfMessage()), stopwatch)
            if await self._read_head(stopwatch, begun) != HTTP_OK:
                return None
            return await self._read_body(max_body_bytes, stopwatch)
        except OSError as error:
            raise from_os(error, self._stage, self.connection.address.ip) from error

    async def _send(self, data: bytes | None, stopwatch: Stopwatch) -> None:
        if not data:
            return
        try:
            await self.connection.send(data, stopwatch)
        except ConnectionError:
            # The peer has gone already; why (a TLS alert) may stand in what it sent before.
            with contextlib.suppress(OSError):
                await self.connection.receive(stopwatch)
            raise

    async def _read_head(self, stopwatch: Stopwatch, begun: Callable[[Phase], None]) -> int:
        for _ in range(MAX_INFORMATIONAL):
            event = await self._event(stopwatch, begun)
            if isinstance(event, h11.Response):
                self.status = event.status_code
                self.headers = tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in event.headers
                )
                self._stage = Stage.BODY
                return self.status
            if not isinstance(event, h11.InformationalResponse):
                break
            begun(Phase.PROCESSING)
            self._is_awaited = not self._http.trailing_data[0]
            if not self._is_awaited:
                begun(Phase.TRANSFER)
        raise Stopped(Stage.HTTP, Reason.MALFORMED_RESPONSE, "no final response came")

    async def _read_body(self, limit: int, stopwatch: Stopwatch) -> bytes:
        encodings = [value for key, value in self.headers if key == "content-encoding"]
        decode = _decoder(applied(encodings), limit)
        declared = self._header("content-length")
        # An encoding for the transfer overrides the length (RFC 9112 6.3).
        is_declared = declared.isdigit() and not self._header("transfer-encoding")
        if is_declared and int(declared[:20]) > limit:
            raise _too_large(limit)
        self.size_bytes, pieces, most_pieces = 0, 0, max(MAX_PIECES, limit // 1024)
        body = bytearray()
        while not isinstance(event := await self._event(stopwatch), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += decode.feed(bytes(event.data))
                self.size_bytes = len(body)
            pieces += 1
            if pieces > most_pieces:
                words = f"{len(body)} bytes in more than {most_pieces} pieces"
                raise Stopped(Stage.BODY, Reason.TOO_LARGE, words)
            if pieces % _PIECES_PER_TURN == 0:
                await asyncio.sleep(0)
        decode.finish()
        # A line end too many is common, and every client looks past it.
        if self._http.trailing_data[0].strip(b"\r\n"):
            raise Stopped(Stage.BODY, Reason.MALFORMED, "more bytes than were announced")
        if not body:
            raise Stopped(Stage.BODY, Reason.EMPTY, "the body is empty")
        return bytes(body)

    def _header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key == name)

    async def _event(
        self, stopwatch: Stopwatch, begun: Callable[[Phase], None] | None = None
    ) -> h11.Event | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error)
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            data = await self.connection.receive(stopwatch)
            if data and self._is_kept and not self._has_answered:
                data = _without_leftovers(data)
                if not data:
                    continue
            if begun and data and self._is_awaited:
                self._is_awaited = False
                begun(Phase.TRANSFER)
                self._look_at_first(data)
            if not data and not self._has_answered:
                raise Stopped(Stage.HTTP, Reason.EMPTY_REPLY, "closed without an answer")
            self._has_answered = True
            self._http.receive_data(data)

    def _look_at_first(self, data: bytes) -> None:
        # A server that speaks HTTP/2 alone opens with a SETTINGS frame (RFC 9113 3.4).
        if len(data) > _HTTP2_SETTINGS and data[:1] == b"\0" and data[3] == _HTTP2_SETTINGS:
            raise Stopped(Stage.HTTP, Reason.HTTP2_ONLY, "the peer answered in HTTP/2 frames")

    def _refuse(self, error: h11.RemoteProtocolError) -> NoReturn:
        words = str(error)
        if self._stage is Stage.BODY:
            reason = Reason.TRUNCATED if "closed" in words else Reason.MALFORMED
        elif error.error_status_hint == 431:  # noqa: PLR2004 - Request Header Fields Too Large
            reason = Reason.HEADERS_TOO_LARGE
        else:
            reason = Reason.MALFORMED_RESPONSE
        raise Stopped(self._stage, reason, words) from error


def _without_leftovers(data: bytes) -> bytes:
    """The first bytes on a kept connection, without the line ends of the response before.

    Raises:
        Stopped: `http/empty_reply`, which is answered by asking again: what else is left of
            the response before is not the next document's fault.
    """
    data = data.lstrip(b"\r\n")
    if not _HTTP.startswith(data[: len(_HTTP)]):
        raise Stopped(Stage.HTTP, Reason.EMPTY_REPLY, "no answer, only leftovers")
    return data


async def tunnel(connection: Connection, authority: str, stopwatch: Stopwatch) -> None:
    """Have the proxy at the other end of *connection* connect to *authority* (RFC 9110 9.3.6).

    Raises:
        Stopped: at stage `tcp`: a proxy that will not or cannot is no connection.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
    proxy = f"proxy {connection.address.ip}"
    request = h11.Request(method="CONNECT", target=authority, headers=[("Host", authority)])
    try:
        await connection.send(http.send(request) or b"", stopwatch)
        http.send(h11.EndOfMessage())
        for _ in range(MAX_INFORMATIONAL):
            while (event := http.next_event()) is h11.NEED_DATA:
                http.receive_data(await connection.receive(stopwatch))
            if not isinstance(event, h11.InformationalResponse):
                break
    except OSError as error:
        raise from_os(error, Stage.TCP, proxy) from error
    except h11.RemoteProtocolError as error:
        raise Stopped(Stage.TCP, Reason.RESET, f"{proxy}: {error}") from error
    status = getattr(event, "status_code", 0)
    if not HTTP_OK <= status < 300:  # noqa: PLR2004 - any 2xx opens the tunnel
        reason = Reason.UNREACHABLE if status >= 500 else Reason.REFUSED  # noqa: PLR2004
        raise Stopped(Stage.TCP, reason, f"{proxy} answered {status} to CONNECT")


class _Plain:
    """A body as it is, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > self._limit:
            raise _too_large(self._limit)
        return data

    def finish(self) -> None:
        pass


class _Inflate(_Plain):
    """A gzip or deflate body, never inflated beyond the limit."""

    def __init__(self, limit: int, *, may_be_bare: bool) -> None:
        super().__init__(limit)
        self._may_be_bare = may_be_bare
        self._inflate: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bytes:
        out = bytearray()
        has_more = False
        try:
            while data or has_more:
                inflate = self._inflate or self._begin(data)
                piece = inflate.decompress(data, _INFLATE_STEP_BYTES)
                out += super().feed(piece)
                data = inflate.unconsumed_tail or inflate.unused_data
                # All the input may be taken while output still waits for room.
                has_more = len(piece) == _INFLATE_STEP_BYTES and not inflate.eof
                if inflate.eof:
                    # RFC 1952 2.2: a gzip file may hold several members.
                    self._inflate = None
        except zlib.error as error:
            raise Stopped(Stage.BODY, Reason.DECOMPRESS, str(error)) from error
        return bytes(out)

    def _begin(self, data: bytes) -> zlib._Decompress:
        # 47: zlib or gzip by their headers. Some servers send deflate bare, without one.
        is_bare = self._may_be_bare and data[:1] != b"\x1f" and data[0] & 0x0F != zlib.DEFLATED
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS if is_bare else 47)
        return self._inflate

    def finish(self) -> None:
        if self._inflate is not None:
            raise Stopped(Stage.BODY, Reason.DECOMPRESS, "the compressed body is cut short")


def _decoder(codings: tuple[str, ...], limit: int) -> _Plain:
    if not codings:
        return _Plain(limit)
    if codings in (("gzip",), ("x-gzip",), ("deflate",)):
        return _Inflate(limit, may_be_bare=codings == ("deflate",))
    words = f"Content-Encoding {listed(list(codings))}"
    raise Stopped(Stage.BODY, Reason.CONTENT_ENCODING, words)


def _too_large(limit: int) -> Stopped:
    return Stopped(Stage.BODY, Reason.TOO_LARGE, f"more than {limit} bytes")
