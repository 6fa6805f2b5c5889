"""Probe what a test serves, with the real prober over real TLS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.probe import Prober
from tests.authority import HOST, server_context
from tests.builders import issuer
from tests.servers import Farm, Handler, http, routed

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.model import Issuer, Report

URL = f"https://{HOST}"
DISCOVERY_PATH = "/.well-known/openid-configuration"
# A real P-256 key: GitHub's shape, made for these tests.
KEY = {
    "kty": "EC",
    "kid": "k1",
    "use": "sig",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
KEYS = json.dumps({"keys": [KEY]})


def discovery(**changes: Any) -> str:
    document = {
        "issuer": URL,
        "jwks_uri": f"{URL}/jwks",
        "claims_supported": ["sub", "aud", "iss", "iat", "exp"],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        **changes,
    }
    return json.dumps({k: v for k, v in document.items() if v is not None})


@dataclass
class Bench:
    """One issuer on loopback and the prober that looks at it."""

    farm: Farm
    pki: Path

    def serve(
        self,
        discovery_answer: bytes | Handler | None = None,
        jwks_answer: bytes | Handler | None = None,
        *,
        vice: str = "good",
        **routes: bytes | Handler,
    ) -> int:
        paths = {
            DISCOVERY_PATH: discovery_answer or http(discovery()),
            "/jwks": jwks_answer or http(KEYS),
            **{f"/{path}": answer for path, answer in routes.items()},
        }
        return self.farm.serve(routed(paths), server_context(self.pki, vice))

    def issuer(self, port: int, **changes: Any) -> Issuer:
        return issuer(
            **{
                "url": URL,
                "connect_to": ("127.0.0.1", port),
                "ca_file": str(self.pki / "root.pem"),
                "timeout_seconds": 2.0,
                **changes,
            }
        )

    async def probe(self, port: int, **changes: Any) -> Report:
        return await Prober().probe(self.issuer(port, **changes))


def verdict(report: Report) -> str:
    """`document/stage/reason`, or `usable`."""
    failure = report.failure
    return f"{failure.document}/{failure.stage}/{failure.reason}" if failure else "usable"
