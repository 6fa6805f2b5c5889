"""Whether a `ca_file` holds certificates: asked when the configuration is read, not later."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography import x509

from exporter.config.problems import shown

if TYPE_CHECKING:
    from pathlib import Path


class Certificates:
    """Looks at each file once, however many issuers name it."""

    def __init__(self) -> None:
        self._faults: dict[Path, str] = {}

    def find(self, folder: Path, path: str) -> str:
        """The absolute path of *path*, which is relative to *folder*.

        Raises:
            ValueError: It holds no certificate; the message is a sentence for the operator.
        """
        # Not resolve: a mounted secret is a link that is led elsewhere with every change.
        absolute = (folder / path).absolute()
        if absolute not in self._faults:
            self._faults[absolute] = _fault(absolute)
        if fault := self._faults[absolute]:
            raise ValueError(
                f"want a PEM file with a certificate, got {shown(path)}; {absolute}: {fault}"
            )
        return str(absolute)


def _fault(path: Path) -> str:
    # The probe reads it in both ways: one counts certificates, the other builds trust on them.
    try:
        x509.load_pem_x509_certificates(path.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "OpenSSL cannot read all that is in it"
    except OSError as error:
        return f"{error.strerror}"
    except x509.InvalidVersion as error:
        return (
            f"a certificate in it is of X.509 version {error.parsed_version + 1}, want 3 or 1"
        )
    except ValueError:
        return "no certificate in it can be read"
    return ""
