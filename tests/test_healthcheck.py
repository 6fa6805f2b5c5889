"""The health check of the container image, against servers that are healthy and not."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from exporter.healthcheck import DEFAULT_URL, fault, main
from tests.authority import identity, root
from tests.daemon import PATIENCE_SECONDS, daemon, environment

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from tests.servers import Farm, Handler


def answer(status: str = "200 OK") -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    return handler


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


def context(folder: Path) -> ssl.SSLContext:
    pem = folder / "server.pem"
    pem.write_bytes(identity("good").pem)
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(pem)
    return made


def test_a_daemon_is_healthy_and_a_process_of_its_own_can_tell(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """As the container runtime asks; the issuer need not answer for that."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"issuers: [{{url: 'https://issuer.test:{unused_tcp_port}'}}]", encoding="utf-8"
    )
    with daemon(tmp_path, config) as running:
        command = [sys.executable, "-m", "exporter.healthcheck", f"{running.base}/-/healthy"]
        asked = subprocess.run(
            command,
            check=False,
            capture_output=True,
            env=environment(),
            timeout=PATIENCE_SECONDS,
        )

    assert (asked.returncode, asked.stdout, asked.stderr) == (0, b"", b"")


def test_nobody_who_listens_is_not_healthy(
    unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/-/healthy"

    assert main([url]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_a_status_other_than_200_is_not_healthy(farm: Farm) -> None:
    port = farm.serve(answer("503 Service Unavailable"))

    assert fault(f"http://127.0.0.1:{port}/") == f"http://127.0.0.1:{port}/: status 503"


def test_an_answer_that_does_not_come_is_not_healthy(farm: Farm) -> None:
    port = farm.serve(hang_up)

    assert "closed connection" in (fault(f"http://127.0.0.1:{port}") or "")


def test_whose_certificate_it_is_does_not_matter(farm: Farm, tmp_path: Path) -> None:
    """It is for the exporter's name, and the question goes to the loopback address."""
    port = farm.serve(answer(), context(tmp_path))

    assert fault(f"https://127.0.0.1:{port}/-/healthy") is None


def test_a_wish_for_a_client_certificate_is_a_sign_of_life(farm: Farm, tmp_path: Path) -> None:
    """The image has none to show: TLS for scrapes must not make it unhealthy."""
    wants = context(tmp_path)
    wants.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "root.pem").write_bytes(root().pem)
    wants.load_verify_locations(tmp_path / "root.pem")
    port = farm.serve(answer(), wants)

    assert fault(f"https://127.0.0.1:{port}/-/healthy") is None


def test_a_handshake_that_fails_is_not_healthy(farm: Farm) -> None:
    port = farm.serve(babble)

    assert "SSL" in (fault(f"https://127.0.0.1:{port}/") or "")


@pytest.mark.parametrize("url", ["localhost:10184", "ftp://localhost/", "http:///x"])
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    assert DEFAULT_URL in (fault(url) or "")


def test_proxies_are_not_asked(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's environment often names one, and it knows no loopback of ours."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    port = farm.serve(answer())

    assert fault(f"http://127.0.0.1:{port}/") is None
