"""One client's connection: the only place that touches aiohttp's protocol.

Half a request, an endless one, or a reader that does not read must not hold what others need.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from exporter.web.security import HEADERS, SERVER

if TYPE_CHECKING:
    from exporter.web.tls import Tls

#: From a connection, or the answer before, to the last byte of a request's headers. Above
#: the minute that lies between two scrapes, as a rule.
IDLE_SECONDS = 75.0
#: From an answer's last byte being ready to its being sent.
WRITE_SECONDS = 30.0
#: Connections at once. Each costs a file, of which many systems grant 1024, and the probes
#: need theirs.
MOST_CONNECTIONS = 256
MAX_LINE_BYTES = 8 * 1024
#: Of one header's value. It differs from the line's limit, which tells the two apart.
MAX_FIELD_BYTES = MAX_LINE_BYTES - 2
MAX_HEADERS = 64

_LINGER_SECONDS = 1.0
_logger = structlog.get_logger()


class Connections:
    """Makes the protocol of every connection that a listener accepts.

    Attributes:
        tls: As new connections have it; those made under another one end after an answer.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self.tls: Tls | None = None

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        if len(self._server.connections) >= MOST_CONNECTIONS:
            return _TooMany()
        return _Connection(
            self,
            self._server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
            access_log_class=AccessLog,
        )


class _TooMany(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _logger.debug("connection.refused", reason=f"there are {MOST_CONNECTIONS} others")
        _abort(transport)


class _Connection(web.RequestHandler):
    """aiohttp's connection, which trusts clients in a few more points."""

    __slots__ = ("_connections", "_tls")

    def __init__(self, connections: Connections, server: web.Server, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(server, **settings)
        self._connections = connections
        self._tls = connections.tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        refusal = self._tls.refusal(transport.get_extra_info("peercert")) if self._tls else ""
        if not refusal:
            super().connection_made(transport)
            return
        # A warning: whoever gets here has a certificate of a CA of ours.
        _logger.warning("connection.refused", reason=refusal)
        _abort(transport)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if self._tls is not self._connections.tls:
            # Who was trusted then may not be now.
            resp.force_close()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # Anybody can send nonsense, or hang up: that is worth a line for who looks, and no
        # traceback.
        if isinstance(exc, ConnectionError):
            _logger.debug("request.abandoned", remote=request.remote, error=str(exc))
            raise exc
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        status = _status(exc)
        _logger.debug("request.malformed", remote=request.remote, error=str(exc))
        text = f"{HTTPStatus(status).phrase}\n"
        response = web.Response(status=status, text=text, headers={**SERVER, **HEADERS})
        response.force_close()
        return response


def _abort(transport: asyncio.BaseTransport) -> None:
    # No isinstance: uvloop's transports are no subclasses of asyncio's.
    cast("asyncio.Transport", transport).abort()


def _status(error: HttpProcessingError) -> int:
    if not isinstance(error, LineTooLong):
        return HTTPStatus.BAD_REQUEST
    is_line = str(error.args[1]) == str(MAX_LINE_BYTES)
    return (
        HTTPStatus.REQUEST_URI_TOO_LONG
        if is_line
        else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    )


class AccessLog(AbstractAccessLogger):
    """One line for each request, at debug."""

    @property
    def enabled(self) -> bool:
        """Somebody reads it."""
        return bool(_logger.is_enabled_for(logging.DEBUG))

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line; what a client wrote is escaped and cut, as in every line."""
        _logger.debug(
            "request.finished",
            method=request.method,
            path=request.path_qs[:_LONGEST_VALUE],
            status_code=response.status,
            size_bytes=response.body_length,
            duration_seconds=round(time, 6),
            remote=request.remote or "",
            user_agent=request.headers.get("User-Agent", "")[:_LONGEST_VALUE],
        )


_LONGEST_VALUE = 256
