"""Whether an exporter lives: `python -m exporter.healthcheck [URL]`, where there is no curl.

Made for a container's health check, which runs beside the exporter every few seconds: it
imports nothing that takes time, and minds no proxy that the environment names.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporter.web import HEALTH_PATHS
from exporter.web.listen import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}{HEALTH_PATHS[0]}"

# Less than container runtimes give a health check unless told otherwise.
_TIMEOUT_SECONDS = 4.0


def fault(url: str) -> str | None:
    """Why the exporter at *url* is not healthy, in words, or None if it is."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return f"{url!r} is not a URL: write {DEFAULT_URL}, or https://..."
    connection = _connection(parts.scheme, parts.hostname, parts.port)
    try:
        connection.connect()
        status = _status(connection, parts.path or "/")
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"{url}: status {status}"


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    # Its certificate is for the name that scrapes use, not for the loopback address.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (ConnectionError, ssl.SSLError):
        # In TLS 1.3 a client that lacks a certificate is shown the door after its handshake.
        # Whoever wants one has served that handshake: it lives.
        if isinstance(connection, http.client.HTTPSConnection):
            return http.HTTPStatus.OK
        raise


def main(arguments: Sequence[str]) -> int:
    """Ask the URL in *arguments*, or the default; the exit code is 0 for healthy, else 1."""
    found = fault(arguments[0] if arguments else DEFAULT_URL)
    if found:
        sys.stderr.write(f"{found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
