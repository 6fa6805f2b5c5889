"""Fixtures that more than one file of tests needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import settings

from exporter.demo.programs import free_port
from tests.authority import issue, root
from tests.probing import Bench
from tests.servers import Farm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A busy machine is not a bug: hypothesis fails an example that takes over 0.2 s otherwise.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PEM files; `root.pem` is the authority that issuers name as `ca_file`."""
    folder = tmp_path_factory.mktemp("pki")
    (folder / "root.pem").write_bytes(root().certificate.public_bytes(Encoding.PEM))
    return folder


@pytest.fixture(scope="session", autouse=True)
def _few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine trusts one authority, whom no issuer of ours knows, instead of 150.

    Hundreds of probers read them, and daemons after them; they are the machine's, besides.
    """
    folder = tmp_path_factory.mktemp("system")
    bundle = folder / "bundle.pem"
    bundle.write_bytes(issue("System Root", is_ca=True).certificate.public_bytes(Encoding.PEM))
    (folder / "certs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(bundle))
        patch.setenv("SSL_CERT_DIR", str(folder / "certs"))
        yield


@pytest.fixture
def unused_tcp_port() -> int:
    """A port for a program that opens it later: none that somebody may get until then."""
    return free_port()


@pytest.fixture
def farm() -> Iterator[Farm]:
    """Servers in a thread of their own, gone after the test."""
    servers = Farm()
    yield servers
    servers.close()


@pytest.fixture
def bench(farm: Farm, pki: Path) -> Bench:
    """An issuer on loopback, to be served and probed."""
    return Bench(farm, pki)
