"""Fixtures that more than one file of tests needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import settings

from tests.authority import root
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
