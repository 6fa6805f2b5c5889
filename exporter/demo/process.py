"""The demo's processes as their parent holds them, and the configuration that points there."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exporter.demo.catalogue import ISSUERS, ROTATION_SECONDS, DemoIssuer
from exporter.demo.certificates import CA_FILE
from exporter.demo.nameserver import KNOWN_NAME
from exporter.demo.sites import site

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where the demo's issuers are to be found while they run.

    Attributes:
        directory: Removed by the issuers' process when it ends.
        port: HTTPS, on 127.0.0.1; the site is chosen by SNI, Host and path.
        nameserver_port: DNS over UDP, on 127.0.0.1.
    """

    directory: Path
    port: int
    nameserver_port: int
    pid: int

    @property
    def ca_file(self) -> Path:
        """The root certificate that the good sites' chains end in."""
        return self.directory / CA_FILE

    @property
    def connect_to(self) -> str:
        """What `connect_to` says of every issuer whose name is meant to resolve."""
        return f"{KNOWN_NAME}:{self.port}"

    def config(self, interval: str = "10s") -> str:
        """A whole configuration, as YAML, with every issuer of the catalogue."""
        content = {
            "vantage": "demo",
            "defaults": {
                "interval": interval,
                "interval_failing": interval,
                # Every lookup ends at the demo's own name server, also the unknown host's.
                "nameservers": [f"127.0.0.1:{self.nameserver_port}"],
                "ca_file": str(self.ca_file),
                # A key is withdrawn one rotation after its successor appeared.
                "rotation_overlap": f"{ROTATION_SECONDS // 2}s",
            },
            "issuers": [self._entry(issuer) for issuer in ISSUERS],
        }
        return yaml.safe_dump(content, sort_keys=False)

    def _entry(self, issuer: DemoIssuer) -> dict[str, Any]:
        entry: dict[str, Any] = {"url": site(issuer).url, "name": issuer.name}
        if issuer.is_known:
            entry["connect_to"] = self.connect_to
        return entry


@contextmanager
def issuers() -> Iterator[Running]:
    """Run the demo's issuers in a process of their own, until the block ends."""
    with child("exporter.demo.server") as place:
        if not place:
            raise RuntimeError("the demo's issuers did not start")
        yield Running(**{**place, "directory": Path(place["directory"])})


@contextmanager
def child(module: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run *module* in a process of its own, and yield the line of JSON that it begins with.

    The process ends with the block, and by itself when its parent dies in any other way:
    it reads the other end of a pipe that nobody else holds. A module that ends without a
    line yields an empty mapping, and says why on standard error.
    """
    # -P: a folder called `exporter` where the user happens to stand is not ours.
    # A session of its own: Ctrl-C at the terminal is for the parent alone.
    process = subprocess.Popen(  # noqa: S603 - the words are our own
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield json.loads(line or "{}")
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
