"""The peer: Debian's blackbox_exporter, and the Prometheus it would be scraped by."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.farm import DOMAIN
from bench.process import HOST, BenchError, need, running, wait_for_port
from exporter.demo.programs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.farm import Farm
    from bench.process import Process

# The least that can be asked: status and trust. Bodies are not looked at, the answer is
# not compressed; either would cost it more.
_MODULES = """
modules:
  issuer:
    prober: http
    timeout: 10s
    http:
      preferred_ip_protocol: ip4
      ip_protocol_fallback: false
      follow_redirects: false
      fail_if_not_ssl: true
      valid_status_codes: [200]
      tls_config: {{ca_file: {ca_file}, server_name: {server_name}}}
"""

#: Both documents, as two targets of one scrape configuration.
DOCUMENTS = ("/.well-known/openid-configuration", "/jwks")

_PROCESSING = re.compile(
    rb'^probe_http_duration_seconds\{phase="processing"\} (\S+)$', re.MULTILINE
)

_CONTENT_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")

# Beyond this the loop is no longer open: the questions wait for the machine.
_LATE_SECONDS = 0.1
_LATE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe's own number for the time to the first byte, by the path it asked for."""

    path: str
    processing_seconds: float


@contextmanager
def blackbox(directory: Path, farm: Farm) -> Iterator[tuple[Process, int]]:
    """Run blackbox_exporter, trusting *farm*; gives the process and its port."""
    binary = need("prometheus-blackbox-exporter", "prometheus-blackbox-exporter")
    port, config = free_port(), directory / "blackbox.yaml"
    config.write_text(_MODULES.format(ca_file=farm.ca_file, server_name=DOMAIN))
    command = [binary, f"--config.file={config}", f"--web.listen-address={HOST}:{port}"]
    with running(command, directory / "blackbox.log") as process:
        wait_for_port(process, port)
        yield process, port


async def drive(
    port: int, farm: Farm, *, checks_per_second: float, seconds: float, first: int = 0
) -> list[Probed]:
    """Ask for two probes a check in an open loop, evenly spread as Prometheus spreads them.

    A late answer delays no later question. Check numbers begin at *first* and make every
    path unique. The driver's CPU is its own process's, not the peer's.

    Raises:
        BenchError: A probe failed, or too many of them were started late.
    """
    count, gap = int(checks_per_second * seconds * 2), 0.5 / checks_per_second
    loop, client = asyncio.get_running_loop(), Client(port)
    start = loop.time() + 0.05
    tasks, late = [], 0
    for number in range(count):
        due = start + number * gap
        await asyncio.sleep(max(0, due - loop.time()))
        late += loop.time() - due > _LATE_SECONDS
        path = f"{DOCUMENTS[number % 2]}?check={first + number // 2}"
        tasks.append(asyncio.create_task(_ask(client, farm, path)))
    probed = await asyncio.gather(*tasks)
    client.close()
    if late > count * _LATE_SHARE:
        raise BenchError(f"the driver was late for {late} of {count} probes: a busy machine")
    return probed


async def _ask(client: Client, farm: Farm, path: str) -> Probed:
    target = quote(f"https://{HOST}:{farm.port}{path}", safe="")
    text = await client.get(f"/probe?module=issuer&target={target}")
    found = _PROCESSING.search(text)
    if found is None or b"\nprobe_success 1\n" not in text:
        raise BenchError(f"blackbox_exporter failed on {path}:\n{text.decode()[-2000:]}")
    return Probed(path, float(found[1]))


class Client:
    """GET over kept-alive connections, with the least that takes: two cores are few."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> bytes:
        """The body of the answer, whatever its status."""
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection(HOST, self._port)
        )
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        body = await (reader.readexactly(int(length[1])) if length else _chunks(reader))
        self._idle.append((reader, writer))
        return body

    def close(self) -> None:
        """Close the connections that are idle."""
        for _, writer in self._idle:
            writer.close()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body (RFC 9112 section 7.1), without trailers, which Go does not send."""
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body
