"""The exporter as a user runs it: its command, a YAML file, and what it publishes."""

from __future__ import annotations

import http.client
import re
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.farm import DOMAIN
from bench.process import HOST, BenchError, running
from exporter.demo.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bench.process import Process

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')

# Beyond this the machine is measured, not the exporter.
_LATE_SECONDS = 0.1


def issuer_url(number: int) -> str:
    """The URL of issuer *number*, as long as its neighbours' whatever the number."""
    return f"https://i{number:05}.{DOMAIN}"


def write_config(
    path: Path, *, port: int, ca_file: Path | None, issuers: int, interval: str
) -> Path:
    """A configuration of *issuers* on *port* of loopback; what it leaves out is default.

    The cap per host is not in the way: every issuer is a host of its own.
    """
    trust = f", ca_file: {ca_file}" if ca_file else ""
    head = (
        f"defaults: {{interval: {interval}, interval_failing: {interval}{trust}}}\nissuers:\n"
    )
    entry = f'  - {{url: "%s", connect_to: "{HOST}:{port}"}}\n'
    entries = (entry % issuer_url(number) for number in range(issuers))
    path.write_text(head + "".join(entries))
    return path


@contextmanager
def exporter(config: Path) -> Iterator[tuple[Process, int]]:
    """Run the daemon on *config* and wait for its first `/metrics`; process and port."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "exporter", f"--config.file={config}"),
        f"--web.listen-address={HOST}:{port}",
    ]
    with running(command, config.with_suffix(".log")) as process:
        wait_for_metrics(process, port)
        yield process, port


def wait_for_metrics(process: Process, port: int, *, timeout_seconds: float = 60) -> None:
    """Return once *process* has answered `/metrics` with 200 and a body."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            scrape(port)
        except ConnectionRefusedError:
            process.check_alive()
            time.sleep(0.002)
        else:
            return
    raise BenchError(f"no /metrics on {port} within {timeout_seconds} s")


def scrape(port: int, *, encoding: str = "identity") -> bytes:
    """One scrape, the body as it was sent."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise BenchError(f"/metrics answered {response.status}: {body[:500]!r}")
    return body


def check_punctual(text: bytes, since: bytes = b"") -> None:
    """Raise `BenchError` when, by this scrape, the probes were late for their schedule.

    Those that an earlier scrape, *since*, had counted are left out. On a machine that cannot
    keep up there is no steady rate, and nothing to measure.
    """
    late = dict.fromkeys(("sum", "count"), 0.0)
    for part in late:
        family = f"oidc_exporter_schedule_delay_seconds_{part}"
        late[part] = sum(value for _, value in samples(text, family))
        late[part] -= sum(value for _, value in samples(since, family))
    if not late["count"]:
        raise BenchError("nothing was probed")
    mean = late["sum"] / late["count"]
    if mean > _LATE_SECONDS:
        raise BenchError(f"probes began {mean:.2f} s late on average: a busy machine")


def samples(text: bytes, family: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """Labels and value of every sample of *family* in a scrape in text format.

    Values that this benchmark labels with hold no quote, so none needs unescaping.
    """
    wanted = family.encode()
    for line in text.splitlines():
        if line.startswith(wanted) and (match := _SAMPLE.match(line.decode())):
            name, labels, value = match.groups()
            if name == family:
                yield dict(_LABEL.findall(labels or "")), float(value)
