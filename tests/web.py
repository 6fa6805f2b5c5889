"""The exporter's web server with a web configuration, and clients that are not ours."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from exporter.store import Store
from exporter.web.config import WebConfig, load
from exporter.web.listen import Address, address_of, listen
from exporter.web.routes import Site, application
from exporter.web.security import Guard
from exporter.web.server import Server
from tests import builders
from tests.authority import issue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from tests.authority import Identity

#: What certificates of our servers are for; clients are led to loopback.
NAME = "exporter.test"
PASSWORD = "correct horse"
CLIENTS = "Clients' CA"
SERVERS = "Servers' CA"


@cache
def hashed(password: str = PASSWORD) -> str:
    """As cheap as bcrypt gets: what it costs is not what these tests are about."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@cache
def ca(name: str) -> Identity:
    return issue(name, is_ca=True)


@cache
def server(name: str = NAME) -> Identity:
    return issue(name, ca(SERVERS), host=NAME)


@cache
def client(name: str = "prometheus.test", issuer: str = CLIENTS) -> Identity:
    return issue(name, ca(issuer), host=name, usage=ExtendedKeyUsageOID.CLIENT_AUTH)


def pem(identity: Identity) -> tuple[bytes, bytes]:
    """Certificate and key."""
    key = identity.key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return identity.certificate.public_bytes(Encoding.PEM), key


def put(folder: Path, name: str, identity: Identity) -> None:
    """Write `name.pem` and `name.key` into *folder*."""
    certificate, key = pem(identity)
    (folder / f"{name}.pem").write_bytes(certificate)
    (folder / f"{name}.key").write_bytes(key)


TLS = """
tls_server_config:
  cert_file: server.pem
  key_file: server.key
"""
MUTUAL = f"""{TLS}
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: clients.pem
"""
USERS = f"""
basic_auth_users:
  alice: {hashed()}
"""


def write(folder: Path, text: str, name: str = "web.yaml") -> Path:
    """A web configuration in a *folder* that holds certificates of all kinds."""
    put(folder, "server", server())
    put(folder, "client", client())
    put(folder, "stranger", client("prometheus.test", "Somebody's CA"))
    put(folder, "clients", ca(CLIENTS))
    put(folder, "servers", ca(SERVERS))
    path = folder / name
    path.write_text(text.lstrip("\n"), "utf-8")
    return path


@dataclass
class Served:
    """A server that answers on loopback."""

    folder: Path
    server: Server
    guard: Guard
    store: Store
    port: int
    scheme: str = "http"
    gates: list[asyncio.Event] = field(default_factory=list)

    async def curl(self, path: str, *options: str) -> Answer:
        return await curl(self.folder, self.scheme, self.port, path, *options)


@dataclass(frozen=True)
class Answer:
    """What curl has to say: its exit code, the last answer's status, head and body."""

    code: int
    status: int
    text: str
    error: str

    @property
    def body(self) -> str:
        return self.text.partition("\r\n\r\n")[2]

    def header(self, name: str) -> str | None:
        lines = self.text.partition("\r\n\r\n")[0].split("\r\n")[1:]
        values = [v for k, _, v in (line.partition(": ") for line in lines) if k == name]
        return values[0] if values else None


async def curl(folder: Path, scheme: str, port: int, path: str, *options: str) -> Answer:
    if shutil.which("curl") is None:
        pytest.fail("curl is missing: apt-get install curl")
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--include", "--max-time", "20"),
        *("--cacert", str(folder / "servers.pem"), "--noproxy", "*"),
        *("--resolve", f"{NAME}:{port}:127.0.0.1"),
        *("--write-out", "\n%{http_code}", *options, f"{scheme}://{NAME}:{port}{path}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    text, _, status = out.decode().rpartition("\n")
    return Answer(process.returncode or 0, int(status), text, error.decode())


def store() -> Store:
    kept = Store()
    kept.keep([builders.issuer()])
    kept.record(builders.report(), is_final=True)
    return kept


@asynccontextmanager
async def serving(
    folder: Path,
    text: str | None = None,
    *,
    routes: tuple[web.RouteDef, ...] = (),
    max_requests: int = 40,
    **site: Any,
) -> AsyncIterator[Served]:
    """The real application, behind a web configuration of this *text*."""
    path = None if text is None else write(folder, text)
    guard, kept = Guard(max_requests=max_requests), store()
    app = application(
        Site(**{"store": kept, "waiting": lambda: (), "reload": None, **site}), guard
    )
    app.add_routes(routes)
    running = Server(app, guard, config_file=path, own=kept.own)
    sock = listen(Address("127.0.0.1", 0))
    where = address_of(sock)
    assert isinstance(where, Address)
    config = load(path) if path else WebConfig()
    await running.start(config, [sock])
    try:
        scheme = "https" if config.tls else "http"
        yield Served(folder, running, guard, kept, where.port, scheme)
    finally:
        await running.close()
