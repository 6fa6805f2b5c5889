"""Every argument of the command line: its name, its form, its default and its meaning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.argument_types import (
    certificates,
    configured,
    interval,
    limit,
    ordinal,
    shards,
)
from exporter.durations import format_duration
from exporter.log import FORMATS, LEVELS
from exporter.reasons import Family
from exporter.web_arguments import add_web

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_CONFIG = Path("config.yaml")
#: Fields of `Issuer` that `check` takes from its arguments.
SETTINGS = (
    "budget_seconds",
    "ca_file",
    "connect_to",
    "ip_family",
    "nameservers",
    "proxy_url",
    "timeout_seconds",
)

_VERSION = f"oidc-issuer-exporter {__version__}"
_HELP = ("-h", "--help", "--version")


def parse(given: list[str]) -> argparse.Namespace:
    """Read the arguments *given*; `command` says which of the commands they are for.

    Raises:
        SystemExit: With code 2 and a message for a wrong call, with 0 after help.
    """
    # `serve` goes without saying.
    is_named = bool(given) and (not given[0].startswith("-") or given[0] in _HELP)
    name, *rest = given if is_named else ["serve", *given]
    parser, commands = _parsers()
    if name not in commands:
        return parser.parse_args([name, *rest])
    # Flags may stand between URLs, which argparse does not take for granted.
    own = commands[name]
    options = own.parse_intermixed_args(rest, argparse.Namespace(command=name))
    if name == "check":
        _refuse_budget_beyond_timeout(own, options.budget_seconds, options.timeout_seconds)
    return options


def _refuse_budget_beyond_timeout(
    parser: argparse.ArgumentParser, budget: float | None, timeout: float | None
) -> None:
    # As the configuration has it. A timeout alone may be short, for who is in a hurry.
    if budget is not None and timeout is not None and budget > timeout:
        got = f"{format_duration(budget)} and {format_duration(timeout)}"
        parser.error(f"want the budget within the timeout, got {got}")


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="oidc-issuer-exporter",
        description="Watches OpenID Connect issuers the way AWS STS sees them.",
        epilog="Without a command it serves: `oidc-issuer-exporter serve --help`.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_VERSION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="probe on a schedule and answer /metrics")
    check = commands.add_parser("check", help="probe once and explain what STS would meet")
    # It reads its own arguments; this is for the list of commands.
    commands.add_parser("demo", help="local issuers, good and bad, and the exporter on them")
    _add_serve(serve)
    _add_check(check)
    return parser, {"serve": serve, "check": check}


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.allow_abbrev = False
    _add_config(parser.add_argument_group("configuration").add_argument)
    _add_shards(parser.add_argument_group("shards").add_argument)
    add_web(parser.add_argument_group("web").add_argument)
    _add_log(parser.add_argument_group("log").add_argument)
    parser.add_argument("--version", action="version", version=_VERSION)


def _add_config(add: Callable[..., object]) -> None:
    add(
        "--config.file",
        dest="config_files",
        action="append",
        type=Path,
        metavar="PATH",
        help=f"configuration; may be repeated (default: {DEFAULT_CONFIG})",
    )
    add(
        "--config.check",
        dest="is_check",
        action="store_true",
        help="say whether the configuration is valid, and end",
    )
    add(
        "--config.auto-reload-interval",
        dest="auto_reload_seconds",
        type=interval,
        default=0.0,
        metavar="DURATION",
        help="look this often whether the files' content has changed (default: 0, never)",
    )


def _add_shards(add: Callable[..., object]) -> None:
    add(
        "--shard",
        type=ordinal,
        metavar="NUMBER",
        help="which part of the issuers to probe, counted from 0 (default: the number at the "
        "end of the pod's name, from $POD_NAME or the host's name)",
    )
    add(
        "--total-shards",
        type=shards,
        default=1,
        metavar="NUMBER",
        help="how many exporters share the issuers (default: %(default)s)",
    )


def _add_log(add: Callable[..., object]) -> None:
    add(
        "--log.level",
        dest="level",
        choices=LEVELS,
        default="info",
        help="the least that is logged (default: %(default)s); debug has a line per probe",
    )
    add(
        "--log.format",
        dest="line_format",
        choices=FORMATS,
        help="default: console on a terminal, json elsewhere",
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.allow_abbrev = False
    add = parser.add_argument
    add(
        "targets",
        nargs="*",
        metavar="URL",
        help="an issuer, or the name of a configured one (default: all that are configured)",
    )
    add(
        "--config.file",
        dest="config_files",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="take the settings of configured issuers from here; may be repeated",
    )
    add(
        "--output",
        choices=("text", "json"),
        default="text",
        help="for people or for programs (default: %(default)s)",
    )
    add("--version", action="version", version=_VERSION)
    _add_limits(parser.add_argument_group("limits").add_argument)
    _add_network(parser.add_argument_group("network").add_argument)


def _add_limits(add: Callable[..., object]) -> None:
    add(
        "--budget",
        dest="budget_seconds",
        type=limit,
        metavar="DURATION",
        help="more is a failure (default: 5s, as STS)",
    )
    add(
        "--timeout",
        dest="timeout_seconds",
        type=limit,
        metavar="DURATION",
        help="when to stop waiting (default: 10s)",
    )


def _add_network(add: Callable[..., object]) -> None:
    add(
        "--connect-to",
        dest="connect_to",
        type=configured("HOST_PORT"),
        metavar="HOST:PORT",
        help="dial this instead; Host and SNI stay the URL's",
    )
    add(
        "--ca-file",
        dest="ca_file",
        type=certificates,
        metavar="PATH",
        help="PEM file of CAs to trust beside the public ones",
    )
    add(
        "--nameserver",
        dest="nameservers",
        action="append",
        type=configured("NAMESERVER"),
        metavar="ADDRESS[:PORT]",
        help="ask this DNS server instead of the system's; may be repeated",
    )
    add(
        "--ip-family",
        dest="ip_family",
        type=Family,
        choices=tuple(Family),
        help="dial addresses of this family only",
    )
    add(
        "--proxy-url",
        dest="proxy_url",
        type=configured("PROXY_URL"),
        metavar="URL",
        help="HTTP proxy to go through",
    )
