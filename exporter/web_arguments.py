"""The arguments that say where the exporter answers, and whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.argument_types import address, prefix, requests, telemetry_path
from exporter.web import MOST_REQUESTS
from exporter.web.listen import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Callable


def add_web(add: Callable[..., object]) -> None:
    """Hand each of them to *add*, as `argparse` takes them."""
    add(
        "--web.listen-address",
        dest="listen_addresses",
        action="append",
        type=address,
        metavar="[HOST]:PORT|unix:PATH",
        help=f"where to answer; may be repeated (default: :{DEFAULT_PORT})",
    )
    add(
        "--web.systemd-socket",
        dest="is_activated",
        action="store_true",
        help="answer on the sockets that systemd has opened, in place of the default",
    )
    add(
        "--web.config.file",
        dest="web_config_file",
        type=Path,
        metavar="PATH",
        help="TLS, users, headers and a rate limit, in exporter-toolkit's format",
    )
    add(
        "--web.max-requests",
        dest="max_requests",
        type=requests,
        default=MOST_REQUESTS,
        metavar="NUMBER",
        help="how many requests to work on at once, 0 for no limit (default: %(default)s)",
    )
    _add_paths(add)


def _add_paths(add: Callable[..., object]) -> None:
    add(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=telemetry_path,
        default="/metrics",
        metavar="PATH",
        help="where the metrics are (default: %(default)s)",
    )
    add(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="reload the configuration on POST /-/reload",
    )
    add(
        "--web.external-url",
        dest="prefix",
        type=prefix,
        default="",
        metavar="URL",
        help="where a reverse proxy serves the exporter, if it does so below a path",
    )
