"""The demo's issuers, in a process of their own: `python -m exporter.demo.server`.

One HTTPS server on loopback answers for every site by SNI, Host and path, and one name
server for every lookup. A line of JSON on standard output says where they are; they end,
and their folder is removed, when standard input does: however the parent dies, nothing
is left behind.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.demo import nameserver
from exporter.demo.catalogue import ISSUERS, Trust
from exporter.demo.certificates import CA_FILE, Authority
from exporter.demo.lifeline import announce, end_of_input
from exporter.demo.sites import Answer, Site, site

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

_NOT_FOUND = Answer(status=404, headers=(("Content-Type", "text/plain"),), body=b"Not found\n")


def main() -> None:
    """Serve until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="oidc-issuer-demo-") as directory:
        asyncio.run(_serve(Path(directory)))


async def _serve(directory: Path) -> None:
    sites = [site(issuer) for issuer in ISSUERS]
    runner = web.AppRunner(
        _application(sites), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    tls = _contexts(directory, sites)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    names = await nameserver.start()
    place = {
        "directory": str(directory),
        "port": runner.addresses[0][1],
        "nameserver_port": names.get_extra_info("sockname")[1],
        "pid": os.getpid(),
    }
    announce(place)
    await end_of_input()
    names.close()
    await runner.cleanup()


def _application(sites: Iterable[Site]) -> web.Application:
    answers = {place: answer for site in sites for place, answer in site.answers.items()}

    async def handle(request: web.Request) -> web.Response:
        answer = _answer(answers, request.host.partition(":")[0], request.path)
        await asyncio.sleep(answer.delay_seconds)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    application.on_response_prepare.append(_unsign)
    return application


def _answer(
    answers: Mapping[tuple[str, str], Callable[[float], Answer]], host: str, path: str
) -> Answer:
    make = answers.get((host, path))
    if make is None:
        return Answer(
            status=404, headers=(("Content-Type", "text/plain"),), body=b"Not found\n"
        )
    return make(time.time())


async def _unsign(_request: web.Request, response: web.StreamResponse) -> None:
    """Keep aiohttp's own name out of answers that somebody else's server gave."""
    if response.headers.get("Server", "").startswith("Python/"):
        del response.headers["Server"]


def _contexts(directory: Path, sites: Iterable[Site]) -> ssl.SSLContext:
    """TLS settings that show each site its own certificate, by SNI."""
    authority = Authority()
    (directory / CA_FILE).write_bytes(authority.root.pem)
    contexts = {
        host: authority.context(directory, host, site.issuer.trust, site.issuer.days)
        for site in sites
        for host in site.hosts
    }
    nameless = authority.context(directory, nameserver.KNOWN_NAME, Trust.GOOD, days=90)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts.get(name or "", nameless)

    nameless.sni_callback = choose
    return nameless


if __name__ == "__main__":
    main()
