"""The web server: listeners, their TLS, and the web configuration that both follow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from exporter import log
from exporter.web.config import WebConfig, digest, load
from exporter.web.connection import Connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.own_metrics import Own
    from exporter.web.security import Guard
    from exporter.web.tls import Tls

#: How soon a new certificate is in use; twice that at most, as it has to settle first.
LOOK_SECONDS = 1.0

# A client that connects and says nothing holds a file, like any other.
_HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 1.0
# A scrape under way may end, within what shutdown promises as a whole.
_DRAIN_SECONDS = 0.5

# The file of a Unix socket belongs to the socket, not to one of its servers.
_UNIX_OPTIONS: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

_logger = structlog.get_logger()


class Server:
    """Answers on sockets; with a *config_file*, as that says, whenever it changes."""

    def __init__(
        self,
        app: web.Application,
        guard: Guard,
        *,
        config_file: Path | None = None,
        own: Own,
    ) -> None:
        """*own* is told whether a load of the web configuration succeeded."""
        self._runner = web.AppRunner(app, shutdown_timeout=_DRAIN_SECONDS)
        self._guard = guard
        self._sockets: Sequence[socket.socket] = ()
        self._config_file = config_file
        self._own = own
        self._servers: list[asyncio.Server] = []
        self._connections: Connections | None = None
        self._reloading = asyncio.Lock()
        self._seen = ""

    async def start(self, config: WebConfig, sockets: Sequence[socket.socket]) -> None:
        """Answer on *sockets*, which are ours from now on, as *config* says."""
        self._sockets = sockets
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - there is one after setup
        self._connections = Connections(self._runner.server)
        await self._listen(config.tls)
        self._guard.follow(config)
        self._seen = config.digest
        _tell(config)

    async def reload(self) -> None:
        """Read the web configuration anew, if there is one, and follow it.

        Raises:
            ConfigError: It was refused; the old one stays in force.
        """
        if self._config_file is None or self._connections is None:
            return
        async with self._reloading:
            try:
                config = await asyncio.to_thread(load, self._config_file)
                await self._follow(config)
            except Exception as error:
                self._own.web_reloaded(is_success=False)
                # Were the good file back before the next look, nobody would notice.
                self._seen = ""
                log.config_rejected(error, what="web_config")
                raise
            self._own.web_reloaded(is_success=True)
        _logger.info("web_config.reloaded")
        _tell(config)

    async def watch(self) -> None:
        """Reload whenever the content of the files has changed, and has settled."""
        if self._config_file is None:
            return
        before = self._seen
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = await asyncio.to_thread(digest, self._config_file)
            # Certificate and key are two files: between the two writes they do not match.
            if found != self._seen and found == before:
                await self._reload_quietly()
                # What is refused is refused once.
                self._seen = self._seen or found
            before = found

    async def close(self) -> None:
        """Stop listening, and end connections when their requests have been answered."""
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        await self._runner.cleanup()

    async def _reload_quietly(self) -> None:
        # Told and logged by then; a bug of ours should not end the watch.
        with contextlib.suppress(Exception):
            await self.reload()

    async def _follow(self, config: WebConfig) -> None:
        assert self._connections is not None  # noqa: S101 - started
        tls = self._connections.tls
        is_same = config.tls is None if tls is None else tls.is_as(config.tls)
        if not is_same:
            await self._listen(config.tls)
        self._guard.follow(config)
        self._seen = config.digest

    async def _listen(self, tls: Tls | None) -> None:
        """Accept with *tls*, then stop accepting as before: nobody is turned away between."""
        assert self._connections is not None  # noqa: S101 - see start
        self._connections.tls = tls
        old, self._servers = self._servers, [await self._accept(s) for s in self._sockets]
        for server in old:
            server.close()

    async def _accept(self, sock: socket.socket) -> asyncio.Server:
        assert self._connections is not None  # noqa: S101 - see start
        loop = asyncio.get_running_loop()
        tls = self._connections.tls
        options: dict[str, Any] = {"sock": sock.dup()}
        if tls is not None:
            options |= {
                "ssl": tls.context,
                "ssl_handshake_timeout": _HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": _GOODBYE_SECONDS,
            }
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(self._connections, **options, **_UNIX_OPTIONS)
        return await loop.create_server(self._connections, **options)


def _tell(config: WebConfig) -> None:
    if config.users and config.tls is None:
        _logger.warning("web_config.weak", reason="passwords cross the network in the clear")
    if config.wants_http2:
        _logger.info("web_config.ignored", key="http2", reason="only HTTP/1.1 is served")
