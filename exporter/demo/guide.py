"""What the demo prints: where to look, what to ask, and what to expect of each issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.demo.catalogue import ISSUERS

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.demo.process import Running

_GUIDE = """\
The exporter, on {count} local issuers, good and bad. Nothing leaves this machine.

  Every issuer on a page    {base}/
  What Prometheus scrapes   {base}/metrics
  The configuration         {config}

In another terminal:

  curl -s {base}/metrics | grep -E '^oidc_probe_(success|duration_seconds)'
  curl -s {base}/metrics | grep -E '^oidc_(probe_failure|finding)_info'
  curl -i --cacert {ca} --connect-to ::127.0.0.1:{port} \\
    https://gitlab.com/.well-known/openid-configuration

What to expect, once every issuer has been probed (each every {interval}):

{table}

Ctrl-C ends the demo and removes everything that it made.
"""


def guide(running: Running, config: Path, *, listen_address: str, interval: str) -> str:
    """The text for a person who has just started the demo."""
    return _GUIDE.format(
        count=len(ISSUERS),
        base=f"http://{listen_address}",
        config=config,
        ca=running.ca_file,
        port=running.port,
        interval=interval,
        table="\n".join(_rows()),
    )


def _rows() -> list[str]:
    names = max(len(issuer.name) for issuer in ISSUERS)
    verdicts = max(len(issuer.expected) for issuer in ISSUERS)
    return [
        f"  {issuer.name:{names}}  {issuer.expected:{verdicts}}  {issuer.shows}"
        for issuer in ISSUERS
    ]
