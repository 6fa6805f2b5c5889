"""What the demo prints: where to look, what to ask, and what to expect of each issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.demo.catalogue import ISSUERS

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.demo.process import Running

_GUIDE = """\
The exporter, on {count} local issuers, good and bad. Nothing leaves this machine.

  Where to look          {base}/
  What Prometheus reads  {base}/metrics
  The configuration      {config}

In another terminal:

  curl -s {base}/metrics | grep -E '^oidc_probe_(success|duration_seconds){{'
  curl -s {base}/metrics | grep -E '^oidc_(probe_failure|finding)_info'
  {command} check --config.file={config} keycloak
  curl -X POST {base}/-/reload    # after a change of the configuration
  curl -i --cacert {ca} --connect-to ::127.0.0.1:{port} \\
    https://gitlab.com/.well-known/openid-configuration

What to expect, {interval} after the start and some seconds for the slow ones:

{table}
{alerts}
Ctrl-C ends the demo and removes everything that it made.

"""


def guide(
    running: Running,
    config: Path,
    *,
    command: str,
    listen_address: str,
    interval: str,
    alerts: str = "",
) -> str:
    """The text for a person who has just started the demo by *command*.

    *alerts* says where to see them fire, or what it would take.
    """
    return _GUIDE.format(
        count=len(ISSUERS),
        base=base(listen_address),
        command=command,
        config=config,
        ca=running.ca_file,
        port=running.port,
        interval=interval,
        table="\n".join(_rows()),
        alerts=f"\n{alerts}\n" if alerts else "",
    )


def base(listen_address: str) -> str:
    """The URL to give a browser on this machine, also when every address is listened on."""
    host, _, port = listen_address.rpartition(":")
    is_any = host in {"", "0.0.0.0", "[::]"}  # noqa: S104 - it is read, not bound
    return f"http://{'127.0.0.1' if is_any else host}:{port}"


def _rows() -> list[str]:
    names = max(len(issuer.name) for issuer in ISSUERS)
    verdicts = max(len(issuer.expected) for issuer in ISSUERS)
    return [
        f"  {issuer.name:{names}}  {issuer.expected:{verdicts}}  {issuer.shows}"
        for issuer in ISSUERS
    ]
