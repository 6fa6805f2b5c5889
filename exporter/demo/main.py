"""The demo from start to end: `oidc-issuer-exporter demo`."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.demo.alerting import alerting
from exporter.demo.guide import base, guide
from exporter.demo.process import issuers

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "oidc-issuer-exporter"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo as *argv* asks, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"{_NAME} demo",
        description="Run local issuers, good and bad, and the exporter on them. "
        "Nothing leaves this machine.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default="127.0.0.1:10184",
        metavar="HOST:PORT",
        help="where the exporter listens (default: %(default)s)",
    )
    parser.add_argument(
        "--interval",
        default="10s",
        metavar="DURATION",
        help="how often each issuer is probed (default: %(default)s)",
    )
    parser.add_argument(
        "--no-alerting",
        dest="is_alerting",
        action="store_false",
        help="leave Prometheus and Alertmanager out, also where they are installed",
    )
    arguments = parser.parse_args(argv)
    return run(
        listen_address=arguments.listen_address,
        interval=arguments.interval,
        is_alerting=arguments.is_alerting,
    )


def run(
    *,
    listen_address: str = "127.0.0.1:10184",
    interval: str = "10s",
    is_alerting: bool = False,
) -> int:
    """Start the issuers, run the exporter on them until it is told to end, and clean up.

    With *is_alerting* Prometheus and Alertmanager run as well, where they are installed.
    Ctrl-C and SIGTERM end it, with exit code 0; any other code is the exporter's own.
    """
    # Until the exporter takes the signals over, and again when it has given them back.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chain = alerting(base(listen_address)) if is_alerting else nullcontext("")
        with issuers() as running, chain as alerts:
            config = running.directory / "config.yaml"
            config.write_text(running.config(interval), encoding="utf-8")
            text = guide(
                running,
                config,
                command=_command(),
                listen_address=listen_address,
                interval=interval,
                alerts=alerts,
            )
            sys.stdout.write(text)
            sys.stdout.flush()
            return _serve(config, listen_address)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, previous)


def _command() -> str:
    """How this program was called, so that a line of the guide can be pasted."""
    called = Path(sys.argv[0])
    return str(called) if called.name == _NAME else _NAME


def _serve(config: Path, listen_address: str) -> int:
    # Imported here because `cli` imports this package for its own sub-command.
    from exporter import cli  # noqa: PLC0415

    code = cli.main(
        [
            "serve",
            f"--config.file={config}",
            f"--web.listen-address={listen_address}",
            "--web.enable-lifecycle",
        ]
    )
    # A signal that came before the exporter listened for it.
    return 0 if code == cli.INTERRUPTED else code
